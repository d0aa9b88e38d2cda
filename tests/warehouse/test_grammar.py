"""Statements of the warehouse are read into records, and what is no statement is refused at its spot."""

import pytest

from engines.errors import QueryError
from engines.sql import types
from engines.warehouse.statements.grammar import read
from engines.warehouse.statements.reader import split


def record(text):
    (tokens,) = split(text)
    return read(text, tokens)


def test_a_table_with_everything_that_a_column_may_say():
    found = record(
        "CREATE TABLE IF NOT EXISTS sales.t (id INT IDENTITY(1,2), x DECIMAL(12,2) NOT NULL DEFAULT 0.5 + 1"
        ' ENCODE az64, "N" VARCHAR(20) DISTKEY, d DATE SORTKEY, PRIMARY KEY (id), FOREIGN KEY (x) REFERENCES u (x))'
    )
    assert (found.name, found.style, found.distkey, found.sortkey) == ("sales.t", "key", "n", ("d",))
    assert found.if_not_exists
    one, two, three, four = found.columns
    assert (one.identity, one.type) == ((1, 2), types.INTEGER)
    assert (two.type, two.nullable, two.encode) == (types.decimal(12, 2), False, "az64")
    assert two.default.strip() == "0.5 + 1"
    assert three.type == types.varchar(20)
    assert four.type == types.DATE


def test_types_of_several_words():
    found = record(
        "CREATE TABLE t (a timestamp without time zone, b character varying(10), c double precision, d bpchar)"
    )
    assert [str(column.type) for column in found.columns] == ["TIMESTAMP", "VARCHAR(10)", "DOUBLE PRECISION", "CHAR(1)"]


def test_keys_after_the_columns():
    found = record("CREATE TABLE t (a int, b int) DISTKEY(a) COMPOUND SORTKEY (b, a)")
    assert (found.style, found.distkey, found.sortkey, found.interleaved) == ("key", "a", ("b", "a"), False)
    assert record("CREATE TABLE t (a int) DISTSTYLE ALL INTERLEAVED SORTKEY (a)").interleaved


def test_a_query_inside_stays_where_it_stands_in_the_text():
    text = "CREATE TEMP TABLE x DISTSTYLE EVEN AS\nSELECT 1"
    found = record(text)
    assert found.temporary
    assert found.query.index("SELECT") == text.index("SELECT")
    assert found.query.count("\n") == 1


def test_copy_reads_its_options_in_any_order():
    found = record(
        "COPY t (a, b) FROM 'x/*.csv' IGNOREHEADER 1 CSV DELIMITER ';' NULL AS '-' MAXERROR 10 IAM_ROLE default"
    )
    assert (found.name, found.source, found.columns) == ("t", "x/*.csv", ("a", "b"))
    assert found.options == {"format": "csv", "ignoreheader": 1, "delimiter": ";", "null": "-", "maxerror": 10}
    assert record("COPY t FROM 'p' FORMAT AS JSON 'auto' GZIP").options == {
        "format": "json",
        "json": "auto",
        "gzip": True,
    }
    assert record("COPY t FROM 'p' PARQUET").options == {"format": "parquet"}


def test_partitions_of_external_tables_come_and_go():
    found = record(
        "ALTER TABLE s.t ADD IF NOT EXISTS PARTITION (y=2024, m='a') LOCATION '/x'"
        " PARTITION (y=-1, m=NULL) LOCATION '/z'"
    )
    assert (found.name, found.add, found.if_not_exists) == ("s.t", True, True)
    assert found.partitions == (({"y": "2024", "m": "a"}, "/x"), ({"y": "-1", "m": None}, "/z"))
    assert record("ALTER TABLE t DROP PARTITION (y = '1')").partitions == (({"y": "1"}, None),)
    assert record("ALTER TABLE t ADD partition_id int").action == "add"


def test_unload_reads_a_query_in_quotes():
    found = record("UNLOAD ('SELECT 1 WHERE a = ''x''') TO 'o/' PARQUET PARTITION BY (y) INCLUDE ALLOWOVERWRITE")
    assert found.query.strip() == "SELECT 1 WHERE a = 'x'"
    assert found.options["partition by"] == ["y"]


@pytest.mark.parametrize(
    "text", ["SELECT 1", "WITH a AS (SELECT 1) SELECT * FROM a", "VALUES (1)", "EXPLAIN SELECT 1", "(SELECT 1)"]
)
def test_queries_are_not_read_here(text):
    assert record(text) is None


def test_semicolons_cut_a_text_into_statements():
    assert len(split("BEGIN; INSERT INTO t VALUES (';'); -- the end; of it\nCOMMIT;")) == 3


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("CREAT TABLE t (a int)", 1, "did you mean 'CREATE'"),
        ("CREATE TABLE t (a imt)", 19, "did you mean 'INT'"),
        ("CREATE TABLE t (a int b)", 23, "expected NOT NULL"),
        ("CREATE TABLE t (a decimal(50, 2))", 19, "1 to 38 digits"),
        ("CREATE TABLE t (a varchar(0))", 19, "a length of 1 to 65,535"),
        ("CREATE TABLE t (a int) DISTSTYLE KEY", 37, "DISTKEY"),
        ("CREATE TABLE t", 15, "a table has columns"),
        ("COPY t FROM 'x' IGNOREHEADR 1", 17, "did you mean 'IGNOREHEADER'"),
        ("COPY t FROM 'x' FORMAT AVRO", 28, "AVRO is not supported"),
        ("COPY t FROM 'x", 13, "not closed"),
        ("VACUUM FULL t t", 15, "not understood"),
        ("DROP TABL t", 6, "what to drop"),
        ("ALTER TABLE t RENAME TO", 24, "the text ends"),
    ],
)
def test_what_is_wrong_is_refused_at_its_spot(text, column, message):
    with pytest.raises(QueryError, match=message) as caught:
        record(text)
    assert caught.value.column == column
