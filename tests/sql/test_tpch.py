"""The 22 queries of TPC-H at two sizes, against DuckDB over the same files.

Averages of decimals and their quotients are decimals here and DOUBLE there: equal within the digits that a decimal has.
"""

from decimal import Decimal

import pytest
import tpch

from engines.sql.engine import SQL, MemoryCatalog

duckdb = pytest.importorskip("duckdb")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module", params=[0.01, 0.1], ids="scale {}".format)
def both(request, tmp_path_factory):
    """The engine and DuckDB over the same tables."""
    files = tpch.files(tmp_path_factory.mktemp("tpch"), request.param)
    if files is None:
        pytest.skip("tpchgen-cli, which makes the tables, is not there: pip install tpchgen-cli")
    with duckdb.connect() as peer:
        tables = {name: parquet.read_table(path) for name, path in files.items()}
        for name, table in tables.items():
            peer.register(name, table)
        yield SQL(MemoryCatalog(tables), threads=2), peer


def same(ours, theirs):
    """One value; a DOUBLE in the place of a decimal as far as the decimal's digits go."""
    if isinstance(ours, Decimal) and isinstance(theirs, float):
        unit = 10.0 ** ours.as_tuple().exponent
        return abs(float(ours) - theirs) <= unit + 1e-12 * abs(theirs)
    return ours == theirs


@pytest.mark.parametrize("number", tpch.QUERIES)
def test_the_rows_of_a_query_are_those_of_duckdb_in_the_same_order(both, number):
    engine, peer = both
    ours = engine.query(tpch.QUERIES[number]).rows()
    theirs = peer.execute(tpch.QUERIES[number]).fetchall()
    assert len(ours) == len(theirs) > 0
    for row, expected in zip(ours, theirs, strict=True):
        assert all(map(same, row, expected)), f"query {number}: {tuple(row)} is not {expected}"
