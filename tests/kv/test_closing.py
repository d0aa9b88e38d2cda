"""A store is closed while eight threads are at work in it: each of them hears Closed, and nothing of it is lost."""

import sys
import threading

import pytest

from engines import kv
from engines.errors import Closed


@pytest.fixture
def restless(request):
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def use(store, table, me, heard):
    """Until the store is closed; heard gets what ended it, and the last write that was acknowledged."""
    number = 0
    try:
        while True:
            table.put({"who": f"w{me}", "n": number % 50, "count": number, "text": "x" * 500})
            number += 1
            table.get(f"w{me}", number % 50)
            table.query("who = :w", values={":w": f"w{(me + 1) % 8}"}, limit=5)
            if number % 20 == 0:
                table.scan(limit=100)
                store.checkpoint()
                store.stats()
    except BaseException as error:  # noqa: BLE001 - the test says what may end it
        heard[me] = (error, number - 1)


@pytest.mark.slow
@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_store_that_is_closed_in_the_middle_of_everything_says_so_to_each_thread(tmp_path, in_memory):
    for round_ in range(15):
        store = kv.Store(None if in_memory else tmp_path / f"shop{round_}", durability="interval")
        table = store.create_table("t", key=("who:S", "n:N"), ttl="expires", stream=True)
        heard = {}
        threads = [threading.Thread(target=use, args=(store, table, me, heard)) for me in range(8)]
        for thread in threads:
            thread.start()
        while store.log.last < 100 + 20 * round_:
            threads[0].join(0.001)
        store.close()
        for thread in threads:
            thread.join(20)
        assert {type(error) for error, _ in heard.values()} == {Closed}, heard
        assert len(heard) == 8
        if not in_memory:
            with kv.Store(tmp_path / f"shop{round_}") as again:
                for me, (_, count) in heard.items():
                    assert count < 0 or again.table("t").get(f"w{me}", count % 50)["count"] in (count, count + 50)
                assert again.verify().ok


@pytest.mark.parametrize("in_memory", [True, False])
def test_what_is_closed_is_called_as_its_user_calls_it(tmp_path, in_memory):
    store = kv.Store(None if in_memory else tmp_path / "shop")
    table = store.create_table("t", key="id:N")
    store.close()
    called = "in memory" if in_memory else f"{tmp_path}/shop"
    for use_it in (
        lambda: table.get(1),
        lambda: table.put({"id": 1}),
        lambda: table.update(1, "SET a = :a", values={":a": 1}),
        table.scan,
        table.describe,
        store.tables,
    ):
        with pytest.raises(Closed, match=rf"^the store {called} is closed: open it again"):
            use_it()
