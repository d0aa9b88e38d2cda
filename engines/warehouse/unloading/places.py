"""Files that appear together: written under other names, renamed when the last of them is whole.

    out/sales/.0000_part_00.parquet.tmp   ──> rename ──>   out/sales/0000_part_00.parquet

A failure on the way leaves nothing behind but, if the process dies, the temporary files, which readers skip and the
next UNLOAD to the same place overwrites.

Simpler than production: the renames are one after the other; a crash between them leaves some of the files.
"""

import contextlib
import os
from dataclasses import dataclass, field
from typing import Final

from engines.errors import AlreadyExists, NotFound
from engines.storage.files import FileSystem, disk_errors, make_folder

SYNC: Final = 64 << 20  # bytes after which what was written goes to the disk, so that the end does not wait for all


@dataclass(slots=True)
class Sink:
    """A file that is being written, front to back. What pyarrow takes for a file."""

    files: FileSystem
    path: str
    temporary: str
    size: int = 0
    fd: int = -1
    _unsynced: int = 0

    def __post_init__(self) -> None:
        self.fd = self.files.open(self.temporary, create=True)
        self.files.truncate(self.fd, 0)

    closed = False

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        self.files.pwrite(self.fd, view, self.size)
        self.size += view.nbytes
        self._unsynced += view.nbytes
        if self._unsynced >= SYNC:
            self.files.fdatasync(self.fd)
            self._unsynced = 0
        return view.nbytes

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """Nothing waits here."""

    def finish(self) -> None:
        """All of it is on the disk."""
        if self.fd >= 0:
            self.files.fdatasync(self.fd)
            self.drop()

    def drop(self) -> None:
        """Let go of the file."""
        if self.fd >= 0:
            self.files.close(self.fd)
            self.fd = -1


@dataclass(slots=True)
class Place:
    """Where UNLOAD writes: everything whose path begins with `prefix`, a path of which the last part may be open."""

    files: FileSystem
    prefix: str
    sinks: list[Sink] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)

    def there(self, folder: str = "") -> list[str]:
        """Files that are there already and begin like this, in all folders below. Temporary ones do not count."""
        head, begin = os.path.split(self.prefix)
        if folder:
            head, begin = os.path.join(head, begin, folder) if begin else os.path.join(head, folder), ""
        return sorted(self._below(head or ".", begin))

    def _below(self, folder: str, begin: str) -> list[str]:
        if not self.files.is_directory(folder):
            return []
        found = []
        for name in self.files.listdir(folder):
            if not name.startswith(begin) or name.startswith("."):
                continue
            path = os.path.join(folder, name)
            found += self._below(path, "") if self.files.is_directory(path) else [path]
        return found

    def refuse_taken(self) -> None:
        """AlreadyExists if files are there."""
        found = self.there()
        if found:
            raise AlreadyExists(
                f"UNLOAD would write beside {found[0]!r}, which is there: name another place, or say ALLOWOVERWRITE "
                "or CLEANPATH",
                name=found[0],
            )

    def sink(self, name: str) -> Sink:
        """A new file with that name behind the prefix; folders are made."""
        path = self.prefix + name
        folder, last = os.path.split(path)
        self._make(folder)
        with disk_errors(f"{path!r} cannot be written"):
            made = Sink(self.files, path, os.path.join(folder, f".{last}.tmp"))
        self.sinks.append(made)
        return made

    def _make(self, folder: str) -> None:
        if folder in self.folders or not folder:
            return
        missing = []
        while folder and not self.files.is_directory(folder):
            if self.files.exists(folder):
                raise NotFound(f"{folder!r} is a file, and UNLOAD needs a folder there: name another place")
            missing.append(folder)
            folder = os.path.dirname(folder)
        with disk_errors(f"{folder!r} cannot be written"):
            for one in reversed(missing):
                make_folder(self.files, one)
                self.folders.add(one)

    def publish(self, gone: list[str]) -> None:
        """The files get their names. gone: files that go first (CLEANPATH)."""
        with disk_errors(f"UNLOAD to {self.prefix!r} failed"):
            for sink in self.sinks:
                sink.finish()
            new = {sink.path for sink in self.sinks}
            for path in gone:
                if path not in new:
                    self.files.unlink(path)
            for sink in self.sinks:
                self.files.rename(sink.temporary, sink.path)
            for folder in sorted({os.path.dirname(path) or "." for path in (*new, *gone)}):
                self.files.fsync_dir(folder)

    def forget(self) -> None:
        """Take away what was written and has no name yet."""
        for sink in self.sinks:
            sink.drop()
            with contextlib.suppress(OSError):
                self.files.unlink(sink.temporary)
