"""Files as a table: one, a folder, a glob, or a tree of folders whose names hold values (hive partitions).

    sales/year=2024/month=1/a.parquet       columns of the file, and year 2024, month 1, "$path", "$size"
    sales/year=2024/month=2/b.parquet

Three things make a query cheap, and all are counted: files whose folder says that they have no row (predicates on
partition columns are answered here, EXACT), row groups whose bounds say so (Parquet), and columns that nobody asks for.

    bytes_scanned   Parquet: the compressed chunks of the columns that are read, in the row groups that are read
                    ORC, CSV, JSON: the whole file
    blocks          row groups; a file of another format is one

Columns may be declared: then a file's narrower type is widened, a column that a file lacks is NULL, and a type that
does not fit is an error that names file and column. Without a declaration the files say: all footers (Parquet, ORC), or
the first file (CSV, JSON), and pyarrow's guess of its types.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from engines.errors import EngineError, Invalid, NotFound
from engines.sql import types
from engines.sql.arrow import arrow_type, from_arrow, pyarrow, schema_of, type_of_arrow
from engines.sql.column import VECTOR, Batch, Column, Maker, nulls
from engines.sql.datafiles import DataFile, guessed, listed, parsed
from engines.sql.fileformats import Group, Parquet, format_of, reader_of, unreadable
from engines.sql.filepredicates import holds, may_hold
from engines.sql.source import (
    ColumnStatistics,
    Field,
    Partition,
    Placement,
    Predicate,
    Scanned,
    Schema,
    Statistics,
    Support,
)
from engines.sql.types import BIGINT, INTEGERS, VARCHAR, Type
from engines.sql.values import engine_column

if TYPE_CHECKING:
    import pyarrow as pa

PSEUDO: Final = (Field("$path", VARCHAR, nullable=False), Field("$size", BIGINT, nullable=False))


class DatasetSource:
    """A TableSource over files; see the module's text.

    location: a path, a glob (`*`, `**`), or several. format: parquet, orc, csv, json; None = by the suffix. columns,
    partitions: names and types in the files, and in the folders' names; None = as found. options: of CSV, see Csv.
    keys: by location, values of the partitions that all files there have, instead of those that folders say.
    NotFound if there is no file and no declared columns. Files are listed anew for each query: new ones are seen, and
    one query sees one list.
    """

    placement: Placement | None = None

    def __init__(
        self,
        name: str,
        location: str | Sequence[str],
        *,
        format: str | None = None,
        columns: Schema | None = None,
        partitions: Schema | None = None,
        options: Mapping[str, Any] | None = None,
        keys: Mapping[str, tuple[tuple[str, str | None], ...]] | None = None,
    ) -> None:
        self.name = name
        self.location = (location,) if isinstance(location, str) else tuple(location)
        self.keys = keys or {}
        self.declared = columns is not None
        files = self.files()
        names = {key for file in files for key, _ in file.keys}
        if columns is not None and partitions is None:
            names -= {field.name for field in columns}
        self.partition_fields = partitions if partitions is not None else guessed(files, names)
        if not format and not files:
            raise NotFound(f"no data file at {', '.join(self.location)}: their format must be said then")
        self.reader = reader_of(format or format_of(files[0].path), columns, options or {})
        taken = {field.name for field in self.partition_fields}
        found = columns if columns is not None else self._columns(files)
        self.columns = tuple(field for field in found if field.name not in taken)
        self._known: tuple[Hashable, Statistics] | None = None

    # ---- what is there

    def files(self) -> list[DataFile]:
        """The files there are now, in the order of their paths."""
        found: list[DataFile] = []
        for place in self.location:
            some = listed(place)
            found += [replace(file, keys=self.keys[place]) for file in some] if place in self.keys else some
        if not found and not self.declared:
            raise NotFound(f"no data file at {', '.join(self.location)}: name a file, a folder or a glob")
        return found

    def schema(self) -> Schema:
        return (*self.columns, *self.partition_fields, *PSEUDO)

    def version(self) -> Hashable:
        return tuple(self.files())

    def _columns(self, files: Sequence[DataFile]) -> Schema:
        """Columns of all files, the wider type where they differ."""
        found: dict[str, Field] = {}
        for file in files if self.reader.name in {"parquet", "orc"} else files[:1]:
            try:
                fields = schema_of(self.reader.schema(file.path))
            except Exception as error:  # pyarrow has many kinds
                raise unreadable(file.path, self.reader, error) from error
            for field in fields:
                known = found.get(field.name)
                wider = field.type if known is None else _wider(known.type, field.type)
                if wider is None:
                    raise Invalid(
                        f"column {field.name!r} is {field.type} in {file.path!r} and "
                        f"{known.type if known else ''} in another file: declare the columns"
                    )
                found[field.name] = Field(field.name, wider)
        return tuple(found.values())

    def statistics(self) -> Statistics:
        """Rows and bounds by the footers, where the format has them. Kept until a file changes."""
        files = self.files()
        version = tuple(files)
        if self._known is None or self._known[0] != version:
            self._known = version, self._statistics(files)
        return self._known[1]

    def _statistics(self, files: Sequence[DataFile]) -> Statistics:
        groups = [(file, group) for file in files for group in self.reader.groups(file.path, file.size)]
        rows = None if any(group.rows < 0 for _, group in groups) else sum(group.rows for _, group in groups)
        if not isinstance(self.reader, Parquet):
            return Statistics(rows)
        bounds: dict[str, ColumnStatistics] = {}
        for field in self.columns:
            if not field.type.fields:
                bounds[field.name] = _together([self._bounds(file, group, field) for file, group in groups])
        return Statistics(rows, bounds)

    def _bounds(self, file: DataFile, group: Group, field: Field) -> ColumnStatistics:
        """What is known of a column in a row group. A file without the column has NULLs only."""
        if not isinstance(self.reader, Parquet):
            return ColumnStatistics()
        name = _spelled(field.name, self.reader.schema(file.path).names)
        if name is None:
            return ColumnStatistics(nulls=group.rows)
        return self.reader.bounds(file.path, group.number, name, field.type)

    # ---- pruning

    def support(self, predicate: Predicate) -> Support:
        if predicate.column in {field.name for field in (*self.partition_fields, *PSEUDO)}:
            return Support.EXACT
        return Support.PRUNE if self.reader.prunes else Support.NONE

    def partitions(self, predicates: Sequence[Predicate], scanned: Scanned) -> Sequence[Partition]:
        by_file = {field.name for field in (*self.partition_fields, *PSEUDO)}
        found = []
        for file in self.files():
            values = self._values(file)
            try:
                groups = self.reader.groups(file.path, file.size)
            except Exception as error:  # pyarrow has many kinds
                raise unreadable(file.path, self.reader, error) from error
            scanned.blocks_total += len(groups)
            kept = []
            if all(holds(values[one.column], one) for one in predicates if one.column in by_file):
                kept = [group for group in groups if self._may_hold(file, group, predicates)]
            scanned.blocks_pruned += len(groups) - len(kept)
            found += [
                Partition(f"{file.path}#{group.number}", max(group.rows, 0), group.bytes, origin=(file, group))
                for group in kept
            ]
        return found

    def _may_hold(self, file: DataFile, group: Group, predicates: Sequence[Predicate]) -> bool:
        if not self.reader.prunes:
            return True
        fields = {field.name: field for field in self.columns}
        return all(
            may_hold(one, self._bounds(file, group, fields[one.column]), group.rows, fields[one.column].type)
            for one in predicates
            if one.column in fields
        )

    def _values(self, file: DataFile) -> dict[str, Any]:
        """Engine values of the columns that a file has one value of."""
        texts = {key.lower(): text for key, text in file.keys}
        values: dict[str, Any] = {"$path": file.path.encode(), "$size": file.size}
        for field in self.partition_fields:
            values[field.name] = parsed(texts.get(field.name.lower()), field, file.path)
        return values

    # ---- reading

    def scan(
        self, partition: Partition, columns: Sequence[str], predicates: Sequence[Predicate], scanned: Scanned
    ) -> Iterator[Batch]:
        del predicates
        file, group = partition.origin
        values = self._values(file)
        fields = {field.name: field for field in self.schema()}
        fixed: dict[str, Column | Maker] = {
            name: replace(engine_column([values[name]], fields[name].type), constant=True)
            for name in columns
            if name in values
        }
        wanted = [fields[name] for name in columns if name not in values]
        scanned.blocks_decoded += 1
        for record in self._records(file, group, wanted, scanned):
            scanned.rows_scanned += record.num_rows
            made = fixed | {field.name: self._maker(record, field, file.path) for field in wanted}
            yield Batch(made, record.num_rows)

    def _records(
        self, file: DataFile, group: Group, wanted: Sequence[Field], scanned: Scanned
    ) -> "Iterator[pa.RecordBatch]":
        try:
            as_declared = self.declared and self.reader.name in {"csv", "json"}
            physical = None if as_declared else self.reader.schema(file.path).names
            spelled = [field.name if physical is None else _spelled(field.name, physical) for field in wanted]
            names = [name for name in spelled if name is not None]
            scanned.bytes_scanned += group.cost(names)
            if group.rows >= 0 and not names:
                for start in range(0, group.rows, VECTOR):
                    yield _bare(min(VECTOR, group.rows - start))
                return
            yield from self.reader.batches(file.path, group, names or (physical or [self.columns[0].name])[:1])
        except EngineError:
            raise
        except Exception as error:  # pyarrow has many kinds
            raise unreadable(file.path, self.reader, error) from error

    @staticmethod
    def _maker(record: "pa.RecordBatch", field: Field, path: str) -> Maker:
        name = _spelled(field.name, record.schema.names)
        if name is None:
            rows = record.num_rows
            return lambda: nulls(field.type, rows)
        array = record.column(record.schema.names.index(name))
        return lambda: converted(array, field, path)


def _spelled(name: str, names: Sequence[str]) -> str | None:
    """The file's spelling of a column: as it is, else without regard to case."""
    if name in names:
        return name
    return next((one for one in names if one.lower() == name.lower()), None)


def _bare(rows: int) -> "pa.RecordBatch":
    """Rows without columns."""
    pa = pyarrow()
    return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))


# ---- types -------------------------------------------------------------------------------------------------------


def _wider(a: Type, b: Type) -> Type | None:
    """The type that holds both; None if they have nothing in common."""
    if a == b or b.kind == "null":
        return a
    if a.kind == "null":
        return b
    if a.integer and b.integer:
        return max(a, b, key=lambda one: INTEGERS.index(one.kind))
    if a.floating and b.floating:
        return types.DOUBLE
    if a.decimal and b.decimal:
        scale = max(a.scale, b.scale)
        return types.decimal(min(max(a.precision - a.scale, b.precision - b.scale) + scale, 38), scale)
    if a.text and b.text:
        return VARCHAR
    return None


def fits(found: Type, declared: Type) -> bool:
    """Whether values of a file's type are values of the declared one, or can be where they are in its range."""
    if found.kind in {declared.kind, "null"} or (found.text and declared.text):
        return True
    if found.integer:
        return declared.number
    if found.decimal:
        return declared.floating
    if found.floating:
        return declared.floating
    return found.temporal and declared.kind in {"timestamp", "timestamptz"}


def converted(array: "pa.Array", field: Field, path: str) -> Column:
    """A file's values as a column of the declared type. Invalid names file and column where they do not fit."""
    found = type_of_arrow(array.type, field.name)
    if not fits(found, field.type):
        raise Invalid(f"column {field.name!r} of {path!r} is {found}, declared is {field.type}", file=path)
    if found.integer and field.type.decimal:
        return _scaled(from_arrow(array, field.name), field, path)
    if found != field.type and not found.bytes:
        try:
            array = array.cast(arrow_type(field.type))
        except (ArithmeticError, TypeError, ValueError, NotImplementedError) as error:  # pyarrow's are among them
            reason = str(error).splitlines()[0]
            raise Invalid(
                f"column {field.name!r} of {path!r} does not fit {field.type}: {reason}", file=path
            ) from error
    column = replace(from_arrow(array, field.name), type=field.type)
    if field.type.bytes and field.type.length:
        _check_length(column, field, path)
    return column


def _scaled(column: Column, field: Field, path: str) -> Column:
    """Whole numbers as decimals: exact, whatever their size."""
    values = column.numbers()
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    factor, limit = 10**field.type.scale, 10**field.type.precision
    if max(-low, high) * factor >= limit:
        raise Invalid(
            f"column {field.name!r} of {path!r} does not fit {field.type}: {max(low, high, key=abs)}", file=path
        )
    wide = max(-low, high) * factor >= 2**63
    scaled = (values.astype(object) if wide else values) * factor
    return Column(field.type, scaled, valid=column.valid, low=low * factor, high=high * factor)


def _check_length(column: Column, field: Field, path: str) -> None:
    offsets = column.data if column.words is None else column.words.offsets
    longest = int(np.diff(offsets).max(initial=0))
    if longest > field.type.length:
        raise Invalid(f"column {field.name!r} of {path!r} has {longest} bytes, declared is {field.type}", file=path)


# ---- statistics --------------------------------------------------------------------------------------------------


def _together(some: Sequence[ColumnStatistics]) -> ColumnStatistics:
    missing = [one.nulls for one in some]
    lows, highs = [one.low for one in some], [one.high for one in some]
    return ColumnStatistics(
        None if None in lows else min(lows),
        None if None in highs else max(highs),
        None if None in missing else sum(one for one in missing if one is not None),
    )
