"""The ledger against a plain model: any sequence of transactions, redactions, checkpoints, rebuilds, crashes.

All that was promised on the way is kept: digests stay on the chain, proofs hold whatever is redacted or lost later.
"""

import random

import pytest
from crash.recorder import RecordingFileSystem
from crash.states import stopped
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from models import ledger as model

from engines import ledger
from engines.clock import ManualClock
from engines.errors import Conflict, Invalid, NotFound

START = 1_700_000_000 * 1_000_000
TABLES = ["A", "B"]
others = st.sampled_from(["", "x", "é\0", 0.5, [1, "a"], {"k": 1}])
values = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), others)
deep = st.fixed_dictionaries({"x": values})
documents = st.fixed_dictionaries({"n": st.integers(0, 4)}, optional={"v": values, "deep": deep})
tables = st.sampled_from(TABLES)
picks = st.integers(0, 1_000)


class Machine(RuleBasedStateMachine):
    """Documents of two tables; A has two indexes, B gets one and loses it."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock(START)
        self.files = RecordingFileSystem()
        self.rng = random.Random(0)  # noqa: S311 - the same crashes in each run
        self.model = model.Ledger()
        self.digests, self.proofs = [], []
        self.indexed = False

    @initialize()
    def create(self):
        self.book = ledger.Ledger("/book", clock=self.clock, files=self.files)
        self.book.create_table("A", indexes=["n", "deep.x"])
        self.book.create_table("B")
        self.model.tables = {name: {} for name in TABLES}

    def pick(self, table, pick):
        """A document that is or was there, or one that never was."""
        known = sorted(self.model.tables[table])
        return known[pick % len(known)] if known and pick % 11 else "0" * 22

    @rule(table=tables, given=st.lists(documents, max_size=3))
    def insert(self, table, given):
        with self.book.transaction() as tx:
            ids = [tx.insert(table, document) for document in given]
            assert [tx.get(table, identity) for identity in ids] == given
        for identity, document in zip(ids, given, strict=True):
            self.model.put(table, identity, document)

    @rule(table=tables, given=st.lists(documents, max_size=4))
    def append(self, table, given):
        appended = self.book.append(table, given)
        assert appended.count == len(given) == len(appended.ids)
        for identity, document in zip(appended.ids, given, strict=True):
            self.model.put(table, identity, document)

    @rule(table=tables, pick=picks, document=documents, deletes=st.booleans(), twice=st.booleans())
    def change(self, table, pick, document, deletes, twice):
        identity = self.pick(table, pick)
        new = None if deletes else document
        if self.model.get(table, identity) is None:
            with pytest.raises(NotFound), self.book.transaction() as tx:
                tx.update(table, identity, document)
            return
        with self.book.transaction() as tx:
            if twice:  # only the last state counts
                tx.update(table, identity, {"n": 99})
            if deletes:
                tx.delete(table, identity)
            else:
                tx.update(table, identity, document)
            assert tx.get(table, identity) == new
        self.model.put(table, identity, new)

    @rule(number=st.integers(0, 4), value=values)
    def update_by_statement(self, number, value):
        wanted = {identity for identity, document in self.model.current("A").items() if document["n"] == number}
        done = self.book.execute("UPDATE A AS a SET a.v = ? WHERE a.n = ?", value, number)
        assert {row["documentId"] for row in done} == wanted
        for identity in wanted:
            self.model.put("A", identity, self.model.get("A", identity) | {"v": value})

    @rule(table=tables, first=documents, second=documents, pick=picks)
    def two_at_once(self, table, first, second, pick):
        """Who comes second is refused, unless it read nothing of what the first has changed."""
        identity = self.pick(table, pick)
        if self.model.get(table, identity) is None:
            return
        early, late = self.book.transaction(), self.book.transaction()
        late.update(table, identity, second)
        early.update(table, identity, first)
        early.commit()
        with pytest.raises(Conflict):
            late.commit()
        self.model.put(table, identity, first)

    @rule(table=tables, document=documents)
    def abort(self, table, document):
        with pytest.raises(ZeroDivisionError), self.book.transaction() as tx:  # noqa: PT012 - leaves by an exception
            tx.insert(table, document)
            raise ZeroDivisionError

    @rule(table=tables, pick=picks)
    def redact(self, table, pick):
        if found := self.model.redactable(table):
            identity, version = found[pick % len(found)]
            block = self.book.redact(table, identity, version)
            assert self.book.redact(table, identity, version) == block
            self.model.redact(table, identity, version)

    @rule(table=tables, pick=picks)
    def what_is_current_cannot_be_redacted(self, table, pick):
        identity = self.pick(table, pick)
        revisions = self.model.tables[table].get(identity)
        with pytest.raises(Invalid if revisions else NotFound):
            self.book.redact(table, identity, len(revisions or [0]) - 1)

    @rule()
    def index_b(self):
        if self.indexed:
            self.book.drop_index("B", "n")
        else:
            self.book.create_index("B", "n")
        self.indexed = not self.indexed

    @rule()
    def keep_a_digest(self):
        self.digests.append(self.book.digest())

    @rule(table=tables, pick=picks, which=picks)
    def keep_a_proof(self, table, pick, which):
        identity = self.pick(table, pick)
        revisions = self.model.tables[table].get(identity)
        if revisions:
            digest = self.book.digest()
            proof = self.book.prove(table, identity, which % len(revisions), digest)
            assert ledger.verify_proof(proof, digest)
            assert ledger.verify_proof(proof.to_json(), digest.to_json())
            self.proofs.append((proof, digest))
            self.digests.append(digest)

    @rule(seconds=st.integers(0, 100))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def checkpoint(self):
        self.book.checkpoint()

    @rule()
    def reopen(self):
        self.book.close()
        self.book = ledger.Ledger("/book", clock=self.clock, files=self.files)

    @rule()
    def rebuild(self):
        self.book.rebuild()

    @rule(killed=st.booleans())
    def crash_and_recover(self, killed):
        """A process that is killed leaves what the kernel has, a power loss one of many disks."""
        image = stopped(self.files, self.rng, killed=killed, first=20)
        self.book.close()
        self.files.close_all()
        self.files = RecordingFileSystem(image)
        self.book = ledger.Ledger("/book", clock=self.clock, files=self.files)
        self.agree()

    @rule()
    def agree(self):
        for table in TABLES:
            current = self.model.current(table)
            found = list(self.book.execute(f"SELECT d, id FROM {table} AS d BY id"))  # noqa: S608 - our own names
            assert {row["id"]: row["d"] for row in found} == current
            for number in range(5):
                sql = f"SELECT VALUE id FROM {table} AS d BY id WHERE d.n = ?"  # noqa: S608 - our own names
                found = self.book.execute(sql, number)
                assert sorted(found) == sorted(i for i, d in current.items() if d["n"] == number)
            rows = list(self.book.history(table))
            keys = [(row["metadata"]["id"], row["metadata"]["version"]) for row in rows]
            assert keys == sorted(keys)
            wanted = [
                (identity, version, revision)
                for identity, revisions in sorted(self.model.tables[table].items())
                for version, revision in enumerate(revisions)
            ]
            datas = ["redacted" if "dataHash" in row else row.get("data") for row in rows]
            assert [(*key, data) for key, data in zip(keys, datas, strict=True)] == wanted

    @rule()
    def verify(self):
        report = self.book.verify(against=self.digests[-1] if self.digests else None)
        assert report.ok, report
        latest = self.book.digest()
        for digest in self.digests:
            if digest.size:
                assert ledger.verify_consistency(self.book.prove_consistency(digest, latest), digest, latest)
        assert all(ledger.verify_proof(proof, digest) for proof, digest in self.proofs)

    def teardown(self):
        self.agree()
        self.verify()
        self.book.close()
        self.files.close_all()


Machine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestMachine = Machine.TestCase
TestMachine.pytestmark = [pytest.mark.slow]
