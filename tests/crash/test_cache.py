"""The cache's journal under power loss, failing disks, kills, flipped bytes: all kinds, transactions, snapshots."""

import errno

import pytest
from crash.recorder import RecordingFileSystem
from crash.rules import Subject, crash, fail_everywhere, flip_every_byte, kill_everywhere, workload
from models.cachestanding import Standing
from models.cachetypes import Model

from engines.clock import ManualClock
from engines.kv.cache.types import plain

START = 1_000_000 * 1_000_000  # microseconds


class Journaled(Standing):
    """The stand-in for a cache, opened by its files alone."""

    def __init__(self, files):
        super().__init__(files, ManualClock(START), durability="commit")

    def verify(self):
        return self.journal.verify()


class Caches(Subject):
    """State: every key with what it holds."""

    def open(self, files):
        return Journaled(files)

    def do(self, cache, operation):
        match operation:
            case ("snapshot",):
                cache.journal.snapshot(cache.entries())
            case ("reopen",):
                cache.close()
                cache.reopen()
            case ("together", commands):
                with cache.transaction() as transaction:
                    for name, *arguments in commands:
                        getattr(transaction, name)(*arguments)
            case (name, *arguments):
                getattr(cache, name)(*arguments)
        return True

    def state(self, cache):
        return {
            key: sorted(value) if kind == "set" else dict(value) if kind == "zset" else plain(kind, value)
            for key, (kind, value, _) in cache.found.items()
        }

    def model(self, operations):
        model = Model()
        for name, *arguments in operations:
            if name == "together":
                for command, *rest in arguments[0]:
                    getattr(model, command)(*rest)
            elif name not in ("snapshot", "reopen"):
                getattr(model, name)(*arguments)
        return {key: sorted(value) if key[0] == "s" else value for key, value in model.keys.items()}


def text(number):
    """All of one size, so that a stale frame lies where a later reader would look."""
    return f"{number:04}" * 150


def operations(rounds):
    found = []
    for n in range(0, 10 * rounds, 10):
        found += [("hset", "h", {f"field {n % 3}": text(n)}), ("rpush", "l", text(n), n), ("sadd", "s", n, n + 1)]
        found += [("zadd", "z", {f"member {n % 7}": n + 0.5}), ("snapshot",), ("lmove", "l", "l2", "left", "right")]
        found += [("together", [("lpop", "l2"), ("hset", "h2", {n: text(n)}), ("zincrby", "z", 2, "member 0")])]
        found += [("srem", "s", n), ("reopen",), ("hincrby", "h3", "count", n + 1), ("lpush", "l", text(n + 1))]
        found += [("lrem", "l", 1, n), ("zrem", "z", f"member {n % 7}")]
    return found


EXTRA = ("hset", "h", {"after": "new"})


@pytest.mark.slow
def test_the_cache_survives_every_power_loss():
    outcome = crash("kv.Cache", Caches(), operations(6), EXTRA, samples=60)
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 500


@pytest.mark.slow
def test_what_a_killed_process_left_in_the_cache_is_made_sure_before_it_is_built_upon():
    some = [*operations(1)[:7], ("snapshot",), ("lpush", "l", text(9))]
    outcome = kill_everywhere(Caches(), some, EXTRA, samples=1)
    print(f"kv.Cache, killed         {outcome}")  # noqa: T201 - counts are the result
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 300


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("keep", [False, True])
def test_the_cache_is_poisoned_or_unharmed_wherever_the_disk_fails(number, keep):
    some = [operation for operation in operations(2) if operation != ("reopen",)]
    assert fail_everywhere(Caches(), some, number, keep=keep) > 30


@pytest.mark.slow
def test_every_flipped_byte_of_a_closed_cache_is_named_or_harmless():
    subject, some = Caches(), operations(1)[:6]
    files = RecordingFileSystem()
    workload(subject, some)(files)
    counts = flip_every_byte(subject, files.image(), expected=subject.model(some))
    print(f"kv.Cache: flipped bytes {counts}")  # noqa: T201 - counts are the result
    assert counts["named"] > 1_000


class Lazy(Caches):
    """Durability "checkpoint": only a snapshot puts anything on disk, so only that is acknowledged."""

    def __init__(self, *, sync):
        self.sync = sync

    def do(self, cache, operation):
        log = cache.journal.log
        cache.journal.acknowledge = lambda sequence: log.sync() if operation is EXTRA else None
        if operation == ("snapshot",) and not self.sync:
            log.sync = lambda sequence: None
        super().do(cache, operation)
        vars(log).pop("sync", None)
        return operation in (EXTRA, ("snapshot",), ("reopen",))


def test_a_snapshot_is_never_ahead_of_the_log_that_it_stands_in():
    some = [operation for operation in operations(2) if operation[0] not in ("reopen", "sadd", "zadd")]
    outcome = crash("kv.Cache, checkpoint", Lazy(sync=True), some, EXTRA, samples=20)
    assert outcome.violations == 0, outcome.first
    outcome = crash("kv.Cache, unsynced", Lazy(sync=False), some, EXTRA, samples=20)
    assert outcome.violations > 0
    assert "Corrupted" in outcome.first
