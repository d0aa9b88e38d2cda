"""Regions for tests of global tables: a store in memory for each, with a clock of its own, all connected."""

import pytest
from models.items import shown
from moments import START

from engines import kv
from engines.clock import ManualClock


class World:
    """Some regions: a store in memory for each, with a clock of its own, and a global table of theirs."""

    def __init__(self, *skews, key=("customer:S", "order:N"), ttl=None):
        self.regions = ["eu", "us", "ap", "sa"][: len(skews)]
        self.clocks = {
            region: ManualClock((START + skew) * 1_000_000) for region, skew in zip(self.regions, skews, strict=True)
        }
        self.stores = {region: kv.Store(None, clock=clock) for region, clock in self.clocks.items()}
        self.tables = {
            region: store.create_table("orders", key=key, ttl=ttl, stream=True) for region, store in self.stores.items()
        }
        self.replicas = {region: kv.Replica(store, "orders", region) for region, store in self.stores.items()}
        self.all = kv.GlobalTable(self.replicas.values())

    def advance(self, **time):
        for clock in self.clocks.values():
            clock.advance(**time)

    def items(self, region):
        return shown(sorted(self.tables[region].scan(), key=lambda item: item["order"]))

    def everywhere(self):
        first, *others = [self.items(region) for region in self.regions]
        assert all(other == first for other in others)
        return [self.tables["eu"].get(*key) for key in sorted(version_keys(self.tables["eu"]))]

    def written(self):
        return {region: store.log.last for region, store in self.stores.items()}

    def close(self):
        for store in self.stores.values():
            store.close()


@pytest.fixture
def world():
    """Makes Worlds, and closes them at the end."""
    made = []

    def make(*skews, **options):
        made.append(World(*skews, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def version_keys(table):
    return [tuple(item[name] for name in table.definition.key_names) for item in table.scan()]


def order(number, **attributes):
    return {"customer": "ann", "order": number, **attributes}
