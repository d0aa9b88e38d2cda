"""The finale: kill -9 in the middle of writes, and what is there afterwards.

A second process of the same Python opens a store, and several of its threads write. Each announces on a pipe every
write that was acknowledged: "acknowledged means on disk" is the promise under test. After some hundred announcements
the first process sends SIGKILL, which cannot be caught: no handler runs, no buffer is flushed, no lock is let go in
order. Then it opens the store itself and counts:

    found >= acknowledged for each writer      nothing that was promised is lost
    found <= acknowledged + 1                  at most the one write that was under way when the writer died
    1, 2, 3 ... found, each with its content   no gap, and nothing half written

What this shows is the death of a process. A power failure takes more away: that is what tests/crash is for.
"""

import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import count
from os import write
from pathlib import Path

from engines import kv
from engines._native import frame
from engines.clock import SystemClock
from engines.display import Table
from engines.errors import EngineError
from engines.storage.segment import START, decode_header
from engines.tour import pictures
from engines.tour.chapter import Chapter, Picture, Question, Remark
from engines.tour.pictures import Piece
from engines.tour.show import Show
from engines.tour.story import Story

WRITERS = ("gate A", "gate B", "gate C", "gate D")
ENOUGH = 600  # acknowledged writes, then the kill
PATIENCE = 30.0  # seconds: a disk that slow is killed all the same
PROGRAM = "import sys; from engines.tour import crash; crash.write_until_killed(sys.argv[1])"
IDEA = "Another process writes with four threads; in the middle of it, it gets SIGKILL."


def chapter(story: Story, folder: Path, show: Show) -> Chapter:  # noqa: ARG001 - every chapter is called alike
    """Kill a process that writes to a store, open the store, and count."""
    told = Chapter("crash", "the finale: kill -9", IDEA)
    show.open(told)
    path = folder / "crash"
    acknowledged = kill_in_mid_write(path, show)
    left = last_frame(path / "log")
    clock = SystemClock()
    started = clock.timer()
    with kv.Store(path) as store:
        seconds = clock.timer() - started
        boardings = store.table("boardings")
        numbers = {name: boardings.query("gate = :g", values={":g": name}).all() for name in WRITERS}
        found = {name: len(items) for name, items in numbers.items()}
        lost = sum(max(0, acknowledged[name] - found[name]) for name in WRITERS)
        damaged = sum(
            item["number"] != i or item["ticket"] != ticket(name, i)
            for name, items in numbers.items()
            for i, item in enumerate(items, 1)
        )
        report = store.verify()
        boardings.put({"gate": WRITERS[0], "number": found[WRITERS[0]] + 1, "ticket": "the next one"})
    rows = [(name, acknowledged[name], found[name], max(0, acknowledged[name] - found[name])) for name in WRITERS]
    told.figures = {
        "writes acknowledged": f"{acknowledged.total():,}",
        "writes found": f"{sum(found.values()):,}",
        "lost": f"{lost:,}",
    }
    answer = Table.from_rows(("writer", "acknowledged", "found", "lost"), rows)
    show.add(told, Question("What is there after the kill?", 'store = kv.Store("crash")', answer, seconds))
    picture = pictures.survivors([row[:3] for row in rows])
    caption = "Each writer's last writes. The process died while some were under way: those may be there or not."
    show.add(told, Picture("The moment of the kill", picture, caption))
    caption = (
        "The file as the kill left it. Zeros are space reserved for frames to come, so that a sync changes no metadata."
    )
    show.add(told, Picture("The last whole frame of the log", left, caption))
    words = f"every item's content; verify() walks every byte and finds {len(report.problems)} problems"
    show.add(told, Remark("Checked", words))
    told.check("acknowledged writes lost", 0, lost)
    unexplained = sum(max(0, found[name] - acknowledged[name] - 1) for name in WRITERS)
    told.check("writes found beyond the one under way in each writer", 0, unexplained)
    told.check("items missing in between, or damaged", 0, damaged)
    told.check("problems that verify() names", 0, len(report.problems))
    return told


def kill_in_mid_write(path: Path, show: Show) -> Counter[str]:
    """Start a process that writes to a store at path, kill it, and return what it had announced, by writer.

    EngineError if the process ended by itself, with what it said.
    """
    acknowledged: Counter[str] = Counter()
    command = [sys.executable, "-P", "-c", PROGRAM, str(path)]  # -P: import what is installed
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as process,  # noqa: S603 - this Python, and our own program
        show.progress("writes acknowledged", ENOUGH, "") as advance,
    ):
        deadline = threading.Timer(PATIENCE, process.kill)
        deadline.daemon = True
        deadline.start()
        for line in process.stdout or ():
            acknowledged[line.decode().rstrip("\n")] += 1
            advance(1)
            if acknowledged.total() == ENOUGH:
                process.kill()  # SIGKILL; what is still in the pipe was acknowledged too, so read on
        deadline.cancel()
    if not acknowledged or process.returncode >= 0:
        raise EngineError("the writing process ended by itself, before it was killed: see what it printed above")
    return acknowledged


def last_frame(folder: Path) -> str:
    """Draw the last whole frame in a log's newest segment, and the first bytes after it."""
    content = max(folder.glob("*.log")).read_bytes()
    log_id, first = decode_header(content) or (0, 1)
    positions, end, verdict = frame.scan(content, START, first, log_id)
    start = int(positions[-1]) if len(positions) else START
    length, sequence, time, lag, kind = frame.header_at(content, start)
    after = (
        "reserved, never written"
        if verdict == frame.ZEROS
        else "a frame that was under way: cut off when the log opens"
    )
    pieces = [
        Piece(4, "length", f"{length} bytes of payload", "c1"),
        Piece(4, "crc32c", "of the log's id and all but these four", "c4"),
        Piece(8, "sequence", f"{sequence:,}, one more than the frame before", "c2"),
        Piece(8, "time", f"{datetime.fromtimestamp(time / 1e6, UTC):%d %b %Y %H:%M:%S.%f} UTC", "c3"),
        Piece(4, "lag", f"frame {sequence - lag:,} was on disk when it was made", "c5"),
        Piece(4, "kind", f"{kind}, a number of the engine's own", "c6"),
        Piece(length, "payload", "table, key and item, as one change", "c7"),
        Piece(end - start - frame.HEADER - length, "zeros", "to a multiple of 8", "c0"),
        Piece(32, "after it", after, "c0"),
    ]
    return pictures.byte_map(content[start : end + 32], [piece for piece in pieces if piece.length], start)


def write_until_killed(path: str) -> None:
    """Write and announce, for ever: the second process."""
    store = kv.Store(path)
    boardings = store.create_table("boardings", key=("gate:S", "number:N"))

    def board(gate: str) -> None:
        for number in count(1):
            boardings.put({"gate": gate, "number": number, "ticket": ticket(gate, number)})
            write(1, f"{gate}\n".encode())  # one system call: whole lines, also from four threads

    for gate in WRITERS:
        threading.Thread(target=board, args=(gate,)).start()


def ticket(gate: str, number: int) -> str:
    """Content of the n-th write of a writer: whoever knows the number can tell whether it is intact."""
    return blake2b(f"{gate} {number}".encode(), digest_size=16).hexdigest()
