"""Transactions and batches: all or nothing, reasons, tokens, what is refused, and what capacity leaves undone."""

from contextlib import ExitStack
from decimal import Decimal

import pytest
from moments import START

from engines import kv
from engines.errors import Closed, ConditionFailed, Invalid, NotFound, Throttled, TooLarge


@pytest.fixture
def store(clock):
    with kv.Store(clock=clock) as store:
        store.create_table("accounts", key="id:S", stream=True)
        store.create_table("log", key=("account:S", "at:N"), ttl="expires", stream="KEYS_ONLY")
        for name in ("ann", "bob"):
            store.table("accounts").put({"id": name, "balance": 100})
        yield store


def transfer(amount):
    return [
        kv.Update("accounts", "ann", "SET balance = balance - :m", condition="balance >= :m", values={":m": amount}),
        kv.Update("accounts", "bob", "SET balance = balance + :m", values={":m": amount}),
        kv.Put("log", {"account": "ann", "at": 1, "amount": -amount}),
    ]


def balances(store):
    return [store.table("accounts").get(name)["balance"] for name in ("ann", "bob")]


def test_a_transaction_happens_in_all_its_tables(store):
    assert store.transact(transfer(30)) is None
    assert balances(store) == [70, 130]
    assert store.table("log").get("ann", 1) == {"account": "ann", "at": 1, "amount": -30}
    changes = list(store.changes())
    assert len({change.sequence for change in changes[-3:]}) == 1


def test_or_in_none_of_them_and_says_why_for_each_action(store):
    with pytest.raises(ConditionFailed) as refused:
        store.transact(transfer(101))
    assert balances(store) == [100, 100]
    assert store.table("log").scan().items == []
    first, second, third = refused.value.reasons
    assert first["code"] == "ConditionalCheckFailed"
    assert first["item"] == {"id": "ann", "balance": 100}
    assert first["message"].endswith("is false; .item is what stands there")
    assert str(refused.value).count("nothing was changed") == 1  # said once, of the whole
    assert (second, third) == (None, None)
    assert refused.value.aws == "TransactionCanceledException"


def test_an_update_that_makes_no_sense_cancels_it_too(store):
    actions = [kv.Update("accounts", "bob", "SET debt = debt + :m", values={":m": 1}), *transfer(1)[2:]]
    with pytest.raises(Invalid) as refused:
        store.transact(actions)
    assert refused.value.reasons[0]["code"] == "ValidationError"
    assert refused.value.aws == "TransactionCanceledException"
    assert store.table("log").scan().items == []


def test_a_check_changes_nothing_and_decides(store):
    check = kv.Check("accounts", "ann", condition="balance > :b", values={":b": 50})
    store.transact([check, kv.Put("accounts", {"id": "cay"})])
    with pytest.raises(ConditionFailed):
        store.transact(
            [kv.Check("accounts", "ann", condition="attribute_not_exists(id)"), kv.Delete("accounts", "bob")]
        )
    assert store.table("accounts").get("bob") is not None


def test_all_actions_see_the_items_as_they_were(store):
    store.transact(
        [
            kv.Put("accounts", {"id": "ann", "balance": 1}),
            kv.Check("accounts", "bob", condition="balance = :b", values={":b": 100}),
            kv.Delete("accounts", "nobody"),
        ]
    )
    assert balances(store) == [1, 100]


def test_reads_of_one_moment(store):
    answers = store.transact([kv.Get("accounts", "bob"), kv.Get("accounts", "cay"), kv.Get("log", ("ann", 1))])
    assert answers == [{"id": "bob", "balance": 100}, None, None]
    (shown,) = store.transact([kv.Get("accounts", "ann", projection="#b", names={"#b": "balance"})])
    assert shown == {"balance": 100}


def test_an_expired_item_is_not_there_for_a_transaction(store, clock):
    store.table("log").put({"account": "ann", "at": 1, "expires": START + 10})
    clock.advance(10)
    store.transact([kv.Put("log", {"account": "ann", "at": 1, "new": True}, condition="attribute_not_exists(account)")])
    assert store.table("log").get("ann", 1) == {"account": "ann", "at": 1, "new": True}
    assert [(change.kind, change.expired) for change in store.table("log").changes()] == [
        ("INSERT", False),
        ("REMOVE", True),
        ("INSERT", False),
    ]


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_the_same_actions_under_the_same_token_happen_once(store):
    for _ in range(3):
        store.transact(transfer(30), token="once")
    assert balances(store) == [70, 130]


def test_a_token_is_for_one_set_of_actions(store):
    store.transact(transfer(30), token="mine")
    with pytest.raises(Invalid, match="used for other actions") as refused:
        store.transact(transfer(31), token="mine")
    assert refused.value.aws == "IdempotentParameterMismatchException"
    assert balances(store) == [70, 130]


def test_a_token_is_forgotten_after_ten_minutes(store, clock):
    store.transact(transfer(30), token="t")
    clock.advance(minutes=10)
    store.transact(transfer(30), token="t")
    assert balances(store) == [40, 160]


def test_a_cancelled_transaction_leaves_its_token_free(store):
    with pytest.raises(ConditionFailed):
        store.transact(transfer(1000), token="t")
    store.transact(transfer(10), token="t")
    assert balances(store) == [90, 110]


@pytest.mark.parametrize("killed", [False, True])
def test_a_token_is_known_when_the_store_is_opened_again(tmp_path, clock, killed):
    path = str(tmp_path / "shop")
    store = kv.Store(path, clock=clock)
    store.create_table("t", key="id:N")
    store.transact([kv.Put("t", {"id": 1, "n": 1})], token="t")
    if not killed:
        store.close()
    else:
        import shutil  # noqa: PLC0415 - what a killed process leaves is a copy of its files

        shutil.copytree(path, path + "2")
        store.close()
        path += "2"
    with kv.Store(path, clock=clock) as again:
        again.table("t").put({"id": 1, "n": 2})
        again.transact([kv.Put("t", {"id": 1, "n": 1})], token="t")
        assert again.table("t").get(1) == {"id": 1, "n": 2}
        with pytest.raises(Invalid, match="other actions"):
            again.transact([kv.Put("t", {"id": 1, "n": 3})], token="t")


def test_a_transaction_that_changes_nothing_still_uses_its_token(store):
    check = [kv.Check("accounts", "ann", condition="attribute_exists(id)")]
    store.transact(check, token="t")
    with pytest.raises(Invalid, match="other actions"):
        store.transact([kv.Delete("accounts", "ann")], token="t")


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([], "1 to 100 actions, got 0"),
        ([kv.Put("accounts", {"id": str(n)}) for n in range(101)], "1 to 100 actions, got 101"),
        ([kv.Put("accounts", {"id": "a"}), kv.Delete("accounts", "a")], "another item"),
        ([kv.Check("accounts", "a")], "needs a condition"),
        ([kv.Get("accounts", "a"), kv.Delete("accounts", "b")], "all of them kv.Get"),
        (["put"], "kv.Put, Update, Delete, Check"),
        ([kv.Get("accounts", "a"), kv.Get("accounts", ("a",))], "asked for once"),
        ([kv.Put("accounts", {"id": 1})], "must be a string"),
        ([kv.Delete("log", "ann")], "two components"),
        ([kv.Put("accounts", {"id": "a"}, condition="balance = :b")], "has no ':b'"),
        ([kv.Put("accounts", {"id": "a"}, values={":b": 1})], "no expression uses :b"),
        ([kv.Update("accounts", "a", "SET id = :i", values={":i": 1})], "part of the key"),
    ],
)
def test_a_transaction_that_makes_no_sense(store, actions, message):
    last = store.log.last
    with pytest.raises(Invalid, match=message):
        store.transact(actions)
    assert store.log.last == last


@pytest.mark.parametrize("token", ["", "x" * 37, 5, "é"])
def test_a_token_is_a_short_text(store, token):
    with pytest.raises(Invalid, match="a token is a text of 1 to 36"):
        store.transact([kv.Delete("accounts", "a")], token=token)


def test_unknown_tables_and_a_closed_store(store):
    with pytest.raises(NotFound, match="did you mean 'accounts'"):
        store.transact([kv.Delete("account", "a")])
    store.close()
    with pytest.raises(Closed):
        store.transact([kv.Delete("accounts", "a")])


def test_four_megabytes_at_most(store):
    big = [kv.Put("accounts", {"id": str(n), "text": "x" * 390_000}) for n in range(11)]
    with pytest.raises(TooLarge, match="at most 4,194,304 bytes"):
        store.transact(big)
    assert len(store.table("accounts").scan()) == 2


def test_an_item_that_an_update_makes_too_large_cancels(store):
    store.table("accounts").put({"id": "big", "text": "x" * 390_000})
    with pytest.raises(TooLarge) as refused:
        store.transact([kv.Update("accounts", "big", "SET more = :m", values={":m": "y" * 30_000})])
    assert refused.value.reasons[0]["code"] == "ValidationError"


# -- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_of_reads_answers_in_order(store):
    answers = store.batch_get([("accounts", "bob"), ("log", ("ann", 7)), kv.Get("accounts", "ann", projection="id")])
    assert answers == [{"id": "bob", "balance": 100}, None, {"id": "ann"}]
    assert answers.unprocessed == []


def test_a_batch_of_writes_has_no_conditions_and_25_items(store):
    assert store.batch_write([kv.Put("accounts", {"id": "cay"}), kv.Delete("accounts", "bob")]) == []
    assert sorted(item["id"] for item in store.table("accounts").scan()) == ["ann", "cay"]
    with pytest.raises(Invalid, match="1 to 25"):
        store.batch_write([kv.Delete("accounts", str(n)) for n in range(26)])
    with pytest.raises(Invalid, match="without conditions"):
        store.batch_write([kv.Put("accounts", {"id": "x"}, condition="attribute_exists(id)")])
    with pytest.raises(Invalid, match="another item"):
        store.batch_write([kv.Put("accounts", {"id": "x"}), kv.Delete("accounts", "x")])
    with pytest.raises(Invalid, match="1 to 100"):
        store.batch_get([("accounts", str(n)) for n in range(101)])
    with pytest.raises(Invalid, match="pairs"):
        store.batch_get(["accounts"])


def test_what_capacity_leaves_undone_comes_back(store, clock):
    table = store.create_table("small", key="id:N", capacity=(5, 5))
    actions = [kv.Put("small", {"id": number}) for number in range(8)]
    undone = store.batch_write(actions)
    assert undone == actions[5:]
    with pytest.raises(Throttled) as refused:
        store.batch_write(undone)
    clock.advance(refused.value.retry_after)
    assert store.batch_write(undone) == undone[1:]
    assert len(table.scan()) == 6


def test_reads_that_find_no_units_are_unprocessed(store, clock):
    table = store.create_table("small", key="id:N", capacity=(1, 100))
    for number in range(4):
        table.put({"id": number})
    answers = store.batch_get([("small", number) for number in range(4)])
    assert [item is not None for item in answers] == [True, True, False, False]
    assert [get.key for get in answers.unprocessed] == [2, 3]
    clock.advance(1)
    assert store.batch_get(answers.unprocessed) == [{"id": 2}, {"id": 3}]


def test_a_transaction_is_paid_twice_or_not_at_all(store, clock):
    store.create_table("small", key="id:N", capacity=(5, 5))
    consumed = kv.Consumed()
    store.transact([kv.Put("small", {"id": 1}), kv.Put("accounts", {"id": "x"})], consumed=consumed)
    assert consumed.write == 4
    with pytest.raises(Throttled) as refused:
        store.transact([kv.Put("small", {"id": number}) for number in range(2, 5)])
    assert [reason and reason["code"] for reason in refused.value.reasons] == [None, "ThrottlingError", None]
    assert store.table("small").buckets().to_dicts()[1]["level"] == 3
    clock.advance(1)
    store.transact([kv.Put("small", {"id": number}) for number in range(2, 5)])
    assert len(store.batch_get([("accounts", "x")])) == 1


def test_what_every_call_costs(store):
    table, consumed = store.table("accounts"), kv.Consumed()
    table.put({"id": "big", "text": "x" * 2000}, consumed=consumed)
    assert consumed.write == 2
    table.get("big", consumed=consumed)
    table.get("big", consistent=True, consumed=consumed)
    assert consumed.read == Decimal("1.5")
    table.update("big", "SET n = :n", values={":n": 1}, consumed=consumed)
    table.delete("big", consumed=consumed)
    assert consumed.write == 6
    page = table.scan(consumed=consumed)
    assert page.capacity == 0.5
    assert consumed.tables["accounts"].table.write == 6


def test_a_batch_writer_pays_and_keeps_what_it_could_not_pay_for(store, clock):
    table = store.create_table("small", key="id:N", capacity=(5, 5))
    writer = ExitStack().enter_context(table.batch_writer())
    for number in range(8):
        writer.put({"id": number})
    with pytest.raises(Throttled, match="5 of 8 were written") as refused:
        writer.flush()
    assert refused.value.retry_after == 0.2
    assert len(table.scan(limit=None)) == 5
    clock.advance(1)
    writer.flush()
    assert len(table.scan()) == 8


def test_reads_of_more_than_four_megabytes_are_refused_and_batches_leave_the_rest(store):
    table = store.table("accounts")
    for number in range(50):
        table.put({"id": f"{number:02}", "text": "x" * 390_000})
    keys = [f"{number:02}" for number in range(50)]
    with pytest.raises(TooLarge, match="at most 4,194,304 bytes"):
        store.transact([kv.Get("accounts", key) for key in keys[:11]])
    answers = store.batch_get([("accounts", key) for key in keys])
    assert len(answers.unprocessed) == 50 - (16 << 20) // 390_006
    assert [get.key for get in answers.unprocessed] == keys[-len(answers.unprocessed) :]


def test_names_count_towards_the_size_of_a_transaction(store):
    item = {f"{number:04}" * 60: 1 for number in range(1500)}
    with pytest.raises(TooLarge, match="at most 4,194,304 bytes"):
        store.transact([kv.Put("accounts", {"id": str(number)} | item) for number in range(12)])


def test_a_check_costs_no_index_entries(store):
    table = store.create_table("small", key="id:N", indexes=[{"name": "a", "key": "a:S"}])
    table.put({"id": 1, "a": "x"})
    consumed = kv.Consumed()
    store.transact([kv.Check("small", 1, condition="attribute_exists(id)")], consumed=consumed)
    assert consumed.write == 2


def test_a_transaction_of_reads_is_paid_whole_or_not_at_all(store, clock):
    one = store.create_table("one", key="id:N", capacity=(4, 4))
    two = store.create_table("two", key="id:N", capacity=(1, 4))
    for table in (one, two):
        table.put({"id": 1})
        clock.advance(1)
    before, consumed = one.buckets().to_dicts()[0]["level"], kv.Consumed()
    while two.buckets().to_dicts()[0]["level"] > 0:
        two.get(1)
    with pytest.raises(Throttled) as refused:
        store.transact([kv.Get("one", 1), kv.Get("two", 1)], consumed=consumed)
    assert refused.value.aws == "TransactionCanceledException"
    assert [reason and reason["code"] for reason in refused.value.reasons] == [None, "ThrottlingError"]
    assert consumed.read == 0
    assert one.buckets().to_dicts()[0]["level"] == before


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.transact([kv.Update("accounts", "x", None)]),
        lambda store: store.transact([kv.Put("accounts", {"id": "x"}, condition=5)]),
        lambda store: store.transact([kv.Get("accounts", "x", projection=5)]),
        lambda store: store.transact(None),
        lambda store: store.batch_get(None),
        lambda store: store.batch_write("put"),
        lambda store: store.transact(
            [kv.Put("accounts", {"id": "1"}, condition="a <> :v", values={":v": "\ud800"})], token="x"
        ),
        lambda store: store.transact(
            [kv.Check("accounts", "1", condition="#a = #b", names={"#a": "\ud800", "#b": "b"})]
        ),
        lambda store: store.table([]),
        lambda store: store.table("accounts").scan(index=[1]),
        lambda store: store.create_table("x", key=5),
        lambda store: store.create_table("x", key=None),
        lambda store: store.create_table("x", key="id:N", indexes=5),
        lambda store: store.create_table("x", key="id:N", indexes=[{"name": "i", "key": 5}]),
        lambda store: store.create_table("x", key="id:N", capacity=5),
        lambda store: store.create_table("x", key="id:N", capacity=(1, 2, 3)),
    ],
)
def test_what_is_of_no_use_at_all_is_invalid(store, call):
    last = store.log.last
    with pytest.raises(Invalid):
        call(store)
    assert store.log.last == last


def test_a_limit_may_be_larger_than_any_table(store):
    assert len(store.table("accounts").scan(limit=10**30)) == 2


def test_units_of_a_batch_that_could_not_be_written_are_given_back(store, monkeypatch):
    table = store.create_table("small", key="id:N", capacity=(5, 5))

    def fail(*_):
        raise OSError("no disk")

    writer = ExitStack().enter_context(table.batch_writer())
    writer.put({"id": 1})
    monkeypatch.setattr(store.frames, "write_together", fail)
    with pytest.raises(OSError, match="no disk"):
        writer.flush()
    assert table.buckets().to_dicts()[1]["level"] == 5


@pytest.mark.parametrize("sort", ["s", "s" * 950])
def test_a_hot_key_is_hot_whatever_its_sort_keys(store, sort):
    table = store.create_table("hot", key=("p:S", "s:S"))
    table.capacity(partition_limits=True)
    for number in range(1000):
        table.put({"p": "one", "s": f"{sort}{number:04}"})
    with pytest.raises(Throttled, match="hot"):
        table.put({"p": "one", "s": sort})
    assert len(table.hot_keys()) == 1
