"""LMDB's own files through the same crash states: a journal made from its system calls, since nothing can be injected.

This is what lets the recorder treat a commit as one durable step. Blind to memory-mapped writes (writemap=True, which
no engine uses). A tracer that misses one kind of call invents bugs, so a mode known to lose data is judged beside the
one that must not: sync=False has to be caught, plain sync has to survive.

A new file is a special case: LMDB writes its two meta pages without a sync, so a power loss before the first commit may
leave a file that LMDB refuses. Nothing was acknowledged then; the Tree has to cope with it (its first commit, before
anything is acknowledged, makes the pages sure).
"""

import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from crash.journal import Mark, Operation, Start, Sync, Truncate, Write, content
from crash.recorder import SHM
from crash.states import all_states

HERE = Path(__file__).parent
CALLS = "openat,pwrite64,pwritev,writev,lseek,write,fdatasync,fsync,ftruncate,fallocate,msync"
CALL = re.compile(r"\d+ +(\w+)\((.*)\) += (-?\d+)")
INODE = 1  # the number that Start gives to the one file
COUNT = 12


@pytest.fixture(scope="module", autouse=True)
def _strace():
    try:
        traced = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)  # noqa: S607 - from PATH
    except FileNotFoundError:
        pytest.skip("strace is not installed: LMDB's system calls cannot be recorded")
    if traced.returncode:
        pytest.skip(f"strace may not trace here: {traced.stderr.decode().strip()}")


@pytest.mark.slow
def test_a_synced_lmdb_commit_is_durable_when_it_returns_and_whole_or_absent_before(tmp_path):
    verdicts, at_birth = _crash("sync", tmp_path, samples=60)
    _say("sync", verdicts, at_birth)
    assert set(verdicts) == {"ok"}
    assert verdicts["ok"] >= 200
    assert set(at_birth) <= {"ok", "InvalidError"}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["no sync", "no metasync"])
def test_an_lmdb_that_does_not_sync_is_caught(mode, tmp_path):
    verdicts, at_birth = _crash(mode, tmp_path, samples=3)
    _say(mode, verdicts, at_birth)
    assert verdicts.total() - verdicts["ok"] > 10


def _crash(mode: str, folder: Path, samples: int) -> tuple[Counter[str], Counter[str]]:
    """How the images were judged: after the first acknowledgement, and before it."""
    journal = _journal(mode, folder)
    after: Counter[str] = Counter()
    before: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir=SHM) as place, _Judge() as judge:
        states = all_states(journal, random.Random(0), samples)  # noqa: S311 - the same images in each run
        for number, (_, acknowledged, image) in enumerate(states):
            image_folder = Path(place, str(number))
            image_folder.mkdir()
            (image_folder / "data.mdb").write_bytes(image["/data.mdb"].expand())
            (after if acknowledged else before)[judge(image_folder, max(acknowledged, default=-1))] += 1
            (image_folder / "data.mdb").unlink()
    return after, before


def _journal(mode: str, folder: Path) -> list[Operation]:
    """What the recorder would have written down, had LMDB gone through it."""
    (folder / "db").mkdir()
    trace = folder / "trace"
    writer = [sys.executable, HERE / "lmdb_writer.py", folder / "db", mode, str(COUNT)]
    strace = ["strace", "-f", "-xx", "-s", "300000", "-e", f"trace={CALLS}", "-o", trace]
    subprocess.run([*strace, *writer], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own script
    return _translate(trace.read_text())


def _translate(trace: str) -> list[Operation]:
    journal: list[Operation] = [Start({"/data.mdb": content(b"")})]
    position: dict[int, int] = {}  # of data.mdb's descriptors
    direct: set[int] = set()  # those opened with O_DSYNC: each write is a sync
    for call, arguments, result in CALL.findall(trace):
        first = arguments.split(",", 1)[0]
        if call == "openat":
            position.pop(int(result), None)
            direct.discard(int(result))
            if _strings(arguments).endswith(b"/data.mdb"):
                position[int(result)] = 0
                if "DSYNC" in arguments:
                    direct.add(int(result))
        elif call == "write" and _strings(arguments).startswith(b"ACK "):
            journal.append(Mark(int(_strings(arguments).split()[1])))
        elif first.isdigit() and int(first) in position:
            journal += _operations(call, arguments, int(result), position)
            if int(first) in direct and isinstance(journal[-1], Write):
                journal.append(Sync(INODE))  # of this write alone in truth; LMDB has synced the data before
    assert any(isinstance(operation, Mark) for operation in journal)
    return journal


def _operations(call: str, arguments: str, result: int, position: dict[int, int]) -> list[Operation]:
    """One call on data.mdb as the recorder would have it; moves the descriptor's position on."""
    fd = int(arguments.split(",", 1)[0])
    match call:
        case "lseek":
            position[fd] = result
            return []
        case "pwrite64" | "pwritev":
            return [Write(INODE, int(arguments.rsplit(",", 1)[1]), _written(arguments, result))]
        case "write" | "writev":
            position[fd] += result
            return [Write(INODE, position[fd] - result, _written(arguments, result))]
        case "fdatasync" | "fsync":
            return [Sync(INODE)]
        case "ftruncate":
            return [Truncate(INODE, int(arguments.rsplit(",", 1)[1]))]
    raise AssertionError(f"LMDB made a call that the journal does not understand: {call}({arguments[:80]})")


def _strings(arguments: str) -> bytes:
    return b"".join(bytes.fromhex(text.replace("\\x", "")) for text in re.findall(r'"([^"]*)"', arguments))


def _written(arguments: str, result: int) -> bytes:
    data = _strings(arguments)
    assert len(data) == result, "strace has cut a string, or a write was short"
    return data


class _Judge:
    """lmdb_judge.py, one process for all images."""

    def __enter__(self):
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, HERE / "lmdb_judge.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __call__(self, folder: Path, acknowledged: int) -> str:
        self._process.stdin.write(f"{folder} {acknowledged}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def __exit__(self, *error: object) -> None:
        self._process.communicate()


def _say(mode: str, verdicts: Counter[str], at_birth: Counter[str]) -> None:
    print(f"LMDB {mode:12} {verdicts.total():5} images {dict(verdicts)}, before the first commit {dict(at_birth)}")  # noqa: T201 - the result
