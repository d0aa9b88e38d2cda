"""How a Tree opens LMDB: on disk once a process, in memory on an unnamed file, a new file whole before LMDB sees it.

LMDB must not be opened twice on one path in one process (closing either would free the other's locks), so the paths
that are open are remembered. The map size is address space, not memory: the file is sparse.
"""

import errno
import os
import threading
from typing import Any

import lmdb

from engines.errors import Conflict, NotFound
from engines.storage import seal
from engines.storage.files import FileSystem, make_folder, write_atomically

LIB_VERSION = 1  # LMDB's format: keys up to 1,978 bytes (format 0.9: 511)
MAX_KEYSPACES = 4096
MAP_SIZE = 64 << 30

_OF_THE_DISK = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EMFILE,
    errno.ENFILE,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOMEM,
    errno.EIO,
)

_open_paths: set[str] = set()
_open_paths_lock = threading.Lock()


def _options(map_size: int) -> dict[str, Any]:
    return {
        "lib_version": LIB_VERSION,
        "max_dbs": MAX_KEYSPACES,
        "map_size": map_size,
        "max_spare_txns": 0,  # a child of a fork that closes its copy would give away their places among the readers
    }


def claim(path: str) -> str:
    """Note that this process is opening a path; what to release() later. Conflict if it is open here already."""
    real = os.path.realpath(path)
    with _open_paths_lock:
        if real in _open_paths:
            raise Conflict(f"{path} is open in this process already: use that engine, threads may share it")
        _open_paths.add(real)
    return real


def release(claimed: str) -> None:
    """Forget what claim() returned; harmless for what was never claimed."""
    with _open_paths_lock:
        _open_paths.discard(claimed)


def in_memory(map_size: int) -> lmdb.Environment:
    """LMDB on an unnamed file in memory, without readers' locks."""
    fd = os.memfd_create("engines tree", os.MFD_CLOEXEC)
    try:
        return lmdb.open(f"/proc/self/fd/{fd}", subdir=False, lock=False, sync=False, **_options(map_size))
    finally:
        os.close(fd)


def for_reading(files: FileSystem, path: str, map_size: int) -> tuple[lmdb.Environment, seal.Seal | None]:
    """The last checkpoint of a tree that another process may be writing. NotFound if there is none; Corrupted."""
    if not files.exists(f"{path}/data.mdb"):
        raise NotFound(f"{path} holds no checkpoint yet: let the writer close or checkpoint first")
    sealed = seal.check(files, path)
    return files.environment(path, readonly=True, **_options(map_size)), sealed


def for_writing(files: FileSystem, path: str, map_size: int) -> tuple[lmdb.Environment, seal.Seal | None]:
    """The tree in this folder, made where there is none, and its seal. Corrupted if the seal says so."""
    make_folder(files, path)
    if not files.exists(f"{path}/data.mdb"):
        write_atomically(files, f"{path}/data.mdb", _new_file(map_size))
    sealed = seal.check(files, path)
    environment = files.environment(path, readahead=False, **_options(map_size))
    try:
        files.fsync_dir(path)
        environment.reader_check()  # readers that died
    except BaseException:
        environment.close()
        raise
    return environment, sealed


def disk_refusal(error: lmdb.Error) -> OSError | None:
    """What the operating system has said, where LMDB only passes that on: then its file is not to blame."""
    numbers = (number for number in _OF_THE_DISK if str(error).endswith(os.strerror(number)))
    number = next(numbers, None)
    return None if number is None else OSError(number, os.strerror(number))


def _new_file(map_size: int) -> bytes:
    """An empty LMDB file. LMDB writes one in place and does not sync it: half of it the next open would refuse."""
    fd = os.memfd_create("engines new tree", os.MFD_CLOEXEC)
    try:
        lmdb.open(f"/proc/self/fd/{fd}", subdir=False, lock=False, **_options(map_size)).close()
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)
