"""A file system in memory that remembers every change, so that a power loss can be replayed at any moment of it.

The journal is described in journal.py.

LMDB does its own I/O and cannot be recorded write by write. `environment` opens a real one in a private folder, filled
from the image's data.mdb; `commit` commits and journals the whole new file as one step that is durable when it returns.
That LMDB behaves so is proved apart (test_lmdb.py). What an engine commits behind the back of `commit` (an open_db
without a transaction) is not in the journal and does not survive a reopen: that is a bug of the engine.
The two meta pages that LMDB writes into a new file, it does not sync: they are an ordinary Write. Nor does it sync the
directory it made the file in.
"""

import contextlib
import errno
import functools
import os
import posixpath
import shutil
import tempfile
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb
from crash.journal import (
    ROOT,
    Change,
    Entries,
    EntriesSync,
    Extend,
    File,
    Folder,
    Image,
    Lost,
    Mark,
    Operation,
    Replace,
    Start,
    Sync,
    Truncate,
    Write,
    change_entries,
    load,
    walk,
)

from engines.storage.files import locked_here

SHM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a folder in memory, for private folders within


class RecordingFileSystem:
    """See the module's docstring. Paths are absolute; close_all() removes the folders of the LMDB environments."""

    def __init__(self, image: Image | None = None) -> None:
        self.journal: list[Operation] = [Start(image)] if image else []
        self._directories, self._files = load(image or {})
        self._next = len(self._directories) + len(self._files)
        self._handles: dict[int, int] = {}
        self._next_handle = 1_000_000  # no real descriptor is that high: os.close() of one of ours fails
        self._locked: set[str] = set()
        self._environments: dict[str, int] = {}  # private folder -> inode of data.mdb
        self._folders: list[str] = []
        self._one_at_a_time = threading.RLock()
        weakref.finalize(self, _remove, self._folders)

    # -- for the harness
    def mark(self, what: Any) -> None:
        with self._one_at_a_time:
            self.journal.append(Mark(what))

    def image(self) -> Image:
        """What the running machine sees now: the disk after a shutdown, or the files after a mere kill -9."""
        with self._one_at_a_time:
            return walk(self._directories, lambda inode: self._files[inode].freeze())

    def lose(self, fd: int) -> None:
        """Journal an fdatasync that failed."""
        with self._one_at_a_time:
            self.journal.append(Lost(self._handles[fd]))

    def close_all(self) -> None:
        _remove(self._folders)

    # -- files
    def open(self, path: str, *, create: bool = False, exclusive: bool = False) -> int:
        with self._one_at_a_time:
            parent, name = self._parent(path)
            inode = self._directories[parent].get(name)
            if inode is None:
                if not create:
                    raise _error(errno.ENOENT, path)
                inode = self._create(parent, name)
            elif create and exclusive:
                raise _error(errno.EEXIST, path)
            elif inode in self._directories:
                raise _error(errno.EISDIR, path)
            self._next_handle += 1
            self._handles[self._next_handle] = inode
            return self._next_handle

    def close(self, fd: int) -> None:
        self._inode(fd)
        del self._handles[fd]

    def size(self, fd: int) -> int:
        return self._files[self._inode(fd)].size

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        return self._files[self._inode(fd)].read(length, offset)

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        self._change(Write(self._inode(fd), offset, bytes(data)))

    def preallocate(self, fd: int, offset: int, length: int) -> None:
        self._change(Extend(self._inode(fd), offset + length))

    def truncate(self, fd: int, length: int) -> None:
        self._change(Truncate(self._inode(fd), length))

    def fdatasync(self, fd: int) -> None:
        with self._one_at_a_time:
            self.journal.append(Sync(self._inode(fd)))

    def writable_map(self, fd: int, length: int) -> None:
        """None: so that each write is a pwrite, and is seen."""

    def map(self, fd: int) -> memoryview:
        file = self._files[self._inode(fd)]
        return memoryview(file.read(file.size, 0))

    # -- names
    def exists(self, path: str) -> bool:
        return self._lookup(path) is not None

    def is_directory(self, path: str) -> bool:
        return self._lookup(path) in self._directories

    def listdir(self, path: str) -> list[str]:
        return sorted(self._directories[self._directory(path)])

    def mkdir(self, path: str) -> None:
        with self._one_at_a_time:
            parent, name = self._parent(path)
            if name in self._directories[parent]:
                raise _error(errno.EEXIST, path)
            inode, self._next = self._next, self._next + 1
            self._directories[inode] = {}
            self.journal.append(Folder(inode))
            self._change_entries(parent, (name, inode))

    def rename(self, source: str, target: str) -> None:
        with self._one_at_a_time:
            from_, old = self._parent(source)
            to, new = self._parent(target)
            inode = self._directories[from_].get(old)
            if inode is None:
                raise _error(errno.ENOENT, source)
            if self._directories[to].get(new) in self._directories:
                raise _error(errno.EISDIR, target)
            if from_ == to:
                self._change_entries(to, (old, None), (new, inode))
            else:  # two directories, each synced for itself: a power loss may leave the file in both or in none
                self._change_entries(to, (new, inode))
                self._change_entries(from_, (old, None))

    def unlink(self, path: str) -> None:
        with self._one_at_a_time:
            parent, name = self._parent(path)
            inode = self._directories[parent].get(name)
            if inode is None:
                raise _error(errno.ENOENT, path)
            if inode in self._directories:
                raise _error(errno.EISDIR, path)
            self._change_entries(parent, (name, None))

    def fsync_dir(self, path: str) -> None:
        with self._one_at_a_time:
            self.journal.append(EntriesSync(self._directory(path)))

    def lock(self, path: str) -> "_HeldLock":
        with self._one_at_a_time:
            path = "/" + "/".join(_names(path))
            if path in self._locked:
                raise locked_here(posixpath.dirname(path))
            if not self.exists(path):
                self._create(*self._parent(path))  # like flock's file: nobody syncs it, nobody needs it
            self._locked.add(path)
            return _HeldLock(self._locked, path)

    # -- LMDB
    def environment(self, path: str, **options: Any) -> lmdb.Environment:
        with self._one_at_a_time:
            if not self.exists(path) and options.get("create", True):
                self.mkdir(path)
            directory = self._directory(path)
            inode = self._directories[directory].get("data.mdb")
            before = b"" if inode is None else self._files[inode].freeze().expand()
            folder = tempfile.mkdtemp(prefix="recorder-", dir=SHM)
            self._folders.append(folder)
            if inode is not None:
                Path(folder, "data.mdb").write_bytes(before)
            environment = lmdb.open(folder, **options)
            after = _read(folder)
            if inode is None:
                inode = self._create(directory, "data.mdb")
            if after != before:
                self._change(Write(inode, 0, after))
            self._environments[environment.path()] = inode
            return environment

    def commit(self, environment: lmdb.Environment, transaction: lmdb.Transaction) -> None:
        folder = environment.path()
        transaction.commit()
        self._change(Replace(self._environments[folder], _read(folder)))

    # -- the parts
    def _change(self, change: Change) -> None:
        with self._one_at_a_time:
            self.journal.append(change)
            self._files[change.inode].apply(change)

    def _change_entries(self, directory: int, *changes: tuple[str, int | None]) -> None:
        self.journal.append(Entries(directory, changes))
        change_entries(self._directories[directory], changes)

    def _create(self, parent: int, name: str) -> int:
        inode, self._next = self._next, self._next + 1
        self._files[inode] = File()
        self._change_entries(parent, (name, inode))
        return inode

    def _inode(self, fd: int) -> int:
        try:
            return self._handles[fd]
        except KeyError:
            raise _error(errno.EBADF, str(fd)) from None

    def _lookup(self, path: str) -> int | None:
        return self._follow(_names(path))

    def _directory(self, path: str) -> int:
        return self._checked(self._lookup(path), path)

    def _parent(self, path: str) -> tuple[int, str]:
        *parents, name = _names(path)
        return self._checked(self._follow(parents), path), name

    def _follow(self, names: Sequence[str]) -> int | None:
        inode: int | None = ROOT
        for name in names:
            if inode is None:
                return None
            inode = self._directories.get(inode, {}).get(name)
        return inode

    def _checked(self, inode: int | None, path: str) -> int:
        if inode is None:
            raise _error(errno.ENOENT, path)
        if inode not in self._directories:
            raise _error(errno.ENOTDIR, path)
        return inode


class _HeldLock:
    def __init__(self, locked: set[str], path: str) -> None:
        self._locked = locked
        self._path = path

    def release(self) -> None:
        self._locked.discard(self._path)


@functools.lru_cache(maxsize=4096)
def _names(path: str) -> tuple[str, ...]:
    """The names from the root down to a path; a relative one is taken from the root."""
    return tuple(posixpath.normpath("/" + path.lstrip("/")).split("/")[1:]) if path.strip("/.") else ()


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)


def _read(folder: str) -> bytes:
    return Path(folder, "data.mdb").read_bytes()


def _remove(folders: list[str]) -> None:
    while folders:
        with contextlib.suppress(OSError):
            shutil.rmtree(folders.pop())
