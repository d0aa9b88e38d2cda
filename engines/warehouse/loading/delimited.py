r"""CSV and text with delimiters: fast where the text is as it should be, with care where it is not.

    file ──> pieces of 4 MB, cut where a record ends ──> fast: pyarrow, typed columns
                                                    └──> with care: record by record, field by field

Both ways give the same rows (pieces.py). pyarrow reads 0x1F as a number and "a"b as ab: what it might read otherwise
than COPY does is read with care. Where quotes stand inside of fields nobody can tell from its middle where a record
ends: then the rest of the file is read with care.

    CSV      fields in quotes hold delimiters and lines; a quote is doubled in them
    text     no quotes; with ESCAPE a backslash takes the meaning from what follows it, also from the end of a line
             REMOVEQUOTES takes quotes around a field away

Both ways take one delimiter behind the last field for no field, as the service does.
"""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from engines.extras import extra
from engines.sql.arrow import arrow_type, pyarrow
from engines.sql.column import Batch
from engines.sql.fileformats import FALSE, TRUE
from engines.sql.source import Field
from engines.warehouse.loading import rejected
from engines.warehouse.loading.fields import Fields, Pile
from engines.warehouse.loading.options import Options
from engines.warehouse.loading.pieces import in_pieces
from engines.warehouse.loading.streams import PIECE, Stream
from engines.warehouse.loading.typed import Doubtful, batches_of

if TYPE_CHECKING:
    import pyarrow as pa

MARKER: Final = "\x00NULL\x00"  # for a NULL string that begins with the escape character
TRAILING: Final = "\x00trailing"


class Delimited:
    """The rows of one file as batches. targets: the columns that its fields are for, in order."""

    def __init__(
        self, path: str, fields: list[Fields], options: Options, rejects: rejected.Rejected, *, threads: int = 1
    ) -> None:
        self.path = path
        self.fields = fields
        self.targets = [one.target for one in fields]
        self.options = options
        self.pile = Pile(path, fields, rejects)
        self.line = 1  # behind the header
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
        yield from in_pieces(self, stream, waiting, self.line, threads=self._threads)

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

    def cut(self, data: bytes, *, last: bool) -> int | None:
        """Where the last whole record ends; 0: nowhere yet; None: nobody can tell. last: the file ends there."""
        if last:
            quote = self.options.quote.encode()
            return None if quote and (data.count(quote) % 2 or _stray(self.options).search(data)) else len(data)
        return self._end_of_record(data)

    def _end_of_record(self, data: bytes) -> int | None:
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

    def fast(self, piece: bytes, lines: int) -> list[Batch]:
        """The rows of a piece. One of REFUSALS if in doubt. lines: how many ends of lines there are in it."""
        options = self.options
        if options.remove_quotes and (b'"' in piece or b"'" in piece):
            raise Doubtful
        if self._escaped_null is not None:
            piece = self._escaped_null(piece)
        table = self._parsed(piece, self.fields[0].options.null, hexadecimal=_hexadecimal(piece))
        empty = table.num_rows != lines + (not piece.endswith(b"\n")) and _blank_line(piece)
        if empty and not options.skip_blank_lines:
            raise Doubtful
        return batches_of(table, self.fields)

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

    # -- with care

    def careful(self, lines: Iterator[str], first: int) -> Iterator[Batch]:
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
