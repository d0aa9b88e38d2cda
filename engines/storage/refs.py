r"""Refs: names that move, over blobs that do not. HEAD is the present, snapshot/monday a moment that was kept.

    path/HEAD               digest, 64 hex | space | crc32c of the digest's text, 8 hex | \n
    path/snapshot/monday    the same

Setting a ref is the last step of a commit and the only one that changes what exists, so all that the digest names has
to be durable before. The file is written beside the old one and renamed over it: a power failure leaves the old digest
or the new one, never half of each. Taking a snapshot is setting a second ref to the same digest: it copies nothing.

Invariants: get() gives what the last set() set, or raises. A set with `expected` changes nothing unless it holds.
One Refs object a folder and process; any thread may use it.
"""

import os
import re
import threading

import google_crc32c

from engines.errors import Conflict, Corrupted, Invalid, nearest
from engines.storage.digests import is_digest
from engines.storage.files import (
    FileSystem,
    RealFileSystem,
    disk_error,
    disk_errors,
    make_folder,
    read_file,
    write_atomically,
)

PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@-]{0,99}")
ABSENT = ""  # as `expected`: the ref must not exist yet


class Refs:
    """Named pointers in a folder, or in a dict where path is None. Nothing is created before the first set."""

    def __init__(self, path: str | os.PathLike[str] | None, *, files: FileSystem | None = None) -> None:
        self.path = None if path is None else os.fspath(path).rstrip("/")
        self._files: FileSystem = files or RealFileSystem()
        self._memory: dict[str, str] = {}
        self._made: set[str] = set()  # folders that are there and durable
        self._sure: set[str] = set()  # folders whose entries were synced since this process looked first
        self._lock = threading.Lock()

    def get(self, name: str) -> str | None:
        """The digest that name points to; None if there is no such ref. Corrupted if its file is damaged."""
        parts = _parts(name)
        if self.path is None:
            return self._memory.get(name)
        file = f"{self.path}/{name}"
        try:
            self._make_sure("/".join(parts[:-1]))
            data = read_file(self._files, file)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise disk_error(f"the ref {file} cannot be read", error) from error
        return _decode(data, file)

    def set(self, name: str, digest: str, expected: str | None = None) -> None:
        """Point name to digest, durably. Conflict, and no change, unless it points to `expected` now.

        expected None asks for nothing, ABSENT (the empty text) that there is no such ref yet.
        Invalid if the name is not made of plain words, or is a folder of other names. ReadOnly if the disk refuses.
        """
        _parts(name)
        if not is_digest(digest):
            raise Invalid(f"a ref points to a digest, 64 characters 0-9 and a-f, got {digest!r}")
        with self._lock:
            found = self.get(name) if expected is not None else None
            if expected is not None and (found or ABSENT) != expected:
                raise Conflict(
                    f"{name} points to {found or 'nothing'}, not to {expected or 'nothing'}: somebody else was first; "
                    "read it again and try again",
                    name=name,
                    found=found,
                    expected=expected or None,
                )
            self._check_place(name)
            if self.path is None:
                self._memory[name] = digest
                return
            with disk_errors(f"the ref {self.path}/{name} cannot be written"):
                self._make_folders(name)
                write_atomically(self._files, f"{self.path}/{name}", encode(digest))

    def delete(self, name: str) -> bool:
        """Remove a ref, durably; False if there was none. What it named is for gc to find."""
        _parts(name)
        with self._lock:
            if self.path is None:
                return self._memory.pop(name, None) is not None
            file = f"{self.path}/{name}"
            if not self._files.exists(file) or self._files.is_directory(file):
                return False
            with disk_errors(f"the ref {file} cannot be deleted"):
                self._files.unlink(file)
                self._files.fsync_dir(os.path.dirname(file))
            return True

    def names(self, prefix: str = "") -> list[str]:
        """All names that begin with prefix, sorted."""
        names = self._memory if self.path is None else self._below("")
        return sorted(name for name in names if name.startswith(prefix))

    def suggestion(self, name: str) -> str:
        """The tail of a sentence that offers the nearest name there is, or nothing."""
        return nearest(name, self.names())

    def _make_sure(self, folder: str) -> None:
        """Who set or deleted a ref there may have died before the sync: build on nothing that may go, or come back."""
        if folder not in self._sure:
            self._files.fsync_dir(f"{self.path}/{folder}".rstrip("/"))
            self._sure.add(folder)

    def _below(self, folder: str) -> list[str]:
        place = f"{self.path}/{folder}".rstrip("/")
        if not self._files.is_directory(place):
            return []
        found = []
        with disk_errors(f"the folder of refs {place} cannot be read"):
            self._make_sure(folder.rstrip("/"))
            parts = self._files.listdir(place)
        for part in parts:
            if self._files.is_directory(f"{place}/{part}"):
                found += self._below(f"{folder}{part}/")
            elif not part.endswith(".tmp"):
                found.append(folder + part)
        return found

    def _check_place(self, name: str) -> None:
        """A name is a ref or a folder of refs, not both; in memory as on disk."""
        above = ["/".join(name.split("/")[:i]) for i in range(1, name.count("/") + 1)]
        if self.path is None:
            clash = any(other.startswith(name + "/") for other in self._memory) or any(n in self._memory for n in above)
        else:
            places = [f"{self.path}/{n}" for n in above]
            clash = self._files.is_directory(f"{self.path}/{name}") or any(
                self._files.exists(place) and not self._files.is_directory(place) for place in places
            )
        if clash:
            raise Invalid(f"a ref cannot be called {name!r}: it would be a folder of other refs, or inside one of them")

    def _make_folders(self, name: str) -> None:
        parts = name.split("/")[:-1]
        for i in range(len(parts) + 1):
            folder = "/".join(parts[:i])
            if folder not in self._made:
                make_folder(self._files, f"{self.path}/{folder}".rstrip("/"))
                self._made.add(folder)


def encode(digest: str) -> bytes:
    """The bytes of a ref's file."""
    text = digest.encode()
    return b"%s %08x\n" % (text, google_crc32c.value(text))


def _decode(data: bytes, file: str) -> str:
    digest = data[:64].decode(errors="replace")
    if not is_digest(digest) or data != encode(digest):
        raise Corrupted(
            f"{file} is not what was written there (64 hex characters, their checksum, a line end): "
            "point the ref to a known digest again",
            file=file,
            offset=0,
        )
    return digest


def _parts(name: str) -> list[str]:
    parts = name.split("/")
    if not all(map(PART.fullmatch, parts)) or len(name) > 250 or any(part.endswith(".tmp") for part in parts):
        raise Invalid(
            f"a ref's name is made of A-Z a-z 0-9 _ . + = @ - and of / between parts, none of which begins with a dot "
            f"or ends in .tmp, at most 100 characters each, got {name!r}"
        )
    return parts
