"""The key-value store as plain Python sees it: a dict a table, sorted when somebody asks for an order.

An item whose second has come is not there. Which second that is, is decided when it is put.
"""

from decimal import Decimal

from models.items import normal

FIVE_YEARS = 5 * 366 * 86400


class Table:
    """Items by their key, with the second in which each expires (None: never). clock.now() is in microseconds."""

    def __init__(self, key, clock, ttl=None):
        self.key, self.ttl, self.clock = key, ttl, clock
        self.items = {}

    def second(self):
        return self.clock.now() // 1_000_000

    def expiry(self, item):
        value = item.get(self.ttl)
        if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
            return None
        return int(value) if value >= 1 and int(value) >= self.second() - FIVE_YEARS else None

    def key_of(self, item):
        return tuple(normal(item[name]) for name in self.key)

    def get(self, key):
        item, expires = self.items.get(key, (None, None))
        return None if expires is not None and expires <= self.second() else item

    def put(self, item):
        old = self.get(self.key_of(item))
        self.items[self.key_of(item)] = normal(item), self.expiry(item)
        return old

    def delete(self, key):
        old = self.get(key)
        self.items.pop(key, None)
        return old

    def alive(self):
        return {key: item for key in self.items if (item := self.get(key)) is not None}

    def query(self, partition, holds=None, *, reverse=False):
        """holds is asked about the sort key, a text as its UTF-8 bytes."""
        found = [(key, item) for key, item in self.alive().items() if key[0] == partition]
        found = [(key, item) for key, item in found if holds is None or holds(order(key[1]))]
        return [item for _, item in sorted(found, key=lambda pair: order(pair[0][-1]), reverse=reverse)]


def order(value):
    return value.encode() if isinstance(value, str) else value
