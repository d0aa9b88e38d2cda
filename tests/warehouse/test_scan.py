"""Scanning: what predicates, zone maps and masks leave is what plain Python leaves, whatever the encoding."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warehouse.asking import ask
from warehouse.columns import TYPES, batch, bits, column_of, columns, definitions, rows_of, values_of, values_of_type

from engines.errors import Corrupted
from engines.sql.column import Batch
from engines.sql.source import Predicate, Scanned, Support
from engines.sql.types import BIGINT, DOUBLE, INTEGER, VARCHAR
from engines.warehouse.blocks import NAMES, encode
from engines.warehouse.catalog import ColumnDefinition
from engines.warehouse.codec import Block
from engines.warehouse.pages import BlockReference
from engines.warehouse.predicates import Verdict, support, tests_of
from engines.warehouse.storage import Storage
from engines.warehouse.warehouse import Warehouse

COMPARISONS = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def passes(value, predicate):
    """What SQL says of one value; NaN is equal to itself and above everything."""
    wanted = predicate.value
    match predicate.op:
        case "is null":
            return value is None
        case "is not null":
            return value is not None
        case "in":
            return any(passes(value, Predicate("c", "=", one)) for one in wanted)
        case "prefix":
            return value is not None and value.startswith(wanted)
    if value is None or wanted is None:
        return False
    return COMPARISONS[predicate.op](ordered(value), ordered(wanted))


def ordered(value):
    return (1, 0.0) if isinstance(value, float) and math.isnan(value) else (0, value)


@st.composite
def questions(draw, types=TYPES, *, constants=True):
    """(type, values, column, a predicate on it); the constants occur in the column, or stand near what does."""
    type, values, column = draw(columns(types))
    known = [value for value in values if value is not None]
    near = [*known]
    if not type.bytes and not type.floating and type.kind != "boolean":
        near += [value + step for value in known for step in (-1, 1)]
    elements = st.one_of(st.sampled_from(near), values_of_type(type)) if near else values_of_type(type)
    if constants:
        elements = st.one_of(elements, st.none())
    ops = [*COMPARISONS, "in", "is null", "is not null", *(["prefix"] if type.bytes else [])]
    op = draw(st.sampled_from(ops))
    match op:
        case "in":
            value = tuple(draw(st.lists(elements, max_size=12)))
        case "is null" | "is not null":
            value = None
        case "prefix":
            value = draw(elements.filter(lambda one: one is not None))[: draw(st.integers(0, 3))]
        case _:
            value = draw(elements)
    return type, values, column, Predicate("c", op, value)


@settings(max_examples=400)
@given(questions(), st.sampled_from(NAMES))
def test_predicates_on_encoded_blocks_equal_predicates_on_values(question, wanted):
    type, values, column, predicate = question
    made = encode(column, len(values), wanted)
    wished = [passes(value, predicate) for value in values]
    (test,) = tests_of([predicate], {"c": type})
    reference = BlockReference(0, 1, made.encoding, False, 1, made.nulls, 0, made.low, made.high)
    match test.verdict(reference, len(values)):
        case Verdict.NO:
            assert not any(wished)
        case Verdict.EVERY:
            assert all(wished)
    if support(type, predicate) is Support.EXACT and not test.never:
        found = test.mask(Block(made.data).decode(type, made.low, made.high), len(values))
        assert found.tolist() == [int(wish) for wish in wished]


@settings(max_examples=60)
@given(st.lists(questions(constants=False), min_size=1, max_size=5), st.data())
def test_zone_maps_never_prune_a_row_that_matches(drawn, data):
    """Several row groups; a predicate made of the values of one of them."""
    type, _, _, predicate = data.draw(st.sampled_from(drawn))
    groups = [values for kind, values, _, _ in drawn if kind is type]
    storage = Storage(threads=1, slices=1)
    with storage.begin() as transaction:
        transaction.create_table("t", definitions(c=type))
        for values in groups:
            transaction.append("t", [Batch({"c": column_of(type, values)}, len(values))])
    table = storage.table("t")
    assert len(table.state.groups) == len(groups)
    left = {int(partition.origin) for partition in table.partitions([predicate], Scanned())}
    for place, values in enumerate(groups):
        if any(passes(value, predicate) for value in values):
            assert place in left
    if support(type, predicate) is Support.EXACT:
        wished = [(bits(value),) for values in groups for value in values if passes(value, predicate)]
        assert rows_of(table, predicates=[predicate]) == wished


@pytest.fixture
def storage():
    with Storage(threads=1, slices=2) as opened:
        yield opened


def fill(storage, name, rows, **options):
    with storage.begin() as transaction:
        transaction.create_table(name, definitions(a=INTEGER, b=VARCHAR, c=DOUBLE), **options)
        transaction.append(name, [batch(definitions(a=INTEGER, b=VARCHAR, c=DOUBLE), rows)])


def some(count):
    return [(n, b"w%d" % (n % 7) if n % 5 else None, n / 4) for n in range(count)]


def test_a_scan_gives_the_rows_that_were_appended_in_their_order(storage):
    fill(storage, "t", some(500))
    assert rows_of(storage.table("t")) == [(a, b, bits(c)) for a, b, c in some(500)]
    assert rows_of(storage.table("t"), "b", "a") == [(b, a) for a, b, _ in some(500)]


def test_predicates_of_several_columns_hold_together(storage):
    fill(storage, "t", some(500))
    asked = [Predicate("a", ">", 100), Predicate("b", "in", (b"w1", b"w3")), Predicate("a", "<=", 400)]
    wished = [a for a, b, _ in some(500) if 100 < a <= 400 and b in (b"w1", b"w3")]
    assert [a for (a,) in rows_of(storage.table("t"), "a", predicates=asked)] == wished


def test_what_a_join_keeps_thins_out_a_scan(storage):
    fill(storage, "t", some(300))
    table = storage.table("t")
    keep = {"a": lambda column: (column.numbers() % 10 == 0).astype(np.uint8)}
    (partition,) = table.partitions([], Scanned())
    found = list(table.scan_where(partition, ["a"], [Predicate("a", "<", 50)], Scanned(), keep))
    assert [value for one in found for value in values_of(one.column("a"), one.rows)] == [0, 10, 20, 30, 40]


def test_a_column_that_nobody_asks_for_is_not_decoded(storage):
    fill(storage, "t", some(300))
    scanned = Scanned()
    table = storage.table("t")
    (partition,) = table.partitions([Predicate("a", "<", 50)], scanned)
    (found,) = table.scan(partition, ["a", "b", "c"], [Predicate("a", "<", 50)], scanned)
    assert (scanned.blocks_decoded, scanned.rows_scanned, found.rows) == (1, 300, 50)
    found.column("b")
    assert scanned.blocks_decoded == 2


def test_a_block_that_the_zone_map_answers_for_is_not_decoded(storage):
    fill(storage, "t", some(300))
    for predicate, count in ((Predicate("a", ">=", 0), 300), (Predicate("a", ">", 299), 0)):
        scanned = Scanned()
        table = storage.table("t")
        assert (
            sum(
                one.rows
                for partition in table.partitions([], scanned)
                for one in table.scan(partition, ["c"], [predicate], scanned)
            )
            == count
        )
        assert scanned.blocks_decoded == 0


def test_sorted_row_groups_are_pruned_but_for_one(storage):
    with storage.begin() as transaction:
        transaction.create_table("t", definitions(n=BIGINT), sort=["n"])
        numbers = np.random.default_rng(0).permutation(600_000)
        column = batch(definitions(n=BIGINT), [(0,)]).column("n")
        column = type(column)(BIGINT, numbers)
        transaction.append("t", [Batch({"n": column}, len(numbers))])
    table, scanned = storage.table("t"), Scanned()
    assert len(table.partitions([Predicate("n", "=", 300_000)], scanned)) == 1
    assert scanned.blocks_total == len(table.state.groups) == 10
    assert scanned.blocks_pruned == 9
    assert rows_of(table, predicates=[Predicate("n", "=", 300_000)]) == [(300_000,)]


def test_a_key_prunes_to_the_slice_where_it_lies(storage):
    with storage.begin() as transaction:
        transaction.create_table("t", definitions(k=INTEGER, v=INTEGER), style="key", key="k")
        rows = [(n * 7919 % 1000, n) for n in range(1000)]
        transaction.append("t", [batch(definitions(k=INTEGER, v=INTEGER), rows)])
    table = storage.table("t")
    assert sorted(rows_of(table)) == sorted(rows)
    assert {partition.slice for partition in table.partitions([], Scanned())} == {0, 1}
    assert len(table.partitions([Predicate("k", "=", 5)], Scanned())) == 1
    assert rows_of(table, "k", predicates=[Predicate("k", "=", 5)]) == [(5,)]


def test_a_column_that_was_added_holds_its_default_in_older_rows(storage):
    fill(storage, "t", some(50))
    with storage.begin() as transaction:
        transaction.add_column("t", ColumnDefinition("d", INTEGER, missing=9))
        transaction.add_column("t", ColumnDefinition("e", VARCHAR))
    table = storage.table("t")
    assert rows_of(table, "d", "e") == [(9, None)] * 50
    assert rows_of(table, "a", predicates=[Predicate("d", "=", 8)]) == []
    assert len(rows_of(table, "a", predicates=[Predicate("d", ">", 8), Predicate("e", "is null")])) == 50
    with storage.begin() as transaction:
        transaction.append("t", [Batch({"d": column_of(INTEGER, [8])}, 1)])
    assert rows_of(storage.table("t"), predicates=[Predicate("d", "<", 9)]) == [(None, None, None, 8, None)]


def test_row_numbers_name_rows(storage):
    fill(storage, "t", some(300))
    numbered = storage.table("t").numbered()
    assert [row for _, row in rows_of(numbered, "a", "$row")] == list(range(300))
    assert rows_of(numbered, "a", "$row", predicates=[Predicate("$row", "=", 17)]) == [(17, 17)]


def test_statistics_are_those_of_the_rows(storage):
    fill(storage, "t", some(5000))
    found = storage.table("t").statistics()
    assert (found.rows, found.exact) == (5000, True)
    assert (found.columns["a"].low, found.columns["a"].high, found.columns["a"].nulls) == (0, 4999, 0)
    assert found.columns["b"].nulls == 1000
    assert abs(found.columns["a"].distinct - 5000) < 500
    assert abs(found.columns["b"].distinct - 7) <= 1


def test_two_threads_may_scan_one_table(storage):
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    fill(storage, "t", some(3000))
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: rows_of(storage.table("t"), "a"), range(20)):
            assert found == [(n,) for n in range(3000)]


def test_a_cache_without_room_and_a_small_one_change_nothing():
    for room in (0, 2000):
        with Storage(threads=1, cache=room) as opened:
            fill(opened, "t", some(800))
            for _ in range(3):
                assert len(rows_of(opened.table("t"))) == 800
            assert opened.stats()["cache_bytes"] <= room


DOUBLES = (-1e300, -1.5, -0.0, 0.0, 0.25, 1.0, 2.5, 5e-324, float("inf"), float("-inf"), float("nan"), None)


@pytest.mark.parametrize("attributes", ["", "SORTKEY(v)", "DISTKEY(v)"])
def test_comparisons_of_doubles_find_their_rows(attributes):
    with Warehouse() as warehouse:
        warehouse.sql(f"CREATE TABLE t (i INTEGER, v DOUBLE PRECISION) {attributes}")
        warehouse.append("t", [{"i": i, "v": v} for i, v in enumerate(DOUBLES)])
        for op in ("=", "<>", "<", "<=", ">", ">="):
            for value in DOUBLES[:-1]:
                found = ask(warehouse, f"SELECT i FROM t WHERE v {op} ? ORDER BY i", value)
                wanted = [(i,) for i, v in enumerate(DOUBLES) if v is not None and passes_double(v, op, value)]
                assert found == wanted, (op, value)
        assert ask(warehouse, "SELECT i FROM t WHERE v IN (0.25, 2.5, 7) ORDER BY i") == [(4,), (6,)]
        assert ask(warehouse, "SELECT i FROM t WHERE v IS NULL") == [(11,)]


def passes_double(one, op, other):
    """NaN equals itself, and is above all others."""
    a, b = ((value != value, 0.0 if value != value else value) for value in (one, other))  # noqa: PLR0124 - a NaN
    return {"=": a == b, "<>": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op]


@pytest.mark.parametrize("column", ["a", "b", "c"])
def test_a_list_of_parameters_prunes_blocks_whatever_the_width_of_the_column(tmp_path, column):
    with Warehouse(tmp_path) as lake:
        lake.sql("CREATE TABLE t (a SMALLINT, b INTEGER, c BIGINT) DISTSTYLE ALL SORTKEY(a)")
        for start in (0, 100, 200):
            lake.append("t", {name: list(range(start, start + 10)) for name in "abc"})
        assert f"{column} in (:1, :2)" in str(lake.explain(f"SELECT * FROM t WHERE {column} IN (?, ?)", 1, 5))
        found = lake.sql(f"SELECT a FROM t WHERE {column} IN (?, ?) ORDER BY 1", 103, 2**40)
        assert [tuple(row) for row in found.rows()] == [(103,)]
        assert lake.sql(f"SELECT count(*) FROM t WHERE {column} IN (?, ?)", None, 205).rows()[0][0] == 1
        assert lake.sql(f"SELECT count(*) FROM t WHERE {column} NOT IN (?, ?)", 1, 205).rows()[0][0] == 28


def test_damage_is_told_with_the_table_and_the_column(tmp_path):
    with Warehouse(tmp_path) as lake:
        lake.sql("CREATE TABLE t (a SMALLINT, b INTEGER) DISTSTYLE ALL")
        lake.append("t", {"a": list(range(100)), "b": list(range(100))})
        ((blob,),) = ask(lake, "SELECT DISTINCT blob FROM stv_blocklist")
    path = tmp_path / "blobs" / blob[:2] / blob[2:]
    written = path.read_bytes()
    path.write_bytes(written[:-8] + bytes(255 - byte for byte in written[-8:]))
    with (
        Warehouse(tmp_path) as lake,
        pytest.raises(Corrupted, match=r"column 'b' of table 't': .* is damaged") as caught,
    ):
        lake.sql("SELECT sum(b) FROM t")
    assert (caught.value.table, caught.value.column, caught.value.file) == ("t", "b", blob)
