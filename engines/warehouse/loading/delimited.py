r"""CSV and text with delimiters: fast where the text is as it should be, with care where it is not.

    file ──> pieces of 4 MB, cut where a record ends ──> fast: pyarrow, typed columns
                                                    └──> with care: record by record, field by field

The fast way either gives all rows of a piece or none: at the first thing that pyarrow refuses, or reads otherwise than
COPY does (0x1F as a number, "a"b as ab), the whole piece is read with care, and what is wrong gets its line and column.
Where quotes stand inside of fields nobody can tell from its middle where a record ends: then the rest of the file is
read with care.

    CSV      fields in quotes hold delimiters and lines; a quote is doubled in them
    text     no quotes; with ESCAPE a backslash takes the meaning from what follows it, also from the end of a line
             REMOVEQUOTES takes quotes around a field away

Both ways take one delimiter behind the last field for no field, as the service does.
"""

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from engines.extras import extra
from engines.sql import castwords
from engines.sql.arrow import arrow_type, from_arrow, pyarrow
from engines.sql.column import VECTOR, Batch, Column
from engines.sql.fileformats import FALSE, TRUE
from engines.sql.source import Field
from engines.warehouse.loading import rejected
from engines.warehouse.loading.fields import Fields, Pile
from engines.warehouse.loading.options import Options
from engines.warehouse.loading.streams import PIECE, Stream, lines_of
from engines.warehouse.write import part

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST: Final = 16 << 20  # bytes in which a record ends
MARKER: Final = "\x00NULL\x00"  # for a NULL string that begins with the escape character
TRAILING: Final = "\x00trailing"


class Doubtful(Exception):
    """The fast way would not read this piece as COPY does."""


class Delimited:
    """The rows of one file as batches. targets: the columns that its fields are for, in order."""

    def __init__(
        self, path: str, fields: Sequence[Fields], options: Options, rejects: rejected.Rejected, *, threads: int = 1
    ) -> None:
        self.path = path
        self.fields = fields
        self.targets = [one.target for one in fields]
        self.options = options
        self.pile = Pile(path, fields, rejects)
        self.line = 1  # of the file, where the next piece begins
        self._threads = threads
        self._trailing: bool | None = None  # whether lines end with a delimiter
        null = options.null.encode()
        self._escaped_null = _escaped_null(options) if options.escape and null.startswith(b"\\") else None
        if self._escaped_null is not None:
            for one in fields:
                one.options = replace(options, null=MARKER)

    # -- pieces

    def batches(self, stream: Stream) -> Iterator[Batch]:
        """All rows, in order."""
        waiting = self._without_header(stream)
        with ThreadPoolExecutor(max(self._threads, 1), "parse") as pool:
            jobs: deque[tuple[Future[list[Batch] | None], bytes, int]] = deque()
            while True:
                data = stream.read(PIECE)
                waiting += data
                cut = self._end_of_record(waiting) if data else self._whole(waiting)
                if cut is None or (not cut and len(waiting) > LONGEST):
                    while jobs:
                        yield from self._done(*jobs.popleft())
                    yield from self.with_care(lines_of(waiting, stream), self.line)
                    return
                if cut:
                    piece, waiting = waiting[:cut], waiting[cut:]
                    lines = piece.count(b"\n")
                    jobs.append((pool.submit(self._fast_or_none, piece, lines), piece, self.line))
                    self.line += lines or piece.count(b"\r")
                while jobs and (not data or len(jobs) > self._threads):
                    yield from self._done(*jobs.popleft())
                if not data:
                    return

    def _done(self, job: "Future[list[Batch] | None]", piece: bytes, line: int) -> Iterator[Batch]:
        found = job.result()
        if found is None:
            yield from self.with_care(lines_of(piece, None), line)
        else:
            yield from found

    def _without_header(self, stream: Stream) -> bytes:
        """What was read behind the lines of the header."""
        data = b""
        left = self.options.header
        while left:
            more = stream.read(PIECE)
            data += more
            while left and (end := data.find(b"\n") + 1):
                data = data[end:]
                left -= 1
                self.line += 1
            if not more:
                return b"" if left else data
        return data

    def _whole(self, data: bytes) -> int | None:
        """The end of the file, unless its quotes are none."""
        quote = self.options.quote.encode()
        return None if quote and (data.count(quote) % 2 or _stray(self.options).search(data)) else len(data)

    def _end_of_record(self, data: bytes) -> int | None:
        """Where the last whole record ends; 0: nowhere yet; None: nobody can tell."""
        options = self.options
        quote = options.quote.encode()
        if options.remove_quotes and b'"' in data:
            return None
        newline = b"\n" if b"\n" in data else b"\r"
        quotes = data.count(quote) if quote else 0
        if quotes and _stray(options).search(data):
            return None
        at = len(data) if newline == b"\n" else len(data) - 1
        outside = quotes % 2 == 0
        while (end := data.rfind(newline, 0, at)) >= 0:
            if quote and data.count(quote, end, at) % 2:
                outside = not outside
            if outside and not (options.escape and _backslashes(data, end) % 2):
                return end + 1
            at = end
        return 0

    # -- fast

    def _fast_or_none(self, piece: bytes, lines: int) -> list[Batch] | None:
        try:
            return self._fast(piece, lines)
        except (Doubtful, ArithmeticError, TypeError, ValueError, NotImplementedError):  # pyarrow's are among them
            return None

    def _fast(self, piece: bytes, lines: int) -> list[Batch]:
        """lines: how many ends of lines there are in it."""
        options = self.options
        if options.remove_quotes and (b'"' in piece or b"'" in piece):
            raise Doubtful
        if self._escaped_null is not None:
            piece = self._escaped_null(piece)
        null = self.fields[0].options.null
        table = self._parsed(piece, null, hexadecimal=_hexadecimal(piece))
        rows = table.num_rows
        if not options.skip_blank_lines and rows != lines + (not piece.endswith(b"\n")) and _blank_line(piece):
            raise Doubtful
        columns = {one.name: self._polished(table.column(one.name), one, null) for one in self.targets}
        return [
            Batch({name: part(column, start, min(start + VECTOR, rows)) for name, column in columns.items()}, stop)
            for start in range(0, rows, VECTOR)
            for stop in (min(VECTOR, rows - start),)
        ]

    def _parsed(self, piece: bytes, null: str, *, hexadecimal: bool) -> "pa.Table":
        reading: Any = extra("pyarrow.csv", "arrow")
        options = self.options
        names = [one.name for one in self.targets]
        if self._trailing is None:
            self._trailing = self._ends_with_delimiter(piece)
        return reading.read_csv(
            pyarrow().BufferReader(piece),
            read_options=reading.ReadOptions(
                use_threads=False,
                column_names=[*names, TRAILING] if self._trailing else names,
                block_size=len(piece) + 1,
            ),
            parse_options=reading.ParseOptions(
                delimiter=options.delimiter,
                quote_char=options.quote or False,
                escape_char="\\" if options.escape else False,
                newlines_in_values=bool(options.quote) or options.escape,
                ignore_empty_lines=True,
            ),
            convert_options=reading.ConvertOptions(
                column_types={one.name: self._read_as(one, hexadecimal=hexadecimal) for one in self.targets}
                | {TRAILING: pyarrow().null()},
                null_values=["", null],
                strings_can_be_null=False,
                quoted_strings_can_be_null=True,
                true_values=TRUE,
                false_values=FALSE,
            ),
        )

    def _ends_with_delimiter(self, piece: bytes) -> bool:
        first = piece.split(b"\n", 1)[0].rstrip(b"\r")
        delimiter = self.options.delimiter.encode()
        return first.endswith(delimiter) and first.count(delimiter) == len(self.targets)

    def _read_as(self, target: Field, *, hexadecimal: bool) -> "pa.DataType":
        """The type that pyarrow reads a column as: text where it would read more than COPY does, or less."""
        kind, pa = target.type.kind, pyarrow()
        if hexadecimal and target.type.integer:
            return pa.string()
        templates = {"date": self.options.date, "timestamp": self.options.time, "timestamptz": self.options.time}
        if kind == "varbyte" or templates.get(kind) is not None:
            return pa.string()
        return pa.float64() if kind == "real" else arrow_type(target.type)

    def _polished(self, array: "pa.ChunkedArray", target: Field, null: str) -> Column:
        type, options = target.type, self.options
        if type.text:
            array = self._text_options(array, target, null)
        elif type.integer and pyarrow().types.is_string(array.type):
            array = self._whole_numbers(array, target)
        column = from_arrow(array, target.name)
        if column.type.text and not type.text:
            words = [None if one == "" else one for one in array.to_pylist()]
            column, faults = Fields(target, self.fields[0].options, self.fields[0].context).convert(words)
            if faults:
                raise Doubtful
        if type.floating and np.isinf(column.data).any():
            raise Doubtful
        if not target.nullable and column.valid is not None and not column.valid.all():
            raise Doubtful
        if type.bytes:
            if type.kind == "char" or (options.truncate and type.length):
                column = castwords.cut(column, type)
            if type.length and int(np.diff(column.data).max(initial=0)) > type.length:
                raise Doubtful
        column.type = type
        limits = type.limits() if type.whole and column.data.dtype == np.int64 and len(column.data) else None
        if limits and not limits[0] <= int(column.data.min()) <= int(column.data.max()) <= limits[1]:
            raise Doubtful
        return column

    @staticmethod
    def _whole_numbers(array: "pa.ChunkedArray", target: Field) -> "pa.ChunkedArray":
        compute: Any = extra("pyarrow.compute", "arrow")
        if compute.any(compute.match_substring(array, "x", ignore_case=True)).as_py():
            raise Doubtful
        none = pyarrow().scalar(None, pyarrow().string())
        trimmed = compute.utf8_trim(array, characters=" ")
        return compute.if_else(compute.equal(trimmed, ""), none, trimmed).cast(arrow_type(target.type))

    def _text_options(self, array: "pa.ChunkedArray", target: Field, null: str) -> "pa.ChunkedArray":
        compute: Any = extra("pyarrow.compute", "arrow")
        options = self.options
        none = pyarrow().scalar(None, pyarrow().string())
        null_rows = compute.equal(array, null)
        if compute.any(null_rows).as_py():
            array = compute.if_else(null_rows, none, array)
        if options.trim_blanks or target.type.kind == "char":
            array = compute.utf8_rtrim(array, characters=" ")
        if options.empty_as_null:
            array = compute.if_else(compute.equal(array, ""), none, array)
        if options.blanks_as_null:
            array = compute.if_else(compute.utf8_is_space(array), none, array)
        return array

    # -- with care

    def with_care(self, lines: Iterator[str], first: int) -> Iterator[Batch]:
        """The rows of these lines; what is no row is rejected. first: the number of the first line."""
        read: list[str] = []
        numbers = [first]

        def watched() -> Iterator[str]:
            for line in lines:
                numbers[0] += 1
                read.append(line)
                yield (
                    self._escaped_null(line.encode(errors="surrogateescape")).decode(errors="surrogateescape")
                    if self._escaped_null is not None
                    else line
                )

        records = csv.reader(watched(), **self._format())
        while True:
            read.clear()
            line = numbers[0]
            try:
                row = next(records, None)
            except csv.Error as error:
                reason = f"the line cannot be cut into fields: {error}"
                self.pile.refuse(line, "".join(read), rejected.BAD_LINE, reason)
                continue
            if row is None:
                break
            self._add(row, line, "".join(read))
            if self.pile.full:
                yield self.pile.batch()
        if len(self.pile):
            yield self.pile.batch()

    def _format(self) -> dict[str, Any]:
        options = self.options
        escape = "\\" if options.escape else None
        if options.quote:
            return {"delimiter": options.delimiter, "quotechar": options.quote, "strict": True}
        if options.remove_quotes:
            return {"delimiter": options.delimiter, "quotechar": '"', "doublequote": False, "escapechar": escape}
        return {"delimiter": options.delimiter, "quoting": csv.QUOTE_NONE, "escapechar": escape, "quotechar": None}

    def _add(self, row: list[str], line: int, raw: str) -> None:
        options, wanted = self.options, len(self.targets)
        if not row or (len(row) == 1 and wanted > 1 and not row[0].strip()):
            if options.skip_blank_lines:
                return
            if wanted > 1:
                self.pile.refuse(line, raw, rejected.NO_DATA, "the line is empty: IGNOREBLANKLINES would skip it")
                return
            row = row or [""]
        if len(row) == wanted + 1 and not row[-1]:
            row.pop()
        if options.remove_quotes:
            row = [one[1:-1] if len(one) > 1 and one[0] == one[-1] == "'" else one for one in row]
        if len(row) < wanted and options.fill:
            row += [""] * (wanted - len(row))
        if len(row) == wanted:
            self.pile.add(row, line, raw)
        elif len(row) > wanted:
            self.pile.refuse(line, raw, rejected.TOO_MANY, f"the line has {len(row):,} fields, {wanted:,} are expected")
        else:
            code = rejected.DELIMITER_MISSING if len(row) == 1 else rejected.TOO_FEW
            hint = f"no delimiter {options.delimiter!r} in it, " if len(row) == 1 else ""
            reason = f"the line has {hint}{len(row):,} of {wanted:,} fields: FILLRECORD would add the others"
            self.pile.refuse(line, raw, code, reason)


def _blank_line(piece: bytes) -> bool:
    """Whether there may be a line without anything; those in quotes count too."""
    return piece[:1] in b"\r\n" or b"\n\n" in piece or b"\n\r" in piece or b"\r\r" in piece


def _hexadecimal(piece: bytes) -> bool:
    """Whether there is a 0x: pyarrow would read a number. As fast as memory, which bytes.find is not."""
    letters = np.frombuffer(piece, np.uint8)
    at = np.flatnonzero((letters & 0xDF) == ord("X"))
    return bool((letters[at - 1] == ord("0")).any())


def _stray(options: Options) -> "re.Pattern[bytes]":
    """A quote in the middle of a field."""
    quote, delimiter = re.escape(options.quote.encode()), re.escape(options.delimiter.encode())
    inner = rb"[^%b%b\r\n]" % (quote, delimiter)
    return re.compile(rb"%b(?<=%b%b)(?=%b)" % (quote, inner, quote, inner))  # a plain quote first: that is fast


def _backslashes(data: bytes, end: int) -> int:
    """How many stand before a place."""
    if data[end - 1 : end] == b"\r":
        end -= 1
    start = end
    while start and data[start - 1] == 0x5C:
        start -= 1
    return end - start


def _escaped_null(options: Options) -> "Callable[[bytes], bytes]":
    r"""With ESCAPE, \N would be read as N: it is marked before."""
    delimiter, null = re.escape(options.delimiter.encode()), re.escape(options.null.encode())
    pattern = re.compile(
        rb"(?:\A|(?<=[\r\n])|(?<=[^\\]%b)|(?<=\A%b))%b(?=%b|[\r\n]|\Z)" % (delimiter, delimiter, null, delimiter)
    )
    word, marker = options.null.encode(), MARKER.encode()
    return lambda data: pattern.sub(marker, data) if word in data else data
