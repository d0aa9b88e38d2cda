"""PartiQL: what each statement does, mistakes with their place, pages over several partitions, explain."""

# ruff: noqa: S608 - statements are put together from parts of the tests' own

from decimal import Decimal

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from statements import ANN, BOB, KEY, store

from engines import kv
from engines.errors import ConditionFailed, Invalid, NotFound, QueryError
from engines.kv.partiql.syntax import parse_statement

__all__ = ["store"]  # a fixture


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
        ("WHERE customer IN [status, 'bob']", (), "bob"),
        ("WHERE customer = status OR customer = 'bob'", (), "bob"),
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
    assert (whole.count, whole.scanned, whole.last_key, whole.capacity) == (12, 12, None, 4 * 0.5)
    assert whole.items[0]["order"] == (3 if '"order" DESC' in order else 0)
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


def test_a_prefix_of_the_sort_key_is_read_alone(store):
    notes = store.create_table("notes", ("user:S", "day:S"))
    for day in ("2024-01-31", "2024-02-01", "2024-02-28", "2024-03-01"):
        notes.put({"user": "ann", "day": day})
    page = store.execute("SELECT day FROM notes WHERE user = 'ann' AND day > '2' AND begins_with(day, '2024-02')")
    assert ([item["day"] for item in page], page.scanned) == (["2024-02-01", "2024-02-28"], 2)


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
    with pytest.raises(ConditionFailed, match="no item with this key, nothing was changed: INSERT it"):
        store.execute("UPDATE orders SET x = 1 WHERE customer = 'ann' AND \"order\" = 2")
    with pytest.raises(ConditionFailed, match="is false: nothing was changed") as caught:
        store.execute(f"UPDATE orders SET x = 1 {KEY} AND total = 9")
    assert caught.value.item == ANN
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
        (f"SELECT * FROM orders WHERE {' OR '.join(['attribute_exists(a)'] * 151)}", (), "at most 300 operators"),
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


def test_functions_beside_each_other_are_not_inside_each_other(store):
    sizes = ", ".join(["size(total)"] * 60)
    assert items(store, f"SELECT * FROM orders WHERE total IN ({sizes}) OR total IN ({sizes})") == []


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


# --- explain ---


def test_explain_says_what_was_read_in_the_words_of_the_statement(many):
    plan = many.explain_statement("SELECT * FROM orders WHERE customer = 'c1' AND \"order\" > ? AND total < 95", [4])
    assert plan.name == "Query"
    assert plan.find("Range").detail == "customer = 'c1' and order > 4"
    assert plan.find("Filter").detail.startswith("total < 95")
    assert plan.counters["items_examined"] == 5
    assert plan.counters["items_returned"] == 4
    plan = many.explain_statement('SELECT * FROM orders WHERE customer = ? ORDER BY "order" DESC', ["c1"])
    assert plan.find("Range").detail == "customer = 'c1', backwards"
    plan = many.explain_statement("SELECT * FROM orders WHERE total < ?", [95])
    assert plan.name == "Scan"
    assert plan.find("Full scan").counters["items_examined"] == 42
    assert plan.find("Filter").detail.startswith("total < parameter 1")
    plan = many.explain_statement("SELECT * FROM orders WHERE customer IN ['c1', 'c2'] AND \"order\" = 1")
    assert plan.find("Range").detail == "customer = 'c1' and order = 1"
    assert plan.name == "Partitions"
    assert plan.counters["items_examined"] == 2
    assert len(plan.children) == 2


def test_what_the_key_says_in_full_is_not_in_the_filter(many):
    for text, kept in (
        ('AND "order" >= 2 AND "order" <= 4', ""),
        ('AND "order" >= 2 AND "order" < 4', "order < 4"),
        ('AND "order" > 2 AND 4 > "order"', "order > 2 AND 4 > order"),
        ('AND "order" BETWEEN 2 AND 4 AND "order" <> 3', "order <> 3"),
    ):
        found = many.explain_statement(f"{C1} {text}").find("Filter")
        assert (found.detail.split(";")[0] if found else "") == kept


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
