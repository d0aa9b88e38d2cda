"""COPY: files into a table, all of them or nothing.

    files ──> batches of their format ──> defaults, values of folders ──> Transaction.append
              (columnar.py, delimited.py, objects.py)

Text that does not fit is rejected row by row, up to MAXERROR rows (rejected.py). Whatever stops COPY leaves the
transaction as it was: rows count only when the last of them was appended. Memory is bounded by a few pieces of files
and the row groups that are being encoded, whatever the files' size.

Without a list of columns the fields are for all columns in their order, but for IDENTITY ones, which get numbers unless
EXPLICIT_IDS says that the files have them. Folders like year=2024 fill the column of that name.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engines.errors import Invalid, listed, nearest
from engines.progress import Progress
from engines.sql.column import Batch, Column, Maker, expand
from engines.sql.context import Context
from engines.sql.datafiles import DataFile, parsed
from engines.sql.fileformats import codec
from engines.sql.source import Field
from engines.sql.values import engine_column
from engines.warehouse.catalog import ColumnDefinition, TableDefinition
from engines.warehouse.commit import Transaction
from engines.warehouse.loading.ahead import ahead
from engines.warehouse.loading.columnar import Columnar
from engines.warehouse.loading.delimited import Delimited
from engines.warehouse.loading.fields import Fields, Pile
from engines.warehouse.loading.objects import Objects
from engines.warehouse.loading.options import COLUMNAR, Options, read_options
from engines.warehouse.loading.places import find
from engines.warehouse.loading.rejected import LoadError, Rejected
from engines.warehouse.loading.streams import Opened, lines_of
from engines.warehouse.statements.records import Copy


@dataclass(frozen=True, slots=True)
class Loaded:
    """What COPY did. rows: loaded (of NOLOAD: that could be); bytes: of the files."""

    rows: int
    rejected: int
    files: tuple[str, ...]
    bytes: int
    errors: tuple[LoadError, ...] = field(default=(), repr=False)


def load(
    transaction: Transaction,
    table: str,
    copy: Copy | Mapping[str, Any],
    *,
    files: str | Sequence[str] | None = None,
    columns: Sequence[str] = (),
    defaults: Mapping[str, Column] | None = None,
    errors: list[LoadError] | None = None,
    context: Context | None = None,
    threads: int = 1,
    progress: bool = True,
) -> Loaded:
    """Append the rows of files to a table of the transaction.

    copy: a statement, or its options by name. files, columns: instead of the statement's. defaults: constant columns
    for those that get no field and have a DEFAULT. errors: takes every rejected row, also if COPY fails. context: its
    rules are those of casts. threads: that read; encoding has its own.
    NotFound: no table, no file. Invalid, and nothing is loaded: options, files that are not what they should be, too
    many rejected rows (code "load-failed"; its details name file, line, column and the LoadError).
    """
    options: Mapping[str, Any] = copy.options if isinstance(copy, Copy) else copy
    if isinstance(copy, Copy):
        files = copy.source if files is None else files
        columns = columns or copy.columns
    if files is None:
        raise Invalid("COPY reads files: say which")
    definition = transaction.root.table(table).definition
    found = find([files] if isinstance(files, str) else files, manifest=bool(options.get("manifest")))
    told = read_options(options, found[0].path)
    rejects = Rejected(table, told.most_errors, [] if errors is None else errors)
    first = len(rejects.errors)
    total = sum(file.size for file in found)
    with Progress(f"copy {table}", "bytes", total) if progress else contextlib.nullcontext() as bar:
        job = _Job(definition, told, found, tuple(columns), rejects, context or Context(), threads)
        job.advance = (lambda _: None) if bar is None else bar.advance
        batches = _with_defaults(job.batches(), defaults or {})
        rows = transaction.append(table, batches) if told.load else sum(batch.rows for batch in batches)
    return Loaded(rows, rejects.count, tuple(file.path for file in found), total, tuple(rejects.errors[first:]))


@dataclass(slots=True)
class _Job:
    """One COPY's files, and what their fields are for."""

    table: TableDefinition
    options: Options
    files: Sequence[DataFile]
    columns: tuple[str, ...]
    rejects: Rejected
    context: Context
    threads: int
    advance: Callable[[int], None] = lambda _: None

    def batches(self) -> Iterator[Batch]:
        chosen = self._chosen()
        for file in self.files:
            keys = {key.lower(): text for key, text in file.keys}
            folders = [one for one in self.table.columns if one.name.lower() in keys and one.name not in self.columns]
            targets = [Field(one.name, one.type, one.nullable) for one in chosen if one not in folders]
            values: dict[str, Column] = {}
            for one in folders:
                value = parsed(keys[one.name.lower()], Field(one.name, one.type), file.path)
                values[one.name] = replace(engine_column([value], one.type), constant=True)
            for batch in self._of_file(file, targets):
                yield batch.with_columns(dict(values)) if values else batch

    def _chosen(self) -> list[ColumnDefinition]:
        """The columns that fields are for, in their order."""
        if not self.columns:
            return [one for one in self.table.columns if one.identity is None or self.options.identities]
        known = {column.name: column for column in self.table.columns}
        for name in self.columns:
            if name not in known:
                raise Invalid(f"the table has no column {name!r}{nearest(name, known)}; it has {listed(known)}")
            if known[name].identity is not None and not self.options.identities:
                raise Invalid(f"column {name!r} is IDENTITY and gets its own numbers: leave it out, or EXPLICIT_IDS")
        if len(set(self.columns)) < len(self.columns):
            raise Invalid("a column is named twice in COPY's list")
        return [known[name] for name in self.columns]

    def _of_file(self, file: DataFile, targets: Sequence[Field]) -> Iterator[Batch]:
        options = self.options
        if options.format in COLUMNAR:
            columnar = Columnar(file.path, targets, self.rejects, options.fill)
            yield from ahead(columnar.batches(options.format, file.size, self.advance), threads=self.threads)
            return
        fields = [Fields(target, options, self.context) for target in targets]
        compressed = (options.compression or codec(file.path)) is not None
        stream = Opened(
            file.path, options.compression, options.encoding, (lambda _: None) if compressed else self.advance
        )
        try:
            if options.format == "json":
                yield from Objects(file.path, fields, options, self.rejects).batches(stream, threads=self.threads)
            elif options.format == "fixedwidth":
                yield from _fixed(file.path, stream, fields, options, self.rejects)
            else:
                yield from Delimited(file.path, fields, options, self.rejects, threads=self.threads).batches(stream)
        finally:
            stream.close()
        if compressed:
            self.advance(file.size)


def _fixed(path: str, stream: Opened, fields: Sequence[Fields], options: Options, rejects: Rejected) -> Iterator[Batch]:
    """Fields of fixed widths, blanks around them taken away."""
    places, at = {}, 0
    for name, width in options.widths:
        places[name] = (at, at + width)
        at += width
    missing = [one.target.name for one in fields if one.target.name not in places]
    if missing:
        raise Invalid(f"FIXEDWIDTH gives no width for {listed(missing)}")
    pile = Pile(path, fields, rejects)
    cuts = [places[one.target.name] for one in fields]
    for number, line in enumerate(lines_of(b"", stream), 1):
        if number <= options.header or (options.skip_blank_lines and not line.strip()):
            continue
        bare = line.rstrip("\r\n")
        pile.add([bare[start:stop].strip() for start, stop in cuts], number, line)
        if pile.full:
            yield pile.batch()
    if len(pile):
        yield pile.batch()


def _with_defaults(batches: Iterator[Batch], defaults: Mapping[str, Column]) -> Iterator[Batch]:
    for batch in batches:
        taken = set(batch.ids())
        more: dict[str, Column | Maker] = {
            name: expand(column, batch.rows) for name, column in defaults.items() if name not in taken
        }
        yield batch.with_columns(more) if more else batch
