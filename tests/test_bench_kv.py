"""The key-value benches: what they ask of each system has one answer, and a wrong one is noticed."""

from collections import Counter
from contextlib import nullcontext

import bench_kv_tables
import bench_kv_time
import pytest
from adapters import kv_tables, kv_time
from race import Lane, race
from systems import PROCESS, SYSTEMS
from ycsb import Customers

STAYING = [{"id": f"stays{i:08d}", "ends": None, "value": "v"} for i in range(3)]


def test_ranges_begin_where_a_customer_has_enough_items_left():
    items = Customers(500)
    starts = items.starts(2000, 100, 1)
    assert max(start % 250 for start in starts) == 150
    for start in starts:
        assert len({customer for customer, _ in items.keys[start : start + 100]}) == 1
    letters = [ord(item["field9"][-1]) for item in items.items]
    assert items.sums[237] - items.sums[100] == sum(letters[100:237])


def test_a_hundredth_of_the_orders_is_in_each_city_and_a_put_moves_all_that_is_indexed():
    orders = bench_kv_tables.Orders(1000)
    assert {Counter(item["city"] for item in orders.items)[f"city{at:02d}"] for at in range(100)} == {10}
    before, after = orders.items[3], orders.version(3, 1)
    assert all(before[name] != after[name] for name in ("city", "team", "qty"))


def put_orders(adapter, folder, orders):
    adapter.open(folder, PROCESS)
    adapter.load([adapter.entry(key, item) for key, item in zip(orders.keys, orders.items, strict=True)])
    return adapter


@pytest.mark.parametrize("system", kv_tables.ORDERS)
def test_updates_add_and_filters_find_in_every_system(tmp_path, system):
    if SYSTEMS[system].missing:
        pytest.skip(SYSTEMS[system].missing)
    orders = bench_kv_tables.Orders(200)
    adapter = put_orders(kv_tables.ORDERS[system](), tmp_path, orders)
    adapter.add(adapter.key(orders.keys[3]), 5)
    assert adapter.get(adapter.key(orders.keys[3])) == orders.items[3] | {"qty": orders.items[3]["qty"] + 5}
    assert {item["id"] for item in adapter.in_city("city31")} == {orders.keys[1], orders.keys[101]}
    adapter.close()


@pytest.mark.parametrize("system", kv_tables.INDEXED[2])
def test_a_wrong_index_is_noticed(tmp_path, system):
    orders = bench_kv_tables.Orders(60)
    adapter = put_orders(kv_tables.INDEXED[2][system](), tmp_path, orders)
    bench_kv_tables.check_indexes(adapter, orders.items, ("city", "team"))
    adapter.put(adapter.entry(orders.keys[7], orders.version(7, 1)))
    with pytest.raises(AssertionError, match="the index city is wrong"):
        bench_kv_tables.check_indexes(adapter, orders.items, ("city", "team"))
    adapter.close()


@pytest.mark.parametrize("system", kv_time.RETURNING)
def test_a_table_comes_back_as_it_was_between_two_hours(tmp_path, system):
    adapter = kv_time.RETURNING[system]()
    adapter.open(tmp_path, PROCESS)
    adapter.load([adapter.entry(key, {"id": key, "hour": 0}) for key in "abc"])
    for hour, key in ((1, "a"), (2, "a"), (2, "b")):
        adapter.hour(hour)
        adapter.put(adapter.entry(key, {"id": key, "hour": hour}))
    adapter.hour(3)
    adapter.restore(1, "before")
    assert {key: item["hour"] for key, item in adapter.contents("before").items()} == {"a": 1, "b": 0, "c": 0}
    adapter.close()


@pytest.mark.parametrize("system", kv_time.EXPIRING)
def test_expiries_are_timed_and_a_deletion_without_a_record_is_noticed(tmp_path, monkeypatch, system):
    if SYSTEMS[system].missing:
        pytest.skip(SYSTEMS[system].missing)
    wait = Lane("wait", system, 1, run=None)

    def raced(folder):
        lane = bench_kv_time.expiring(system, tmp_path / folder, 40, STAYING, wait)
        race([lane], 1)
        return lane

    raced("right").assert_right()
    assert len(wait.laps) == 1
    monkeypatch.setattr(kv_time.EXPIRING[system], "records", lambda _: 39)
    with pytest.raises(AssertionError, match=r"are \(40, 39, 3\)"):
        raced("unrecorded").assert_right()


def test_a_reader_that_misses_an_item_says_so():
    reader = bench_kv_time.Waits(lambda: nullcontext({"stays00000000": STAYING[0]}.get), STAYING)
    reader.start()
    reader.join(10)
    with pytest.raises(AssertionError, match="stays00000001 is not what was put"):
        reader.stop()
