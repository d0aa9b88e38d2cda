"""What a table does beyond get and put, and the nearest that each peer offers. The verbs of adapters.kv, and

    RANGES       ranging()    a context that yields range((customer, id), n) -> the customer's next n items
    ORDERS       add(key, by)            qty grows by this much; nothing comes between the reading and the writing
                 in_city(city)           every item with this city, found by reading all
    INDEXED[n]   found(index, value)     keys of items, through the first or second of n secondary indexes

Peers that store bytes read an item, change it and write it back. An update happens in one transaction where the peer
has them. SQLite calls a function of ours from UPDATE: measured, that took 15 us, json_set on a JSON text 16, BEGIN,
SELECT, UPDATE and COMMIT 20. Its index is on columns beside the item; ours holds all of the item, so that both answer
with it.
"""

from contextlib import contextmanager
from itertools import islice

from adapters.kv import Engines, Lmdb, Rocks, Sqlite, packb, unpackb


class EnginesRanges(Engines):
    options = Engines.options | {"key": ("customer:S", "id:S")}

    def key(self, pair):
        return pair

    def _open(self, folder, grade):
        super()._open(folder, grade)
        get = self.table.get
        self.get = lambda key: get(*key)

    @contextmanager
    def ranging(self):
        query = self.table.query

        def find(key, length):
            customer, first = key
            return query("customer = :s AND id >= :f", values={":s": customer, ":f": first}, limit=length).items

        yield find


class LmdbRanges(Lmdb):
    def key(self, pair):
        return "\0".join(pair).encode()

    @contextmanager
    def ranging(self):
        with self.env.begin() as txn:
            cursor = txn.cursor()

            def find(key, length):
                cursor.set_range(key)
                return [unpackb(value) for value in islice(cursor.iternext(keys=False), length)]

            yield find


class RocksRanges(Rocks):
    def key(self, pair):
        return "\0".join(pair).encode()

    @contextmanager
    def ranging(self):
        values = self.db.values
        yield lambda key, length: [unpackb(value) for value in islice(values(from_key=key), length)]


class SqliteRanges(Sqlite):
    SCHEMA = "CREATE TABLE IF NOT EXISTS usertable (customer TEXT, id TEXT, item BLOB, PRIMARY KEY (customer, id))"
    SELECT = "SELECT item FROM usertable WHERE customer = ? AND id = ?"
    RANGE = "SELECT item FROM usertable WHERE customer = ? AND id >= ? ORDER BY id LIMIT ?"

    def _open(self, folder, grade):
        super()._open(folder, grade)
        execute, select = self.db.execute, self.SELECT
        self.get = lambda key: unpackb(execute(select, key).fetchone()[0])

    def put_many(self, entries):
        self.db.execute("BEGIN IMMEDIATE")
        rows = ((*key, packb(item)) for key, item in entries)
        self.db.executemany("INSERT INTO usertable VALUES (?, ?, ?)", rows)
        self.db.execute("COMMIT")

    @contextmanager
    def ranging(self):
        execute, select = self.db.execute, self.RANGE
        yield lambda key, length: [unpackb(item) for (item,) in execute(select, (*key, length))]


class EnginesOrders(Engines):
    def _open(self, folder, grade):
        super()._open(folder, grade)
        update = self.table.update
        self.add = lambda key, by: update(key, "SET qty = qty + :by", values={":by": by})

    def in_city(self, city):
        return self.table.scan(filter="city = :c", values={":c": city}).all()


class EnginesDecoding(EnginesOrders):
    def in_city(self, city):
        found, page = [], self.table.scan()
        while page is not None:  # page by page: all() would hold every item
            found += [item for item in page.items if item["city"] == city]
            page = page.next()
        return found


class LmdbOrders(Lmdb):
    def _open(self, folder, grade):
        super()._open(folder, grade)
        begin = self.env.begin

        def add(key, by):
            with begin(write=True) as txn:
                item = unpackb(txn.get(key))
                item["qty"] += by
                txn.put(key, packb(item))

        self.add = add

    def in_city(self, city):
        with self.env.begin() as txn:
            values = txn.cursor().iternext(keys=False)
            return [item for value in values if (item := unpackb(value))["city"] == city]


class RocksOrders(Rocks):
    def _open(self, folder, grade):
        super()._open(folder, grade)
        db = self.db

        def add(key, by):
            item = unpackb(db[key])
            item["qty"] += by
            db[key] = packb(item)

        self.add = add

    def in_city(self, city):
        return [item for value in self.db.values() if (item := unpackb(value))["city"] == city]


class SqliteOrders(Sqlite):
    UPDATE = "UPDATE usertable SET item = more(item, ?) WHERE id = ?"

    def _open(self, folder, grade):
        super()._open(folder, grade)

        def more(value, by):
            item = unpackb(value)
            item["qty"] += by
            return packb(item)

        self.db.create_function("more", 2, more, deterministic=True)
        execute, update = self.db.execute, self.UPDATE
        self.add = lambda key, by: execute(update, (by, key))

    def in_city(self, city):
        rows = self.db.execute("SELECT item FROM usertable")
        return [item for (value,) in rows if (item := unpackb(value))["city"] == city]


INDEX_KEYS = {"city": ("city:S", "qty:N"), "team": ("team:S",)}


class EnginesIndexed(Engines):
    def found(self, index, value):
        page = self.table.query(f"{index} = :v", index=index, values={":v": value})
        return {item["id"] for item in page.all()}


class EnginesIndexed1(EnginesIndexed):
    options = Engines.options | {"indexes": [{"name": "city", "key": INDEX_KEYS["city"]}]}


class EnginesIndexed2(EnginesIndexed):
    options = Engines.options | {"indexes": [{"name": name, "key": key} for name, key in INDEX_KEYS.items()]}


class SqliteIndexed1(Sqlite):
    SCHEMA = """
        CREATE TABLE IF NOT EXISTS usertable (id TEXT PRIMARY KEY, item BLOB, city TEXT, qty INTEGER, team TEXT);
        CREATE INDEX IF NOT EXISTS by_city ON usertable (city, qty);
        """
    UPSERT = """INSERT INTO usertable VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE
        SET item = excluded.item, city = excluded.city, qty = excluded.qty, team = excluded.team"""

    def _open(self, folder, grade):
        super()._open(folder, grade)
        execute, upsert = self.db.execute, self.UPSERT

        def put(entry):
            key, item = entry
            execute(upsert, (key, packb(item), item["city"], item["qty"], item["team"]))

        self.put = put

    def put_many(self, entries):
        self.db.execute("BEGIN IMMEDIATE")
        for entry in entries:
            self.put(entry)
        self.db.execute("COMMIT")

    def found(self, index, value):
        return {key for (key,) in self.db.execute(f"SELECT id FROM usertable WHERE {index} = ?", (value,))}  # noqa: S608 - a name of INDEX_KEYS


class SqliteIndexed2(SqliteIndexed1):
    SCHEMA = SqliteIndexed1.SCHEMA + "CREATE INDEX IF NOT EXISTS by_team ON usertable (team);"


RANGES = {
    "engines": EnginesRanges,
    "lmdb + ormsgpack": LmdbRanges,
    "rocksdict": RocksRanges,
    "sqlite": SqliteRanges,
}
ORDERS = {
    "engines": EnginesOrders,
    "engines, filter in Python": EnginesDecoding,
    "lmdb + ormsgpack": LmdbOrders,
    "rocksdict": RocksOrders,
    "sqlite": SqliteOrders,
}
INDEXED = {
    1: {"engines": EnginesIndexed1, "sqlite": SqliteIndexed1},
    2: {"engines": EnginesIndexed2, "sqlite": SqliteIndexed2},
}
