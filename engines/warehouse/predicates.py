"""Predicates on encoded columns: what a scan decides from zone maps, dictionaries and narrow numbers.

    whole numbers, dates, booleans    a range, or a set; the constants are shifted to the column's base, once a block
    text in codes                     asked once for each word of the dictionary; codes that pass: a range, or a table
    plain text                        compared bytewise, after everything else has thinned out the rows
    doubles                           zone maps only: `support` says PRUNE

A Test says of a zone map: NO row passes, EVERY row passes, or SOME may. Only then it looks at the rows.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines._native import compare, vector
from engines.sql import comparisons, texts
from engines.sql.column import Bytes, Column, Dictionary
from engines.sql.source import Predicate, Support
from engines.sql.types import VARBYTE, Type
from engines.warehouse.pages import BlockReference, zone

STEPS: Final = {"<": -1, "<=": 0, ">": 1, ">=": 0}  # from the constant to the last or first value that passes
LEAST, MOST = -(2**63), 2**63 - 1
KEPT_ANSWERS: Final = 64  # of predicates, by dictionary
Numbers = npt.NDArray[np.int64]
Masks = npt.NDArray[np.bool_]
Answers = tuple[Bytes, tuple[int, int] | None]  # 1 = the word passes; first and last code if these are neighbours


class Verdict(enum.Enum):
    """What a zone map says."""

    NO = 0
    EVERY = 1
    SOME = 2


def support(type: Type, predicate: Predicate) -> Support:
    """EXACT where every row that fails is left out. Depends on the type and the operator, never on the value."""
    if predicate.op in ("is null", "is not null") or type.whole or type.bytes or type.kind == "boolean":
        return Support.EXACT
    return Support.PRUNE if type.floating else Support.NONE


@dataclass(slots=True)
class Test:
    """A predicate on a column of this type. values: of =, in, prefix ...: the constants, NULLs dropped.

    op "between": what < <= > >= of whole numbers become, all of a column together: values (first, last), None = open.
    """

    column: str
    type: Type
    op: str
    values: tuple[Any, ...]

    @property
    def never(self) -> bool:
        """A comparison with NULL is not true of any row."""
        return not self.values and self.op not in ("is null", "is not null")

    @property
    def exact(self) -> bool:
        """Whether it may be asked of rows. Of doubles only zone maps are: a filter above looks at their rows."""
        return not self.type.floating or self.op in ("is null", "is not null")

    # -- zone maps

    def verdict(self, block: BlockReference | None, rows: int, missing: Any = None) -> Verdict:  # noqa: ANN401 - engine value
        """Of a block's rows; block None: all hold `missing`."""
        if block is None:
            nulls = rows if missing is None else 0
            low = high = missing
        else:
            nulls = block.nulls
            low, high = zone(block)
        match self.op:
            case "is null":
                return Verdict.NO if nulls == 0 else Verdict.EVERY if nulls == rows else Verdict.SOME
            case "is not null":
                return Verdict.NO if nulls == rows else Verdict.EVERY if nulls == 0 else Verdict.SOME
        if nulls == rows or self.never:
            return Verdict.NO
        if self.type.floating and any(value != value for value in self.values):  # noqa: PLR0124 - a NaN
            return Verdict.SOME
        found = self._between(low, high, exact=not self.type.bytes or block is None)
        return Verdict.SOME if found is Verdict.EVERY and (nulls or self.type.floating) else found

    def _between(self, low: Any, high: Any, *, exact: bool) -> Verdict:  # noqa: ANN401 - engine values, a case an operator
        """Low and high: None = unbounded. exact: they are values that occur, not bounds only."""
        if self.op == "between":
            return self._inside(low, high)
        value, op = self.values[0], self.op
        under = high is not None and high < value  # all rows are less
        over = low is not None and low > value
        match op:
            case "=":
                if under or over:
                    return Verdict.NO
                return Verdict.EVERY if exact and low == high == value else Verdict.SOME
            case "<>":
                return (
                    Verdict.EVERY if under or over else Verdict.NO if exact and low == high == value else Verdict.SOME
                )
            case "<":
                return Verdict.EVERY if under else Verdict.NO if low is not None and low >= value else Verdict.SOME
            case "<=":
                if high is not None and high <= value:
                    return Verdict.EVERY
                return Verdict.NO if over else Verdict.SOME
            case ">":
                if exact and high is not None and high <= value:
                    return Verdict.NO
                return Verdict.EVERY if over else Verdict.NO if under else Verdict.SOME
            case ">=":
                return Verdict.EVERY if low is not None and low >= value else Verdict.NO if under else Verdict.SOME
            case "prefix":
                end = after(value)
                if under or (end is not None and low is not None and low >= end):
                    return Verdict.NO
                return Verdict.SOME
        if all((high is not None and high < one) or (low is not None and low > one) for one in self.values):
            return Verdict.NO  # in
        return Verdict.EVERY if exact and low == high and low in self.values else Verdict.SOME

    def _inside(self, low: Any, high: Any) -> Verdict:  # noqa: ANN401 - engine values
        first, last = self.values
        if first is not None and ((high is not None and high < first) or (last is not None and last < first)):
            return Verdict.NO
        if last is not None and low is not None and low > last:
            return Verdict.NO
        if (first is None or (low is not None and low >= first)) and (
            last is None or (high is not None and high <= last)
        ):
            return Verdict.EVERY
        return Verdict.SOME

    def may(self, lows: Numbers, highs: Numbers) -> Masks | None:
        """Of many zone maps of whole numbers at once: where rows may pass; None where it takes a closer look."""
        found: Masks
        if self.op == "between":
            first, last = (np.clip(value, LEAST, MOST) for value in self.range)
            found = (highs >= first) & (lows <= last)
            return found if self.range[0] <= MOST and self.range[1] >= LEAST else np.zeros(len(lows), bool)
        if self.op not in ("=", "in") or not self.values:
            return None
        if not all(isinstance(value, int) and LEAST <= value <= MOST for value in self.values):
            return None
        found = np.zeros(len(lows), bool)
        for value in self.values:
            found |= (lows <= value) & (highs >= value)
        return found

    def must(self, lows: Numbers, highs: Numbers) -> Masks:
        """As may: where all rows that are no NULL pass, as far as is easily told."""
        if self.op == "between" and self.range[0] <= MOST and self.range[1] >= LEAST:
            first, last = (np.clip(value, LEAST, MOST) for value in self.range)
            found: Masks = (lows >= first) & (highs <= last)
            return found
        return np.zeros(len(lows), bool)

    @property
    def range(self) -> tuple[int, int]:
        """First and last of a between; where it is open, what no column of 64 bits reaches."""
        first, last = self.values
        return LEAST - 1 if first is None else first, MOST + 1 if last is None else last

    # -- rows

    def mask(self, column: Column, rows: int, also: Bytes | None = None) -> Bytes:
        """1 for the rows that pass, and that are 1 in `also`, which is changed."""
        if self.op == "between" and column.valid is None and not column.constant:
            return comparisons.within(column, (*self.values, False), rows, also)
        found = self._mask(column, rows)
        return found if also is None else np.bitwise_and(also, found, out=also)

    def _mask(self, column: Column, rows: int) -> Bytes:
        if self.op in ("is null", "is not null"):
            valid = np.ones(rows, np.uint8) if column.valid is None else np.broadcast_to(column.valid, rows).copy()
            return valid if self.op == "is not null" else 1 - valid
        found = self._texts(column) if self.type.bytes else self._numbers(column)
        if column.valid is not None:
            found = found & column.valid
        return np.broadcast_to(found, rows).copy() if column.constant else found

    def _numbers(self, column: Column) -> Bytes:
        stored = len(column)
        if self.op == "between":
            return comparisons.within(column, (*self.values, False), stored)
        whole = all(isinstance(value, int) for value in self.values)
        if self.op == "in":
            return _among(column, self.values, stored)
        if not whole:  # a double against whole numbers
            test = {"=": np.equal, "<>": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater}
            values = column.numbers() if not column.wide else column.data
            found: Masks = test.get(self.op, np.greater_equal)(values, self.values[0])
            return found.astype(np.uint8)
        return comparisons.within(column, comparisons.limits(self.op, self.values[0], 0, 0), stored)

    def _texts(self, column: Column) -> Bytes:
        if column.words is None:
            return self._compared(column, len(column))
        table, run = self.answers(column.words)
        out = np.empty(len(column.data), np.uint8)
        if run is None:
            vector.lookup(column.data, table, out)
        else:
            compare.between(column.data, run[0], run[1], out)
        return out

    def answers(self, words: Dictionary) -> Answers:
        """For each word of a dictionary, whether it passes. Kept with the dictionary."""
        known: dict[Any, Answers] = words.kept.setdefault("answers", {})
        key = self.op, self.values
        found = known.get(key)
        if found is None:
            table = self._compared(Column(VARBYTE, words.offsets, heap=words.heap), len(words))
            if len(known) >= KEPT_ANSWERS:
                known.clear()
            found = known[key] = table, _run(table)
        return found

    def _compared(self, column: Column, rows: int) -> Bytes:
        value = self.values[0]
        match self.op:
            case "prefix":
                found = texts.compare(">=", column, _constant(value), rows)
                end = after(value)
                return found if end is None else found & texts.compare("<", column, _constant(end), rows)
            case "in":
                if len(self.values) > 8:
                    among = set(self.values)
                    return np.array([word in among for word in texts.to_words(column)], np.uint8)
                found = np.zeros(rows, np.uint8)
                for one in self.values:
                    found |= texts.compare("=", column, _constant(one), rows)
                return found
        return texts.compare(self.op, column, _constant(value), rows)  # type: ignore[arg-type]  # one of TESTS


def tests_of(predicates: Sequence[Predicate], types: dict[str, Type]) -> list[Test]:
    """The tests that a scan makes, those of narrow numbers first, those of text last."""
    made = []
    for predicate in predicates:
        type = types[predicate.column]
        if support(type, predicate) is Support.NONE:
            continue
        values = predicate.value if predicate.op == "in" else (predicate.value,)
        kept = tuple(int(value) if isinstance(value, bool) else value for value in values if value is not None)
        made.append(Test(predicate.column, type, predicate.op, () if predicate.op[:2] == "is" else kept))
    return sorted(_merged(made), key=lambda test: test.type.bytes)


def _merged(tests: Sequence[Test]) -> list[Test]:
    """The same, the ranges of each column as one."""
    merged: list[Test] = []
    ranges: dict[str, Test] = {}
    for test in tests:
        whole = (test.type.whole or test.type.kind == "boolean") and len(test.values) == 1
        if not whole or test.op not in STEPS or not isinstance(test.values[0], int):
            merged.append(test)
            continue
        limit = test.values[0] + STEPS[test.op]
        known = ranges.get(test.column)
        if known is None:
            known = ranges[test.column] = Test(test.column, test.type, "between", (None, None))
            merged.append(known)
        first, last = known.values
        if test.op[0] == ">":
            known.values = (limit if first is None else max(first, limit)), last
        else:
            known.values = first, (limit if last is None else min(last, limit))
    return merged


def after(prefix: bytes) -> bytes | None:
    """The first text that is above all texts with this prefix; None if there is none."""
    cut = prefix.rstrip(b"\xff")
    return cut[:-1] + bytes([cut[-1] + 1]) if cut else None


def _run(table: Bytes) -> tuple[int, int] | None:
    """The first and the last code that pass, if none between them fails: a range is quicker than a table."""
    passing = np.flatnonzero(table)
    if not len(passing):
        return 1, 0
    first, last = int(passing[0]), int(passing[-1])
    return (first, last) if last - first == len(passing) - 1 else None


def _constant(value: bytes) -> Column:
    return replace(texts.from_words([value], VARBYTE), constant=True)


def _among(column: Column, values: tuple[Any, ...], rows: int) -> Bytes:
    if column.wide:
        among = set(values)
        return np.array([value in among for value in column.data.tolist()], np.uint8)
    low, high = column.bounds()
    inside = sorted(value - column.base for value in values if low <= value <= high and value == int(value))
    out = np.zeros(rows, np.uint8)
    if not inside:
        return out
    if inside[-1] - inside[0] < 65_536:
        table = np.zeros(inside[-1] - inside[0] + 1, np.uint8)
        table[np.array(inside) - inside[0]] = 1
        compare.member(column.data, inside[0], table, out)
        return out
    return np.isin(column.data, np.array(inside, column.data.dtype)).astype(np.uint8)
