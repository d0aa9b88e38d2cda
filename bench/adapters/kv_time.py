"""What tables do with time, and what peers offer instead: EXPIRING (items that end) and RETURNING (a table as it was).

    EXPIRING    load(entries)   entries are (id, second in which it ends or None, value)
                expire(now)     delete what has ended, keeping a record of each deletion; how many there were
                reader()        a context, for a thread of its own, that yields get(id) -> item or None
                count()         items that are left       records()    deletions that were recorded

    RETURNING   the verbs of adapters.kv, and
                hour(n)         from now on it is hour n of the bench
                restore(n, to)  a new table that holds what was there at the end of hour n
                contents(to)    its items, by key

A peer keeps its records itself: SQLite through triggers, LMDB with a second and a third database in the transaction
of the deletions (1,000 in each, so that no reader's snapshot grows old and no commit is large).
"""

import sqlite3
from contextlib import contextmanager
from itertools import islice

from adapters.kv import Adapter, Engines, Sqlite, lmdb, packb, unpackb
from systems import PROCESS

from engines.clock import MICROSECONDS, SystemClock

DELETIONS = 1000  # in one transaction of LMDB


class SteppedClock(SystemClock):
    """The machine's clock, some seconds ahead."""

    ahead = 0

    def now(self):
        return super().now() + self.ahead * MICROSECONDS


def now(seconds_ahead=0):
    return SystemClock().now() // MICROSECONDS + seconds_ahead


class EnginesExpiring(Engines):
    options = Engines.options | {"ttl": "ends"}

    def __init__(self):
        self.clock = SteppedClock()

    def load(self, entries):
        self.put_many({"id": key, "ends": ends, "value": value} for key, ends, value in entries)
        self.loaded = self.store.log.last

    def expire(self, now):
        self.clock.ahead += now - self.clock.now() // MICROSECONDS + 1
        return self.store.expire()

    @contextmanager
    def reader(self):
        yield self.table.get

    def count(self):
        return len(self.table.scan(projection="id").all())

    def records(self):
        self.store.log.sync()  # the stream shows what is on disk
        return sum(change.kind == "REMOVE" and change.expired for change in self.table.changes(self.loaded))


class LmdbExpiring(Adapter):
    def _open(self, folder, grade):
        self.env = lmdb.open(folder, map_size=8 << 30, max_dbs=3, sync=grade != PROCESS)
        self.items, self.due, self.deleted = (self.env.open_db(name) for name in (b"items", b"due", b"deleted"))

    def load(self, entries):
        with self.env.begin(write=True) as txn:
            for key, ends, value in entries:
                stored = key.encode()
                txn.put(stored, packb({"id": key, "ends": ends, "value": value}), db=self.items)
                if ends is not None:
                    txn.put(ends.to_bytes(8, "big") + stored, b"", db=self.due)

    def expire(self, now):
        count, end = 0, (now + 1).to_bytes(8, "big")
        while True:
            with self.env.begin(write=True) as txn:
                cursor = txn.cursor(db=self.due)
                ended = [place for place in islice(cursor.iternext(values=False), DELETIONS) if place < end]
                for number, place in enumerate(ended, count):
                    old = txn.pop(place[8:], db=self.items)
                    txn.put(number.to_bytes(8, "big"), place + old, db=self.deleted, append=True)
                    txn.delete(place, db=self.due)
            if not ended:
                return count
            count += len(ended)

    @contextmanager
    def reader(self):
        begin, items = self.env.begin, self.items

        def get(key):
            with begin(db=items) as txn:
                found = txn.get(key.encode())
            return None if found is None else unpackb(found)

        yield get

    def _entries(self, db):
        with self.env.begin() as txn:
            return txn.stat(db)["entries"]

    def count(self):
        return self._entries(self.items)

    def records(self):
        return self._entries(self.deleted)

    def close(self):
        self.env.close()


class SqliteExpiring(Sqlite):
    SCHEMA = """
        CREATE TABLE usertable (id TEXT PRIMARY KEY, ends INTEGER, item BLOB);
        CREATE INDEX due ON usertable (ends) WHERE ends IS NOT NULL;
        CREATE TABLE deleted (number INTEGER PRIMARY KEY, id TEXT, item BLOB);
        CREATE TRIGGER record AFTER DELETE ON usertable
        BEGIN INSERT INTO deleted (id, item) VALUES (old.id, old.item); END;
        """

    def load(self, entries):
        self.db.execute("BEGIN IMMEDIATE")
        rows = ((key, ends, packb({"id": key, "ends": ends, "value": value})) for key, ends, value in entries)
        self.db.executemany("INSERT INTO usertable VALUES (?, ?, ?)", rows)
        self.db.execute("COMMIT")

    def expire(self, now):
        return self.db.execute("DELETE FROM usertable WHERE ends <= ?", (now,)).rowcount

    @contextmanager
    def reader(self):
        db = sqlite3.connect(f"{self.folder}/items.db", isolation_level=None)
        db.execute("PRAGMA mmap_size=1073741824")

        def get(key):
            found = db.execute(self.SELECT, (key,)).fetchone()
            return None if found is None else unpackb(found[0])

        yield get
        db.close()

    def count(self):
        return self.db.execute("SELECT count(*) FROM usertable").fetchone()[0]

    def records(self):
        return self.db.execute("SELECT count(*) FROM deleted").fetchone()[0]


HOUR = 3600


class EnginesReturning(Engines):
    options = {"key": "id:S", "pitr": True}  # noqa: RUF012 - as the class's it inherits from

    def __init__(self):
        self.clock = SteppedClock()

    def hour(self, n):
        self.clock.ahead = n * HOUR
        self.begun = {**getattr(self, "begun", {}), n: self.clock.now() // MICROSECONDS}

    def restore(self, n, to):
        self.store.restore_table("usertable", to=to, at=self.begun[n + 1] - 1)

    def contents(self, to):
        return {item["id"]: item for item in self.store.table(to).scan().all()}


class SqliteReturning(Sqlite):
    """A trigger keeps what each write replaced; before the first write of an item after a moment it was as kept."""

    SCHEMA = """
        CREATE TABLE IF NOT EXISTS usertable (id TEXT PRIMARY KEY, item BLOB);
        CREATE TABLE IF NOT EXISTS replaced (number INTEGER PRIMARY KEY, hour INTEGER, id TEXT, item BLOB);
        CREATE INDEX IF NOT EXISTS by_hour ON replaced (hour);
        CREATE TABLE IF NOT EXISTS clock (hour INTEGER);
        CREATE TRIGGER IF NOT EXISTS keep AFTER UPDATE ON usertable
        BEGIN INSERT INTO replaced (hour, id, item) SELECT hour, old.id, old.item FROM clock; END;
        """
    RESTORE = """
        WITH undone AS (SELECT id, item, min(number) FROM replaced WHERE hour > ? GROUP BY id)
        INSERT INTO {to} SELECT id, item FROM usertable WHERE id NOT IN (SELECT id FROM undone)
        UNION ALL SELECT id, item FROM undone
        """

    def hour(self, n):
        self.db.execute("DELETE FROM clock")
        self.db.execute("INSERT INTO clock VALUES (?)", (n,))

    def restore(self, n, to):
        self.db.execute("BEGIN IMMEDIATE")
        self.db.execute(f"CREATE TABLE {to} (id TEXT PRIMARY KEY, item BLOB)")
        self.db.execute(self.RESTORE.format(to=to), (n,))
        self.db.execute("COMMIT")

    def contents(self, to):
        return {key: unpackb(item) for key, item in self.db.execute(f"SELECT id, item FROM {to}")}  # noqa: S608 - a name of ours


EXPIRING = {"engines": EnginesExpiring, "lmdb + ormsgpack": LmdbExpiring, "sqlite": SqliteExpiring}
RETURNING = {"engines": EnginesReturning, "sqlite": SqliteReturning}
