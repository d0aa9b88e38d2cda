"""A store with a few orders, statements of policies, and the condition keys by short names: for tests of sessions."""

from engines import kv
from engines.clock import ManualClock

START = 1_767_268_800_250_000  # 2026-01-01T12:00:00.25Z
STREAM = "table/orders/stream/2026-01-01T12:00:00.250"
LEADING, ATTRIBUTES = "dynamodb:LeadingKeys", "dynamodb:Attributes"
SELECT, RETURNS, PAID = "dynamodb:Select", "dynamodb:ReturnValues", "dynamodb:ReturnConsumedCapacity"
WITHIN, SCANS = "dynamodb:EnclosingOperation", "dynamodb:FullTableScan"
ORDER = {"customer": "ann", "n": 1, "price": 5, "note": {"a": [1, 2]}}


def allow(action="*", resource="*", **conditions):
    actions = action if action == "*" or not isinstance(action, str) else f"dynamodb:{action}"
    statement = {"Effect": "Allow", "Action": actions, "Resource": resource}
    return statement | ({"Condition": {k.replace("__", ":"): v for k, v in conditions.items()}} if conditions else {})


def deny(action="*", resource="*", **conditions):
    return allow(action, resource, **conditions) | {"Effect": "Deny"}


def made(path=None):
    store = kv.Store(path, clock=ManualClock(START))
    table = store.create_table(
        "orders",
        key=("customer:S", "n:N"),
        stream=True,
        capacity=(1000, 1000),
        indexes=[{"name": "by_price", "key": ("price:N", "customer:S")}],
    )
    store.create_table("users", key="id:B")
    for customer in ("ann", "bob"):
        for n in range(3):
            table.put(ORDER | {"customer": customer, "n": n})
    return store


def through_writer(table, writes):
    with table.batch_writer() as writer:
        for write in writes:
            if isinstance(write, kv.Put):
                writer.put(write.item)
            else:
                writer.delete(*write.key)
