"""What a newcomer is told: each sentence says what was given, what is allowed, and what to do here, with this table."""

import shutil

import pytest
from moments import START

from engines import kv
from engines.changes import Consumer
from engines.errors import Invalid, NotFound


@pytest.fixture
def orders(store):
    return store.create_table("orders", key=("customer:S", "order:N"), stream=True)


# -- where something else fits -----------------------------------------------------------------------------------------


def test_a_cache_is_not_opened_read_only_and_says_what_to_open(tmp_path):
    with pytest.raises(Invalid, match=r"save\(path\).*opens that"):
        kv.Cache(tmp_path / "cache", read_only=True)
    assert not (tmp_path / "cache").exists()
    kv.Cache(tmp_path / "cache", read_only=False).close()


@pytest.mark.parametrize(
    ("factor", "says"), [(1_000, "milliseconds: divide by 1e3"), (10**6, "microseconds.*1e6"), (10**9, "nanoseconds")]
)
def test_a_moment_in_another_unit_than_seconds_is_told_what_it_looks_like(store, factor, says):
    store.create_table("t", key="id:S", pitr=True, stream=True).put({"id": "a"})
    with pytest.raises(Invalid, match=f"number of seconds since 1970, got .*{says}"):
        store.restore_table("t", to="then", at=START * factor)


def test_the_time_of_a_change_divided_by_a_million_is_its_moment(store, clock):
    table = store.create_table("t", key="id:S", pitr=True, stream=True)
    clock.advance(0.123457)
    table.put({"id": "a"})
    (change,) = store.changes()
    clock.advance(1)
    table.put({"id": "b"})
    assert store.restore_table("t", to="then", at=change.time / 1e6).scan().all() == [{"id": "a"}]


# -- pages -------------------------------------------------------------------------------------------------------------


def test_a_page_that_ends_early_says_why_and_how_to_go_on(orders):
    for n in range(5):
        orders.put({"customer": "ann", "order": n, "text": "x" * 300_000})
    for shown in (str, repr, lambda page: page._repr_html_()):
        page = orders.scan(limit=2)
        assert "2 rows; the page ends at limit=2, .next() is the one after it, .all() gives" in shown(page)
        page = orders.query("customer = :c", values={":c": "ann"}, limit=100)
        assert "4 rows; the page ends at 1 MB of items examined, .next()" in shown(page)
        assert "page ends" not in shown(page.next())
    cached = kv.Accelerator(orders)
    cached.scan(limit=2)
    assert "(2 rows; the page ends at limit=2" in str(cached.scan(limit=2))


def test_a_page_that_counts_shows_its_count(orders):
    for n in range(5):
        orders.put({"customer": "ann", "order": n})
    page = orders.scan(count=True, limit=3)
    assert "(counted 3, as count=True asks; the page ends at limit=3, .next() counts on)" in str(page)
    assert "(counted 2, as count=True asks)" in str(page.next())


# -- keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "call"),
    [
        ([("ann", 17)], "get('ann', 17), delete('ann', 17), update(('ann', 17), ...)"),
        ([["ann", 17]], "get('ann', 17)"),
        ([{"order": 17, "customer": "ann"}], "get('ann', 17)"),
        ([{"id": "ann"}], "get('a', 1)"),
        ([17, "ann", 3], "get('a', 1)"),
        (["ann"], "get('a', 1)"),
        ([], "get('a', 1)"),
    ],
)
def test_a_key_of_another_shape_is_shown_the_right_call_for_this_table(store, orders, key, call):
    asked = (
        lambda: orders.get(*key),
        lambda: kv.Accelerator(orders).get(*key),
        lambda: orders.delete(*key),
        lambda: orders.get(*key, projection="price"),
        lambda: store.batch_get([("orders", key[0] if len(key) == 1 and isinstance(key[0], dict) else tuple(key[:1]))]),
    )
    for n, ask in enumerate(asked):
        with pytest.raises(Invalid, match=r"the key of table orders is customer:S and order:N: get\(") as caught:
            ask()
        assert call in str(caught.value) or n == len(asked) - 1


def test_a_key_of_one_value_is_shown_without_a_tuple(store):
    table = store.create_table("users", key="id:N")
    for key in ((7,),), ({"id": 7},):
        with pytest.raises(Invalid, match=r"users is id:N: get\(7\), delete\(7\), update\(7, \.\.\.\)"):
            table.get(*key)


def test_a_key_of_the_right_shape_is_told_only_what_is_wrong_with_it(orders):
    with pytest.raises(Invalid) as caught:
        orders.get(17, "ann")
    assert "get(" not in str(caught.value)


# -- the accelerator ---------------------------------------------------------------------------------------------------


def test_an_accelerator_is_a_table_to_those_who_look_at_it(store, orders):
    fast = kv.Accelerator(orders)
    missing = {name for name in dir(orders) if not name.startswith("_")} - set(dir(fast))
    assert missing == {"reader", "records"}  # how a table is made, not what it offers
    assert (fast.name, fast.key, fast.definition) == ("orders", ("customer:S", "order:N"), orders.definition)
    fast.create_index("by_price", key=("customer:S", "price:N"))
    fast.put({"customer": "ann", "order": 1, "price": 3})
    asked = "customer = :c AND price > :p"
    assert len(fast.query(asked, values={":c": "ann", ":p": 2}, index="by_price")) == 1
    assert fast.capacity(read=5, write=5).to_dicts() == orders.buckets().to_dicts()
    assert store.table("orders").describe() == fast.describe()


def test_what_a_transaction_writes_is_past_the_accelerator_until_its_ttl_is_over(store, orders, clock):
    fast = kv.Accelerator(orders, ttl=5)
    fast.put({"customer": "ann", "order": 1, "price": 1})
    store.transact([kv.Put("orders", {"customer": "ann", "order": 1, "price": 2})])
    assert fast.get("ann", 1)["price"] == 1
    assert fast.get("ann", 1, consistent=True)["price"] == 2
    clock.advance(5)
    assert fast.get("ann", 1)["price"] == 2


# -- what is not there -------------------------------------------------------------------------------------------------


def test_a_table_that_was_not_there_then_is_not_blamed_on_the_moment(store, clock):
    store.create_table("users", key="id:S", pitr=True)
    store.create_table("carts", key="id:S", pitr=True)
    clock.advance(10)
    store.drop_table("carts")
    clock.advance(10)
    store.create_table("later", key="id:S", pitr=True)
    with pytest.raises(NotFound, match=r"no table 'user' then.*did you mean 'users'\?; there were carts, users$"):
        store.restore_table("user", at=START + 5, to="then")
    for at in START + 20, START + 10**6:  # the second is in the future
        with pytest.raises(NotFound, match=r"no table 'nobody' then.*; there were later, users$"):
            store.restore_table("nobody", at=at, to="then")
    with pytest.raises(NotFound, match="there were none"):
        store.restore_table("nobody", at=START - 1, to="then")


def test_an_index_that_is_not_there_is_answered_with_those_that_are(orders):
    with pytest.raises(NotFound, match=r"no index 'by_price'; it has none, create_index\(\) makes one"):
        orders.scan(index="by_price")
    for name in "total", "shop":
        orders.create_index(f"by_{name}", key=f"{name}:S")
    for ask in lambda: orders.scan(index="prices"), lambda: orders.drop_index("prices"):
        with pytest.raises(NotFound, match="no index 'prices'; its indexes are by_total, by_shop"):
            ask()


def test_an_import_of_which_no_row_makes_sense_leaves_no_table(store, tmp_path):
    (tmp_path / "users.csv").write_text("id,name\n1,ann\n2,bob\n")
    with pytest.raises(Invalid, match=r"none of the 3 rows.*line 1: this is no JSON.*format= \(dynamodb-json, csv"):
        store.import_table("users", tmp_path / "users.csv", key="id:N")
    with pytest.raises(Invalid, match=r"none of the 2 rows.*'name'"):
        store.import_table("users", tmp_path / "users.csv", key="id:N", format="csv", types={"name": "N"})
    assert store.tables() == []
    table, report = store.import_table("users", tmp_path / "users.csv", key="id:N", format="csv")
    assert (len(table.scan()), report.ok) == (2, True)


def test_replicas_whose_keys_have_two_types_are_refused_with_them(clock):
    with kv.Store(clock=clock) as one, kv.Store(clock=clock) as two:
        one.create_table("t", key="id:S", stream=True)
        two.create_table("t", key="id:N", stream=True)
        here, there = kv.Replica(one, "t", "here"), kv.Replica(two, "t", "there")
        with pytest.raises(Invalid, match=r"\['id:S'\].* and .*\['id:N'\]"):
            here.connect(there)
        assert here.peers == there.peers == {}


# -- what would be lost without a word ---------------------------------------------------------------------------------


def test_a_batch_writer_takes_nothing_that_no_end_of_a_block_would_write(store, orders):
    policy = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    for table in orders, kv.Accelerator(orders), store.session(policy).table("orders"):
        batch = table.batch_writer()
        for lose in lambda: batch.put({"customer": "ann", "order": 1}), lambda: batch.delete("ann", 1):  # noqa: B023 - called here
            with pytest.raises(Invalid, match=r"with store\.table\('orders'\)\.batch_writer\(\) as batch"):
                lose()
        with batch:
            batch.put({"customer": "ann", "order": 2})
        with pytest.raises(Invalid, match="inside its block"):
            batch.put({"customer": "ann", "order": 3})
    assert orders.scan().all() == [{"customer": "ann", "order": 2}]


def test_a_position_past_the_end_of_the_stream_is_refused_and_the_end_itself_is_not(store, orders, tmp_path):
    orders.put({"customer": "ann", "order": 1})
    (change,) = store.changes()
    last = store.log.last
    assert list(store.changes(after=last)) == list(orders.changes(after=last)) == []
    assert list(store.changes(after=last, follow=True, timeout=0)) == []
    for source in store, orders:
        with pytest.raises(Invalid, match=f"after={last + 1} is past .* the last sequence is {last};"):
            source.changes(after=last + 1)
    consumer = Consumer(store, "copy", list)
    assert consumer.run() == 1
    assert consumer.position == change.sequence
    assert consumer.run() == 0
    consumer.seek(change.time)  # a time is no position
    with pytest.raises(Invalid, match="the last sequence"):
        consumer.run()


def test_who_only_reads_may_ask_for_what_the_writer_has_not_checkpointed(tmp_path, clock):
    with kv.Store(tmp_path / "shop", clock=clock) as writer:
        table = writer.create_table("t", key="id:N", stream=True)
        writer.checkpoint()
        shutil.copytree(tmp_path / "shop", tmp_path / "then")  # what a reader in another process has opened
        for n in range(3):
            table.put({"id": n})
        with kv.Store(tmp_path / "then", clock=clock, read_only=True) as reader:
            assert list(reader.changes(after=writer.log.last)) == []


# -- slips -------------------------------------------------------------------------------------------------------------


def test_the_nearest_name_is_found_whatever_its_capitals(store, orders):
    for name in "ORDERS", "Order":
        with pytest.raises(NotFound, match="did you mean 'orders'"):
            store.table(name)
    store.create_table("USERS", key="id:S")
    with pytest.raises(NotFound, match="did you mean 'USERS'"):
        store.table("user")


def test_a_batch_asked_for_in_the_shape_of_boto3_is_shown_the_one_of_here(store, orders):
    with pytest.raises(Invalid, match=r"like \[\('orders', \('ann', 17\)\)\].*kv.request\(store, 'BatchGetItem'"):
        store.batch_get({"orders": {"Keys": [{"customer": {"S": "ann"}, "order": {"N": "17"}}]}})
    with pytest.raises(Invalid, match=r"list of keys, like \[\('ann', 17\)\]"):
        kv.Accelerator(orders).batch_get({"ann": 17})


def test_keys_in_a_list_are_asked_for_by_themselves():
    cache = kv.Cache()
    for ask in cache.mget, cache.exists, cache.delete:
        with pytest.raises(Invalid, match=r"give keys by themselves.* not in a list, got \['a', 'b'\]"):
            ask(["a", "b"])
    assert cache.mget("a", "b") == [None, None]
    assert cache.rpush("l", ["a"], {}) == 2  # values need none


def test_a_cluster_stores_many_keys_of_one_slot():
    cluster = kv.CacheCluster({"one": kv.Cache(), "two": kv.Cache()})
    cluster.mset({"{ann}:a": 1, "{ann}:b": 2})
    assert cluster.mget("{ann}:a", "{ann}:b") == [1, 2]
    with pytest.raises(Invalid, match="need one hash tag"):
        cluster.mset({"a": 1, "b": 2})
    for nothing in {}, ["a"]:
        with pytest.raises(Invalid, match="mset needs a key"):
            cluster.mset(nothing)
