"""Secondary indexes: what they hold, in which order, what may be asked of them, and what is refused."""

import threading
from contextlib import ExitStack
from decimal import Decimal

import pytest
from moments import START

from engines import kv
from engines.errors import AlreadyExists, Conflict, Invalid, NotFound


@pytest.fixture
def orders(store):
    table = store.create_table("orders", key=("customer:S", "order:N"), ttl="expires")
    for number in range(12):
        item = {"customer": f"c{number % 3}", "order": number, "state": "open" if number % 2 else "shut"}
        table.put(item | {"total": Decimal(number * 7 % 12) / 2, "note": f"note {number}"})
    table.create_index("by_state", key=("state:S", "total:N"))
    return table


def open_orders(orders, **options):
    return orders.query("#s = :s", names={"#s": "state"}, values={":s": "open"}, index="by_state", **options)


def test_an_index_is_read_in_the_order_of_its_own_sort_key(orders):
    totals = [item["total"] for item in open_orders(orders)]
    assert totals == sorted(totals)
    assert [item["total"] for item in open_orders(orders, reverse=True)] == totals[::-1]
    assert len(totals) == 6


def test_its_sort_key_is_compared_as_a_tables(orders):
    names, values = {"#s": "state", "#t": "total"}, {":s": "open", ":a": 1, ":b": Decimal("2.5")}
    found = orders.query("#s = :s AND #t BETWEEN :a AND :b", names=names, values=values, index="by_state")
    assert [item["total"] for item in found] == [
        total for total in [item["total"] for item in open_orders(orders)] if 1 <= total <= Decimal("2.5")
    ]


def test_pages_of_an_index_go_on_where_they_ended(orders):
    page, seen = open_orders(orders, limit=2), []
    assert page.key_names == ("state", "total", "customer", "order")
    while page is not None:
        assert page.scanned <= 2
        seen += page
        page = page.next()
    assert seen == open_orders(orders).all()


def test_an_item_without_a_key_attribute_is_not_in_the_index(orders):
    orders.update(("c1", 1), "REMOVE #s", names={"#s": "state"})
    assert 1 not in [item["order"] for item in open_orders(orders)]
    orders.update(("c1", 1), "SET #s = :s", names={"#s": "state"}, values={":s": "open"})
    assert 1 in [item["order"] for item in open_orders(orders)]


def test_many_items_may_have_the_same_index_key(store):
    table = store.create_table("t", key="id:N", indexes=[{"name": "same", "key": "a:S"}])
    for number in range(50):
        table.put({"id": number, "a": "x"})
    assert {item["id"] for item in table.query("a = :a", values={":a": "x"}, index="same", limit=7).all()} == {
        *range(50)
    }


def test_a_projection_is_all_that_an_index_holds(store):
    table = store.create_table("t", key="id:N")
    table.put({"id": 1, "a": "x", "b": 2, "c": 3})
    table.create_index("keys", key="a:S", projection="KEYS_ONLY")
    table.create_index("some", key="a:S", projection=("b",))
    values = {":a": "x"}
    assert table.query("a = :a", values=values, index="keys").items == [{"id": 1, "a": "x"}]
    assert table.query("a = :a", values=values, index="some").items == [{"id": 1, "a": "x", "b": 2}]
    with pytest.raises(Invalid, match="the index some does not hold c"):
        table.query("a = :a", values=values, index="some", projection="b, c")


def test_a_local_index_fetches_what_it_does_not_hold_and_can_be_consistent(store):
    table = store.create_table("t", key=("p:S", "s:N"))
    table.put({"p": "x", "s": 1, "t": "late", "big": "b"})
    table.create_index("local", key=("p:S", "t:S"), projection="KEYS_ONLY", local=True)
    found = table.query("p = :p", values={":p": "x"}, index="local", projection="big, t", consistent=True)
    assert found.items == [{"big": "b", "t": "late"}]


def test_only_a_table_or_a_local_index_is_read_consistently(orders):
    with pytest.raises(Invalid, match="by_state is a global one"):
        open_orders(orders, consistent=True)


@pytest.mark.parametrize("key", [("customer:S", "order:N"), ("other:S", "note:S"), ("customer:S",), "customer:S"])
def test_a_local_index_has_the_tables_partition_key_and_another_sort_key(orders, key):
    if key == ("customer:S", "order:N"):
        orders.create_index("same", key=key)  # as a global one it is allowed, if of little use
        return
    with pytest.raises(Invalid, match="a local index has the table's partition key"):
        orders.create_index("local", key=key, local=True)


def test_an_expired_item_is_in_no_index(orders, clock):
    orders.put({"customer": "c9", "order": 99, "state": "open", "total": 3, "expires": START + 10})
    assert 99 in [item["order"] for item in open_orders(orders)]
    clock.advance(10)
    assert 99 not in [item["order"] for item in open_orders(orders)]
    orders._store.expire()
    assert orders._store.verify().ok


@pytest.mark.parametrize("value", [5, b"x", None, True, ["open"], ""])
def test_a_key_attribute_of_the_wrong_type_is_refused_before_anything_is_changed(orders, value):
    before = orders.scan().all()
    item = {"customer": "c1", "order": 1, "state": value, "total": 1}
    for refused in (
        lambda: orders.put(item),
        lambda: orders.update(("c1", 1), "SET #s = :s", names={"#s": "state"}, values={":s": value}),
        lambda: ExitStack().enter_context(orders.batch_writer()).put(item),
    ):
        with pytest.raises(Invalid, match="state"):
            refused()
    assert orders.scan().all() == before


def test_items_of_before_that_do_not_fit_an_index_are_left_out_of_it(store):
    table = store.create_table("t", key="id:N")
    table.put({"id": 1, "a": "fits"})
    table.put({"id": 2, "a": 2})
    table.put({"id": 3, "a": ""})
    table.create_index("i", key="a:S")
    assert [item["id"] for item in table.scan(index="i")] == [1]
    table.delete(2)
    table.put({"id": 3, "a": "now"})
    assert [item["id"] for item in table.scan(index="i")] == [1, 3]
    assert store.verify().ok


def test_an_index_can_be_dropped_and_made_anew(orders):
    orders.drop_index("by_state")
    with pytest.raises(NotFound, match="no index 'by_state'"):
        open_orders(orders)
    orders.create_index("by_state", key="note:S")
    assert len(orders.scan(index="by_state").all()) == 12
    with pytest.raises(AlreadyExists, match="drop_index"):
        orders.create_index("by_state", key="note:S")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "a"}, "name:TYPE"),
        ({"key": "a:X"}, "S, N, B"),
        ({"key": ("a:S", "b:S", "c:S")}, "at most one sort key"),
        ({"key": ("a:S", "a:S")}, "two attributes"),
        ({"key": "order:S"}, "of type N in one key of the table and S in another"),
        ({"key": "a:S", "projection": "SOME"}, "KEYS_ONLY"),
        ({"key": "a:S", "projection": ()}, "KEYS_ONLY"),
        ({"key": "a:S", "projection": (1,)}, "KEYS_ONLY"),
        ({"key": "a:S", "projection": tuple(f"a{n}" for n in range(101))}, "at most 100"),
    ],
)
def test_an_index_that_makes_no_sense_is_refused(orders, options, message):
    with pytest.raises(Invalid, match=message):
        orders.create_index("bad", **options)
    assert [index["name"] for index in orders.describe()["indexes"]] == ["by_state"]


@pytest.mark.parametrize("index", [{"name": "i"}, {"key": "a:S"}, {"name": "i", "key": "a:S", "kind": "x"}, "i", None])
def test_the_indexes_of_a_new_table_are_described_by_dicts(store, index):
    with pytest.raises(Invalid, match="an index is"):
        store.create_table("t", key="id:N", indexes=[index])
    assert store.tables() == []


def test_a_table_has_twenty_indexes_at_most_and_five_local_ones(store):
    table = store.create_table("t", key=("p:S", "s:N"))
    for number in range(20):
        table.create_index(f"i{number}", key=f"a{number}:S")
    with pytest.raises(Invalid, match="at most 5 local and 20 other"):
        table.create_index("one-more", key="a:S")
    for number in range(5):
        table.create_index(f"l{number}", key=("p:S", f"a{number}:S"), local=True)
    with pytest.raises(Invalid, match="at most 5 local"):
        table.create_index("l5", key=("p:S", "a5:S"), local=True)
    table.put({"p": "x", "s": 1} | {f"a{number}": f"v{number}" for number in range(20)})
    assert all(len(table.scan(index=f"i{number}")) == 1 for number in range(20))
    assert store.verify().ok


def test_others_write_while_an_index_is_filled(store):
    table = store.create_table("t", key="id:N")
    with table.batch_writer() as writer:
        for number in range(3000):
            writer.put({"id": number, "a": "old"})
    done = threading.Event()

    def write():
        number = 0
        while not done.is_set():
            table.put({"id": number % 3000, "a": "new"})
            table.delete((number + 1500) % 3000)
            number += 7

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for round_ in range(3):
            table.create_index(f"i{round_}", key="a:S")
    finally:
        done.set()
        thread.join()
    assert store.verify().ok
    assert len(table.scan(index="i1").all()) == len(table.scan().all())


def test_an_index_that_is_being_filled_can_not_be_queried(store, monkeypatch):
    table = store.create_table("t", key="id:N")
    table.put({"id": 1, "a": "x"})
    asked = []

    def fill(self, number, low, limit):
        with pytest.raises(Conflict, match="still being filled"):
            table.scan(index="i")
        asked.append("i")

    monkeypatch.setattr("engines.kv.records.Records.fill_index", fill)
    table.create_index("i", key="a:S")
    assert asked == ["i"]


def test_indexes_are_there_again_when_the_store_is_opened(tmp_path):
    with kv.Store(tmp_path / "shop") as store:
        table = store.create_table("t", key="id:N", indexes=[{"name": "i", "key": "a:S"}])
        table.put({"id": 1, "a": "x"})
    with kv.Store(tmp_path / "shop") as store:
        assert store.table("t").query("a = :a", values={":a": "x"}, index="i").items == [{"id": 1, "a": "x"}]
        assert store.verify().ok


def test_explain_says_which_index_was_read(orders):
    plan = orders.explain("#s = :s", names={"#s": "state"}, values={":s": "open"}, index="by_state")
    assert "by_state" in str(plan)
    assert "items_examined=6" in str(plan)


def test_an_index_that_is_replaced_while_it_is_filled_does_not_fill_the_new_one(store, monkeypatch):
    table = store.create_table("t", key="id:N")
    with table.batch_writer() as writer:
        for number in range(1000):
            writer.put({"id": number, "a": f"a{number}", "b": f"b{number}"})
    fill, done = type(table.records).fill_index, []

    def interfere(self, number, low, limit):
        if low and not done:
            done.append(True)
            store.tree.lock.release()
            try:
                table.drop_index("i")
                table.create_index("i", key="b:S")
            finally:
                store.tree.lock.acquire()
        return fill(self, number, low, limit)

    monkeypatch.setattr(type(table.records), "fill_index", interfere)
    with pytest.raises(NotFound, match="dropped while it was being filled"):
        table.create_index("i", key="a:S")
    assert len(table.scan(index="i").all()) == 1000
    assert store.verify().ok


def test_an_interrupted_filling_goes_on_where_the_index_is_created_again(store, monkeypatch):
    table = store.create_table("t", key="id:N")
    table.put({"id": 1, "a": "x"})

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(type(table.records), "fill_index", interrupt)
        with pytest.raises(KeyboardInterrupt):
            table.create_index("i", key="a:S")
    with pytest.raises(Conflict, match=r"create_index.* goes on"):
        table.scan(index="i")
    with pytest.raises(AlreadyExists):
        table.create_index("i", key="b:S")
    table.create_index("i", key="a:S")
    assert len(table.scan(index="i")) == 1


@pytest.mark.parametrize("size", [800, 950, 1000, 1024])
def test_sort_keys_too_long_for_the_tree_are_compared_in_full(store, size):
    table = store.create_table("t", key="p:S", indexes=[{"name": "g", "key": ("a:S", "b:B")}])
    sizes = [700, 740, 741, 742, 800, 900, 950, 1000, 1024]
    for number in sizes:
        table.put({"p": str(number), "a": "x", "b": bytes(number)})

    def found(condition):
        values = {":a": "x", ":b": bytes(size)}
        return sorted(len(item["b"]) for item in table.query(f"a = :a AND {condition}", values=values, index="g").all())

    assert found("b = :b") == [n for n in sizes if n == size]
    assert found("b <= :b") == [n for n in sizes if n <= size]
    assert found("b < :b") == [n for n in sizes if n < size]
    assert found("b >= :b") == [n for n in sizes if n >= size]
    assert found("b > :b") == [n for n in sizes if n > size]
    assert found("begins_with(b, :b)") == [n for n in sizes if n >= size]


def test_each_key_attribute_is_checked_though_the_other_is_missing(store):
    table = store.create_table("t", key="p:S", indexes=[{"name": "g", "key": ("a:S", "b:N")}])
    for item in ({"p": "1", "a": 5}, {"p": "1", "b": "x"}, {"p": "1", "a": ""}):
        with pytest.raises(Invalid, match="in the index g"):
            table.put(item)
    table.put({"p": "1", "b": 1})


def test_an_attribute_has_one_type_in_all_keys_of_a_table(store):
    table = store.create_table("t", key="p:S", indexes=[{"name": "g", "key": "a:S"}])
    with pytest.raises(Invalid, match="the attribute a is of type S in one key of the table and N in another"):
        table.create_index("h", key="a:N")


def test_what_a_local_index_fetches_is_paid_for(store):
    table = store.create_table("t", key=("p:S", "s:N"))
    table.put({"p": "x", "s": 1, "t": "late", "big": "b" * 40_000})
    table.create_index("l", key=("p:S", "t:S"), projection="KEYS_ONLY", local=True)
    consumed = kv.Consumed()
    page = table.query("p = :p", values={":p": "x"}, index="l", projection="big", consumed=consumed)
    assert page.capacity == consumed.read == 0.5 + 5


def test_a_filter_is_on_other_attributes_than_the_keys(orders):
    with pytest.raises(Invalid, match="a filter of a query is on other attributes than order"):
        orders.query("customer = :c", filter="#o > :o", names={"#o": "order"}, values={":c": "c1", ":o": 1})
    given = {"names": {"#s": "state", "#t": "total"}, "values": {":s": "open", ":t": 1}}
    with pytest.raises(Invalid, match="other attributes than total"):
        orders.query("#s = :s", filter="#t > :t", index="by_state", **given)
    assert orders.scan(filter="#o > :o", names={"#o": "order"}, values={":o": 10}).count == 1
