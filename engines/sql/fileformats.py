"""Files of rows: what is in them, how large their pieces are, and their rows as Arrow batches.

    Parquet   row groups; the footer says how many bytes each column of each takes, and its bounds
    ORC       stripes; read as a whole file, for pyarrow does not give the sizes of its columns
    CSV       lines; the whole file is read, whatever is asked for
    JSON      an object a line; same

A Reader knows one format. Files are named by their path; compressed text is told by its suffix (.gz, .bz2, .zst).

Simpler than production: local paths only. pyarrow reads the formats; nothing here knows their bytes.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from engines.errors import EngineError, Invalid
from engines.extras import extra
from engines.sql import types
from engines.sql.arrow import arrow_type, pyarrow
from engines.sql.column import VECTOR
from engines.sql.source import ColumnStatistics, Schema
from engines.sql.types import Type
from engines.sql.values import engine_value

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES: Final = {
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
    ".orc": "orc",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".tbl": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
COMPRESSED: Final = (".gz", ".bz2", ".zst", ".zstd", ".lz4")
CODED_BYTES: Final = 4  # a text that takes fewer bytes a row in its file is a dictionary there: read it as one
TRUE: Final = ["true", "True", "TRUE", "t", "T", "yes", "y", "1"]
FALSE: Final = ["false", "False", "FALSE", "f", "F", "no", "n", "0"]


@dataclass(frozen=True, slots=True)
class Group:
    """A piece of a file that is read as one: a row group. sizes: bytes in the file by column; rows -1: unknown."""

    number: int
    rows: int
    bytes: int
    sizes: Mapping[str, int] = field(default_factory=dict)

    def cost(self, columns: Sequence[str]) -> int:
        """Bytes that reading these columns takes."""
        return sum(self.sizes.get(name, 0) for name in columns) if self.sizes else self.bytes


class Reader(Protocol):
    """One format."""

    name: str
    prunes: bool  # it keeps bounds, so that groups can be left out: `bounds` of its groups

    def schema(self, path: str) -> "pa.Schema":
        """The file's own columns. Errors of pyarrow as they are."""
        ...

    def groups(self, path: str, size: int) -> list[Group]:
        """The pieces of a file, in order."""
        ...

    def batches(self, path: str, group: Group, columns: Sequence[str]) -> "Iterator[pa.RecordBatch]":
        """The rows of a group, at most VECTOR at a time (a text format: as they come)."""
        ...


class Parquet:
    """Parquet, through pyarrow.dataset. Footers are kept: they are read once."""

    name = "parquet"
    prunes = True

    def __init__(self) -> None:
        self._fragments: dict[str, tuple[int, int, Any]] = {}

    def _fragment(self, path: str) -> Any:  # noqa: ANN401 - of pyarrow
        now = os.stat(path)
        known = self._fragments.get(path)
        if known is None or known[:2] != (now.st_size, now.st_mtime_ns):
            dataset = extra("pyarrow.dataset", "arrow")
            plain = dataset.ParquetFileFormat(coerce_int96_timestamp_unit="us")
            made = plain.make_fragment(path, extra("pyarrow.fs", "arrow").LocalFileSystem())
            known = self._fragments[path] = now.st_size, now.st_mtime_ns, made
        return known[2]

    def __getstate__(self) -> None:
        return None  # footers are read again where it arrives

    def __setstate__(self, state: None) -> None:
        self._fragments = {}

    def metadata(self, path: str) -> Any:  # noqa: ANN401 - of pyarrow
        return self._fragment(path).metadata

    def schema(self, path: str) -> "pa.Schema":
        return self._fragment(path).physical_schema

    def groups(self, path: str, size: int) -> list[Group]:
        del size
        metadata = self.metadata(path)
        return [self._group(metadata.row_group(number), number) for number in range(metadata.num_row_groups)]

    @staticmethod
    def _group(group: Any, number: int) -> Group:  # noqa: ANN401 - of pyarrow
        sizes: dict[str, int] = {}
        for i in range(group.num_columns):
            chunk = group.column(i)
            name = chunk.path_in_schema.partition(".")[0]  # parts of a nested column lie apart
            sizes[name] = sizes.get(name, 0) + chunk.total_compressed_size
        return Group(number, group.num_rows, sum(sizes.values()), sizes)

    def bounds(self, path: str, number: int, name: str, type: Type) -> ColumnStatistics:
        """What the footer knows of one column of a row group, as values of the declared type."""
        fragment = self._fragment(path)
        place = fragment.metadata.schema.names.index(name) if name in fragment.metadata.schema.names else None
        if place is None or fragment.metadata.schema.column(place).path != name:
            return ColumnStatistics()
        known = fragment.metadata.row_group(number).column(place).statistics
        if known is None:
            return ColumnStatistics()
        missing = known.null_count if known.has_null_count else None
        physical = fragment.physical_schema.field(name).type
        if not known.has_min_max or getattr(physical, "unit", "") == "ns":  # which Python cannot tell exactly
            return ColumnStatistics(nulls=missing)
        try:
            low, high = (engine_value(value, type) for value in (known.min, known.max))
        except (Invalid, OverflowError, ValueError):  # a file may hold what Python has no value for
            return ColumnStatistics(nulls=missing)
        return ColumnStatistics(low, high, missing)

    def batches(self, path: str, group: Group, columns: Sequence[str]) -> "Iterator[pa.RecordBatch]":
        fragment = self._fragment(path)
        coded = self._coded(fragment, group, columns)
        if coded:
            dataset = extra("pyarrow.dataset", "arrow")
            reading = dataset.ParquetFileFormat(coerce_int96_timestamp_unit="us", dictionary_columns=coded)
            fragment = reading.make_fragment(path, fragment.filesystem)
        piece = fragment.subset(row_group_ids=[group.number])
        yield from piece.to_batches(columns=list(columns), batch_size=VECTOR, use_threads=False)

    @staticmethod
    def _coded(fragment: Any, group: Group, columns: Sequence[str]) -> list[str]:  # noqa: ANN401 - of pyarrow
        """Text that is a dictionary in the file."""
        pa = pyarrow()
        chunks = fragment.metadata.row_group(group.number)
        found = []
        for i in range(chunks.num_columns):
            chunk = chunks.column(i)
            name = chunk.path_in_schema
            if name in columns and _is_string(pa, fragment.physical_schema.field(name).type):
                small = chunk.total_uncompressed_size < CODED_BYTES * max(group.rows, 1)
                if small and any("DICTIONARY" in encoding for encoding in chunk.encodings):
                    found.append(name)
        return found


def _is_string(pa: Any, arrow: "pa.DataType") -> bool:  # noqa: ANN401 - the module
    return bool(pa.types.is_string(arrow) or pa.types.is_string_view(arrow))


class Orc:
    """ORC, a file at a time."""

    name = "orc"
    prunes = False

    def schema(self, path: str) -> "pa.Schema":
        return self._file(path).schema

    def groups(self, path: str, size: int) -> list[Group]:
        return [Group(0, self._file(path).nrows, size)]

    def batches(self, path: str, group: Group, columns: Sequence[str]) -> "Iterator[pa.RecordBatch]":
        del group
        file = self._file(path)
        for stripe in range(file.nstripes):
            record = file.read_stripe(stripe, columns=list(columns))
            for start in range(0, record.num_rows, VECTOR):
                yield record.slice(start, VECTOR)

    @staticmethod
    def _file(path: str) -> Any:  # noqa: ANN401 - of pyarrow
        return extra("pyarrow.orc", "arrow").ORCFile(path)


@dataclass(slots=True)
class Csv:
    """CSV. columns: names and types in the file's order; None = by the first line, types as pyarrow guesses them.

    header: lines that are skipped; the last of them has the names, if no columns are given. null: the text that is
    NULL in every column; None = none. An empty number is NULL, and an empty text is an empty text.
    """

    columns: Schema | None = None
    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    header: int = 1
    null: str | None = None
    name = "csv"
    prunes = False

    def schema(self, path: str) -> "pa.Schema":
        with self._open(path) as reader:
            return reader.schema

    def groups(self, path: str, size: int) -> list[Group]:
        del path
        return [Group(0, -1, size)]

    def batches(self, path: str, group: Group, columns: Sequence[str]) -> "Iterator[pa.RecordBatch]":
        del group
        with self._open(path, columns) as reader:
            for record in map(self._without_null, reader):
                for start in range(0, record.num_rows, VECTOR):
                    yield record.slice(start, VECTOR)

    def _without_null(self, record: "pa.RecordBatch") -> "pa.RecordBatch":
        """Texts that stand for NULL become NULL."""
        if self.null is None:
            return record
        pa, compute = pyarrow(), extra("pyarrow.compute", "arrow")
        none = pa.scalar(None, pa.string())
        arrays = [
            compute.if_else(compute.equal(array, self.null), none, array) if pa.types.is_string(array.type) else array
            for array in record.columns
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=record.schema)

    def _open(self, path: str, columns: Sequence[str] | None = None) -> Any:  # noqa: ANN401 - of pyarrow
        csv = extra("pyarrow.csv", "arrow")
        targets = {one.name: arrow_type(one.type) for one in self.columns or ()}
        skipped = self.header if self.columns is not None else max(self.header - 1, 0)
        nulls = ["", "\\N" if self.null is None else self.null]
        return csv.open_csv(
            opened(path),
            read_options=csv.ReadOptions(
                use_threads=False,
                skip_rows=skipped,
                column_names=list(targets) if self.columns is not None else None,
                autogenerate_column_names=self.columns is None and self.header == 0,
            ),
            parse_options=csv.ParseOptions(
                delimiter=self.delimiter,
                quote_char=self.quote or False,
                escape_char=self.escape or False,
                newlines_in_values=bool(self.quote),
            ),
            convert_options=csv.ConvertOptions(
                column_types=targets,
                include_columns=None if columns is None else list(columns),
                null_values=nulls,
                strings_can_be_null=False,
                quoted_strings_can_be_null=True,
                true_values=TRUE,
                false_values=FALSE,
            ),
        )


@dataclass(slots=True)
class Json:
    """JSON, an object a line. columns: names and types; others are left out, absent ones are NULL. None = all."""

    columns: Schema | None = None
    name = "json"
    prunes = False

    def schema(self, path: str) -> "pa.Schema":
        return self._open(path).schema

    def groups(self, path: str, size: int) -> list[Group]:
        del path
        return [Group(0, -1, size)]

    def batches(self, path: str, group: Group, columns: Sequence[str]) -> "Iterator[pa.RecordBatch]":
        del group
        targets = {one.name: arrow_type(one.type) for one in self.columns or ()}
        for record in self._open(path):
            kept = record.select(list(columns))
            if targets:
                schema = pyarrow().schema([(name, targets[name]) for name in columns])
                kept = kept.cast(schema)
            for start in range(0, record.num_rows, VECTOR):
                yield kept.slice(start, VECTOR)

    def _open(self, path: str) -> Any:  # noqa: ANN401 - of pyarrow
        json, pa = extra("pyarrow.json", "arrow"), pyarrow()
        explicit = None
        if self.columns is not None:
            read_as = {"date": types.VARCHAR, "time": types.VARCHAR}  # pyarrow's JSON has moments, but no dates
            explicit = pa.schema([(one.name, arrow_type(read_as.get(one.type.kind, one.type))) for one in self.columns])
        parsing = json.ParseOptions(
            explicit_schema=explicit,
            newlines_in_values=False,
            unexpected_field_behavior="infer" if explicit is None else "ignore",
        )
        return json.open_json(opened(path), json.ReadOptions(use_threads=False), parsing)


def opened(path: str) -> Any:  # noqa: ANN401 - of pyarrow
    """A stream of the file's text, decompressed as its suffix says."""
    return pyarrow().input_stream(path, compression=codec(path))


def codec(path: str) -> str | None:
    """gzip, bz2, zstd, lz4; None for a file that no suffix says is compressed."""
    known = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".zstd": "zstd", ".lz4": "lz4"}
    return next((name for suffix, name in known.items() if path.lower().endswith(suffix)), None)


def format_of(path: str) -> str:
    """The format by the suffix. Invalid where the suffix tells none."""
    name = path.lower().rsplit("/", 1)[-1]
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    for suffix, found in SUFFIXES.items():
        if name.endswith(suffix):
            return found
    known = ", ".join(SUFFIXES)
    raise Invalid(f"the name of {path!r} tells no format: say format=, or give it one of the suffixes {known}")


def reader_of(format: str, columns: Schema | None, options: Mapping[str, Any]) -> Reader:
    """The Reader of a format by name. Invalid for an unknown format or option."""
    made: Any = {"parquet": Parquet, "orc": Orc, "csv": Csv, "json": Json}.get(format.lower())
    if made is None:
        raise Invalid(f"format {format!r} is not known: say parquet, orc, csv or json")
    try:
        given = {"columns": columns} if made in {Csv, Json} else {}
        reader: Reader = made(**given, **options)
    except TypeError as error:
        allowed = "delimiter, quote, escape, header, null" if made is Csv else "none"
        raise Invalid(f"format {format} has no such option: {', '.join(options)}; it has {allowed}") from error
    return reader


def unreadable(path: str, reader: Reader, error: Exception) -> EngineError:
    """What to say when pyarrow cannot read a file."""
    if isinstance(error, EngineError):
        return error
    return Invalid(f"{path!r} cannot be read as {reader.name}: {str(error).splitlines()[0]}", file=path)
