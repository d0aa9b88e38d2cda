"""Hashes, lists, sets, sorted sets: against a plain model, their records replayed, and what they refuse."""

import math
import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.cachestanding import Standing
from models.cachetypes import Model, place

from engines.errors import Invalid, NotFound
from engines.kv.cache.ranking import CHUNK, Ranking
from engines.kv.cache.types import container, plain

MEMBERS = ["a", b"a", "b", "", b"", 1, Decimal("1.5"), 2.5, True, "1", "é", "\uffee", "\U0001f600", b"\xff", -7, 10**30]
SCORES = [0, 1, -1, 0.5, Decimal("0.5"), 1e308, -math.inf, math.inf, "2", -0.0]
BOUNDS = [0, 1, "(1", "(0.5", "-inf", "+inf", -1.5, "(-1", Decimal(1), "(-inf"]
LEX = ["-", "+", "[a", "(a", "[b", "(", "[", "(é", "[\U0001f600"]

members = st.sampled_from(MEMBERS)
some = st.lists(members, min_size=1, max_size=4).map(tuple)
elements = st.sampled_from(["a", "b", b"a", 1])  # few, so that they are found again
values = st.one_of(members, st.none(), st.integers(0, 3), st.lists(st.integers(0, 2), max_size=2))
index = st.integers(-6, 6)
count = st.none() | st.integers(0, 4)
hash_key, list_key, set_key, sorted_key = (st.sampled_from([f"{kind}{n}" for n in range(3)]) for kind in "hlsz")
scored = st.dictionaries(members, st.sampled_from(SCORES), min_size=1, max_size=5)
side = st.sampled_from(["left", "right"])
aggregate = st.sampled_from(["sum", "min", "max"])
weights = st.sampled_from([None, [2, -1], [0, 0.5], [math.inf, 1]])
bound, lex = st.sampled_from(BOUNDS), st.sampled_from(LEX)
finite = st.integers(-3, 3)


def call(name, *arguments, **options):
    return st.tuples(st.just(name), st.tuples(*arguments), st.fixed_dictionaries({}, optional=options))


def variadic(name, *arguments):
    return st.tuples(*arguments).map(lambda found: (name, (*found[:-1], *found[-1]), {}))


HASHES = [
    call("hset", hash_key, st.dictionaries(members, values, min_size=1, max_size=3)),
    call("hsetnx", hash_key, members, values),
    call("hget", hash_key, members),
    variadic("hmget", hash_key, some),
    variadic("hdel", hash_key, some),
    call("hexists", hash_key, members),
    *(call(name, hash_key) for name in ("hgetall", "hkeys", "hvals", "hlen")),
]
LISTS = [
    *(variadic(name, list_key, st.lists(elements, min_size=1, max_size=4).map(tuple)) for name in ("lpush", "rpush")),
    *(call(name, list_key, count) for name in ("lpop", "rpop")),
    call("lrange", list_key, index, index),
    call("llen", list_key),
    call("lindex", list_key, index),
    call("lset", list_key, index, elements),
    call("linsert", list_key, st.sampled_from(["before", "after"]), elements, elements),
    call("lrem", list_key, st.integers(-2, 2), elements),
    call("ltrim", list_key, index, index),
    call("lmove", list_key, list_key, side, side),
]
SETS = [
    *(variadic(name, set_key, some) for name in ("sadd", "srem")),
    call("sismember", set_key, members),
    *(call(name, set_key) for name in ("smembers", "scard")),
    call("smove", set_key, set_key, members),
    *(variadic(name, st.lists(set_key, min_size=1, max_size=3)) for name in ("sinter", "sunion", "sdiff")),
    *(
        variadic(name, set_key, st.lists(set_key, min_size=1, max_size=3))
        for name in ("sinterstore", "sunionstore", "sdiffstore")
    ),
]
LIMIT = st.none() | st.tuples(st.integers(0, 3), st.integers(-1, 3))
SORTED = [
    call("zadd", sorted_key, scored, ch=st.booleans()),
    *(
        call("zadd", sorted_key, scored, ch=st.booleans(), **{name: st.just(value=True)})
        for name in ("nx", "xx", "gt", "lt")
    ),
    call("zadd", sorted_key, st.dictionaries(members, finite, min_size=1, max_size=1), incr=st.just(value=True)),
    call("zincrby", sorted_key, finite, members),
    variadic("zrem", sorted_key, some),
    *(call(name, sorted_key, members) for name in ("zscore", "zrank", "zrevrank")),
    call("zcard", sorted_key),
    call("zrange", sorted_key, index, index, reverse=st.booleans(), scores=st.booleans()),
    call("zrange", sorted_key, bound, bound, reverse=st.booleans(), limit=LIMIT, scores=st.booleans()).map(
        lambda found: (*found[:2], found[2] | {"by": "score"})
    ),
    *(call(name, sorted_key, bound, bound) for name in ("zrangebyscore", "zcount", "zremrangebyscore")),
    *(call(name, sorted_key, count) for name in ("zpopmin", "zpopmax")),
    call("zremrangebyrank", sorted_key, index, index),
    *(
        call(name, sorted_key, st.lists(sorted_key, min_size=2, max_size=2), weights, aggregate)
        for name in ("zunionstore", "zinterstore")
    ),
]


def run(operations):
    """The same on both, step by step; afterwards the records, replayed, give what is there."""
    cache, model = Standing(), Model()
    for name, arguments, options in operations:
        try:
            expected = getattr(model, name)(*arguments, **options)
        except KeyError:
            with pytest.raises((Invalid, NotFound)):
                getattr(cache, name)(*arguments, **options)
            continue
        found = getattr(cache, name)(*arguments, **options)
        assert found == expected, (name, arguments, options)
        assert type(found) is type(expected), (name, found, expected)
        assert cache.found.keys() == model.keys.keys(), (name, arguments)
    for key, (kind, value, _) in cache.found.items():
        if kind == "zset":
            assert list(value) == model.pairs(key)
        elif kind == "set":
            assert set(value) == model.keys[key]
        else:
            assert plain(kind, value) == model.keys[key]
    again = Standing()
    for command, arguments in list(cache.records):
        getattr(again, command)(*arguments)
    assert again.shown() == cache.shown()


@given(st.lists(st.one_of(HASHES), max_size=30))
def test_hashes_do_what_a_dict_does(operations):
    run(operations)


@given(st.lists(st.one_of(LISTS), max_size=30))
def test_lists_do_what_a_list_does(operations):
    run(operations)


@given(st.lists(st.one_of(SETS), max_size=30))
def test_sets_do_what_a_set_does(operations):
    run(operations)


@settings(max_examples=200)
@given(st.lists(st.one_of(SORTED), max_size=30))
def test_sorted_sets_do_what_sorting_anew_would_do(operations):
    run(operations)


@given(st.lists(members, unique=True, min_size=1), lex, lex, st.booleans(), LIMIT)
def test_members_of_one_score_are_found_by_their_bytes(found, low, high, reverse, limit):
    cache, model = Standing(), Model()
    for each in (cache, model):
        each.zadd("z", dict.fromkeys(found, 3))
    options = {"by": "lex", "reverse": reverse, "limit": limit}
    assert cache.zrange("z", low, high, **options) == model.zrange("z", low, high, **options)


@given(
    st.dictionaries(members, st.sampled_from(SCORES)),
    st.dictionaries(members, st.sampled_from(SCORES)),
    weights,
    aggregate,
)
def test_unions_and_intersections_put_scores_together(left, right, weights, aggregate):
    cache, model = Standing(), Model()
    for each in (cache, model):
        for key, mapping in (("z1", left), ("z2", right)):
            _ = each.zadd(key, mapping) if mapping else None
    for name in ("zunion", "zinter"):
        expected = getattr(model, name)("z1", "z2", weights=weights, aggregate=aggregate)
        assert getattr(cache, name)("z1", "z2", weights=weights, aggregate=aggregate, scores=True) == expected


def test_members_stand_in_the_order_of_their_bytes_and_not_of_their_characters():
    cache = Standing()
    cache.zadd("z", {"\U0001f600": 0, "\uffee": 0, "a": 0, "B": 0, 10: 0, 9: 0, b"a": 0})
    assert cache.zrange("z") == [10, 9, "B", b"a", "a", "\uffee", "\U0001f600"]


def test_elements_are_removed_from_the_side_that_the_sign_says():
    cache = Standing()
    for count, left in [(2, "bcaa"), (-2, "abac"), (0, "bc"), (9, "bc"), (-9, "bc")]:
        cache.delete("l")
        cache.rpush("l", *"abacaa")
        cache.lrem("l", count, "a")
        assert "".join(cache.lrange("l")) == left
    assert cache.linsert("l", "before", "c", "x") == 3
    assert cache.linsert("l", "after", "c", "y") == 4
    assert cache.lrange("l") == ["b", "x", "c", "y"]


def test_a_member_stays_as_it_was_first_written():
    cache = Standing()
    for member in (1, True, 1.0, Decimal(1)):
        cache.hset("h", {member: member})
        cache.sadd("s", member)
        cache.zincrby("z", 1, member)
    found = [*cache.hkeys("h"), *cache.smembers("s"), *cache.zrange("z")]
    assert [type(member) for member in found] == [int, int, int]
    assert cache.zscore("z", 1) == 4.0
    assert type(cache.hget("h", 1)) is Decimal


# -- the ranking itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_ranking_of_thousands_stays_sorted_while_chunks_split_and_join(seed):
    rng = random.Random(seed)  # noqa: S311 - the same steps in each run
    ranking, model = Ranking(), {}
    names = [f"member {n}" for n in range(6 * CHUNK)]
    for phase, (adds, steps) in enumerate([(0.9, 9000), (0.1, 9000), (0.5, 2000)]):
        for step in range(steps):
            name = rng.choice(names)
            if rng.random() < adds:
                score = float(rng.randrange(200) if phase else step)
                ranking.set(name, score)
                model[name] = score
            elif name in model:
                ranking.remove(name)
                del model[name]
        expected = sorted(model.items(), key=place)
        assert list(ranking) == expected
        assert len(ranking) == len(expected)
        assert all(0 < len(chunk) <= 2 * CHUNK for chunk in ranking._chunks)
        for at in range(0, len(expected), 97):
            assert ranking.rank(expected[at][0]) == at
            assert list(ranking.between(at, at + 1000)) == expected[at : at + 1000]
        assert [entry[3] for entry in ranking._last] == [chunk[-1][3] for chunk in ranking._chunks]
    for name in list(model):
        ranking.remove(name)
    assert list(ranking) == []
    assert not ranking._chunks


def test_a_ranking_does_not_walk_its_members():
    """What grows with the number of members is the number of chunks, and their tree is walked in its logarithm."""
    ranking = Ranking((n, float(n)) for n in range(100_000))
    looked = []
    assert ranking.place(50_000.0, key=lambda entry: looked.append(entry) or entry[0]) == 50_000
    assert len(looked) < 30
    assert ranking._find(77_777)[1] == 77_777 % CHUNK


# -- draws ------------------------------------------------------------------------------------------------------------


def test_what_is_drawn_is_recorded_as_removed():
    cache = Standing()
    cache.sadd("s", *range(100))
    drawn = [cache.spop("s"), *cache.spop("s", 30)]
    assert len(set(drawn)) == 31
    assert cache.records[1:] == [("srem", ("s", drawn[0])), ("srem", ("s", *drawn[1:]))]
    again = Standing()
    for command, arguments in cache.records:
        getattr(again, command)(*arguments)
    assert again.smembers("s") == cache.smembers("s") == set(range(100)) - set(drawn)


def test_draws_are_the_same_in_every_run_and_reach_every_member():
    cache, other = Standing(), Standing()
    for each in (cache, other):
        each.sadd("s", *"abcdef")
    drawn = [cache.srandmember("s") for _ in range(200)]
    assert drawn == [other.srandmember("s") for _ in range(200)]
    assert set(drawn) == set("abcdef")


def test_a_count_below_zero_draws_again_from_all():
    cache = Standing()
    cache.sadd("s", "a", "b")
    assert sorted(cache.srandmember("s", 5)) == ["a", "b"]
    assert len(cache.srandmember("s", -50)) == 50
    assert cache.scard("s") == 2
    assert cache.srandmember("none") is cache.spop("none") is None
    assert cache.srandmember("none", -3) == cache.srandmember("none", 3) == cache.spop("none", 3) == []
    assert cache.records == [("sadd", ("s", "a", "b"))]


# -- counters, refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "by", "expected"),
    [
        (1, 2, 3),
        (0.5, 1, 1.5),
        (Decimal("0.1"), Decimal("0.2"), Decimal("0.3")),
        (Decimal("0.1"), 0.2, Decimal("0.3")),
        (0.1, Decimal("0.2"), Decimal("0.3")),
        (3, Decimal("0.5"), Decimal("3.5")),
        ("41", 1, "42"),
        (b"41", 1, b"42"),
        (b"-1.5", Decimal("0.5"), b"-1.0"),
        (10**40, 1, 10**40 + 1),
    ],
)
def test_a_counter_stays_what_it_is(value, by, expected):
    cache = Standing()
    cache.hset("h", {"n": value})
    found = cache.hincrby("h", "n", by)
    assert found == expected
    assert type(found) is type(expected)
    assert cache.hget("h", "n") == expected
    assert cache.hincrby("h", "new") == 1


WRONG = [
    ("hset", ("h", {})),
    ("hset", ("h", [("a", 1)])),
    ("hset", ("h", {(1, 2): 1})),
    ("hset", ("h", {math.nan: 1})),
    ("hset", ("h", {None: 1})),
    ("sadd", ("s", Decimal("NaN"))),
    ("hget", ("h", [])),
    ("hdel", ("h",)),
    ("hincrby", ("h", "text")),
    ("hincrby", ("h", "yes")),
    ("hincrby", ("h", "n", math.inf)),
    ("hincrby", ("h", "n", math.nan)),
    ("hincrby", ("h", "n", True)),
    ("hincrby", ("h", "huge", 1e308)),
    ("hincrby", ("h", "n", Decimal("1E-200"))),
    ("lpush", ("l",)),
    ("lpop", ("l", -1)),
    ("lpop", ("l", 1.0)),
    ("lrange", ("l", "0", 1)),
    ("lindex", ("l", True)),
    ("lset", ("l", 7, "x")),
    ("lset", ("l", -4, "x")),
    ("linsert", ("l", "beside", 1, 2)),
    ("lmove", ("l", "l", "top", "left")),
    ("sadd", ("s",)),
    ("sadd", ("s", "b", None)),
    ("sadd", ("s", "b", math.nan)),
    ("sadd", ("s", 10**5000)),
    ("spop", ("s", -1)),
    ("sinter", ()),
    ("sunionstore", ("s",)),
    ("zadd", ("z", {})),
    ("zadd", ("z", {"b": 1, "c": math.nan})),
    ("zadd", ("z", {"b": 1, "c": "one"})),
    ("zadd", ("z", {"b": 1, "c": True})),
    ("zadd", ("z", {"b": 10**400})),
    ("zadd", ("z", [("b", 1)])),
    ("zadd", ("z", {"b": 1, None: 1})),
    ("zincrby", ("z", -math.inf, "top")),
    ("zrange", ("z", 0.5, 1)),
    ("zrangebyscore", ("z", "[1", 2)),
    ("zrangebyscore", ("z", math.nan, 2)),
    ("zunionstore", ("z", "zz")),
    ("zunionstore", ("z", ["z"], [1, 2])),
    ("zunionstore", ("z", ["z"], None, "mean")),
    ("zunionstore", ("z", [])),
    # of another kind
    ("hget", ("l", "a")),
    ("lpush", ("h", "a")),
    ("sadd", ("z", "a")),
    ("zadd", ("s", {"a": 1})),
    ("lmove", ("l", "s")),
    ("smove", ("s", "h", "a")),
    ("sinterstore", ("new", "s", "l")),
]


@pytest.mark.parametrize(("name", "arguments"), WRONG, ids=[f"{name}-{at}" for at, (name, _) in enumerate(WRONG)])
def test_a_refused_command_has_done_nothing(name, arguments):
    cache = Standing()
    cache.hset("h", {"n": 1, "text": "one", "yes": True, "huge": 1.7e308})
    cache.rpush("l", 1, 2, 3)
    cache.sadd("s", "a")
    cache.zadd("z", {"a": 1, "top": math.inf})
    before = cache.shown()
    cache.records.clear()
    with pytest.raises(Invalid) as refusal:
        getattr(cache, name)(*arguments)
    assert len(str(refusal.value)) > 20
    assert cache.shown() == before
    assert cache.records == []


@pytest.mark.parametrize("options", [{"nx": True, "xx": True}, {"gt": True, "lt": True}, {"nx": True, "gt": True}])
def test_options_that_exclude_each_other_are_refused(options):
    with pytest.raises(Invalid, match="exclude"):
        Standing().zadd("z", {"a": 1}, **options)


def test_limits_and_bounds_are_checked_before_anything_is_read():
    cache = Standing()
    with pytest.raises(Invalid, match="limit goes with"):
        cache.zrange("z", limit=(0, 1))
    with pytest.raises(Invalid, match="bound by bytes"):
        cache.zrange("z", "a", "+", by="lex")
    with pytest.raises(Invalid, match="by must be"):
        cache.zrange("z", by="rank")
    with pytest.raises(Invalid, match="one member"):
        cache.zadd("z", {"a": 1, "b": 1}, incr=True)
    with pytest.raises(NotFound, match="rpush"):
        cache.lset("l", 0, "x")


def test_a_journal_that_refuses_leaves_the_containers_as_they_were():
    class Refusing(Standing):
        refuse = False

        def _record(self, command, *arguments):
            if self.refuse:
                raise Invalid("this cannot be persisted")

    for name, arguments, _ in [
        ("hset", ("h", {"n": 2}), {}), ("hdel", ("h", "n"), {}), ("hincrby", ("h", "n"), {}),
        ("lpush", ("l", 0), {}), ("lpop", ("l",), {}), ("lset", ("l", 0, 9), {}), ("lrem", ("l", 0, 1), {}),
        ("linsert", ("l", "after", 1, 5), {}), ("ltrim", ("l", 0, 0), {}), ("lmove", ("l", "m"), {}),
        ("sadd", ("s", "b"), {}), ("srem", ("s", "a"), {}), ("spop", ("s",), {}), ("smove", ("s", "t", "a"), {}),
        ("sunionstore", ("s", "t"), {}), ("zadd", ("z", {"b": 1}), {}), ("zrem", ("z", "a"), {}),
        ("zpopmin", ("z",), {}), ("zunionstore", ("z", ["y"]), {}),
    ]:  # fmt: skip
        cache = Refusing()
        cache.hset("h", {"n": 1})
        cache.rpush("l", 1, 2)
        cache.sadd("s", "a")
        cache.zadd("z", {"a": 1})
        before, cache.refuse = cache.shown(), True
        with pytest.raises(Invalid, match="persisted"):
            getattr(cache, name)(*arguments)
        assert cache.shown() == before, name


def test_a_store_replaces_what_stood_there_of_whatever_kind():
    cache = Standing()
    cache.rpush("x", 1)
    cache.sadd("s", "a")
    cache.zadd("z", {"a": 2})
    for store in (lambda: cache.sunionstore("x", "s"), lambda: cache.zunionstore("x", ["z", "z"])):
        kind, value, _ = cache.found["x"]
        cache.found["x"] = kind, value, 99
        assert store() == 1
        assert cache.found["x"][2] is None  # its time to live went with it
    assert cache.zscore("x", "a") == 4.0
    assert cache.sinterstore("x", "s", "none") == 0
    assert "x" not in cache.found


def test_what_is_handed_out_is_a_copy():
    cache = Standing()
    cache.hset("h", {"a": 1})
    cache.rpush("l", 1)
    cache.sadd("s", 1)
    cache.hgetall("h")["b"] = 2
    cache.lrange("l").append(2)
    cache.smembers("s").add(2)
    assert cache.hlen("h") == cache.llen("l") == cache.scard("s") == 1


@given(st.sampled_from(["hash", "list", "set", "zset"]), st.lists(members, unique=True, min_size=1))
def test_plain_and_container_are_inverses(kind, found):
    value = {
        "hash": dict.fromkeys(found, 1),
        "zset": [[member, 1.0] for member in sorted(found, key=lambda m: place((m, 1.0)))],
    }
    value = value.get(kind, found)
    assert plain(kind, container(kind, value)) == value


def test_what_fits_no_kind_is_refused():
    for kind, value in [("tree", {}), ("hash", 3), ("zset", [1]), ("set", 5), ("list", None)]:
        with pytest.raises(Invalid):
            container(kind, value)
