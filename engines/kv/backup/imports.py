"""Imports: files of lines into a new table. What can not be stored is counted and named, and the rest goes in.

    "dynamodb-json"   a line for each item: {"Item": {"id": {"N": "1"}, ...}}, as export() and DynamoDB write them
    "csv"             the first line names the attributes; all values are texts (S), but for the key's and indexes'
                      attributes, and those in types=
    "parquet"         a row for each item, null for an attribute that it has not (extra [arrow])

Lines may be plain, or compressed with gzip or zstd: the first bytes say which. A row that can not be stored (no key, a
wrong type, over 400 KB, no JSON) does not stop the others, as in DynamoDB; the report names its file and line. Of rows
with one key the last stays. A damaged file, whose checksum is wrong or which ends too early, stops the import.

The table gets its name when all is in it (restore.py), so a crash or an error leaves nothing. One sync for a thousand
items; no write units are consumed.

A float in a Parquet file stands for the decimal number that Python would print for it, as there is no other in it: 0.1
is a tenth. Of Arrow's other types those are refused, row by row, that an item can not hold: cast times to text before.

Invariants: what export() wrote comes back item by item. Each row is either in the table or in the report.
"""

import csv
import io
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import zstandard

from engines.display import Problem, Report
from engines.errors import Corrupted, Invalid, NotFound, TooLarge, nearest
from engines.extras import extra
from engines.kv.backup.restore import check_new, new_table
from engines.kv.backup.transfer import JSON_COLUMN, ROOT
from engines.kv.catalog import Definition
from engines.kv.page import Item
from engines.kv.values import from_dynamodb_json, from_typed
from engines.progress import Progress
from engines.storage.files import FileSystem, disk_errors

if TYPE_CHECKING:
    from engines.kv.records import Records, Write
    from engines.kv.store import Store
    from engines.kv.table import Table

Format = Literal["dynamodb-json", "csv", "parquet"]
Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
Row = tuple[str, int, Callable[[], Item]]  # file, line, and the item in it, or an Invalid

FORMATS = ("dynamodb-json", "csv", "parquet")
SYNC_ITEMS = 1000
CHUNK = 256 << 10  # bytes read at a time
LONGEST_LINE = 4 << 20  # an item of 400 KB is at most about twice that in JSON, unless all of it has to be escaped
MOST_PROBLEMS = 10_000  # that are named; the others are counted
CSV_TYPES = ("S", "N", "B", "BOOL")
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def import_table(
    store: "Store",
    definition: Definition,
    source: Source,
    *,
    format: Format,  # noqa: A002 - as in Store.import_table
    indexes: Iterable[Mapping[str, Any]],
    delimiter: str,
    types: Mapping[str, str],
) -> "tuple[Table, Report]":
    """See Store.import_table. definition: of the table to be made."""
    store.check_open()
    check_new(store, definition.name)
    if format not in FORMATS:
        raise Invalid(f"format is one of {', '.join(FORMATS)}, got {format!r:.80}{nearest(str(format), FORMATS)}")
    if not isinstance(delimiter, str) or len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        raise Invalid(f"delimiter is one ASCII character, like ';' or '\\t', got {delimiter!r:.80}")
    if not isinstance(types, Mapping) or not set(types.values()) <= set(CSV_TYPES):
        raise Invalid(f"types maps attributes' names to one of {' '.join(CSV_TYPES)}, got {types!r:.80}")
    if types and format != "csv":
        raise Invalid('types= is for format="csv": in the others values have their types')
    files = store.kept_snapshots.files
    paths = data_files(files, source)
    with new_table(store, definition, definition.name, indexes) as made, Progress("import", "rows") as progress:
        table = made.table
        if format == "csv":
            known = {part.name: part.type for index in table.definition.indexes for part in index.key}
            known |= {part.name: part.type for part in definition.key}
            rows = csv_rows(files, paths, delimiter, {**types, **known}, definition.key_names)
        else:
            rows = json_rows(files, paths) if format == "dynamodb-json" else parquet_rows(files, paths)
        report = _take(table.records, rows, progress, format)
    return table, report


def _take(records: "Records", rows: Iterator[Row], progress: Progress, format_: Format) -> Report:
    """Write all rows that make sense; the others are in the report. Invalid if none does."""
    problems: list[Problem] = []
    count = bad = 0
    while batch := list(islice(rows, SYNC_ITEMS)):
        writes: list[Write] = []
        for path, line, item in batch:
            try:
                writes.append(records.encode(item()))
            except (Invalid, TooLarge) as error:
                bad += 1
                if bad <= MOST_PROBLEMS:
                    problems.append(Problem(path, None, f"line {line:,}: {error}"))
        records.write_all(writes, free=True)
        count += len(batch)
        progress.advance(len(batch))
    if bad and bad == count:
        other = f"; if it is another format than {format_!r}, say which with format= ({', '.join(FORMATS)})"
        raise Invalid(
            f"none of the {count:,} rows could be stored, so no table was made; the first is {problems[0]}"
            f"{'' if format_ == 'parquet' else other}"
        )
    if bad > MOST_PROBLEMS:
        problems.append(Problem(problems[-1].file, None, f"{bad - MOST_PROBLEMS:,} more rows could not be stored"))
    return Report(count, problems, "rows")


# -- files -------------------------------------------------------------------------------------------------------------


def data_files(files: FileSystem, source: Source) -> list[str]:
    """The files that a source names: itself, those of a folder, or of an export's folder. NotFound, Invalid."""
    several = list(source) if isinstance(source, Sequence) and not isinstance(source, str | bytes) else [source]
    paths: list[str] = []
    for one in several:
        if not isinstance(one, str | os.PathLike) or not isinstance(os.fspath(one), str) or not os.fspath(one):
            raise Invalid(f"source is a file, a folder, or a list of them, got {one!r:.80}")
        path = os.fspath(one).rstrip("/") or "/"
        if not files.exists(path):
            raise NotFound(f"there is no file {path} to import")
        if not files.is_directory(path):
            paths.append(path)
            continue
        path = _only_export(files, path)
        folder = f"{path}/data" if files.exists(f"{path}/manifest-summary.json") else path
        if not files.is_directory(folder):
            raise Invalid(f"{path} is an incremental export: only full ones can be imported")
        found = [f"{folder}/{name}" for name in _listed(files, folder) if not name.startswith((".", "_"))]
        paths += [file for file in found if not files.is_directory(file)]
    if not paths and not any(files.exists(f"{os.fspath(one)}/manifest-summary.json") for one in several):
        raise NotFound(f"there are no files in {source!r:.80} to import")
    return paths


def _only_export(files: FileSystem, path: str) -> str:
    """The folder of the one export in a folder that store.export() wrote to; the path itself if it is no such one."""
    exports = f"{path}/{ROOT}"
    if not files.is_directory(exports):
        return path
    names = sorted(name for name in _listed(files, exports) if name != "data")
    if len(names) != 1:
        raise Invalid(f"{path} holds {len(names)} exports: name the folder of one, {exports}/{(names or ['...'])[-1]}")
    return f"{exports}/{names[0]}"


def _listed(files: FileSystem, folder: str) -> list[str]:
    with disk_errors(f"{folder} cannot be read"):
        return files.listdir(folder)


class SourceFile(io.RawIOBase):
    """A file to read, through the file system that the store was given."""

    def __init__(self, files: FileSystem, path: str) -> None:
        self._files, self._path, self._at = files, path, 0
        with disk_errors(f"{path} cannot be read"):
            self._fd = files.open(path)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._files.size(self._fd)}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - whatever has a buffer
        with disk_errors(f"{self._path} cannot be read"):
            data = self._files.pread(self._fd, len(buffer), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._files.close(self._fd)
        super().close()


class Unpacked(io.RawIOBase):
    """What a compressed file holds: any number of gzip members or zstd frames. EOFError where the last one is cut."""

    def __init__(self, packed: io.RawIOBase, unpacker: Callable[[], Any]) -> None:
        self._packed, self._new = packed, unpacker
        self._current: Any = None
        self._rest = self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - whatever has a buffer
        while not self._ready:
            data = self._rest or self._packed.read(CHUNK)
            if not data:
                if self._current is not None and not self._current.eof:
                    raise EOFError("it ends too early")
                return 0
            if self._current is None or self._current.eof:
                self._current = self._new()
            self._ready = self._current.decompress(data)
            self._rest = self._current.unused_data.lstrip(b"\0") if self._current.eof else b""  # gzip may be padded
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count


def lines_of(files: FileSystem, path: str) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers, unpacked; of one that is too long no more than its beginning."""
    with SourceFile(files, path) as raw:
        start = raw.read(4) or b""
        raw.seek(0)
        plain: io.RawIOBase = raw
        if start.startswith(GZIP):
            plain = Unpacked(raw, lambda: zlib.decompressobj(wbits=31))
        elif start == ZSTD:
            plain = Unpacked(raw, zstandard.ZstdDecompressor().decompressobj)
        reader = io.BufferedReader(plain, CHUNK)
        number = 0
        try:
            while line := reader.readline(LONGEST_LINE + 1):
                number += 1
                yield number, line
                while len(line) > LONGEST_LINE and not line.endswith(b"\n"):
                    line = reader.readline(LONGEST_LINE + 1)
        except (zlib.error, zstandard.ZstdError, EOFError) as error:
            raise damaged(path, error, f"after line {number:,}") from error


def damaged(path: str, error: object, where: str) -> Corrupted:
    """What to raise where a file is not what was written."""
    return Corrupted(
        f"{path} is damaged {where} ({error}): nothing was imported, copy the file again", file=path, offset=0
    )


# -- rows --------------------------------------------------------------------------------------------------------------


def json_rows(files: FileSystem, paths: Iterable[str]) -> Iterator[Row]:
    """A row for each line that is not empty."""
    for path in paths:
        for number, line in lines_of(files, path):
            if line.strip():
                yield path, number, lambda line=line: _json_item(line)  # type: ignore[misc] # bound now


def _json_item(line: bytes) -> Item:
    if len(line) > LONGEST_LINE:
        raise Invalid(f"a line has at most {LONGEST_LINE:,} bytes")
    try:
        found = msgspec.json.decode(line)
    except (ValueError, RecursionError) as error:  # also what is no UTF-8
        raise Invalid(f"this is no JSON: {error}") from None
    if not isinstance(found, dict) or "Item" not in found:
        raise Invalid(f'a line is an object like {{"Item": {{"id": {{"S": "a"}}}}}}, got {line[:80]!r}')
    return from_dynamodb_json(found["Item"])


def csv_rows(
    files: FileSystem, paths: Iterable[str], delimiter: str, types: Mapping[str, str], key_names: Sequence[str]
) -> Iterator[Row]:
    """A row for each line below the one with the names. Invalid if those make no sense."""
    for path in paths:
        texts = (_text(line, first=n == 1) for n, line in lines_of(files, path))
        reader = csv.reader(texts, delimiter=delimiter, strict=True)
        names = next(reader, [])
        if not set(key_names) <= set(names) or len(set(names)) < len(names) or "" in names:
            raise Invalid(
                f"the first line of {path} names each attribute once, with the key's ({', '.join(key_names)}), "
                f"separated by {delimiter!r}, got {names!r:.200}"
            )
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                yield path, reader.line_num, lambda error=error: _refuse(f"this is no CSV: {error}")  # type: ignore[misc] # bound
            else:
                if cells:
                    yield path, reader.line_num, lambda cells=cells, names=names: _csv_item(names, cells, types)  # type: ignore[misc] # bound


def _text(line: bytes, *, first: bool) -> str:
    """What is no UTF-8 becomes what no item can hold: its row is refused, the others are not."""
    return line.decode("utf-8-sig" if first else "utf-8", "surrogateescape")


def _refuse(reason: str) -> Item:
    raise Invalid(reason)


def _csv_item(names: Sequence[str], cells: Sequence[str], types: Mapping[str, str]) -> Item:
    if len(cells) != len(names):
        raise Invalid(f"the first line names {len(names)} attributes, this one has {len(cells)} values")
    item: Item = {}
    for name, text in zip(names, cells, strict=True):
        kind = types.get(name, "S")
        if kind == "S":
            item[name] = text
        elif text:  # an empty text is no number: the attribute is left out
            item[name] = _boolean(text, name) if kind == "BOOL" else from_typed({kind: text}, name)
    return item


def _boolean(text: str, name: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise Invalid(f"attribute {name!r}: a BOOL is true or false, got {text!r:.80}")
    return text.lower() == "true"


def parquet_rows(files: FileSystem, paths: Iterable[str]) -> Iterator[Row]:
    """A row for each row. Corrupted if a file is damaged, or no Parquet."""
    arrow, parquet = extra("pyarrow", "arrow"), extra("pyarrow.parquet", "arrow")
    for path in paths:
        with SourceFile(files, path) as raw:
            number = 0
            try:
                file = parquet.ParquetFile(raw, page_checksum_verification=True)
                fields = [(f.name, JSON_COLUMN.items() <= (f.metadata or {}).items()) for f in file.schema_arrow]
                for batch in file.iter_batches(batch_size=SYNC_ITEMS):
                    columns = [column.to_pylist() for column in batch.columns]
                    for cells in zip(*columns, strict=True):
                        number += 1
                        yield path, number, lambda cells=cells, fields=fields: _row_item(fields, cells)  # type: ignore[misc] # bound
            except (arrow.ArrowException, OSError) as error:
                raise damaged(path, error, f"after row {number:,}") from error


def _row_item(fields: Sequence[tuple[str, bool]], cells: Sequence[Any]) -> Item:
    item: Item = {}
    for (name, as_json), cell in zip(fields, cells, strict=True):
        if cell is not None:
            item[name] = _from_json(cell, name) if as_json else _exact(cell, name)
    return item


def _from_json(text: Any, name: str) -> Any:  # noqa: ANN401 - a stored value
    try:
        return from_typed(msgspec.json.decode(text), name)
    except (ValueError, TypeError, RecursionError) as error:
        raise Invalid(f"attribute {name!r} is no DynamoDB JSON: {error}") from None


def _exact(value: Any, name: str) -> Any:  # noqa: ANN401 - a stored value
    """Floats as the decimal numbers that they print as."""
    match value:
        case float():
            if not isfinite(value):
                raise Invalid(f"attribute {name!r}: {value} is no number that can be stored")
            return Decimal(repr(value))
        case dict():
            return {key: _exact(part, name) for key, part in value.items()}
        case list():
            return [_exact(part, name) for part in value]
    return value
