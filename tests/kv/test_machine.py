"""The key-value store against a plain model: any sequence of writes, reads, time, checkpoints, reopenings, crashes.

The keys are few, so that they meet again, and nasty: zero bytes, prefixes of each other, partition keys too long for
the tree, which are cut, and sort keys at their limit. In the end the visible items are the model's, and the change
stream, replayed from 0, gives them too.
"""

import random
from decimal import Decimal

import pytest
from crash.recorder import RecordingFileSystem
from crash.states import stopped
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from models import kv as model
from models.items import shown, values
from moments import START

from engines import kv
from engines.clock import ManualClock
from engines.errors import ConditionFailed

TEXTS = ["a", "a\0", "\0", "a\0\1", "ab", "é", "\U0010ffff", "~"]
LONG = ["k" * 938, "k" * 939, "k" * 2048, "k" * 2047 + "j", "\0" * 1024, "\0" * 1025, "é" * 1024, "k" * 900 + "\0" * 99]
NUMBERS = [0, 1, -1, 7, 10**37, -(10**37), Decimal("0.5"), Decimal("-0.5"), Decimal("1E-130"), Decimal("9E+125")]
PARTITIONS = {
    "S": TEXTS + LONG,
    "N": NUMBERS,
    "B": [text.encode() for text in TEXTS + LONG] + [b"\xff", b"\xff" * 2048],
}
SORTS = {
    "S": [*TEXTS, "z" * 1024, "\0" * 1024],
    "N": NUMBERS,
    "B": [*(text.encode() for text in TEXTS), b"\xff", b"\xff\xff", b"z" * 1024, b"\0" * 1024],
}
SCHEMAS = [
    (("p:S",), None, True),
    (("p:S", "s:N"), "ttl", True),
    (("p:B", "s:B"), None, True),
    (("p:N", "s:S"), "ttl", True),
    (("p:S", "s:S"), "ttl", False),
    (("p:B",), "ttl", "NEW_IMAGE"),
]
TABLES = range(len(SCHEMAS))
OPERATORS = {
    "=": lambda low, high: lambda sort: sort == low,
    "<": lambda low, high: lambda sort: sort < low,
    "<=": lambda low, high: lambda sort: sort <= low,
    ">": lambda low, high: lambda sort: sort > low,
    ">=": lambda low, high: lambda sort: sort >= low,
    "BETWEEN": lambda low, high: lambda sort: low <= sort <= high,
    "begins_with": lambda low, high: lambda sort: sort[: len(low)] == low,
}
CONDITIONS = {
    "attribute_exists(p)": lambda item: item is not None,
    "attribute_not_exists(p)": lambda item: item is None,
    "v = :v": lambda item: item is not None and item.get("v") == 1,
}

tables = st.sampled_from(TABLES)
places = st.tuples(st.integers(0, 15), st.integers(0, 11))  # into PARTITIONS and SORTS, and round again
contents = st.fixed_dictionaries({}, optional={"v": st.integers(0, 2), "w": values, "x\0": values})
lives = (
    st.none()
    | st.sampled_from(["never", True, -5, Decimal("2.5"), START - model.FIVE_YEARS - 100])
    | st.integers(-3, 30)
)


class Stores(RuleBasedStateMachine):
    """One store in the recorded file system, and a model for each of its tables."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock(START * 1_000_000)
        self.files = RecordingFileSystem()
        self.rng = random.Random(0)  # noqa: S311 - the same crashes in each run
        self.models = []
        self.store = None

    @initialize()
    def create(self):
        self.store = kv.Store("/shop", clock=self.clock, files=self.files)
        for number, (key, ttl, stream) in enumerate(SCHEMAS):
            self.store.create_table(f"t{number}", key=key, ttl=ttl, stream=stream)
            self.models.append(model.Table([part[0] for part in key], self.clock, ttl))

    def table(self, number):
        return self.store.table(f"t{number}")

    def key(self, number, place):
        pools = [PARTITIONS, SORTS]
        return tuple(
            pool[part[2]][at % len(pool[part[2]])]
            for pool, part, at in zip(pools, SCHEMAS[number][0], place, strict=False)
        )

    def item(self, number, place, content, life):
        item = dict(zip(self.models[number].key, self.key(number, place), strict=True)) | content
        if life is not None:
            item["ttl"] = life if isinstance(life, str) or life < -100 else life + START + self.passed()
        return item

    def passed(self):
        return self.clock.now() // 1_000_000 - START

    # -- writing ------------------------------------------------------------------------------------------------------

    @rule(number=tables, place=places, content=contents, life=lives, returns=st.sampled_from(["NONE", "ALL_OLD"]))
    def put(self, number, place, content, life, returns):
        item = self.item(number, place, content, life)
        old = self.models[number].put(item)
        assert shown(self.table(number).put(item, returns=returns)) == shown(old if returns == "ALL_OLD" else None)

    @rule(number=tables, place=places, returns=st.sampled_from(["NONE", "ALL_OLD"]))
    def delete(self, number, place, returns):
        key = self.key(number, place)
        old = self.models[number].delete(key)
        assert shown(self.table(number).delete(*key, returns=returns)) == shown(old if returns == "ALL_OLD" else None)

    @rule(number=tables, place=places, text=st.sampled_from(list(CONDITIONS)), life=lives, deletes=st.booleans())
    def write_if(self, number, place, text, life, deletes):
        item, key = self.item(number, place, {"v": 1}, life), self.key(number, place)
        stored = self.models[number].get(key)
        options = {"condition": text, "values": {":v": 1} if ":v" in text else None}
        holds = CONDITIONS[text](stored)
        try:
            _ = self.table(number).delete(*key, **options) if deletes else self.table(number).put(item, **options)
        except ConditionFailed as refused:
            assert not holds
            assert shown(refused.item) == shown(stored)  # noqa: PT017 - whether it is raised is the question
        else:
            assert holds
            _ = self.models[number].delete(key) if deletes else self.models[number].put(item)

    @rule(number=tables, batch=st.lists(st.tuples(places, contents | st.none(), lives), max_size=12))
    def write_batch(self, number, batch):
        with self.table(number).batch_writer() as writer:
            for place, content, life in batch:
                if content is None:
                    key = self.key(number, place)
                    writer.delete(*key)
                    self.models[number].delete(key)
                else:
                    item = self.item(number, place, content, life)
                    writer.put(item)
                    self.models[number].put(item)

    @rule(number=st.sampled_from([1, 2, 3, 4]), at=st.integers(0, 15), count=st.integers(200, 700), life=lives)
    def write_many(self, number, at, count, life):
        (_, sort), _, _ = SCHEMAS[number]
        make = {"N": int, "S": "{:04}".format, "B": b"%04d".__mod__}[sort[2]]
        with self.table(number).batch_writer() as writer:
            for sequence in range(count):
                item = self.item(number, (at, 0), {}, life) | {"s": make(sequence), "v": sequence % 3}
                writer.put(item)
                self.models[number].put(item)

    # -- reading ------------------------------------------------------------------------------------------------------

    @rule(number=tables, place=places, consistent=st.booleans())
    def get(self, number, place, consistent):
        key = self.key(number, place)
        assert shown(self.table(number).get(*key, consistent=consistent)) == shown(self.models[number].get(key))

    @rule(
        number=tables,
        place=places,
        operator=st.sampled_from([None, *OPERATORS]),
        other=places,
        options=st.fixed_dictionaries({"reverse": st.booleans(), "limit": st.none() | st.integers(1, 4)}),
        filtered=st.booleans(),
    )
    def query(self, number, place, operator, other, options, filtered):  # noqa: PLR0917 - drawn by hypothesis
        (partition, *sort), (_, *high) = self.key(number, place), self.key(number, other)
        if not sort or (operator == "begins_with" and SCHEMAS[number][0][1][2] == "N"):
            operator = None
        text, given, holds = "p = :p", {":p": partition}, None
        if operator is not None:
            low, high = sorted([*sort, *high], key=model.order) if operator == "BETWEEN" else [*sort, *high]
            low = low[:1] if operator == "begins_with" else low
            text += {"BETWEEN": " AND s BETWEEN :l AND :h", "begins_with": " AND begins_with(s, :l)"}.get(
                operator, f" AND s {operator} :l"
            )
            given |= {":l": low} | ({":h": high} if operator == "BETWEEN" else {})
            holds = OPERATORS[operator](model.order(low), model.order(high))
        expected = self.models[number].query(partition, holds, reverse=options["reverse"])
        self.read_pages(number, expected, {"key_condition": text, "values": given} | options, filtered=filtered)

    def read_pages(self, number, expected, options, *, filtered):
        if filtered:
            options |= {"filter": "v = :one", "values": options["values"] | {":one": 1}}
        page = self.table(number).query(**options)
        items, scanned = [], 0
        while page is not None:
            items += page
            scanned += page.scanned
            assert page.count == len(page)
            assert options["limit"] is None or page.scanned <= options["limit"]
            page = page.next()
        assert scanned == len(expected)
        assert shown(items) == shown([item for item in expected if not filtered or item.get("v") == 1])

    @rule(number=tables, limit=st.none() | st.integers(3, 300))
    def scan(self, number, limit):
        items = self.table(number).scan(limit=limit).all()
        assert len(items) == len(self.models[number].alive())
        self.agree(number, items)

    def agree(self, number, items):
        found = {self.models[number].key_of(item): item for item in items}
        assert shown(found) == shown(self.models[number].alive())

    # -- time, and life -----------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 1, 3, 40]))
    def pass_time(self, seconds):
        self.clock.advance(seconds)

    @rule(limit=st.none() | st.integers(1, 3))
    def expire(self, limit):
        count = self.store.expire(limit)
        if limit is None:
            for number in TABLES:
                assert self.table(number).describe()["items"] == len(self.models[number].alive())
        else:
            assert count <= limit

    @rule()
    def checkpoint(self):
        assert self.store.checkpoint() <= self.store.log.last

    @rule()
    def reopen(self):
        self.store.close()
        self.store = kv.Store("/shop", clock=self.clock, files=self.files)

    @rule(killed=st.booleans())
    def crash_and_recover(self, killed):
        """A process that is killed leaves what the kernel has, a power loss one of many disks."""
        image = stopped(self.files, self.rng, killed=killed, first=40)
        self.store.close()
        self.files.close_all()
        self.files = RecordingFileSystem(image)
        self.store = kv.Store("/shop", clock=self.clock, files=self.files)
        for number in TABLES:
            self.agree(number, self.table(number).scan().all())

    # -- what always holds --------------------------------------------------------------------------------------------

    @rule()
    def verify(self):
        report = self.store.verify()
        assert report.ok, report

    @rule()
    def follow_the_stream(self):
        """Each change fits to what the changes before it have left; all of them give what is there."""
        found = [{} for _ in TABLES]
        last = 0
        for change in self.store.changes():
            number = int(change.table[1:])
            state, table = found[number], self.models[number]
            views = SCHEMAS[number][2]
            assert change.sequence >= last
            last = change.sequence
            old = state.pop(change.key, None)
            assert change.kind == ("REMOVE" if change.new is None else "INSERT" if old is None else "MODIFY")
            assert shown(change.old) == shown(old if views is True else None)
            assert old is not None or change.new is not None
            if change.expired:
                assert change.new is None
                assert int(old["ttl"]) * 1_000_000 <= change.time
            if change.new is not None:
                assert table.key_of(change.new) == change.key
                state[change.key] = change.new
        for number in TABLES:
            if SCHEMAS[number][2]:
                stored = {key: item for key, (item, _) in self.models[number].items.items() if key in found[number]}
                assert shown(found[number]) == shown(stored)
                assert set(self.models[number].alive()) <= set(stored)

    @invariant()
    def the_tree_has_what_the_log_says(self):
        if self.store is not None:
            assert self.store.tree.applied <= self.store.log.last

    def teardown(self):
        if self.store is not None:
            try:
                self.follow_the_stream()
                for number in TABLES:
                    self.agree(number, self.table(number).scan().all())
                assert self.store.verify().ok
            finally:
                self.store.close()
                self.files.close_all()


TestStores = pytest.mark.slow(Stores.TestCase)
TestStores.settings = settings(max_examples=60, stateful_step_count=40)
