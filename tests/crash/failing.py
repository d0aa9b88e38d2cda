"""A file system whose n-th change fails: every place where a disk may let an engine down, one after the other."""

import errno
import os
from collections.abc import Callable
from typing import Any

import lmdb
from crash.recorder import RecordingFileSystem

CHANGES = frozenset(
    {"open", "pwrite", "preallocate", "truncate", "fdatasync", "fsync_dir", "mkdir", "rename", "unlink", "commit"}
)


class FailingFileSystem:
    """The n-th changing call (from 1) raises OSError(number), an LMDB commit lmdb.DiskError. open counts if it creates.

    keep: all later ones fail, too (a full or dead disk); else they go through. The first pwrite to fail has written
    half, an fdatasync that fails has lost what was unsynced: as the kernel does it. `failed` names the calls.
    """

    def __init__(self, inner: RecordingFileSystem, n: int, number: int = errno.EIO, *, keep: bool = False) -> None:
        self._inner = inner
        self._left = n
        self._number = number
        self._keep = keep
        self._dead = False
        self.failed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)
        if name not in CHANGES:
            return call

        def changing(*args: Any, **kwargs: Any) -> Any:
            return self._changing(name, call, *args, **kwargs)

        return changing

    def _changing(self, name: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if name == "open" and not kwargs.get("create"):
            return call(*args, **kwargs)
        self._left -= 1
        if self._left > 0 or (self._left < 0 and not self._keep):
            return call(*args, **kwargs)
        self.failed.append(name)
        if name == "pwrite" and len(self.failed) == 1:
            fd, data, offset = args
            call(fd, data[: len(data) // 2], offset)
        elif name == "fdatasync" and not self._dead:
            self._inner.lose(args[0])
        elif name == "commit":
            args[1].abort()
            raise lmdb.DiskError(f"mdb_txn_commit: {os.strerror(self._number)}")
        raise OSError(self._number, os.strerror(self._number), name)


class KilledFileSystem(FailingFileSystem):
    """The process is killed at its n-th change: nothing it tries from then on has any effect, but a write is half done.

    What it wrote before stays with the kernel: unlike after a power loss, the next process sees it all, synced or not.
    """

    def __init__(self, inner: RecordingFileSystem, n: int) -> None:
        super().__init__(inner, n, keep=True)
        self._dead = True

    def environment(self, path: str, **options: Any) -> lmdb.Environment:
        if self.failed:
            raise lmdb.DiskError("the process is dead")
        return self._inner.environment(path, **options)
