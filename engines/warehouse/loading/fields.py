"""A field's text as a value of its column: what COPY's options say of it first, then the cast that SQL has.

    text ── NULL? blank? trimmed? cut? ──> cast ──> value, or a Fault

Columns are converted whole; each distinct text is cast once. Rows wait in a Pile until there are a batch of them.

Unlike a cast, COPY cuts the digits of a decimal that its column has no place for, unless ROUNDEC says to round.
"""

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from engines.errors import QueryError
from engines.sql import castwords, texts
from engines.sql.column import VECTOR, Batch, Column
from engines.sql.context import Context
from engines.sql.functions.formats import text_as_moment
from engines.sql.source import Field
from engines.sql.types import EPOCH, Type
from engines.sql.values import engine_column
from engines.warehouse.loading import rejected
from engines.warehouse.loading.options import Options
from engines.warehouse.loading.rejected import Fault, LoadError, Rejected, shown

BAD_BYTE: Final = re.compile("[\udc80-\udcff]")  # as surrogateescape decodes it
CODES: Final = {
    "smallint": rejected.BAD_DIGIT,
    "integer": rejected.BAD_DIGIT,
    "bigint": rejected.BAD_DIGIT,
    "decimal": rejected.BAD_DECIMAL,
    "real": rejected.BAD_FLOAT,
    "double": rejected.BAD_FLOAT,
    "boolean": rejected.BAD_BOOLEAN,
    "date": rejected.BAD_DATE,
    "timestamp": rejected.BAD_TIMESTAMP,
    "timestamptz": rejected.BAD_TIMESTAMP,
}
WAYS: Final = {  # what an error adds: how to have another form read
    "date": "; DATEFORMAT 'DD.MM.YYYY' reads another form",
    "timestamp": "; TIMEFORMAT 'DD.MM.YYYY HH24:MI:SS' reads another form",
    "timestamptz": "; TIMEFORMAT 'DD.MM.YYYY HH24:MI:SS' reads another form",
}
EPOCHS: Final = {"epochsecs": 1_000_000, "epochmillisecs": 1000}
MICROSECOND: Final = dt.timedelta(microseconds=1)
EPOCH_MOMENT: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - a difference of two without zones

Texts = list[str | None]


@dataclass(slots=True)
class Fields:
    """Converts the fields of one column. context: the rules of casts."""

    target: Field
    options: Options
    context: Context

    def convert(self, given: Texts) -> tuple[Column, dict[int, Fault]]:
        """The column, and the rows that do not fit, which hold NULL in it."""
        type, options = self.target.type, self.options
        faults: dict[int, Fault] = {}
        values = given if options.null not in given else [None if one == options.null else one for one in given]
        self._replace_bad_bytes(values := list(values), faults)
        column = self._texts(values, faults) if type.text else self._values(values, faults)
        if not self.target.nullable and column.valid is not None:
            for row in np.flatnonzero(column.valid == 0).tolist():
                faults.setdefault(row, Fault(rejected.NOT_NULL, "missing data for a NOT NULL column"))
        return column, faults

    def _replace_bad_bytes(self, values: Texts, faults: dict[int, Fault]) -> None:
        """Bytes that are no UTF-8: replaced by ACCEPTINVCHARS, else a fault."""
        for row, value in enumerate(values):
            if value is None or value.isascii() or not BAD_BYTE.search(value):
                continue
            if self.options.replacement is not None:
                values[row] = BAD_BYTE.sub(self.options.replacement, value)
                continue
            found = BAD_BYTE.search(value)
            byte = ord(found[0]) - 0xDC00 if found else 0
            faults[row] = Fault(rejected.BAD_BYTES, f"byte {byte:#04x} is no UTF-8: ACCEPTINVCHARS would replace it")
            values[row] = None

    # -- text

    def _texts(self, values: Texts, faults: dict[int, Fault]) -> Column:
        type, options = self.target.type, self.options
        if options.trim_blanks or type.kind == "char":
            values = [value and value.rstrip(" ") for value in values]
        if options.empty_as_null:
            values = [value or None for value in values]
        if options.blanks_as_null:
            values = [None if value and value.isspace() else value for value in values]
        words = [None if value is None else value.encode() for value in values]
        if type.length:
            for row, word in enumerate(words):
                if word is not None and len(word) > type.length:
                    if options.truncate:
                        words[row] = word[: type.length].decode(errors="ignore").encode()
                    else:
                        words[row] = None
                        faults[row] = Fault(
                            rejected.OUT_OF_RANGE,
                            f"a text of {len(word):,} bytes is longer than {type} holds: TRUNCATECOLUMNS would cut it",
                        )
        return texts.from_words(words, type)

    # -- other types

    def _values(self, values: Texts, faults: dict[int, Fault]) -> Column:
        type = self.target.type
        values = [None if value is None or not value or value.isspace() else value for value in values]
        reader = self.reader()
        if reader is not None:
            return self._read(values, reader, faults)
        if type.decimal and not self.options.round_decimals:
            cut = re.compile(rf"\s*([+-]?\d*\.\d{{{type.scale}}})\d+\s*")
            values = [value and cut.sub(r"\1", value, count=1) if _long(value, cut) else value for value in values]
        words = [None if value is None else value.encode(errors="surrogateescape") for value in values]
        column = castwords.read(texts.from_words(words), type, self.context, 0, lenient=True)
        if column.valid is not None:
            for row in np.flatnonzero(column.valid == 0).tolist():
                value = values[row]
                if value is not None and not (self.options.any_date and type.temporal):
                    faults[row] = self._fault(value)
        return column

    def reader(self) -> Callable[[str], int | bytes] | None:
        """What reads a text where the cast does not: templates, epochs, hexadecimal bytes."""
        type = self.target.type
        if type.kind == "varbyte":
            return bytes.fromhex
        if type.kind == "date" and self.options.date is not None:
            template = self.options.date
            return lambda text: (text_as_moment(text, template).date() - EPOCH).days
        if type.kind in {"timestamp", "timestamptz"} and self.options.time is not None:
            factor = EPOCHS.get(self.options.time.lower())
            unit = 1000 if type.unit == "ns" else 1
            if factor is not None:
                return lambda text: int(text) * factor * unit
            pattern = self.options.time
            return lambda text: (text_as_moment(text, pattern) - EPOCH_MOMENT) // MICROSECOND * unit
        return None

    def _read(self, values: Texts, reader: Callable[[str], int | bytes], faults: dict[int, Fault]) -> Column:
        type = self.target.type
        known: dict[str, int | bytes | None] = {}
        made: list[int | bytes | None] = []
        for row, value in enumerate(values):
            if value is None:
                made.append(None)
                continue
            if value not in known:
                try:
                    found = reader(value)
                    limits = type.limits()
                    known[value] = None if limits and not limits[0] <= found <= limits[1] else found  # type: ignore[operator] # whole
                except (ValueError, OverflowError):
                    known[value] = None
            if known[value] is None and not (self.options.any_date and type.temporal):
                template = self.options.date if type.kind == "date" else self.options.time
                by = f" by the template {template!r}" if template else ""
                faults[row] = Fault(CODES.get(type.kind, rejected.BAD_TYPE), f"{shown(value)!r} is no {type}{by}")
            made.append(known[value])
        return engine_column(made, type)

    def _fault(self, value: str) -> Fault:
        """Why the cast refuses a text."""
        type = self.target.type
        try:
            castwords.read(texts.from_words([value.encode(errors="surrogateescape")]), type, self.context, 0)
        except QueryError as error:
            reason = str(error).split("\n", 1)[0].rsplit(" (line ", 1)[0]
            if "too large" in reason:
                return Fault(rejected.INTEGER_OVERFLOW if type.integer else rejected.OUT_OF_RANGE, reason)
            return Fault(CODES.get(type.kind, rejected.BAD_TYPE), f"{reason}{WAYS.get(type.kind, '')}")
        return Fault(CODES.get(type.kind, rejected.BAD_TYPE), f"{value!r} is no {type}")


def _long(value: str | None, pattern: re.Pattern[str]) -> bool:
    return value is not None and "." in value and pattern.fullmatch(value) is not None


@dataclass(slots=True)
class Pile:
    """Rows of texts that wait to be a batch: fields in the order of the columns, lines for who is rejected."""

    path: str
    fields: Sequence[Fields]
    rejects: Rejected
    rows: list[Sequence[str | None]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    raws: list[str] = field(default_factory=list)
    refused: list[LoadError] = field(default_factory=list)  # lines that are no rows

    def add(self, row: Sequence[str | None], line: int, raw: str) -> None:
        self.rows.append(row)
        self.lines.append(line)
        self.raws.append(raw)

    def refuse(self, line: int, raw: str, code: int, reason: str) -> None:
        """A line that is no row."""
        self.refused.append(LoadError(self.path, line, "", "", shown(raw), "", code, reason))

    def __len__(self) -> int:
        return len(self.rows) + len(self.refused)

    @property
    def full(self) -> bool:
        return len(self) >= VECTOR

    def batch(self) -> Batch:
        """The rows that fit, as columns by name; the others are rejected, in the order of their lines."""
        rows, lines, raws, refused = self.rows, self.lines, self.raws, self.refused
        self.rows, self.lines, self.raws, self.refused = [], [], [], []
        columns: dict[str, Column] = {}
        wrong: dict[int, tuple[int, Fault]] = {}
        cells = list(zip(*rows, strict=True)) if rows else [()] * len(self.fields)
        for place, one in enumerate(self.fields):
            columns[one.target.name], faults = one.convert(list(cells[place]))
            for row, fault in faults.items():
                wrong.setdefault(row, (place, fault))
        for row, (place, fault) in wrong.items():
            target, value = self.fields[place].target, shown(cells[place][row] or "")
            name, kind = target.name, str(target.type)
            refused.append(
                LoadError(self.path, lines[row], name, kind, shown(raws[row]), value, fault.code, fault.reason)
            )
        for error in sorted(refused, key=lambda one: one.line):
            self.rejects.add(error)
        batch = Batch(columns, len(rows))
        if not wrong:
            return batch
        keep = np.ones(len(rows), bool)
        keep[list(wrong)] = False
        return batch.take(np.flatnonzero(keep).astype(np.int32))


def casts(type: Type) -> bool:
    """Whether a text can become a value of the type at all."""
    return type.text or type.kind in CODES or type.kind in {"time", "varbyte"}
