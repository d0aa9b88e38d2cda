"""What the tests of PartiQL share: a store with orders of ann and bob in it, and an empty table."""

from decimal import Decimal

import pytest

from engines import kv
from engines.clock import ManualClock

ANN = {"customer": "ann", "order": 1, "total": Decimal("9.5"), "tags": {"a", "b"}, "doc": {"a": [1, 2], "b": "it's"}}
BOB = {"customer": "bob", "order": 1, "total": 3, "note": None, "status": "open"}
KEY = """WHERE customer = 'ann' AND "order" = 1"""


@pytest.fixture
def store():
    with kv.Store(clock=ManualClock()) as store:
        orders = store.create_table(
            "orders",
            ("customer:S", "order:N"),
            indexes=[
                {"name": "by-status", "key": ("status:S", "total:N")},
                {"name": "by-total", "key": ("customer:S", "total:N"), "local": True},
            ],
        )
        orders.put(ANN)
        orders.put(BOB)
        store.create_table("plain", "id:S")
        yield store
