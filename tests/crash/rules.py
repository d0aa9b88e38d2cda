"""What a store may look like after a crash, in five rules, for any engine that can be driven by a Subject:

    1  every acknowledged write is there
    2  nothing that was never written is there
    3  an unacknowledged transaction is there whole or not at all
    4  the recovered engine takes a write
    5  a second recovery finds exactly that

A workload is a list of operations, each acknowledged before the next. So the rules say: what is found is what a plain
model holds after the first n operations, for some n not smaller than the number acknowledged (1 to 3); and after one
more operation, what a second recovery finds is the model after those n and that one (4 and 5).
"""

import contextlib
import errno
import random
from collections.abc import Sequence
from itertools import islice
from typing import Any

import lmdb
from crash.failing import FailingFileSystem, KilledFileSystem
from crash.journal import Image, content
from crash.recorder import RecordingFileSystem
from crash.states import Oracle, Outcome, Workload, check, crash_states

from engines.errors import EngineError

REFUSALS = (EngineError, OSError, lmdb.Error)


class Subject:
    """One engine: how to open it, do an operation, see its state, and what that should be. Override all but close."""

    def open(self, files: RecordingFileSystem) -> Any:
        raise NotImplementedError

    def do(self, engine: Any, operation: Any) -> bool:
        """Do it; False if the engine has not acknowledged it on return."""
        raise NotImplementedError

    def state(self, engine: Any) -> Any:
        raise NotImplementedError

    def model(self, operations: Sequence[Any]) -> Any:
        """The state after these operations, from plain Python."""
        raise NotImplementedError

    def close(self, engine: Any) -> None:
        engine.close()


class FromNothing(Subject):
    """Mixed into a subject, one that may be found before its table was made: the extra write makes it then."""

    create: Any  # the operation that makes the table
    extra: Any

    def has_table(self, handle: Any) -> bool:
        raise NotImplementedError

    def do(self, handle: Any, operation: Any) -> Any:
        if operation is self.extra and not self.has_table(handle):
            super().do(handle, self.create)
        return super().do(handle, operation)

    def model(self, operations: Sequence[Any]) -> Any:
        if operations and operations[-1] is self.extra and self.create not in operations:
            operations = [*operations[:-1], self.create, self.extra]
        return super().model(operations)


def workload(subject: Subject, operations: Sequence[Any]) -> Workload:
    """Do all the operations, mark how many were acknowledged, close."""

    def run(files: RecordingFileSystem) -> None:
        engine = subject.open(files)
        try:
            for number, operation in enumerate(operations, 1):
                if subject.do(engine, operation):
                    files.mark(number)
        finally:
            subject.close(engine)

    return run


def oracle(subject: Subject, operations: Sequence[Any], extra: Any) -> Oracle:
    """Hold a disk against the five rules; extra is the operation of rule 4, which must be acknowledged."""
    models = [subject.model(operations[:count]) for count in range(len(operations) + 1)]

    def judge(files: RecordingFileSystem, acknowledged: list[int]) -> str | None:
        least = max(acknowledged, default=0)
        engine = subject.open(files)
        try:
            found = subject.state(engine)
            counts = [count for count, model in enumerate(models) if model == found]
            if not counts:
                return f"found what was never written, or half of a transaction: {_short(found)}"
            if counts[-1] < least:
                return f"found the state after {counts[-1]} operations, {least} were acknowledged"
            if not subject.do(engine, extra):
                return "the recovered engine does not acknowledge a write"
            again = RecordingFileSystem(files.image())
        finally:
            subject.close(engine)
        try:
            second = _state(subject, again)
        finally:
            again.close_all()
        if not any(second == subject.model([*operations[:count], extra]) for count in counts):
            return f"the second recovery finds something else: {_short(second)}"
        return None

    return judge


def crash(name: str, subject: Subject, operations: Sequence[Any], extra: Any, **options: Any) -> Outcome:
    """check() with the rules; prints how many images were judged."""
    outcome = check(workload(subject, operations), oracle(subject, operations, extra), **options)
    print(f"{name:24} {outcome}")  # noqa: T201 - counts are the result
    return outcome


def fail_everywhere(subject: Subject, operations: Sequence[Any], number: int = errno.EIO, *, keep: bool = False) -> int:
    """Let each change of a run fail once, and go on afterwards; the number of runs. AssertionError if one does harm.

    An engine may refuse with an EngineError, OSError or lmdb.Error. What it acknowledges, before or after, counts: a
    reopening, after a mere end of the process as after a power loss, finds it all. Of the refused operations only the
    first may be there, whole: it was under way when the disk failed.
    """
    rng = random.Random(number)  # noqa: S311 - the same images in each run
    for n in range(1, 100_000):
        recorder = RecordingFileSystem()
        files = FailingFileSystem(recorder, n, number, keep=keep)
        tried = _try(subject, operations, files)
        if not files.failed:
            recorder.close_all()
            return n - 1
        for image in [recorder.image(), *islice(crash_states(recorder.journal, len(recorder.journal), rng, 2), 12)]:
            problem = _explain(subject, tried, image)
            assert problem is None, f"change {n} ({files.failed[0]}) failed with {errno.errorcode[number]}: {problem}"
        recorder.close_all()
    raise AssertionError("the workload never ends")


def kill_everywhere(subject: Subject, operations: Sequence[Any], extra: Any, *, samples: int = 2) -> Outcome:
    """Kill the process at each of its changes, open again, do the rest, and lose power at each moment of that.

    The next process sees writes that may not be on disk: what it builds upon, it has to make sure of first.
    """
    images, judge = 0, oracle(subject, operations, extra)
    for n in range(1, 100_000):
        run = _Killed(subject, operations, n)
        outcome = check(run, judge, n, samples=samples)
        if not run.killed:
            return Outcome(images, 0, None, None)
        images += outcome.images
        if outcome.violations:
            return Outcome(images, outcome.violations, f"killed at change {n}: {outcome.first}", outcome.image)
    raise AssertionError("the workload never ends")


class _Killed:
    """A workload of two processes, the first of which is killed at its n-th change."""

    def __init__(self, subject: Subject, operations: Sequence[Any], n: int) -> None:
        self._subject = subject
        self._operations = operations
        self._n = n
        self.killed: list[str] = []

    def __call__(self, files: RecordingFileSystem) -> int:
        process = KilledFileSystem(files, self._n)
        self.killed = process.failed
        with contextlib.suppress(*REFUSALS):
            workload(self._subject, self._operations)(process)
        since = len(files.journal)
        if self.killed:
            engine = self._subject.open(files)
            found = self._subject.state(engine)
            done = [n for n in range(len(self._operations) + 1) if self._subject.model(self._operations[:n]) == found][
                -1
            ]
            for number, operation in enumerate(self._operations[done:], done + 1):
                if self._subject.do(engine, operation):
                    files.mark(number)
            self._subject.close(engine)
        return since


def _try(subject: Subject, operations: Sequence[Any], files: FailingFileSystem) -> list[tuple[Any, bool | None]]:
    """Each operation, and whether it was acknowledged, taken (False) or refused (None)."""
    try:
        engine = subject.open(files)
    except REFUSALS:
        return []
    tried: list[tuple[Any, bool | None]] = []
    for operation in operations:
        try:
            tried.append((operation, subject.do(engine, operation)))
        except REFUSALS:
            tried.append((operation, None))
    with contextlib.suppress(*REFUSALS):
        subject.close(engine)
    return tried


def _explain(subject: Subject, tried: list[tuple[Any, bool | None]], image: Image) -> str | None:
    """What is wrong with an image that a run with a failure has left, or None."""
    files = RecordingFileSystem(image)
    found = _state(subject, files)
    files.close_all()
    refused = [at for at, (_, acknowledged) in enumerate(tried) if acknowledged is None]
    for allowed in ((), refused[:1]):
        done = [pair for at, pair in enumerate(tried) if pair[1] is not None or at in allowed]
        least = max((at for at, (_, acknowledged) in enumerate(done, 1) if acknowledged), default=0)
        for count in range(least, len(done) + 1):
            if subject.model([operation for operation, _ in done[:count]]) == found:
                return None
    return f"found {_short(found)} after {[acknowledged for _, acknowledged in tried]}"


def _state(subject: Subject, files: RecordingFileSystem) -> Any:
    engine = subject.open(files)
    try:
        return subject.state(engine)
    finally:
        subject.close(engine)


def flip_every_byte(subject: Subject, image: Image, *, expected: Any, among: str = "") -> dict[str, int]:
    """Flip a bit of each byte of each file of a closed store: named, or harmless. What is neither fails the test.

    among: only files whose path has this in it.

    Named: opening or reading raises, or verify() reports a problem. Harmless: the state is what it was.
    """
    counts = {"named": 0, "harmless": 0}
    silent = []
    for path, found in image.items():
        data = found.expand() if found is not None and among in path else b""
        for at in range(len(data)):
            flipped = data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
            files = RecordingFileSystem({**image, path: content(flipped)})
            verdict = _read_damaged(subject, files, expected)
            files.close_all()
            if verdict == "silent":
                silent.append((path, at))
            else:
                counts[verdict] += 1
    assert not silent, f"{len(silent)} flips went unseen, the first at {silent[:8]}"
    return counts


def _read_damaged(subject: Subject, files: RecordingFileSystem, expected: Any) -> str:
    try:
        engine = subject.open(files)
    except REFUSALS:
        return "named"
    try:
        if subject.state(engine) == expected:
            return "harmless"
        return "silent" if engine.verify().ok else "named"
    except REFUSALS:
        return "named"
    finally:
        with contextlib.suppress(*REFUSALS):
            subject.close(engine)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:200]} ... {text[-90:]}"
