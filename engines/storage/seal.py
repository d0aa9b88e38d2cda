r"""Seals: what a clean close says about a file that has no checksums of its own.

    SEAL    magic "EHSEAL1\n" | pages u32 | crc32c u32 of each page | crc32c u32 of all before

LMDB trusts its pages. So a clean close writes one CRC32C a page beside data.mdb, and the next open compares: a byte
that changed meanwhile is named before LMDB follows it. The seal is withdrawn, durably, before the first new commit. A
file above 256 MB is not read at open, only by verify().
"""

import contextlib
import struct

from engines._native.frame import crc32c
from engines.display import Problem
from engines.errors import Corrupted
from engines.storage.files import FileSystem, read_file, write_atomically

PAGE = 4096
CHECKED_AT_OPEN = 256 << 20
_MAGIC = b"EHSEAL1\n"
_BATCH = 256 * PAGE


class Seal:
    """The seal of one data.mdb, as it was read."""

    def __init__(self, files: FileSystem, folder: str, data: bytes) -> None:
        self._files, self._folder, self._data = files, folder, data
        self._sums = struct.unpack_from(f"<{(len(data) - 16) // 4}I", data, 12)

    def problems(self) -> list[Problem]:
        """The pages that are not as they were sealed; none if a writer has withdrawn the seal meanwhile."""
        path = f"{self._folder}/data.mdb"
        found = page_sums(self._files, path)
        wrong = [
            Problem(path, index * PAGE, "this page is not as the last clean close left it")
            for index, (sealed, now) in enumerate(zip(self._sums, found, strict=False))
            if sealed != now
        ]
        if len(found) != len(self._sums):
            wrong.append(Problem(path, min(len(found), len(self._sums)) * PAGE, "the file's length changed"))
        return wrong if _read(self._files, self._folder) == self._data else []

    def withdraw(self) -> None:
        """Before the file changes: no seal may outlive what it vouches for."""
        with contextlib.suppress(FileNotFoundError):  # somebody has deleted it: it vouches for nothing any more
            self._files.unlink(f"{self._folder}/SEAL")
        self._files.fsync_dir(self._folder)


def page_sums(files: FileSystem, path: str) -> list[int]:
    """The CRC32C of every page of a file."""
    sums: list[int] = []
    fd = files.open(path)
    try:
        size = files.size(fd)
        for offset in range(0, size, _BATCH):
            batch = memoryview(files.pread(fd, min(_BATCH, size - offset), offset))
            sums += [crc32c(batch[at : at + PAGE]) for at in range(0, len(batch), PAGE)]
    finally:
        files.close(fd)
    return sums


def write(files: FileSystem, folder: str) -> None:
    """Seal data.mdb as it is now."""
    sums = page_sums(files, f"{folder}/data.mdb")
    data = _MAGIC + struct.pack(f"<I{len(sums)}I", len(sums), *sums)
    write_atomically(files, f"{folder}/SEAL", data + struct.pack("<I", crc32c(data)))


def check(files: FileSystem, folder: str) -> Seal | None:
    """The seal in this folder, None where there is none. Corrupted if it, or the file it speaks of, was damaged."""
    path = f"{folder}/SEAL"
    data = _read(files, folder)
    if data is None:
        return None
    if len(data) < 16 or data[:8] != _MAGIC or struct.unpack("<I", data[-4:])[0] != crc32c(data[:-4]):
        raise Corrupted(f"{path} is damaged: delete it if data.mdb is known to be good", file=path, offset=0)
    seal = Seal(files, folder, data)
    if len(data) // 4 * PAGE <= CHECKED_AT_OPEN and (problems := seal.problems()):
        raise Corrupted(f"{problems[0]}; restore a snapshot", file=problems[0].file, offset=problems[0].offset)
    return seal


def _read(files: FileSystem, folder: str) -> bytes | None:
    try:
        return read_file(files, f"{folder}/SEAL")
    except FileNotFoundError:
        return None
