"""Numbers for tuples of values: what GROUP BY, DISTINCT, set operations and joins stand on.

    columns ──> parts: whole numbers of a known range ──> words: packed side by side, <= 64 bits ──> Index ──> numbers

    whole numbers, dates, BOOLEAN    value - low + 1, 0 = NULL
    REAL DOUBLE                      their 64 bits + 1; NaN is one pattern, -0.0 is 0.0
    text                             the number of the word, from an Interner
    beyond 64 bits, months           the number of the value, from a dict (slow, exact, rare)

A part has as many bits as the values seen need, or the bounds given as a hint. A batch that exceeds them makes all that
was numbered be packed again with twice the range, in the same order: numbers never change. Where 64 bits are not enough
for all parts, the number of one word is a part of the next, and so on:

    number of (a, b, c) = number of (number of (a, b), c)

Several columns of few codes each (text of small dictionaries) have a table from their codes together to the number.
One key of text needs no word: its number is the Interner's. One key of whole numbers is its own word, never copied.

Invariants: numbers are 0, 1, 2 ... in order of first appearance. Equal tuples have equal numbers whatever the layout of
their columns (base, width, dictionary, plain text, constant, wide). NULLs are equal, or with nulls="never" rows with a
NULL have no number: 0xFFFFFFFF from `number`, -1 from `find`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from engines._native import numbering
from engines.errors import Invalid
from engines.sql.column import Bytes, Column, Dictionary, Positions
from engines.sql.interner import UNKNOWN, Interner
from engines.sql.keyindex import SMALL, WORD, Index, Numbers, Words
from engines.sql.spans import any_months
from engines.sql.types import Type

Space = tuple[tuple[Dictionary | None, int, int], ...]  # of each column of small codes: dictionary, base, codes
NUMBER_BITS: Final = 32
TABLES: Final = 64
NONE: Final = np.uint32(0xFFFFFFFF)
FLOAT_HIGH: Final = WORD - 1
UNSIGNED: Final = {np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.uint32), np.dtype(np.uint64)}


class Encoded(NamedTuple):
    """A column as unsigned whole numbers: value = base + data. Of a constant, one row."""

    data: npt.NDArray[Any]
    base: int
    valid: Bytes | None
    low: int
    high: int
    constant: bool = False
    there: Bytes | None = None  # 0 = a value that was never numbered; None = any may have been


class Wide:
    """Values that 64 bits do not hold, numbered by a dict."""

    __slots__ = ("nulls", "numbers")

    def __init__(self, *, nulls: bool) -> None:
        self.nulls = nulls
        self.numbers: dict[Any, int] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def nbytes(self) -> int:
        return 150 * len(self.numbers)

    def number(self, column: Column) -> Positions:
        """As Interner.number."""
        numbers = self.numbers
        if self.nulls:
            return np.array([numbers.setdefault(value, len(numbers)) for value in _values(column)], np.int32)
        return np.array([-1 if v is None else numbers.setdefault(v, len(numbers)) for v in _values(column)], np.int32)

    def find(self, column: Column) -> Positions:
        """As Interner.find."""
        return np.array([self.numbers.get(value, -1) for value in _values(column)], np.int32)

    def column(self, numbers: Positions, type: Type) -> Column:
        every = list(self.numbers)
        values = [every[number] for number in numbers.tolist()]
        valid = None if None not in self.numbers else np.array([value is not None for value in values], np.uint8)
        data = np.array([value or 0 for value in values] + [None], object)[:-1]
        return Column(type, data, valid=valid)


@dataclass(slots=True)
class Part:
    """One key: the range of its values, which have the codes 1 .. high - low + 1."""

    type: Type
    names: Interner | Wide | None  # numbers of values that are no whole numbers themselves
    hint: tuple[int, int] | None = None
    low: int = 0
    high: int = -1  # below low: nothing was seen
    most: int = -1  # the highest value that its bits have room for

    @property
    def bits(self) -> int:
        return max(self.high - self.low + 1, 1).bit_length()

    def extend(self, low: int, high: int) -> None:
        """Take in this range too, with room for more of the same kind."""
        if self.names is not None:
            bits = max(8, -(-(high + 2).bit_length() // 8) * 8)
            self.low, self.high = 0, min((1 << bits) - 2, (1 << NUMBER_BITS) - 2)
            return
        span = self.high - self.low + 1
        if span <= 0:
            hint = self.hint or (low, high)
            self.low, self.high = min(low, hint[0]), max(high, hint[1])
            return
        least, most = self.type.limits() or (-(1 << 63), (1 << 63) - 1)
        below = min(low, max(self.low - span, least)) if low < self.low else self.low
        above = max(high, min(self.high + span, most)) if high > self.high else self.high
        if above - below >= WORD:
            below, above = min(self.low, low), max(self.high, high)
        self.low, self.high = below, above

    def reach(self, low: int, high: int) -> int:
        """How far apart values would be with these."""
        return high - low if self.high < self.low else max(self.high, high) - min(self.low, low)

    def admits(self, code: Encoded) -> bool:
        return self.low <= code.low and code.high <= self.most


@dataclass(slots=True)
class Word:
    """What is packed into 64 bits, the first member highest: parts by number, and words before it as -1 - number."""

    members: list[int]
    shifts: list[int]
    index: Index = field(default_factory=Index)


class Numbering:
    """Numbers for tuples of values of these types; see the module's text.

    hints: bounds of the whole numbers of each column, as far as statistics know them: a packing that fits from the
    start. Invalid for types that have no equality here (arrays, rows).
    """

    def __init__(
        self,
        types: Sequence[Type],
        *,
        nulls: Literal["equal", "never"] = "equal",
        hints: Sequence[tuple[int, int] | None] = (),
    ) -> None:
        self.types = tuple(types)
        self.nulls = nulls == "equal"
        for type in self.types:
            if type.fields:
                raise Invalid(f"values of type {type} cannot be keys of a join or group: compare their parts")
        bounds = [*hints, *([None] * (len(self.types) - len(hints)))]
        self._parts = [
            Part(type, Interner(nulls=self.nulls) if type.bytes else None, hint)
            for type, hint in zip(self.types, bounds, strict=True)
        ]
        self._words: list[Word] = []
        self._tables: dict[Space, Positions] = {}
        if not self._alone:
            self._lay_out()

    def __len__(self) -> int:
        return self._words[-1].index.count if self._words else len(self._parts[0].names or ())

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it holds."""
        names = [part.names for part in self._parts if part.names is not None]
        return sum(name.nbytes for name in names) + sum(word.index.nbytes for word in self._words)

    def number(self, columns: Sequence[Column], rows: int) -> Numbers:
        """uint32[rows]: the number of each row's tuple; a tuple that is new gets the next one."""
        if rows == 0:
            return np.zeros(0, np.uint32)
        if len(columns) > 1 and (small := _small(columns)) is not None:
            return self._by_code(columns, *small)
        return self._number(columns, rows)

    def _number(self, columns: Sequence[Column], rows: int) -> Numbers:
        encoded = [self._encode(i, column, add=True) for i, column in enumerate(columns)]
        if self._alone:
            return _spread(encoded[0].data, rows, constant=encoded[0].constant)
        self._admit(encoded)
        constant = all(code.constant for code in encoded)
        return _spread(self._add(encoded, 1 if constant else rows), rows, constant=constant)

    def find(self, columns: Sequence[Column], rows: int) -> Positions:
        """int32[rows]: the number of each row's tuple, -1 = it has none. Threads may do this at the same time."""
        if rows == 0:
            return np.zeros(0, np.int32)
        encoded = [self._encode(i, column, add=False) for i, column in enumerate(columns)]
        if self._alone:
            return _spread(encoded[0].data.view(np.int32), rows, constant=encoded[0].constant)
        constant = all(code.constant for code in encoded)
        return _spread(self._search(encoded, 1 if constant else rows), rows, constant=constant)

    def keys(self) -> list[Column]:
        """The tuples by number, a column for each key. Text is plain for a single key, else coded."""
        if self._alone:
            names = self._parts[0].names
            return [names.column(self.types[0])] if isinstance(names, Interner) else []
        return [_decoded(part, codes) for part, codes in zip(self._parts, self._codes(), strict=True)]

    def codes(self, i: int) -> tuple[int, Words] | None:
        """(low, codes) of the i-th keys by number: value = low - 1 + code, 0 = NULL. None: they have names instead."""
        part = self._parts[i]
        return None if part.names is not None else (part.low, self._codes()[i])

    def __getstate__(self) -> Any:  # noqa: ANN401 - what pickle takes
        return self.types, self.nulls, self._parts, self._words

    def __setstate__(self, state: Any) -> None:  # noqa: ANN401 - see __getstate__
        self.types, self.nulls, self._parts, self._words = state
        self._tables = {}

    def merge(self, other: "Numbering") -> Numbers:
        """Number the other's tuples here; uint32 by the other's numbers."""
        return self.number(other.keys(), len(other))

    def _by_code(self, columns: Sequence[Column], codes: npt.NDArray[Any], space: Space) -> Numbers:
        """Numbers by a table from all codes of a row together to its number, filled as they turn up."""
        if space not in self._tables:
            if len(self._tables) >= TABLES:
                self._tables.clear()
            self._tables[space] = np.full(prod(size for *_, size in space), UNKNOWN, np.int32)
        table = self._tables[space]
        out, missing = np.empty(len(codes), np.int32), np.empty(len(codes), np.int32)
        count = numbering.translate(
            codes, None, nulls=False, null=-1, table=table, out=out, missing=missing, again=False
        )
        if count:
            asked = missing[:count]
            rest, at = asked, []
            for *_, size in reversed(space):
                at.append(rest % size)
                rest = rest // size
            tuples = [replace(column, data=codes.astype(column.data.dtype))
                      for column, codes in zip(columns, reversed(at), strict=True)]  # fmt: skip
            table[asked] = self._number(tuples, count).view(np.int32)
            out = table[codes]
        return out.view(np.uint32)

    # ---- columns to codes

    @property
    def _alone(self) -> bool:
        """One key of text."""
        return len(self._parts) == 1 and isinstance(self._parts[0].names, Interner)

    def _encode(self, i: int, column: Column, *, add: bool) -> Encoded:
        part = self._parts[i]
        there = None
        if part.names is None and column.wide:
            narrowed, there = _narrowed(column)
            if add and (there is not None or (column.type.kind == "interval" and any_months(column.data))):
                self._name(i)  # from now on by a dict
            else:
                column = narrowed
        if part.names is not None:
            return self._named(part.names, column, add=add)
        if column.data.dtype == np.float64:
            values = column.data + 0.0  # -0.0 + 0.0 is 0.0
            values[np.isnan(values)] = np.nan
            return Encoded(values.view(np.uint64), 0, column.valid, 0, FLOAT_HIGH, column.constant)
        data = np.ascontiguousarray(column.data, None if column.data.dtype in UNSIGNED else np.int64)
        low, high = self._bounds(column, data)
        if add and part.reach(low, high) >= WORD:
            self._name(i)  # both ends of BIGINT leave no code for NULL
            return self._encode(i, column, add=add)
        unsigned = data if data.dtype in UNSIGNED else data.view(np.uint64)
        return Encoded(unsigned, column.base, column.valid, low, high, column.constant, there)

    def _named(self, names: "Interner | Wide", column: Column, *, add: bool) -> Encoded:
        numbers = names.number(column) if add else names.find(column)
        valid = None if self.nulls else column.valid
        there = None if add else (numbers >= 0).view(np.uint8)
        return Encoded(numbers.view(np.uint32), 0, valid, 0, max(len(names) - 1, 0), column.constant, there)

    def _bounds(self, column: Column, data: npt.NDArray[Any]) -> tuple[int, int]:
        """As narrow as is cheap: 8 and 16 bits by their width, else what is known or what is there."""
        if column.low is not None and column.high is not None and column.high - column.low < 1 << 32:
            return column.low, column.high
        if data.dtype.itemsize <= 2 or (data.dtype == np.uint32 and len(self._parts) == 1):
            return column.base, column.base + (1 << 8 * data.dtype.itemsize) - 1
        return column.base + int(data.min()), column.base + int(data.max())

    def _name(self, i: int) -> None:
        """From now on the values of this part are numbered by a dict: one has come that 64 bits do not hold."""
        codes = self._codes()
        part = self._parts[i]
        part.names = Wide(nulls=self.nulls)
        known = _decoded(Part(part.type, None, low=part.low, high=part.high), codes[i])
        numbers = part.names.number(known)
        part.low, part.high = 0, -1
        part.extend(0, max(len(numbers) - 1, 0))
        codes[i] = numbers.astype(np.uint64) + np.uint64(1)
        self._pack_again(codes)

    # ---- codes to numbers

    def _admit(self, encoded: list[Encoded]) -> None:
        """Make room for values outside the ranges so far."""
        pairs = list(zip(self._parts, encoded, strict=True))
        fits = True
        for part, code in pairs:
            if part.admits(code):
                part.high = max(part.high, code.high)
            else:
                fits = False
        if fits:
            return
        codes = self._codes()
        for i, (part, code) in enumerate(pairs):
            low = part.low
            if not part.admits(code):
                part.extend(code.low, code.high)
            if low != part.low:
                codes[i] = np.where(codes[i] == 0, codes[i], codes[i] + np.uint64((low - part.low) & WORD))
        self._pack_again(codes)

    def _pack_again(self, codes: list[Words]) -> None:
        """Number the same tuples in the same order, by the ranges that the parts have now."""
        seen = self._words[-1].index.seen
        self._lay_out()
        if len(codes[0]):
            self._add([Encoded(code, part.low - 1, (code != 0).view(np.uint8), 0, 0)
                       for part, code in zip(self._parts, codes, strict=True)], len(codes[0]))  # fmt: skip
        for word in self._words:
            word.index.seen = max(seen, word.index.seen)

    def _lay_out(self) -> None:
        """Give every part its place in a word."""
        bits = [part.bits for part in self._parts]
        self._words = []
        if sum(bits) <= 64:
            self._put(list(range(len(bits))))
            return
        members = [i if bits[i] <= NUMBER_BITS else self._put([i]) for i in range(len(bits))]
        word: list[int] = []
        for member in members:
            if sum(NUMBER_BITS if i < 0 else bits[i] for i in [*word, member]) > 64:
                word = [self._put(word)]
            word.append(member)
        self._put(word)

    def _put(self, members: list[int]) -> int:
        """A word of these; how later words name it."""
        shifts = []
        shift = 0
        for i in reversed(members):
            shifts.append(shift)
            if i < 0:
                shift += NUMBER_BITS
                continue
            part = self._parts[i]
            used = part.bits
            if i == members[0] and part.names is None:  # nothing lies above the first: it may use what is left
                used = 64 - shift
            part.most = part.low + (1 << used) - 2 if part.high >= part.low else part.low - 1
            shift += used
        self._words.append(Word(members, shifts[::-1]))
        return -len(self._words)

    def _add(self, encoded: list[Encoded], rows: int) -> Numbers:
        mask = None if self.nulls else _both(encoded, rows)
        numbers: list[Numbers] = []
        for word in self._words:
            first = word.members[0]
            if len(word.members) == 1 and len(encoded[first].data) == rows:
                code = encoded[first]
                offset = code.base - self._parts[first].low + 1
                numbers.append(word.index.number(code.data, offset, code.valid, nulls=self.nulls))
            else:
                packed = self._pack(word, encoded, rows, numbers)
                numbers.append(word.index.number(packed, 0, mask, nulls=False))
        return numbers[-1]

    def _search(self, encoded: list[Encoded], rows: int) -> Positions:
        single = len(encoded) == 1
        mask = None if self.nulls or single else _both(encoded, rows)
        for part, code in zip(self._parts, encoded, strict=True):
            mask = _and(mask, code.there, rows)
            if not single:  # a single key has all 64 bits to itself: what is outside its range meets nothing
                mask = _and(mask, _inside(part, code), rows)
        numbers: list[Numbers] = []
        for word in self._words:
            first = word.members[0]
            if len(word.members) == 1 and len(encoded[first].data) == rows:
                code = encoded[first]
                offset = code.base - self._parts[first].low + 1
                found = word.index.find(code.data, offset, code.valid, nulls=self.nulls)
                if mask is not None:
                    found[mask == 0] = -1
            else:
                packed = self._pack(word, encoded, rows, numbers)
                found = word.index.find(packed, 0, mask, nulls=False, zero=True)
            if word is not self._words[-1]:
                mask = _and(mask, (found >= 0).view(np.uint8), rows)
            numbers.append(found.view(np.uint32))
        return numbers[-1].view(np.int32)

    def _pack(self, word: Word, encoded: list[Encoded], rows: int, numbers: list[Numbers]) -> Words:
        """The word's members side by side, one word a row."""
        packed = np.empty(rows, np.uint64)
        first = True
        for i, shift in zip(word.members, word.shifts, strict=True):
            if i < 0:
                numbering.pack(numbers[-1 - i], 0, None, shift, first, packed)
                first = False
                continue
            part, code = self._parts[i], encoded[i]
            offset = (code.base - part.low + 1) & WORD
            if code.constant and rows != len(code.data):
                value = 0 if code.valid is not None and not code.valid[0] else (int(code.data[0]) + offset) & WORD
                value = (value << shift) & WORD
                if first:
                    packed[:] = value
                else:
                    packed += np.uint64(value)
            else:
                numbering.pack(code.data, offset, code.valid, shift, first, packed)
            first = False
        return packed

    # ---- numbers to columns

    def _codes(self) -> list[Words]:
        """The codes of each part by number: 0 = NULL, else value - low + 1."""
        codes: list[Words] = [np.zeros(0, np.uint64)] * len(self._parts)
        numbers: list[Positions | slice] = [slice(None)] * len(self._words)
        for place, word in reversed(list(enumerate(self._words))):
            packed = word.index.keys[: word.index.count][numbers[place]]
            above = 64
            for i, shift in zip(word.members, word.shifts, strict=True):
                code = packed >> np.uint64(shift)
                if above < 64:
                    code &= np.uint64((1 << (above - shift)) - 1)
                above = shift
                if i < 0:
                    numbers[-1 - i] = code.astype(np.int32)
                else:
                    codes[i] = code
        return codes


def _small(columns: Sequence[Column]) -> tuple[npt.NDArray[Any], Space] | None:
    """Codes of all columns together, where each has few and no NULL: (first * size of second + second) ..."""
    space: list[tuple[Dictionary | None, int, int]] = []
    combinations = 1
    for column in columns:
        if column.constant or column.valid is not None or column.heap is not None:
            return None
        if column.words is not None:
            size = len(column.words)
        elif column.data.dtype == np.uint8:
            size = 256
        else:
            return None
        combinations *= size
        if not 0 < combinations < SMALL:
            return None
        space.append((column.words, column.base, size))
    width = np.dtype(np.uint8 if combinations < 1 << 8 else np.uint16)
    codes: npt.NDArray[Any] = columns[0].data.astype(width, copy=False)
    for column, (*_, size) in zip(columns[1:], space[1:], strict=True):
        codes = codes * width.type(size) + column.data.astype(width, copy=False)
    return codes, tuple(space)


def _spread(numbers: npt.NDArray[Any], rows: int, *, constant: bool) -> npt.NDArray[Any]:
    return np.full(rows, numbers[0], numbers.dtype) if constant else numbers


def _and(mask: Bytes | None, more: Bytes | None, rows: int) -> Bytes | None:
    if more is None:
        return mask
    if len(more) != rows:
        more = np.full(rows, more[0], np.uint8)
    return more if mask is None else mask & more


def _both(encoded: list[Encoded], rows: int) -> Bytes | None:
    """Where no column is NULL; None = everywhere."""
    mask = None
    for code in encoded:
        mask = _and(mask, code.valid, rows)
    return mask


def _inside(part: Part, code: Encoded) -> Bytes | None:
    """Which rows have a value of the part's range; None = all. NULL is inside."""
    if part.admits(code):
        return None
    if part.high < part.low:
        inside = np.zeros(len(code.data), bool)
    else:
        inside = code.data.astype(np.uint64) + np.uint64((code.base - part.low) & WORD) <= np.uint64(
            part.most - part.low
        )
    return (inside if code.valid is None else inside | (code.valid == 0)).view(np.uint8)


def _values(column: Column) -> list[Any]:
    values: list[Any] = column.data.tolist() if column.wide else column.numbers().tolist()
    if column.valid is None:
        return values
    return [value if valid else None for value, valid in zip(values, column.valid.tolist(), strict=True)]


def _narrowed(column: Column) -> tuple[Column, Bytes | None]:
    """A wide column as int64, and which of its values fit; None = all do."""
    fits = np.array([value is None or -(1 << 63) <= value < 1 << 63 for value in _values(column)], np.uint8)
    used = fits if column.valid is None else fits & column.valid
    data = np.where(used != 0, column.data, 0).astype(np.int64)
    return replace(column, data=data, low=None, high=None), None if fits.all() else fits


def _decoded(part: Part, codes: Words) -> Column:
    valid = None if len(codes) == 0 or codes.all() else (codes != 0).view(np.uint8)
    if part.names is not None:
        numbers = np.maximum(codes, np.uint64(1)).astype(np.int64) - 1
        if isinstance(part.names, Interner):
            return part.names.coded(numbers.astype(np.int32), part.type)
        return part.names.column(numbers.astype(np.int32), part.type)
    data = codes - np.uint64(1)
    if valid is not None:
        data[codes == 0] = 0
    if part.type.floating:
        return Column(part.type, data.view(np.float64), valid=valid)
    most = int(data.max()) if len(data) else 0
    low, high = part.low, part.low + most
    if part.type.kind in {"boolean", "null"}:
        return Column(part.type, (data + np.uint64(part.low)).astype(np.uint8), valid=valid)
    for width in (np.uint8, np.uint16, np.uint32):
        if most <= np.iinfo(width).max:
            return Column(part.type, data.astype(width), part.low, valid, low=low, high=high)
    whole = (data + np.uint64(part.low & WORD)).view(np.int64)
    return Column(part.type, whole, valid=valid, low=low, high=high)
