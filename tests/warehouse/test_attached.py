"""Tables of programs and of other engines: append() takes them in, attach() leaves them where they are."""

# ruff: noqa: E501 - a statement stands on a line

import datetime as dt
from decimal import Decimal

import numpy as np
import pytest
from warehouse.asking import ask, contents, one, refused

from engines import kv, ledger
from engines.errors import AlreadyExists, Denied, EngineError, Invalid, NotFound, QueryError
from engines.warehouse.warehouse import Warehouse

COLUMNS = "k INT, s VARCHAR(5), x DECIMAL(8, 2), d DATE, f BOOLEAN DEFAULT true"


@pytest.fixture
def wh():
    with Warehouse() as warehouse:
        warehouse.sql(f"CREATE TABLE t ({COLUMNS})")
        yield warehouse


# ---- append ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ([(1, "a", Decimal("1.5"), dt.date(2020, 1, 2), False)], [(1, "a", Decimal("1.5"), dt.date(2020, 1, 2), False)]),
        ([(None, None, None, None, None)], [(None, None, None, None, None)]),
        ([{"k": 1}, {"s": "b", "k": 2, "f": None}], [(1, None, None, None, None), (2, "b", None, None, None)]),
        ([{"k": 1}, {"s": "b"}], [(1, None, None, None, True), (None, "b", None, None, True)]),
        ([{}], [(None, None, None, None, True)]),
        ({"k": [1, 2], "s": ["a", None]}, [(1, "a", None, None, True), (2, None, None, None, True)]),
        ({"K": np.array([1, 2]), "X": np.array([1.5, 2.25])}, [(1, None, Decimal("1.5"), None, True), (2, None, Decimal("2.25"), None, True)]),
        ({"k": np.array([1, 2], np.uint8), "d": np.array(["2020-01-02", "NaT"], "M8[D]")}, [(1, None, None, dt.date(2020, 1, 2), True), (2, None, None, None, True)]),
        ([], []),
        ({"k": []}, []),
    ],
)  # fmt: skip
def test_plain_python_and_numpy_are_appended(wh, data, rows):
    assert wh.append("T", data) == len(rows)
    assert ask(wh, "SELECT * FROM t ORDER BY k") == rows


def test_whatever_speaks_arrow_is_appended(wh):
    pa = pytest.importorskip("pyarrow", reason="Arrow is what is appended")
    day = dt.date(2020, 1, 2)
    wh.append("t", pa.table({"k": [1], "s": ["a"], "x": [Decimal("1.25")], "d": [day]}))
    wh.append("t", pa.table({"K": pa.array([2, None]), "S": pa.array(["b", None]).dictionary_encode()}))
    wh.append(
        "t", pa.RecordBatchReader.from_batches(pa.schema([("k", pa.int64())]), iter([pa.record_batch({"k": [3]})]))
    )
    wh.append("t", pa.table({"one": [4], "two": ["2020-01-02"]}), columns=["k", "d"])
    wh.append("t", pa.table({"k": ["5"], "x": ["7.125"]}))
    assert ask(wh, "SELECT k, s, x, d, f FROM t ORDER BY k") == [
        (1, "a", Decimal("1.25"), day, True), (2, "b", None, None, True), (3, None, None, None, True),
        (4, None, None, day, True), (5, None, Decimal("7.13"), None, True), (None, None, None, None, True),
    ]  # fmt: skip


def test_data_frames_are_appended(wh):
    pd = pytest.importorskip("pandas", reason="a DataFrame is what is appended")
    wh.append("t", pd.DataFrame({"k": [1, 2], "s": ["a", None]}))
    assert ask(wh, "SELECT k, s, f FROM t ORDER BY k") == [(1, "a", True), (2, None, True)]


def test_a_table_is_appended_to_itself_and_others_as_they_were(wh):
    wh.append("t", {"k": [1, 2]})
    assert wh.append("t", wh.table("t")) == 2
    assert wh.append("t", wh.sql("SELECT k + 10 AS k FROM t")) == 4
    assert ask(wh, "SELECT k, count(*) FROM t GROUP BY k ORDER BY k") == [(1, 2), (2, 2), (11, 2), (12, 2)]


def test_append_fills_identities_sorts_and_distributes(wh):
    wh.sql("CREATE TABLE n (id INT IDENTITY(1, 1), k INT NOT NULL) DISTKEY(k) SORTKEY(k)")
    wh.append("n", {"k": [n * 7919 % 5000 for n in range(5000)]})
    assert ask(wh, "SELECT count(DISTINCT id), min(id), max(id), count(DISTINCT k) FROM n") == [(5000, 1, 5000, 5000)]
    assert one(wh, "SELECT unsorted FROM svv_table_info WHERE \"table\" = 'n'") == 0


@pytest.mark.parametrize(
    ("data", "columns", "kind", "says"),
    [
        ([(1, 2)], None, Invalid, "row 0 has 2 values, and the columns are k, s, x, d, f"),
        ([(1, "a"), (2,)], ["k", "s"], Invalid, "row 1 has 1 values"),
        ([{"kk": 1}], None, NotFound, "there is no column 'kk'"),
        ({"kk": [1]}, None, NotFound, "kk"),
        ({"kk": np.array([1])}, None, NotFound, "table 't' has no column 'kk'"),
        ([(1,)], ["kk"], NotFound, "table 't' has no column 'kk'"),
        ([(1, 2)], ["k", "K"], Invalid, "column 'k' is named more than once"),
        ({"k": np.array([1])}, ["k", "s"], Invalid, "columns= names 2 columns, and the data has 1"),
        ({"k": np.array([1]), "s": np.array(["a", "b"])}, None, Invalid, "one length"),
        ({"k": np.array([1, 2**40])}, None, Invalid, "column 'k': integer out of range"),
        ({"s": ["fine", "too long"]}, None, Invalid, "column 's' is VARCHAR(5) and counts bytes, got a value of 8"),
        ({"d": np.array([5])}, None, Invalid, "column 'd' holds DATE and takes no BIGINT"),
        ({"k": np.array(["12", "abc"])}, None, Invalid, "column 'k': 'abc' is no INTEGER"),
        ([("abc",)], ["k"], Invalid, "'abc' is no value of type INTEGER"),
        (5, None, Invalid, "int is no table"),
        (None, None, Invalid, "NoneType is no table"),
        ("abc", None, Invalid, "str is no table"),
        (iter([(1,)]), None, Invalid, "is no table"),
    ],
)
def test_what_cannot_be_appended_changes_nothing(wh, data, columns, kind, says):
    before = contents(wh)
    with pytest.raises(EngineError) as caught:
        wh.append("t", data, columns=columns)
    assert type(caught.value) is kind
    assert says in str(caught.value)
    assert contents(wh) == before


def test_rows_are_appended_to_tables_only(wh):
    wh.sql("CREATE VIEW v AS SELECT 1 AS k; CREATE TABLE n (k INT NOT NULL)")
    wh.attach("x", {"k": [1]})
    for name, kind, says in (
        ("v", Invalid, "'v' is a view, and a table is wanted"), ("tt", NotFound, "there is no table 'tt'; did you mean 't'?"),
        ("x", NotFound, "there is no table 'x'"), ("n", Invalid, "column 'k' is NOT NULL"),
    ):  # fmt: skip
        with pytest.raises(kind) as caught:
            wh.append(name, [(None,)])
        assert says in str(caught.value)


# ---- attach ------------------------------------------------------------------------------------------------------


def test_attached_tables_join_with_stored_ones_until_they_are_detached(wh):
    wh.append("t", {"k": [1, 2, 3], "s": ["a", "b", "c"]})
    wh.attach("Sales.Orders", {"k": [1, 1, 3], "n": [10, 20, 30]})
    assert ask(wh, "SELECT s, sum(n) FROM t JOIN sales.orders o ON o.k = t.k GROUP BY s ORDER BY s") == [
        ("a", 30),
        ("c", 30),
    ]
    assert wh.sql("UPDATE t SET s = 'z' FROM sales.orders o WHERE o.k = t.k AND n = 30").columns["rows"][0] == 1
    wh.sql("CREATE VIEW v AS SELECT max(n) AS n FROM sales.orders; CREATE TABLE copied AS SELECT * FROM sales.orders")
    assert one(wh, "SELECT n FROM v") == 30
    wh.detach("sales.ORDERS")
    refused(wh, "SELECT * FROM sales.orders", QueryError, "there is no table 'sales.orders'")
    refused(wh, "SELECT * FROM v", QueryError, "in view v: there is no table 'sales.orders'")
    wh.attach("sales.orders", {"n": [7]})
    assert ask(wh, "SELECT v.n, (SELECT count(*) FROM copied) FROM v") == [(7, 3)]


def test_arrow_and_data_frames_are_attached(wh):
    pa = pytest.importorskip("pyarrow", reason="Arrow is what is attached")
    pd = pytest.importorskip("pandas", reason="a DataFrame is what is attached")
    wh.attach("a", pa.table({"k": [1, 2], "s": ["x", None]}))
    wh.attach("p", pd.DataFrame({"k": [2, 3], "A b": [1.5, 2.5]}))
    assert ask(wh, 'SELECT a.k, s, "A b" FROM a FULL JOIN p ON a.k = p.k ORDER BY 1') == [
        (1, "x", None), (2, None, 1.5), (None, None, 2.5),
    ]  # fmt: skip


def test_tables_of_the_key_value_store_and_the_ledger_join_with_local_ones(wh):
    store = kv.Store()
    orders = store.create_table("orders", key=("customer:S", "order:N"))
    for n in range(20):
        orders.put({"customer": f"c{n % 4}", "order": n, "total": Decimal("1.5") * n})
    book = ledger.Ledger()
    book.create_table("Customers")
    with book.transaction() as tx:
        documents = [
            tx.insert("Customers", {"id": f"c{n}", "city": city}) for n, city in enumerate(["Rome", "Oslo", "Rome"])
        ]
    wh.sql("CREATE TABLE cities AS SELECT 'Rome' AS city, 'IT' AS country UNION ALL SELECT 'Oslo', 'NO'")
    wh.attach("orders", orders)
    wh.attach("customers", ledger.table_source(book, "Customers"))
    wh.attach("history", ledger.table_source(book, "Customers", history=True))
    query = (
        "SELECT country, count(*), sum(total) FROM cities JOIN customers c ON c.city = cities.city "
        "JOIN orders o ON o.customer = c.id GROUP BY country ORDER BY 1"
    )
    assert ask(wh, query) == [("IT", 10, Decimal("135.0")), ("NO", 5, Decimal("67.5"))]
    assert one(wh, "SELECT count(*) FROM orders WHERE customer = 'c3'") == 5
    orders.put({"customer": "c1", "order": 99, "total": Decimal(100)})
    with book.transaction() as tx:
        tx.update("Customers", documents[0], {"id": "c0", "city": "Oslo"})
    assert ask(wh, query) == [("IT", 5, Decimal("75.0")), ("NO", 11, Decimal("227.5"))]
    assert ask(wh, "SELECT count(*), max(version) FROM history") == [(4, 1)]
    wh.sql("CREATE TABLE kept AS SELECT customer, total FROM orders WHERE total > 25")
    assert one(wh, "SELECT count(*) FROM kept") == 4


def test_names_of_attached_tables_are_taken(wh):
    wh.attach("x", {"k": [1]})
    refused(wh, "CREATE TABLE x (a INT)", AlreadyExists, "a table is attached as 'x'")
    refused(wh, "CREATE VIEW x AS SELECT 1 AS a", AlreadyExists, "a table is attached as 'x'")
    refused(wh, "DROP TABLE x", Invalid, "'x' is attached: detach() it")
    for text in (
        "INSERT INTO x VALUES (1)",
        "DELETE FROM x",
        "UPDATE x SET k = 1",
        "TRUNCATE x",
        "ALTER TABLE x ADD COLUMN a INT",
    ):
        refused(wh, text, QueryError, "'x' is attached: write to it where it is")
    for call, kind, says in (
        (lambda: wh.attach("X", {"k": [1]}), AlreadyExists, "there is a table 'x' already: detach or drop it"),
        (lambda: wh.attach("t", {"k": [1]}), AlreadyExists, "there is a table 't' already"),
        (lambda: wh.attach("y", 5), Invalid, "int is no table"),
        (lambda: wh.detach("xx"), NotFound, "nothing is attached as 'xx'"),
    ):
        with pytest.raises(kind) as caught:
            call()
        assert says in str(caught.value)
    assert wh.tables() == ["t", "x"]


def test_a_user_reads_attached_tables_that_were_granted(wh):
    wh.attach("x", {"k": [1, 2], "secret": [3, 4]})
    with wh.session(user="bob") as bob:
        refused(bob, "SELECT * FROM x", Denied, "bob may not read 'x'")
        wh.sql("GRANT SELECT (k) ON x TO bob")
        assert ask(bob, "SELECT * FROM x") == [(1,), (2,)]
