"""Snapshots: the journal as it was at one moment, kept as blobs. Tree and hashes are made anew from it.

    path/snapshots/            blobs, each named by what it holds (storage/blobs.py)
    path/snapshots/refs/       snapshot/NAME: the digest of a manifest

    manifest   kind "ledger" | sequence | time | items: (digest, bytes, first sequence) of BOOK, then of each segment

A full segment never changes (unless something in it is redacted), so the next snapshot names the same blob: what is new
is copied, nothing else. A restored ledger is the same one, with the same id: digests of it hold on.

What a snapshot cannot do: forget. A redaction does not reach it.
"""

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from engines import display
from engines.errors import AlreadyExists, Corrupted, Invalid, NotFound, nearest
from engines.ledger import redact
from engines.ledger.ids import FORMAT, identity_text
from engines.storage.blobs import Blobs
from engines.storage.files import FileSystem, RealFileSystem, disk_errors, make_folder, read_file, write_atomically
from engines.storage.manifest import Manifest
from engines.storage.memory import MemoryFileSystem
from engines.storage.refs import PART, Refs

if TYPE_CHECKING:
    from collections.abc import Callable

    from engines.ledger.ledger import Ledger

KIND = "ledger"
BUILDING = ".restoring"


class Place:
    """A folder with snapshots; in memory where path is None."""

    def __init__(self, path: str | None, files: FileSystem) -> None:
        self.path = path
        self.blobs = Blobs(path, files=files)
        self.refs = Refs(None if path is None else f"{path}/refs", files=files)

    def find(self, name: str) -> tuple[str, Manifest]:
        """A snapshot's digest and manifest. NotFound offers the nearest name."""
        digest = self.refs.get(reference(name))
        if digest is None:
            known = [ref.removeprefix("snapshot/") for ref in self.refs.names("snapshot/")]
            raise NotFound(f"there is no snapshot {name!r} in {self.path or 'memory'}{nearest(name, known)}")
        manifest = Manifest.read(self.blobs, digest)
        if manifest.kind != KIND or not manifest.items or any(type(i[-1]) is not int for i in manifest.items):
            raise Corrupted(
                f"the snapshot {name!r} is none of a ledger: use another", file=self.blobs.file(digest), offset=0
            )
        return digest, manifest


def reference(name: str) -> str:
    """The ref of a snapshot. Invalid where that is no name for one."""
    if not isinstance(name, str) or not PART.fullmatch(name) or name.endswith(".tmp"):
        raise Invalid(f"a snapshot's name has 1 to 100 letters, digits and _ . + = @ -, got {name!r:.80}")
    return f"snapshot/{name}"


def take(book: "Ledger", name: str, to: str | os.PathLike[str] | None) -> None:
    """See Ledger.snapshot."""
    ref = reference(name)
    target = None if to is None else _place_at(os.fspath(to), RealFileSystem() if book.path is None else book.files)
    if target is not None and target.refs.get(ref) is not None:
        raise AlreadyExists(f"there is a snapshot {name!r} in {target.path} already: choose another name")
    with book.redacting:
        redact.erase_due(book)
        place = book.places
        digest = place.refs.get(ref)
        if digest is not None and target is None:
            raise AlreadyExists(f"there is a snapshot {name!r} already: choose another name")
        if digest is None:
            book.check_writable()
            digest = _take(book, place)
            place.refs.set(ref, digest)
        if target is not None:
            manifest = Manifest.read(place.blobs, digest)
            place.blobs.copy_missing(target.blobs, [*manifest.digests(), digest])
            target.refs.set(ref, digest)


def _take(book: "Ledger", place: Place) -> str:
    with book.tree.lock:
        book.tree.catch_up()
        number, segments, last = book.state.chain.number, book.log.layout(), book.log.last
    book.log.sync(last)
    items: list[tuple[str, int, int]] = []
    head = identity_text((book.name, book.ledger_id))
    items.append((place.blobs.put(head), len(head), number))
    with disk_errors(f"a snapshot of {book.path} cannot be taken"):
        for path, first, _, end in segments:
            if book.files.exists(path):  # else it is not written to yet
                data = read_file(book.files, path)[:end]
                items.append((place.blobs.put(data), len(data), first))
    return Manifest(tuple(items), KIND, last, book.clock.now()).put(place.blobs)


def table(book: "Ledger") -> display.Table:
    """See Ledger.snapshots."""
    place = book.places
    rows: list[tuple[Any, ...]] = []
    for ref in place.refs.names("snapshot/"):
        _, manifest = place.find(ref.removeprefix("snapshot/"))
        moment = datetime.fromtimestamp(manifest.time / 1e6, UTC)
        rows.append((ref.removeprefix("snapshot/"), moment, manifest.items[0][2], manifest.size()))
    rows.sort(key=lambda row: (row[1], row[0]))
    return display.Table.from_rows(["name", "time", "blocks", "bytes"], rows)


def restore(
    open_ledger: "Callable[[str | None, FileSystem | None], Ledger]",
    source: "str | os.PathLike[str] | Ledger",
    name: str,
    path: str | os.PathLike[str] | None,
    files: FileSystem,
) -> "Ledger":
    """See Ledger.restore."""
    place = _place_of(source, files)
    _, manifest = place.find(name)
    head = manifest.items[0][0]
    if path is None:
        memory = MemoryFileSystem()
        _unpack(place, manifest, memory, "")
        write_atomically(memory, "/BOOK", place.blobs.get(head))
        return open_ledger(None, memory)
    target = os.fspath(path).rstrip("/")
    if files.exists(target):
        raise AlreadyExists(f"{target} is there already: a snapshot is restored into a new folder, name another one")
    building = target + BUILDING
    with disk_errors(f"the snapshot {name!r} cannot be restored into {target}"):
        begin(files, building, place.blobs.get(head))
        _unpack(place, manifest, files, building)
    open_ledger(building, None).close()  # what is damaged is found before anything stands at the path
    with disk_errors(f"the snapshot {name!r} cannot be restored into {target}"):
        put_in_place(files, building, target)
    return open_ledger(target, None)


def _unpack(place: Place, manifest: Manifest, files: FileSystem, path: str) -> None:
    make_folder(files, f"{path}/log")
    for digest, _, first in manifest.items[1:]:
        write_atomically(files, f"{path}/log/{first:020d}.log", place.blobs.get(digest))


def begin(files: FileSystem, building: str, identity: bytes) -> None:
    """A folder to build a ledger in, with this text in BOOK: for put_in_place once it is whole."""
    clear(files, building)
    make_folder(files, building)
    write_atomically(files, f"{building}/ENGINE", b"ledger %d\n" % FORMAT)
    write_atomically(files, f"{building}/BOOK", identity)


def put_in_place(files: FileSystem, building: str, target: str) -> None:
    """What was built, under the name that it is to have, for good."""
    files.rename(building, target)
    files.fsync_dir(os.path.dirname(os.path.abspath(target)))


def clear(files: FileSystem, folder: str) -> None:
    """Empty what an interrupted restore or import has left, but for the folders themselves."""
    if files.exists(folder):
        for name in files.listdir(folder):
            inner = f"{folder}/{name}"
            if files.is_directory(inner):
                clear(files, inner)
            else:
                files.unlink(inner)


def _place_of(source: "str | os.PathLike[str] | Ledger", files: FileSystem) -> Place:
    if not isinstance(source, str | os.PathLike):
        source.check_open()
        return source.places
    path = os.fspath(source).rstrip("/")
    if not files.is_directory(path):
        raise NotFound(f"there is no folder {path}")
    return Place(f"{path}/snapshots" if files.exists(f"{path}/ENGINE") else path, files)


def _place_at(path: str, files: FileSystem) -> Place:
    path = path.rstrip("/") or "/"
    if files.exists(f"{path}/ENGINE"):
        raise Invalid(f"{path} is the folder of an engine: name one of its own for snapshots")
    if not files.is_directory(os.path.dirname(os.path.abspath(path))):
        raise NotFound(f"the folder {os.path.dirname(os.path.abspath(path))} does not exist: create it first")
    with disk_errors(f"the folder {path} cannot be made"):
        make_folder(files, path)
    return Place(path, files)
