"""PartiQL: what statements do, mistakes, pages over partitions, batches, transactions; random WHEREs against filters.

The oracle of the random ones is Table.scan with the same condition as a filter, in the engine's own language.
"""

# ruff: noqa: S608 - statements are put together from parts of the tests' own

from decimal import Decimal

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from engines import kv
from engines.clock import ManualClock
from engines.errors import ConditionFailed, Invalid, NotFound, QueryError, Throttled
from engines.kv.partiqlsyntax import parse_statement

ANN = {"customer": "ann", "order": 1, "total": Decimal("9.5"), "tags": {"a", "b"}, "doc": {"a": [1, 2], "b": "it's"}}
BOB = {"customer": "bob", "order": 1, "total": 3, "note": None, "status": "open"}
KEY = """WHERE customer = 'ann' AND "order" = 1"""


@pytest.fixture
def store():
    with kv.Store(clock=ManualClock()) as store:
        orders = store.create_table(
            "orders",
            ("customer:S", "order:N"),
            indexes=[
                {"name": "by-status", "key": ("status:S", "total:N")},
                {"name": "by-total", "key": ("customer:S", "total:N"), "local": True},
            ],
        )
        orders.put(ANN)
        orders.put(BOB)
        store.create_table("plain", "id:S")
        yield store


def items(store, text, *parameters, **more):
    return store.execute(text, parameters, **more).items


# --- SELECT ---


@pytest.mark.parametrize(
    ("where", "parameters", "found"),
    [
        ("", (), "ann bob"),
        ("WHERE total = 9.5", (), "ann"),
        ("WHERE total = 9.50E0", (), "ann"),
        ("WHERE 9.5 = total", (), "ann"),
        ("WHERE total = ?", (Decimal("9.5"),), "ann"),
        ("WHERE total != 3", (), "ann"),
        ("WHERE total <> 3", (), "ann"),
        ("WHERE total > -1.5 AND total<4", (), "bob"),
        ("WHERE 4 > total", (), "bob"),
        ("WHERE total between 3 and 4", (), "bob"),
        ("WHERE total NOT BETWEEN 3 AND 4", (), "ann"),
        ("WHERE total IN (1, 2, 3)", (), "bob"),
        ("WHERE total in [?, ?]", (1, 3), "bob"),
        ("WHERE total NOT IN [3]", (), "ann"),
        ("WHERE NOT total = 3", (), "ann"),
        ("WHERE ((total = 3))", (), "bob"),
        ("WHERE (total = 3 OR total = 9.5) AND customer <> 'bob'", (), "ann"),
        ("WHERE total = 9.5 OR total = 3 AND customer = 'nobody'", (), "ann"),
        ("WHERE doc.b = 'it''s'", (), "ann"),
        ("""WHERE "doc"."b" = 'it''s'""", (), "ann"),
        ("WHERE doc.a[1] = 2", (), "ann"),
        ("WHERE doc = {'a': [1, 2], 'b': ?}", ("it's",), "ann"),
        ("WHERE doc = {'a': [1, 2], 'b': 'it''s', 'c': MISSING}", (), "ann"),
        ("WHERE doc.a = [1, 2]", (), "ann"),
        ("WHERE doc.a = [2, 1]", (), ""),
        ("WHERE tags = <<'b', 'a'>>", (), "ann"),
        ("WHERE contains(tags, 'a')", (), "ann"),
        ("WHERE CONTAINS(customer, 'nn')", (), "ann"),
        ("WHERE begins_with(customer, 'b')", (), "bob"),
        ("WHERE size(tags) = 2", (), "ann"),
        ("WHERE Size(customer) >= size(tags)", (), "ann"),
        ("WHERE attribute_exists(tags)", (), "ann"),
        ("WHERE attribute_type(note, 'NULL')", (), "bob"),
        ("WHERE note IS NULL", (), "bob"),
        ("WHERE note IS NOT NULL", (), "ann"),
        ("WHERE note = NULL", (), "bob"),
        ("WHERE note IS MISSING", (), "ann"),
        ("WHERE note IS NOT MISSING", (), "bob"),
        ("WHERE NOT note is missing", (), "bob"),
        ("WHERE tags IS STRING_SET", (), "ann"),
        ("WHERE doc IS map", (), "ann"),
        ("WHERE doc.a IS L", (), "ann"),
        ("WHERE note = TRUE OR total = 3", (), "bob"),
        ("""WHERE "status" = 'open'""", (), "bob"),
        ("WHERE status = 'open'", (), "bob"),
        ("WHERE total = customer", (), ""),
    ],
)
def test_where_finds(store, where, parameters, found):
    answer = items(store, f"SELECT * FROM orders {where}", *parameters)
    assert sorted(item["customer"] for item in answer) == found.split()


def test_select_shows_what_it_names_where_it_stands(store):
    assert items(store, "SELECT customer, doc.a[1], nothing FROM orders WHERE total = 9.5") == [
        {"customer": "ann", "doc": {"a": [2]}}
    ]
    assert items(store, f'select "order" from "orders" {KEY}') == [{"order": 1}]


def test_names_and_texts_are_never_taken_for_a_part_of_an_expression(store):
    for name in ("order", "a b", "#_0_0", ":v", "x OR y", 'quo"te', "a.b", "été", "#_key", "' OR '1'='1"):
        quoted = '"' + name.replace('"', '""') + '"'
        for value in ("1' OR '1'='1", ":_0_0", "#_0_0", "?", '"', ""):
            store.table("plain").put({"id": "x", name: value})
            text = "'" + value.replace("'", "''") + "'"
            assert items(store, f"SELECT * FROM plain WHERE {quoted} = {text}") == [{"id": "x", name: value}]
            assert items(store, f"SELECT {quoted} FROM plain WHERE {quoted} = ?", value) == [{name: value}]
            assert items(store, f"SELECT * FROM plain WHERE {quoted} = ?", value + "!") == []


@pytest.fixture
def many(store):
    with store.table("orders").batch_writer() as batch:
        for customer in ("c1", "c2", "c3", "c4"):
            for order in range(10):
                batch.put({"customer": customer, "order": order, "total": 100 - order, "status": f"s{order % 2}"})
    return store


ONCE = "once"
C1 = "SELECT * FROM orders WHERE customer = 'c1'"


@pytest.mark.parametrize(
    ("text", "orders", "scanned"),
    [
        (C1, range(10), 10),
        (f'{C1} ORDER BY "order" DESC', range(9, -1, -1), 10),
        (f'{C1} ORDER BY customer, "order" DESC', range(9, -1, -1), 10),
        (f'{C1} ORDER BY customer DESC, "order"', range(10), 10),
        (f'{C1} AND "order" = 3', [3], 1),
        (f'{C1} AND "order" > 6', [7, 8, 9], 3),
        (f'{C1} AND 6 < "order"', [7, 8, 9], 3),
        (f'{C1} AND "order" <= 1', [0, 1], 2),
        (f'{C1} AND "order" BETWEEN 2 AND 4', [2, 3, 4], 3),
        (f'{C1} AND "order" >= 2 AND "order" <= 4', [2, 3, 4], 3),
        (f'{C1} AND "order" > 2 AND "order" < 4', [3], 3),
        (f'{C1} AND "order" > 4 AND "order" < 2', [], 5),
        (f'{C1} AND "order" = 3 AND "order" > 3', [], 1),
        (f'{C1} AND "order" IN [3, 4]', [3, 4], 10),
        (f'{C1} AND total < 95 AND "order" < 8', [6, 7], 8),
        (f"{C1} AND customer = 'c2'", [], 10),
        ("SELECT * FROM orders WHERE total = 97 AND (customer = 'c1' AND \"order\" > 2)", [3], 7),
        ('SELECT * FROM "orders"."by-total" WHERE customer = \'c1\' AND total < 93', [9, 8], 2),
        ("SELECT * FROM orders.\"by-total\" WHERE customer = 'c1' AND total < 93 ORDER BY total DESC", [8, 9], 2),
        ("SELECT * FROM orders.\"by-status\" WHERE status = 's1' AND total = 99", [1] * 4, 4),
        ("SELECT * FROM orders WHERE total = 97", [3] * 4, 42),
        ("SELECT * FROM orders WHERE customer = 'c1' OR total = 3", [1, *range(10)], 42),
        ("SELECT * FROM orders WHERE customer > 'c3'", range(10), 42),
        ("SELECT * FROM orders WHERE NOT customer = 'c1' AND total = 97", [3] * 3, 42),
        ("SELECT * FROM orders WHERE customer IN ['c2', 'c1'] AND \"order\" < 2", [0, 1, 0, 1], 4),
        ("SELECT * FROM orders WHERE (customer = 'c2' OR customer = 'c1') AND \"order\" < 1", [0, 0], 2),
        ("SELECT * FROM orders WHERE customer IN ['c1', 'c1'] AND \"order\" < 2", [0, 1], 2),
    ],
)
def test_select_reads_no_more_than_its_keys_allow(many, text, orders, scanned):
    page = many.execute(text)
    assert [item["order"] for item in page] == list(orders)
    assert page.scanned == scanned
    if "total = 97" in text and "AND" not in text:
        assert many.explain_statement(text).find("Full scan") is not None


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("", ["c1", "c2", "c4"]),
        ("ORDER BY customer DESC", ["c4", "c2", "c1"]),
        ('ORDER BY customer ASC, "order" DESC', ["c1", "c2", "c4"]),
        ('ORDER BY customer DESC, "order" DESC', ["c4", "c2", "c1"]),
    ],
)
@pytest.mark.parametrize("limit", [None, 1, 2, 3, 4, 7, 12, 100])
def test_pages_over_several_partitions_leave_nothing_out(many, order, expected, limit):
    text = f"SELECT customer, \"order\" FROM orders WHERE customer IN ['c4', ?, 'none', 'c2'] AND \"order\" < 4 {order}"
    whole = many.execute(text, ["c1"])
    assert list(dict.fromkeys(item["customer"] for item in whole)) == expected
    assert (whole.count, whole.scanned, whole.last_key) == (12, 12, None)
    first = many.execute(text, ["c1"], limit=limit)
    assert first.all() == whole.items
    by_start, start = [], None
    while True:
        page = many.execute(text, ["c1"], limit=limit, start=start)
        assert limit is None or page.scanned <= limit
        by_start += page.items
        start = page.last_key
        if start is None:
            break
    assert by_start == whole.items


def test_pages_end_where_a_megabyte_was_examined_whatever_the_partition(store):
    for customer in "wxyz":
        for order in range(2):
            store.table("orders").put({"customer": customer, "order": order, "pad": "p" * 300_000})
    first = store.execute("SELECT customer, \"order\" FROM orders WHERE customer IN ['z', 'y', 'x', 'w']")
    assert (first.count, first.last_key) == (4, ("x", 1))
    assert len(first.all()) == 8


def test_a_start_from_elsewhere_is_refused(many):
    for start in (("c9", 1), "c1", (), 5, ("c1",)):
        with pytest.raises(Invalid, match=r"start=|two components"):
            many.execute("SELECT * FROM orders WHERE customer IN ['c1', 'c2']", start=start)
    with pytest.raises(Invalid, match="limit"):
        many.execute("SELECT * FROM orders WHERE customer IN ['c1', 'c2']", limit=0)


def test_a_select_is_charged_like_the_query_that_it_is(many):
    by_query, by_statement = kv.Consumed(), kv.Consumed()
    for customer in ("c1", "c2"):
        many.table("orders").query("customer = :c", values={":c": customer}, consistent=True, consumed=by_query)
    many.execute(
        "SELECT * FROM orders WHERE customer IN ['c1', 'c2']", consistent=True, consumed=by_statement, limit=None
    )
    assert by_statement.read == by_query.read > 0


# --- INSERT, UPDATE, DELETE ---


def test_insert_puts_what_is_not_there(store):
    text = (
        "INSERT INTO plain VALUE {'id': ?, 'n': -1.50, 's': <<1, 2.0>>, 'l': [TRUE, null, {'x''y': ?}], 'm': MISSING}"
    )
    assert store.execute(text, ["k", b"\x00"]) is None
    stored = store.table("plain").get("k")
    assert stored == {"id": "k", "n": Decimal("-1.5"), "s": {1, 2}, "l": [True, None, {"x'y": b"\x00"}]}
    with pytest.raises(ConditionFailed, match="has an item with this key") as caught:
        store.execute(text, ["k", b"\x01"])
    assert caught.value.aws == "DuplicateItemException"
    assert store.table("plain").get("k") == stored
    store.execute("INSERT INTO plain VALUE ?", [{"id": "whole"}])
    assert store.table("plain").get("whole") == {"id": "whole"}


def test_an_insert_shares_nothing_with_the_kept_statement(store):
    for _ in range(2):
        store.execute("INSERT INTO plain VALUE {'id': 'k', 'l': [[1]]}")
        store.execute("UPDATE plain SET l = list_append(l, [2]) WHERE id = 'k'")
        assert store.table("plain").get("k") == {"id": "k", "l": [[1], 2]}
        store.execute("DELETE FROM plain WHERE id = 'k'")


@pytest.mark.parametrize(
    ("changes", "parameters", "changed"),
    [
        ("SET total = 1", (), {"total": 1}),
        ("SET total = total + 0.5, n = 2", (), {"total": 10, "n": 2}),
        ("SET total = total - 10 SET n = ?", ([None],), {"total": Decimal("-0.5"), "n": [None]}),
        ("SET total = total -10", (), {"total": Decimal("-0.5")}),
        ("SET total = 1 + total", (), {"total": Decimal("10.5")}),
        ("SET total = doc.a[0] SET doc.a[0] = total", (), {"total": 1, "doc": {"a": [Decimal("9.5"), 2], "b": "it's"}}),
        ("SET doc.a = list_append(doc.a, [?])", (3,), {"doc": {"a": [1, 2, 3], "b": "it's"}}),
        ("SET doc.a = LIST_APPEND([0], doc.a)", (), {"doc": {"a": [0, 1, 2], "b": "it's"}}),
        ("SET tags = set_add(tags, <<'c'>>)", (), {"tags": {"a", "b", "c"}}),
        ("SET tags = set_delete(tags, <<'b', 'z'>>)", (), {"tags": {"a"}}),
        ("SET tags = set_add(tags, ?)", ({"c"},), {"tags": {"a", "b", "c"}}),
        ("SET more = set_add(more, <<1>>)", (), {"more": {1}}),
        ("REMOVE total", (), {"total": None}),
        ("REMOVE total, doc.a[0] SET x = ?", (b"",), {"total": None, "doc": {"a": [2], "b": "it's"}, "x": b""}),
    ],
)
def test_update_changes_one_item(store, changes, parameters, changed):
    assert store.execute(f"UPDATE orders {changes} {KEY}", parameters) is None
    new = {**ANN, **changed}
    new = {name: value for name, value in new.items() if value is not None}
    assert store.table("orders").get("ann", 1) == new
    assert store.table("orders").get("bob", 1) == BOB


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("ALL OLD", [ANN]),
        ("ALL NEW", [{**ANN, "total": 1}]),
        ("MODIFIED OLD", [{"total": Decimal("9.5")}]),
        ("modified new", [{"total": 1}]),
    ],
)
def test_update_returns_what_is_asked_for(store, what, answer):
    assert store.execute(f"UPDATE orders SET total = 1 {KEY} RETURNING {what} *") == answer


def test_update_needs_the_item_and_the_rest_of_where(store):
    for where in (
        "WHERE customer = 'ann' AND \"order\" = 2",
        f"{KEY} AND total = 9",
        f"{KEY} AND (total = 9 OR status = 'open')",
        f"{KEY} AND customer = 'bob'",
    ):
        with pytest.raises(ConditionFailed) as caught:
            store.execute(f"UPDATE orders SET x = 1 {where}")
        assert caught.value.aws == "ConditionalCheckFailedException"
    assert store.table("orders").scan().count == 2
    store.execute(f"UPDATE orders SET x = 1 {KEY} AND total > 9 AND tags IS NOT MISSING")
    assert store.table("orders").get("ann", 1)["x"] == 1


def test_delete_is_content_without_an_item_but_not_with_a_false_condition(store):
    assert store.execute("DELETE FROM orders WHERE customer = 'ann' AND \"order\" = 7 AND total = 1") is None
    assert store.execute("DELETE FROM orders WHERE \"order\" = 7 AND customer = 'ann' RETURNING ALL OLD *") == []
    for rest in ("total = 1", "total = 1 OR total = 2", "total = 9.5 AND tags IS MISSING"):
        with pytest.raises(ConditionFailed):
            store.execute(f"DELETE FROM orders {KEY} AND ({rest})")
    assert store.execute(f"DELETE FROM orders {KEY} AND total = 9.5 RETURNING ALL OLD *") == [ANN]
    assert store.table("orders").get("ann", 1) is None


# --- mistakes ---


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 1, "begins with SELECT, INSERT, UPDATE or DELETE, but the statement ends"),
        ("SELCT * FROM orders", 1, "did you mean 'SELECT'"),
        ("SELECT * FROM order", 15, 'written "order"'),
        ("SELECT * orders", 10, "expected 'FROM', found 'orders'"),
        ("SELECT * FROM 'orders'", 15, "names stand in double quotes, texts in single"),
        ("SELECT * FROM my-orders", 17, "'-' stands in double quotes"),
        ("SELECT count(*) FROM orders", 8, "SELECT takes attributes"),
        ("SELECT total AS t FROM orders", 14, "expected 'FROM'"),
        ("SELECT * FROM orders LIMIT 3", 22, "pass limit="),
        ("SELECT * FROM orders, plain", 21, "there are no joins"),
        ("SELECT * FROM orders;", 21, "one statement at a time"),
        ("SELECT * FROM orders WHERE", 27, "expected an attribute, a value or a function, but the statement ends here"),
        ("SELECT * FROM orders WHERE total", 33, "total alone is no condition"),
        ("SELECT * FROM orders WHERE total = ", 36, "a value or a function, but"),
        ("SELECT * FROM orders WHERE total == 1", 35, "one ="),
        ("SELECT * FROM orders WHERE total = MISSING", 36, "IS MISSING"),
        ("SELECT * FROM orders WHERE total IS MISING", 37, "did you mean 'MISSING'"),
        ("SELECT * FROM orders WHERE size(tags) IS NUMBER", 39, r"size\(tags\) is none"),
        ("SELECT * FROM orders WHERE contain(tags, 1)", 28, "did you mean 'contains'"),
        ("SELECT * FROM orders WHERE contains(tags)", 28, "takes 2 arguments, got 1"),
        ("SELECT * FROM orders WHERE contains('a', tags)", 28, "first argument of contains is an attribute, got 'a'"),
        ("SELECT * FROM orders WHERE contains(tags, contains(tags, 'a'))", 28, "can not be an argument"),
        ("SELECT * FROM orders WHERE total = 1 AND order = 1", 42, 'written "order"'),
        ("SELECT * FROM orders WHERE total = {total: 1}", 37, "names in a map are texts"),
        ("SELECT * FROM orders WHERE total = {'a': 1, 'a': 2}", 45, "two values for 'a'"),
        ("SELECT * FROM orders WHERE total = [1,, 2]", 39, "expected a value"),
        ("SELECT * FROM orders WHERE total = 'a", 36, "a text ends with '"),
        ('SELECT * FROM orders WHERE total = ""', 36, "at least one character"),
        ("SELECT * FROM orders WHERE #t = 1", 28, "no placeholder"),
        ("SELECT * FROM orders WHERE EXISTS(SELECT * FROM plain)", 28, "in a transaction"),
        ("SELECT * FROM orders WHERE total NOT 3", 38, "expected 'IN' or 'BETWEEN'"),
        ("SELECT * FROM orders WHERE total IN 3", 37, r"expected '\(' or '\['"),
        ("SELECT * FROM orders WHERE total = 3 ORDER BY total", 47, "a scan reads has no order"),
        ("SELECT * FROM orders WHERE customer = 'a' ORDER BY total", 52, 'ORDER BY "customer", "order"'),
        ("SELECT * FROM orders WHERE customer = 'a' ORDER BY \"order\", customer", 52, "ordered by their key"),
        ("SELECT * FROM orders WHERE customer = 'a' ORDER BY customer, customer", 52, "ordered by their key"),
        ("SELECT * FROM orders WHERE customer IN ['a', 'b'] ORDER BY \"order\"", 60, "ordered by their key"),
        ("SELECT * FROM orders ORDER customer", 28, "expected 'BY'"),
        ("INSERT orders VALUE {}", 8, "expected 'INTO'"),
        ("INSERT INTO orders VALUES {}", 20, "VALUE {'name': ...}"),
        ("INSERT INTO orders VALUE 5", 26, "an item is a map"),
        ('INSERT INTO orders."by-total" VALUE {}', 19, "written to tables"),
        ("UPDATE orders SET total = 1", 28, "UPDATE needs WHERE"),
        ("UPDATE orders total = 1", 15, "expected 'SET' or 'REMOVE'"),
        ("UPDATE orders SET total = 1 WHERE customer = 'ann'", 29, 'customer" = [?] AND "order" = [?]'),
        ("UPDATE orders SET total = 1 WHERE customer = 'ann' AND \"order\" > 1", 29, "key of one item"),
        ("UPDATE orders SET total = 1 WHERE customer = 'ann' OR \"order\" = 1", 29, "key of one item"),
        ("UPDATE orders SET total = MISSING", 27, "write REMOVE total"),
        ("UPDATE orders SET tags = set_add(total, <<1>>)", 26, r"tags = set_add\(tags, <<...>>\)"),
        ("UPDATE orders SET tags = set_add(tags, total)", 26, "has to be"),
        ("UPDATE orders SET total = list_append(total, [1]) + 1", 51, "takes numbers"),
        ("UPDATE orders SET total = size(total)", 27, "no function 'size'"),
        ("UPDATE orders SET a = 1 + 2 + 3", 29, "UPDATE needs WHERE"),
        (f"UPDATE orders SET a = 1 {KEY} RETURNING ALL", 77, "expected 'OLD' or 'NEW'"),
        (f"DELETE FROM orders {KEY} RETURNING ALL NEW *", 69, "what can be returned here is ALL OLD"),
        ("DELETE orders", 8, "expected 'FROM'"),
        ("DELETE FROM orders", 19, "DELETE needs WHERE"),
        (f"EXISTS(SELECT * FROM orders {KEY})", 1, "use execute_transaction"),
        ("SELECT * FROM orders\nWHERE total >\n= 3", 1, "expected an attribute"),
    ],
)
def test_a_mistake_is_shown_where_it_is(store, text, column, says):
    with pytest.raises(QueryError, match=says) as caught:
        store.execute(text)
    assert caught.value.column == column
    assert "#_" not in str(caught.value)
    assert ":_" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "parameters", "says"),
    [
        ("SELECT * FROM orders WHERE total = ?", (), r"has 1 parameter \(\?\), parameters has 0"),
        ("SELECT * FROM orders WHERE total = 1", (1,), r"has 0 parameters \(\?\), parameters has 1"),
        ("SELECT * FROM orders WHERE total = ?", "a", "parameters is a list"),
        ("SELECT * FROM orders WHERE total = ?", (0.5,), "parameter 1.*float"),
        ("SELECT * FROM orders WHERE total < {'a': 1}", (), "{'a': 1} is of type M"),
        ("SELECT * FROM orders WHERE total < ?", ([],), "parameter 1 is of type L"),
        ("SELECT * FROM orders WHERE total = total", (), "compares total with itself"),
        ("SELECT * FROM orders WHERE total BETWEEN 3 AND 2", (), "total BETWEEN 3 AND 2 is above"),
        ("SELECT * FROM orders WHERE total = <<>>", (), "this one holds nothing"),
        ("SELECT * FROM orders WHERE total = <<1, 'a'>>", (), "this one holds N, S"),
        ("SELECT * FROM orders WHERE total = <<[1]>>", (), "this one holds L"),
        ("SELECT * FROM orders WHERE total = <<TRUE, 1>>", (), "this one holds BOOL, N"),
        ("SELECT * FROM orders WHERE total = 1E999", (), "out of range"),
        ("SELECT * FROM orders WHERE customer = 5", (), "customer is of type S, and 5 of type N"),
        ("SELECT * FROM orders WHERE customer = 'a' AND \"order\" = 'x'", (), "sort key must be a number"),
        ("SELECT * FROM orders WHERE customer IN ['a', ?]", (None,), "parameter 1 of type NULL"),
        ("SELECT a, a.b FROM orders", (), "overlap, a and a.b"),
        ("SELECT * FROM orders WHERE attribute_type(total, 'X')", (), "attribute_type"),
        (f"UPDATE orders SET customer = 'x' {KEY}", (), "part of the key"),
        (f"UPDATE orders SET a = 1, a = 2 {KEY}", (), "overlap, a and a"),
        (f"UPDATE orders SET nothing.a = 1 {KEY}", (), "nothing should be a map"),
        (f"UPDATE orders SET a = customer + 1 {KEY}", (), "customer is of type S"),
        (f"UPDATE orders SET tags = set_add(tags, 5) {KEY}", (), "set_add takes a set, and 5 is of type N"),
        ("INSERT INTO orders VALUE ?", ([],), "takes an item, a dict"),
        ("INSERT INTO orders VALUE {'customer': 'x'}", (), "order"),
        (f"DELETE FROM orders {KEY} AND " + " AND ".join(["total = 1"] * 400), (), "at most 300 operators"),
        ("SELECT * FROM orders WHERE total = 1" + " " * 8192, (), "at most 8,192 characters"),
        ("SELECT * FROM orders WHERE " + "(" * 200, (), "at most 100"),
        ("SELECT * FROM orders WHERE total = " + "[" * 200, (), "at most 100"),
        (f"SELECT * FROM orders WHERE customer IN {[str(i) for i in range(51)]}", (), "at most 50 partitions, got 51"),
        (f"SELECT * FROM orders WHERE total IN {list(range(101))}", (), "at most 100 values, got 101"),
        ("SELECT * FROM orders.\"by-status\" WHERE status = ''", (), "empty|characters|status"),
        (5, (), "a statement is a text"),
    ],
)
def test_what_is_grammatical_but_makes_no_sense_is_invalid(store, text, parameters, says):
    with pytest.raises(Invalid, match=says) as caught:
        store.execute(text, parameters)
    assert "#_" not in str(caught.value)
    assert ":_" not in str(caught.value)


def test_unknown_tables_and_indexes_are_not_found(store):
    with pytest.raises(NotFound, match="did you mean 'orders'"):
        store.execute("SELECT * FROM ordrs")
    with pytest.raises(NotFound, match="by-totl"):
        store.execute('SELECT * FROM orders."by-totl"')
    with pytest.raises(Invalid, match="limit and start are for SELECT"):
        store.execute(f"UPDATE orders SET a = 1 {KEY}", limit=1)
    with pytest.raises(Invalid, match="consistent"):
        store.execute("SELECT * FROM orders.\"by-status\" WHERE status = 'open'", consistent=True)


WHOLE = [
    "SELECT a , b . c [ 0 ] FROM t . i WHERE a = ? AND NOT ( b IN [ 1 , - 2 ] OR size ( c ) < 1 ) ORDER BY a , b DESC",
    "SELECT * FROM t WHERE a IS NOT MISSING AND a BETWEEN 1 AND ? AND contains ( a , << 1 , 2 >> )",
    "INSERT INTO t VALUE { 'a' : [ TRUE , NULL , { } ] , 'b' : << 'x' >> , 'c' : ? , 'd' : MISSING }",
    "UPDATE t SET a = a + 1 , b = list_append ( b , [ ? ] ) SET c = set_add ( c , ? ) REMOVE d WHERE k = 1",
    "DELETE FROM t WHERE k = 'x' AND a NOT IN ( 1 , 2 ) RETURNING ALL OLD *",
    "EXISTS ( SELECT * FROM t WHERE k = 1 )",
]
WORDS = sorted({word for text in WHOLE for word in text.split()})


@settings(max_examples=500)
@given(st.sampled_from(WHOLE), st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["", *WORDS])), max_size=3))
def test_any_text_is_a_statement_or_a_clear_error(text, changes):
    words = text.split()
    for place, word in changes:
        words[place % len(words)] = word
    text = " ".join(words)
    try:
        statement = parse_statement(text)
    except (QueryError, Invalid) as error:
        event(type(error).__name__)
        said = str(error).splitlines()[0]
    else:
        event(type(statement.body).__name__)
        assert parse_statement(text) is statement
        said = ""
    assert "#_" not in said
    assert ":_" not in said


@given(st.text(max_size=20))
def test_no_text_does_harm(text):
    with pytest.raises((QueryError, Invalid)):
        parse_statement(text)


# --- batches and transactions ---


def test_each_statement_of_a_batch_is_for_itself(store):
    outcomes = store.execute_batch(
        [
            "INSERT INTO plain VALUE {'id': 'a'}",
            ("INSERT INTO plain VALUE {'id': ?}", ["a"]),
            "INSERT INTO nowhere VALUE {'id': 'a'}",
            "DELETE plain",
            ("DELETE FROM plain WHERE id = ? AND x = 1", ["a"]),
            f"UPDATE orders SET total = 1 {KEY} RETURNING MODIFIED OLD *",
        ]
    )
    errors = [getattr(outcome.error, "aws", None) for outcome in outcomes]
    assert errors == [
        None,
        "DuplicateItemException",
        "ResourceNotFoundException",
        "ValidationException",
        "ConditionalCheckFailedException",
        None,
    ]
    assert [outcome.item for outcome in outcomes] == [None] * 5 + [{"total": Decimal("9.5")}]


def test_a_batch_of_selects_reads_one_item_each(store):
    text = 'SELECT total FROM orders WHERE customer = ? AND "order" = ?'
    outcomes = store.execute_batch(
        [(text, ["ann", 1]), (text, ["bob", 1]), (text, ["bob", 2]), f"{text} AND total = 4"]
    )
    assert [outcome.item for outcome in outcomes[:3]] == [{"total": Decimal("9.5")}, {"total": 3}, None]
    assert isinstance(outcomes[3].error, Invalid)
    (found, not_found, no_key) = store.execute_batch(
        [
            f"SELECT total FROM orders {KEY} AND total > 9",
            f"SELECT total FROM orders {KEY} AND total > 10",
            "SELECT * FROM orders WHERE customer = 'ann'",
        ]
    )
    assert (found.item, not_found.item, no_key.item) == ({"total": Decimal("9.5")}, None, None)
    assert isinstance(no_key.error, QueryError)


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        ([], "1 to 25 statements, got 0"),
        (["SELECT * FROM plain"] * 26, "got 26"),
        ([f"SELECT * FROM orders {KEY}", f"DELETE FROM orders {KEY}"], "either reads or writes"),
        ("SELECT * FROM plain", "a list of statements"),
    ],
)
def test_a_batch_that_makes_no_sense_does_nothing(store, statements, says):
    with pytest.raises(Invalid, match=says):
        store.execute_batch(statements)
    assert store.table("orders").scan().count == 2


def test_throttled_statements_of_a_batch_say_so(store):
    store.table("plain").capacity(1, 1)
    outcomes = store.execute_batch([("INSERT INTO plain VALUE {'id': ?}", [key]) for key in "ab"])
    assert outcomes[0].error is None
    assert isinstance(outcomes[1].error, Throttled)
    assert [item["id"] for item in store.table("plain").scan()] == ["a"]


def test_a_transaction_happens_as_a_whole_or_not_at_all(store):
    writes = [
        "INSERT INTO plain VALUE {'id': 'a', 'n': 1}",
        f"UPDATE orders SET total = total + ? {KEY} AND total < 100",
        "DELETE FROM orders WHERE customer = 'bob' AND \"order\" = 1",
    ]
    check = "EXISTS(SELECT * FROM plain WHERE id = 'flag' AND n > 1)"
    statements = [writes[0], (writes[1], [1]), writes[2]]
    with pytest.raises(ConditionFailed) as caught:
        store.execute_transaction([*statements, check])
    assert caught.value.aws == "TransactionCanceledException"
    codes = [reason and reason["code"] for reason in caught.value.details["reasons"]]
    assert codes == [None, None, None, "ConditionalCheckFailed"]
    assert store.table("plain").get("a") is None
    store.execute("INSERT INTO plain VALUE {'id': 'flag', 'n': 2}")
    assert store.execute_transaction([*statements, check], token=ONCE) is None
    assert store.execute_transaction([*statements, check], token=ONCE) is None
    assert store.table("orders").get("ann", 1)["total"] == Decimal("10.5")
    assert store.table("plain").get("a") == {"id": "a", "n": 1}
    assert store.table("orders").get("bob", 1) is None
    with pytest.raises(ConditionFailed) as caught:
        store.execute_transaction(statements)
    codes = [reason and reason["code"] for reason in caught.value.details["reasons"]]
    assert codes == ["DuplicateItem", None, None]


def test_a_transaction_tells_its_errors_in_the_words_of_their_statement(store):
    with pytest.raises(Invalid, match=r"action 1: .*second should be a map") as caught:
        store.execute_transaction(
            [
                "INSERT INTO plain VALUE {'id': 'first'}",
                f"UPDATE orders SET second.x = 1 {KEY}",
                "DELETE FROM plain WHERE id = 'third'",
            ]
        )
    assert "#_" not in str(caught.value)
    with pytest.raises(Invalid, match="compares other with itself"):
        store.execute_transaction(
            ["DELETE FROM plain WHERE id = 'a'", "DELETE FROM plain WHERE id='b' AND other=other"]
        )
    assert store.table("plain").scan().count == 0


def test_a_transaction_reads_at_one_moment(store):
    text = 'SELECT total FROM orders WHERE customer = ? AND "order" = 1'
    answers = store.execute_transaction([(text, ["bob"]), (text, ["eve"]), f"SELECT * FROM orders {KEY}"])
    assert list(answers) == [{"total": 3}, None, ANN]


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        ([f"SELECT * FROM orders {KEY}", "DELETE FROM plain WHERE id = 'a'"], "either reads or writes"),
        ([f"SELECT * FROM orders {KEY} AND total = 1"], "takes the full key alone"),
        (["SELECT * FROM orders"], "key of one item"),
        (["SELECT * FROM orders.\"by-total\" WHERE customer = 'a' AND total = 1"], "read from its table"),
        ([f"DELETE FROM orders {KEY} RETURNING ALL OLD *"], "leave RETURNING out"),
        ([f"DELETE FROM orders {KEY}", f"EXISTS(SELECT * FROM orders {KEY})"], "on another item"),
        (["EXISTS(SELECT * FROM plain)"], "key of one item"),
        (["EXISTS(SELECT * FROM plain WHERE id = 'a'"], r"expected '\)'"),
        (["DELETE FROM plain WHERE id = 'a'"] * 101, "1 to 100 statements, got 101"),
        ([f"SELECT * FROM orders {KEY}"] * 2, "asked for once"),
    ],
)
def test_a_transaction_that_makes_no_sense_does_nothing(store, statements, says):
    with pytest.raises((Invalid, QueryError), match=says):
        store.execute_transaction(statements)
    assert store.table("orders").scan().count == 2


def test_exists_alone_is_a_check(store):
    assert store.execute_transaction([f"EXISTS(SELECT * FROM orders {KEY} AND note IS MISSING)"]) is None
    with pytest.raises(ConditionFailed):
        store.execute_transaction([f"EXISTS(SELECT * FROM orders {KEY} AND note IS NOT MISSING)"])
    with pytest.raises(ConditionFailed):
        store.execute_transaction(["EXISTS(SELECT * FROM plain WHERE id = 'a' AND note IS MISSING)"])


# --- explain ---


def test_explain_says_what_was_read_in_the_words_of_the_statement(many):
    plan = many.explain_statement("SELECT * FROM orders WHERE customer = 'c1' AND \"order\" > ? AND total < 95", [4])
    assert plan.name == "Query"
    assert plan.find("Range").detail == "customer = 'c1' and order > 4"
    assert plan.find("Filter").detail.startswith("total < 95")
    assert plan.counters["items_examined"] == 5
    assert plan.counters["items_returned"] == 4
    plan = many.explain_statement("SELECT * FROM orders WHERE total < ?", [95])
    assert plan.name == "Scan"
    assert plan.find("Full scan").counters["items_examined"] == 42
    assert plan.find("Filter").detail.startswith("total < parameter 1")
    plan = many.explain_statement("SELECT * FROM orders WHERE customer IN ['c1', 'c2'] AND \"order\" = 1")
    assert plan.name == "Partitions"
    assert plan.counters["items_examined"] == 2
    assert len(plan.children) == 2


def test_explaining_a_write_does_nothing(store):
    for text, name in (
        ("INSERT INTO plain VALUE {'id': 'a'}", "Put"),
        (f"UPDATE orders SET total = 1 {KEY}", "Update"),
        (f"DELETE FROM orders {KEY}", "Delete"),
        (f"EXISTS(SELECT * FROM orders {KEY})", "Check"),
    ):
        plan = store.explain_statement(text)
        assert plan.name == name
        assert "not run" in plan.detail
    assert store.table("orders").get("ann", 1) == ANN
    assert store.table("plain").scan().count == 0


# --- random conditions, against filters ---

PATHS = [("total",), ("order",), ("customer",), ("status",), ('we"ird name',), ("doc", "a"), ("doc", "l", 1), ("tags",)]
VALUES = st.sampled_from(
    [
        "",
        "a",
        "b",
        "it's",
        0,
        1,
        2,
        Decimal("1.5"),
        -1,
        True,
        False,
        None,
        {"a"},
        {1, 2},
        [1, "a"],
        {"a": 1, "b": [None]},
    ]
)
SCALARS = st.sampled_from(["", "a", "b", "it's", 0, 1, 2, Decimal("1.5"), -1])
OPERANDS = st.tuples(st.just("path"), st.sampled_from(PATHS)) | st.tuples(st.just("value"), VALUES)
PATH = st.tuples(st.just("path"), st.sampled_from(PATHS))
SIZE = st.tuples(st.just("size"), st.sampled_from(PATHS))
SCALAR = st.tuples(st.just("value"), SCALARS)

LEAVES = (
    st.tuples(st.sampled_from(["=", "<>"]), OPERANDS | SIZE, OPERANDS)
    | st.tuples(st.sampled_from(["<", "<=", ">", ">="]), PATH | SCALAR | SIZE, PATH | SCALAR)
    | st.tuples(st.just("BETWEEN"), PATH, SCALAR, SCALAR)
    | st.lists(OPERANDS, min_size=1, max_size=3).flatmap(lambda o: PATH.map(lambda path: ("IN", path, *o)))
    | st.tuples(st.sampled_from(["attribute_exists", "attribute_not_exists"]), PATH)
    | st.tuples(st.just("attribute_type"), PATH, st.sampled_from(["S", "N", "BOOL", "NULL", "M", "L", "SS", "NS"]))
    | st.tuples(st.just("contains"), PATH, OPERANDS)
    | st.tuples(st.just("begins_with"), PATH, st.tuples(st.just("value"), st.sampled_from(["", "a", "it"])))
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: (
        st.tuples(st.just("NOT"), inner)
        | st.tuples(st.sampled_from(["AND", "OR"]), inner, inner)
        | st.tuples(st.just("AND"), inner, inner, inner)
    ),
    max_leaves=5,
)
CUSTOMERS = st.sampled_from(["a", "b", "c", "it's"])
KEYS = (
    st.tuples(st.just("="), st.just(("path", ("customer",))), st.tuples(st.just("value"), CUSTOMERS))
    | st.tuples(st.just("="), st.tuples(st.just("value"), CUSTOMERS), st.just(("path", ("customer",))))
    | st.lists(CUSTOMERS, min_size=1, max_size=3).map(
        lambda names: ("IN", ("path", ("customer",)), *(("value", name) for name in names))
    )
)
NUMBERS = st.tuples(st.just("value"), st.integers(-1, 5) | st.just(Decimal("1.5")))
SORTS = st.tuples(st.sampled_from(["=", "<", "<=", ">", ">="]), st.just(("path", ("order",))), NUMBERS) | st.tuples(
    st.just("BETWEEN"), st.just(("path", ("order",))), NUMBERS, NUMBERS
)
WHERES = CONDITIONS | st.lists(KEYS | SORTS | SORTS | CONDITIONS, min_size=1, max_size=4).map(
    lambda parts: ("AND", *parts) if len(parts) > 1 else parts[0]
)


class Written:
    """A condition in PartiQL, some values as parameters."""

    def __init__(self, flags):
        self.parameters, self.flags = [], flags

    def path(self, parts):
        text = "".join(f"[{part}]" if isinstance(part, int) else '."' + part.replace('"', '""') + '"' for part in parts)
        return text[1:]

    def value(self, value):
        if self.flags.draw(st.integers(0, 3)) == 0:
            self.parameters.append(value)
            return "?"
        match value:
            case str():
                text = self.text(value)
            case None:
                text = "NULL"
            case bool():
                text = str(value).upper()
            case set():
                text = f"<<{', '.join(map(self.value, value))}>>"
            case list():
                text = f"[{', '.join(map(self.value, value))}]"
            case dict():
                text = f"{{{', '.join(f'{self.text(name)}: {self.value(part)}' for name, part in value.items())}}}"
            case _:
                text = str(value)
        return text

    def text(self, text):
        return "'" + text.replace("'", "''") + "'"

    def operand(self, operand):
        kind, what = operand
        if kind == "value":
            return self.value(what)
        return self.path(what) if kind == "path" else f"SIZE({self.path(what)})"

    def condition(self, condition):  # noqa: PLR0911 - one for each kind
        sign, *rest = condition
        if sign == "NOT":
            return f"NOT ({self.condition(rest[0])})"
        if sign in ("AND", "OR"):
            return f" {sign} ".join(f"({self.condition(part)})" for part in rest)
        first = self.operand(rest[0])
        if sign in ("attribute_exists", "attribute_not_exists"):
            return f"{first} IS {'NOT ' if sign == 'attribute_exists' else ''}MISSING"
        if sign == "attribute_type":
            return f"{first} IS {rest[1]}"
        if sign == "BETWEEN":
            return f"{first} BETWEEN {self.operand(rest[1])} AND {self.operand(rest[2])}"
        if sign == "IN":
            return f"{first} IN [{', '.join(map(self.operand, rest[1:]))}]"
        if sign in ("contains", "begins_with"):
            return f"{sign}({first}, {self.operand(rest[1])})"
        return f"{first} {sign} {self.operand(rest[1])}"


class Filter:
    """The same as an expression."""

    def __init__(self):
        self.names, self.values = {}, {}

    def operand(self, operand):
        kind, what = operand
        if kind == "value":
            name = f":v{len(self.values)}"
            self.values[name] = what
            return name
        parts = []
        for part in what:
            if isinstance(part, int):
                parts.append(f"[{part}]")
            else:
                known = {name: placeholder for placeholder, name in self.names.items()}
                name = known.get(part, f"#n{len(self.names)}")
                self.names[name] = part
                parts.append("." + name)
        path = "".join(parts)[1:]
        return path if kind == "path" else f"size({path})"

    def condition(self, condition):
        sign, *rest = condition
        if sign == "NOT":
            return f"NOT ({self.condition(rest[0])})"
        if sign in ("AND", "OR"):
            return f" {sign} ".join(f"({self.condition(part)})" for part in rest)
        if sign == "attribute_type":
            rest[1] = ("value", rest[1])
        first, *others = map(self.operand, rest)
        if sign == "BETWEEN":
            return f"{first} BETWEEN {others[0]} AND {others[1]}"
        if sign == "IN":
            return f"{first} IN ({', '.join(others)})"
        if sign[0].isalpha():
            return f"{sign}({', '.join([first, *others])})"
        return f"{first} {sign} {others[0]}"


@pytest.fixture(scope="module")
def assorted():
    values = ["", "a", "it's", 0, 1, Decimal("1.5"), True, None, {"a"}, {1, 2}, [1, "a"], {"a": 1, "b": [None]}]
    with kv.Store(clock=ManualClock()) as store:
        table = store.create_table("assorted", ("customer:S", "order:N"))
        count = 0
        for customer in ("a", "b", "it's", "z"):
            for order in (-1, 0, 1, Decimal("1.5"), 2, 4):
                count += 1
                item = {"customer": customer, "order": order, "total": values[count % len(values)]}
                if count % 3:
                    item["status"] = values[count * 5 % len(values)]
                if count % 4:
                    item['we"ird name'] = values[count * 7 % len(values)]
                if count % 5:
                    item["doc"] = {"a": values[count * 3 % len(values)], "l": [1, values[count % 7]]}
                if count % 2:
                    item["tags"] = {"a", "b"} if count % 3 else {0, 1}
                table.put(item)
        yield store


def outcome(read):
    """The keys that are found, in order, or what was said against it."""
    try:
        return [(item["customer"], item["order"]) for item in read()]
    except Invalid as error:
        return str(error)


@settings(max_examples=400)
@given(where=WHERES, limit=st.none() | st.integers(1, 9), data=st.data())
def test_a_where_finds_what_the_same_filter_finds(assorted, where, limit, data):
    written, filter_ = Written(data), Filter()
    text = f"SELECT * FROM assorted WHERE {written.condition(where)}"
    condition = filter_.condition(where)
    table = assorted.table("assorted")
    expected = outcome(
        lambda: table.scan(filter=condition, names=filter_.names or None, values=filter_.values or None).items
    )
    found = outcome(lambda: assorted.execute(text, written.parameters, limit=limit).all())
    if isinstance(expected, str):
        event("invalid")
        assert isinstance(found, str)
        assert "#_" not in found
        return
    if isinstance(found, str):  # a key that no item can have: a query refuses what a filter never finds
        event("no key")
        assert found.startswith(("the partition key ", "the sort key ", "the key customer is of type S"))
        assert expected == [] or where[0] in ("AND", "OR", "IN")
        return
    assert found == expected
    plan = assorted.explain_statement(text, written.parameters)
    event(plan.name)
    assert plan.counters["items_returned"] == len(found)
