"""What a replica keeps beside its table: users can look at it, and that is all."""

import pytest
from regions import order

from engines import kv
from engines.errors import Invalid, NotFound

KEPT = ("orders.versions", "orders.replication")


@pytest.fixture
def store():
    with kv.Store() as store:
        store.create_table("orders", key=("customer:S", "order:N"), stream=True)
        yield store


@pytest.mark.parametrize("name", KEPT)
def test_a_name_that_a_replica_would_use_is_not_for_users(store, name, tmp_path):
    with pytest.raises(Invalid, match=r"kept by kv.Replica for the table 'orders'.*names that do not end in"):
        store.create_table(name, key="id:S")
    store.export("orders", tmp_path)
    with pytest.raises(Invalid, match=r"kept by kv\.Replica"):
        store.import_table(name, tmp_path, key=("customer:S", "order:N"))
    store.set_pitr("orders", enabled=True)
    with pytest.raises(Invalid, match=r"kept by kv\.Replica"):
        store.restore_table("orders", at=store.clock.now() / 1e6, to=name)
    assert store.tables() == ["orders"]


def test_no_user_writes_what_a_replica_keeps(store):
    one = kv.Replica(store, "orders", "eu")
    store.table("orders").put(order(1))
    one.forget()
    before = {name: store.table(name).scan().all() for name in KEPT}
    for name in KEPT:
        table = store.table(name)
        key = tuple(before[name][0][attribute] for attribute in table.definition.key_names)
        item = before[name][0]
        attempts = [
            lambda: table.put(item),  # noqa: B023 - called at once
            lambda: table.update(key, "SET a = :a", values={":a": 1}),  # noqa: B023 - the same
            lambda: table.delete(*key),  # noqa: B023 - the same
            lambda: store.transact([kv.Delete(name, key)]),  # noqa: B023 - the same
            lambda: store.batch_write([kv.Put(name, item)]),  # noqa: B023 - the same
            lambda: kv.Accelerator(table).put(item),  # noqa: B023 - the same
            lambda: table.create_index("more", "a:S"),  # noqa: B023 - the same
            lambda: table.capacity(read=1, write=1),  # noqa: B023 - the same
            lambda: store.set_ttl(name, "a"),  # noqa: B023 - the same
            lambda: store.drop_table(name),  # noqa: B023 - the same
        ]
        for attempt in attempts:
            with pytest.raises(Invalid, match=r"kept by kv\.Replica for the table 'orders'"):
                attempt()
        with pytest.raises(Invalid, match=r"kept by kv\.Replica"), table.batch_writer() as batch:
            batch.put(item)
        store.transact(
            [kv.Check(name, key, condition="attribute_exists(#k)", names={"#k": table.definition.key_names[0]})]
        )
    with pytest.raises(Invalid, match=r"kept by kv\.Replica"):
        store.table(KEPT[0]).drop_index("tombstones")
    assert {name: store.table(name).scan().all() for name in KEPT} == before


def test_what_a_replica_keeps_goes_with_its_table(store):
    kv.Replica(store, "orders", "eu")
    assert store.tables() == ["orders", "orders.replication", "orders.versions"]
    store.drop_table("orders")
    assert store.tables() == []


def test_a_restored_store_may_hold_what_a_replica_keeps_without_its_table(store):
    kv.Replica(store, "orders", "eu")
    store.snapshot("part", tables=["orders.versions"])
    with kv.Store.restore(store, "part", None) as restored:
        assert restored.tables() == ["orders.versions"]
        restored.drop_table("orders.versions")
        assert restored.tables() == []


def test_what_stops_following_is_raised_whatever_it_is(store):
    with kv.Store() as other:
        other.create_table("orders", key=("customer:S", "order:N"), stream=True)
        both = kv.GlobalTable([kv.Replica(store, "orders", "eu"), kv.Replica(other, "orders", "us")])

        def fail(*_):
            raise KeyError("milliseconds")

        both.sync = fail
        with pytest.raises(KeyError, match="milliseconds"), both.following(0.001):
            pass
        del both.sync
        other.drop_table("orders")
        with pytest.raises(NotFound, match="dropped"), both.following(0.001):
            pass
