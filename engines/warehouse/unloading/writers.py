r"""Rows as the bytes of a file.

    text      a|b|c, a line a row; ESCAPE puts a backslash before delimiters, ends of lines, quotes and backslashes;
              ADDQUOTES puts quotes around every field
    csv       quotes where a field needs them, doubled in it
    json      an object a row: numbers as they are, other values as texts, NULL as null
    parquet   row groups of about 32 MB, zstd

Values are written as CAST AS VARCHAR writes them, booleans as t and f; so COPY reads back what UNLOAD wrote.
"""

import csv
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
import zstandard

from engines.extras import extra
from engines.sql import castwords, texts
from engines.sql.arrow import arrow_type, pyarrow, table_of, to_arrow
from engines.sql.column import Batch, Column, expand
from engines.sql.context import Context
from engines.sql.types import VARCHAR, Type
from engines.sql.values import python_values
from engines.warehouse.unloading.places import Sink

GROUP_BYTES: Final = 32 << 20
PLAIN_PLACES: Final = 6  # of a decimal that Arrow writes without an exponent, whatever its value
Described = Sequence[tuple[str, str, Type]]  # header, id in the batches, type
Line = Sequence[str | None]


class Writer(Protocol):
    """Writes one file."""

    def write(self, batch: Batch) -> None:
        """Some rows."""
        ...

    def close(self) -> None:
        """The end of the file. The sink stays open."""
        ...


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How rows become lines. null: the text of NULL; None = nothing (JSON: null)."""

    format: str = "text"
    delimiter: str = "|"
    header: bool = False
    null: str | None = None
    escape: bool = False
    add_quotes: bool = False
    compression: str | None = None


class TextWriter:
    """text, csv and json."""

    def __init__(self, sink: Sink, columns: Described, style: TextStyle, context: Context) -> None:
        self._columns = columns
        self._style = style
        self._context = context
        self._put = _compressed(sink, style.compression)
        if style.header and style.format != "json":
            self._lines([[header for header, _, _ in columns]])

    def write(self, batch: Batch) -> None:
        style = self._style
        values = [expand(batch.column(id), batch.rows) for _, id, _ in self._columns]
        if style.format == "json":
            self._objects(values)
            return
        cells = [fields(column, self._context) for column in values]
        if style.null is not None:
            null = style.null
            cells = [[null if cell is None else cell for cell in column] for column in cells]
        self._lines(list(zip(*cells, strict=True)))

    def _lines(self, rows: Sequence[Line]) -> None:
        style = self._style
        if style.format == "csv":
            quoting: Any = csv.QUOTE_ALL if style.add_quotes else csv.QUOTE_MINIMAL
            lines = _CsvLines()  # csv quotes what is in lineterminator: a \r alone ends a line for many who read
            csv.writer(lines, delimiter=style.delimiter, lineterminator="\r\n", quoting=quoting).writerows(rows)
            text = "".join([f"{line[:-2]}\n" for line in lines])
        else:
            shape = self._shape()
            text = "".join(style.delimiter.join(map(shape, row)) + "\n" for row in rows)
        self._put(text.encode(), False)  # noqa: FBT003 - more comes

    def _shape(self) -> Callable[[str | None], str]:
        style = self._style
        quote = '"' if style.add_quotes else ""
        special = re.compile(f"[{re.escape(style.delimiter)}\\r\\n\\\\{quote}]")
        null = style.null

        def shaped(cell: str | None) -> str:
            text = cell or ""
            if style.escape and text != null:
                text = special.sub(r"\\\g<0>", text)
            return f'"{text}"' if style.add_quotes else text

        return shaped

    def _objects(self, values: Sequence[Column]) -> None:
        keys = [msgspec.json.encode(header).decode() + ":" for header, _, _ in self._columns]
        cells = [_json_texts(column, self._context) for column in values]
        rows = zip(*([key + cell for cell in column] for key, column in zip(keys, cells, strict=True)), strict=True)
        self._put("".join("{" + ",".join(row) + "}\n" for row in rows).encode(), False)  # noqa: FBT003 - more comes

    def close(self) -> None:
        self._put(b"", True)  # noqa: FBT003 - the end


class _CsvLines(list[str]):
    """Where csv writes: a text a line."""

    write = list.append


def fields(column: Column, context: Context) -> list[str | None]:
    """A column's values as texts."""
    type = column.type
    if type.kind == "boolean":
        found: list[str | None] = ["t" if value else "f" for value in column.data.tolist()]
    elif type.kind == "null":
        return [None] * len(column)
    elif type.kind == "varbyte":
        found = [word.hex() for word in texts.to_words(column)]
    elif type.text or type.integer or type.kind == "date" or (type.decimal and type.scale <= PLAIN_PLACES):
        strings = to_arrow(column, len(column)).cast(pyarrow().string())
        written: list[str | None] = strings.to_numpy(zero_copy_only=False).tolist()
        return written
    elif type.fields:
        return [None if one is None else msgspec.json.encode(one).decode() for one in python_values(column, 1)]
    else:
        words = texts.to_words(castwords.write(column, VARCHAR, context, 0))
        found = [word.decode(errors="replace") for word in words]
    if column.valid is not None:
        found = [cell if there else None for cell, there in zip(found, column.valid.tolist(), strict=True)]
    return found


def _json_texts(column: Column, context: Context) -> list[str]:
    type = column.type
    if type.kind == "boolean":
        cells = fields(column, context)
        return [{"t": "true", "f": "false"}.get(cell or "", "null") for cell in cells]
    cells = fields(column, context)
    if type.fields or type.integer or type.decimal:
        return ["null" if cell is None else cell for cell in cells]
    if type.floating:  # NaN and Infinity are no numbers in JSON
        return ["null" if cell is None else f'"{cell}"' if cell[-1] in "Ny" else cell for cell in cells]
    encode = msgspec.json.encode
    return ["null" if cell is None else encode(cell).decode() for cell in cells]


def _compressed(sink: Sink, compression: str | None) -> Callable[[bytes, bool], None]:
    """What takes data, and True at the end."""
    if compression is None:

        def plain(data: bytes, _: bool) -> None:  # noqa: FBT001 - see above
            sink.write(data)

        return plain
    if compression == "bz2":
        import bz2  # noqa: PLC0415 - rare

        packer: Any = bz2.BZ2Compressor()
    elif compression == "gzip":
        packer = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    else:
        packer = zstandard.ZstdCompressor(level=3).compressobj()

    def put(data: bytes, end: bool) -> None:  # noqa: FBT001 - see above
        packed = packer.compress(data) + (packer.flush() if end else b"")
        if packed:
            sink.write(packed)

    return put


class ParquetWriter:
    """Parquet through pyarrow."""

    def __init__(self, sink: Sink, columns: Described, group_bytes: int = GROUP_BYTES) -> None:
        parquet: Any = extra("pyarrow.parquet", "arrow")
        pa = pyarrow()
        self._columns = list(columns)
        self._waiting: list[Any] = []
        self._bytes = 0
        self._group_bytes = group_bytes
        schema = pa.schema([(header, arrow_type(type)) for header, _, type in columns])
        self._writer = parquet.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, compression="zstd")

    def write(self, batch: Batch) -> None:
        table = table_of([batch], self._columns)
        self._waiting.append(table)
        self._bytes += table.nbytes
        if self._bytes >= self._group_bytes:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            whole = pyarrow().concat_tables(self._waiting)
            self._writer.write_table(whole, row_group_size=max(whole.num_rows, 1))
            self._waiting, self._bytes = [], 0

    def close(self) -> None:
        self._flush()
        self._writer.close()
