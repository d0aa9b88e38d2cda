"""Transactions, updates and reads of many threads: there is an order of all of them that explains every answer."""

import itertools
import random
import sys
import threading

import pytest
from models.linearizable import linearizable

from engines import kv
from engines.errors import ConditionFailed

KEYS = ("a", "b", "c")


def set_of(key, value):
    """A state is a tuple of values, in the order of KEYS; None where there is no item."""
    return lambda state: tuple(value if name == key else old for name, old in zip(KEYS, state, strict=True))


def put(store, rng, value):
    key = rng.choice(KEYS)
    store.table("t").put({"id": key, "v": value})
    return set_of(key, value)


def get(store, rng, _):
    key = rng.choice(KEYS)
    item = store.table("t").get(key)
    return lambda state: state if state[KEYS.index(key)] == (item and item["v"]) else None


def add(store, rng, value):
    key = rng.choice(KEYS)
    new = store.table("t").update(key, "ADD v :v", values={":v": value}, returns="ALL_NEW")["v"]
    return lambda state: set_of(key, new)(state) if (state[KEYS.index(key)] or 0) + value == new else None


def transfer(store, rng, value):
    """Two items at once, if the first is what it was when it was read."""
    first, second = rng.sample(KEYS, 2)
    item = store.table("t").get(first)
    known = item and item["v"]
    condition, values = ("v = :v", {":v": known}) if item else ("attribute_not_exists(id)", None)
    try:
        store.transact(
            [
                kv.Put("t", {"id": first, "v": value}, condition=condition, values=values),
                kv.Put("t", {"id": second, "v": -value}),
            ]
        )
    except ConditionFailed as error:
        stood = error.reasons[0]["item"]
        found = stood and stood["v"]
        return lambda state: state if state[KEYS.index(first)] == found != known else None
    return lambda state: (
        set_of(second, -value)(set_of(first, value)(state)) if state[KEYS.index(first)] == known else None
    )


def look(store, _rng, _value):
    items = store.transact([kv.Get("t", key) for key in KEYS])
    found = tuple(item and item["v"] for item in items)
    return lambda state: state if state == found else None


def delete(store, rng, _):
    key = rng.choice(KEYS)
    old = store.table("t").delete(key, returns="ALL_OLD")
    return lambda state: set_of(key, None)(state) if state[KEYS.index(key)] == (old and old["v"]) else None


def work(store, seed, moments, history):
    rng = random.Random(seed)  # noqa: S311 - the same operations in each run
    for number in range(8):
        operation = rng.choice([put, get, add, transfer, transfer, look, look, delete])
        began = next(moments)
        step = operation(store, rng, seed * 100 + number + 1)
        history.append((began, next(moments), step))


@pytest.mark.parametrize("index", [False, True])
def test_what_threads_see_of_each_other_has_an_order(index, tmp_path):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for round_ in range(25):
            moments, history = itertools.count(), []
            with kv.Store(None if round_ % 2 else tmp_path / f"{index}{round_}", durability="interval") as store:
                indexes = [{"name": "v", "key": "v:N"}] if index else []
                store.create_table("t", key="id:S", stream=True, indexes=indexes)
                threads = [
                    threading.Thread(target=work, args=(store, round_ * 10 + n, moments, history)) for n in range(4)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(60)
                assert len(history) == 32
                assert linearizable(history, (None, None, None)), f"round {round_}"
                assert store.verify().ok
    finally:
        sys.setswitchinterval(interval)


def test_the_judge_knows_an_answer_that_fits_no_order():
    write = (0, 1, set_of("a", 1))
    stale = (2, 3, lambda state: state if state[0] is None else None)
    assert not linearizable([write, stale], (None, None, None))
    assert linearizable([(0, 3, write[2]), (1, 2, stale[2])], (None, None, None))
