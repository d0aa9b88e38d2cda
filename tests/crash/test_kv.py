"""The key-value store under power loss, failing disks, kills, flipped bytes: tables, batches, expiry, change stream."""

import errno
from decimal import Decimal

import pytest
from crash.recorder import RecordingFileSystem
from crash.rules import FromNothing, Subject, crash, fail_everywhere, flip_every_byte, kill_everywhere, workload

from engines import kv
from engines.clock import ManualClock

START = 1_000_000 * 1_000_000  # microseconds
SOON = 1_000_100  # seconds


class Handle:
    """A store, and what is needed to open it again."""

    def __init__(self, files):
        self.files = files
        self.reopen()

    def reopen(self):
        self.clock = ManualClock(START)
        self.store = kv.Store("/shop", clock=self.clock, files=self.files)

    def verify(self):
        return self.store.verify()

    def close(self):
        self.store.close()


class Stores(Subject):
    """State: the items of every table, and what the change stream of `orders` has told."""

    def open(self, files):
        return Handle(files)

    def do(self, handle, operation):  # noqa: C901 - a case for each operation
        store = handle.store
        match operation:
            case ("create", "orders"):
                store.create_table("orders", key=("customer:S", "order:N"), stream=True)
            case ("create", name):
                store.create_table(name, key="id:N", ttl="expires")
            case ("drop", name):
                store.drop_table(name)
            case ("put", name, item):
                store.table(name).put(item)
            case ("batch", name, items):
                with store.table(name).batch_writer() as batch:
                    for item in items:
                        batch.put(item)
            case ("delete", name, key):
                store.table(name).delete(*key)
            case ("expire",):
                handle.clock.advance(120)
                store.expire()
            case ("checkpoint",):
                store.checkpoint()
            case ("reopen",):
                handle.close()
                handle.reopen()
        return True

    def state(self, handle):
        store = handle.store
        tables = {name: sorted(map(_sortable, store.table(name).scan())) for name in store.tables()}
        told = [(change.kind, change.key, change.new) for change in store.changes()] if "orders" in tables else []
        return tables, told

    def model(self, operations):  # noqa: C901 - a case for each operation
        tables, told = {}, []
        for operation in operations:
            match operation:
                case ("create", name):
                    tables[name] = {}
                case ("drop", name):
                    del tables[name]
                case ("put", name, item):
                    _model_put(tables, told, name, item)
                case ("batch", name, items):
                    for item in items:
                        _model_put(tables, told, name, item)
                case ("delete", name, key):
                    if tables[name].pop(key, None) is not None and name == "orders":
                        told.append(("REMOVE", key, None))
                case ("expire",):
                    for items in tables.values():
                        for key in [key for key, item in items.items() if item.get("expires", SOON + 1) <= SOON]:
                            del items[key]
        return {name: sorted(map(_sortable, items.values())) for name, items in tables.items()}, told


def _model_put(tables, told, name, item):
    key = (item["customer"], item["order"]) if name == "orders" else (item["id"],)
    if name == "orders":
        told.append(("MODIFY" if key in tables[name] else "INSERT", key, item))
    tables[name][key] = item


def _sortable(item):
    return sorted((name, str(value)) for name, value in item.items())


def order(number):
    """All of one size, so that a stale frame lies where a later reader would look."""
    return {"customer": "ann", "order": Decimal(number % 7), "text": f"{number:04}" * 150}


def visit(number):
    """Every other one expires soon."""
    return {"id": Decimal(number % 9), "expires": Decimal(SOON - number % 2 * 50 + 50), "text": f"{number:04}" * 150}


def operations(rounds):
    found = [("create", "orders"), ("create", "visits")]
    for start in range(0, 12 * rounds, 12):
        found += [("put", "orders", order(start)), ("put", "visits", visit(start))]
        found += [("batch", "orders", [order(number) for number in range(start + 1, start + 4)])]
        found += [("batch", "visits", [visit(number) for number in range(start + 1, start + 5)])]
        found += [("delete", "orders", ("ann", Decimal((start + 2) % 7))), ("checkpoint",)]
        found += [("put", "orders", order(start + 5)), ("expire",), ("reopen",), ("put", "orders", order(start + 6))]
        found += [("create", f"table-{start}"), ("put", f"table-{start}", visit(start))]
        found += [("drop", f"table-{start}")]
    return found


EXTRA = ("put", "orders", {"customer": "after", "order": Decimal(1), "text": "new"})
CREATE_FIRST = ("create", "orders")


class StoresFromNothing(FromNothing, Stores):
    create, extra = CREATE_FIRST, EXTRA

    def has_table(self, handle):
        return "orders" in handle.store.tables()


@pytest.mark.slow
def test_the_store_survives_every_power_loss():
    outcome = crash("kv.Store", StoresFromNothing(), operations(9), EXTRA, samples=60)
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 1_000


@pytest.mark.slow
def test_what_a_killed_process_left_in_the_store_is_made_sure_before_it_is_built_upon():
    some = [*operations(1)[:2], ("put", "orders", order(1)), ("checkpoint",), ("put", "orders", order(2))]
    outcome = kill_everywhere(StoresFromNothing(), some, EXTRA, samples=1)
    print(f"kv.Store, killed         {outcome}")  # noqa: T201 - counts are the result
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 300


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("keep", [False, True])
def test_the_store_is_poisoned_or_unharmed_wherever_the_disk_fails(number, keep):
    assert fail_everywhere(Stores(), operations(1)[:9], number, keep=keep) > 30


@pytest.mark.slow
def test_every_flipped_byte_of_a_closed_store_is_named_or_harmless():
    subject, some = Stores(), operations(1)[:4]
    files = RecordingFileSystem()
    workload(subject, some)(files)
    counts = flip_every_byte(subject, files.image(), expected=subject.model(some))
    print(f"kv.Store: flipped bytes {counts}")  # noqa: T201 - counts are the result
    assert counts["named"] > 16_000
