"""Tiles on the move, snapshots and scheduled queries under power loss, failing disks and kills.

A longer run, and many times as many disks, with CRASH_IMAGES=all in the environment.
"""

import errno
import os

import numpy as np
import pytest
from crash.recorder import RecordingFileSystem
from crash.rules import FromNothing, Subject, crash, fail_everywhere, flip_every_byte, kill_everywhere, workload

from engines.timeseries import TimeSeries

ALL = os.environ.get("CRASH_IMAGES") == "all"
START = 1_767_225_600 * 10**9  # 2026-01-01
SECOND = 10**9
STEP = 6 * 3600 * SECOND
LAST = 12  # steps of six hours; what is two days older is never seen
FEW = 4  # of a shorter run, in which all is seen
SQL = """SELECT @scheduled_runtime AS t, count(x) AS n, sum(x) AS total FROM cpu
  WHERE time >= @scheduled_runtime - 6h AND time < @scheduled_runtime"""

ASKED = {
    "cpu": "SELECT time, x FROM cpu ORDER BY time",
    "sums": "SELECT time, CAST(n AS double) FROM sums ORDER BY time",
}


class Turned:
    """A clock that stands where an operation puts it, also earlier than before."""

    def __init__(self, at):
        self.at = at

    def now(self):
        return self.at // 1000

    def sleep(self, seconds):
        pass

    def timer(self):
        return self.at / SECOND


class Handle:
    """A store, and what is needed to open it again."""

    def __init__(self, files, at):
        self.files, self.clock = files, Turned(at)
        self.reopen()

    def reopen(self):
        self.db = TimeSeries("/db", clock=self.clock, files=self.files)

    def verify(self):
        return self.db.verify()

    def close(self):
        self.db.close()


class Stores(Subject):
    """State: the rows that are seen at the end, of both tables; and of each snapshot, restored."""

    audits = True

    def __init__(self, last=LAST):
        self.end = START + last * STEP

    def open(self, files):
        return Handle(files, self.end)

    def do(self, handle, operation):  # noqa: C901 - a case for each operation
        handle.clock.at = START + operation[1] * STEP
        db = handle.db
        match operation:
            case ("create", _):
                db.create_table("cpu", memory="2h", magnetic="2d", tile="6h")
            case ("sums", _):
                db.create_table("sums", memory="2h", magnetic="2d", tile="6h")
            case ("query", _):
                db.create_scheduled_query("sums", SQL, every="6h", into="sums", time="t")
            case ("write", step):
                write(db, *fresh(step))
            case ("late", step, old):
                write(db, *late(step, old))
            case ("tick", _):
                db.tick()
            case ("checkpoint", _):
                db.checkpoint()
            case ("snapshot", _, name):
                db.snapshot(name)
            case ("drop", _, name):
                db.drop_snapshot(name)
            case ("reopen", _):
                handle.close()
                handle.reopen()
        return True

    def state(self, handle):
        handle.clock.at = self.end
        db = handle.db
        assert not self.audits or db.verify().ok, db.verify()
        snapshots = {}
        for row in db.snapshots():
            with TimeSeries.restore(db, row.name, None, clock=handle.clock) as restored:
                snapshots[row.name] = found(restored)
        return found(db), snapshots, db.scheduled_queries().column("name").tolist()

    def model(self, operations):  # noqa: C901 - a case for each operation
        tables, snapshots = {}, {}
        slots = None  # first one that has not run
        for operation in operations:
            match operation:
                case ("create", _):
                    tables["cpu"] = {}
                case ("sums", _):
                    tables["sums"] = {}
                case ("query", _):
                    slots = 1
                case ("write", step):
                    tables["cpu"] |= dict(zip(*fresh(step)[:2], strict=True))
                case ("late", step, old):
                    tables["cpu"] |= dict(zip(*late(step, old)[:2], strict=True))
                case ("tick", step) if slots:
                    for slot in (START + number * STEP for number in range(slots, step + 1)):
                        some = [x for time, x in tables["cpu"].items() if slot - STEP <= time < slot]
                        tables["sums"][slot] = float(len(some))
                    slots = step + 1
                case ("snapshot", _, name):
                    snapshots[name] = self.seen(tables)
                case ("drop", _, name):
                    del snapshots[name]
        return self.seen(tables), snapshots, ["sums"] if slots else []

    def seen(self, tables):
        """What is not older than two days at the end."""
        oldest = self.end - 8 * STEP
        return {name: sorted((time, x) for time, x in rows.items() if time >= oldest) for name, rows in tables.items()}


def fresh(step):
    """Eight rows of the last minutes of a step: times, values, version."""
    at = START + step * STEP
    return [at - number * 60 * SECOND for number in range(1, 9)], [step + number / 8 for number in range(8)], 1


def late(step, old):
    """A row between those of an old step, and one of them anew, of a higher version."""
    at = START + old * STEP
    return [at - 30 * SECOND, at - 120 * SECOND], [100.0 + step, 200.0 + step], 2 + step


def write(db, times, values, version):
    db.table("cpu").write(np.array(times), {"host": "a"}, {"x": values}, version=version)


def found(db):
    """The rows of each table; a table that nobody has written to has no columns."""
    rows = {}
    for name in db.tables():
        asked = db.sql(ASKED[name]) if len(db.table(name).index) else ()
        rows[name] = [(int(time.astype(np.int64)), x) for time, x in asked]
    return rows


CREATE = ("create", 0)
EXTRA = ("late", LAST, LAST - 1)


class StoresFromNothing(FromNothing, Stores):
    create, extra = CREATE, EXTRA

    def has_table(self, handle):
        return "cpu" in handle.db.tables()


def operations(last=LAST):
    some = [CREATE, ("write", 0), ("sums", 0), ("query", 0), ("write", 1), ("tick", 1), ("checkpoint", 1), ("write", 2)]
    some += [("snapshot", 2, "early"), ("tick", 2), ("late", 2, 1), ("checkpoint", 2), ("write", 3), ("tick", 3)]
    some += [("late", 3, 1), ("late", 3, 2), ("reopen", 3), ("write", 4), ("tick", 4), ("snapshot", 4, "late")]
    some += [("drop", 4, "early"), ("checkpoint", 4)]
    for step in range(5, last + 1):
        some += [("write", step), ("tick", step)]
        if step % 3 == 0:
            some += [("late", step, step - 4), ("late", step, step - 5), ("checkpoint", step)]
    return some


@pytest.mark.slow
def test_tiles_on_the_move_survive_every_power_loss():
    outcome = crash("tiles on the move", StoresFromNothing(), operations(), EXTRA, samples=3)
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 500


@pytest.mark.slow
def test_what_a_killed_process_left_of_a_tick_is_made_sure_before_it_is_built_upon():
    some = operations(FEW)[:7] if ALL else [CREATE, ("write", 0), ("tick", 1)]
    outcome = kill_everywhere(StoresFromNothing(FEW), some, EXTRA, samples=1)
    print(f"tiles, killed            {outcome}")  # noqa: T201 - counts are the result
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 1_000


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("keep", [False, True])
def test_a_tick_is_refused_or_done_wherever_the_disk_fails(number, keep):
    assert fail_everywhere(Stores(FEW), operations(FEW)[: 15 if ALL else 6], number, keep=keep) > (100 if ALL else 50)


@pytest.mark.slow
@pytest.mark.parametrize("among", ["/blobs/", "/snapshots/"])
def test_every_flipped_byte_of_a_store_with_both_tiers_is_named_or_harmless(among):
    subject, some = Stores(FEW), operations(FEW)[:15]
    subject.audits = False  # it is what is tested
    files = RecordingFileSystem()
    workload(subject, some)(files)
    counts = flip_every_byte(subject, files.image(), expected=subject.model(some), among=among)
    print(f"tiles: flipped bytes {among} {counts}")  # noqa: T201 - counts are the result
    assert counts["named"] > 0
