"""Every statement of the warehouse: what it does, what it answers, what is there after the folder was opened again."""

# ruff: noqa: E501 - a statement stands on a line
import datetime as dt
from decimal import Decimal

import pytest
from warehouse.asking import ask, one, refused, touched

from engines.errors import AlreadyExists, Invalid, NotFound, QueryError
from engines.warehouse.warehouse import Warehouse


def command(who, text):
    return str(who.sql(text).columns["command"][0])


# ---- CREATE TABLE ------------------------------------------------------------------------------------------------


def test_show_table_gives_the_statement_that_makes_the_table(wh):
    wh.sql(
        "CREATE TABLE t (a INT NOT NULL DISTKEY SORTKEY, b VARCHAR(5) DEFAULT 'x', c DECIMAL(10,2) ENCODE delta, "
        "d BIGINT IDENTITY(10, 5), e CHAR(3), PRIMARY KEY (a))"
    )
    statement = one(wh, "SHOW TABLE t")
    assert statement.splitlines() == [
        "CREATE TABLE t (",
        "    a INTEGER NOT NULL,",
        "    b VARCHAR(5) DEFAULT 'x',",
        "    c DECIMAL(10,2) ENCODE delta,",
        "    d BIGINT IDENTITY(10, 5),",
        "    e CHAR(3)",
        ") DISTSTYLE KEY DISTKEY(a) SORTKEY(a)",
    ]
    wh.sql("DROP TABLE t")
    wh.sql(statement)
    assert one(wh, "SHOW TABLE t") == statement


@pytest.mark.parametrize(
    ("attributes", "made"),
    [
        ("", ("auto", (), (), False)),
        ("DISTSTYLE EVEN", ("even", (), (), False)),
        ("DISTSTYLE ALL SORTKEY (b)", ("all", (), ("b",), False)),
        ("DISTKEY (b)", ("key", ("b",), (), False)),
        ("DISTSTYLE KEY DISTKEY (a) COMPOUND SORTKEY (a, b)", ("key", ("a",), ("a", "b"), False)),
        ("INTERLEAVED SORTKEY (a, b)", ("auto", (), ("a", "b"), True)),
        ("DISTSTYLE AUTO SORTKEY AUTO ENCODE AUTO BACKUP NO", ("auto", (), (), False)),
    ],
)
def test_attributes_of_a_table(wh, attributes, made):
    wh.sql(f"CREATE TABLE t (a INT, b INT) {attributes}")
    wh.sql("INSERT INTO t VALUES (2, 1), (1, 2), (3, 3)")
    table = wh.storage.view().root.tables["t"].definition
    key = () if table.key is None else table.named([table.key])
    assert (table.style, key, table.named(table.sort), table.interleaved) == made
    assert ask(wh, "SELECT a, b FROM t ORDER BY a") == [(1, 2), (2, 1), (3, 3)]
    assert ask(wh, "SELECT b FROM t WHERE a = 2") == [(1,)]


@pytest.mark.parametrize(
    ("name", "stored"),
    [(one, one) for one in ("raw", "bitpack", "delta", "runlength", "bytedict", "zstd")]
    + [("az64", "bitpack"), ("mostly8", "bitpack"), ("lzo", "zstd"), ("text255", "bytedict"), ("delta32k", "delta")],
)
def test_encodings_by_their_names_and_by_those_of_the_service(wh, name, stored):
    wh.sql(f"CREATE TABLE t (a INT ENCODE {name})")
    wh.append("t", [(value // 50,) for value in range(5000)])
    blocks = wh.layout("t").columns
    assert set(blocks["encoding"]) <= {stored, f"{stored} zstd", f"raw {stored}"}
    assert one(wh, "SELECT sum(a) FROM t") == sum(value // 50 for value in range(5000))


def test_like_takes_columns_defaults_identity_and_keys_of_another_table(wh):
    wh.sql("CREATE TABLE t (a INT IDENTITY(5, 2), b INT DEFAULT 7 NOT NULL, c INT) DISTKEY (c) SORTKEY (b, c)")
    wh.sql("INSERT INTO t (c) VALUES (1)")
    wh.sql("CREATE TABLE u (LIKE t INCLUDING DEFAULTS)")
    assert ask(wh, "SELECT * FROM u") == []
    assert one(wh, "SHOW TABLE u") == one(wh, "SHOW TABLE t").replace("TABLE t", "TABLE u")
    wh.sql("INSERT INTO u (c) VALUES (1)")
    assert ask(wh, "SELECT * FROM u") == [(5, 7, 1)]


def test_like_takes_no_view(wh):
    wh.sql("CREATE VIEW view AS SELECT 1 AS a")
    refused(wh, "CREATE TABLE t (LIKE view)", Invalid, "'view' is no table that is stored here")
    refused(wh, "CREATE TABLE t (LIKE views)", NotFound, "there is no table 'views'; did you mean 'view'?")


def test_create_table_as_takes_names_and_types_of_the_query(wh):
    wh.sql("CREATE TABLE t (a INT, b VARCHAR(5), c DECIMAL(10, 2))")
    wh.sql("INSERT INTO t VALUES (1, 'x', 1.5), (2, NULL, 2.5)")
    assert touched(wh, "CREATE TABLE u DISTKEY(a) SORTKEY(d) AS SELECT a, b, c * 2 AS d, NULL AS e FROM t") == 2
    assert ask(wh, "SELECT * FROM u ORDER BY a") == [(1, "x", Decimal("3.00"), None), (2, None, Decimal("5.00"), None)]
    assert ask(wh, "SHOW COLUMNS FROM u") == [
        ("a", "INTEGER", True), ("b", "VARCHAR(5)", True), ("d", "DECIMAL(21,2)", True), ("e", "VARCHAR", True),
    ]  # fmt: skip
    wh.sql("CREATE TABLE named (x, y) AS SELECT a, b FROM t")
    assert ask(wh, "SELECT x, y FROM named ORDER BY x") == [(1, "x"), (2, None)]
    refused(wh, "CREATE TABLE v AS SELECT a + 1 FROM t", Invalid, "column 1 of the query has no name")
    refused(wh, "CREATE TABLE v AS SELECT a, a FROM t", AlreadyExists, "got a more than once")
    refused(wh, "CREATE TABLE v (x) AS SELECT a, b FROM t", Invalid, "1 columns are named, and the query has 2")
    refused(wh, "CREATE TABLE v (x, y)", QueryError, "column 'x' has no type")


def test_if_not_exists_leaves_what_is_there(wh):
    wh.sql("CREATE TABLE t AS SELECT 5 AS a")
    wh.sql("CREATE TABLE IF NOT EXISTS t (b INT)")
    assert ask(wh, "SELECT a FROM t") == [(5,)]
    refused(wh, "CREATE TABLE t (b INT)", AlreadyExists, "there is a table 't' already")
    refused(wh, "CREATE VIEW t AS SELECT 1 AS a", AlreadyExists, "there is a table 't' already")


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("(a INTEGERR)", QueryError, "did you mean 'INTEGER'?"),
        ("(a INT DISTKEY, b INT DISTKEY)", QueryError, "DISTKEY is said of two columns"),
        ("(a INT SORTKEY, b INT SORTKEY)", QueryError, "SORTKEY is said of two columns"),
        ("(aaa INT) DISTKEY(aab)", NotFound, "there is no column 'aab'; did you mean 'aaa'?"),
        ("(aaa INT) SORTKEY(aab)", NotFound, "did you mean 'aaa'?"),
        ("(a INT, A INT)", AlreadyExists, "got a more than once"),
        ("(a INT) DISTSTYLE KEY", QueryError, "DISTSTYLE KEY goes with DISTKEY"),
        ("(a INT) DISTSTYLE EVEN DISTKEY (a)", QueryError, "DISTSTYLE KEY goes with DISTKEY"),
        ("()", QueryError, "expected the name of a column"),
        ("(a INT DEFAULT 'x')", QueryError, "DEFAULT of column 'a': 'x' is no INTEGER"),
        ("(a VARCHAR(3) DEFAULT 'abcd')", Invalid, "DEFAULT of column 'a' is longer than VARCHAR(3)"),
        ("(a INT DEFAULT 1 / 0)", QueryError, "DEFAULT of column 'a': division by zero"),
        ("(a INT, b INT DEFAULT a)", QueryError, "DEFAULT of column 'b': there is no column 'a'"),
        ("(a INT ENCODE zst)", Invalid, "ENCODE is one of"),
        ("(a VARCHAR(99999))", QueryError, "VARCHAR has a length of 1 to 65,535 bytes, got 99,999"),
        ("(a DECIMAL(39, 2))", QueryError, "DECIMAL has 1 to 38 digits"),
        ("(a VARCHAR IDENTITY(1, 1))", Invalid, "IDENTITY needs whole numbers, not VARCHAR"),
        ("(a INT IDENTITY(1, 0))", QueryError, "the step of an IDENTITY is not 0"),
        ("(a INT) FROBNICATE", QueryError, "expected DISTSTYLE, DISTKEY, SORTKEY"),
    ],
)
def test_what_no_table_can_be(wh, text, kind, says):
    refused(wh, f"CREATE TABLE t {text}", kind, says)
    assert wh.tables() == []


# ---- temporary tables --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("create", "name"), [("CREATE TEMP TABLE t", "t"), ("CREATE TABLE #t", "#t")])
def test_a_temporary_table_is_only_in_its_session_and_goes_with_it(wh, create, name):
    with wh.session() as session:
        session.sql(f"{create} (a INT)")
        session.sql(f"INSERT INTO {name} VALUES (1), (2)")
        assert touched(session, f"UPDATE {name} SET a = a + 10 WHERE a = 1") == 1
        assert touched(session, f"DELETE FROM {name} WHERE a = 2") == 1
        assert ask(session, f"SELECT a FROM {name}") == [(11,)]
        refused(wh, f"SELECT a FROM {name}", QueryError, "there is no table")
        assert wh.tables() == []
    with wh.session() as session:
        refused(session, f"SELECT a FROM {name}", QueryError, "there is no table")


def test_a_temporary_table_hides_a_table_of_its_name_but_not_from_views(wh):
    wh.sql("CREATE TABLE t AS SELECT 1 AS a")
    wh.sql("CREATE VIEW v AS SELECT a FROM t")
    with wh.session() as session:
        assert ask(session, "SELECT a FROM t") == [(1,)]
        session.sql("CREATE TEMP TABLE t AS SELECT 2 AS a")
        assert ask(session, "SELECT a FROM t") == [(2,)]
        assert ask(session, "SELECT v.a, t.a FROM v, t") == [(1, 2)]
        assert ask(session, "SELECT a FROM pg_temp.t") == [(2,)]
        assert ask(wh, "SELECT a FROM t") == [(1,)]
        session.sql("UPDATE t SET a = t.a + v.a FROM v")
        session.sql("CREATE VIEW w AS SELECT a FROM t")
        session.sql("DROP TABLE t")
        assert ask(session, "SELECT a FROM t") == [(1,)]
        assert ask(session, "SELECT a FROM w") == [(1,)]
    assert ask(wh, "SELECT a FROM t") == [(1,)]


def test_a_view_cannot_read_a_temporary_table(wh):
    with wh.session() as session:
        session.sql("CREATE TEMP TABLE t AS SELECT 2 AS a")
        refused(session, "CREATE VIEW v AS SELECT a FROM t", QueryError, "there is no table 't'")


def test_temporary_tables_take_part_in_transactions(wh):
    wh.sql("CREATE TABLE t (a INT)")
    with wh.session() as session:
        session.sql("CREATE TEMP TABLE x (a INT)")
        session.sql("BEGIN; INSERT INTO x VALUES (1); INSERT INTO t VALUES (1); CREATE TEMP TABLE y (a INT); ROLLBACK")
        assert ask(session, "SELECT * FROM x") == []
        refused(session, "SELECT * FROM y", QueryError, "there is no table 'y'")
        session.sql("BEGIN; INSERT INTO x VALUES (1); INSERT INTO t SELECT a FROM x; COMMIT")
        assert ask(session, "SELECT * FROM x, t") == [(1, 1)]


# ---- views -------------------------------------------------------------------------------------------------------


def test_views_read_the_present_and_each_other(wh):
    wh.sql("CREATE TABLE t AS SELECT 1 AS a UNION ALL SELECT 2")
    wh.sql("CREATE VIEW v AS SELECT a FROM t WHERE a > 1")
    wh.sql("CREATE VIEW w (p, q) AS SELECT a, a * 10 FROM v")
    assert ask(wh, "SELECT q, p FROM w") == [(20, 2)]
    wh.sql("INSERT INTO t VALUES (3)")
    assert ask(wh, "SELECT q FROM w ORDER BY 1") == [(20,), (30,)]
    wh.sql("CREATE OR REPLACE VIEW v AS SELECT a FROM t WHERE a > 2")
    assert ask(wh, "SELECT q FROM w") == [(30,)]
    refused(wh, "CREATE OR REPLACE VIEW v AS SELECT p AS a FROM w", QueryError, "reads itself")
    refused(wh, "CREATE VIEW v AS SELECT 1 AS a", AlreadyExists, "there is a view 'v' already")
    refused(wh, "CREATE VIEW x (a, b) AS SELECT 1", Invalid, "2 columns are named, and the query has 1")
    refused(wh, "CREATE VIEW x AS SELECT * FROM missing", QueryError, "there is no table 'missing'")
    refused(wh, "INSERT INTO v VALUES (1)", QueryError, "'v' is a view: rows are written into tables")


def test_dropping_asks_for_cascade_where_a_view_reads(wh):
    wh.sql("CREATE TABLE t AS SELECT 1 AS a; CREATE VIEW v AS SELECT a FROM t; CREATE VIEW w AS SELECT a FROM v")
    wh.sql("CREATE TABLE u AS SELECT 1 AS a; CREATE VIEW x AS SELECT a FROM u")
    refused(wh, "DROP TABLE t", Invalid, "view 'v' reads 't'")
    refused(wh, "DROP VIEW v", Invalid, "view 'w' reads 'v'")
    refused(wh, "DROP TABLE u, t", Invalid, "view 'x' reads 'u'")
    refused(wh, "DROP TABLE v", Invalid, "'v' is a view: DROP VIEW it")
    refused(wh, "DROP VIEW t", Invalid, "'t' is a table: DROP TABLE it")
    refused(wh, "DROP TABLE tt", NotFound, "there is no table 'tt'; did you mean 't'?")
    assert touched(wh, "DROP TABLE IF EXISTS tt") == 0
    assert touched(wh, "DROP TABLE t CASCADE") == 1
    assert wh.tables() == ["u", "x"]


def test_altering_breaks_no_view(wh):
    wh.sql("CREATE TABLE t AS SELECT 1 AS a, 2 AS b, 3 AS c; CREATE VIEW v AS SELECT a, b FROM t")
    wh.sql("CREATE MATERIALIZED VIEW m AS SELECT b FROM t")
    refused(wh, "ALTER TABLE t RENAME TO u", Invalid, "reads 't' as it is")
    refused(wh, "ALTER TABLE t RENAME COLUMN a TO z", Invalid, "view 'v' reads 't'")
    refused(wh, "ALTER TABLE t DROP COLUMN b", Invalid, "view 'm' reads 't'")
    wh.sql("ALTER TABLE t DROP COLUMN c")
    assert ask(wh, "SELECT * FROM v") == [(1, 2)]


def test_a_materialized_view_has_its_rows_until_it_is_refreshed(wh):
    wh.sql("CREATE TABLE t AS SELECT 'x' AS b UNION ALL SELECT 'x'")
    wh.sql(
        "CREATE MATERIALIZED VIEW m BACKUP NO DISTSTYLE ALL AUTO REFRESH NO AS SELECT b, count(*) AS n FROM t GROUP BY b"
    )
    wh.sql("INSERT INTO t VALUES ('y')")
    assert ask(wh, "SELECT * FROM m") == [("x", 2)]
    assert touched(wh, "REFRESH MATERIALIZED VIEW m") == 2
    assert ask(wh, "SELECT * FROM m ORDER BY b") == [("x", 2), ("y", 1)]
    refused(wh, "INSERT INTO mv_tbl__m__0 VALUES ('z', 1)", QueryError, "holds the rows of the materialized view 'm'")
    refused(wh, "DROP TABLE mv_tbl__m__0", Invalid, "holds the rows of the materialized view 'm'")
    refused(wh, "CREATE OR REPLACE VIEW m AS SELECT 1 AS a", AlreadyExists, "'m' is a materialized view")
    refused(wh, "REFRESH MATERIALIZED VIEW n", NotFound, "there is no materialized view 'n'")
    wh.sql("VACUUM; ANALYZE; DROP MATERIALIZED VIEW m")
    assert wh.tables() == ["t"]


def test_a_refresh_that_fails_leaves_the_rows(wh):
    wh.sql("CREATE TABLE t AS SELECT 1 AS a; CREATE MATERIALIZED VIEW m AS SELECT 10 / a AS b FROM t")
    wh.sql("INSERT INTO t VALUES (0)")
    refused(wh, "REFRESH MATERIALIZED VIEW m", QueryError, "division by zero")
    assert ask(wh, "SELECT b FROM m") == [(10,)]


# ---- schemas, SHOW -----------------------------------------------------------------------------------------------


def test_schemas_hold_tables_and_views(wh):
    wh.sql("CREATE SCHEMA s; CREATE SCHEMA IF NOT EXISTS s; CREATE TABLE s.x AS SELECT 1 AS a")
    wh.sql("CREATE VIEW s.v AS SELECT a FROM s.x; CREATE TABLE x AS SELECT 2 AS a")
    assert ask(wh, "SELECT x.a FROM s.x UNION ALL SELECT a FROM public.x") == [(1,), (2,)]
    assert ask(wh, "SHOW SCHEMAS") == [("public",), ("s",)]
    assert ask(wh, "SHOW TABLES FROM SCHEMA s") == [("s.v", "view"), ("s.x", "table")]
    assert ask(wh, "SHOW TABLES") == [("s.v", "view"), ("s.x", "table"), ("x", "table")]
    refused(wh, "CREATE SCHEMA s", AlreadyExists, "there is a schema 's' already")
    refused(wh, "CREATE TABLE ss.x (a INT)", NotFound, "there is no schema 'ss'; did you mean 's'?")
    refused(wh, "DROP SCHEMA s", Invalid, "schema 's' holds")
    refused(wh, "DROP SCHEMA t", NotFound, "there is no schema 't'")
    wh.sql("ALTER TABLE s.x ADD COLUMN b INT; DROP SCHEMA s CASCADE; DROP SCHEMA IF EXISTS s")
    assert wh.tables() == ["x"]


# ---- ALTER TABLE -------------------------------------------------------------------------------------------------


def test_columns_come_go_and_get_other_names(wh):
    wh.sql("CREATE TABLE t AS SELECT 1 AS a, 'x' AS b")
    wh.sql("ALTER TABLE t ADD COLUMN c INT DEFAULT 7; ALTER TABLE t ADD d VARCHAR(3) DEFAULT 'abc' NOT NULL")
    assert ask(wh, "SELECT * FROM t") == [(1, "x", 7, "abc")]
    wh.sql("ALTER TABLE t RENAME COLUMN c TO e; ALTER TABLE t DROP COLUMN b; ALTER TABLE t ADD COLUMN b INT")
    wh.sql("INSERT INTO t VALUES (2, 8, 'd', 9)")
    assert wh.sql("SELECT * FROM t").names == ["a", "e", "d", "b"]
    assert ask(wh, "SELECT * FROM t ORDER BY a") == [(1, 7, "abc", None), (2, 8, "d", 9)]
    assert ask(wh, "SELECT a FROM t WHERE e = 7 AND b IS NULL") == [(1,)]


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("ADD COLUMN z INT NOT NULL", Invalid, "column 'z' is NOT NULL, and 't' has rows: give a DEFAULT"),
        ("ADD COLUMN z VARCHAR(3) DEFAULT 'abcd'", Invalid, "DEFAULT of column 'z' is longer than VARCHAR(3)"),
        ("ADD COLUMN a INT", AlreadyExists, "got a more than once"),
        ("ADD COLUMN z INT DEFAULT a", QueryError, "DEFAULT of column 'z': there is no column 'a'"),
        ("ADD COLUMN z INT IDENTITY(1, 1)", Invalid, "an IDENTITY is there from the beginning"),
        ("DROP COLUMN zz", NotFound, "there is no column 'zz'"),
        ("DROP COLUMN key", Invalid, "column 'key' is a DISTKEY or SORTKEY"),
        ("RENAME COLUMN a TO b", AlreadyExists, "got b more than once"),
        ("RENAME COLUMN zz TO b", NotFound, "there is no column 'zz'"),
        ("RENAME TO u", AlreadyExists, "there is a table 'u' already"),
        ("ALTER COLUMN b TYPE VARCHAR(1)", Invalid, "column 'b' is VARCHAR(1) and counts bytes, got a value of 2"),
        ("ALTER COLUMN a TYPE BIGINT", Invalid, "changes the length of a VARCHAR"),
        ("ALTER COLUMN b ENCODE nope", Invalid, "ENCODE is one of"),
        ("ALTER DISTKEY zz", NotFound, "there is no column 'zz'"),
        ("ALTER SORTKEY (a, zz)", NotFound, "there is no column 'zz'"),
        ("APPEND FROM t", Invalid, "cannot move to itself"),
        ("APPEND FROM u", Invalid, "have not the same columns"),
        ("APPEND FROM zz", NotFound, "there is no table 'zz'"),
        ("FROB", QueryError, "expected ALTER"),
    ],
)
def test_what_cannot_be_altered(wh, text, kind, says):
    wh.sql("CREATE TABLE t (a INT, b VARCHAR(5), key INT) DISTKEY(key)")
    wh.sql("INSERT INTO t VALUES (1, 'xx', 1); CREATE TABLE u (a INT)")
    refused(wh, f"ALTER TABLE t {text}", kind, says)
    refused(wh, "ALTER TABLE tt ADD COLUMN a INT", QueryError, "there is no table 'tt'; did you mean 't'?")


def test_keys_encodings_and_lengths_change_and_the_rows_stay(wh):
    wh.sql("CREATE TABLE t (a INT, b VARCHAR(3), id INT IDENTITY(1, 1))")
    wh.append("t", [(value % 17, str(value % 5)) for value in range(3000)], columns=["a", "b"])
    before = ask(wh, "SELECT a, b, id FROM t ORDER BY id")
    for change in (
        "ALTER DISTKEY a", "ALTER COMPOUND SORTKEY (b, a)", "ALTER COLUMN a ENCODE zstd", "ALTER COLUMN b TYPE VARCHAR(20)",
        "ALTER DISTSTYLE ALL", "ALTER DISTSTYLE KEY DISTKEY b", "ALTER SORTKEY NONE", "ALTER DISTSTYLE EVEN", "OWNER TO bob",
    ):  # fmt: skip
        wh.sql(f"ALTER TABLE t {change}")
        assert ask(wh, "SELECT a, b, id FROM t ORDER BY id") == before, change
    wh.sql("INSERT INTO t (a, b) VALUES (1, 'longer than three')")
    assert one(wh, "SELECT id FROM t WHERE b LIKE 'longer%'") == 3001


def test_append_from_moves_the_rows(wh):
    wh.sql("CREATE TABLE t AS SELECT 1 AS a; CREATE TABLE u AS SELECT 2 AS a UNION ALL SELECT 3")
    assert touched(wh, "ALTER TABLE t APPEND FROM u") == 2
    assert ask(wh, "SELECT a FROM t ORDER BY a") == [(1,), (2,), (3,)]
    assert ask(wh, "SELECT a FROM u") == []


def test_a_renamed_table_keeps_its_rows_its_schema_and_its_rights(wh):
    wh.sql(
        "CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 1 AS a; GRANT SELECT ON s.t TO bob; ALTER TABLE s.t RENAME TO u"
    )
    assert wh.tables() == ["s.u"]
    with wh.session(user="bob") as bob:
        assert ask(bob, "SELECT * FROM s.u") == [(1,)]


# ---- VACUUM, ANALYZE, transactions, texts ------------------------------------------------------------------------


def test_vacuum_and_analyze_change_no_row(wh):
    wh.sql("CREATE TABLE t (a INT, b INT) DISTSTYLE EVEN SORTKEY (a)")
    for start in (3000, 1000, 2000, 0):
        wh.append("t", [(start + value, value) for value in range(1000)])
    wh.sql("DELETE FROM t WHERE a % 3 = 0")
    before = ask(wh, "SELECT a, b FROM t ORDER BY a")
    for text in (
        "VACUUM DELETE ONLY t", "VACUUM SORT ONLY t TO 99 PERCENT", "VACUUM FULL t", "VACUUM REINDEX t", "VACUUM",
        "ANALYZE t", "ANALYZE t (a)", "ANALYZE",
    ):  # fmt: skip
        wh.sql(text)
        assert ask(wh, "SELECT a, b FROM t ORDER BY a") == before, text
    assert ask(wh, "SELECT deleted_rows, unsorted, tbl_rows FROM svv_table_info") == [(0, 0.0, len(before))]
    refused(wh, "VACUUM tt", QueryError, "there is no table 'tt'; did you mean 't'?")
    refused(wh, "ANALYZE tt", QueryError, "there is no table 'tt'; did you mean 't'?")
    refused(wh, "ANALYZE COMPRESSION tt", NotFound, "there is no table 'tt'; did you mean 't'?")


def test_analyze_compression_tries_encodings_of_each_column(wh):
    wh.sql("CREATE TABLE t (a INT, b VARCHAR(20))")
    wh.append("t", [(value, f"word {value % 3}") for value in range(4000)])
    found = ask(wh, "ANALYZE COMPRESSION t")
    size = {(column, encoding): size for _, column, encoding, size, _, _ in found}
    assert size["a", "raw"] > size["a", "delta"]
    assert size["b", "text"] > size["b", "bytedict"]
    assert [column for _, column, _, _, _, chosen in found if chosen] == ["a", "b"]
    assert one(wh, "SELECT count(*) FROM t") == 4000


def test_words_of_transactions(wh):
    wh.sql("CREATE TABLE t (a INT)")
    for begin, end, kept in (
        ("BEGIN", "COMMIT", 1), ("BEGIN TRANSACTION", "END", 1), ("START TRANSACTION", "END TRANSACTION", 1),
        ("BEGIN WORK", "ROLLBACK", 0), ("BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE", "ABORT", 0), ("BEGIN", "COMMIT WORK", 1),
    ):  # fmt: skip
        assert command(wh, begin) == "BEGIN"
        wh.sql("INSERT INTO t VALUES (1)")
        assert one(wh, "SELECT count(*) FROM t") == 1
        assert command(wh, end) == ("COMMIT" if kept else "ROLLBACK")
        assert touched(wh, "DELETE FROM t") == kept
    refused(wh, "COMMIT", Invalid, "COMMIT without a transaction")
    refused(wh, "ROLLBACK", Invalid, "ROLLBACK without a transaction")
    wh.sql("BEGIN")
    refused(wh, "BEGIN", Invalid, "in a transaction already")
    refused(wh, "VACUUM t", Invalid, "VACUUM cannot run inside a transaction")
    wh.sql("ROLLBACK")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "there is no statement here"),
        (" ; ", "there is no statement here"),
        ("-- nothing", "there is no statement here"),
        ("SELEC 1", "'1' is not expected here"),
        ("FROB x", "is not supported here"),
        ("CREATE INDEX i ON t (a)", "expected TABLE, got 'INDEX'"),
        ("DROP t", "expected"),
        ("SHOW x", "expected one of"),
        ("GRANT INSERT ON t TO bob", "a session with a user only reads"),
        ("CREATE USER bob PASSWORD 'x'", "users are not created: a user is a name"),
        ("SELECT 1 WHERE 1 = %s", "a parameter is written ? or :name"),
        ("SELECT * FROM read_csv('x.csv')", "files are tables"),
        ("SELECT 1; SELECT * FROM nix", "there is no table 'nix'"),
        ("EXPLAIN DROP TABLE t", "EXPLAIN takes a query"),
        ("SELECT 'unclosed", "line 1"),
    ],
)
def test_texts_that_are_no_statements(wh, text, says):
    refused(wh, text, QueryError, says)


def test_of_several_statements_those_before_the_bad_one_have_happened(wh):
    with pytest.raises(QueryError, match="there is no table 'nix'"):
        wh.sql("CREATE TABLE t AS SELECT 1 AS a; INSERT INTO nix VALUES (1); DROP TABLE t")
    assert ask(wh, "SELECT a FROM t; SELECT a + 1 FROM t;") == [(2,)]
    with pytest.raises(QueryError):
        wh.sql("DROP TABLE t; SELECT (")
    assert wh.tables() == ["t"]  # wrong syntax anywhere: nothing is run


# ---- opened again ------------------------------------------------------------------------------------------------


def test_everything_is_there_after_opening_again(tmp_path):
    with Warehouse(tmp_path, slices=3) as wh:
        wh.sql("CREATE SCHEMA s")
        wh.sql(
            "CREATE TABLE s.t (a INT IDENTITY(1, 1), b VARCHAR(5) DEFAULT 'x' NOT NULL, c DATE) DISTKEY(b) SORTKEY(c)"
        )
        wh.sql("INSERT INTO s.t (c) VALUES ('2020-01-01'), (NULL); INSERT INTO s.t (b) VALUES ('y')")
        wh.sql("UPDATE s.t SET c = '2021-01-01' WHERE b = 'y'; DELETE FROM s.t WHERE a = 2")
        wh.sql("ALTER TABLE s.t ADD COLUMN d DECIMAL(5, 2) DEFAULT 1.5; ALTER TABLE s.t RENAME COLUMN b TO bb")
        wh.sql("CREATE VIEW v AS SELECT a, bb FROM s.t; CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM v")
        wh.sql("CREATE TEMP TABLE gone (a INT); BEGIN; INSERT INTO s.t (c) VALUES (NULL)")
        definition = one(wh, "SHOW TABLE s.t")
    with Warehouse(tmp_path, nodes=2) as wh:
        assert wh.tables() == ["m", "mv_tbl__m__0", "s.t", "v"]
        assert one(wh, "SHOW TABLE s.t") == definition
        date = dt.date
        assert ask(wh, "SELECT * FROM s.t ORDER BY a") == [
            (1, "x", date(2020, 1, 1), Decimal("1.5")), (3, "y", date(2021, 1, 1), Decimal("1.5")),
        ]  # fmt: skip
        wh.sql("INSERT INTO s.t (c) VALUES (NULL)")
        assert ask(wh, "SELECT a, d FROM s.t WHERE c IS NULL") == [(4, Decimal("1.5"))]
        assert ask(wh, "SELECT * FROM v, m ORDER BY 1") == [(1, "x", 2), (3, "y", 2), (4, "x", 2)]
        assert wh.verify().ok
    with Warehouse(tmp_path, read_only=True) as wh:
        assert one(wh, "SELECT count(*) FROM v") == 3
