"""Indexes, updates and transactions under power loss, failing disks and kills: table, index and stream never differ."""

import errno
from decimal import Decimal

import pytest
from crash.rules import Subject, crash, fail_everywhere, kill_everywhere
from crash.test_kv import Handle

from engines import kv


class Indexed(Subject):
    """State: the items, what each index answers, what the change stream has told, whether the tokens are known."""

    def open(self, files):
        return Handle(files)

    def do(self, handle, operation):  # noqa: C901 - a case for each operation
        store = handle.store
        match operation:
            case ("create",):
                store.create_table("t", key=("p:S", "s:N"), stream=True, indexes=[{"name": "state", "key": "state:S"}])
            case ("index", name, key):
                store.table("t").create_index(name, key=key, projection="KEYS_ONLY")
            case ("drop index", name):
                store.table("t").drop_index(name)
            case ("put", item):
                if "t" not in store.tables():  # the extra write, where nothing else is there yet
                    self.do(handle, ("create",))
                store.table("t").put(item)
            case ("update", key, state):
                store.table("t").update(key, "SET #s = :s ADD n :one", names={"#s": "state"}, values=_values(state))
            case ("transact", token, items, gone):
                actions = [kv.Put("t", item) for item in items]
                store.transact([*actions, kv.Delete("t", gone)], token=token)
            case ("batch", items):
                with store.table("t").batch_writer() as batch:
                    for item in items:
                        batch.put(item)
            case ("checkpoint",):
                store.checkpoint()
            case ("reopen",):
                handle.close()
                handle.reopen()
        return True

    def state(self, handle):
        store = handle.store
        if "t" not in store.tables():
            return None
        table = store.table("t")
        indexes = {
            index["name"]: sorted(map(_key, table.scan(index=index["name"])))
            for index in table.describe()["indexes"]
            if index["status"] == "ACTIVE"
        }
        told = [(change.kind, change.key) for change in store.changes()]
        return sorted(map(_sortable, table.scan())), indexes, told

    def model(self, operations):  # noqa: C901 - a case for each operation
        items, indexes, told, there, tokens = {}, {"state": ["state"]}, [], False, set()

        def put(item):
            key = item["p"], item["s"]
            if items.get(key) != item:
                told.append(("MODIFY" if key in items else "INSERT", key))
            items[key] = item

        def take(key):
            if items.pop(key, None) is not None:
                told.append(("REMOVE", key))

        for operation in operations:
            there |= operation[0] in ("create", "put")
            match operation:
                case ("index", name, key):
                    indexes[name] = [part[:-2] for part in key]
                case ("drop index", name):
                    del indexes[name]
                case ("put", item):
                    put(item)
                case ("update", key, state):
                    old = items.get(key, {"p": key[0], "s": key[1]})
                    put(old | {"state": state, "n": old.get("n", 0) + 1})
                case ("batch", more):
                    for item in more:
                        put(item)
                case ("transact", token, more, gone) if token not in tokens:
                    tokens.add(token)
                    for item in more:
                        put(item)
                    take(gone)
        if not there:
            return None
        held = {
            name: sorted(_key(item) for item in items.values() if all(part in item for part in parts))
            for name, parts in indexes.items()
        }
        return sorted(map(_sortable, items.values())), held, told


def _values(state):
    return {":s": state, ":one": 1}


def _sortable(item):
    return sorted((name, str(value)) for name, value in item.items())


def _key(item):
    return item["p"], item["s"]


def thing(number):
    """Every third one is in no index; all of one size."""
    item = {"p": f"p{number % 3}", "s": Decimal(number % 5), "total": Decimal(number % 4), "text": f"{number:04}" * 120}
    return item if number % 3 == 0 else item | {"state": f"state-{number % 2}"}


def operations(rounds):
    found = [("create",)]
    for start in range(0, 10 * rounds, 10):
        found += [("put", thing(start)), ("batch", [thing(start + 1), thing(start + 2), thing(start + 3)])]
        found += [("index", "by_total", ("state:S", "total:N")), ("update", ("p1", Decimal(1)), f"state-{start}")]
        found += [("transact", f"token-{start}", [thing(start + 4), thing(start + 5)], ("p9", Decimal(start - 10)))]
        found += [("checkpoint",), ("update", ("p9", Decimal(start)), "new"), ("reopen",)]
        found += [("transact", f"token-{start}", [thing(start + 4), thing(start + 5)], ("p9", Decimal(start - 10)))]
        found += [("put", thing(start + 6)), ("drop index", "by_total"), ("put", thing(start + 7))]
    return found


EXTRA = ("put", {"p": "after", "s": Decimal(1), "state": "new"})


class Verified(Indexed):
    """A store that opens but finds fault with itself is a violation too."""

    def state(self, handle):
        report = handle.store.verify()
        assert report.ok, report
        return super().state(handle)


@pytest.mark.slow
def test_indexes_survive_every_power_loss():
    outcome = crash("kv.Store, indexes", Verified(), operations(7), EXTRA, samples=60)
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 900


@pytest.mark.slow
def test_what_a_killed_process_left_of_indexes_is_made_sure_before_it_is_built_upon():
    outcome = kill_everywhere(Indexed(), operations(1)[:6], EXTRA, samples=1)
    print(f"kv.Store, indexes, killed {outcome}")  # noqa: T201 - counts are the result
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 300


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_indexes_are_poisoned_or_unharmed_wherever_the_disk_fails(number):
    assert fail_everywhere(Indexed(), operations(1)[:8], number, keep=False) > 30
