"""kill -9 at random moments, a hundred times each: what was acknowledged is there for the next process.

"interval" too: acknowledged means written, which a dead process cannot take back; only a power loss can. But the
warehouse keeps commits of an interval in memory.
"""

import os
import random
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest

KILLS = 50


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "durability"),
    [*product(["log", "kv", "ledger", "timeseries"], ["commit", "interval"]), ("warehouse", "commit")],
)
def test_kill_minus_nine_loses_nothing_that_was_acknowledged(engine, durability, tmp_path):
    rng = random.Random(f"{engine} {durability}")  # noqa: S311 - the same moments in each run
    command = [sys.executable, Path(__file__).with_name("killed.py"), engine, durability, tmp_path / "store"]
    acknowledged = found = 0
    found_from = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=found_from) as nursery:  # noqa: S603 - our own script
        for _ in range(KILLS):
            nursery.stdin.write("next\n")
            nursery.stdin.flush()
            victim = int(_expect(nursery, "BORN")[0])
            if rng.random() < 0.3:  # while it opens the store, or soon after
                time.sleep(rng.random() * 0.01)
            else:
                found = int(_expect(nursery, "FOUND")[0])
                assert found in (acknowledged, acknowledged + 1), "the one write under way is there or not"
                acknowledged = found
                for _ in range(rng.randrange(60)):
                    acknowledged = int(_expect(nursery, "ACK")[0])
            os.kill(victim, signal.SIGKILL)
            while (words := nursery.stdout.readline().split())[0] != "DEAD":
                assert words[0] in ("FOUND", "ACK"), words
                assert int(words[1]) in (acknowledged, acknowledged + 1)
                acknowledged = int(words[1])
            assert os.WIFSIGNALED(int(words[1]))
        nursery.communicate()
    print(f"{engine} {durability}: {KILLS} kills, {acknowledged} writes acknowledged")  # noqa: T201 - counts are the result
    assert acknowledged > 500


def _expect(nursery, word):
    """The rest of the next line, which must begin with this word."""
    words = nursery.stdout.readline().split()
    assert words[:1] == [word], words
    return words[1:]
