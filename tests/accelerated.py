"""What the tests of the accelerator share: a table with one item, and an accelerator's counters."""

import pytest

from engines import kv

ANN = {"customer": "ann", "order": 1, "price": 9}
OF_ANN = {"key_condition": "customer = :c", "values": {":c": "ann"}}


@pytest.fixture
def orders(store):
    table = store.create_table("orders", key=("customer:S", "order:N"), ttl="expires", stream=True)
    table.put(ANN)
    return table


@pytest.fixture
def fast(orders):
    return kv.Accelerator(orders)


def counters(fast):
    return {row["cache"]: row for row in fast.stats().rows()}


def counted(fast, cache="items"):
    row = counters(fast)[cache]
    return row["hits"], row["negative hits"], row["misses"]
