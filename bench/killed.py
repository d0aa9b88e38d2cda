"""How long does a store take to open after `kill -9`? Each system is filled by a process that is then killed.

    fill    open, load n small items, close and open again (so all of that is settled), put n/20 of them once more,
            each put acknowledged process-safe; say "ready" and wait to be killed
    open    in a fresh process, on a fresh copy: the time from opening until the last item that was put is read

The page cache is warm: it cannot be dropped without being root. A time counts only when the last thousand puts and a
thousand of the other items are what they should be.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
from race import Lane
from systems import PROCESS

ROUNDS = 3


def item(i: int, number: int) -> dict[str, str]:
    return {"id": f"user{i:08d}", "value": f"{number:010d}" * 10}


def rewritten(n: int) -> list[int]:
    """Which items are put after the last checkpoint; a twentieth, none twice."""
    return np.random.default_rng(5).choice(n, n // 20, replace=False).tolist()


def fill(adapter, folder: str, n: int) -> None:
    adapter.open(folder, PROCESS)
    order = np.random.default_rng(6).permutation(n).tolist()
    for at in range(0, n, 10_000):
        adapter.load([adapter.entry(f"user{i:08d}", item(i, 0)) for i in order[at : at + 10_000]])
    adapter.reopen()
    for number, i in enumerate(rewritten(n), 1):
        adapter.put(adapter.entry(f"user{i:08d}", item(i, number)))
    print("ready", flush=True)
    sys.stdin.read()


def open_again(adapter, folder: str, n: int) -> None:
    puts = rewritten(n)
    last = adapter.key(f"user{puts[-1]:08d}")
    began = time.perf_counter()
    adapter.open(folder, PROCESS)
    found = adapter.get(last)
    seconds = time.perf_counter() - began
    assert found == adapter.stored(item(puts[-1], len(puts)))
    assert adapter.replayed() in (len(puts), None), f"{adapter.replayed()} records were replayed instead of {len(puts)}"
    numbers = dict(zip(puts, range(1, n), strict=False))
    for i in [*puts[-1000:], *range(0, n, max(1, n // 1000))]:
        assert adapter.get(adapter.key(f"user{i:08d}")) == adapter.stored(item(i, numbers.get(i, 0))), (
            f"item {i} is wrong"
        )
    print(json.dumps(seconds), flush=True)
    os._exit(0)  # closing would take a checkpoint, and nobody waits for it


def reopen_killed(group, module, names, folder: Path, scale) -> dict[tuple[str, str], Lane]:
    """Lanes whose laps are seconds an opening, in turns."""
    lanes = {(group, name): Lane(group, name, operations=1, run=None) for name in names}
    victims = {}
    for (_, name), lane in lanes.items():
        store = folder / f"{module} {name}"
        with _python("fill", module, name, store, scale.killed) as child:
            if child.stdout.readline() == "ready\n":
                victims[name] = store
            child.kill()
            complaint = child.stderr.read()
        if name not in victims:
            lane.error = AssertionError(f"{name} could not be filled: {complaint}")
    for _ in range(ROUNDS):
        for name, store in victims.items():
            copy = folder / "copy"
            shutil.copytree(store, copy)
            with _python("open", module, name, copy, scale.killed) as child:
                said, complaint = child.communicate()
            shutil.rmtree(copy)
            lane = lanes[group, name]
            if said:
                lane.laps.append(json.loads(said))
                lane.cpu.append(lane.laps[-1])
            else:
                lane.error = AssertionError(f"{name} does not open after a kill: {complaint}")
    for lane in lanes.values():
        lane.one_thread = False
        lane.info.update(items=scale.killed, unreplayed=scale.killed // 20)
    return lanes


def _python(*words) -> subprocess.Popen:
    here = str(Path(__file__).parent)
    return subprocess.Popen(  # noqa: S603 - this very file
        [sys.executable, "-P", __file__, *map(str, words)],
        env=os.environ | {"PYTHONPATH": here},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    verb, module_name, system, path, count = sys.argv[1:]
    {"fill": fill, "open": open_again}[verb](import_module(module_name).ADAPTERS[system](), path, int(count))
