"""The hash tree over a ledger's entries, as RFC 6962 defines it: one root stands for all of them, in their order.

Two proofs come from it, each of about log2(n) digests: that an entry is in the book at its place (inclusion), and that
yesterday's book is the beginning of today's (consistency).

    folder/0    digest i of level 0 at byte 32 * i: the hash of leaf i
    folder/1    digest i of level 1: of leaves 2i and 2i + 1
    folder/h    digest i of level h: of leaves i * 2^h to (i + 1) * 2^h - 1

Only complete subtrees are in the files, so a digest that was written is never written again: the files grow at their
ends and nowhere else, 64 bytes a leaf in all. What is not complete is folded when it is asked for, from one digest of
each level. New digests wait in memory; checkpoint() appends them and syncs. The kernel (`_native/merkle.pyx`) reads
what is stored where it lies, in mapped memory.

The files are a cache of the log of entries. So they carry no header and no checksums: whoever opens them brings the
size and the root that were true at the last checkpoint, kept elsewhere. Opening cuts the files to that size and folds
the root from one digest of each level. What lies deeper is checked when it is used: no proof leaves before it has been
held against the root. What does not fit is Corrupted; then a tree without leaves, opened there, and all entries make
the files anew.

Simpler than production logs: a level is one file and an array, not tiles of 256 digests that a web server can cache
(tiles.py exports those); no pruning, no compact range algebra.

Pitfall: files are mapped, so a disk that cannot read a page any more ends the process with SIGBUS, not with an error.

Invariants: the root depends on the entries alone, not on how they came or where their digests lie; what checkpoint()
has returned for survives a power loss; a proof that is handed out is accepted.
"""

import threading
from collections.abc import Iterable
from typing import Final, Self

from engines._native.merkle import Levels, nodes
from engines._native.merkleproof import verify_consistency, verify_inclusion
from engines.errors import Closed, Corrupted, Invalid, Poisoned, ReadOnly
from engines.storage.files import FileSystem, RealFileSystem, disk_errors, make_folder

__all__ = ["MerkleLog", "verify_consistency", "verify_inclusion"]

DIGEST: Final = 32  # bytes
LEVELS: Final = 64  # a size has 64 bits
ANEW: Final = "open it with leaves=0 and add all entries again"
CHUNK: Final = 1 << 21  # bytes of one level that verify() looks at together: whole pairs


class MerkleLog:
    """A growing hash tree, in memory or over level files in a folder; safe to share between threads.

    folder is created if it is not there. leaves and root are what the last checkpoint left behind, and what lies after
    them in the files is cut off (read_only: ignored); leaves = 0 begins anew. Corrupted if the files do not lead to
    the root.
    """

    def __init__(
        self,
        folder: str | None = None,
        *,
        leaves: int = 0,
        root: bytes | None = None,
        files: FileSystem | None = None,
        read_only: bool = False,
    ) -> None:
        if not 0 <= leaves < 1 << LEVELS or (folder is None and leaves):
            raise Invalid(f"leaves is how many are in the folder's files, 0 if in none, got {leaves}", leaves=leaves)
        if leaves and root is None:
            raise Invalid(f"{leaves} leaves need the root they had at their checkpoint, or damage could not be seen")
        self._folder = folder
        self._files = files or RealFileSystem()
        self._read_only = read_only
        self._levels = Levels()
        self._descriptors: list[int] = []
        self._stored = 0  # leaves whose digests are in the files, synced
        self._named = 0  # level files whose names are synced
        self._root: bytes | None = None  # of all leaves; None when it has to be folded
        self._lock = threading.Lock()  # the levels
        self._storing = threading.Lock()  # the files; taken before the other
        self._failed = self._closed = False
        if folder is not None:
            try:
                with disk_errors(f"the hashes in {folder} cannot be opened"):
                    self._open(folder, leaves, root)
            except BaseException:
                self.close()
                raise

    def _open(self, folder: str, leaves: int, root: bytes | None) -> None:
        if not self._read_only:
            make_folder(self._files, folder)
        count = 0
        while self._files.exists(f"{folder}/{count}"):
            self._descriptors.append(self._files.open(f"{folder}/{count}"))
            count += 1
        if count < leaves.bit_length():
            raise Corrupted(
                f"{leaves} leaves have {leaves.bit_length()} level files, {folder} holds {count}: {ANEW}", file=folder
            )
        views = []
        for level, descriptor in enumerate(self._descriptors):
            wanted = DIGEST * (leaves >> level)
            size = self._files.size(descriptor)
            if size < wanted:
                raise Corrupted(
                    f"{folder}/{level} ends at byte {size}, {leaves} leaves reach up to {wanted}: {ANEW}",
                    file=f"{folder}/{level}",
                    offset=size,
                )
            if size > wanted and not self._read_only:
                self._files.truncate(descriptor, wanted)
            views.append(self._files.map(descriptor))
        self._levels.load(leaves, views)
        self._stored = leaves
        if leaves and self._levels.root(leaves) != root:
            raise Corrupted(
                f"the level files in {folder} do not lead to the root of their {leaves} leaves: {ANEW}", file=folder
            )

    def __len__(self) -> int:
        """How many leaves there are."""
        return self._levels.size

    @property
    def stored(self) -> int:
        """How many leaves the files hold for certain."""
        return self._stored

    # -- growing

    def extend(self, entries: Iterable[bytes]) -> None:
        """Append entries, each of any length. TypeError where one is not bytes; then none is appended."""
        with self._lock:
            self._open_or_raise()
            self._root = None
            self._levels.extend(entries)

    def extend_records(self, records: bytes | bytearray | memoryview, *, stride: int, count: int) -> None:
        """Append entries of one length that lie in a row. ValueError if the buffer is shorter than that."""
        with self._lock:
            self._open_or_raise()
            self._root = None
            self._levels.extend_records(records, stride, count)

    def extend_hashes(self, hashes: bytes | bytearray | memoryview) -> None:
        """Append entries by their leaf hashes, 32 bytes each, in a row. ValueError if that is no multiple of 32."""
        with self._lock:
            self._open_or_raise()
            self._root = None
            self._levels.extend_hashes(hashes)

    def cut(self, size: int) -> None:
        """Forget the leaves from `size` on: those of a transaction that failed. Invalid if they are stored already."""
        with self._storing, self._lock:
            self._open_or_raise()
            if not self._stored <= size <= self._levels.size:
                raise Invalid(
                    f"cut to a size from {self._stored}, which is stored, to {self._levels.size}, got {size}", size=size
                )
            self._root = None
            self._levels.cut(size)

    # -- reading

    def root(self, size: int | None = None) -> bytes:
        """The root over the first `size` leaves, or over all. Of none it is the hash of nothing, as the RFC says."""
        with self._lock:
            return self._root_of(self._size(size))

    def leaf(self, index: int) -> bytes:
        """The hash of one leaf. Invalid where there is none."""
        with self._lock:
            self._open_or_raise()
            if not 0 <= index < self._levels.size:
                raise Invalid(f"index is 0 to {self._levels.size - 1}, got {index}", index=index)
            return self._levels.digest(0, index)

    def hashes(self, level: int, first: int, count: int) -> bytes:
        """`count` digests of a level from number `first` on, each over 2^level leaves. Invalid if there are fewer."""
        with self._lock:
            self._open_or_raise()
            if not 0 <= first <= first + count <= self._levels.size >> level:
                raise Invalid(f"level {level} has {self._levels.size >> level} digests, got {first} and {count} more")
            return b"".join(self._levels.digest(level, first + i) for i in range(count))

    def prove(self, index: int, size: int | None = None) -> list[bytes]:
        """The digests that lead from leaf `index` to the root of the first `size` leaves (all), lowest first.

        Invalid if there is no such leaf or size. Corrupted if the digests do not lead there.
        """
        with self._lock:
            size = self._size(size)
            if not 0 <= index < size:
                raise Invalid(f"index is 0 to {size - 1} in a tree of {size} leaves, got {index}", index=index)
            path = self._levels.prove(index, size)
            if not verify_inclusion(self._levels.digest(0, index), index, size, path, self._root_of(size)):
                raise self._damaged(f"leaf {index} in {size}")
            return path

    def prove_consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """The digests that lead from the root of `old` leaves to that of `new` (all), lowest first.

        Invalid if old is less than 1 or more than new, or new more than there are. Corrupted if they do not lead there.
        """
        with self._lock:
            new = self._size(new)
            if not 0 < old <= new:
                raise Invalid(f"old is 1 to {new}, got {old} (about the empty tree nothing can be shown)", old=old)
            path = self._levels.prove_consistency(old, new)
            if not verify_consistency(old, new, path, self._root_of(old), self._root_of(new)):
                raise self._damaged(f"{old} in {new}")
            return path

    def verify(self) -> tuple[int, int] | None:
        """Hash every stored pair again: None, or the level and index of the lowest digest that is not its pair's hash.

        Reads all files, 96 MB a million leaves. Leaves themselves are judged by whoever has the entries.
        """
        with self._storing:
            self._open_or_raise()
            for level, (below, above) in enumerate(zip(self._descriptors, self._descriptors[1:], strict=False), 1):
                end = DIGEST * (self._stored >> level)
                for start in range(0, end, CHUNK):
                    length = min(CHUNK, end - start)
                    made = nodes(self._files.pread(below, 2 * length, 2 * start))
                    found = self._files.pread(above, length, start)
                    if made != found:
                        return level, next(
                            (start + i) // DIGEST
                            for i in range(0, length, DIGEST)
                            if made[i : i + DIGEST] != found[i : i + DIGEST]
                        )
        return None

    # -- storing

    def checkpoint(self, size: int | None = None) -> int:
        """Append the digests of the first `size` leaves (all) to the files and sync; how many are stored now.

        Keep that number and its root only after this has returned. Others may go on adding leaves meanwhile. In memory
        nothing happens, and the answer is 0. Invalid if there are fewer leaves. ReadOnly if a write fails; it may be
        tried again. A sync that fails is Poisoned: whether the bytes are on disk stays unknown; reading goes on.
        """
        with self._storing:
            self._open_or_raise()
            if self._folder is None:
                return 0
            self._writable_or_raise()
            size = self._size(size)
            if size <= self._stored:
                return self._stored
            with disk_errors(f"the hashes cannot be written to {self._folder}"):
                self._create(self._folder, size.bit_length())
                grown = [level for level in range(size.bit_length()) if self._append(level, size)]
            try:
                for level in grown:
                    self._files.fdatasync(self._descriptors[level])
            except OSError as error:
                self._failed = True
                raise Poisoned(f"a sync of the digests in {self._folder} failed: close and open it again") from error
            views = [self._files.map(self._descriptors[level]) for level in grown]
            with self._lock:
                for level, view in zip(grown, views, strict=True):
                    self._levels.settle(level, view)
                self._stored = size
            return size

    def _append(self, level: int, size: int) -> bool:
        """Whether there was something to write."""
        with self._lock:
            begin = max(self._stored >> level, self._levels.settled(level))  # one may have been interrupted
            count = (size >> level) - begin  # leaves that came meanwhile are for the next time
            fresh = self._levels.since(level, begin) if count > 0 else b""
        if count > 0:
            self._files.pwrite(self._descriptors[level], memoryview(fresh)[: DIGEST * count], DIGEST * begin)
        return count > 0

    def _create(self, folder: str, count: int) -> None:
        while len(self._descriptors) < count:
            descriptor = self._files.open(f"{folder}/{len(self._descriptors)}", create=True)
            self._descriptors.append(descriptor)
            self._files.truncate(descriptor, 0)  # a crash may have left it and lost the one before
        if self._named < count:  # once for files found at open, too: who made them may not have come so far
            self._files.fsync_dir(folder)
            self._named = len(self._descriptors)

    def close(self) -> None:
        """Let go of the files. What was not stored by a checkpoint is gone."""
        with self._storing, self._lock:
            self._closed = True
            self._levels = Levels()
            for descriptor in self._descriptors:
                self._files.close(descriptor)
            self._descriptors.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- asking whether it can be done

    def _root_of(self, size: int) -> bytes:
        if size != self._levels.size:
            return self._levels.root(size)
        if self._root is None:
            self._root = self._levels.root(size)
        return self._root

    def _size(self, size: int | None) -> int:
        self._open_or_raise()
        if size is None:
            return self._levels.size
        if not 0 <= size <= self._levels.size:
            raise Invalid(f"size is 0 to {self._levels.size}, got {size} (leave it out for all leaves)", size=size)
        return size

    def _open_or_raise(self) -> None:
        if self._closed:
            raise Closed("this tree was closed; open it again to go on")

    def _writable_or_raise(self) -> None:
        self._open_or_raise()
        if self._read_only:
            raise ReadOnly(f"the tree in {self._folder} is open for reading only: open it with read_only=False")
        if self._failed:
            raise Poisoned(f"a sync of {self._folder} failed earlier: close and open it again")

    def _damaged(self, what: str) -> Corrupted:
        where = self._folder or "memory"
        return Corrupted(f"the digests in {where} do not prove {what}: {ANEW}", file=where)
