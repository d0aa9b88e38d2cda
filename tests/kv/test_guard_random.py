"""Sessions against the store itself: one that may do everything, and one that may not touch a partition."""

from hypothesis import given
from hypothesis import strategies as st
from policed import LEADING, SCANS, allow, deny, made, through_writer

from engines import kv
from engines.errors import EngineError, Invalid, NotFound, QueryError
from engines.kv.page import Page
from engines.kv.partiql import Outcome

names = st.sampled_from(["ann", "ann", "bob", "eve"])
keys = st.tuples(names, st.integers(0, 2))
wrong_keys = st.sampled_from([("ann",), ("ann", "1"), (1, 1), ("", 1), ("ann", 1, 2), ("ann", None), ("bob", 1.5)])
any_keys = st.one_of(keys, keys, keys, keys, wrong_keys)
items = st.builds(
    lambda key, more: {"customer": key[0], "n": key[1]} | more,
    keys,
    st.sampled_from([{}, {"price": 1}, {"price": 2, "note": "x"}, {"v": 0.5}, {"price": "text"}]),
) | st.sampled_from([{"n": 1}, {"customer": "bob"}, None, {"customer": "ann", "n": "1"}])
conditions = st.sampled_from(
    [None, None, "attribute_exists(customer)", "attribute_not_exists(note)", "price > n", "price >", "note = :x", ""]
)
returns = st.sampled_from(["NONE", "NONE", "ALL_OLD", "OLD"])
expressions = st.sampled_from(["REMOVE note", "SET v = n", "SET price = price", "SET n = n", "SET v", "ADD v :one"])
projections = st.sampled_from([None, None, "price", "note, n", "price,", "price, price"])
tables = st.sampled_from(["orders"] * 6 + ["order"])
actions = st.one_of(
    st.builds(lambda t, i, c: kv.Put(t, i, condition=c), tables, items, conditions),
    st.builds(lambda t, k, e, c: kv.Update(t, k, e, condition=c), tables, any_keys, expressions, conditions),
    st.builds(lambda t, k, c: kv.Delete(t, k, condition=c), tables, any_keys, conditions),
    st.builds(lambda t, k, c: kv.Check(t, k, condition=c), tables, any_keys, conditions),
)
gets = st.builds(kv.Get, tables, any_keys, projections)
writes = st.one_of(st.builds(kv.Put, tables, items), st.builds(kv.Delete, tables, any_keys))
SELECTS = [
    ("SELECT * FROM orders WHERE customer = ? AND n = ?", any_keys),
    ("SELECT * FROM orders WHERE customer IN [?, ?]", st.tuples(names, names)),
    ("SELECT * FROM orders WHERE customer = ?", st.tuples(names)),
    ("SELECT n FROM orders WHERE customer = ? AND n > 0 AND v = 1", st.tuples(names)),
    ("SELECT * FROM orders WHERE n = 1", st.just(())),
    ("SELECT * FROM orders.by_price WHERE price = 1", st.just(())),
    ("SELECT * FROM orders", st.just(())),
]
CHANGES = [
    ("DELETE FROM orders WHERE customer = ? AND n = ? AND price = 1 RETURNING ALL OLD *", any_keys),
    ("DELETE FROM orders WHERE customer = ? AND n = ?", any_keys),
    ("UPDATE orders SET v = n WHERE customer = ? AND n = ?", any_keys),
    ("INSERT INTO orders VALUE ?", st.tuples(items)),
    ('DELETE FROM "order" WHERE customer = 1', st.just(())),
]
NEITHER = [("SELECT", st.just(())), (5, st.just(()))]


def texts(known):
    return st.one_of(*(st.tuples(st.just(text), values.map(list)) for text, values in known))


statements = texts(SELECTS + CHANGES + NEITHER)
batches = st.lists(texts(SELECTS + NEITHER), max_size=3) | st.lists(texts(CHANGES + NEITHER), max_size=3)
calls = st.one_of(
    st.builds(lambda k, p: lambda s, t: t.get(*k, projection=p), any_keys, projections),
    st.builds(lambda i, c, r: lambda s, t: t.put(i, condition=c, returns=r), items, conditions, returns),
    st.builds(
        lambda k, e, c, r: lambda s, t: t.update(k, e, condition=c, returns=r),
        any_keys,
        expressions,
        conditions,
        returns,
    ),
    st.builds(lambda k, c, r: lambda s, t: t.delete(*k, condition=c, returns=r), any_keys, conditions, returns),
    st.builds(
        lambda c, v, f, p: lambda s, t: t.query(c, values=v, filter=f, projection=p, limit=2),
        st.sampled_from(["customer = :c", "customer = :c", "customer = :c AND n > :n", "n = :n", "customer"]),
        st.builds(lambda c: {":c": c}, names) | st.builds(lambda c: {":c": c, ":n": 0}, names),
        conditions,
        projections,
    ),
    st.builds(
        lambda v: lambda s, t: t.query("price = :t", values={":t": v}, index="by_price"), st.sampled_from([1, 2, "bob"])
    ),
    st.builds(
        lambda f, i: lambda s, t: t.scan(filter=f, index=i), conditions, st.sampled_from([None, "by_price", "b"])
    ),
    st.builds(lambda a: lambda s, t: s.transact(a), st.lists(actions, max_size=3)),
    st.builds(lambda a: lambda s, t: s.transact(a), st.lists(gets, max_size=3)),
    st.builds(lambda g: lambda s, t: s.batch_get(g), st.lists(gets, max_size=3)),
    st.builds(lambda w: lambda s, t: s.batch_write(w), st.lists(writes, max_size=3)),
    st.builds(lambda w: lambda s, t: through_writer(t, w), st.lists(writes, max_size=3)),
    st.builds(lambda x: lambda s, t: s.execute(*x), statements),
    st.builds(lambda x: lambda s, t: s.execute_batch(x), batches),
    st.builds(lambda x: lambda s, t: s.execute_transaction(x), batches),
    st.just(lambda s, t: t.describe()["items"]),
    st.just(lambda s, t: s.tables()),
    st.just(lambda s, t: list(s.changes())),
)


def told(call, *arguments):
    """What came of a call, as plain values. Of several mistakes it may be any that is told."""
    try:
        answer = call(*arguments)
    except (Invalid, QueryError, NotFound):
        return "refused"
    except EngineError as error:
        return shown(error)
    return shown(answer)


def shown(answer):
    match answer:
        case Invalid() | QueryError() | NotFound():
            return "refused"
        case EngineError():
            return type(answer).__name__, str(answer), answer.details
        case Page():
            return answer.items, answer.count, answer.scanned, answer.last_key, answer.all()
        case Outcome():
            return shown(answer.item), shown(answer.error)
        case list():
            return [shown(part) for part in answer]
    return answer


@given(st.lists(calls, max_size=20))
def test_a_session_that_may_do_everything_does_what_the_store_does(calls):
    with made() as store, made() as guarded:
        session = guarded.session([allow()])
        for call in calls:
            expected = told(call, store, store.table("orders"))
            assert told(call, session, session.table("orders")) == expected
        assert store.log.last == guarded.log.last


@given(st.lists(calls, max_size=20))
def test_what_is_denied_by_its_leading_key_is_neither_read_nor_changed(calls):
    with made() as store:
        orders = store.table("orders")
        orders.update(("bob", 1), "SET secret = :s", values={":s": "of bob"})
        before = orders.query("customer = :c", values={":c": "bob"}).items
        session = store.session(
            [
                allow(),
                deny(ForAnyValue__StringEquals={LEADING: "bob"}),
                deny(["dynamodb:Scan", "dynamodb:GetRecords"]),
                deny("PartiQLSelect", Bool={SCANS: "true"}),
                deny("*", "*/index/*"),  # whose leading keys are others
            ]
        )
        read = [told(call, session, session.table("orders")) for call in calls]
        assert "of bob" not in repr(read)
        assert "'customer': 'bob'" not in repr(read)
        assert orders.query("customer = :c", values={":c": "bob"}).items == before
