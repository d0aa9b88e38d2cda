"""Books: documents that cannot be changed unseen. Ours, a Merkle tree on SQLite, and chains of hashes.

Books    open(folder)   append(documents): all on disk when it returns   insert(document): one, on disk; any thread
         count()  verify(): read and hash all of it again                close()
Trees    extend(entries)  root()  prove(i)  verify(proof)  consistency(m)     hashes only, in memory
"""

import hashlib
import json
import sqlite3
import threading
from contextlib import suppress

with suppress(ImportError):
    import pymerkle

PREVIOUS = bytes(32)


def dumped(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Ours:
    def open(self, folder):
        from engines.ledger import Ledger  # noqa: PLC0415 - an engine that is not built must not end its peers' benches

        if folder is not None:
            folder.parent.mkdir(parents=True, exist_ok=True)
        self.book = Ledger(folder)
        self.book.create_table("Vehicle")

    def append(self, documents):
        self.book.append("Vehicle", documents)

    def insert(self, document):
        with self.book.transaction() as tx:
            tx.insert("Vehicle", document)

    def insert_many(self, documents):
        with self.book.transaction() as tx:
            for document in documents:
                tx.insert("Vehicle", document)

    def count(self):
        return self.book.execute("SELECT VALUE COUNT(*) FROM Vehicle")[0]

    def verify(self):
        report = self.book.verify()
        assert report.ok, report
        return report.documents

    def syncs(self):
        return self.book.log.syncs

    def close(self):
        self.book.close()


class SqliteChain:
    """A row for each document with SHA-256(hash before | document): the usual way to make a table tamper-evident."""

    together = 1000  # documents a transaction in bulk

    def open(self, folder):
        folder.mkdir(parents=True)
        self.connection = sqlite3.connect(folder / "book.db", check_same_thread=False, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute("CREATE TABLE book (id INTEGER PRIMARY KEY, document BLOB, hash BLOB)")
        self.lock = threading.Lock()
        self.last = PREVIOUS

    def _rows(self, documents):
        for document in documents:
            data = dumped(document)
            self.last = hashlib.sha256(self.last + data).digest()
            yield data, self.last

    def append(self, documents):
        for start in range(0, len(documents), self.together):
            self.insert_many(documents[start : start + self.together])

    def insert_many(self, documents):
        with self.lock:
            self.connection.execute("BEGIN")
            rows = self._rows(documents)
            self.connection.executemany("INSERT INTO book (document, hash) VALUES (?, ?)", rows)
            self.connection.execute("COMMIT")

    def insert(self, document):
        self.insert_many([document])

    def count(self):
        return self.connection.execute("SELECT COUNT(*) FROM book").fetchone()[0]

    def verify(self):
        last, count = PREVIOUS, 0
        for data, found in self.connection.execute("SELECT document, hash FROM book ORDER BY id"):
            last = hashlib.sha256(last + data).digest()
            assert last == found
            count += 1
        return count

    def syncs(self):
        return None

    def close(self):
        self.connection.close()


class PymerkleSqlite:
    """One transaction a lap; its own settings, so a rollback journal and synchronous=FULL."""

    def open(self, folder):
        folder.mkdir(parents=True)
        self.tree = pymerkle.SqliteTree(str(folder / "book.db"))

    def append(self, documents):
        self.tree.append_entries(map(dumped, documents))

    def insert(self, document):
        self.tree.append_entry(dumped(document))

    def count(self):
        return self.tree.get_size()

    def close(self):
        self.tree.close()


class TextbookChain:
    """Blocks in a list, each with the hash of the one before: what tutorials call a blockchain. Nothing is stored."""

    def open(self, _):
        self.blocks, self.last = [], "0" * 64

    def append(self, documents):
        for document in documents:
            block = json.dumps({"index": len(self.blocks), "previous": self.last, "data": document}, sort_keys=True)
            self.last = hashlib.sha256(block.encode()).hexdigest()
            self.blocks.append(block)

    def count(self):
        return len(self.blocks)

    def close(self):
        self.blocks = []


class OursInMemory(Ours):
    def open(self, _):
        super().open(None)


BOOKS = {"engines": Ours, "sqlite chain": SqliteChain, "pymerkle, sqlite": PymerkleSqlite}
COMMITTERS = {"engines": Ours, "sqlite chain": SqliteChain}
IN_MEMORY = {"engines": OursInMemory, "textbook chain": TextbookChain}


# -- trees ------------------------------------------------------------------------------------------------------------


class OurTree:
    def __init__(self):
        from engines.ledger import merkle  # noqa: PLC0415 - as above

        self.module, self.tree = merkle, merkle.MerkleLog()
        self.extend, self.root = self.tree.extend, self.tree.root

    def prove(self, index):
        return index, self.tree.leaf(index), self.tree.prove(index)

    def verify(self, proof):
        index, leaf, path = proof
        return self.module.verify_inclusion(leaf, index, len(self.tree), path, self.tree.root())

    def consistency(self, size):
        return self.tree.prove_consistency(size)

    def close(self):
        self.tree.close()


class HashlibTree:
    """RFC 6962 level by level, with the standard library."""

    def __init__(self):
        self.entries = []

    def extend(self, entries):
        self.entries += entries

    def root(self):
        sha256 = hashlib.sha256
        level = [sha256(b"\0" + entry).digest() for entry in self.entries]
        while len(level) > 1:
            above = [sha256(b"\1" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
            level = above + level[len(above) * 2 :]
        return level[0]

    def close(self):
        self.entries = []


class PymerkleTree:
    def __init__(self, tree=None):
        self.tree = tree or pymerkle.InmemoryTree()

    def extend(self, entries):
        self.tree.append_entries(entries)

    def root(self):
        return self.tree.get_root()

    def prove(self, index):
        return self.tree.get_leaf(index + 1), self.tree.prove_inclusion(index + 1)

    def verify(self, proof):
        leaf, path = proof
        pymerkle.verify_inclusion(leaf, self.tree.get_root(), path)
        return True

    def consistency(self, size):
        return self.tree.prove_consistency(size)

    def close(self):
        pass


TREES = {"engines": OurTree, "hashlib tree": HashlibTree, "pymerkle": PymerkleTree}


class OurProver(Ours):
    """A ledger's own proofs: found by id, with entry, salt and document."""

    def fill(self, folder, documents):
        from engines import ledger  # noqa: PLC0415 - as above

        self.open(folder)
        self.verify_proof = ledger.verify_proof
        self.ids = list(self.book.append("Vehicle", documents).ids)
        self.digest = self.book.digest()
        self.early = self.book.digest()
        self.book.append("Vehicle", documents[:1000])
        self.late = self.book.digest()

    def prove(self, index):
        return self.book.prove("Vehicle", self.ids[index], digest=self.digest)

    def check(self, proof):
        return bool(self.verify_proof(proof, self.digest))

    def consistency(self):
        return self.book.prove_consistency(self.early, self.late)


class PymerkleProver(PymerkleSqlite):
    def fill(self, folder, documents):
        self.open(folder)
        self.append(documents)
        self.size = self.tree.get_size()
        self.state = self.tree.get_root()
        self.tree.append_entries(map(dumped, documents[:1000]))

    def prove(self, index):
        return self.tree.get_leaf(index + 1), self.tree.prove_inclusion(index + 1, self.size)

    def check(self, proof):
        leaf, path = proof
        pymerkle.verify_inclusion(leaf, self.state, path)
        return True

    def consistency(self):
        return self.tree.prove_consistency(self.size)


PROVERS = {"engines": OurProver, "pymerkle, sqlite": PymerkleProver}
