"""Documents of other engines are rows of SQL: the key is looked up, types come from the first documents."""

from decimal import Decimal

import pytest

from engines import kv, ledger
from engines.errors import Invalid
from engines.sql import types
from engines.sql.documents import DocumentsSource, inferred
from engines.sql.source import Predicate, Scanned
from engines.sql.values import python_values


def rows(source, *predicates):
    names = [field.name for field in source.schema()]
    scanned = Scanned()
    found = []
    for partition in source.partitions(predicates, scanned):
        for batch in source.scan(partition, names, predicates, scanned):
            found += zip(*(python_values(batch.column(name), batch.rows) for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in found], scanned.rows_scanned


def test_types_are_those_that_hold_all_values():
    documents = [{"a": 1, "b": Decimal("1.25"), "c": "x", "d": [1]}, {"a": 2, "b": 3, "c": None, "e": 1.5}]
    assert {name: str(kind) for name, kind in inferred(documents).items()} == {
        "a": "BIGINT",
        "b": "DECIMAL(38,2)",
        "c": "VARCHAR",
        "d": "VARCHAR",
        "e": "DOUBLE PRECISION",
    }


def test_items_are_rows_and_the_partition_key_is_looked_up():
    store = kv.Store()
    orders = store.create_table("orders", key=("customer:S", "order:N"))
    for i in range(50):
        orders.put({"customer": f"c{i % 5}", "order": i, "total": Decimal("9.5"), "tags": {"b", "a"}})
    source = orders.as_table_source()
    everything, read = rows(source)
    assert (len(everything), read) == (50, 50)
    assert everything[0]["tags"] == '["a","b"]'
    found, read = rows(source, Predicate("customer", "=", b"c3"))
    assert (len(found), read) == (10, 10)
    assert {row["order"] % 5 for row in found} == {3}


def test_current_documents_and_revisions_of_a_ledger_are_rows():
    book = ledger.Ledger()
    book.create_table("V")
    with book.transaction() as tx:
        document = tx.insert("V", {"a": 1})
    with book.transaction() as tx:
        tx.update("V", document, {"a": 2})
    assert rows(ledger.table_source(book, "V"))[0] == [{"a": 2}]
    revisions, _ = rows(ledger.table_source(book, "V", history=True))
    assert [(row["version"], row["data"]) for row in revisions] == [(0, '{"a":1}'), (1, '{"a":2}')]


def test_a_value_that_does_not_fit_is_named_with_the_way_out():
    source = DocumentsSource("t", lambda: [{"a": 1}] * 1001 + [{"a": "x"}])
    with pytest.raises(Invalid, match=r"'a' of t is BIGINT by its first documents.*columns="):
        rows(source)
    source = DocumentsSource("t", lambda: [{"a": 1}, {"a": "x"}], columns={"a": types.VARCHAR})
    assert [row["a"] for row in rows(source)[0]] == ["1", "x"]


def test_without_documents_columns_have_to_be_given():
    with pytest.raises(Invalid, match="columns="):
        DocumentsSource("t", list)
