"""Tables: updates by an expression, queries of a hundred items (YCSB's E), filtered scans, puts that keep indexes.

The items are YCSB's with three attributes behind the ten fields: a city (one of a hundred), a team (one of fifty), and
a quantity. A put replaces all of them, so every index entry moves. An update changes the quantity alone; beside it
stands, in the same race, a put of such an item whose new version the program had already. The filter lets the items of
one city pass, a hundredth; an operation is an item that is examined. An operation of the query is all hundred items.
"""

from contextlib import ExitStack

import pytest
from adapters.kv_tables import INDEXED, ORDERS, RANGES
from data import Items
from race import Lane, entrants, failing, group, report
from systems import PROCESS
from ycsb import Customers, Loaded, putting, race_together, ranging

SYSTEMS = ("engines", "lmdb + ormsgpack", "rocksdict", "sqlite")
RANGE_ITEMS = 100
CITIES, TEAMS = 100, 50

QUERY = "kv [process-safe] query of 100 items"
PUT, UPDATE = "kv [process-safe] put", "kv [process-safe] update by an expression"
PUT1, PUT2 = "kv [process-safe] put, 1 index", "kv [process-safe] put, 2 indexes"
FILTER = "kv [process-safe] scan, 1 % passes"


class Orders(Items):
    """YCSB's items with a city, a team and a quantity."""

    def __init__(self, n, seed=1):
        super().__init__(n, seed)
        self.items = [item | self.places(i, 0) for i, item in enumerate(self.items)]

    @staticmethod
    def places(i, number):
        at = i * 31 + number * 7919
        return {"city": f"city{at % CITIES:02d}", "team": f"team{at % TEAMS:02d}", "qty": at % 1000}

    def version(self, i, number):
        return super().version(i, number) | self.places(i, number)


@pytest.fixture(scope="module")
def ranges(request, scale, folder):
    items = Customers(scale.items)
    stores = Loaded(RANGES, entrants(request), "", grade=PROCESS, items=items, folder=folder / "ranges")
    with ExitStack() as stack:
        queries = max(5, scale.operations // RANGE_ITEMS)
        yield stores.race(request, ranging(stores, QUERY, queries, RANGE_ITEMS, stack), scale.rounds)
    stores.close()


@group(QUERY)
@pytest.mark.parametrize("system", SYSTEMS)
def bench_query(benchmark, ranges, system):
    report(benchmark, ranges[QUERY, system])


@pytest.fixture(scope="module")
def orders(scale):
    return Orders(scale.items)


@pytest.fixture(scope="module")
def plain(request, orders, folder):
    stores = Loaded(ORDERS, entrants(request), "", grade=PROCESS, items=orders, folder=folder / "orders")
    yield stores
    stores.close()


def updating(stores, group_name, operations):
    """Zipfian additions to one attribute."""

    def lanes_of(name):
        adapter, keys, now = stores.adapters[name], stores.keys[name], stores.now[name]

        def prepare(lap):
            numbers = stores.items.zipfian(operations, 500 + lap)
            for by, i in enumerate(numbers, 1):
                now[i] = now[i] | {"qty": now[i]["qty"] + by}
            return [(keys[i], by) for by, i in enumerate(numbers, 1)]

        def run(additions):
            add = adapter.add
            for key, by in additions:
                add(key, by)

        yield Lane(group_name, name, operations, run, prepare)

    return lanes_of


@pytest.fixture(scope="module")
def writes(request, scale, orders, plain, folder):
    """Updates, and puts with no, one and two indexes, in one race: ratios between these groups are figures too."""
    names, count = entrants(request), scale.operations
    indexed = {
        number: Loaded(
            adapters,
            [name for name in names if name in adapters],
            "",
            grade=PROCESS,
            items=orders,
            folder=folder / f"indexes {number}",
        )
        for number, adapters in INDEXED.items()
    }
    parts = [
        (plain, putting(plain, PUT, count, 0)),
        (plain, updating(plain, UPDATE, count)),
        (indexed[1], putting(indexed[1], PUT1, count, 0)),
        (indexed[2], putting(indexed[2], PUT2, count, 0)),
    ]
    lanes = race_together(request, parts, scale.rounds)
    for number, stores in indexed.items():
        for name, adapter in stores.adapters.items():
            with failing(lane for lane in lanes.values() if lane.system == name):
                check_indexes(adapter, stores.now[name], ("city", "team")[:number])
        stores.close()
    return lanes


def check_indexes(adapter, now, indexes):
    for index in indexes:
        for value in {item[index] for item in now[:20]}:
            expected = {item["id"] for item in now if item[index] == value}
            assert adapter.found(index, value) == expected, f"the index {index} is wrong at {value}"


@group(PUT)
@pytest.mark.parametrize("system", SYSTEMS)
def bench_plain_put(benchmark, writes, system):
    report(benchmark, writes[PUT, system])


@group(UPDATE)
@pytest.mark.parametrize("system", SYSTEMS)
def bench_update(benchmark, writes, system):
    report(benchmark, writes[UPDATE, system])


@group(PUT1)
@pytest.mark.parametrize("system", INDEXED[1])
def bench_put_with_index(benchmark, writes, system):
    report(benchmark, writes[PUT1, system])


@group(PUT2)
@pytest.mark.parametrize("system", INDEXED[2])
def bench_put_with_two_indexes(benchmark, writes, system):
    report(benchmark, writes[PUT2, system])


@pytest.fixture(scope="module")
def scans(request, scale, plain):
    """Each lap asks for another city. The items were rewritten at random by now, if the puts have run."""
    n = plain.items.n

    def lanes_of(name):
        adapter, now = plain.adapters[name], plain.now[name]

        def right(lap, found):
            expected = sorted((item for item in now if item["city"] == f"city{lap:02d}"), key=by_id)
            assert sorted(found, key=by_id) == expected

        yield Lane(FILTER, name, n, adapter.in_city, lambda lap: f"city{lap:02d}", right)

    return plain.race(request, lanes_of, scale.rounds)


def by_id(item):
    return item["id"]


@group(FILTER)
@pytest.mark.parametrize("system", ORDERS)
def bench_filtered_scan(benchmark, scans, system):
    report(benchmark, scans[FILTER, system])
