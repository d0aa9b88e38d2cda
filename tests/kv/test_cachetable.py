"""The table of the cache: orders of eviction against lists, expiry to the millisecond, keys that misbehave, leaks."""

import gc
import sys
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.cache import Lru, Sieve

from engines._native.cachetable import POLICIES, CacheTable

NOW = 1_700_000_000_000  # milliseconds

# -- limits and arguments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_items": 0}, "max_items must be a whole number from 1"),
        ({"max_items": -1}, "max_items"),
        ({"max_items": True}, "max_items"),
        ({"max_items": 1.5}, "max_items"),
        ({"max_items": 1 << 31}, "max_items"),
        ({"max_bytes": 0}, "max_bytes must be a whole number from 1"),
        ({"max_bytes": 1 << 61}, "max_bytes"),
        ({"policy": "fifo"}, "policy must be one of none, sieve"),
        ({"seed": "1"}, "seed must be a whole number"),
    ],
)
def test_limits_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CacheTable(**arguments)


def test_a_table_that_was_never_made_says_so_instead_of_crashing():
    table = CacheTable.__new__(CacheTable)
    for call in (lambda: table.get(1, 0), lambda: table.set(1, 1, 0), lambda: table.delete(1, 0), table.clear):
        with pytest.raises(ValueError, match="never made"):
            call()
    assert len(table) == 0
    assert table.scan(0, 10, 0) == (0, [])
    gc.collect()


def test_a_table_is_made_once():
    table = CacheTable(3)
    with pytest.raises(ValueError, match="made once"):
        table.__init__(4)


def test_times_and_sizes_that_make_no_sense_are_refused_and_nothing_is_done():
    table = CacheTable(3)
    for arguments in ({"expires": -1}, {"size": -1}, {"size": 1 << 61}):
        with pytest.raises(ValueError, match="expires is a time"):
            table.set("a", 1, NOW, **arguments)
    with pytest.raises(ValueError, match="expires is a time"):
        table.expire_at("a", -5, NOW)
    assert len(table) == 0


# -- the orders -------------------------------------------------------------------------------------------------------

steps = st.lists(st.tuples(st.sampled_from(["set", "set", "get", "get", "delete"]), st.integers(0, 11)), max_size=120)


@pytest.mark.parametrize(("policy", "model"), [("lru", Lru), ("sieve", Sieve)])
@given(steps, st.integers(1, 8))
def test_who_goes_is_who_goes_in_a_list(policy, model, steps, room):
    table, expected = CacheTable(room, policy=policy), model(room)
    for number, (verb, key) in enumerate(steps):
        there = key in expected.order
        if verb == "set":
            table.set(key, number, NOW)
            expected.set(key)
        elif verb == "get":
            assert (table.get(key, NOW) is not None) == there
            if there:
                expected.hit(key)
        else:
            assert table.delete(key, NOW) == there
            if there:
                expected.delete(key)
        assert sorted(table.scan(0, 100, NOW)[1]) == sorted(expected.order)
    assert table.evictions == len(expected.gone)


def test_the_hand_of_sieve_goes_on_from_where_it_was():
    table = CacheTable(4, policy="sieve")
    for key in "abcd":
        table.set(key, key, NOW)
    for key in "ab":
        table.get(key, NOW)
    table.set("e", 1, NOW)  # spares a and b, takes c; the hand is at d
    table.get("d", NOW)
    table.set("f", 1, NOW)  # spares d, takes e: a and b, whose bits are gone, are behind the hand
    assert sorted(table.scan(0, 100, NOW)[1]) == ["a", "b", "d", "f"]


def test_lfu_keeps_what_is_asked_for_often():
    table = CacheTable(100, policy="lfu", seed=1)
    for key in range(100):
        table.set(key, key, NOW)
    for _ in range(200):
        for key in range(10):
            table.get(key, NOW)
    for key in range(100, 1000):
        table.set(key, key, NOW)
    assert sum(table.peek(key, NOW) is not None for key in range(10)) == 10


def test_lfu_forgets_within_minutes():
    table = CacheTable(5, policy="lfu")
    for key in range(5):
        table.set(key, key, NOW)
    for _ in range(1000):
        table.get(0, NOW)
    later = NOW + 60 * 60_000
    table.set(1, 1, later)  # looked at, so brought up to date: 0 as well
    for key in (1, 2, 3, 4) * 100:
        table.get(key, later)
    table.set("new", 1, later)
    assert table.peek(0, later) is None


def test_random_takes_anybody_and_the_same_with_the_same_seed():
    def left(seed):
        table = CacheTable(50, policy="random", seed=seed)
        for key in range(500):
            table.set(key, key, NOW)
        return sorted(table.scan(0, 1000, NOW)[1])

    assert left(1) == left(1) != left(2)
    assert len(left(1)) == 50
    assert any(key < 400 for key in left(1))


def test_ttl_takes_what_expires_soonest_and_nothing_without_an_expiry():
    table = CacheTable(5, policy="ttl")
    for key in range(5):
        table.set(key, key, NOW, 0 if key == 2 else NOW + 1000 + 10 * key)
    table.set("a", 1, NOW)
    table.set("b", 1, NOW)
    assert sorted(map(str, table.scan(0, 10, NOW)[1])) == ["2", "3", "4", "a", "b"]


@pytest.mark.parametrize("policy", ["sieve", "lru", "lfu", "random"])
def test_volatile_spares_what_has_no_expiry(policy):
    table = CacheTable(4, policy=policy, volatile=True)
    table.set("a", 1, NOW)
    table.set("b", 1, NOW, NOW + 5000)
    table.set("c", 1, NOW)
    table.set("d", 1, NOW, NOW + 5000)
    table.expire_at("d", 0, NOW)  # d is spared from now on, c is not
    table.expire_at("c", NOW + 9000, NOW)
    table.set("e", 1, NOW)
    table.set("f", 1, NOW)
    with pytest.raises(OverflowError):
        table.set("g", 1, NOW)
    assert sorted(table.scan(0, 10, NOW)[1]) == ["a", "d", "e", "f"]
    table.set("a", 2, NOW)  # no room is needed


def test_without_a_policy_what_does_not_fit_is_refused_and_nothing_changes():
    table = CacheTable(2, 100, "none")
    table.set("a", 1, NOW, size=40)
    table.set("b", 1, NOW, size=40)
    for key, size in (("c", 1), ("b", 61)):
        with pytest.raises(OverflowError, match="no room"):
            table.set(key, 2, NOW, size=size)
    assert (table.peek("a", NOW), table.peek("b", NOW), table.bytes, table.evictions) == ((1, 0), (1, 0), 80, 0)
    table.set("b", 3, NOW, size=60)
    assert table.bytes == 100


sized = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60), st.booleans()), max_size=80)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("volatile", [False, True])
@settings(max_examples=25)
@given(sized)
def test_limits_are_kept_by_all_policies_and_a_refusal_changes_nothing(policy, volatile, steps):
    table, sizes, now = CacheTable(5, 100, policy, volatile), {}, NOW
    for key, size, expires in steps:
        now += 3
        before = sorted(table.scan(0, 100, now)[1])
        evictions = table.evictions
        try:
            table.set(key, size, now, now + 50 if expires else 0, size)
        except OverflowError:
            assert evictions == table.evictions
            assert sorted(table.scan(0, 100, now)[1]) == before
            assert table.peek(key, now) is None or table.peek(key, now)[0] == sizes[key]
        else:
            sizes[key] = size
            assert table.peek(key, now) == (size, now + 50 if expires else 0)
        there = table.scan(0, 100, now)[1]
        assert len(there) == len(table) <= 5
        assert table.bytes == sum(sizes[key] for key in there) <= 100


def test_nothing_is_evicted_for_what_can_never_fit():
    table = CacheTable(None, 100)
    table.set("a", 1, NOW, size=100)
    with pytest.raises(OverflowError, match="101 bytes"):
        table.set("b", 1, NOW, size=101)
    assert table.peek("a", NOW)


# -- time -------------------------------------------------------------------------------------------------------------

jumps = st.one_of(
    st.integers(1, 5),
    st.sampled_from([255, 256, 257, 65_535, 65_536, 65_537, 1 << 24, (1 << 24) + 1, 1 << 32, 1 << 33]),
)


@settings(max_examples=60)
@given(
    st.lists(st.one_of(st.tuples(st.just("set"), st.integers(0, 30), jumps), st.tuples(st.just("go"), jumps))), jumps
)
def test_everything_goes_at_its_millisecond_and_nothing_before(steps, start):
    table, now, expected = CacheTable(), NOW + start, {}
    table.expire(now)
    for verb, *rest in steps:
        if verb == "set":
            key, lifetime = rest
            table.set(key, key, now, now + lifetime)
            expected[key] = now + lifetime
        else:
            now += rest[0]
            due = {key for key, at in expected.items() if at <= now}
            assert all(table.peek(key, now) is None for key in due)
            assert table.expire(now) == len(due)
            expected = {key: at for key, at in expected.items() if key not in due}
        assert len(table) == table.timed == len(expected)
    for key, at in sorted(expected.items(), key=lambda pair: pair[1]):
        assert table.get(key, at - 1) == key
        assert table.get(key, at) is None
    assert table.expire(NOW + (1 << 40)) == len(expected)


def test_a_clock_that_steps_back_expires_nothing_too_early_and_keeps_nothing_for_ever():
    table = CacheTable()
    table.set("a", 1, NOW, NOW + 10)
    table.expire(NOW + 9)
    table.set("b", 1, NOW - 1000, NOW - 500)
    assert table.get("b", NOW - 501) == 1
    assert table.get("b", NOW - 500) is None
    assert table.expire(NOW - 400) == 0
    assert table.expire(NOW + 10) == 2


def test_an_expiry_can_be_changed_and_taken_away():
    table = CacheTable()
    table.set("a", 1, NOW, NOW + 10)
    assert table.expire_at("a", NOW + 70_000, NOW)
    assert table.expire(NOW + 69_999) == 0
    assert table.expire_at("a", 0, NOW + 69_999)
    assert table.expire(NOW + (1 << 34)) == 0
    assert not table.expire_at("b", NOW, NOW)
    assert table.peek("a", NOW) == (1, 0)


def test_an_expired_entry_is_deleted_as_one_that_was_not_there():
    table = CacheTable()
    table.set("a", 1, NOW, NOW + 10)
    assert not table.delete("a", NOW + 10)
    assert (len(table), table.expired) == (0, 1)


def test_what_is_due_by_the_thousand_goes_at_once_and_the_rest_is_still_found():
    table = CacheTable()
    for key in range(5000):
        table.set(key, str(key), NOW, NOW + (100 if key % 5 else 1000))
    assert table.expire(NOW + 500) == 4000
    assert [table.get(key, NOW + 500) for key in range(0, 5000, 5)] == [str(key) for key in range(0, 5000, 5)]
    assert all(table.get(key, NOW + 500) is None for key in range(5000) if key % 5)
    assert table.expire(NOW + 2000) == 1000
    assert len(table) == 0


# -- scans ------------------------------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.integers(1, 7))
def test_a_scan_gives_what_stays_once_whatever_else_comes_and_goes(stays, others, count):
    table = CacheTable()
    for key in sorted(stays | others):
        table.set(key, 1, NOW)
    position, found = 0, []
    while True:
        position, some = table.scan(position, count, NOW)
        found += some
        for key in list(others)[:3]:
            others.discard(key)
            if key not in stays:
                table.delete(key, NOW)
                table.set(-key, 1, NOW)
        if not position:
            break
    assert sorted(key for key in found if key in stays) == sorted(stays)


# -- keys and values that misbehave -----------------------------------------------------------------------------------


class Key:
    """All have one hash, so that finding one asks the others whether they are equal."""

    def __init__(self, name, meddle=None):
        self.name, self.meddle = name, meddle

    def __hash__(self):
        return 7

    def __eq__(self, other):
        for key in (self, other):
            if key.meddle:
                key.meddle()
        return isinstance(other, Key) and self.name == other.name


def raising(*_):
    raise ZeroDivisionError


class Unhashable:
    def __hash__(self):
        return raising()


def calls(table, key):
    return [
        lambda: table.get(key, NOW),
        lambda: table.peek(key, NOW),
        lambda: table.set(key, 1, NOW),
        lambda: table.delete(key, NOW),
        lambda: table.expire_at(key, 5, NOW),
    ]


def test_what_hashing_or_comparing_raises_passes_through_and_nothing_is_done():
    table = CacheTable()
    table.set(Key("a"), 1, NOW)
    for call in calls(table, Unhashable()) + calls(table, Key("b", raising)):
        with pytest.raises(ZeroDivisionError):
            call()
    with pytest.raises(TypeError, match="unhashable"):
        table.set([], 1, NOW)
    assert len(table) == 1
    assert table.get(Key("a"), NOW) == 1


def test_keys_of_one_hash_are_told_apart():
    table = CacheTable()
    for name in range(50):
        table.set(Key(name), name, NOW)
    for name in range(0, 50, 2):
        assert table.delete(Key(name), NOW)
    assert [table.get(Key(name), NOW) for name in range(50)] == [name if name % 2 else None for name in range(50)]


def test_keys_are_equal_as_python_has_it():
    table = CacheTable()
    table.set(1, "one", NOW)
    table.set("1", "text", NOW)
    table.set(b"1", "bytes", NOW)
    assert [table.get(key, NOW) for key in (1.0, True, "1", b"1")] == ["one", "one", "text", "bytes"]
    assert len(table) == 3


@pytest.mark.parametrize("seed", range(20))
def test_keys_that_change_the_table_when_they_are_compared(seed):
    table, done, changes = CacheTable(8, policy=POLICIES[1 + seed % 5]), [], 0

    def meddle():
        nonlocal changes
        changes += 1
        if changes % 3 == 0 and changes < 300:
            table.set(("other", changes % 7), changes, NOW, NOW + 50)
            table.delete(("other", (changes + seed) % 7), NOW)
            if changes % (7 + seed) == 0:
                table.clear()
            if changes % 5 == 0:
                table.expire(NOW + changes)

    for number in range(60):
        key = Key(number % 9, meddle)
        if number % 3:
            table.set(key, number, NOW, NOW + 1000 if number % 2 else 0)
        else:
            done.append(table.get(key, NOW))
        assert len(table) <= 8
    there = table.scan(0, 1000, NOW)[1]
    assert len(there) <= len(table)
    for key in there:
        if isinstance(key, Key):
            key.meddle = None
    assert all(table.delete(key, NOW) for key in there)


def test_a_key_that_changes_the_table_each_time_is_given_up():
    table = CacheTable()
    table.set(Key("a"), 1, NOW)
    meddling = Key("b", lambda: (table.set("c", 1, NOW), table.delete("c", NOW)))
    with pytest.raises(RuntimeError, match="comparing keys changes the cache"):
        table.get(meddling, NOW)


def test_a_key_may_vanish_while_it_is_compared():
    table = CacheTable()
    table.set(Key("a"), 1, NOW)
    assert table.get(Key("a", table.clear), NOW) is None


class Loud:
    """Calls back when it is destroyed."""

    def __init__(self, callback):
        self.callback = callback

    def __del__(self):
        self.callback()


@pytest.mark.parametrize("policy", ["sieve", "lru", "lfu", "random", "ttl"])
def test_destructors_may_use_the_table(policy):
    table, seen = CacheTable(4, policy=policy), []

    def callback():
        seen.append(len(table))
        if len(seen) < 500:
            table.set(len(seen) % 11, Loud(callback), NOW, NOW + 10)
            table.get(len(seen) % 5, NOW)
            table.delete(len(seen) % 7, NOW)
            table.expire(NOW + len(seen) // 20)

    for key in range(40):
        table.set(key % 9, Loud(callback), NOW, NOW + 10)
        assert len(table) <= 4
    table.expire(NOW + 100)
    table.clear()
    while len(table):
        table.clear()
    assert len(seen) >= 500


def test_a_destructor_sees_the_new_value():
    table, seen = CacheTable(2), []
    table.set("a", Loud(lambda: seen.append(table.get("a", NOW))), NOW)
    table.set("a", "new", NOW)
    table.set("b", Loud(lambda: seen.append(sorted(table.scan(0, 9, NOW)[1]))), NOW)
    table.delete("b", NOW)
    assert seen == ["new", ["a"]]


# -- references -------------------------------------------------------------------------------------------------------


class Thing:
    pass


def test_every_reference_is_given_back():
    table, key, value = CacheTable(3), Thing(), Thing()
    before = sys.getrefcount(key), sys.getrefcount(value)
    for _ in range(3):
        table.set(key, value, NOW)
    table.get(key, NOW)
    table.get(Thing(), NOW, value)
    table.peek(key, NOW)
    table.delete(key, NOW)
    for n in range(9):
        table.set(n, value, NOW, NOW + n)
        table.set(key, n, NOW, NOW + 5)
    with pytest.raises(ValueError, match="expires"):
        table.set(key, value, NOW, -1)
    table.expire(NOW + 100)
    assert len(table) == 0
    for n in range(3):
        table.set((key, n), value, NOW)
    table.clear()
    table.set(key, value, NOW)
    del table
    assert (sys.getrefcount(key), sys.getrefcount(value)) == before


def test_a_cycle_through_the_table_is_collected():
    table, value, key = CacheTable(), Thing(), Thing()
    value.table = key.table = table
    table.set(key, 1, NOW)
    table.set("v", value, NOW, NOW + 10)
    gone = weakref.ref(value), weakref.ref(key)
    del table, value, key
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_the_garbage_collector_sees_keys_and_values():
    table, key, value = CacheTable(), Thing(), Thing()
    table.set(key, value, NOW)
    assert {id(key), id(value)} <= set(map(id, gc.get_referents(table)))
    assert any(found is table for found in gc.get_referrers(value))
    table.clear()
    assert value not in gc.get_referents(table)
