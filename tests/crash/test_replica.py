"""Two regions of a global table on one machine under power loss, failing disks and kills.

What is looked at after each crash: once the two have synced, both have the last of all acknowledged writes, with the
stamps that the model gives them. So a change applied twice or lost, a position that is ahead of its items, and a stamp
that came out otherwise in the second fold of the log are all seen.
"""

import contextlib
import errno

import pytest
from crash.rules import Subject, _Killed, crash, fail_everywhere, oracle
from crash.states import check
from models import replica as model

from engines import kv
from engines.clock import ManualClock
from engines.kv.regions.versions import version_of

START = 1_700_000_000  # seconds
SKEWS = {"eu": 0, "us": -25}
READ_SECONDS = 10_000  # when the state is looked at: later than all


class Handle:
    """The two stores, and what is needed to open them again."""

    def __init__(self, files):
        self.files = files
        self.clocks = {region: ManualClock((START + skew) * 1_000_000) for region, skew in SKEWS.items()}
        self.stores = {}
        try:
            for region in SKEWS:
                self.open(region)
            self.join()
        except BaseException:
            self.close()
            raise

    def open(self, region):
        store = self.stores[region] = kv.Store(f"/{region}", clock=self.clocks[region], files=self.files)
        if "t" not in store.tables():
            store.create_table("t", key="id:N", stream=True)

    def join(self):
        self.all = kv.GlobalTable([kv.Replica(store, "t", region) for region, store in self.stores.items()])

    def close(self):
        with contextlib.ExitStack() as stack:  # all, whatever the first one raises
            for store in self.stores.values():
                stack.callback(store.close)


def advance(clock, region, seconds):
    clock.advance((START + SKEWS[region] + seconds) - clock.now() / 1_000_000)


class Regions(Subject):
    """State: items and stamps of both regions after a sync."""

    def open(self, files):
        return Handle(files)

    def do(self, handle, operation):
        name, region, *rest = operation
        store = handle.stores[region]
        match name:
            case "put":
                at, item = rest
                advance(handle.clocks[region], region, at)
                store.table("t").put(item)
            case "batch":
                at, items = rest
                advance(handle.clocks[region], region, at)
                with store.table("t").batch_writer() as batch:
                    for item in items:
                        batch.put(item)
            case "delete":
                at, key = rest
                advance(handle.clocks[region], region, at)
                store.table("t").delete(key)
            case "pull":
                handle.all.replicas[region].pull(handle.all.replicas[rest[0]])
            case "checkpoint":
                store.checkpoint()
            case "reopen":
                store.close()
                handle.open(region)
                handle.join()
        return True

    def state(self, handle):
        handle.all.sync()
        found = []
        for store in handle.stores.values():
            items = {item["id"]: item for item in store.table("t").scan()}
            versions = {item["id"]: version_of(item) for item in store.table("t.versions").scan()}
            found.append({key: (tuple(v.stamp), items.pop(key, None)) for key, v in versions.items()})
            assert not items, "an item without a version"
        return found

    def model(self, operations):
        clocks = {region: ManualClock((START + skew) * 1_000_000) for region, skew in SKEWS.items()}
        models = {region: model.Replica(region, clocks[region]) for region in SKEWS}
        for name, region, *rest in operations:
            match name:
                case "put" | "batch" | "delete":
                    at, what = rest
                    advance(clocks[region], region, at)
                    items = {what: None} if name == "delete" else {}
                    for item in [what] if name == "put" else what if name == "batch" else []:
                        items[item["id"]] = item
                    models[region].write(items)
                case "pull":
                    models[region].pull(models[rest[0]])
        return [model.merged(models.values())] * 2


def operations(rounds):
    found = []
    for number in range(rounds):
        at, text = 10 * number, f"{number:04}" * 100
        found += [("put", "eu", at + 1, {"id": 1, "text": text}), ("put", "us", at + 2, {"id": 1, "text": text * 2})]
        found += [("batch", "eu", at + 3, [{"id": n, "n": number, "text": text} for n in range(2, 6)])]
        found += [
            ("pull", "us", "eu"),
            ("delete", "us", at + 4, 2 + number % 4),
            ("put", "us", at + 4, {"id": 7 + number}),
        ]
        found += [("pull", "eu", "us"), ("checkpoint", "us"), ("put", "us", at + 5, {"id": 3, "last": number})]
        found += [("reopen", "eu"), ("pull", "us", "eu"), ("checkpoint", "eu"), ("delete", "eu", at + 6, 3)]
    return found


EXTRA = ("put", "us", READ_SECONDS, {"id": 99, "text": "new"})


@pytest.mark.slow
def test_two_regions_survive_every_power_loss():
    outcome = crash("kv.Replica", Regions(), operations(4), EXTRA, samples=6)
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 450


@pytest.mark.slow
def test_what_a_killed_process_left_in_two_regions_is_made_sure_before_it_is_built_upon():
    """As kill_everywhere, at every eleventh change: two regions are many changes, and most are of their making."""
    some = operations(1)[:5]
    judge = oracle(Regions(), some, EXTRA)
    images = 0
    for n in range(1, 10_000, 11):
        run = _Killed(Regions(), some, n)
        outcome = check(run, judge, n, samples=1)
        assert outcome.violations == 0, f"killed at change {n}: {outcome.first}"
        images += outcome.images
        if not run.killed:
            break
    assert images > 300


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("keep", [False, True])
def test_two_regions_are_poisoned_or_unharmed_wherever_the_disk_fails(number, keep):
    assert fail_everywhere(Regions(), operations(1)[:7], number, keep=keep) > 30
