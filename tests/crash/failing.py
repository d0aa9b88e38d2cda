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

    keep: all later ones fail, too (a full or dead disk); else they go through. A pwrite that fails has written half, an
    fdatasync that fails has lost what was unsynced: both as the kernel does it. `failed` names the calls that failed.
    """

    def __init__(self, inner: RecordingFileSystem, n: int, number: int = errno.EIO, *, keep: bool = False) -> None:
        self._inner = inner
        self._left = n
        self._number = number
        self._keep = keep
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
        if name == "pwrite":
            fd, data, offset = args
            call(fd, data[: len(data) // 2], offset)
        elif name == "fdatasync":
            self._inner.lose(args[0])
        elif name == "commit":
            args[1].abort()
            raise lmdb.DiskError(f"mdb_txn_commit: {os.strerror(self._number)}")
        raise OSError(self._number, os.strerror(self._number), name)
