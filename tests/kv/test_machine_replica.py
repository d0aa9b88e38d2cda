"""Global tables against a model: any writes, exchanges, clocks, crashes in two to four regions.

Every write goes through the ordinary Table. The model knows the stamp of each, so not only the items are compared but
also who wrote them last and when. In the end all regions sync, and have what the model says.
"""

import random
from itertools import islice

import pytest
from crash.recorder import RecordingFileSystem
from crash.states import stopped
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from models import replica as model
from models.items import shown
from moments import START

from engines import kv
from engines.clock import ManualClock
from engines.errors import ConditionFailed
from engines.kv.regions.versions import version_of

REGIONS = ["eu", "us", "ap", "sa"]
regions = st.integers(0, 3)
keys = st.integers(0, 5)
contents = st.builds(  # always in this order: for the store, another order is another item
    lambda text, v: {name: value for name, value in (("text", text), ("v", v)) if value is not None},
    st.none() | st.text("ab", max_size=2),
    st.none() | st.integers(0, 2),
)
lives = st.none() | st.integers(-3, 40)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch):
    monkeypatch.setattr("engines.kv.regions.versions.PAGE", 3)
    monkeypatch.setattr("engines.kv.regions.replica.PAGE", 2)


class Regions(RuleBasedStateMachine):
    """Two to four stores, each in a recorded file system, with a clock of its own, beside a model of each."""

    @initialize(count=st.integers(2, 4), skews=st.lists(st.integers(-100, 100), min_size=4, max_size=4))
    def create(self, count, skews):
        self.rng = random.Random(0)  # noqa: S311 - the same crashes in each run
        self.count = count
        self.clocks = [ManualClock((START + skew) * 1_000_000) for skew in skews[:count]]
        self.files = [RecordingFileSystem() for _ in range(count)]
        self.models = [model.Replica(region, clock, "ttl") for region, clock in zip(REGIONS, self.clocks, strict=False)]
        self.stores = [self.open(number) for number in range(count)]
        for store in self.stores:
            store.create_table("t", key="id:N", ttl="ttl", stream=True)
        self.join()

    def open(self, number):
        return kv.Store(f"/{REGIONS[number]}", clock=self.clocks[number], files=self.files[number])

    def join(self):
        pairs = zip(self.stores, REGIONS, strict=False)
        self.all = kv.GlobalTable([kv.Replica(store, "t", region) for store, region in pairs])
        self.replicas = list(self.all.replicas.values())

    def at(self, number):
        """One of the regions, what is due there deleted: each write would sweep a little of it."""
        number %= self.count
        self.stores[number].expire()
        self.models[number].expire()
        return self.stores[number], self.models[number]

    def item(self, number, key, content, life):
        second = self.clocks[number % self.count].now() // 1_000_000
        return {"id": key} | content | ({} if life is None else {"ttl": second + life})

    # -- writing ------------------------------------------------------------------------------------------------------

    @rule(number=regions, key=keys, content=contents, life=lives)
    def put(self, number, key, content, life):
        store, expected = self.at(number)
        item = self.item(number, key, content, life)
        store.table("t").put(item)
        expected.write({key: item})

    @rule(number=regions, key=keys)
    def put_if_absent(self, number, key):
        store, expected = self.at(number)
        if key in expected.items():
            with pytest.raises(ConditionFailed):
                store.table("t").put({"id": key, "new": 1}, condition="attribute_not_exists(id)")
        else:
            store.table("t").put({"id": key, "new": 1}, condition="attribute_not_exists(id)")
            expected.write({key: {"id": key, "new": 1}})

    @rule(number=regions, key=keys)
    def update(self, number, key):
        store, expected = self.at(number)
        store.table("t").update(key, "ADD n :one", values={":one": 1})
        item = expected.items().get(key, {"id": key})
        expected.write({key: item | {"n": item.get("n", 0) + 1}})

    @rule(number=regions, key=keys)
    def delete(self, number, key):
        store, expected = self.at(number)
        store.table("t").delete(key)
        expected.write({key: None})

    @rule(number=regions, items=st.dictionaries(keys, contents | st.none(), min_size=1), transaction=st.booleans())
    def write_together(self, number, items, transaction):
        store, expected = self.at(number)
        items = {key: None if content is None else {"id": key} | content for key, content in items.items()}
        if transaction:
            store.transact([kv.Delete("t", key) if item is None else kv.Put("t", item) for key, item in items.items()])
        else:
            with store.table("t").batch_writer() as batch:
                for key, item in items.items():
                    _ = batch.delete(key) if item is None else batch.put(item)
        expected.write(items)

    # -- exchanging ---------------------------------------------------------------------------------------------------

    @rule(to=regions, source=regions)
    def pull(self, to, source):
        to, source = to % self.count, source % self.count
        if to != source:
            found = self.replicas[to].lag()[REGIONS[source]].changes
            expected = self.models[to].pull(self.models[source])
            assert self.replicas[to].pull(self.replicas[source]) == expected == found

    @rule(to=regions, source=regions, parts=st.integers(1, 3))
    def pull_a_part(self, to, source, parts):
        """What comes of it is seen at the end: some changes, perhaps of the middle, then the connection is lost."""
        to, source = to % self.count, source % self.count
        if to != source:
            for offer in islice(self.replicas[to]._offers(self.replicas[source]), parts):
                self.replicas[to]._apply(REGIONS[source], offer)
                for change in offer.changes:
                    mine = self.models[to].writes.get(change.key[0])
                    if mine is None or change.stamp > mine[0]:
                        self.models[to].writes[change.key[0]] = (tuple(change.stamp), change.item)
                        self.models[to].seen = max(self.models[to].seen, change.stamp[:2])

    @rule(number=regions)
    def fold(self, number):
        self.replicas[number % self.count]._versions.catch_up()

    # -- time, and life -----------------------------------------------------------------------------------------------

    @rule(number=regions, seconds=st.sampled_from([0.0005, 0.001, 1, 30]))
    def pass_time(self, number, seconds):
        self.clocks[number % self.count].advance(seconds)

    @rule(seconds=st.sampled_from([1, 30]))
    def pass_time_everywhere(self, seconds):
        for clock in self.clocks:
            clock.advance(seconds)

    @rule(number=regions)
    def checkpoint(self, number):
        self.stores[number % self.count].checkpoint()

    @rule(number=regions)
    def reopen(self, number):
        number %= self.count
        self.stores[number].close()
        self.stores[number] = self.open(number)
        self.join()

    @rule(number=regions, killed=st.booleans())
    def crash_and_recover(self, number, killed):
        number %= self.count
        files = self.files[number]
        image = stopped(files, self.rng, killed=killed, first=20)
        self.stores[number].close()
        files.close_all()
        self.files[number] = RecordingFileSystem(image)
        self.stores[number] = self.open(number)
        self.join()

    # -- what always holds --------------------------------------------------------------------------------------------

    @rule(number=regions)
    def look(self, number):
        store, expected = self.at(number)
        found = {item["id"]: item for item in store.table("t").scan()}
        assert shown(found) == shown(expected.items())
        self.replicas[number % self.count]._versions.catch_up()
        versions = {item["id"]: version_of(item) for item in store.table("t.versions").scan()}
        assert {key: (tuple(v.stamp), v.deleted) for key, v in versions.items()} == {
            key: (stamp, item is None) for key, (stamp, item) in expected.writes.items()
        }

    @invariant()
    def a_position_is_within_its_log(self):
        for store in getattr(self, "stores", []):
            assert store.table("t.replication").get("self")["position"] <= store.log.last

    def teardown(self):
        if not hasattr(self, "all"):
            return
        try:
            for number in range(self.count):
                self.look(number)
            last = model.merged(self.models)
            self.all.sync()
            for number, replica in enumerate(self.models):
                replica.writes = dict(last)
                versions = {item["id"]: version_of(item) for item in self.stores[number].table("t.versions").scan()}
                assert {key: tuple(v.stamp) for key, v in versions.items()} == {k: s for k, (s, _) in last.items()}
            written = [store.log.last for store in self.stores]
            assert self.all.sync() == 0
            assert [store.log.last for store in self.stores] == written
            self.end_equal()
        finally:
            for store, files in zip(self.stores, self.files, strict=True):
                store.close()
                files.close_all()

    def end_equal(self):
        """Once all clocks have passed every time to live."""
        for clock in self.clocks:
            clock.advance(seconds=400)
        for store in self.stores:
            store.expire()
        self.all.sync()
        first, *others = [shown(sorted(store.table("t").scan(), key=lambda item: item["id"])) for store in self.stores]
        assert all(other == first for other in others)
        assert all(store.verify().ok for store in self.stores)


TestRegions = Regions.TestCase
TestRegions.settings = settings(max_examples=60, stateful_step_count=40)
