"""The storage against a plain model: any sequence of loads, deletes, VACUUM, snapshots, rollbacks, crashes."""

import random

import pytest
from crash.recorder import RecordingFileSystem
from crash.states import stopped
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from models.warehouse import Warehouse, shown
from warehouse.columns import batch, definitions, rows_of

from engines.clock import ManualClock
from engines.sql.source import Predicate
from engines.sql.types import DATE, INTEGER, VARCHAR, decimal
from engines.warehouse import snapshot
from engines.warehouse.storage import Storage

START = 1_700_000_000 * 1_000_000
COLUMNS = definitions(n=INTEGER, text=VARCHAR, price=decimal(30, 2), day=DATE)
SHAPES = {
    "plain": {},
    "sorted": {"sort": ["n"]},
    "keyed": {"style": "key", "key": "n", "sort": ["text", "n"]},
    "everywhere": {"style": "all"},
}
NAMES = ["A", "B", "C"]
names = st.sampled_from(NAMES)
numbers = st.integers(-20, 60)
rows = st.tuples(
    numbers,
    st.sampled_from([b"", b"x", b"north", b"a longer text than a zone map holds"]),
    st.one_of(st.integers(-5, 5), st.just(10**25)),
    st.integers(-700_000, 20_000),
)


class Machine(RuleBasedStateMachine):
    """Three tables of random shapes; every change in a transaction that may have been open for a while."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock(START)
        self.files = RecordingFileSystem()
        self.rng = random.Random(0)
        self.model = Warehouse()
        self.open = None
        self.readers = []

    @initialize(buffer=st.sampled_from([0, 500, 8 << 20]), cache=st.sampled_from([0, 3000, 1 << 20]))
    def create(self, buffer, cache):
        self.options = {"buffer": buffer, "cache": cache, "threads": 1}
        self.start()

    def start(self):
        self.storage = Storage("/house", clock=self.clock, files=self.files, **self.options)

    def transaction(self):
        """The one that is open, or one for a single change."""
        if self.open is not None:
            return Borrowed(self.open)
        return self.storage.begin()

    @rule(name=names, shape=st.sampled_from(sorted(SHAPES)))
    def create_table(self, name, shape):
        with self.transaction() as transaction:
            if name in self.model.tables:
                transaction.drop_table(name)
                self.model.drop(name)
            transaction.create_table(name, COLUMNS, **SHAPES[shape])
        self.model.create(name)

    def some(self, name):
        return name if name in self.model.tables else next(iter(self.model.tables), None)

    @precondition(lambda self: self.model.tables)
    @rule(name=names, loads=st.lists(st.lists(rows, min_size=1, max_size=30), max_size=3), coded=st.booleans())
    def append(self, name, loads, coded):
        name = self.some(name)
        with self.transaction() as transaction:
            given = [batch(COLUMNS, load, coded=coded) for load in loads]
            assert transaction.append(name, given) == sum(map(len, loads))
        for load in loads:
            self.model.append(name, load)

    @precondition(lambda self: self.model.tables)
    @rule(name=names, low=numbers, width=st.integers(0, 30))
    def delete(self, name, low, width):
        name = self.some(name)
        with self.transaction() as transaction:
            asked = [Predicate("n", ">=", low), Predicate("n", "<=", low + width)]
            doomed = rows_of(transaction.table(name).numbered(), "$row", predicates=asked)
            gone = transaction.delete(name, [row for (row,) in doomed])
        assert gone == self.model.delete(name, lambda row: low <= row[0] <= low + width)

    @precondition(lambda self: self.model.tables)
    @rule(name=names, number=numbers)
    def update(self, name, number):
        name = self.some(name)
        with self.transaction() as transaction:
            asked = [Predicate("n", "=", number)]
            found = rows_of(transaction.table(name).numbered(), predicates=asked)
            if found:
                new = [(n, b"new", price, day) for n, _, price, day, _ in found]
                transaction.replace(name, [row[-1] for row in found], [batch(COLUMNS, new)])
        self.model.update(name, lambda row: row[0] == number, lambda row: (row[0], b"new", *row[2:]))

    @precondition(lambda self: self.model.tables)
    @rule(name=names)
    def truncate(self, name):
        name = self.some(name)
        with self.transaction() as transaction:
            transaction.truncate(name)
        self.model.truncate(name)

    @precondition(lambda self: self.model.tables)
    @rule(name=names, mode=st.sampled_from(["full", "sort only", "delete only"]), threshold=st.floats(0, 1))
    def vacuum(self, name, mode, threshold):
        with self.transaction() as transaction:
            transaction.vacuum(self.some(name), mode, threshold=threshold)

    @precondition(lambda self: self.model.tables)
    @rule(name=names)
    def analyze(self, name):
        with self.transaction() as transaction:
            transaction.analyze(self.some(name))

    @precondition(lambda self: self.open is None)
    @rule()
    def begin(self):
        self.open = self.storage.begin()
        self.model.begin()

    @precondition(lambda self: self.open is not None)
    @rule(keep=st.booleans())
    def end(self, keep):
        if keep:
            self.open.commit()
            self.model.commit()
        else:
            self.open.rollback()
            self.model.rollback()
        self.open = None

    @precondition(lambda self: self.open is None)
    @rule(name=st.sampled_from(["one", "two"]))
    def take_snapshot(self, name):
        if name in self.model.snapshots:
            snapshot.drop(self.storage, name)
        snapshot.take(self.storage, name)
        self.model.snapshot(name)

    @precondition(lambda self: self.open is None and any(self.model.snapshots.values()))
    @rule(pick=st.integers(0, 9), to=names)
    def restore_table(self, pick, to):
        found = [(name, table) for name, tables in sorted(self.model.snapshots.items()) for table in sorted(tables)]
        name, table = found[pick % len(found)]
        if to in self.model.tables:
            with self.storage.begin() as transaction:
                transaction.drop_table(to)
        snapshot.restore_table(self.storage, name, table, to)
        self.model.restore_table(name, table, to)

    @precondition(lambda self: self.model.tables)
    @rule()
    def keep_a_reader(self):
        """Of what is committed: it will see the same whatever comes."""
        view = self.storage.view()
        self.readers = [*self.readers[-2:], (view, held(view))]

    @precondition(lambda self: self.open is None)
    @rule()
    def collect(self):
        self.storage.collect(grace=0)

    @precondition(lambda self: self.open is None)
    @rule()
    def reopen(self):
        self.readers = []
        self.storage.close()
        self.start()

    @rule(killed=st.booleans())
    def crash_and_recover(self, killed):
        """A process that is killed leaves what the kernel has, a power loss one of many disks."""
        image = stopped(self.files, self.rng, killed=killed, first=20)
        if self.open is not None:
            self.open.rollback()
            self.model.rollback()
            self.open = None
        self.readers = []
        self.storage.close()
        self.files.close_all()
        self.files = RecordingFileSystem(image)
        self.start()

    @invariant()
    def agree(self):
        if not hasattr(self, "storage"):
            return
        tables, kept = self.model.state()
        source = self.open or self.storage
        assert {name: sorted(rows_of(source.table(name))) for name in source.tables()} == tables
        if self.open is None:
            listed = snapshot.listed(self.storage)
            assert {one.name: held(self.storage.at(one.root)) for one in listed} == kept
        for view, found in self.readers:
            assert held(view) == found

    @precondition(lambda self: self.open is None)
    @rule()
    def verify(self):
        report = self.storage.verify()
        assert report.ok, report

    def teardown(self):
        if hasattr(self, "storage"):
            if self.open is not None:
                self.open.rollback()
            assert self.storage.verify().ok
            self.storage.close()
        self.files.close_all()


class Borrowed:
    """A transaction that goes on after the block."""

    def __init__(self, transaction):
        self.transaction = transaction

    def __enter__(self):
        return self.transaction

    def __exit__(self, *_):
        pass


def held(view):
    return shown({name: rows_of(view.table(name)) for name in view.root.tables})


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestMachine = Machine.TestCase
TestMachine.pytestmark = [pytest.mark.slow]
