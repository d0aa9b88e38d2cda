"""Files in memory: what an engine without a path stands on. The same calls, on unnamed memory files of the kernel.

So an engine in memory runs the very code of one on disk, log and change stream included; only syncs do nothing. All
of it is gone when the engine is closed.
"""

import os

from engines.storage.files import RealFileSystem


class MemoryFileSystem(RealFileSystem):
    """One flat name space of memory files (memfd_create(2)); directories are there as soon as they are named."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}

    def open(self, path: str, *, create: bool = False, exclusive: bool = False) -> int:
        if path not in self._names:
            if not create:
                raise FileNotFoundError(path)
            self._names[path] = os.memfd_create(os.path.basename(path), os.MFD_CLOEXEC)
        elif exclusive:
            raise FileExistsError(path)
        return os.dup(self._names[path])

    def exists(self, path: str) -> bool:
        return path in self._names

    def is_directory(self, path: str) -> bool:  # noqa: ARG002 - the protocol's signature
        return True

    def listdir(self, path: str) -> list[str]:
        return sorted(name[len(path) + 1 :] for name in self._names if os.path.dirname(name) == path)

    def rename(self, source: str, target: str) -> None:
        if target in self._names:
            os.close(self._names[target])
        self._names[target] = self._names.pop(source)

    def unlink(self, path: str) -> None:
        os.close(self._names.pop(path))

    def fdatasync(self, fd: int) -> None:
        pass

    def fsync_dir(self, path: str) -> None:
        pass

    def close_all(self) -> None:
        """Give the memory back."""
        for fd in self._names.values():
            os.close(fd)
        self._names.clear()
