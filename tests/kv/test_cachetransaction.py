"""Transactions of the cache: all together, or a conflict."""

import threading

import pytest
from models.cachestanding import Standing

from engines.errors import Conflict, Invalid


def test_commands_of_a_transaction_run_together_at_its_end():
    cache = Standing()
    with cache.transaction() as transaction:
        transaction.set("a", 1)
        transaction.incr("a", 5)
        transaction.hset("h", {"x": 1})
        assert transaction.get("a") is None
        assert cache.get("a") is None
        assert len(transaction) == 4
    assert transaction.results == [None, 6, 1, 6]
    with pytest.raises(Invalid, match="has ended"):
        transaction.set("a", 2)
    with pytest.raises(AttributeError, match="no command"):
        _ = transaction.publish


def test_a_block_that_raises_runs_nothing():
    cache = Standing()
    with pytest.raises(KeyError), cache.transaction("w") as transaction:  # noqa: PT012 - the block is the point
        transaction.set("a", 1)
        raise KeyError
    assert cache.keys() == []
    assert cache._watchers == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda cache: cache.set("w", 2),
        lambda cache: cache.delete("other", "w"),
        lambda cache: cache.lmove("l", "w"),
        lambda cache: cache.sunionstore("w", "s"),
    ],
)
def test_a_watched_key_that_changed_is_a_conflict_and_nothing_is_done(change):
    cache = Standing()
    cache.rpush("l", 1)
    cache.sadd("s", 1)
    if change.__code__.co_names[0] == "delete":
        cache.set("w", 1)
    with pytest.raises(Conflict, match="'w'"), cache.transaction("w", "v") as transaction:  # noqa: PT012 - the block is the point
        transaction.set("a", 1)
        change(cache)
    assert not cache.exists("a")
    assert cache._watchers == {}


def test_other_keys_and_mere_reading_are_no_conflict():
    cache = Standing()
    cache.set("w", 1)
    with cache.transaction("w") as transaction:
        cache.set("other", 1)
        cache.get("w")
        cache.sadd("s", 1)
        cache.srem("s", 2)
        transaction.set("w", 2)
    assert cache.get("w") == 2


def test_two_who_watch_one_key_come_through_one_after_the_other():
    cache = Standing()
    cache.set("n", 0)

    def add():
        done = 0
        while done < 100:
            try:
                with cache.transaction("n") as transaction:
                    transaction.set("n", cache.get("n") + 1)
                done += 1
            except Conflict:
                pass

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.get("n") == 300
    assert cache._watchers == {}


def test_discard_forgets_the_queue_and_the_watch():
    cache = Standing()
    with cache.transaction("w") as transaction:
        transaction.set("a", 1)
        cache.set("w", 1)
        transaction.discard()
        transaction.set("b", 1)
    assert (cache.exists("a"), cache.exists("b")) == (0, 1)


def test_a_refused_command_stops_no_other_and_is_raised_at_the_end():
    cache = Standing()
    cache.set("text", "x")
    with pytest.raises(Invalid) as refusal, cache.transaction() as transaction:  # noqa: PT012 - the block is the point
        transaction.set("a", 1)
        transaction.lpush("text", 1)
        transaction.sadd("s")
        transaction.set("b", 2)
    assert refusal.value.code == "WRONGTYPE"
    assert (cache.get("a"), cache.get("b")) == (1, 2)
    assert [type(result).__name__ for result in transaction.results] == ["NoneType", "Invalid", "Invalid", "NoneType"]


def test_a_command_without_keys_counts_as_a_change_of_all():
    cache = Standing()
    with pytest.raises(Conflict), cache.transaction("w"):
        cache._changed("clear", ())


def test_nobody_comes_between_the_commands_of_a_transaction():
    class Busy(Standing):
        def incr(self, key, by=1):
            thread = threading.Thread(target=self.set, args=(key, 100))
            threads.append(thread)
            thread.start()
            thread.join(0.05)
            return super().incr(key, by)

    threads, cache = [], Busy()
    with cache.transaction() as transaction:
        transaction.set("a", 1)
        transaction.incr("a")
    threads[0].join()
    assert transaction.results == [None, 2]
    assert cache.get("a") == 100
