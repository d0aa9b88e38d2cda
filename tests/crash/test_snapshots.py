"""Snapshots and point-in-time recovery under power loss, failing disks and kills: whole, or not there."""

import errno

import pytest
from crash.rules import Subject, crash, fail_everywhere, kill_everywhere

from engines import kv
from engines.clock import ManualClock

START = 1_000_000  # seconds
DAY = 24 * 3600


class Handle:
    """A store, and what is needed to open it again."""

    def __init__(self, files):
        self.files = files
        self.clock = ManualClock(START * 1_000_000)
        self.store = kv.Store("/shop", clock=self.clock, files=files)

    def verify(self):
        return self.store.verify()

    def close(self):
        self.store.close()


class Snapshots(Subject):
    """State: the table, each snapshot as it is restored, and the other tables: those that restores have made."""

    def open(self, files):
        return Handle(files)

    def do(self, handle, operation):
        store = handle.store
        if operation != ("create",) and "t" not in store.tables():
            self.do(handle, ("create",))
        match operation:
            case ("create",):
                store.create_table("t", key="id:N", pitr=True)
            case ("put", key, text):
                store.table("t").put({"id": key, "text": text})
            case ("snapshot", name):
                store.snapshot(name)
            case ("drop", name):
                store.drop_snapshot(name)
                store.kept_snapshots.collect()
            case ("day",):
                handle.clock.advance(days=1.5)
                store.checkpoint()
            case ("restore", name, to):
                store.restore_table("t", snapshot=name, to=to)
            case ("past", to):
                store.restore_table("t", at=handle.clock.now() / 1e6, to=to)
        return True

    def state(self, handle):
        store = handle.store
        tables = {name: held(store.table(name)) for name in store.tables()}
        kept = {}
        for snapshot in store.snapshots():
            with kv.Store.restore(store, snapshot.name, None) as restored:
                kept[snapshot.name] = {name: held(restored.table(name)) for name in restored.tables()}
        return tables, kept

    def model(self, operations):
        tables, kept = {}, {}
        for operation in operations:
            tables.setdefault("t", {})
            match operation:
                case ("put", key, text):
                    tables["t"] = {**tables["t"], key: text}
                case ("snapshot", name):
                    kept[name] = dict(tables)
                case ("drop", name):
                    kept.pop(name, None)  # where the disk refused to keep it
                case ("restore", name, to) if name in kept:
                    tables[to] = kept[name]["t"]
                case ("past", to):
                    tables[to] = tables["t"]
        return tables, kept


def held(table):
    return {item["id"]: item["text"] for item in table.scan().all()}


def operations():
    found = [("create",)]
    for number in range(4):
        found += [("put", key, f"{number}" * 400) for key in range(number, number + 3)]
        found += [("snapshot", f"s{number}"), ("put", 9, f"{number}" * 300), ("day",)]
        found += [("restore", f"s{number}", f"t{number}"), ("past", f"p{number}")]
        if number:
            found += [("drop", f"s{number - 1}")]
    return found


EXTRA = ("snapshot", "after")


@pytest.mark.slow
def test_a_snapshot_is_whole_or_not_there_after_every_power_loss():
    outcome = crash("kv snapshots", Snapshots(), operations(), EXTRA, samples=40)
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 900


@pytest.mark.slow
def test_what_a_killed_process_left_of_a_snapshot_is_made_sure_before_it_is_built_upon():
    some = [("create",), ("put", 1, "x" * 100), ("snapshot", "one")]
    outcome = kill_everywhere(Snapshots(), some, EXTRA, samples=1)
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 100


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_failing_disk_leaves_snapshots_whole_or_not_there(number):
    assert fail_everywhere(Snapshots(), operations()[:8], number) > 30
