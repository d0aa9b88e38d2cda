"""UNLOAD: the rows of a query into files.

    UNLOAD ('SELECT ...') TO 'out/sales_' PARQUET          out/sales_0000_part_00.parquet
    ... TO 'out/sales' PARQUET PARTITION BY (year)         out/sales/year=2024/0000_part_00.parquet
    ... TO 'out/sales_' PARALLEL OFF CSV GZIP              out/sales_000.csv.gz

TO is how paths begin, not a folder, unless it ends with a slash or is one, or partitions go there. Without a format it
is text with the delimiter |. Where files are already, UNLOAD refuses; ALLOWOVERWRITE writes over those of the same
names, CLEANPATH takes all of them away (with PARTITION BY: those of the partitions that are written). MANIFEST adds a
file that lists the others, which COPY understands. All appear when the last one is whole (unloading/places.py).

Unlike the service's, files are written one after the other; the first number in their names is always 0000.
"""

import contextlib
import json
import os
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from engines.errors import Invalid, listed, nearest
from engines.progress import Progress
from engines.sql.column import Batch, expand
from engines.sql.context import Context
from engines.sql.datafiles import NO_VALUE
from engines.storage.files import FileSystem, RealFileSystem, disk_errors
from engines.warehouse.loading.options import COMPRESSIONS, one_character, unescaped
from engines.warehouse.loading.places import local
from engines.warehouse.statements.records import Unload
from engines.warehouse.unloading.places import Place, Sink
from engines.warehouse.unloading.writers import Described, ParquetWriter, TextStyle, TextWriter, Writer, fields

MEGABYTE: Final = 1 << 20
LEAST_SIZE: Final = 5 * MEGABYTE
MOST_SIZE: Final = 6348 * MEGABYTE  # 6.2 GB
MOST_OPEN: Final = 500  # partitions that are written side by side
KNOWN: Final = frozenset(
    {
        *("format", "delimiter", "null", "gzip", "bzip2", "zstd", "escape", "manifest", "header", "allowoverwrite"),
        *("cleanpath", "addquotes", "parallel", "maxfilesize", "extension", "partition by", "include"),
    }
)
SUFFIXES: Final = {"gzip": ".gz", "bz2": ".bz2", "zstd": ".zst"}


@dataclass(frozen=True, slots=True)
class Unloaded:
    """What UNLOAD wrote. files: paths in the order they were begun; bytes: of these files."""

    rows: int
    files: tuple[str, ...]
    bytes: int
    manifest: str | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What UNLOAD was told. size: bytes after which a file is full."""

    style: TextStyle
    partition_by: tuple[str, ...] = ()
    include: bool = False
    size: int = MOST_SIZE
    parallel: bool = True
    extension: str | None = None
    overwrite: bool = False
    clean: bool = False
    manifest: bool = False

    @property
    def suffix(self) -> str:
        if self.extension is not None:
            return f".{self.extension.lstrip('.')}"
        ends = {"parquet": ".parquet", "json": ".json", "csv": ".csv"}.get(self.style.format, "")
        return ends + SUFFIXES.get(self.style.compression or "", "")


def unload(
    unload: Unload | Mapping[str, Any],
    columns: Described,
    batches: Iterable[Batch],
    *,
    to: str | None = None,
    files: FileSystem | None = None,
    context: Context | None = None,
    progress: bool = True,
) -> Unloaded:
    """Write rows to files.

    unload: a statement, or its options by name, in lower case. columns: header, id and type of each column, as in
    Result.described; batches: as of Result.batches(). to: instead of the statement's. context: its rules are those of
    casts to text.
    AlreadyExists where files are. Invalid for options. ReadOnly (disk-full ...) where the disk refuses. In each case no
    file is there that was not before.
    """
    options = read_options(unload.options if isinstance(unload, Unload) else unload)
    place = to if to is not None else unload.to if isinstance(unload, Unload) else None
    if place is None:
        raise Invalid("UNLOAD writes to a place: say TO which")
    headers = [header for header, _, _ in columns]
    for name in options.partition_by:
        if name not in headers:
            raise Invalid(f"PARTITION BY {name!r}: the query gives no such column{nearest(name, headers)}")
    if not options.include and set(headers) <= set(options.partition_by):
        raise Invalid("PARTITION BY leaves no column for the files: add one to the query, or say INCLUDE")
    with Progress("unload", "rows") if progress else contextlib.nullcontext() as bar:
        system = files or RealFileSystem()
        prefix = prefix_of(place, system, folder=bool(options.partition_by))
        job = _Job(Place(system, prefix), columns, options, context or Context())
        try:
            if not options.overwrite and not options.clean:
                job.place.refuse_taken()
            for batch in batches:
                with disk_errors(f"UNLOAD to {place!r} failed"):
                    job.write(batch)
                if bar is not None:
                    bar.advance(batch.rows)
            with disk_errors(f"UNLOAD to {place!r} failed"):
                return job.finish()
        finally:
            job.place.forget()


def read_options(given: Mapping[str, Any]) -> Options:
    """Invalid for what is unknown or makes no sense together."""
    for name in given:
        if name not in KNOWN:
            raise Invalid(f"UNLOAD has no option {name!r}{nearest(name, KNOWN)}")
    form = given.get("format") or "text"
    if form not in ("text", "csv", "json", "parquet"):
        raise Invalid(f"UNLOAD writes text, csv, json and parquet, not {form!r}")
    compressions = [name for name in COMPRESSIONS if given.get(name)]
    textual = ("delimiter", "header", "null", "addquotes", "escape")
    wrong = {"parquet": (*textual, *COMPRESSIONS), "json": textual, "csv": ("escape",)}.get(form, ())
    for name in wrong:
        if given.get(name):
            raise Invalid(f"{name.upper()} is no option of {form.upper()}: leave it out")
    if len(compressions) > 1:
        raise Invalid(f"a file is compressed one way, got {listed([name.upper() for name in compressions])}")
    if given.get("allowoverwrite") and given.get("cleanpath"):
        raise Invalid("ALLOWOVERWRITE keeps other files and CLEANPATH takes them away: say one of them")
    size = _size(given.get("maxfilesize"))
    delimiter = given.get("delimiter", "," if form == "csv" else "|")
    style = TextStyle(
        format=form,
        delimiter=one_character(delimiter, "DELIMITER"),
        header=bool(given.get("header")),
        null=unescaped(given["null"]) if "null" in given else None,
        escape=bool(given.get("escape")),
        add_quotes=bool(given.get("addquotes")),
        compression=COMPRESSIONS[compressions[0]] if compressions else None,
    )
    return Options(
        style,
        tuple(given.get("partition by", ())),
        bool(given.get("include")),
        size,
        bool(given.get("parallel", True)),
        given.get("extension"),
        bool(given.get("allowoverwrite")),
        bool(given.get("cleanpath")),
        bool(given.get("manifest")),
    )


def _size(given: Any) -> int:  # noqa: ANN401 - (number, unit), or bytes
    if given is None:
        return MOST_SIZE
    number, unit = given if isinstance(given, tuple | list) else (given, "B")
    size = int(number * {"B": 1, "MB": MEGABYTE, "GB": 1024 * MEGABYTE}[unit])
    if not LEAST_SIZE <= size <= MOST_SIZE:
        raise Invalid(f"MAXFILESIZE is from 5 MB to 6.2 GB, got {number:g} {unit}")
    return size


def prefix_of(to: str, files: FileSystem, *, folder: bool) -> str:
    """How paths begin; with a slash at the end for what is a folder, or is to be one."""
    path = local(to)
    return path if path.endswith("/") or not (path and (folder or files.is_directory(path))) else path + "/"


@dataclass(slots=True)
class _Open:
    """A file that takes rows."""

    sink: Sink
    writer: Writer


@dataclass(slots=True)
class _Job:
    """One UNLOAD. open: files by the folder of their partition, "" without one."""

    place: Place
    columns: Described
    options: Options
    context: Context
    rows: int = 0
    open: dict[str, _Open] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)

    def write(self, batch: Batch) -> None:
        self.rows += batch.rows
        if not self.options.partition_by:
            self._write("", batch)
            return
        for folder, some in self._partitions(batch):
            self._write(folder, some)

    def _partitions(self, batch: Batch) -> Iterator[tuple[str, Batch]]:
        """The rows of each folder."""
        by_name = {header: (id, type) for header, id, type in self.columns}
        parts = []
        for name in self.options.partition_by:
            texts = fields(expand(batch.column(by_name[name][0]), batch.rows), self.context)
            known = {text: f"{quoted(name)}={NO_VALUE if text is None else quoted(text)}/" for text in set(texts)}
            parts.append([known[text] for text in texts])
        rows: dict[str, list[int]] = {}
        for row, folder in enumerate(map("".join, zip(*parts, strict=True))):
            rows.setdefault(folder, []).append(row)
        for folder, at in rows.items():
            yield folder, batch if len(at) == batch.rows else batch.take(np.array(at, np.int32))

    def _write(self, folder: str, batch: Batch) -> None:
        found = self.open.get(folder)
        if found is None:
            if len(self.open) >= MOST_OPEN:
                self._close(next(iter(self.open)))
            found = self.open[folder] = self._begin(folder)
        found.writer.write(batch)
        if found.sink.size >= self.options.size:
            self._close(folder)

    def _begin(self, folder: str) -> _Open:
        number = self.numbers.get(folder, 0)
        self.numbers[folder] = number + 1
        options = self.options
        name = f"0000_part_{number:02}" if options.parallel else f"{number:03}"
        sink = self.place.sink(f"{folder}{name}{options.suffix}")
        gone = set() if options.include else set(options.partition_by)
        columns = [one for one in self.columns if one[0] not in gone]
        if options.style.format == "parquet":
            return _Open(sink, ParquetWriter(sink, columns, min(32 * MEGABYTE, options.size)))
        return _Open(sink, TextWriter(sink, columns, options.style, self.context))

    def _close(self, folder: str) -> None:
        found = self.open.pop(folder)
        found.writer.close()
        found.sink.finish()

    def finish(self) -> Unloaded:
        """Close the files and give them their names. Without rows there is one file, empty but for its header."""
        if not self.rows and not self.options.partition_by:
            self.open[""] = self._begin("")
        for folder in list(self.open):
            self._close(folder)
        sinks = list(self.place.sinks)
        gone = []
        if self.options.clean:
            folders = list(self.numbers) if self.options.partition_by else [""]
            gone = [path for folder in folders for path in self.place.there(folder)]
        manifest = self._manifest(sinks) if self.options.manifest else None
        self.place.publish(gone)
        paths = tuple(sink.path for sink in sinks)
        return Unloaded(self.rows, paths, sum(sink.size for sink in sinks), manifest)

    def _manifest(self, sinks: Sequence[Sink]) -> str:
        entries = [
            {"url": os.path.abspath(sink.path), "mandatory": True, "meta": {"content_length": sink.size}}
            for sink in sinks
        ]
        sink = self.place.sink("manifest")
        sink.write(json.dumps({"entries": entries}, indent=1).encode())
        return sink.path


def quoted(text: str) -> str:
    """A value as the name of a folder."""
    return urllib.parse.quote(text, safe=" !'()+,;@^`{}~$&-_.")
