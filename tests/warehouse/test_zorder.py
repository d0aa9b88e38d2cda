"""Interleaved sort keys: along the curve, with every key of use to the zone maps."""

import numpy as np
import pytest

from engines.errors import Invalid
from engines.sql.types import BIGINT
from engines.sql.values import column_of
from engines.warehouse import Warehouse
from engines.warehouse.zorder import ranked, zorder


def test_four_corners_come_in_the_order_of_a_z():
    across = column_of([0, 1, 0, 1], BIGINT)
    down = column_of([0, 0, 1, 1], BIGINT)
    assert zorder([down, across], 4).tolist() == [0, 1, 2, 3]
    assert zorder([across, down], 4).tolist() == [0, 2, 1, 3]


def test_equal_values_have_one_rank_and_nulls_the_last():
    ranks = ranked(column_of([7, None, 7, 3], BIGINT), 4, 16).tolist()
    assert ranks[0] == ranks[2]
    assert ranks[3] < ranks[0] < ranks[1]


def test_no_row_is_lost():
    random = np.random.default_rng(7)
    keys = [column_of(random.integers(0, 50, 1000).tolist(), BIGINT) for _ in range(3)]
    assert sorted(zorder(keys, 1000).tolist()) == list(range(1000))


def test_each_key_prunes():
    random = np.random.default_rng(1)
    data = {name: random.integers(0, 1000, 600_000).tolist() for name in ("a", "b")}
    with Warehouse() as warehouse:
        pruned = {}
        for kind in ("INTERLEAVED", "COMPOUND"):
            warehouse.sql(f"CREATE TABLE {kind}_t (a INT, b INT) DISTSTYLE EVEN {kind} SORTKEY (a, b)")
            warehouse.append(f"{kind}_t", data)
            for name in ("a", "b"):
                found = warehouse.sql(f"SELECT COUNT(*) FROM {kind}_t WHERE {name} = 5")
                assert found.rows() == [(data[name].count(5),)]
                pruned[kind, name] = found.stats["blocks_pruned"]
        assert pruned["COMPOUND", "b"] == 0
        assert 0 < pruned["INTERLEAVED", "a"] < pruned["COMPOUND", "a"]
        assert pruned["INTERLEAVED", "b"] > 0


def test_reindex_ranks_all_loads_together():
    random = np.random.default_rng(3)
    with Warehouse(slices=1) as warehouse:
        warehouse.sql("CREATE TABLE t (a INT, b INT) DISTSTYLE EVEN INTERLEAVED SORTKEY (a, b)")
        for _ in range(4):
            warehouse.append("t", {name: random.integers(0, 1000, 70_000).tolist() for name in ("a", "b")})
        rows = sorted(warehouse.sql("SELECT a, b FROM t").rows())
        before = warehouse.sql("SELECT COUNT(*) FROM t WHERE b < 100").stats
        warehouse.sql("VACUUM REINDEX t")
        after = warehouse.sql("SELECT COUNT(*) FROM t WHERE b < 100").stats
        assert sorted(warehouse.sql("SELECT a, b FROM t").rows()) == rows
        assert after["blocks_decoded"] < before["blocks_decoded"]


def test_nine_keys_are_too_many():
    columns = ", ".join(f"c{number} INT" for number in range(9))
    names = ", ".join(f"c{number}" for number in range(9))
    with Warehouse() as warehouse, pytest.raises(Invalid, match="at most 8 columns, got 9"):
        warehouse.sql(f"CREATE TABLE t ({columns}) INTERLEAVED SORTKEY ({names})")
