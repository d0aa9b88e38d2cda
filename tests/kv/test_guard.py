"""Sessions: every verb is checked, what is denied does nothing, and errors show no more than they may."""

import inspect
from decimal import Decimal

import pytest
from policed import (
    ATTRIBUTES,
    LEADING,
    ORDER,
    RETURNS,
    SELECT,
    allow,
    deny,
    made,
    through_writer,
)

from engines import kv
from engines.errors import Closed, ConditionFailed, Denied, Invalid, NotFound
from engines.kv.access.guard import GuardedTable, Session


@pytest.fixture
def store():
    with made() as store:
        yield store


# -- every verb is checked, and does nothing where it is denied -------------------------------------------------------

PEOPLE = {":c": "ann"}
VERBS = {
    "get": ("GetItem", "orders", lambda s: s.table("orders").get("ann", 1)),
    "put": ("PutItem", "orders", lambda s: s.table("orders").put(ORDER | {"price": 9})),
    "update": ("UpdateItem", "orders", lambda s: s.table("orders").update(("ann", 1), "REMOVE price")),
    "delete": ("DeleteItem", "orders", lambda s: s.table("orders").delete("ann", 1)),
    "query": ("Query", "orders", lambda s: s.table("orders").query("customer = :c", values=PEOPLE)),
    "query of an index": (
        "Query",
        "orders/index/by_price",
        lambda s: s.table("orders").query("price = :t", values={":t": 5}, index="by_price"),
    ),
    "scan": ("Scan", "orders", lambda s: s.table("orders").scan()),
    "scan of an index": ("Scan", "orders/index/*", lambda s: s.table("orders").scan(index="by_price")),
    "explain": ("Scan", "orders", lambda s: s.table("orders").explain()),
    "changes": ("GetRecords", "orders/stream/*", lambda s: list(s.table("orders").changes())),
    "describe": ("DescribeTable", "orders", lambda s: s.table("orders").describe()),
    "buckets": ("DescribeTable", "orders", lambda s: s.table("orders").buckets()),
    "scaling": ("DescribeTable", "orders", lambda s: s.table("orders").scaling()),
    "hot_keys": ("DescribeContributorInsights", "orders", lambda s: s.table("orders").hot_keys()),
    "create_index": ("UpdateTable", "orders", lambda s: s.table("orders").create_index("i", "x:S")),
    "drop_index": ("UpdateTable", "orders", lambda s: s.table("orders").drop_index("by_price")),
    "capacity": ("UpdateTable", "orders", lambda s: s.table("orders").capacity(5, 5)),
    "scale": ("UpdateTable", "orders", lambda s: s.table("orders").scale(read=kv.Scaling(1, 2))),
    "batch_writer put": ("BatchWriteItem", "orders", lambda s: written(s, lambda w: w.put(ORDER | {"n": 7}))),
    "batch_writer delete": ("BatchWriteItem", "orders", lambda s: written(s, lambda w: w.delete("ann", 1))),
    "tables": ("ListTables", "*", lambda s: s.tables()),
    "create_table": ("CreateTable", "new", lambda s: s.create_table("new", key="id:S")),
    "drop_table": ("DeleteTable", "users", lambda s: s.drop_table("users")),
    "transact put": ("PutItem", "orders", lambda s: s.transact([kv.Put("orders", ORDER | {"n": 7})])),
    "transact update": ("UpdateItem", "orders", lambda s: s.transact([kv.Update("orders", ("ann", 1), "REMOVE note")])),
    "transact delete": ("DeleteItem", "orders", lambda s: s.transact([kv.Delete("orders", ("ann", 1))])),
    "transact check": (
        "ConditionCheckItem",
        "orders",
        lambda s: s.transact([kv.Check("orders", ("ann", 1), condition="attribute_exists(price)")]),
    ),
    "transact get": ("GetItem", "orders", lambda s: s.transact([kv.Get("orders", ("ann", 1))])),
    "batch_get": ("BatchGetItem", "orders", lambda s: s.batch_get([("orders", ("ann", 1))])),
    "batch_write": ("BatchWriteItem", "orders", lambda s: s.batch_write([kv.Delete("orders", ("ann", 1))])),
    "execute select": ("PartiQLSelect", "orders", lambda s: s.execute("SELECT * FROM orders")),
    "execute insert": (
        "PartiQLInsert",
        "orders",
        lambda s: s.execute("INSERT INTO orders VALUE {'customer': 'ann', 'n': 9}"),
    ),
    "execute update": (
        "PartiQLUpdate",
        "orders",
        lambda s: s.execute("UPDATE orders SET x = 1 WHERE customer = 'ann' AND n = 1"),
    ),
    "execute delete": (
        "PartiQLDelete",
        "orders",
        lambda s: s.execute("DELETE FROM orders WHERE customer = 'ann' AND n = 1"),
    ),
    "execute_transaction": (
        "PartiQLDelete",
        "orders",
        lambda s: s.execute_transaction(["DELETE FROM orders WHERE customer = 'ann' AND n = 1"]),
    ),
    "explain_statement": ("PartiQLSelect", "orders", lambda s: s.explain_statement("SELECT * FROM orders")),
    "store changes": ("GetRecords", "orders/stream/*", lambda s: list(s.changes())),
    "store explain": ("Query", "orders", lambda s: s.explain("orders", "customer = :c", values=PEOPLE)),
    "snapshot": ("CreateBackup", "users", lambda s: s.snapshot("one", tables=["users"])),
    "snapshots": ("ListBackups", "*", lambda s: s.snapshots()),
    "drop_snapshot": ("DeleteBackup", "*", lambda s: s.drop_snapshot("kept")),
    "restore_table": ("RestoreTableFromBackup", "*", lambda s: s.restore_table("users", to="again", snapshot="kept")),
    "set_pitr": ("UpdateContinuousBackups", "users", lambda s: s.set_pitr("users", enabled=True)),
    "set_ttl": ("UpdateTimeToLive", "users", lambda s: s.set_ttl("users", "until")),
    "set_stream": ("UpdateTable", "users", lambda s: s.set_stream("users", stream=True)),
}


def written(session, what):
    with session.table("orders").batch_writer() as writer:
        what(writer)


def standing(store):
    """All that a denied call must leave as it was."""
    consumed = [table.records.capacity.read.consumed for table in store.schema.all() if table.records.capacity]
    names = [list(table.records.codec.names) for table in store.schema.all()]
    return store.log.last, store.tables(), consumed, names, len(store.snapshots())


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_needs_its_action_and_no_other(store, verb):
    action, resource, call = VERBS[verb]
    store.snapshot("kept", tables=["users"])
    before = standing(store)
    for policy in (
        [allow(), deny(action, resource)],
        [{"Effect": "Allow", "NotAction": f"dynamodb:{action}", "Resource": "*"}],
        [{"Effect": "Allow", "Action": "*", "NotResource": ["*"] if resource == "*" else [resource]}],
    ):
        with pytest.raises(Denied):
            call(store.session(policy))
    assert standing(store) == before
    call(store.session([allow(action, resource)]))


def test_files_are_written_and_read_only_where_that_is_allowed(tmp_path):
    with made(tmp_path / "shop") as store:
        with pytest.raises(Denied):
            store.session([allow(), deny("ExportTableToPointInTime")]).export("orders", tmp_path / "out")
        assert not (tmp_path / "out").exists()
        exported = store.session([allow("ExportTableToPointInTime", "orders")]).export("orders", tmp_path / "out")
        key = ("customer:S", "n:N")
        with pytest.raises(Denied):
            store.session([allow(), deny("ImportTable", "new")]).import_table("new", exported.path, key=key)
        assert store.tables() == ["orders", "users"]
        table, report = store.session([allow("ImportTable", "new")]).import_table("new", exported.path, key=key)
        assert isinstance(table, GuardedTable)
        assert report.ok
        assert store.table("new").scan().items == store.table("orders").scan().items


def test_no_verb_is_forgotten():
    """Whoever adds one to a table or store decides here whether it is for a session."""
    for of, guarded, others in (
        (kv.Table, GuardedTable, {"get_with", "definition", "key", "reader", "records", "as_table_source"}),
        (
            kv.Store,
            Session,
            {"session", "close", "check_open", "checkpoint", "checkpoint_if_due", "expire", "tick", "stats", "layout"}
            | {"verify", "restore", "read_changes", "let_others"},
        ),
    ):
        verbs = {name for name, _ in inspect.getmembers(of) if not name.startswith("_")}
        assert verbs - {name for name in dir(guarded) if not name.startswith("_")} == others


def test_a_guarded_verb_has_the_name_and_the_words_of_the_stores():
    assert GuardedTable.put.__doc__ == kv.Table.put.__doc__
    assert inspect.signature(Session.create_table) == inspect.signature(kv.Store.create_table)


# -- what comes back --------------------------------------------------------------------------------------------------


def test_what_a_session_makes_is_guarded_too(store):
    session = store.session([allow(["dynamodb:CreateTable", "dynamodb:RestoreTable*"])])
    store.snapshot("kept")
    for table in (session.create_table("new", key="id:S"), session.restore_table("users", to="u", snapshot="kept")):
        assert isinstance(table, GuardedTable)
        with pytest.raises(Denied):
            table.scan()
    assert repr(table) == "<guarded <kv.Table u (id:B)>>"
    assert table.name == "u"


@pytest.mark.parametrize(
    "read",
    [
        lambda s: s.table("orders").query("customer = :c", values=PEOPLE, limit=1),
        lambda s: s.table("orders").scan(limit=1),
        lambda s: s.execute("SELECT * FROM orders WHERE customer IN ['ann', 'bob']", limit=1),
    ],
)
def test_the_next_page_is_asked_for_again(store, read):
    today = {"DateLessThan": {"aws:CurrentTime": "2026-01-02T00:00:00Z"}}
    session = store.session([allow(**today)])
    page = read(session)
    assert [item["n"] for item in page.next().next().items] == [2]
    page = page.next()
    store.clock.advance(days=1)
    with pytest.raises(Denied):
        page.next()
    with pytest.raises(Denied):
        page.all()


@pytest.mark.parametrize("changes", [lambda s: s.changes(), lambda s: s.table("orders").changes()])
def test_each_change_is_asked_for_again(store, changes):
    session = store.session([allow(DateLessThan={"aws:CurrentTime": "2026-01-02T00:00:00Z"})])
    found = changes(session)
    assert next(found).key == ("ann", 0)
    store.clock.advance(days=1)
    with pytest.raises(Denied):
        next(found)
    with pytest.raises(Denied):
        changes(session)  # before anybody asks for the first


def test_changes_of_a_store_need_all_its_streams(store):
    store.create_table("more", key="id:S", stream=True)
    with pytest.raises(Denied):
        store.session([allow("GetRecords", "orders/stream/*")]).changes()
    assert len(list(store.session([allow("GetRecords", "table/*/stream/*")]).changes())) == 6


def test_iterators_are_read_once_and_checked(store):
    mine = store.session([allow(ForAllValues__StringEquals={LEADING: "ann"})])
    assert mine.batch_get(iter([("orders", ("ann", 1))])) == [store.table("orders").get("ann", 1)]
    with pytest.raises(Denied):
        mine.batch_get(iter([("orders", ("bob", 1))]))
    mine.transact(kv.Delete("orders", ("ann", n)) for n in range(3))
    with pytest.raises(Denied):
        mine.transact(kv.Delete("orders", ("bob", n)) for n in range(3))
    assert [item["customer"] for item in store.table("orders").scan()] == ["bob"] * 3


def test_a_batch_writer_stops_at_what_is_denied_and_stores_nothing_of_the_block(store):
    orders = store.session([allow(ForAllValues__StringEquals={LEADING: "ann"})]).table("orders")
    writes = [kv.Put("orders", ORDER | {"n": 51}), kv.Delete("orders", ("bob", 1))]
    with orders.batch_writer() as writer:
        writer.put(ORDER | {"n": 50})
        writer.flush()
    with pytest.raises(Denied):
        through_writer(orders, writes)
    assert [store.table("orders").get("ann", n) is not None for n in (50, 51)] == [True, False]
    assert store.table("orders").get("bob", 1) is not None


def test_in_a_batch_of_statements_each_is_denied_for_itself(store):
    session = store.session([allow(ForAllValues__StringEquals={LEADING: "ann"}), deny("PartiQLInsert")])
    one = "SELECT * FROM orders WHERE customer = ? AND n = 1"
    found = session.execute_batch([(one, ["ann"]), (one, ["bob"]), "SELECT", (one, ["ann"])])
    assert [outcome.item is not None for outcome in found] == [True, False, False, True]
    assert [type(outcome.error).__name__ for outcome in found] == ["NoneType", "Denied", "QueryError", "NoneType"]
    assert [type(outcome.error) for outcome in session.execute_batch(iter([(one, ["bob"])]))] == [Denied]
    for nothing in ([], one, [(one, ["ann"]), "DELETE FROM orders WHERE customer = 'ann' AND n = 1"]):
        with pytest.raises(Invalid):
            session.execute_batch(nothing)
    with pytest.raises(Denied):
        session.execute("INSERT INTO orders VALUE {'customer': 'ann', 'n': 1}")


# -- attributes, and what errors show ---------------------------------------------------------------------------------

COLUMNS = ["customer", "n", "price"]
NARROW = [
    allow(
        ["dynamodb:*Item", "dynamodb:Query", "dynamodb:Scan", "dynamodb:PartiQL*"],
        ForAllValues__StringEquals={ATTRIBUTES: COLUMNS},
        StringEqualsIfExists={
            SELECT: ["SPECIFIC_ATTRIBUTES", "COUNT"],
            RETURNS: ["NONE", "UPDATED_OLD", "UPDATED_NEW"],
        },
    )
]


@pytest.mark.parametrize(
    ("call", "allowed"),
    [
        (lambda t: t.get("ann", 1), False),
        (lambda t: t.get("ann", 1, projection="price"), True),
        (lambda t: t.get("ann", 1, projection="price, note.a"), False),
        (lambda t: t.get("ann", 1, projection="#n", names={"#n": "note"}), False),
        (lambda t: t.query("customer = :c", values=PEOPLE), False),
        (lambda t: t.query("customer = :c", values=PEOPLE, projection="price"), True),
        (lambda t: t.query("customer = :c", values=PEOPLE, filter="note = :c", projection="price"), False),
        (lambda t: t.scan(count=True), True),
        (lambda t: t.scan(count=True, filter="attribute_exists(note)"), False),
        (lambda t: t.put({"customer": "eve", "n": 1, "price": 1}), True),
        (lambda t: t.put({"customer": "eve", "n": 1, "other": 1}), False),
        (lambda t: t.put({"customer": "eve", "n": 1}, returns="ALL_OLD"), False),
        (lambda t: t.put({"customer": "eve", "n": 1}, condition="attribute_not_exists(note)"), False),
        (lambda t: t.update(("ann", 1), "SET price = price + n", returns="UPDATED_OLD"), True),
        (lambda t: t.update(("ann", 1), "SET price = note"), False),
        (lambda t: t.update(("ann", 1), "REMOVE note"), False),
        (lambda t: t.update(("ann", 1), "SET price = n", returns="ALL_NEW"), False),
        (lambda t: t.delete("ann", 1), True),
        (lambda t: t.delete("ann", 1, returns="ALL_OLD"), False),
        (lambda t: t.delete("ann", 1, condition="note = price"), False),
    ],
)
def test_a_policy_of_attributes_as_the_service_wants_it_written(store, call, allowed):
    table = store.session(NARROW).table("orders")
    if allowed:
        call(table)
    else:
        with pytest.raises(Denied):
            call(table)


FAILING = {
    "put": lambda s: s.table("orders").put(ORDER, condition="price = :t", values={":t": 0}),
    "update": lambda s: s.table("orders").update(
        ("ann", 1), "SET price = :t", condition="price = :t", values={":t": 0}
    ),
    "delete": lambda s: s.table("orders").delete("ann", 1, condition="price = :t", values={":t": 0}),
    "transact": lambda s: s.transact(
        [
            kv.Check("orders", ("bob", 1), condition="attribute_exists(price)"),
            kv.Delete("orders", ("ann", 1), condition="price = :t", values={":t": 0}),
        ]
    ),
    "insert": lambda s: s.execute("INSERT INTO orders VALUE {'customer': 'ann', 'n': 1}"),
    "statements": lambda s: s.execute_transaction(
        ["DELETE FROM orders WHERE customer = 'ann' AND n = 1 AND price = 0"]
    ),
}


@pytest.mark.parametrize("verb", FAILING)
def test_the_item_of_a_failed_condition_is_shown_where_all_old_would_be(store, verb):
    item = store.table("orders").get("ann", 1)
    for policy, shown in (([allow()], item), ([allow(), deny(StringEquals={RETURNS: "ALL_OLD"})], None)):
        with pytest.raises(ConditionFailed) as failed:
            FAILING[verb](store.session(policy))
        error = failed.value
        assert error.item == shown
        assert [reason["item"] for reason in error.details.get("reasons", []) if reason] in ([], [shown])
        said = str(error) + str(error.details.get("reasons"))
        assert ("hidden" in said, "what stands there" in said)[shown is not None] or verb == "insert"
        assert shown is not None or "what stands there" not in said
        assert shown is not None or "'note'" not in said


def test_what_a_transaction_shows_is_decided_for_each_action(store):
    mine = {LEADING: "ann"}
    session = store.session([allow(), deny(ForAnyValue__StringEquals=mine, StringEquals={RETURNS: "ALL_OLD"})])
    with pytest.raises(ConditionFailed) as failed:
        session.transact(
            [kv.Check("orders", (name, 1), condition="attribute_exists(x)") for name in ("bob", "ann", "eve")]
        )
    assert [reason["item"] for reason in failed.value.reasons] == [ORDER | {"customer": "bob"}, None, None]
    assert failed.value.item is None


def test_an_outcome_of_a_batch_shows_no_more_than_an_error(store):
    statement = "DELETE FROM orders WHERE customer = 'ann' AND n = 1 AND price = 0"
    for policy, shown in (([allow()], True), ([allow(), deny(StringEquals={RETURNS: "ALL_OLD"})], False)):
        (outcome,) = store.session(policy).execute_batch([statement])
        assert isinstance(outcome.error, ConditionFailed)
        assert (outcome.error.item is not None) == shown


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.table("order"),
        lambda s: s.transact([kv.Delete("order", ("ann", 1))]),
        lambda s: s.batch_get([("order", ("ann", 1))]),
        lambda s: s.execute('SELECT * FROM "order"'),
        lambda s: s.drop_table("order"),
    ],
)
def test_names_of_tables_are_offered_to_those_who_may_list_them(store, call):
    with pytest.raises(NotFound, match="there is no table 'order'; did you mean 'orders'"):
        call(store.session([allow()]))
    with pytest.raises(NotFound) as missing:
        call(store.session([allow(), deny("ListTables")]))
    assert str(missing.value) == "there is no table 'order'"


# -- who asks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("principal", "condition"),
    [
        ({"username": "ann"}, {"StringEquals": {"aws:username": "ann"}}),
        ({"userid": "AID"}, {"StringEquals": {"aws:userid": "AID"}}),
        ({"arn": "arn:x"}, {"StringEquals": {"aws:PrincipalArn": "arn:x"}}),
        ({"account": "12"}, {"StringEquals": {"aws:PrincipalAccount": "12"}}),
        ({"type": "User"}, {"StringEquals": {"aws:PrincipalType": "User"}}),
        ({"mfa": True}, {"Bool": {"aws:MultiFactorAuthPresent": "true"}}),
        ({"secure": True}, {"Bool": {"aws:SecureTransport": "true"}}),
        ({"tags": {"team": "sales"}}, {"StringEquals": {"aws:PrincipalTag/team": "sales"}}),
        ({"graph.facebook.com:id": "7"}, {"StringEquals": {"graph.facebook.com:id": "7"}}),
        ({"username": "ann"}, {"DateEquals": {"aws:CurrentTime": "2026-01-01T12:00:00Z"}}),
    ],
)
def test_a_principal_is_known_to_the_conditions(store, principal, condition):
    policy = [allow("ListTables", **condition)]
    assert store.session(policy, principal=principal).tables() == ["orders", "users"]
    store.clock.advance(5)
    with pytest.raises(Denied):
        store.session(policy).tables()


@pytest.mark.parametrize(
    ("principal", "message"),
    [
        ("ann", 'principal is a dict like {"username": "ann"}'),
        ({"user": "ann"}, "got 'user'; did you mean 'userid'"),
        ({"username": 5}, "aws:username is text in context, got 5"),
        ({"mfa": "yes"}, "True or False"),
        ({"aws:unknown": "x"}, "no condition key 'aws:unknown'"),
        ({"dynamodb:Select": "COUNT"}, "got 'dynamodb:Select'"),
        ({"DynamoDB:LeadingKeys": "x"}, "got 'DynamoDB:LeadingKeys'"),
        ({"aws:CurrentTime": "x"}, "does not belong in context"),
        ({7: "x"}, "got 7"),
    ],
)
def test_a_principal_that_is_none_is_refused(store, principal, message):
    with pytest.raises(Invalid, match=message):
        store.session([allow()], principal=principal)


def test_a_policy_comes_as_it_is_or_as_a_document(store):
    for policy in (kv.Policy([allow("ListTables")]), {"Version": "2012-10-17", "Statement": allow("ListTables")}):
        assert store.session(policy).tables() == ["orders", "users"]
    with pytest.raises(Invalid):
        store.session([])
    assert repr(store.session([allow()], principal={"username": "ann"})) == (
        "<kv.Session of ann with <kv.Store in memory>>"
    )


def test_numbers_of_38_digits_are_told_apart(store):
    table = store.create_table("numbers", key="id:N")
    mine, other = 10**37 + 1, 10**37 + 2
    session = store.session([allow("PutItem", ForAllValues__StringEquals={LEADING: str(mine)})])
    session.table("numbers").put({"id": mine})
    session.table("numbers").put({"id": Decimal(mine)})
    with pytest.raises(Denied):
        session.table("numbers").put({"id": other})
    tiny, close = Decimal("1." + "0" * 35 + "1"), Decimal("1." + "0" * 35 + "2")
    session = store.session([allow("PutItem", ForAllValues__StringEquals={LEADING: str(tiny)})])
    session.table("numbers").put({"id": tiny})
    with pytest.raises(Denied):
        session.table("numbers").put({"id": close})
    assert table.scan().count == 2


def test_a_closed_store_says_so(store):
    session = store.session([allow()])
    table = session.table("orders")
    store.close()
    for call in (session.tables, table.scan, lambda: session.execute_batch(["SELECT"]), lambda: session.table("x")):
        with pytest.raises(Closed):
            call()
