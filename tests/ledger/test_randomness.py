"""Random bytes are given out once: by no two threads, by no two processes, in no two calls."""

import os
import threading

import pytest

from engines.ledger.randomness import random_bytes


@pytest.mark.parametrize("count", [0, 1, 16, 1024, 1025, 100_000])
def test_as_many_as_are_asked_for(count):
    assert len(random_bytes(count)) == count


def test_no_two_calls_and_no_two_threads_get_the_same():
    found = []
    threads = [threading.Thread(target=lambda: found.extend(random_bytes(16) for _ in range(1000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 4000


def test_a_child_of_a_fork_gets_others():
    random_bytes(16)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, random_bytes(16))
        os._exit(0)
    ours = random_bytes(16)
    os.waitpid(child, 0)
    assert os.read(reading, 16) != ours
    os.close(reading)
    os.close(writing)
