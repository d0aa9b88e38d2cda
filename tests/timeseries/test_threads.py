"""Threads that write, read, checkpoint and tick at once: nobody sees half of anything."""

import threading

import numpy as np
from timeseries.written import held

from engines.clock import ManualClock
from engines.timeseries import TimeSeries

NOW = 1_800_000_000
ROUNDS = 25


def test_writers_readers_and_checkpoints_get_on_with_each_other(tmp_path):  # noqa: C901 - a function for each thread
    with TimeSeries(tmp_path / "s", clock=ManualClock(NOW * 10**6)) as store:
        table = store.create_table("cpu", memory="1h")
        failures = []

        def write(host):
            for number in range(ROUNDS):
                late = number % 5 == 4
                first = NOW - 20_000 - number * 10 if late else NOW - 10_000 + number * 10
                times = np.arange(first, first + 10) * 10**9
                table.write(times, {"host": host}, {"number": np.full(10, number)})

        def read():
            while not done.is_set():
                counts = {}
                for key, values in held(table).items():
                    place = key[0], values["number"][1]
                    counts[place] = counts.get(place, 0) + 1
                if set(counts.values()) - {10}:
                    failures.append(counts)

        def keep_house():
            while not done.is_set():
                store.checkpoint()
                store.tick()

        def guarded(work, *args):
            try:
                work(*args)
            except BaseException as error:  # noqa: BLE001 - the test is to hear of it
                failures.append(error)

        done = threading.Event()
        writers = [threading.Thread(target=guarded, args=(write, host)) for host in ("a", "b", "c")]
        others = [threading.Thread(target=guarded, args=(work,)) for work in (read, keep_house)]
        for thread in (*writers, *others):
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        for thread in others:
            thread.join()
        assert failures == []
        everything = held(table)
        assert len(everything) == 3 * ROUNDS * 10
    with TimeSeries(tmp_path / "s", clock=ManualClock(NOW * 10**6)) as store:
        assert held(store.table("cpu")) == everything
