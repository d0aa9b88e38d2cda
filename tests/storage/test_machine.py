"""Log and Tree against a plain model, in any order of operations, with crash and recover as one of them."""

import json
import random

from crash.recorder import RecordingFileSystem
from crash.states import crash_states
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from models.ground import Ground

from engines.clock import ManualClock
from engines.storage.files import make_folder
from engines.storage.log import Log
from engines.storage.tree import Tree

NAMES = st.sampled_from("abc")
KEYS = st.sampled_from([b"k%02d" % i for i in range(12)] + [b"\x00", b"\xff\xff"])
VALUES = st.none() | st.binary(max_size=4) | st.integers(1, 3000).map(lambda size: b"v" * size)
CHANGES = st.tuples(NAMES, KEYS, VALUES) | st.tuples(NAMES)
BOUNDS = st.none() | KEYS


def encode(changes):
    return json.dumps(
        [[name, *(part if part is None else part.hex() for part in entry)] for name, *entry in changes]
    ).encode()


def decode(payload):
    return [
        (name, *(part if part is None else bytes.fromhex(part) for part in entry))
        for name, *entry in json.loads(bytes(payload))
    ]


class GroundMachine(RuleBasedStateMachine):
    """Small segments and a small map: rolls and growth happen all the time."""

    def __init__(self):
        super().__init__()
        self.files = RecordingFileSystem()
        self.clock = ManualClock(1_000)
        self.model = Ground()
        self.view = None

    @initialize()
    def begin(self):
        make_folder(self.files, "/store")
        self.open()

    def open(self):
        self.tree = Tree("/store/tree", files=self.files, map_size=1 << 18)
        self.log = Log("/store/log", files=self.files, clock=self.clock, segment=8192, recovered_to=self.tree.applied)
        assert self.log.damage is None
        with self.tree.lock:
            self.tree.recover(self.log, lambda frame: self.apply(decode(frame.payload)))

    def apply(self, changes):
        for name, *entry in changes:
            if not entry:
                self.tree.drop(name)
            elif entry[1] is None:
                self.tree.keyspace(name).delete(entry[0])
            else:
                self.tree.keyspace(name).put(*entry)

    def state(self, source):
        return {name: dict(source.keyspace(name).range()) for name in source_names(source)}

    # -- writing

    @rule(changes=st.lists(CHANGES, min_size=1, max_size=6), acknowledge=st.booleans())
    def write(self, changes, acknowledge):
        payload = encode(changes)
        with self.tree.lock:
            sequence = self.log.append(payload)
            assert sequence == self.model.write(self.clock.now(), decode(payload))
            self.apply(decode(payload))
            self.tree.note(sequence, len(payload))
        if acknowledge:
            self.log.acknowledge(sequence)
            self.model.sync()

    @rule()
    def hand_to_the_kernel(self):
        assert self.log.write() == self.model.last
        self.model.written = self.model.last

    @rule()
    def checkpoint(self):
        reached = self.tree.checkpoint()
        self.model.sync()
        self.model.note(self.clock.now())
        self.model.checkpointed = reached
        assert reached == self.tree.applied

    @rule(back=st.integers(0, 20))
    def trim(self, back):
        """As engines do: never what the tree would need."""
        before = max(1, min(self.model.checkpointed + 1, self.model.last - back))
        first = self.log.first
        assert self.log.trim(before) <= max(first, before)

    @rule()
    def rebuild(self):
        with self.tree.lock:
            self.tree.rebuild(grow=False)
        self.model.written = self.model.last

    @rule(seconds=st.integers(0, 5))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    # -- reading

    @rule(name=NAMES, low=BOUNDS, high=BOUNDS, reverse=st.booleans(), limit=st.none() | st.integers(0, 5))
    def look(self, name, low, high, reverse, limit):
        entries = self.model.state().get(name)
        if entries is None:
            return
        keys = sorted(
            (key for key in entries if (low is None or key >= low) and (high is None or key < high)), reverse=reverse
        )
        found = list(self.tree.keyspace(name).range(low, high, reverse=reverse, limit=limit))
        assert found == [(key, entries[key]) for key in keys[:limit]]

    @rule(skip=st.integers(0, 10), durable=st.booleans())
    def read_the_log(self, skip, durable):
        after = self.log.first - 1 + skip
        found = [(frame.sequence, frame.time, decode(frame.payload)) for frame in self.log.read(after, durable=durable)]
        if not durable:
            self.model.written = self.model.last
        upto = self.model.durable if durable else self.model.last
        assert found == [
            (sequence, time, changes)
            for sequence, (time, changes) in self.model.frames.items()
            if after < sequence <= upto
        ]

    @precondition(lambda self: self.view is None)
    @rule()
    def take_a_snapshot(self):
        self.view = self.tree.snapshot()
        self.viewed = self.model.state(self.model.checkpointed)

    @precondition(lambda self: self.view is not None)
    @rule(close=st.booleans())
    def look_at_the_snapshot(self, close):
        assert {name: dict(self.view.keyspace(name).range()) for name in self.viewed} == self.viewed
        if close:
            self.view.close()
            self.view = None

    @rule()
    def verify(self):
        assert self.log.verify().ok
        assert self.tree.verify().ok
        self.model.sync()

    # -- ends and beginnings

    @rule()
    def reopen(self):
        self.let_go()
        self.model.crash(self.log.last)  # its notes, not more
        self.model.checkpointed = self.tree.applied
        self.open()

    def let_go(self):
        self.view = None
        self.tree.close()
        self.log.close()
        self.model.last = self.log.last
        self.model.sync()

    @rule(seed=st.integers(0, 1 << 16), kill=st.booleans())
    def crash_and_recover(self, seed, kill):
        """A power loss leaves any of many disks; a mere kill leaves what the kernel has."""
        rng = random.Random(seed)  # noqa: S311 - hypothesis draws the seed
        images = [self.files.image()]
        if not kill:
            images = list(crash_states(self.files.journal, len(self.files.journal), rng, 8))
        least = self.model.written if kill else self.model.durable
        self.view = None
        self.tree.close(checkpoint=False)
        self.log.refuse(RuntimeError("the machine is off"))
        self.log.close()
        self.files.close_all()
        self.files = RecordingFileSystem(rng.choice(images))
        self.open()
        assert least <= self.log.last <= self.model.last
        self.model.crash(self.log.last)
        self.model.checkpointed = self.tree.stats()["checkpointed"]

    @invariant()
    def the_present_is_what_the_model_says(self):
        if not hasattr(self, "log"):
            return
        assert (self.log.last, self.log.durable) == (self.model.last, self.model.durable)
        expected = self.model.state()
        names = [name for name in self.tree.keyspaces() if name != "meta"]
        assert set(names) >= set(expected)
        for name in names:
            assert dict(self.tree.keyspace(name).walk()) == expected.get(name, {})

    def teardown(self):
        if hasattr(self, "log"):
            self.let_go()
        self.files.close_all()


def source_names(source):
    return [name for name in source.keyspaces() if name != "meta"]


TestGround = GroundMachine.TestCase
TestGround.settings = settings(max_examples=200, stateful_step_count=40)
