r"""Blobs: immutable bytes, named by what they are. What never changes again needs no locks, no versions, no copies.

    path/ab/cdef...        a blob; its name is the BLAKE2b-256 of its bytes, 64 hex characters, two of them the folder
    path/ab/N.tmp          a blob that was being written when the power failed; no one ever reads it

A name cannot point at the wrong bytes for long: whoever reads a blob whole checks it against its name. The same bytes
put twice are stored once, so a snapshot is a list of names (`manifest.py`) and an incremental copy is a set difference.

A put is durable on return. The order is everything, for a power failure may stop it anywhere:

    bytes to N.tmp   fdatasync   rename to ab/cdef...   fsync_dir(ab)   fsync_dir(path), when ab is new
                                                        \- once for all the blobs of a put_many

A blob that is there already is not written again, but its folder is synced once more if this process has not done so:
the process that put it may have died between the rename and the sync.

Simpler than production: no packing of small blobs, no deletion of empty folders, no store but a local folder (an S3
bucket would need nothing more than this class has, since no caller may list to find out what exists). Files are not
set read-only: `FileSystem` has no chmod, and the digest finds what a mode would only have made unlikely.

Invariants: get(put(x)) == x. Files are never changed in place. Whatever has a name is whole. One Blobs object a folder
and process; any thread may use it, but whoever deletes (garbage.py) holds the writer's lock.
"""

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from engines.display import Problem, Report
from engines.errors import Corrupted, Invalid, NotFound, Poisoned, ReadOnly
from engines.storage.digests import HEX, Bytes, digest_of, is_digest, parts_of
from engines.storage.files import NO_DESCRIPTOR, FileSystem, RealFileSystem, disk_error, disk_errors, read_file

Parts = list[memoryview]
Digests = list[str]  # Blobs.list hides the builtin in its own annotations
TEMPORARY = ".tmp"
BATCH, CHUNK = 64 << 20, 1 << 20  # bytes held in memory while copying, and while verifying
_numbers = itertools.count()  # for the names of temporary files


@dataclass(frozen=True, slots=True)
class Copied:
    """What copy_missing moved; what was there already does not count."""

    blobs: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Collected:
    """What was deleted, and how much waits for its grace to end."""

    blobs: int = 0
    bytes: int = 0
    condemned: int = 0  # by gc


class Blobs:
    """A folder of blobs, or a dict of them where path is None. Nothing is created before the first put."""

    def __init__(self, path: str | os.PathLike[str] | None, *, files: FileSystem | None = None) -> None:
        self.path = None if path is None else os.fspath(path).rstrip("/")
        self.files: FileSystem = files or RealFileSystem()
        self._memory: dict[str, bytes] = {}
        self._sure: set[str] = set()  # folders whose entries were synced since this process looked first
        self._pending: set[str] = set()  # digests whose folder is still to be synced
        self._checked: set[str] = set()  # digests whose bytes were checked by a map
        self._poison: OSError | None = None
        self._folders = threading.Lock()

    def put(self, data: Bytes | Iterable[Bytes]) -> str:
        """Store the bytes, or the concatenation of several, and return their digest. Durable on return.

        An iterable is held in memory until it is written, for its name is known only at its end; it is not joined.
        ReadOnly if the disk refuses (its code says why); after a failed sync of a folder Poisoned, until the store is
        opened anew.
        """
        return self.put_many([data])[0]

    def put_many(self, datas: Iterable[Bytes | Iterable[Bytes]]) -> Digests:
        """Store each and return their digests, in order. Durable on return: one directory sync a folder, not a blob."""
        digests: list[str] = []
        for data in datas:
            parts = parts_of(data)
            digest = digest_of(parts)
            digests.append(digest)
            if self.path is None:
                self._memory.setdefault(digest, b"".join(parts))
                continue
            self._refuse_poisoned()
            with disk_errors(f"no blob can be written to {self.path}"):
                if not self._stands(digest, sum(map(len, parts))):
                    self._write(digest, parts)
        self.settle(digests)
        return digests

    def get(self, digest: str) -> bytes:
        """All bytes of a blob, checked. NotFound if there is none of that name, Corrupted if it is not what it was."""
        if self.path is None:
            return self._from_memory(digest)
        with self._reading(digest) as file:
            data = read_file(self.files, file)
        self._check(digest, data)
        return data

    def get_range(self, digest: str, offset: int, length: int) -> bytes:
        """Part of a blob. Not checked against the digest, which is of the whole: formats carry their own sums.

        Invalid if the range reaches beyond the end.
        """
        if offset < 0 or length < 0:
            raise Invalid(f"a range of a blob starts at 0 or later and is not negative, got {offset=} {length=}")
        if self.path is None:
            data = self._from_memory(digest)[offset : offset + length]
        else:
            with self._reading(digest) as file, self._opened(file) as fd:
                data = self.files.pread(fd, length, offset)
        if len(data) < length:
            raise Invalid(f"blob {digest} has {self.size(digest):,} bytes, the range ends at {offset + length:,}")
        return data

    def map(self, digest: str) -> memoryview:
        """The blob as memory that is read from disk when it is touched. Checked at this process's first map of it."""
        if self.path is None:
            return memoryview(self._from_memory(digest))
        with self._reading(digest) as file, self._opened(file) as fd:
            view = self.files.map(fd)
        if digest not in self._checked:
            self._check(digest, view)
            self._checked.add(digest)
        return view

    def has(self, digest: str) -> bool:
        file = self.file(digest)
        return digest in self._memory if self.path is None else self.files.exists(file)

    def size(self, digest: str) -> int:
        """Bytes of one blob. NotFound if there is none of that name."""
        if self.path is None:
            return len(self._from_memory(digest))
        with self._reading(digest) as file, self._opened(file) as fd:
            return self.files.size(fd)

    def list(self) -> Iterator[str]:
        """All digests, in order. For tools and verify: an engine knows from its manifests what there is."""
        if self.path is None:
            yield from sorted(self._memory)
        else:
            yield from (folder + name for folder, name in self._entries() if is_digest(folder + name))

    def delete(self, digest: str) -> bool:
        """Remove one blob, durably; False if it was not there."""
        there = self.has(digest)
        if there:
            self.remove([digest])
        return there

    def verify(self) -> Report:
        """Read every byte and hold each blob against its name."""
        problems, checked = [], 0
        for digest in self.list():
            checked += 1
            try:
                self._check(digest, self._chunks(digest))
            except Corrupted as error:
                problems.append(Problem(self.file(digest), 0, str(error)))
            except ReadOnly as error:
                problems.append(Problem(self.file(digest), None, str(error)))
        return Report(checked, problems, "blobs")

    def copy_missing(
        self, to: "Blobs", digests: Iterable[str], *, progress: Callable[[Copied], None] | None = None
    ) -> Copied:
        """Put into `to` what it has not, checked on the way. Interrupted and called again, it goes on where it stopped.

        progress hears, after each batch of at most 64 MB (or one blob), how much was moved so far. All of `digests` are
        durable in `to` on return, those that were there before included. NotFound or Corrupted stops it.
        """
        copied, size = Copied(), 0
        batch: list[bytes] = []
        there: list[str] = []

        def hand_over() -> None:
            nonlocal copied, size
            to.put_many(batch)
            copied, size = Copied(copied.blobs + len(batch), copied.bytes + size), 0
            batch.clear()
            if progress is not None:
                progress(copied)

        for digest in dict.fromkeys(digests):
            if to.has(digest):
                there.append(digest)
                continue
            data = self.get(digest)
            if batch and size + len(data) > BATCH:
                hand_over()
            batch.append(data)
            size += len(data)
        if batch:
            hand_over()
        to.settle(there)
        return copied

    def sweep(self, keep: Collection[str]) -> Collected:
        """Delete every blob that is not in keep, and what interrupted puts left, at once: when no one else reads."""
        wanted = set(keep)
        return self.remove(name for name in list(self.everything()) if name not in wanted)

    def file(self, digest: str) -> str:
        """Where a blob lies, whether or not it exists; `memory` without a path. Invalid if it is no digest."""
        if not is_digest(digest):
            raise Invalid(f"a blob's name is its digest, 64 characters 0-9 and a-f, got {digest!r}")
        return "memory" if self.path is None else f"{self.path}/{digest[:2]}/{digest[2:]}"

    def _stands(self, digest: str, size: int) -> bool:
        """Whether the blob is there in full; one of another length is damaged, and is replaced."""
        return self.has(digest) and self.size(digest) == size

    def _write(self, digest: str, parts: Parts) -> None:
        file = self.file(digest)
        if digest[:2] not in self._sure:
            self._make_folder(digest[:2])
        temporary, fd = self._create(os.path.dirname(file))
        try:
            try:
                offset = 0
                for part in parts:
                    self.files.pwrite(fd, part, offset)
                    offset += len(part)
                self.files.fdatasync(fd)
            finally:
                self.files.close(fd)
            self._pending.add(digest)  # before the rename: who sees the blob must see that it is not sure yet
            self.files.rename(temporary, file)
        except BaseException:
            with contextlib.suppress(OSError):
                self.files.unlink(temporary)
            raise
        self._checked.discard(digest)

    def _create(self, folder: str) -> tuple[str, int]:
        """A new temporary file, its own even among threads and next to what a crash has left."""
        while True:
            temporary = f"{folder}/{next(_numbers)}{TEMPORARY}"
            with contextlib.suppress(FileExistsError):
                return temporary, self.files.open(temporary, create=True, exclusive=True)

    def _make_folder(self, folder: str) -> None:
        """Created here, made durable by settle: once for all the folders of a put_many."""
        with self._folders:
            for place in (self.path, f"{self.path}/{folder}"):
                if place is not None and not self.files.is_directory(place):
                    self.files.mkdir(place)

    def settle(self, digests: Iterable[str]) -> None:
        """Make the entries of these blobs durable, as far as they are not known to be."""
        if self.path is None:
            return
        self._refuse_poisoned()
        unsure = [digest for digest in digests if digest in self._pending or digest[:2] not in self._sure]
        folders = sorted({digest[:2] for digest in unsure})
        try:
            for folder in folders:
                self.files.fsync_dir(f"{self.path}/{folder}")
            if not self._sure.issuperset(folders):
                self.files.fsync_dir(self.path)
                if not self._sure:
                    self.files.fsync_dir(os.path.dirname(self.path) or ".")
        except OSError as error:
            if error.errno in NO_DESCRIPTOR:
                raise disk_error(f"no folder of {self.path} can be synced", error) from error
            self._poison = error  # the kernel may have dropped what it could not write: a retry would prove nothing
            self._refuse_poisoned()
        self._sure.update(folders)
        self._pending.difference_update(unsure)

    def _refuse_poisoned(self) -> None:
        if self._poison is not None:
            raise Poisoned(
                f"a sync of {self.path} failed ({self._poison.strerror}), so what it holds is unknown: "
                "close the engine, look at the disk, and open it again",
                cause=self._poison,
            )

    def _from_memory(self, digest: str) -> bytes:
        self.file(digest)
        if digest not in self._memory:
            raise NotFound(f"there is no blob {digest} in memory")
        return self._memory[digest]

    @contextlib.contextmanager
    def _reading(self, digest: str) -> Iterator[str]:
        file = self.file(digest)
        try:
            yield file
        except FileNotFoundError:
            raise NotFound(f"there is no blob {digest} in {self.path}", digest=digest) from None
        except OSError as error:
            raise disk_error(f"{file} cannot be read", error) from error

    @contextlib.contextmanager
    def _opened(self, file: str) -> Iterator[int]:
        fd = self.files.open(file)
        try:
            yield fd
        finally:
            self.files.close(fd)

    def _chunks(self, digest: str) -> Iterator[bytes]:
        """Read, not mapped: a bad sector is then an error and not the end of the process."""
        size = self.size(digest)
        return (self.get_range(digest, i, min(CHUNK, size - i)) for i in range(0, size, CHUNK))

    def _check(self, digest: str, data: Bytes | Iterable[Bytes]) -> None:
        found = digest_of([data] if isinstance(data, Bytes) else data)
        if found != digest:
            raise Corrupted(
                f"blob {digest} holds other bytes than were written, their digest is {found}: "
                f"replace {self.file(digest)} by a copy from a snapshot",
                file=self.file(digest),
                offset=0,
                digest=digest,
            )

    def _entries(self) -> Iterator[tuple[str, str]]:
        if self.path is None or not self.files.is_directory(self.path):
            return
        for folder in self._listed(self.path):
            if len(folder) == 2 and HEX.issuperset(folder) and self.files.is_directory(f"{self.path}/{folder}"):
                yield from ((folder, name) for name in self._listed(f"{self.path}/{folder}"))

    def _listed(self, folder: str) -> Digests:
        with disk_errors(f"{folder} cannot be read"):
            return self.files.listdir(folder)

    def everything(self) -> Iterator[str]:
        """Everything of ours: digests, and `ab/N.tmp` for what interrupted puts have left."""
        yield from self.list()
        yield from (f"{folder}/{name}" for folder, name in self._entries() if name.endswith(TEMPORARY))

    def remove(self, names: Iterable[str]) -> Collected:
        """Delete these of `everything`, durably: one directory sync a folder."""
        blobs = size = 0
        folders = set()
        for name in names:
            if is_digest(name):
                blobs, size = blobs + 1, size + self.size(name)
            self._memory.pop(name, None)
            self._checked.discard(name)
            if self.path is not None:
                with disk_errors(f"the blob {name} cannot be deleted from {self.path}"):
                    self.files.unlink(self.file(name) if is_digest(name) else f"{self.path}/{name}")
                folders.add(name[:2])
        with disk_errors(f"no folder of {self.path} can be synced"):
            for folder in sorted(folders):
                self.files.fsync_dir(f"{self.path}/{folder}")
        return Collected(blobs, size)
