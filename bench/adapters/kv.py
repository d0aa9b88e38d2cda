"""Key-value stores behind the same few verbs: dictionaries in, dictionaries out, as fast as each peer's manual allows.

    open(folder, grade)   durable as SYSTEMS[name].promises[grade] says
    load(entries)         the bulk path
    get(key)  put(entry)  one at a time, each put acknowledged in the grade
    put_many(entries)     one acknowledgement for all
    reading()             a context that yields the fastest get for a stretch without writes
    reopen()  close()  size()    size is bytes on disk, whole folder, after a clean close

A key and an entry are what the system takes best, made outside the clock by key(text) and entry(text, item): bytes for
those that store bytes. Encoding an item is part of putting it. Except for "lmdb", which is given ready-made bytes and
returns bytes: the floor under all of them. An adapter keeps no results. get and put are closures over bound methods,
so that no attribute is looked up on the way.
"""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from data import packed
from systems import POWER, PROCESS

with suppress(ImportError):  # each is optional: systems.py says what is missing, conftest.py skips it
    import lmdb
with suppress(ImportError):
    from ormsgpack import packb, unpackb
with suppress(ImportError):
    import rocksdict
with suppress(ImportError):
    import diskcache


def folder_size(folder: str | os.PathLike[str]) -> int:
    """Bytes on disk: blocks, not lengths, so holes count nothing."""
    return sum(path.stat().st_blocks * 512 for path in Path(folder).rglob("*") if path.is_file())


class Adapter:
    """What all have in common."""

    stored = staticmethod(lambda item: item)  # the item as get returns it
    raw = False  # True: get returns bytes

    def key(self, text):
        return text.encode()

    def entry(self, text, item):
        return self.key(text), item

    def open(self, folder, grade):
        self.folder, self.grade = folder, grade
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._open(str(folder), grade)

    @contextmanager
    def reading(self):
        yield self.get

    def reopen(self):
        self.close()
        self.open(self.folder, self.grade)

    def load(self, entries):
        self.put_many(entries)

    def size(self):
        return folder_size(self.folder)

    def syncs(self):
        """How often the disk was waited for since open; None where the system does not tell."""

    def replayed(self):
        """How many records opening had to apply; None where the system does not tell."""


class Engines(Adapter):
    options: Mapping[str, Any] = {"key": "id:S", "stream": True}  # of the table
    clock = None

    def key(self, text):
        return text

    def entry(self, text, item):  # noqa: ARG002 - the key is in the item
        return item

    def _open(self, folder, grade):
        from engines import kv  # noqa: PLC0415 - an engine that is not built must not end its peers' benches

        durability = {PROCESS: "interval", POWER: "commit"}[grade]
        self.store = kv.Store(f"{folder}/store", durability=durability, clock=self.clock)
        known = "usertable" in self.store.tables()
        self.table = self.store.table("usertable") if known else self.store.create_table("usertable", **self.options)
        self.get, self.put = self.table.get, self.table.put

    def put_many(self, entries):
        with self.table.batch_writer() as batch:
            for entry in entries:
                batch.put(entry)

    def syncs(self):
        return self.store.log.syncs

    def replayed(self):
        return self.store.tree.stats()["dirty_writes"]

    def close(self):
        self.store.close()


class EnginesNoStream(Engines):
    options: Mapping[str, Any] = {"key": "id:S"}


class LmdbBytes(Adapter):
    stored = staticmethod(packed)
    raw = True

    def entry(self, text, item):
        return self.key(text), packed(item)

    def _open(self, folder, grade):
        self.env = env = lmdb.open(folder, map_size=8 << 30, sync=grade == POWER)
        begin = env.begin

        def get(key):
            with begin() as txn:  # the binding keeps a spare transaction, so this is a renewal
                return txn.get(key)

        def put(entry):
            with begin(write=True) as txn:
                txn.put(*entry)

        self.get, self.put = get, put

    @contextmanager
    def reading(self):
        with self.env.begin() as txn:  # one snapshot for all gets: 0.4 us less a get
            yield txn.get

    def put_many(self, entries):
        with self.env.begin(write=True) as txn:
            for key, value in entries:
                txn.put(key, value)

    def close(self):
        self.env.close()


class Lmdb(LmdbBytes):
    stored, raw, entry = staticmethod(Adapter.stored), False, Adapter.entry

    def _open(self, folder, grade):
        super()._open(folder, grade)
        fetch, begin = self.get, self.env.begin

        def put(entry):
            key, item = entry
            with begin(write=True) as txn:
                txn.put(key, packb(item))

        self.get, self.put = lambda key: unpackb(fetch(key)), put

    @contextmanager
    def reading(self):
        with super().reading() as fetch:
            yield lambda key: unpackb(fetch(key))

    def put_many(self, entries):
        super().put_many((key, packb(item)) for key, item in entries)


class Rocks(Adapter):
    def _open(self, folder, grade):
        table, options = rocksdict.BlockBasedOptions(), rocksdict.Options(raw_mode=True)
        table.set_block_cache(rocksdict.Cache(256 << 20))  # all of the data: the default reads blocks again and again
        table.set_bloom_filter(10, block_based=False)
        options.set_block_based_table_factory(table)
        self.db = db = rocksdict.Rdict(folder, options)
        self.write = rocksdict.WriteOptions()
        self.write.sync = grade == POWER
        db.set_write_options(self.write)

        def put(entry):
            key, item = entry
            db[key] = packb(item)

        self.get, self.put = lambda key: unpackb(db[key]), put

    def put_many(self, entries):
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, item in entries:
            batch.put(key, packb(item))
        self.db.write(batch, self.write)

    def close(self):
        self.db.close()


class Sqlite(Adapter):
    SCHEMA = "CREATE TABLE IF NOT EXISTS usertable (id TEXT PRIMARY KEY, item BLOB)"
    SELECT = "SELECT item FROM usertable WHERE id = ?"
    UPSERT = "INSERT INTO usertable VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET item = excluded.item"

    def key(self, text):
        return text

    def _open(self, folder, grade):
        # measured with 1 KB items: WITHOUT ROWID 1.5 times slower to read, REPLACE 2 times slower than the upsert
        self.db = sqlite3.connect(f"{folder}/items.db", isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode=WAL", f"synchronous={'FULL' if grade == POWER else 'OFF'}"):
            self.db.execute(f"PRAGMA {setting}")
        for setting in ("mmap_size=1073741824", "cache_size=-262144"):
            self.db.execute(f"PRAGMA {setting}")
        self.db.executescript(self.SCHEMA)
        execute, select, upsert = self.db.execute, self.SELECT, self.UPSERT

        def put(entry):
            key, item = entry
            execute(upsert, (key, packb(item)))

        self.get, self.put = lambda key: unpackb(execute(select, (key,)).fetchone()[0]), put

    def put_many(self, entries):
        self.db.execute("BEGIN IMMEDIATE")
        self.db.executemany(self.UPSERT, ((key, packb(item)) for key, item in entries))
        self.db.execute("COMMIT")

    def close(self):
        self.db.close()


class DiskCache(Adapter):
    def key(self, text):
        return text

    def _open(self, folder, grade):
        self.db = db = diskcache.Cache(
            folder, eviction_policy="none", disk_min_file_size=1 << 20, sqlite_synchronous=2 if grade == POWER else 0
        )
        self.get, self.put = db.__getitem__, lambda entry: db.set(*entry)

    def put_many(self, entries):
        with self.db.transact():
            for key, item in entries:
                self.db.set(key, item)

    def close(self):
        self.db.close()


ADAPTERS = {
    "engines": Engines,
    "engines, no stream": EnginesNoStream,
    "lmdb": LmdbBytes,
    "lmdb + ormsgpack": Lmdb,
    "rocksdict": Rocks,
    "sqlite": Sqlite,
    "diskcache": DiskCache,
}
