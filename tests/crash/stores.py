"""Small stores that the harness proves itself on: one is right, each of the others makes one mistake.

An append-only file, rolled over to a new one when it is full, and a summary that is replaced by rename:

    folder/000000.rec   record: length u32 | crc32 u32 | value, one after the other
    folder/summary      the number of records in the files before the last

Three records go into one sync, so that unsynced records can reach the disk in the wrong order. All are of one size, so
that a stale record lies exactly where a later reader would look: with sizes that differ, an uncut tail hides.
"""

import struct
import zlib

from crash.recorder import RecordingFileSystem
from crash.states import Oracle, Workload

from engines.storage.files import make_folder, read_file

RECORD = struct.Struct("<II")
FULL = 8_000
FOLDER = "/store"
VALUES = [b"%03d:" % number + bytes([65 + number]) * 1_500 for number in range(24)]
AFTER = b"new:" + b"!" * 1_500
BUGS = [
    "no sync",
    "no checksum",
    "tail not cut",
    "no directory sync",
    "rename before sync",
    "sync tried again",
    "acknowledged early",
    "folder not synced",
]


class Store:
    """append() takes a value, sync() makes all taken ones durable. bug names the one mistake to make."""

    def __init__(self, files: RecordingFileSystem, bug: str = "") -> None:
        self._files = files
        self._bug = bug
        self._pending: list[bytes] = []
        if bug != "folder not synced":
            make_folder(files, FOLDER)
        elif not files.exists(FOLDER):
            files.mkdir(FOLDER)
        self.values: list[bytes] = []
        names = [name for name in files.listdir(FOLDER) if name.endswith(".rec")]
        self._number = len(names) - 1
        for name in names:
            self._recover(name)
        if not names:
            self._roll()
        if files.exists(f"{FOLDER}/summary"):
            summary = int(read_file(files, f"{FOLDER}/summary"))
            if summary > len(self.values):
                raise ValueError(f"the summary knows of {summary} records, {len(self.values)} are there")

    def append(self, value: bytes) -> None:
        self._pending.append(value)

    def sync(self) -> None:
        if self._end > FULL:
            self._roll()
        for value in self._pending:
            record = RECORD.pack(len(value), zlib.crc32(value)) + value
            self._files.pwrite(self._fd, record, self._end)
            self._end += len(record)
        if self._bug != "no sync":
            try:
                self._files.fdatasync(self._fd)
            except OSError:
                if self._bug != "sync tried again":
                    raise
                self._files.fdatasync(self._fd)
        self.values += self._pending
        self._pending = []

    def _recover(self, name: str) -> None:
        self._fd = self._files.open(f"{FOLDER}/{name}")
        data, self._end = self._files.pread(self._fd, self._files.size(self._fd), 0), 0
        while self._end + RECORD.size <= len(data):
            length, crc = RECORD.unpack_from(data, self._end)
            value = data[self._end + RECORD.size :][:length]
            if length == 0 or len(value) < length or (self._bug != "no checksum" and zlib.crc32(value) != crc):
                break
            self.values.append(value)
            self._end += RECORD.size + length
        if self._bug != "tail not cut":
            self._files.truncate(self._fd, self._end)
        self._files.fdatasync(self._fd)

    def _roll(self) -> None:
        """A new file for what follows; the summary then says what the old ones hold."""
        self._number += 1
        self._fd, self._end = self._files.open(f"{FOLDER}/{self._number:06}.rec", create=True), 0
        if self._bug != "no directory sync":
            self._files.fsync_dir(FOLDER)
        summary = self._files.open(f"{FOLDER}/summary.tmp", create=True)
        self._files.truncate(summary, 0)
        self._files.pwrite(summary, b"%06d" % len(self.values), 0)
        if self._bug != "rename before sync":
            self._files.fdatasync(summary)
        self._files.rename(f"{FOLDER}/summary.tmp", f"{FOLDER}/summary")
        if self._bug != "no directory sync":
            self._files.fsync_dir(FOLDER)


def workload(bug: str = "") -> Workload:
    def run(files: RecordingFileSystem) -> None:
        store = Store(files, bug)
        for number in range(0, len(VALUES), 3):
            for value in VALUES[number : number + 3]:
                store.append(value)
            if bug == "acknowledged early":
                files.mark(number + 3)
            store.sync()
            files.mark(number + 3)

    return run


def oracle(bug: str = "") -> Oracle:
    """The five rules, for a store whose state is a list of values: see rules.py for engines."""

    def judge(files: RecordingFileSystem, acknowledged: list[int]) -> str | None:
        store = Store(files, bug)
        found = list(store.values)
        if found != VALUES[: len(found)]:
            return "a record that was never written"
        if len(found) < max(acknowledged, default=0):
            return f"{len(found)} records found, {acknowledged[-1]} acknowledged"
        store.append(AFTER)
        store.sync()
        if Store(RecordingFileSystem(files.image()), bug).values != [*found, AFTER]:
            return "the second recovery finds something else"
        return None

    return judge
