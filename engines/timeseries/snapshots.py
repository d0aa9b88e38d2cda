"""Snapshots: a store as it was at one moment, under a name. Tiles never change, so they are named and not copied.

    path/snapshots/NAME     the digest of a manifest                                               storage/refs.py
    path/blobs/             manifest    kind "timeseries" | time | items: (digest, bytes): the catalogue, then tiles
                            catalogue   zstd of MessagePack: tables, series keys, blobs of tiles, scheduled queries

Taking one is a checkpoint and two small blobs, whatever the store holds. What it costs is what tick() deletes later:
tiles that a snapshot names stay on disk when they are demoted, compacted, or expire, until it is dropped.

With `to` it is copied to another folder, which has the same two folders in it: only blobs that are not there yet, each
checked on the way, and the name last. A copy that was interrupted goes on where it stopped. A folder of copies is all
that restore() needs.

restore() builds a store beside its place and puts it there by a rename, so there is all of it or nothing.

Where a snapshot cannot be read, no blob is deleted any more until it is mended or dropped: whatever it names stays.

Invariants: a blob that a snapshot names is not deleted. Snapshots of one state name the same tiles.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import zstandard

from engines.display import Table
from engines.errors import AlreadyExists, Corrupted, EngineError, Invalid, NotFound, nearest
from engines.progress import Progress
from engines.storage.blobs import Blobs, Copied
from engines.storage.files import FileSystem, RealFileSystem, disk_errors, make_folder
from engines.storage.folder import MARKER, refuse_foreign
from engines.storage.manifest import Manifest
from engines.storage.refs import ABSENT, PART, Refs
from engines.timeseries import catalog, checkpoints, schedule
from engines.timeseries.catalog import Stored
from engines.timeseries.schema import TableDefinition
from engines.timeseries.series import SeriesKey

if TYPE_CHECKING:
    from engines.timeseries.engine import TimeSeries

KIND: Final = "timeseries"
FORMAT: Final = 1  # of a store
BUILDING: Final = ".restoring"
MOST: Final = 1 << 34  # bytes of a catalogue
FIELDS: Final = ("name", "time", "tables", "tiles", "points", "bytes", "new_bytes")


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table in a snapshot. newest: by series the time of its latest row, int64."""

    definition: TableDefinition
    generation: int
    series: tuple[SeriesKey, ...]
    newest: bytes
    blobs: tuple[Stored, ...]


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a store is, but for the tiles themselves."""

    tables: tuple[Kept, ...]
    schedules: tuple[schedule.State, ...]

    def encode(self) -> bytes:
        """As the bytes of a blob."""
        return zstandard.compress(catalog.encode(self), 3)

    @classmethod
    def read(cls, blobs: Blobs, digest: str) -> "Catalogue":
        """From its blob. Corrupted."""
        where = blobs.file(digest)
        try:
            data = zstandard.decompress(blobs.get(digest), max_output_size=MOST)
        except zstandard.ZstdError as error:
            raise Corrupted(f"{where} holds no catalogue ({error}): use another snapshot", file=where) from error
        return catalog.decode(data, cls, where)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that was taken. new_bytes: of blobs that no other snapshot of the store names."""

    name: str
    time: datetime
    tables: int
    tiles: int
    points: int
    bytes: int
    new_bytes: int


class Place:
    """A folder with blobs and the names of snapshots: a store, or where one is copied to."""

    def __init__(self, path: str | None, files: FileSystem, blobs: Blobs | None = None) -> None:
        self.path = path
        self.blobs = blobs or Blobs(None if path is None else f"{path}/blobs", files=files)
        self.refs = Refs(None if path is None else f"{path}/snapshots", files=files)

    def find(self, name: str) -> tuple[str, Manifest]:
        """A snapshot's digest and manifest. NotFound offers the nearest name; Corrupted."""
        digest = self.refs.get(checked_name(name))
        if digest is None:
            raise NotFound(
                f"there is no snapshot {name!r} in {self.path or 'memory'}{nearest(name, self.refs.names())}"
            )
        manifest = Manifest.read(self.blobs, digest)
        if manifest.kind != KIND or not manifest.items:
            raise Corrupted(
                f"the snapshot {name!r} is none of a time series store: use another",
                file=self.blobs.file(digest),
                offset=0,
            )
        return digest, manifest

    def catalogue(self, manifest: Manifest) -> Catalogue:
        """What a snapshot says of its tables."""
        return Catalogue.read(self.blobs, manifest.items[0][0])


def checked_name(name: str) -> str:
    """The name, if a snapshot can have it. Invalid."""
    if not isinstance(name, str) or not PART.fullmatch(name) or name.endswith(".tmp"):
        raise Invalid(f"a snapshot's name has 1 to 100 letters, digits and _ . + = @ -, got {name!r:.80}")
    return name


class Snapshots:
    """The snapshots of a store."""

    def __init__(self, engine: "TimeSeries") -> None:
        self._engine = engine
        self.place = Place(engine.path, engine.files, engine.blobs)
        self._kept: set[str] | None = None

    def kept(self) -> set[str] | None:
        """The blobs that snapshots need, their own included. None: one of them cannot be read, so all may be needed."""
        if self._kept is None:
            kept: set[str] = set()
            try:
                for name in self.place.refs.names():
                    digest, manifest = self.place.find(name)
                    kept |= {digest, *manifest.digests()}
            except EngineError:
                return None
            self._kept = kept
        return self._kept

    def take(self, name: str, to: str | os.PathLike[str] | None = None) -> Snapshot:
        """See TimeSeries.snapshot."""
        engine = self._engine
        checked_name(name)
        target = (
            None if to is None else _place_at(os.fspath(to), RealFileSystem() if engine.path is None else engine.files)
        )
        if target is not None and target.refs.get(name) is not None:
            raise AlreadyExists(f"there is a snapshot {name!r} in {target.path} already: choose another name")
        with engine.writing:
            if self.place.refs.get(name) is None:
                engine.check_writable()
                self._take(name)
            elif target is None:
                raise AlreadyExists(f"there is a snapshot {name!r} already: drop it first, or choose another name")
        digest, manifest = self.place.find(name)
        if target is not None:
            moved([*manifest.digests(), digest], manifest.size(), self.place.blobs, target.blobs, "snapshot")
            target.refs.set(name, digest, ABSENT)
        return self._described(name, manifest, self._others(name))

    def _take(self, name: str) -> None:
        engine, blobs = self._engine, self.place.blobs
        checkpoints.checkpoint(engine)
        tables = [
            Kept(
                table.definition,
                table.generation,
                tuple(table.index.keys()),
                table.newest().tobytes(),
                tuple(stored for _, tile in sorted(table.tiles.items()) for stored in tile.blobs),
            )
            for table in engine.all_tables()
        ]
        data = Catalogue(tuple(tables), tuple(engine.schedules.states())).encode()
        tiles = {stored.digest: stored.bytes for table in tables for stored in table.blobs}
        items = ((blobs.put(data), len(data)), *tiles.items())
        digest = Manifest(items, KIND, engine.tree.applied, engine.clock.now()).put(blobs)
        self._kept = None  # before the name: who fails to make it sure may have left it there
        self.place.refs.set(name, digest, ABSENT)

    def drop(self, name: str) -> None:
        """See TimeSeries.drop_snapshot."""
        engine = self._engine
        with engine.writing:
            engine.check_writable()
            digest = self.place.refs.get(checked_name(name))
            if digest is None:
                raise NotFound(f"there is no snapshot {name!r}{nearest(name, self.place.refs.names())}")
            try:
                _, manifest = self.place.find(name)
                freed = {digest, *manifest.digests()}
            except EngineError:
                freed = {digest}  # it cannot be read; the next opening sweeps
            self.place.refs.delete(name)
            self._kept = None
            engine.condemned |= freed
            checkpoints.checkpoint(engine)

    def table(self) -> Table:
        """See TimeSeries.snapshots."""
        found = [(name, self.place.find(name)[1]) for name in self.place.refs.names()]
        found.sort(key=lambda pair: (pair[1].time, pair[0]))
        rows = [self._described(name, manifest, self._others(name)) for name, manifest in found]
        return Table.from_rows(FIELDS, [[getattr(row, field) for field in FIELDS] for row in rows])

    def _others(self, name: str) -> set[str]:
        others = (self.place.find(other)[1] for other in self.place.refs.names() if other != name)
        return {digest for manifest in others for digest in manifest.digests()}

    def _described(self, name: str, manifest: Manifest, others: set[str]) -> Snapshot:
        tables = self.place.catalogue(manifest).tables
        blobs = [stored for table in tables for stored in table.blobs]
        return Snapshot(
            name,
            datetime.fromtimestamp(manifest.time / 1e6, UTC),
            len(tables),
            len({(table.definition.number, stored.tile) for table in tables for stored in table.blobs}),
            sum(stored.points for stored in blobs),
            manifest.size(),
            sum(item[1] for item in manifest.items if item[0] not in others),
        )


def moved(digests: Iterable[str], size: int, source: Blobs, target: Blobs, what: str) -> None:
    """Copy blobs that are missing, with a bar for who waits."""
    with Progress(what, "bytes", size) as progress:
        done = 0

        def advance(copied: Copied) -> None:
            nonlocal done
            progress.advance(copied.bytes - done)
            done = copied.bytes

        source.copy_missing(target, digests, progress=advance)


# -- restoring ------------------------------------------------------------------------------------------------------


def restore(
    open_store: "Callable[[str | None], TimeSeries]",
    source: "str | os.PathLike[str] | TimeSeries",
    name: str,
    path: str | os.PathLike[str] | None,
    files: FileSystem,
) -> "TimeSeries":
    """See TimeSeries.restore."""
    place = _place_of(source, files)
    _, manifest = place.find(name)
    catalogue = place.catalogue(manifest)
    if path is None:
        store = open_store(None)
        _fill(store, place, manifest, catalogue)
        return store
    target = os.fspath(path).rstrip("/")
    if files.exists(target):
        raise AlreadyExists(f"{target} is there already: a snapshot is restored into a new folder, name another one")
    building = target + BUILDING
    with disk_errors(f"the snapshot {name!r} cannot be restored into {target}"):
        if files.exists(building):
            refuse_foreign(files, building, KIND, FORMAT, read_only=False)
            _clear(files, building, keep=(MARKER, "lock"))
    with open_store(building) as store:
        _fill(store, place, manifest, catalogue)
    with disk_errors(f"the snapshot {name!r} cannot be restored into {target}"):
        files.rename(building, target)
        files.fsync_dir(os.path.dirname(os.path.abspath(target)))
    return open_store(target)


def _fill(store: "TimeSeries", place: Place, manifest: Manifest, catalogue: Catalogue) -> None:
    """Make an empty store what a snapshot says."""
    digests = [item[0] for item in manifest.items[1:]]
    with store.writing:
        moved(digests, manifest.size(), place.blobs, store.blobs, "restore")
        with store.lock:
            for kept in catalogue.tables:
                if len(kept.newest) != 8 * len(kept.series):
                    raise Corrupted(f"the snapshot lacks times of table {kept.definition.name!r}: use another")
                newest = np.frombuffer(kept.newest, np.int64)
                store.adopt(kept.definition, kept.series, newest, kept.generation, kept.blobs)
            store.schedules.restore(catalogue.schedules)
        for table in store.all_tables():
            for tile in table.tiles.values():
                for stored in tile.blobs:
                    store.part_of(stored)  # what is damaged is found before anything stands at the path
        checkpoints.checkpoint(store)


def _clear(files: FileSystem, folder: str, keep: tuple[str, ...] = ()) -> None:
    """Empty what an interrupted restore has left, but for the folders themselves."""
    for name in files.listdir(folder):
        inner = f"{folder}/{name}"
        if files.is_directory(inner):
            _clear(files, inner)
        elif name not in keep:
            files.unlink(inner)


def _place_of(source: "str | os.PathLike[str] | TimeSeries", files: FileSystem) -> Place:
    if not isinstance(source, str | os.PathLike):
        source.check_open()
        return source.kept_snapshots.place
    path = os.fspath(source).rstrip("/")
    if not files.is_directory(path):
        raise NotFound(f"there is no folder {path}")
    return Place(path, files)


def _place_at(path: str, files: FileSystem) -> Place:
    path = path.rstrip("/") or "/"
    if files.exists(f"{path}/ENGINE"):
        raise Invalid(f"{path} is the folder of an engine: name one of its own for snapshots")
    if not files.is_directory(os.path.dirname(os.path.abspath(path))):
        raise NotFound(f"the folder {os.path.dirname(os.path.abspath(path))} does not exist: create it first")
    with disk_errors(f"the folder {path} cannot be made"):
        make_folder(files, path)
    return Place(path, files)
