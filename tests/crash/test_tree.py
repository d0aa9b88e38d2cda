"""The Tree with its Log: puts and deletes in two keyspaces, checkpoints, trims, under power loss and the rest."""

import errno
import json

import pytest
from crash.recorder import RecordingFileSystem
from crash.rules import Subject, crash, fail_everywhere, flip_every_byte, kill_everywhere, workload

from engines.clock import ManualClock
from engines.storage.files import make_folder
from engines.storage.log import Log
from engines.storage.tree import Tree


class Engine:
    """The smallest engine there can be: a frame is a list of changes, each [keyspace, key, value or None]."""

    def __init__(self, files):
        make_folder(files, "/store")
        self.log = None
        self.tree = Tree("/store/tree", files=files, map_size=1 << 26)
        try:
            self.log = Log("/store/log", files=files, clock=ManualClock(), segment=4096, recovered_to=self.tree.applied)
            with self.tree.lock:
                self.tree.recover(self.log, lambda frame: self.apply(bytes(frame.payload)))
        except BaseException:
            self.close()
            raise

    def write(self, changes):
        payload = json.dumps(changes).encode()
        with self.tree.lock:
            sequence = self.log.append(payload)
            self.apply(payload)
            self.tree.note(sequence, len(payload))
        self.log.acknowledge(sequence)

    def apply(self, payload):
        for name, key, value in json.loads(payload):
            keyspace = self.tree.keyspace(name)
            if value is None:
                keyspace.delete(key.encode())
            else:
                keyspace.put(key.encode(), value.encode())

    def checkpoint(self):
        self.log.trim(self.tree.checkpoint())

    def contents(self):
        return {
            (name, key.decode(), value.decode())
            for name in ("left", "right")
            for key, value in self.tree.keyspace(name).range()
        }

    def verify(self):
        report = self.tree.verify()
        return report if not report.ok else self.log.verify()

    def close(self):
        try:
            self.tree.close()
        finally:
            if self.log is not None:
                self.log.close()


class Handle:
    """An engine, and what is needed to open it again."""

    def __init__(self, files):
        self.files = files
        self.engine = Engine(files)

    def verify(self):
        return self.engine.verify()

    def close(self):
        self.engine.close()


class Trees(Subject):
    def open(self, files):
        return Handle(files)

    def do(self, handle, operation):
        match operation:
            case ("write", changes):
                handle.engine.write(changes)
            case ("checkpoint",):
                handle.engine.checkpoint()
            case ("reopen",):
                handle.close()
                handle.engine = Engine(handle.files)
        return True

    def state(self, handle):
        return handle.engine.contents()

    def model(self, operations):
        found = {}
        for operation in operations:
            for name, key, value in operation[1] if operation[0] == "write" else []:
                found[name, key] = value
        return {(*place, value) for place, value in found.items() if value is not None}


def changes(number):
    """A transaction over both keyspaces: it has to be there whole or not at all."""
    value = f"{number:04}-" * 120  # all of one size, so that a stale frame lies where a later reader would look
    return [
        ["left", f"key {number % 5}", value],
        ["right", f"key {number % 7}", value],
        ["left", f"key {(number + 2) % 5}", None],
    ]


def operations(count, *, checkpoint=6, reopen=11):
    found = []
    for number in range(count):
        found.append(("write", changes(number)))
        if number % checkpoint == checkpoint - 1:
            found.append(("checkpoint",))
        if number % reopen == reopen - 1:
            found.append(("reopen",))
    return found


EXTRA = ("write", [["left", "after", "new"], ["right", "after", "new"]])


@pytest.mark.slow
def test_the_tree_and_its_log_survive_every_power_loss():
    outcome = crash("Tree + Log", Trees(), operations(90), EXTRA, samples=60)
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 1_000


@pytest.mark.slow
def test_what_a_killed_process_left_in_tree_and_log_is_made_sure_before_it_is_built_upon():
    outcome = kill_everywhere(Trees(), operations(4, checkpoint=2, reopen=3), EXTRA, samples=1)
    print(f"Tree + Log, killed       {outcome}")  # noqa: T201 - counts are the result
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 1_000


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("keep", [False, True])
def test_tree_and_log_are_poisoned_or_unharmed_wherever_the_disk_fails(number, keep):
    assert fail_everywhere(Trees(), operations(5, checkpoint=2, reopen=4), number, keep=keep) > 30


@pytest.mark.slow
def test_every_flipped_byte_of_a_closed_tree_and_log_is_named_or_harmless():
    subject, some = Trees(), operations(3)
    files = RecordingFileSystem()
    workload(subject, some)(files)
    counts = flip_every_byte(subject, files.image(), expected=subject.model(some))
    print(f"Tree + Log: flipped bytes {counts}")  # noqa: T201 - counts are the result
    assert counts["named"] > 16_000
