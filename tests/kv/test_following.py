"""Following one table in a store where others are busy: the time without news is the table's, not the store's."""

import threading

from engines import kv

SECONDS = 20  # then something hangs


def follow(table, limit=None, timeout=None):
    """What a follower is told, in a thread that the test can give up on."""
    told = []

    def run():
        told.extend(table.changes(limit=limit, follow=True, timeout=timeout))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, told


def test_following_a_quiet_table_ends_although_another_is_busy(tmp_path):
    with kv.Store(tmp_path / "shop") as store:
        quiet = store.create_table("quiet", key="id:N", stream=True)
        busy = store.create_table("busy", key="id:N", stream=True)
        quiet.put({"id": 1})
        follower, told = follow(quiet, timeout=0.05)
        number = 0
        while follower.is_alive() and number < 20_000:
            number += 1
            busy.put({"id": number})
        assert number < 20_000
        assert [change.key for change in told] == [(1,)]


def test_all_that_was_there_is_told_however_much_else_stands_before_it(tmp_path):
    with kv.Store(tmp_path / "shop", durability="checkpoint") as store:
        quiet = store.create_table("quiet", key="id:N", stream=True)
        busy = store.create_table("busy", key="id:N", stream=True)
        for number in range(3000):
            busy.put({"id": number})
        quiet.put({"id": 1})
        store.log.sync()
        follower, told = follow(quiet, timeout=0)
        follower.join(SECONDS)
        assert [change.key for change in told] == [(1,)]


def test_following_waits_for_news_between_notes_and_other_frames_and_tells_each_once(tmp_path):
    with kv.Store(tmp_path / "shop") as store:
        quiet = store.create_table("quiet", key="id:N", stream=True)
        busy = store.create_table("busy", key="id:N", stream=True)
        follower, told = follow(quiet, limit=20)
        for number in range(20):
            busy.put({"id": number})
            quiet.put({"id": number})
            store.checkpoint()
        follower.join(SECONDS)
        assert [change.key for change in told] == [(number,) for number in range(20)]


def test_following_ends_when_the_store_is_closed(tmp_path):
    store = kv.Store(tmp_path / "shop")
    table = store.create_table("t", key="id:N", stream=True)
    follower, told = follow(table)
    table.put({"id": 1})
    store.close()
    follower.join(SECONDS)
    assert not follower.is_alive()
    assert len(told) == 1
