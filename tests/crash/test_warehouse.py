"""The storage of the warehouse under power loss, failing disks, kills, flipped bytes: loads, VACUUM, snapshots.

Ten times as many disks with CRASH_IMAGES=all in the environment.
"""

import errno
import os

import pytest
from crash.recorder import RecordingFileSystem
from crash.rules import Subject, crash, fail_everywhere, flip_every_byte, kill_everywhere, workload
from models.warehouse import Warehouse
from warehouse.columns import batch, definitions, rows_of

from engines.clock import ManualClock
from engines.sql.types import INTEGER, VARCHAR
from engines.warehouse import snapshot
from engines.warehouse.storage import Storage

ALL = os.environ.get("CRASH_IMAGES") == "all"
START = 1_700_000_000 * 1_000_000
COLUMNS = definitions(n=INTEGER, text=VARCHAR)


class Handle:
    """A storage, and what is needed to open it again."""

    def __init__(self, files, options):
        self.files, self.options = files, options
        self.reopen()

    def reopen(self):
        clock = ManualClock(START)
        self.storage = Storage("/house", clock=clock, files=self.files, threads=1, **self.options)

    def verify(self):
        return self.storage.verify()

    def close(self):
        self.storage.close()


class House(Subject):
    """State: the rows of each table and of each snapshot. buffer 0: every blob is written before the commit begins."""

    def __init__(self, **options):
        self.options = options

    def open(self, files):
        return Handle(files, self.options)

    def do(self, handle, operation):
        storage = handle.storage
        match operation:
            case ("snapshot", name):
                snapshot.take(storage, name)
            case ("drop snapshot", name):
                snapshot.drop(storage, name)
                storage.collect(grace=0)
            case ("restore", name, table, to):
                snapshot.restore_table(storage, name, table, to)
            case ("collect",):
                storage.collect(grace=0)
            case ("flush",):
                storage.flush()
            case ("reopen",):
                handle.close()
                handle.reopen()
                return True
            case _:
                with storage.begin() as transaction:
                    for one in operation[1] if operation[0] == "together" else [operation]:
                        change(transaction, one)
        return self.options.get("durability", "commit") == "commit" or operation == ("flush",)

    def state(self, handle):
        storage = handle.storage
        kept = {one.name: held(storage.at(one.root)) for one in snapshot.listed(storage)}
        return held(storage.view()), kept

    def model(self, operations):
        model = Warehouse()
        for operation in operations:
            try:
                apply(model, operation)
            except KeyError:
                continue  # the disk refused what it builds upon
        return model.state()


def held(view):
    return {name: sorted(rows_of(view.table(name))) for name in sorted(view.root.tables)}


def change(transaction, operation):
    if operation[0] != "create" and operation[1] not in transaction.tables():
        transaction.create_table(operation[1], COLUMNS)  # the one write after a recovery may find nothing
    match operation:
        case ("create", table, *sort):
            transaction.create_table(table, COLUMNS, sort=sort)
        case ("drop", table):
            transaction.drop_table(table)
        case ("insert", table, numbers):
            transaction.append(table, [batch(COLUMNS, list(map(row, numbers)))])
        case ("delete", table, least, most):
            transaction.delete(table, numbers_between(transaction.table(table), least, most))
        case ("update", table, number, text):
            rows = numbers_between(transaction.table(table), number, number)
            if rows:
                transaction.replace(table, rows, [batch(COLUMNS, [(number, text)] * len(rows))])
        case ("truncate", table):
            transaction.truncate(table)
        case ("vacuum", table):
            transaction.vacuum(table)


def numbers_between(table, least, most):
    return [number for n, number in rows_of(table.numbered(), "n", "$row") if least <= n <= most]


def row(number):
    """Texts that share nothing, so that no block is small for being all alike."""
    return number, (b"%04d" % (number * 7919 % 10_007)) * 12


def apply(model, operation):  # noqa: C901 - a case for each operation
    if operation[0] == "together":
        model.begin()
        for one in operation[1]:
            apply(model, one)
        model.commit()
        return
    if operation[0] in ("insert", "delete", "update", "truncate", "vacuum") and operation[1] not in model.tables:
        model.create(operation[1])
    match operation:
        case ("create", table, *_):
            model.create(table)
        case ("drop", table):
            model.drop(table)
        case ("insert", table, numbers):
            model.append(table, map(row, numbers))
        case ("delete", table, least, most):
            model.delete(table, lambda one: least <= one[0] <= most)
        case ("update", table, number, text):
            model.update(table, lambda one: one[0] == number, lambda one: (number, text))
        case ("truncate", table):
            model.truncate(table)
        case ("snapshot", name):
            model.snapshot(name)
        case ("drop snapshot", name):
            model.drop_snapshot(name)
        case ("restore", name, table, to):
            model.restore_table(name, table, to)


def operations(rounds):
    found = [("create", "T", "n"), ("create", "U")]
    for at in range(0, 1000 * rounds, 1000):
        found += [("insert", "T", range(at, at + 40)), ("insert", "U", [at + 1, at + 2]), ("snapshot", f"s{at}")]
        found += [("delete", "T", at + 10, at + 19), ("update", "T", at + 5, b"new"), ("insert", "T", [at + 50])]
        found += [("together", [("insert", "T", range(at + 60, at + 90)), ("delete", "U", at + 1, at + 1)])]
        found += [("vacuum", "T"), ("collect",), ("restore", f"s{at}", "T", f"R{at}"), ("insert", "U", [at + 3])]
        found += [("reopen",), ("delete", "T", at, at + 4), ("snapshot", f"t{at}"), ("drop snapshot", f"s{at}")]
        found += [("truncate", "U"), ("drop", f"R{at}"), ("collect",), ("insert", "U", [at + 7])]
    return found


EXTRA = ("insert", "T", [9_999])
SOME = [("create", "T", "n"), ("insert", "T", range(30)), ("snapshot", "s"), ("delete", "T", 3, 20), ("collect",)]
MORE = [*SOME, ("vacuum", "T"), ("restore", "s", "T", "R"), ("drop snapshot", "s"), ("insert", "T", [40])]
WHOLE = 8 << 20  # a buffer for everything


@pytest.mark.slow
@pytest.mark.parametrize("buffer", [0, WHOLE])
def test_a_warehouse_survives_every_power_loss(buffer):
    rounds, samples = (3, 60) if ALL else (1, 20)
    outcome = crash(f"Warehouse, buffer {buffer}", House(buffer=buffer), operations(rounds), EXTRA, samples=samples)
    assert outcome.violations == 0, outcome.first
    assert outcome.images > (2_000 if ALL else 500)


@pytest.mark.slow
def test_what_a_killed_process_left_of_a_warehouse_is_made_sure_before_it_is_built_upon():
    some = MORE if ALL else [*MORE[:3], ("drop snapshot", "s"), ("insert", "T", [40])]
    outcome = kill_everywhere(House(buffer=300), some, EXTRA, samples=1)
    print(f"Warehouse, killed        {outcome}")  # noqa: T201 - counts are the result
    assert outcome.violations == 0, outcome.first
    assert outcome.images > (10_000 if ALL else 1_000)


@pytest.mark.slow
@pytest.mark.parametrize("buffer", [0, WHOLE])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_failing_or_full_disk_leaves_tables_and_snapshots_as_they_were(number, keep, buffer):
    assert fail_everywhere(House(buffer=buffer), MORE, number, keep=keep) > 50


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["interval", "checkpoint"])
def test_commits_that_wait_are_lost_from_the_end_only(durability):
    some = [*MORE[:4], ("flush",), ("insert", "T", [50, 51]), ("snapshot", "u"), ("insert", "T", [52])]
    outcome = crash(f"Warehouse, {durability}", House(durability=durability), some, ("flush",), samples=8)
    assert outcome.violations == 0, outcome.first


@pytest.mark.slow
def test_every_flipped_byte_of_a_closed_warehouse_is_named_or_harmless():
    files, some = RecordingFileSystem(), MORE[:5]
    workload(House(), some)(files)
    counts = flip_every_byte(House(), files.image(), expected=House().model(some))
    print(f"Warehouse: flipped bytes {counts}")  # noqa: T201 - counts are the result
    assert counts["named"] > 1_500
