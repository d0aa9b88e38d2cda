"""PartiQL: several statements at once, each for itself in a batch, all or nothing in a transaction."""

# ruff: noqa: S608 - statements are put together from parts of the tests' own

from decimal import Decimal

import pytest
from statements import ANN, KEY, store

from engines import kv
from engines.errors import ConditionFailed, Invalid, QueryError, Throttled

ONCE = "once"
__all__ = ["store"]  # a fixture


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


def test_a_batch_reads_as_consistently_as_it_is_told_to(store):
    for consistent, units in ((False, 0.5), (True, 1.0)):
        consumed = kv.Consumed()
        store.execute_batch([f"SELECT * FROM orders {KEY}"], consistent=consistent, consumed=consumed)
        assert consumed.read == units


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
        ([f'EXISTS(SELECT * FROM orders."by-total" {KEY})'], "read from its table"),
        ([f"EXISTS(SELECT * FROM orders {KEY} ORDER BY customer)"], "has no order"),
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
