"""The store against a plain model: writes, repeats, late rows, versions, checkpoints, ticks, crashes in any order."""

import random

from crash.recorder import RecordingFileSystem
from crash.states import stopped
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from models import timeseries as model
from timeseries.written import columns_of, held

from engines.clock import ManualClock
from engines.timeseries import RejectedRecords, TimeSeries

START = 1_800_000_000
SECOND = 10**9
HOSTS = ["a", "b", "c"]
doubles = st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf"), 2.25, 1e300])
whole = st.integers(-3, 3)
VALUES = {
    "usage": st.tuples(st.just("double"), doubles),
    "count": st.tuples(st.just("bigint"), whole),
    "state": st.tuples(st.just("varchar"), st.sampled_from(["", "up", "dówn"])),
    "on": st.tuples(st.just("boolean"), st.booleans()),
    "when": st.tuples(st.just("timestamp"), st.integers(0, 5)),
}
hosts = st.fixed_dictionaries({"host": st.sampled_from(HOSTS)}, optional={"region": st.sampled_from(["x", "y"])})
multi = st.fixed_dictionaries({}, optional=VALUES).filter(bool)
singles = st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.fixed_dictionaries({name: VALUES[name]}))
versions = st.sampled_from([1, 1, 1, 2, 5])
steps = st.integers(-12, 3)


class Machine(RuleBasedStateMachine):
    """One table of short retention, so that ticks move and delete tiles."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock(START * 10**6)
        self.files = RecordingFileSystem()
        self.rng = random.Random(0)
        self.model = model.Table(memory=model.HOUR, magnetic=2 * model.DAY)
        self.sent = []

    @initialize(writes=st.booleans())
    def create(self, writes):
        self.model.magnetic_writes = writes
        self.open()
        self.store.create_table("t", memory="1h", magnetic="2d", magnetic_writes=writes, tile="6h")

    def open(self):
        self.store = TimeSeries("/store", clock=self.clock, files=self.files)

    @property
    def table(self):
        return self.store.table("t")

    def now(self):
        return self.clock.now() * 1000

    def send(self, records):
        expected = self.model.write(self.now(), records)
        try:
            result = self.table.append(columns_of(records))
        except RejectedRecords as error:
            result = error.result
        refused = [(each.index, each.existing_version) for each in result.rejected]
        assert (result.memory, result.magnetic, result.unchanged, refused) == expected
        self.sent = [*self.sent, records][-8:]

    @rule(given=st.lists(st.tuples(hosts, multi, versions, steps, st.sampled_from(["t", "other"])), max_size=12))
    def write(self, given):
        self.send([(d, False, n, self.now() + s * 300 * SECOND, v, values) for d, values, v, s, n in given])

    @rule(given=st.lists(st.tuples(hosts, singles, versions, steps), max_size=12))
    def write_singles(self, given):
        now = self.now()
        self.send([(d, True, next(iter(one)), now + s * 300 * SECOND, v, one) for d, one, v, s in given])

    @rule(count=st.integers(1, 40), late=st.booleans(), step=st.integers(1, 3))
    def write_many(self, count, late, step):
        """A run of regular rows: in order, or into the past."""
        start = self.now() - (count * step * 60 * SECOND) - (20 * 3600 * SECOND if late else 0)
        self.send(
            [
                (
                    {"host": host},
                    False,
                    "t",
                    start + at * step * 60 * SECOND,
                    1,
                    {"usage": ("double", at / 4), "n": ("bigint", at)},
                )
                for at in range(count)
                for host in HOSTS
            ]
        )

    @rule(pick=st.integers(0, 7))
    def resend(self, pick):
        if self.sent:
            self.send(self.sent[pick % len(self.sent)])

    @rule(hours=st.sampled_from([0.01, 0.2, 1, 7, 30]))
    def advance(self, hours):
        self.clock.advance(hours=hours)

    @rule()
    def checkpoint(self):
        self.store.checkpoint()

    @rule()
    def tick(self):
        self.store.tick()

    @rule(killed=st.booleans())
    def crash(self, killed):
        image = stopped(self.files, self.rng, killed=killed, first=20)
        self.store.close()
        self.files.close_all()
        self.files = RecordingFileSystem(image)
        self.open()

    @rule()
    def reopen(self):
        self.store.close()
        self.open()

    @invariant()
    def same(self):
        if hasattr(self, "store"):
            assert held(self.table) == self.model.rows(self.now())

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
        self.files.close_all()


class TestMachine(Machine.TestCase):
    settings = settings(max_examples=25, stateful_step_count=30)
