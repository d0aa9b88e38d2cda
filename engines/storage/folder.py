r"""What stands at an engine's path: a folder that says whose it is, and one process that may write in it.

    path/ENGINE    "kv 1\n"     the engine's name and the version of its format
    path/lock      the process id of the writer, while one is at work (an advisory lock, freed by the kernel)
    path/log/ tree/ blobs/ snapshots/     what the engine keeps

So a folder of another engine, of a newer version, or one that another process is writing is refused with a sentence,
before a byte of it is touched.
"""

import os

from engines.errors import Invalid, NotFound
from engines.storage import forks
from engines.storage.files import FileSystem, Lock, disk_errors, make_folder, read_file, write_atomically

MARKER = "ENGINE"


class Folder:
    """A claimed folder; close() lets go of it. With read_only nothing is created and no lock is taken."""

    def __init__(
        self, path: str | os.PathLike[str], engine: str, version: int, files: FileSystem, *, read_only: bool
    ) -> None:
        self.path = os.fspath(path)
        self._lock: Lock | None = None
        with disk_errors(f"{self.path} cannot be opened"):
            self._claim(engine, version, files, read_only=read_only)

    def _claim(self, engine: str, version: int, files: FileSystem, *, read_only: bool) -> None:
        if files.exists(self.path) and not files.is_directory(self.path):
            raise Invalid(f"{self.path} is a file; the {engine} engine keeps its data in a folder: name another path")
        if not files.exists(self.path):
            if read_only:
                raise NotFound(
                    f"there is no {engine} store at {self.path}; open it without read_only=True to create one"
                )
            parent = os.path.dirname(os.path.abspath(self.path))
            if not files.is_directory(parent):
                raise NotFound(f"the folder {parent} does not exist: create it first, then open {self.path}")
            make_folder(files, self.path)
        refuse_foreign(files, self.path, engine, version, read_only=read_only)
        if not read_only:
            self._lock = files.lock(f"{self.path}/lock")
            forks.register(self)
            try:
                if refuse_foreign(files, self.path, engine, version, read_only=False):
                    files.fsync_dir(
                        self.path
                    )  # whoever wrote the marker may have been killed before its name was on disk
                else:
                    make_folder(files, self.path)  # likewise the folder's maker
                    write_atomically(files, f"{self.path}/{MARKER}", f"{engine} {version}\n".encode())
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def forked(self) -> None:
        """In the child: its copy of the lock's descriptor would hold the lock longer than the parent does."""
        self.close()


def refuse_foreign(files: FileSystem, path: str, engine: str, version: int, *, read_only: bool) -> bool:
    """Whether the folder is marked as this engine's; False if it is empty. Invalid if it is anybody else's."""
    try:
        words = read_file(files, f"{path}/{MARKER}").split()
    except FileNotFoundError:
        others = [name for name in files.listdir(path) if name not in ("lock", MARKER + ".tmp")]
        if others or read_only:
            raise Invalid(
                f"{path} holds no {engine} store (its {MARKER} file is missing)"
                + ("; it is not empty, so nothing was created: name another path" if others else "")
            ) from None
        return False
    if len(words) != 2 or not words[1].isdigit() or int(words[1]) < 1:
        raise Invalid(f"{path}/{MARKER} does not say which engine this is: restore the folder from a snapshot")
    found, found_version = words[0].decode(errors="replace"), int(words[1])
    if found != engine:
        raise Invalid(f"{path} belongs to the {found} engine, not to {engine}: open it with engines.{found}")
    if found_version > version:
        raise Invalid(
            f"{path} has format version {found_version}, this release of {engine} reads up to {version}: "
            "upgrade with pip install -U enginehouse"
        )
    return True
