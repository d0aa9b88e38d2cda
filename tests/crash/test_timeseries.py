"""The time series store under power loss, failing disks, kills, flipped bytes: rows, versions, late rows, ticks.

Ten times as many disks with CRASH_IMAGES=all in the environment.
"""

import errno
import os

import pytest
from crash.recorder import RecordingFileSystem
from crash.rules import FromNothing, Subject, crash, fail_everywhere, flip_every_byte, kill_everywhere, workload
from models import timeseries as model
from timeseries.written import columns_of, held

from engines.clock import ManualClock
from engines.errors import NotFound
from engines.timeseries import RejectedRecords, TimeSeries

ALL = os.environ.get("CRASH_IMAGES") == "all"
NOW = 1_800_000_000
MINUTE = 60 * 10**9


class Stores(Subject):
    """State: all records of the table T. Two operations of three write more than a frame's few bytes."""

    def open(self, files):
        return TimeSeries("/store", clock=ManualClock(NOW * 10**6), files=files)

    def do(self, store, operation):
        match operation:
            case ("create",):
                store.create_table("T", memory="1h", tile="1h")
            case ("checkpoint",):
                store.checkpoint()
            case ("tick",):
                store.tick()
            case ("alter", hours):
                store.alter_table("T", memory=f"{hours}h")
            case _:
                try:
                    store.table("T").append(columns_of(records(operation)))
                except RejectedRecords:
                    return True
        return True

    def state(self, store):
        try:
            return held(store.table("T"))
        except NotFound:
            return None

    def model(self, operations):
        table = None
        for operation in operations:
            if operation[0] == "create":
                table = model.Table("T")
            elif operation[0] not in ("checkpoint", "tick", "alter"):
                table.write(NOW * 10**9, records(operation))
        return None if table is None else table.rows(NOW * 10**9)


def records(operation):
    """What a write of this name writes: its number says when, and what."""
    kind, number = operation
    start = NOW * 10**9 - 600 * MINUTE
    match kind:
        case "rows":  # of two series, some of them in a new tile, some columns new
            return [
                (
                    {"host": host},
                    False,
                    "cpu",
                    start + (number * 20 + at) * MINUTE,
                    1,
                    {"usage": ("double", number + at / 8), f"m{number % 3}": ("varchar", f"{number:04}" * 40)},
                )
                for at in range(4)
                for host in ("a", "b", f"c{number % 2}")
            ]
        case "late":
            return [({"host": "a"}, False, "cpu", start + number * MINUTE, 1, {"usage": ("double", -1.0)})]
        case "again":  # what is there: refused, or with a higher version replaced
            place = start + number * 20 * MINUTE
            replaced = {"usage": ("double", 9.5)}
            return [({"host": "b"}, False, "cpu", place, version, replaced) for version in (1, 2)]
        case "single":
            return [
                ({"host": "a"}, True, name, start + number * 20 * MINUTE, 1, {name: ("bigint", number)})
                for name in ("x", "y")
            ]


def operations(rounds):
    found = [("create",)]
    for number in range(0, 6 * rounds, 6):
        found += [("rows", number), ("rows", number + 1), ("late", number * 20 + 7), ("checkpoint",)]
        found += [("rows", number + 2), ("again", number + 1), ("single", number + 1), ("tick",)]
        found += [("late", number * 20 + 9), ("rows", number + 3), ("alter", 1 + number % 2), ("checkpoint",)]
        found += [("single", number + 4), ("again", number + 3), ("tick",)]
    return found


EXTRA = ("rows", 27)


class StoresFromNothing(FromNothing, Stores):
    create, extra = ("create",), EXTRA

    def has_table(self, store):
        return bool(store.tables())


@pytest.mark.slow
def test_a_store_survives_every_power_loss():
    outcome = crash("TimeSeries", StoresFromNothing(), operations(3), EXTRA, samples=600 if ALL else 45)
    assert outcome.violations == 0, outcome.first
    assert outcome.images > (10_000 if ALL else 1_000)


@pytest.mark.slow
def test_what_a_killed_process_left_in_the_store_is_made_sure_before_it_is_built_upon():
    outcome = kill_everywhere(StoresFromNothing(), operations(1)[:5], EXTRA, samples=1)
    print(f"TimeSeries, killed       {outcome}")  # noqa: T201 - counts are the result
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 300


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("keep", [False, True])
def test_a_store_is_poisoned_or_unharmed_wherever_the_disk_fails(number, keep):
    assert fail_everywhere(Stores(), operations(1)[:10], number, keep=keep) > 30


@pytest.mark.slow
@pytest.mark.parametrize(("among", "least"), [("/blobs/", 500), ("/log/", 500)])
def test_every_flipped_byte_of_a_closed_store_is_named_or_harmless(among, least):
    subject, some = Stores(), operations(1)[:9]
    files = RecordingFileSystem()
    workload(subject, some)(files)
    counts = flip_every_byte(subject, files.image(), expected=subject.model(some), among=among)
    print(f"TimeSeries: flipped bytes {among} {counts}")  # noqa: T201 - counts are the result
    assert counts["named"] > least
