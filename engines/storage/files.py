"""A file system to inject: every durable byte of every engine goes through these calls, and through nothing else.

That is what makes crash safety testable. `RealFileSystem` is a thin coat over `os`. The tests inject one that keeps a
journal of every write, sync and rename and rebuilds from it each disk that a power loss could leave (tests/crash), and
one whose n-th call fails.

What each call promises, and what it does not:

    pwrite       the bytes are with the kernel: they survive kill -9, not a power loss
    fdatasync    all bytes written to this file so far, and its length, survive a power loss
    rename       atomic, but which of the two names a power loss leaves is open until
    fsync_dir    the directory's entries (created, renamed, unlinked) survive a power loss

LMDB does its own I/O, so it has two calls of its own: `environment` opens it, `commit` commits one of its transactions.
That LMDB keeps its promise is tested apart, on a journal of its system calls made with strace.

Paths are str, offsets and lengths are bytes. An OSError passes through as it is: the caller knows what it means. Where
that is only that the disk refuses, `disk_errors` makes a sentence of it before it leaves the engine.
"""

import contextlib
import errno
import fcntl
import mmap
import os
from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

import lmdb

from engines.errors import Locked, ReadOnly

# Where a store to mapped memory can not run out of disk: elsewhere that would be a signal that kills, not an error.
KEEPS_WHAT_IT_PREALLOCATES = ("ext4", "xfs", "tmpfs")

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)  # what only an open() says: nothing was written with that
_REASONS = {  # number: (code, what it is, what to do)
    **dict.fromkeys(DISK_FULL, ("disk-full", "the disk is full", "free some space and try again")),
    **dict.fromkeys(
        NO_DESCRIPTOR,
        ("too-many-files", "no file can be opened", "close some, or raise the limit with ulimit -n, and try again"),
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        ("not-permitted", "this user may not do that there", "change the rights, or name another path"),
    ),
    errno.ENOMEM: ("no-memory", "there is no memory left", "free some, or raise the limit with ulimit -v"),
}
_DISK_FAILED = ("disk-failed", "the disk failed", "look at the disk, then try again")


class Lock(Protocol):
    """An advisory lock on a path, held until released; the operating system releases it when the process dies."""

    def release(self) -> None: ...


class FileSystem(Protocol):
    """The calls; see the module's docstring for what they promise."""

    def open(self, path: str, *, create: bool = False, exclusive: bool = False) -> int: ...
    def close(self, fd: int) -> None: ...
    def size(self, fd: int) -> int: ...
    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """The bytes at offset; fewer than length only at the end of the file."""
        ...

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of data, or raise OSError."""
        ...

    def preallocate(self, fd: int, offset: int, length: int) -> None:
        """Reserve space, which reads as zeros: later writes change no metadata. ENOSPC is raised now, not later."""
        ...

    def truncate(self, fd: int, length: int) -> None: ...
    def fdatasync(self, fd: int) -> None: ...
    def map(self, fd: int) -> memoryview:
        """The whole file, read-only, valid until the last reference to the view is gone; empty for an empty file."""
        ...

    def writable_map(self, fd: int, length: int) -> mmap.mmap | None:
        """The first `length` bytes of a file, all preallocated, as memory: a store there is a pwrite without the call.

        None where that is not safe; then pwrite. What is stored is with the kernel, and fdatasync puts it on disk.
        """
        ...

    def exists(self, path: str) -> bool: ...
    def is_directory(self, path: str) -> bool: ...
    def listdir(self, path: str) -> list[str]:
        """The names in a directory, sorted."""
        ...

    def mkdir(self, path: str) -> None: ...
    def rename(self, source: str, target: str) -> None: ...
    def unlink(self, path: str) -> None: ...
    def fsync_dir(self, path: str) -> None: ...
    def lock(self, path: str) -> Lock:
        """An exclusive lock, without waiting. Locked if another process, or this one, holds it."""
        ...

    def environment(self, path: str, **options: Any) -> lmdb.Environment: ...  # noqa: ANN401 - lmdb.open's own
    def commit(self, environment: lmdb.Environment, transaction: lmdb.Transaction) -> None: ...


class RealFileSystem:
    """The operating system's files."""

    def open(self, path: str, *, create: bool = False, exclusive: bool = False) -> int:
        flags = os.O_RDWR if create or os.access(path, os.W_OK) else os.O_RDONLY
        return os.open(
            path, flags | os.O_CLOEXEC | (os.O_CREAT if create else 0) | (os.O_EXCL if exclusive else 0), 0o644
        )

    def close(self, fd: int) -> None:
        os.close(fd)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        data = os.pread(fd, length, offset)
        if len(data) == length or not data:
            return data
        parts = [data]  # a read may be short anywhere (signals, 2 GB limit): go on until the end of the file
        while data and sum(map(len, parts)) < length:
            data = os.pread(fd, length - sum(map(len, parts)), offset + sum(map(len, parts)))
            parts.append(data)
        return b"".join(parts)

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        written = os.pwrite(fd, data, offset)
        if written != len(data):  # the kernel may take less: a full disk shows itself only at the next call
            view = memoryview(data)
            while written < len(view):
                written += os.pwrite(fd, view[written:], offset + written)

    def preallocate(self, fd: int, offset: int, length: int) -> None:
        try:
            os.posix_fallocate(fd, offset, length)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise  # elsewhere it is only a matter of speed

    def truncate(self, fd: int, length: int) -> None:
        os.ftruncate(fd, length)

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)

    def map(self, fd: int) -> memoryview:
        return memoryview(mmap.mmap(fd, 0, prot=mmap.PROT_READ)) if self.size(fd) else memoryview(b"")

    def writable_map(self, fd: int, length: int) -> mmap.mmap | None:
        if file_system_of(fd) not in KEEPS_WHAT_IT_PREALLOCATES or self.size(fd) < length:
            return None
        try:
            return mmap.mmap(fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        except OSError:  # no address space left: pwrite does as well, and no write fails for that
            return None

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def is_directory(self, path: str) -> bool:
        return os.path.isdir(path)

    def listdir(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def mkdir(self, path: str) -> None:
        os.mkdir(path)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def fsync_dir(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def lock(self, path: str) -> Lock:
        return _FileLock(path)

    def environment(self, path: str, **options: Any) -> lmdb.Environment:  # noqa: ANN401 - lmdb.open's own
        return lmdb.open(path, **options)

    def commit(self, environment: lmdb.Environment, transaction: lmdb.Transaction) -> None:  # noqa: ARG002 - recorders look at it
        transaction.commit()


class _FileLock:
    """flock(2) on a file that holds the owner's process id; the file stays, the lock goes with the process."""

    _held: ClassVar[dict[tuple[int, int], int]] = {}  # files -> process: a forked child must not take them for its own

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner, here = os.pread(self._fd, 32, 0).decode(errors="replace").strip(), self._held.get(self._file())
            os.close(self._fd)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            if here == os.getpid():
                raise locked_here(os.path.dirname(path)) from None
            raise Locked(
                f"{os.path.dirname(path)} is open for writing in process {owner or 'unknown'}: "
                "close it there, or open it here with read_only=True",
                process=int(owner) if owner.isdigit() else None,
            ) from None
        self._held[self._file()] = os.getpid()
        with contextlib.suppress(OSError):  # on a full disk the owner is "unknown": the lock holds all the same
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def _file(self) -> tuple[int, int]:
        """What the file is, by whatever path it was reached."""
        found = os.fstat(self._fd)
        return found.st_dev, found.st_ino

    def release(self) -> None:
        if self._fd >= 0:
            if self._held.get(self._file()) == os.getpid():
                del self._held[self._file()]
            os.close(self._fd)
            self._fd = -1


def locked_here(folder: str) -> Locked:
    """What to raise where it is this very process that holds a folder's lock."""
    return Locked(
        f"this process has {folder} open for writing already: use that object, which threads may share, or close() it "
        "first",
        process=os.getpid(),
    )


def disk_error(what: str, error: OSError) -> ReadOnly:
    """What to raise for an OSError: `what` cannot be done ("the log X cannot be opened"), why, what to do.

    Its code: disk-full, too-many-files, not-permitted, no-memory or disk-failed.
    """
    code, reason, remedy = _REASONS.get(error.errno or 0, _DISK_FAILED)
    return ReadOnly(f"{what}: {reason} ({error.strerror or error}); {remedy}", code=code)


@contextlib.contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """An OSError in here leaves as disk_error(what)."""
    try:
        yield
    except OSError as error:
        raise disk_error(what, error) from error


def file_system_of(fd: int) -> str:
    """The type of the file system that a file lies on, as the kernel calls it ("ext4"); "" where it does not say."""
    device = os.fstat(fd).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            before, _, after = line.partition(" - ")
            if before.split()[2] == number:
                return after.split()[0]
    return ""


def make_folder(files: FileSystem, path: str) -> None:
    """Create a directory whose parent exists, durably; nothing happens where it is there already."""
    if not files.is_directory(path):
        with contextlib.suppress(FileExistsError):
            files.mkdir(path)
    files.fsync_dir(os.path.dirname(path) or ".")


def write_atomically(files: FileSystem, path: str, data: bytes | bytearray) -> None:
    """Make path hold exactly data, durably: whenever the power fails, it holds all of the old or all of the new."""
    temporary = path + ".tmp"
    fd = files.open(temporary, create=True)
    try:
        files.truncate(fd, 0)  # what an earlier crash may have left
        files.pwrite(fd, data, 0)
        files.fdatasync(fd)
    finally:
        files.close(fd)
    files.rename(temporary, path)
    files.fsync_dir(os.path.dirname(path) or ".")


def read_file(files: FileSystem, path: str) -> bytes:
    """All bytes of a file. FileNotFoundError where there is none."""
    fd = files.open(path)
    try:
        return files.pread(fd, files.size(fd), 0)
    finally:
        files.close(fd)
