"""Indexes, updates, transactions and segments against a plain model, through checkpoints, reopenings and crashes.

The model is a dict of items. What an index must hold is worked out from it anew each time: the items that have its key
attributes, with the types that it wants, in the order of its sort key, as far as its projection goes.
"""

import operator as operators
import random
from decimal import Decimal

from crash.recorder import RecordingFileSystem
from crash.states import stopped
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from models.items import shown

from engines import kv
from engines.clock import ManualClock
from engines.errors import ConditionFailed, Invalid

START = 1_700_000_000
KEYS = [("a", 1), ("a", 2), ("a", -3), ("b", 1), ("a\0", 1), ("k" * 939, 5), ("k" * 2000, 5), ("k" * 2000, 6)]
INDEXES = {
    "by_state": (("state:S", "total:N"), "ALL", False),
    "by_text": (("state:S", "text:S"), "KEYS_ONLY", False),
    "single": (("total:N",), ("text",), False),
    "local": (("p:S", "text:S"), ("total",), True),
    "bytes": (("text:S", "raw:B"), "ALL", False),
}
TEXTS = ["", "x", "x\0", "x\0y", "\0", "é", "z" * 1024, "\0" * 1024, "z" * 1020 + "abcd", "z" * 1020 + "abce"]
RAW = [b"", b"\0", b"\0\xff", b"\0\1", b"\xff" * 1024, b"\0" * 1024, b"r"]

OPERATORS = {"=": operators.eq, "<": operators.lt, "<=": operators.le, ">": operators.gt, ">=": operators.ge}

keys = st.sampled_from(KEYS)
attributes = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from(["open", "shut", "o" * 2000, "o" * 1999 + "p"]),
        "total": st.sampled_from([0, 1, -1, Decimal("0.5"), 10**30]),
        "text": st.sampled_from(TEXTS[1:]),
        "raw": st.sampled_from(RAW[1:]),
        "extra": st.integers(0, 3),
        "expires": st.integers(-3, 30).map(lambda offset: START + offset),
    },
)


def order(value):
    return value.encode() if isinstance(value, str) else value


class Indexed(RuleBasedStateMachine):
    """One table in the recorded file system; self.items is what it must hold."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock(START * 1_000_000)
        self.files = RecordingFileSystem()
        self.rng = random.Random(0)  # noqa: S311 - the same crashes in each run
        self.items, self.indexes, self.tokens = {}, {}, {}
        self.store = None

    @initialize(names=st.sets(st.sampled_from(list(INDEXES)), max_size=2))
    def create(self, names):
        self.store = kv.Store("/shop", clock=self.clock, files=self.files)
        described = [
            {"name": name, "key": INDEXES[name][0], "projection": INDEXES[name][1], "local": INDEXES[name][2]}
            for name in sorted(names)
        ]
        self.store.create_table("t", key=("p:S", "s:N"), ttl="expires", stream=True, indexes=described)
        self.indexes = {name: INDEXES[name] for name in names}

    @property
    def table(self):
        return self.store.table("t")

    def alive(self):
        now = self.clock.now() // 1_000_000
        return {key: item for key, item in self.items.items() if item.get("expires", now + 1) > now}

    def forget_expired(self):
        self.items = self.alive()

    # -- writing ------------------------------------------------------------------------------------------------------

    @rule(key=keys, content=attributes)
    def put(self, key, content):
        item = {"p": key[0], "s": key[1]} | content
        self.table.put(item)
        self.items[key] = item

    @rule(key=keys)
    def delete(self, key):
        old = self.alive().get(key)
        assert shown(self.table.delete(*key, returns="ALL_OLD")) == shown(old)
        self.items.pop(key, None)

    @rule(key=keys, content=attributes, gone=st.sampled_from(["state", "text", "extra"]))
    def update(self, key, content, gone):
        content = {name: value for name, value in content.items() if name != gone} or {"raw": b"r"}
        names = {f"#{name}": name for name in [*content, gone]}
        text = "SET " + ", ".join(f"#{name} = :{name}" for name in content) + f" REMOVE #{gone}"
        values = {f":{name}": value for name, value in content.items()}
        old = self.alive().get(key, {"p": key[0], "s": key[1]})
        new = {name: value for name, value in (old | content).items() if name != gone}
        assert shown(self.table.update(key, text, names=names, values=values, returns="ALL_NEW")) == shown(new)
        self.items[key] = new

    @rule(writes=st.lists(st.tuples(keys, attributes | st.none()), max_size=8))
    def write_batch(self, writes):
        with self.table.batch_writer() as writer:
            for key, content in writes:
                if content is None:
                    writer.delete(*key)
                    self.items.pop(key, None)
                else:
                    item = {"p": key[0], "s": key[1]} | content
                    writer.put(item)
                    self.items[key] = item

    @rule(
        actions=st.dictionaries(keys, st.tuples(st.sampled_from(["put", "delete", "update", "check"]), attributes)),
        token=st.none() | st.sampled_from(["one", "two"]),
    )
    def transact(self, actions, token):  # noqa: C901 - a case for each kind of action
        if not actions:
            return
        alive, after, asked, holds = self.alive(), dict(self.items), [], True
        for key, (kind, content) in actions.items():
            item = {"p": key[0], "s": key[1]} | content
            if kind == "put":
                asked.append(kv.Put("t", item, condition="attribute_not_exists(p) OR extra < :n", values={":n": 3}))
                holds &= key not in alive or alive[key].get("extra", 3) < 3
                after[key] = item
            elif kind == "delete":
                asked.append(kv.Delete("t", key))
                after.pop(key, None)
            elif kind == "update":
                asked.append(kv.Update("t", key, "ADD extra :one", values={":one": 1}))
                base = alive.get(key, {"p": key[0], "s": key[1]})
                after[key] = base | {"extra": base.get("extra", 0) + 1}
            else:
                asked.append(kv.Check("t", key, condition="attribute_exists(p)"))
                holds &= key in alive
        now = self.clock.now()
        known = self.tokens.get(token)
        if token is not None and known is not None and known[0] > now - 600_000_000:
            if known[1] == repr(asked):
                self.store.transact(asked, token=token)  # happened already: nothing more happens
            else:
                try:
                    self.store.transact(asked, token=token)
                except Invalid:
                    return
                raise AssertionError("one token for two transactions")
            return
        try:
            self.store.transact(asked, token=token)
        except ConditionFailed:
            assert not holds
            return
        assert holds
        self.items = after
        if token is not None:
            self.tokens[token] = now, repr(asked)

    # -- indexes ------------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(list(INDEXES)))
    def add_or_drop_index(self, name):
        key, projection, local = INDEXES[name]
        if name in self.indexes:
            self.table.drop_index(name)
            del self.indexes[name]
        else:
            self.table.create_index(name, key, projection=projection, local=local)
            self.indexes[name] = INDEXES[name]

    def held(self, name):
        """What the index holds: (key attributes' values, the item as far as it goes)."""
        key, projection, _ = INDEXES[name]
        names = [part[:-2] for part in key]
        found = []
        for item in self.alive().values():
            if all(attribute in item for attribute in names):
                kept = {"p", "s", *names} | set(projection if isinstance(projection, tuple) else ())
                shown_part = item if projection == "ALL" else {n: v for n, v in item.items() if n in kept}
                found.append((tuple(item[n] for n in names), shown_part))
        return found

    @precondition(lambda self: self.indexes)
    @rule(data=st.data(), limit=st.none() | st.integers(1, 3), reverse=st.booleans())
    def query_index(self, data, limit, reverse):
        name = data.draw(st.sampled_from(sorted(self.indexes)))
        held = self.held(name)
        key = [part[:-2] for part in INDEXES[name][0]]
        partition = data.draw(st.sampled_from(sorted({k[0] for k, _ in held}, key=order)) if held else st.just("none"))
        partition = 0 if partition == "none" and INDEXES[name][0][0].endswith(":N") else partition
        text, values, names = "#k = :k", {":k": partition}, {"#k": key[0]}
        expected = [(k, item) for k, item in held if k[0] == partition]
        if len(key) > 1 and expected:
            bound = data.draw(st.sampled_from([k[1] for k, _ in expected]))
            operator = data.draw(st.sampled_from(["", "=", "<", "<=", ">", ">="]))
            if operator:
                text, values, names = f"{text} AND #s {operator} :s", values | {":s": bound}, names | {"#s": key[1]}
                holds = OPERATORS[operator]
                expected = [(k, item) for k, item in expected if holds(order(k[1]), order(bound))]
        page = self.table.query(text, names=names, values=values, index=name, limit=limit, reverse=reverse)
        items = page.all()
        assert sorted(map(repr, map(shown, items))) == sorted(repr(shown(item)) for _, item in expected)
        if len(key) > 1:
            sorts = [order(item[key[1]]) for item in items]
            assert sorts == sorted(sorts, reverse=reverse)

    # -- reading ------------------------------------------------------------------------------------------------------

    @rule(segments=st.integers(1, 4), limit=st.none() | st.integers(1, 3))
    def scan_in_segments(self, segments, limit):
        shares = [self.table.scan(segment=n, segments=segments, limit=limit).all() for n in range(segments)]
        found = [repr(shown(item)) for share in shares for item in share]
        assert sorted(found) == sorted(repr(shown(item)) for item in self.alive().values())

    @rule(asked=st.sets(keys, min_size=1, max_size=6), together=st.booleans())
    def read_several(self, asked, together):
        asked = sorted(asked)
        if together:
            answers = self.store.transact([kv.Get("t", key) for key in asked])
        else:
            answers = self.store.batch_get([("t", key) for key in asked])
        assert [shown(item) for item in answers] == [shown(self.alive().get(key)) for key in asked]

    # -- time and mishaps ---------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 5, 700]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def expire(self):
        self.store.expire()
        self.forget_expired()

    @rule()
    def checkpoint(self):
        self.store.checkpoint()

    @rule()
    def reopen(self):
        self.store.close()
        self.open(self.files)

    @rule(killed=st.booleans())
    def crash_and_recover(self, killed):
        """A process that is killed leaves what the kernel has, a power loss one of many disks."""
        image = stopped(self.files, self.rng, killed=killed, first=40)
        self.store.close()
        self.files.close_all()
        self.open(RecordingFileSystem(image))

    def open(self, files):
        self.files = files
        self.store = kv.Store("/shop", clock=self.clock, files=files)
        assert {index["name"] for index in self.table.describe()["indexes"]} == set(self.indexes)

    @invariant()
    def what_is_seen_is_the_model(self):
        if self.store is not None:
            found = {(item["p"], item["s"]): shown(item) for item in self.table.scan().all()}
            assert found == {key: shown(item) for key, item in self.alive().items()}

    def teardown(self):
        if self.store is not None:
            assert self.store.verify().ok, self.store.verify()
            self.store.close()
            self.files.close_all()


TestIndexed = Indexed.TestCase
TestIndexed.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
