"""InfluxDB's line protocol as a way in: tags are dimensions, fields are measures, the measurement is the table.

    cpu,host=a,region=eu usage=0.5,state="up",cores=8i,ok=t 1767225600000000000
    └┬┘ └──────┬───────┘ └──────────────┬────────────────┘ └────────┬────────┘
    table  dimensions   measures: 0.5 DOUBLE, 8i BIGINT,     in `precision`; none: now
                        "up" VARCHAR, t BOOLEAN

The kernel splits the text and reads numbers (_native/tslines.pyx); here names are unescaped, once for each distinct
head, and cells become columns. A line that cannot be read is a verdict on one line: the others are written, as the
protocol's servers do. Lines whose values have another type than those before them go into columns of their own.

Unescaping, by the protocol's rules: a backslash before a comma, a space or (not in measurements) an equals sign stands
for that; in texts before a quote or a backslash; before anything else it stands for itself.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from engines._native import tslines
from engines.errors import Invalid
from engines.timeseries.columns import Columns, Values, Words
from engines.timeseries.results import Rejected

Precision = Literal["ns", "us", "ms", "s", "m", "h"]
PRECISIONS: Final[Mapping[str, int]] = {
    "ns": 1, "us": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9,
}  # fmt: skip
FLOAT, WHOLE, BOOLEAN, TEXT, NUMBER = range(5)  # kinds of cells, as the kernel says them
_PIECE: Final = re.compile(rb"((?:\\.|[^,])*)(,|$)", re.DOTALL)
_EQUALS: Final = re.compile(rb"((?:\\.|[^=])*)=((?:\\.|[^=])*)", re.DOTALL)
_ESCAPED: Final = re.compile(rb"\\([,= ])")
_ESCAPED_MEASUREMENT: Final = re.compile(rb"\\([, ])")
_ESCAPED_TEXT: Final = re.compile(rb'\\(["\\])')
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]
Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the first space. problem: what is wrong with it, else the empty text."""

    measurement: str
    tags: Mapping[str, str]
    problem: str = ""


def read(
    data: "bytes | bytearray | memoryview | str", *, precision: str, now: int, single: bool = False
) -> tuple[dict[str, list[Columns]], list[Rejected]]:
    """Columns by measurement, and the lines that cannot be read; their index is the line's number, from 0.

    now: nanoseconds, for lines without a time. single: each field a single-measure record. Invalid for a precision that
    is none.
    """
    if precision not in PRECISIONS:
        raise Invalid(f"precision is one of {', '.join(PRECISIONS)}, got {precision!r}")
    if isinstance(data, str):
        data = data.encode(errors="surrogatepass")  # half a character: its line is refused, not all
    if not isinstance(data, bytes | bytearray | memoryview):
        raise Invalid(f"lines are bytes or a text, got {type(data).__name__}")
    whole = bytes(data)
    heads, names, rows, cells, wrong = tslines.parse(memoryview(whole))
    rejected = [Rejected(line - 1, f"line {line}, column {column}: {problem}") for line, column, problem in wrong]
    lines = _Lines(whole, [head_of(head) for head in heads], names, rows, cells, PRECISIONS[precision], now)
    rejected += lines.refused()
    found: dict[str, list[Columns]] = {}
    for measurement, chosen in lines.by_measurement():
        found[measurement] = list(lines.columns(chosen, single=single))
    return found, sorted(rejected, key=lambda one: one.index)


class _Lines:
    """What the kernel has found in a text, on its way to columns."""

    def __init__(  # noqa: PLR0917 - the kernel's answer, taken apart
        self,
        text: bytes,
        heads: Sequence[Head],
        names: Sequence[bytes],
        rows: Arrays,
        cells: Arrays,
        factor: int,
        now: int,
    ) -> None:
        self.text = text
        self.heads = heads
        self.head, times, timed, self.line = rows
        self.row, self.name, self.kind, self.bits = cells
        self.names = names
        most = 2**63 // factor
        self.in_range = ~((times > most - 1) | (times < -most)) | (timed == 0)
        self.times = np.where(timed != 0, np.where(self.in_range, times, 0) * factor, now)
        self.field_names = [_unescaped(name) for name in names]
        self.good = self.in_range & np.array([not head.problem for head in heads], bool)[self.head]
        odd = np.array([not name for name in self.field_names], bool)
        if odd.any():
            self.good[self.row[odd[self.name]]] = False
        self.kind = self.kind.copy()
        self.values: list[str | float] = []
        self._read_texts()

    def _read_texts(self) -> None:
        """Texts, and numbers that the kernel has left as such, become numbers of `values`."""
        chosen = np.flatnonzero((self.kind == TEXT) | (self.kind == NUMBER))
        known: dict[str | float, int] = {}
        self.codes = np.zeros(len(self.kind), np.int32)
        for at in chosen.tolist():
            place, length = int(self.bits[at]) >> 32, int(self.bits[at]) & 0xFFFFFFFF
            raw = self.text[place : place + length]
            if self.kind[at] == NUMBER:
                number = float(raw)
                self.kind[at] = FLOAT
                self.bits[at] = np.float64(number).view(np.uint64)
                if number in {float("inf"), float("-inf")}:
                    self.good[self.row[at]] = False
                continue
            try:
                text = _ESCAPED_TEXT.sub(rb"\1", raw).decode()
            except UnicodeDecodeError:
                self.good[self.row[at]] = False
                text = ""
            self.codes[at] = known.setdefault(text, len(known))
        self.words = tuple(str(text) for text in known)

    def refused(self) -> Iterator[Rejected]:
        """Why lines that the kernel could read are no good."""
        for row in np.flatnonzero(~self.good).tolist():
            line = int(self.line[row])
            reason = self.heads[self.head[row]].problem
            if not reason:
                reason = "a name or a text is not UTF-8, or a number is beyond the range of doubles"
            if not self.in_range[row]:
                reason = "the timestamp is out of range: say with precision= what its unit is"
            yield Rejected(line - 1, f"line {line}: {reason}")

    def by_measurement(self) -> Iterator[tuple[str, Flags]]:
        """Measurements in order of first appearance, with the rows of each."""
        order: dict[str, int] = {}
        numbers = np.array([order.setdefault(head.measurement, len(order)) for head in self.heads], np.int32)
        for measurement, number in order.items():
            chosen = self.good & (numbers[self.head] == number)
            if chosen.any():
                yield measurement, chosen

    def columns(self, chosen: Flags, *, single: bool) -> Iterator[Columns]:
        """The chosen rows as columns: most often one, more where a field changes its type."""
        while chosen.any():
            cells = chosen[self.row]
            now, later = self._of_one_type(cells)
            taken = chosen.copy()
            taken[self.row[later]] = False
            cells = now & taken[self.row]
            if single:
                yield from self._singles(cells)
            else:
                yield self._records(taken, cells)
            chosen &= ~taken

    def _of_one_type(self, cells: Flags) -> tuple[Flags, Flags]:
        """Which of the cells have the type that their field has first, and which have not."""
        first = np.full(len(self.names), -1, np.int16)
        places = np.flatnonzero(cells)[::-1]
        first[self.name[places]] = self.kind[places]  # the last assignment wins: the first cell
        fitting = self.kind == first[self.name]
        return cells & fitting, cells & ~fitting

    def _records(self, taken: Flags, cells: Flags) -> Columns:
        rows = np.flatnonzero(taken)
        place = np.zeros(len(taken), np.int64)
        place[rows] = np.arange(len(rows))
        measures = {
            self.field_names[field]: self._values(mine, place[self.row[mine]], len(rows))
            for field, mine in self._fields(cells, len(rows))
        }
        return Columns(
            self.times[rows],
            self._dimensions(rows),
            measures,
            None,
            np.ones(1, np.int64),
            index=self.line[rows] - 1,
        )

    def _singles(self, cells: Flags) -> Iterator[Columns]:
        for field, mine in self._fields(cells, 0):
            rows = self.row[mine]
            name = self.field_names[field]
            yield Columns(
                self.times[rows],
                self._dimensions(rows),
                {name: self._values(mine, np.arange(len(mine)), len(mine))},
                None,
                np.ones(1, np.int64),
                single=True,
                index=self.line[rows] - 1,
            )

    def _fields(self, cells: Flags, rows: int) -> Iterator[tuple[int, Places]]:
        """The cells of each field, fields in order of first appearance. rows: how many lines they are of."""
        mine = np.flatnonzero(cells)
        names = self.name[mine]
        each = len(mine) // rows if rows else 0
        if each and each * rows == len(mine) and bool((names.reshape(rows, each) == names[:each]).all()):
            for at, field in enumerate(names[:each].tolist()):  # each line has the same fields
                yield field, mine[at::each]
            return
        order = np.argsort(names, kind="stable")
        ends = np.flatnonzero(np.diff(names[order], append=-1))
        groups = np.split(mine[order], ends[:-1] + 1)
        for group in sorted(groups, key=lambda one: int(one[0])):
            yield int(self.name[group[0]]), group

    def _values(self, cells: npt.NDArray[Any], places: npt.NDArray[Any], rows: int) -> Values:
        """The values of one field. Where a line says a field twice, the last one counts."""
        kind = int(self.kind[cells[0]])
        bits, codes = self.bits[cells], self.codes[cells]
        source: npt.NDArray[Any] = (
            codes if kind == TEXT else bits.astype(np.uint8) if kind == BOOLEAN
            else bits.view(np.float64 if kind == FLOAT else np.int64)
        )  # fmt: skip
        valid = None
        data = source
        if len(cells) != rows or not np.array_equal(places, np.arange(rows)):
            data = np.zeros(rows, source.dtype)
            data[places] = source
            valid = np.zeros(rows, np.uint8)
            valid[places] = 1
            if valid.all():
                valid = None
        if kind == TEXT:
            return Values("varchar", data, valid, self.words)
        return Values("double" if kind == FLOAT else "bigint" if kind == WHOLE else "boolean", data, valid)

    def _dimensions(self, rows: npt.NDArray[Any]) -> dict[str, Words]:
        numbers = self.head[rows]
        found: dict[str, Words] = {}
        used = np.unique(numbers).tolist()
        for tag in dict.fromkeys(tag for number in used for tag in self.heads[number].tags):
            words: dict[str, int] = {}
            codes = np.full(len(self.heads), -1, np.int32)
            for number in used:
                value = self.heads[number].tags.get(tag)
                if value is not None:
                    codes[number] = words.setdefault(value, len(words))
            found[tag] = Words(codes[numbers], tuple(words))
        return found


def head_of(raw: bytes) -> Head:
    """A measurement and its tags, unescaped."""
    pieces = []
    for piece, end in _PIECE.findall(raw):
        pieces.append(piece)
        if not end:
            break
    measurement, *tags = pieces
    try:
        name = _ESCAPED_MEASUREMENT.sub(rb"\1", measurement).decode()
        found: dict[str, str] = {}
        for tag in tags:
            pair = _EQUALS.fullmatch(tag)
            if pair is None or not pair[1] or not pair[2]:
                return Head(name, {}, f"the tag {tag.decode(errors='replace')!r} is no name=value")
            key = _ESCAPED.sub(rb"\1", pair[1]).decode()
            if key in found:
                return Head(name, {}, f"the tag {key!r} stands there twice")
            found[key] = _ESCAPED.sub(rb"\1", pair[2]).decode()
    except UnicodeDecodeError:
        return Head("", {}, "the measurement or a tag is not UTF-8")
    return Head(name, found)


def _unescaped(name: bytes) -> str:
    """A field's name; empty if it is no UTF-8."""
    try:
        return _ESCAPED.sub(rb"\1", name).decode()
    except UnicodeDecodeError:
        return ""
