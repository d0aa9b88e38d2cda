"""The ground floor beside what else one would stand on: an append-only log, and a tree of bytes.

Appenders      open(folder)  append(payload): on disk when it returns; any thread  payloads()  syncs()  close()
Trees          open(folder, grade)  load(entries)  get(key)  put((key, value)), acknowledged in the grade
               reading()  reopen()  close()  size()     bytes in, bytes out
"""

import os
import sqlite3
import threading
from contextlib import contextmanager, suppress

from adapters.kv import Adapter, LmdbBytes
from data import packed
from systems import MEMORY, POWER, PROCESS

with suppress(ImportError):
    import lmdb


class Appender:
    def open(self, folder):
        folder.mkdir(parents=True)
        self._open(folder)

    def syncs(self):
        """Syncs so far; None where every append waits for its own."""


class LogAppender(Appender):
    def _open(self, folder):
        from engines.storage.log import Log  # noqa: PLC0415 - a floor that is not built must not end its peers' benches

        self.log = Log(f"{folder}/log")
        take, sync = self.log.append, self.log.sync
        self.append = lambda payload: sync(take(payload))

    def payloads(self):
        return (bytes(frame.payload) for frame in self.log.read())

    def syncs(self):
        return self.log.syncs

    def close(self):
        self.log.close()


class LmdbAppender(Appender):
    """A synchronous commit an append, keys in ascending order: append=True packs the pages."""

    def _open(self, folder):
        self.env = env = lmdb.open(str(folder), map_size=1 << 30)
        self.count = 0
        begin = env.begin

        def append(payload):
            with begin(write=True) as txn:  # one writer at a time, so the count needs no lock of its own
                self.count += 1
                txn.put(self.count.to_bytes(8), payload, append=True)

        self.append = append

    def payloads(self):
        with self.env.begin() as txn:
            yield from txn.cursor().iternext(keys=False)

    def close(self):
        self.env.close()


class SqliteAppender(Appender):
    def _open(self, folder):
        self.db = db = sqlite3.connect(f"{folder}/log.db", isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE log (sequence INTEGER PRIMARY KEY, payload BLOB)")
        execute = db.execute
        self.append = lambda payload: execute("INSERT INTO log (payload) VALUES (?)", (payload,))

    def payloads(self):
        return (payload for (payload,) in self.db.execute("SELECT payload FROM log"))

    def close(self):
        self.db.close()


class FileAppender(Appender):
    """What the disk alone takes: write and fdatasync on a growing file, no checksum, nothing to recover with."""

    def _open(self, folder):
        self.path = folder / "raw"
        self.fd = fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        lock, write, sync = threading.Lock(), os.write, os.fdatasync

        def append(payload):
            with lock:
                write(fd, payload)
                sync(fd)
            self.size = len(payload)

        self.append = append

    def payloads(self):
        data = self.path.read_bytes()
        return (data[at : at + self.size] for at in range(0, len(data), self.size))

    def close(self):
        os.close(self.fd)


APPENDERS = {"engines": LogAppender, "lmdb": LmdbAppender, "sqlite": SqliteAppender, "file": FileAppender}


KEY = 12  # bytes in a key of the benches: a frame is key and value, one after the other


class LogAndTree(Adapter):
    """A put as an engine does it: append to the Log, change the Tree, and acknowledge, outside the lock."""

    raw, stored, entry = True, staticmethod(packed), LmdbBytes.entry

    def _open(self, folder, grade):
        from engines.storage.log import Log  # noqa: PLC0415 - a floor that is not built must not end its peers' benches
        from engines.storage.tree import Tree  # noqa: PLC0415 - same

        self.tree = tree = Tree(f"{folder}/tree")
        durability = {MEMORY: "checkpoint", PROCESS: "interval", POWER: "commit"}[grade]
        self.log = log = Log(f"{folder}/log", recovered_to=tree.applied, durability=durability)
        items, lock = tree.keyspace("items"), tree.lock
        take, note, acknowledge, fetch, change = log.append, tree.note, log.acknowledge, items.get, items.put

        def get(key):
            with lock:
                return fetch(key)

        def put(entry):
            key, value = entry
            with lock:
                sequence = take(key + value)
                change(key, value)
                due = note(sequence, KEY + len(value))
            acknowledge(sequence)
            if due:
                tree.checkpoint()

        def apply(frame):
            change(bytes(frame.payload[:KEY]), frame.payload[KEY:])

        tree.recover(log, apply)
        self.get, self.put = get, put

    def put_many(self, entries):
        take, note, change = self.log.append, self.tree.note, self.tree.keyspace("items").put
        with self.tree.lock:
            for key, value in entries:
                sequence = take(key + value)
                change(key, value)
                note(sequence, KEY + len(value))
        self.log.acknowledge(sequence)

    def syncs(self):
        return self.log.syncs

    def replayed(self):
        return self.tree.stats()["dirty_writes"]

    def close(self):
        self.tree.close()
        self.log.close()


class LmdbTransaction(LmdbBytes):
    """LMDB without a promise: all puts and gets in one transaction, committed in the end."""

    def _open(self, folder, grade):
        super()._open(folder, grade)
        self.txn = self.env.begin(write=True)
        change = self.txn.put
        self.get, self.put = self.txn.get, lambda entry: change(*entry)

    @contextmanager
    def reading(self):
        yield self.get

    def put_many(self, entries):
        for entry in entries:
            self.put(entry)

    def close(self):
        self.txn.commit()
        self.env.close()


ADAPTERS = {"engines": LogAndTree, "lmdb": LmdbBytes}
IN_MEMORY = {"engines": LogAndTree, "lmdb": LmdbTransaction}
