"""Snapshots: all tables, or some, as they were at one moment, kept as blobs. Nobody waits while one is taken.

    path/snapshots/            blobs (storage/blobs.py), each named by what it holds
    path/snapshots/refs/       snapshot/NAME and base/TABLE/SEQUENCE-TIME (restore.py), each the digest of a manifest

    snapshot   manifest    [table, bytes, name, id, items] ...           one moment: the log's sequence, and the time
    table      manifest    [head, bytes, 0], [page, bytes, items] ...    pages in the order of their keys
    head       MessagePack [definition, attribute names]
    page       zstd( MessagePack [key, image, key, image, ...] )         keys of the tree, images without stamps

A snapshot is read from the tree's last checkpoint (tree.snapshot()), which others do not change: writers go on. Where a
page ends depends on the key of its last item alone (and on how large that is): its checksum is below a bound, as in
content-defined chunking (Muthitacharoen et al., "A low-bandwidth network file system", SOSP 2001). So an item more or
less moves no other page's borders, and the second snapshot writes only the pages that changed. Indexes and the order of
expiries are not kept: they follow from the items.

The ref is set last, when all that it leads to is on disk: after a crash a snapshot is whole or not there. What nothing
leads to is collected with the next snapshot that is dropped.

This is also the on-demand backup of a table. DynamoDB's CreateBackup is snapshot(name, tables=["orders"]), ListBackups
is snapshots(), DeleteBackup drop_snapshot(name), and RestoreTableFromBackup is restore_table("orders", snapshot=name,
to="orders-2"), which also takes one table out of a snapshot of all.

Simpler than production: a snapshot reads all items, also where nothing has changed, and its pages are not encrypted.
While one is taken, the tree's file keeps old pages, and grows.

Invariants: a snapshot never changes. Equal tables have equal digests. A damaged byte is named by whoever reads it.
"""

import os
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import zstandard

from engines import display
from engines._native.frame import crc32c
from engines._native.kvstamp import unstamped
from engines.display import Problem, Report
from engines.errors import AlreadyExists, Corrupted, EngineError, Invalid, NotFound, ReadOnly, nearest
from engines.kv import catalog
from engines.kv.catalog import Definition
from engines.progress import Progress
from engines.storage.blobs import Blobs, Copied
from engines.storage.files import FileSystem, RealFileSystem, disk_errors, make_folder
from engines.storage.garbage import gc
from engines.storage.manifest import Manifest
from engines.storage.refs import ABSENT, PART, Refs
from engines.storage.tree import ReadTree

if TYPE_CHECKING:
    from engines.kv.store import Store

Entry = tuple[bytes, bytes]  # a key of the tree, and an image

BLOB_BYTES = 256 << 10  # of the entries in a page's blob, about, before compression
LONGEST_PAGE = 16 << 20  # a page that says it is longer is not one of ours
GRACE = 3600  # seconds that a blob is kept which nothing leads to any more


class Kept(NamedTuple):
    """One table in a snapshot: its manifest's digest, and what that holds."""

    digest: str
    bytes: int
    name: str
    id: int
    items: int


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a table beside its items. names: of attributes, in the order of their numbers."""

    definition: Definition
    names: list[str]


_encode = msgspec.msgpack.Encoder(order="sorted").encode
_decode_head = msgspec.msgpack.Decoder(Head).decode
_decode_page = msgspec.msgpack.Decoder(list[bytes]).decode
_compressor = threading.local()


class Place:
    """A folder with snapshots: blobs, and the refs that lead to them. In memory where path is None."""

    def __init__(self, path: str | None, files: FileSystem) -> None:
        self.path = path
        self.blobs = Blobs(path, files=files)
        self.refs = Refs(None if path is None else f"{path}/refs", files=files)

    # -- writing ------------------------------------------------------------------------------------------------------

    def put_table(self, view: ReadTree, definition: Definition, progress: Progress) -> Kept:
        """Keep a table as it stands in a view."""
        head = _encode(Head(definition, names_in(view, definition.id)))
        counts, sizes = [0], [len(head)]

        def blobs() -> Iterator[bytes]:
            yield head
            entries = view.keyspace(f"t/{definition.id}").walk()
            for page in pages_of((key, unstamped(image)) for key, image in entries):
                data = encode_page(page)
                counts.append(len(page))
                sizes.append(len(data))
                progress.advance(len(page))
                yield data

        digests = self.blobs.put_many(blobs())
        manifest = Manifest(tuple(zip(digests, sizes, counts, strict=True)), "table").encode()
        size = len(manifest) + sum(sizes)
        return Kept(self.blobs.put(manifest), size, definition.name, definition.id, sum(counts))

    def put_snapshot(self, tables: Iterable[Kept], sequence: int, time: int) -> str:
        """Keep which tables there are, when; the snapshot's digest."""
        return Manifest(tuple(map(tuple, tables)), "snapshot", sequence, time).put(self.blobs)

    # -- reading ------------------------------------------------------------------------------------------------------

    def manifest(self, digest: str, kind: str) -> Manifest:
        """Read a manifest of this kind. Corrupted if it is another."""
        manifest = Manifest.read(self.blobs, digest)
        if manifest.kind != kind:
            raise self.damaged(digest, f"it is no manifest of a {kind}, but of {manifest.kind!r:.40}")
        return manifest

    def tables(self, digest: str) -> list[Kept]:
        """What a snapshot holds. Corrupted if its manifest makes no sense."""
        try:
            return [msgspec.convert(item, Kept) for item in self.manifest(digest, "snapshot").items]
        except msgspec.ValidationError as error:
            raise self.damaged(digest, error) from error

    def head(self, table: str) -> Head:
        """What a table's manifest leads to first. Corrupted if it makes no sense."""
        items = self.manifest(table, "table").items
        digest = items[0][0] if items else table
        try:
            return _decode_head(self.blobs.get(digest))
        except msgspec.MsgspecError as error:
            raise self.damaged(digest, error) from error

    def pages(self, table: str) -> Iterator[list[Entry]]:
        """The entries of a table, in the order of their keys. Corrupted names the blob that cannot be read."""
        for digest, *_ in self.manifest(table, "table").items[1:]:
            try:
                yield decode_page(self.blobs.get(digest))
            except ValueError as error:
                raise self.damaged(digest, error) from error

    def damaged(self, digest: str, error: object) -> Corrupted:
        """What to raise where a blob makes no sense."""
        file = self.blobs.file(digest)
        return Corrupted(f"{file} cannot be read ({error}): use another snapshot", file=file, offset=0, digest=digest)

    def find(self, name: str) -> str:
        """The digest of a snapshot. NotFound offers the nearest name."""
        digest = self.refs.get(_ref(name))
        if digest is None:
            known = [ref.removeprefix("snapshot/") for ref in self.refs.names("snapshot/")]
            where = self.path or "memory"
            raise NotFound(f"there is no snapshot {name!r} in {where}{nearest(name, known)}")
        return digest

    def reached(self, digest: str) -> list[str]:
        """The snapshot itself and all that it leads to."""
        tables = [kept.digest for kept in self.tables(digest)]
        return [digest, *tables, *(blob for table in tables for blob in self.manifest(table, "table").digests())]


class Snapshots:
    """The snapshots of one store. One at a time is taken or dropped; `lock` also guards the bases (restore.py)."""

    def __init__(self, store: "Store", files: FileSystem) -> None:
        self._store = store
        self.lock = threading.RLock()
        self.place = Place(None if store.path is None else f"{store.path}/snapshots", files)
        self.files = RealFileSystem() if store.path is None else files  # where others' folders are

    def take(self, name: str, to: str | os.PathLike[str] | None, tables: Sequence[str] | None) -> None:
        """See Store.snapshot."""
        store = self._store
        store.check_open()
        ref = _ref(name)
        place, target = self.place, None if to is None else place_at(to, self.files)
        if target is not None and target.refs.get(ref) is not None:
            raise AlreadyExists(f"there is a snapshot {name!r} in {target.path} already: choose another name")
        with self.lock:
            digest = place.refs.get(ref)
            if digest is not None and target is None:
                raise AlreadyExists(f"there is a snapshot {name!r} already: drop_snapshot({name!r}), or another name")
            if digest is None:
                digest = self._take(None if tables is None else _chosen(store, tables))
                place.refs.set(ref, digest, expected=ABSENT)
            elif tables is not None:
                raise Invalid(f"the snapshot {name!r} is there already and is only copied: leave out tables=")
            if target is not None:
                copy(place, target, digest)
                target.refs.set(ref, digest, expected=ABSENT)

    def _take(self, chosen: set[int] | None) -> str:
        store = self._store
        if store.read_only:
            raise ReadOnly(f"{store.path} was opened with read_only=True: the process that writes takes snapshots")
        with self.lock:
            store.checkpoint()
            with self.view() as view, Progress("snapshot", "items") as progress:
                definitions = [d for d in definitions_in(view) if chosen is None or d.id in chosen]
                if chosen is not None and len(definitions) < len(chosen):
                    raise NotFound("a table was dropped before the snapshot was taken: name others")
                progress.total = sum(view.keyspace(f"t/{d.id}").count() for d in definitions)
                kept = [self.place.put_table(view, definition, progress) for definition in definitions]
                return self.place.put_snapshot(kept, applied_in(view), store.clock.now())

    @contextmanager
    def view(self) -> Iterator[ReadTree]:
        """The last checkpoint. In memory one at a time: there is none while another view is open."""
        with self.lock if self._store.path is None else nullcontext(), self._store.tree.snapshot() as view:
            yield view

    def table(self) -> display.Table:
        """See Store.snapshots."""
        self._store.check_open()
        rows: list[tuple[Any, ...]] = []
        for ref in self.place.refs.names("snapshot/"):
            digest = self.place.refs.get(ref) or ""
            manifest = self.place.manifest(digest, "snapshot")
            kept = self.place.tables(digest)
            names = ", ".join(sorted(table.name for table in kept))
            items, size = sum(table.items for table in kept), sum(table.bytes for table in kept)
            moment = moment_of(manifest.time)
            rows.append((ref.removeprefix("snapshot/"), moment, names, items, size, manifest.sequence))
        rows.sort(key=lambda row: (row[1], row[0]))
        return display.Table.from_rows(["name", "time", "tables", "items", "bytes", "sequence"], rows)

    def drop(self, name: str) -> None:
        """See Store.drop_snapshot."""
        self._store.check_open()
        if self._store.read_only:
            raise ReadOnly(f"{self._store.path} was opened with read_only=True: open it for writing to drop snapshots")
        with self.lock:
            if _ref(name) not in self.place.refs.names("snapshot/"):
                self.place.find(name)  # says what there is
            self.place.refs.delete(_ref(name))
            self.collect()

    def collect(self) -> None:
        """Under `lock`: delete the blobs that no snapshot and no base leads to."""
        place = self.place
        roots = {digest for ref in place.refs.names() if (digest := place.refs.get(ref)) is not None}
        wanted = [digest for root in roots for digest in place.reached(root)]
        gc(place.blobs, wanted, lambda _: (), grace=GRACE, clock=self._store.clock)

    def verify(self) -> Report:
        """Read every blob, and find whatever a ref leads to."""
        place = self.place
        problems = list(place.blobs.verify().problems)
        for ref in place.refs.names():
            where = f"{place.refs.path or 'memory'}/{ref}"
            try:
                missing = [blob for blob in place.reached(place.refs.get(ref) or "") if not place.blobs.has(blob)]
                problems += [Problem(where, None, f"it needs the blob {blob}, which is gone") for blob in missing]
            except EngineError as error:
                problems.append(Problem(where, None, str(error)))
        return Report(sum(map(place.blobs.size, place.blobs.list())), problems, "bytes")


def copy(place: Place, target: Place, digest: str) -> Copied:
    """Copy a snapshot to another place: what is missing there. Interrupted and called again, it goes on."""
    with Progress("copy of a snapshot", "blobs") as progress:
        digests = place.reached(digest)
        progress.total = len(digests)
        moved = 0

        def tell(copied: Copied) -> None:
            nonlocal moved
            progress.advance(copied.blobs - moved)
            moved = copied.blobs

        return place.blobs.copy_missing(target.blobs, digests, progress=tell)


def folder_at(path: str | os.PathLike[str], files: FileSystem, what: str) -> str:
    """The path of a folder that may not be there yet; its parent must. what: an export, say. Invalid, NotFound."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str) or not os.fspath(path):
        raise Invalid(f"{what} needs the name of a folder, got {path!r:.80}")
    path = os.fspath(path).rstrip("/") or "/"
    if files.exists(path) and not files.is_directory(path):
        raise Invalid(f"{path} is a file; {what} needs a folder: name another path")
    parent = os.path.dirname(os.path.abspath(path))
    if not files.is_directory(parent):
        raise NotFound(f"the folder {parent} does not exist: create it first")
    return path


def place_at(path: str | os.PathLike[str], files: FileSystem) -> Place:
    """The place in a folder that may not be there yet; its parent must."""
    path = folder_at(path, files, "a place for snapshots")
    if files.exists(f"{path}/ENGINE"):
        raise Invalid(f"{path} is the folder of a store: name one of its own for snapshots")
    with disk_errors(f"the folder {path} cannot be made"):
        make_folder(files, path)
    return Place(path, files)


# -- pages ------------------------------------------------------------------------------------------------------------


def pages_of(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Cut entries into pages of about BLOB_BYTES, at keys that stay borders whatever happens around them."""
    page: list[Entry] = []
    size = 0
    for entry in entries:
        page.append(entry)
        bytes_here = len(entry[0]) + len(entry[1])
        size += bytes_here
        if crc32c(entry[0]) * BLOB_BYTES < bytes_here << 32 or size > 4 * BLOB_BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page


def encode_page(page: Sequence[Entry]) -> bytes:
    """A page's blob."""
    if not hasattr(_compressor, "compress"):  # one a thread: it is no good for two at once
        _compressor.compress = zstandard.ZstdCompressor(level=3).compress
    flat = [part for entry in page for part in entry]
    return bytes(_compressor.compress(_encode(flat)))


def decode_page(data: bytes) -> list[Entry]:
    """ValueError for what is no page."""
    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= LONGEST_PAGE:
            raise ValueError(f"a page holds at most {LONGEST_PAGE:,} bytes, this one says {size:,}")
        flat = _decode_page(zstandard.ZstdDecompressor().decompress(data))
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise ValueError(str(error)) from error
    return list(zip(flat[::2], flat[1::2], strict=True))


# -- what a checkpoint says of itself ---------------------------------------------------------------------------------


def definitions_in(view: ReadTree) -> list[Definition]:
    """The tables of a checkpoint, but for those that are being filled."""
    entries = view.keyspace("catalog").range(*catalog.TABLES)
    found = [catalog.decode_definition(value) for _, value in entries]
    return [definition for definition in found if not definition.name.endswith(FILLING)]


def names_in(view: ReadTree, table: int) -> list[str]:
    """The attribute names of a table, in the order of their numbers."""
    return catalog.decode_list(view.keyspace("catalog").get(catalog.names_entry(table)) or catalog.EMPTY_LIST)


def applied_in(view: ReadTree) -> int:
    """The sequence up to which a checkpoint holds what the log says."""
    return int(struct.unpack("<Q", view.keyspace("meta").get(b"applied") or bytes(8))[0])


FILLING = " (being filled)"  # ends the name of a table that is not there yet: no user can choose such a name


def moment_of(microseconds: int) -> datetime:
    """As a datetime in UTC."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(microsecond=microseconds % 1_000_000)


def _chosen(store: "Store", tables: Sequence[str]) -> set[int]:
    if isinstance(tables, str) or not tables:
        raise Invalid(f"tables is a list of tables' names, or left out for all of them, got {tables!r:.80}")
    return {store.table(name).definition.id for name in tables}


def _ref(name: str) -> str:
    if not isinstance(name, str) or not PART.fullmatch(name) or name.endswith(".tmp"):
        raise Invalid(f"a snapshot's name has 1 to 100 letters, digits and _ . + = @ -, got {name!r:.80}")
    return f"snapshot/{name}"
