"""Snapshots: roots that were given a name. Nothing is copied: what a root names never changes.

    path/refs/snapshot/NAME    the digest of a record
    record    a blob, MessagePack of Snapshot: which root, when, manual or automated, until when, how large

Taking one is two small files, whatever the warehouse holds. What it costs is what changes afterwards: the blobs that
HEAD no longer needs stay as long as a snapshot does. new_bytes is what the snapshot before it did not have.

Copying to another place moves the blobs that are missing there, checked on the way, and sets the ref last; a copy that
was interrupted goes on where it stopped. Restoring is the same into a new folder, and then HEAD. A folder without a
HEAD is a restore that was interrupted: restoring into it again is allowed.

AutoSnapshot says when `tick` takes one by itself: every so often, or after so many bytes were written, kept so long.
(Redshift: every 8 hours or 5 GB, for a day; manual ones until they are deleted.)
"""

import builtins  # a snapshot has a field called bytes
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from engines.clock import MICROSECONDS
from engines.errors import AlreadyExists, Corrupted, Invalid, NotFound, nearest
from engines.storage.blobs import Blobs, Copied
from engines.storage.files import FileSystem, RealFileSystem
from engines.storage.folder import Folder
from engines.storage.refs import ABSENT, PART, Refs
from engines.warehouse.catalog import Root
from engines.warehouse.pages import Page
from engines.warehouse.storage import ENGINE, HEAD, VERSION, Storage
from engines.warehouse.stored import Stored

if TYPE_CHECKING:
    from engines.warehouse.catalog import PageReference

PREFIX: Final = "snapshot/"
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
Progress = Callable[[Copied], None]


class Snapshot(msgspec.Struct, frozen=True):
    """A named moment. at, expires: microseconds since 1970; bytes and blobs: all of it; new: not in the one before."""

    name: str
    root: str
    at: int
    kind: Literal["manual", "automated"] = "manual"
    expires: int | None = None
    bytes: int = 0
    new_bytes: int = 0
    blobs: int = 0
    new_blobs: int = 0
    written: int = 0

    @classmethod
    def decode(cls, data: builtins.bytes, digest: str) -> "Snapshot":
        try:
            return msgspec.msgpack.decode(data, type=cls)
        except msgspec.MsgspecError as error:
            raise Corrupted(f"blob {digest} is no record of a snapshot: {error}", file=digest, offset=0) from error


@dataclass(frozen=True, slots=True)
class AutoSnapshot:
    """When snapshots are taken by themselves. every, keep: "30m", "8h", "1d" or seconds; copy_to: a folder."""

    every: str | float | None = "8h"
    bytes: int | None = 5 << 30
    keep: str | float | None = "1d"
    copy_to: str | None = None


def seconds_of(duration: str | float) -> float:
    """Seconds of "90s", "30m", "8h", "1d", "2w", or a number of seconds. Invalid for anything else."""
    if isinstance(duration, (int, float)) and duration > 0:
        return float(duration)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", str(duration))
    if found is None or not float(found[1]):
        raise Invalid(f"a duration is a positive number of seconds or a text like '30m', '8h', '1d', got {duration!r}")
    return float(found[1]) * UNITS[found[2]]


# -- what a root reaches


def reach(place: "Storage | Place", root: str) -> dict[str, int]:
    """The blobs that a root needs, itself among them, and their bytes; -1 where they are not known."""
    found = {root: -1}
    for entry in Root.decode(place.stored.get(root), root).tables.values():
        if entry.sketches is not None:
            found[entry.sketches] = -1
        for reference in entry.pages:
            found[reference.digest] = -1
            for group in place.page(reference).groups:
                found[group.blob] = group.bytes
                if group.mask is not None:
                    found[group.mask.blob] = max(found.get(group.mask.blob, 0), group.mask.offset + group.mask.length)
    return found


def reachable(storage: Storage, roots: Iterable[str]) -> set[str]:
    """All blobs that these roots need, and the records of all snapshots."""
    wanted = {digest for digest, _ in _records(storage)}
    for root in dict.fromkeys(roots):
        wanted.update(reach(storage, root))
    return wanted


def roots_of(storage: Storage) -> list[str]:
    """The roots of all snapshots."""
    return [record.root for _, record in _records(storage)]


def _records(place: "Storage | Place") -> Iterator[tuple[str, Snapshot]]:
    for name in place.refs.names(PREFIX):
        digest = place.refs.get(name)
        if digest is not None:
            yield digest, Snapshot.decode(place.stored.get(digest), digest)


# -- taking, listing, dropping


def take(
    storage: Storage,
    name: str,
    *,
    kind: Literal["manual", "automated"] = "manual",
    keep: str | float | None = None,
    to: str | None = None,
) -> Snapshot:
    """Name the present. to: a folder that gets a copy. AlreadyExists, Invalid (the name), ReadOnly."""
    if not all(map(PART.fullmatch, name.split("/"))):
        raise Invalid(f"the name of a snapshot is made of letters a-z, digits and _ . - + = @ /, got {name!r}")
    expires = None if keep is None else storage.clock.now() + round(seconds_of(keep) * MICROSECONDS)
    with storage.exclusively():
        if storage.refs.get(PREFIX + name) is not None:
            raise AlreadyExists(f"there is a snapshot {name!r} already: drop it first, or name another", name=name)
        storage.flush()
        view = storage.view()
        before = listed(storage)
        have = reach(storage, view.digest)
        sizes = {digest: storage.blobs.size(digest) if size < 0 else size for digest, size in have.items()}
        old = reach(storage, before[-1].root) if before else {}
        new = [size for digest, size in sizes.items() if digest not in old]
        record = Snapshot(
            name,
            view.digest,
            storage.clock.now(),
            kind,
            expires,
            sum(sizes.values()),
            sum(new),
            len(sizes),
            len(new),
            view.root.written,
        )
        digest = storage.blobs.put(msgspec.msgpack.encode(record))
        storage.move(PREFIX + name, digest, ABSENT)
    if to is not None:
        copy(storage, name, to)
    return record


def listed(storage: Storage) -> list[Snapshot]:
    """All snapshots, the oldest first."""
    return sorted((record for _, record in _records(storage)), key=lambda one: (one.at, one.name))


def named(place: "Storage | Place", name: str) -> str:
    """The digest of a snapshot's record. NotFound offers the nearest name."""
    digest = place.refs.get(PREFIX + name)
    if digest is None:
        names = [known.removeprefix(PREFIX) for known in place.refs.names(PREFIX)]
        raise NotFound(f"there is no snapshot {name!r}{nearest(name, names)}", name=name)
    return digest


def find(place: "Storage | Place", name: str) -> tuple[str, Snapshot]:
    """The record of a snapshot, and its digest."""
    digest = named(place, name)
    return digest, Snapshot.decode(place.stored.get(digest), digest)


def drop(storage: Storage, name: str) -> None:
    """Forget a snapshot. What only it needed goes with the next collect()."""
    with storage.exclusively():
        digest = named(storage, name)
        storage.move(PREFIX + name, None, digest)


def restore_table(storage: Storage, name: str, table: str, to: str) -> int:
    """A table of a snapshot as a new table: its pages are named once more, nothing is copied. Its rows."""
    _, record = find(storage, name)
    entry = storage.at(record.root).root.table(table)
    with storage.begin() as transaction:
        transaction.put_entry(to, entry)
    return sum(page.rows for page in entry.pages)


# -- other places


class Place:
    """A folder that holds snapshots: a warehouse, or where one copies its snapshots to."""

    def __init__(self, path: str | os.PathLike[str], files: FileSystem | None = None) -> None:
        self.path = os.fspath(path).rstrip("/")
        self.files = files or RealFileSystem()
        self.blobs = Blobs(f"{self.path}/blobs", files=self.files)
        self.refs = Refs(f"{self.path}/refs", files=self.files)
        self.stored = Stored(self.blobs)

    def page(self, reference: "PageReference") -> Page:
        return Page.decode(self.stored.get(reference.digest), reference)


def copy(storage: Storage, name: str, to: str, *, progress: Progress | None = None) -> Copied:
    """Copy a snapshot into a folder, as far as it is not there. AlreadyExists if another one there has its name."""
    digest, record = find(storage, name)
    needed = [*reach(storage, record.root), digest]
    folder = Folder(to, ENGINE, VERSION, storage.files, read_only=False)
    try:
        place = Place(to, storage.files)
        known = place.refs.get(PREFIX + name)
        if known not in (None, digest):
            raise AlreadyExists(f"{to} holds another snapshot {name!r}: drop it there, or name this one differently")
        copied = storage.blobs.copy_missing(place.blobs, needed, progress=progress)
        if known is None:
            place.refs.set(PREFIX + name, digest, ABSENT)
    finally:
        folder.close()
    return copied


def restore(
    source: "str | os.PathLike[str] | Storage",
    name: str,
    path: str | os.PathLike[str],
    *,
    files: FileSystem | None = None,
    progress: Progress | None = None,
) -> Copied:
    """Make a new warehouse of a snapshot; open it with Storage(path).

    source: a warehouse, its folder, or a folder of copies. NotFound for an unknown snapshot, AlreadyExists where path
    holds a warehouse, Corrupted where the snapshot is damaged: then there is no warehouse.
    """
    place = source if isinstance(source, Storage) else Place(source, files)
    _, record = find(place, name)
    needed = reach(place, record.root)
    files = files or RealFileSystem()
    path = os.fspath(path).rstrip("/")
    if place.path is not None and os.path.abspath(path) == os.path.abspath(place.path):
        raise AlreadyExists(f"{path} is where the snapshot lies: restore it into another folder")
    folder = Folder(path, ENGINE, VERSION, files, read_only=False)
    try:
        new = Place(path, files)
        if new.refs.get(HEAD) is not None:
            raise AlreadyExists(f"{path} holds a warehouse already: restore into a new folder")
        copied = place.blobs.copy_missing(new.blobs, needed, progress=progress)
        new.refs.set(HEAD, record.root, ABSENT)
    finally:
        folder.close()
    return copied


# -- by themselves


def tick(storage: Storage, plan: AutoSnapshot | None) -> list[Snapshot]:
    """Do what is due by the clock: drop what has expired, take a snapshot, copy it. Those that were taken."""
    now = storage.clock.now()
    for record in listed(storage):
        if record.expires is not None and record.expires <= now:
            drop(storage, record.name)
    taken = []
    if plan is not None and _due(storage, plan, now):
        moment = datetime.fromtimestamp(now // MICROSECONDS, UTC).strftime("auto-%Y-%m-%d-%H-%M-%S")
        names = {record.name for record in listed(storage)}
        name = next(name for name in (moment, *(f"{moment}.{n}" for n in range(1, 10_000))) if name not in names)
        taken.append(take(storage, name, kind="automated", keep=plan.keep))
    if plan is not None and plan.copy_to is not None:
        there = Place(plan.copy_to, storage.files).refs
        for record in listed(storage):
            if record.kind == "automated" and there.get(PREFIX + record.name) is None:
                copy(storage, record.name, plan.copy_to)
    return taken


def _due(storage: Storage, plan: AutoSnapshot, now: int) -> bool:
    view = storage.view()
    last = max((one for one in listed(storage) if one.kind == "automated"), key=lambda one: one.at, default=None)
    if last is None:
        return view.root.sequence > 0
    if last.root == view.digest:
        return False  # nothing has changed
    if plan.every is not None and now - last.at >= seconds_of(plan.every) * MICROSECONDS:
        return True
    return plan.bytes is not None and view.root.written - last.written >= plan.bytes
