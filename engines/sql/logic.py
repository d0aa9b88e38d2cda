"""AND, OR, NOT, IS NULL, IN, CASE, COALESCE: steps that know three values, and that compute only what a row needs.

AND and OR (any number of arguments) keep what they know as a mask and its valid bytes. An argument that may fail is
computed only for the rows that are still open: where an AND is not false yet, where an OR is not true yet. The others
are computed on all rows at once, which is cheaper than to find out which rows need them.

CASE goes through its conditions: the rows where one is true go to its branch, the rest to the next condition. COALESCE
and NVL are the same with "is not NULL" for a condition; GREATEST and LEAST skip NULLs, as Redshift's do.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np

from engines._native import compare as kernels
from engines._native import vector
from engines.sql import comparisons
from engines.sql.arithmetic import LEAST, MOST, both_valid, doubles, places, value_of
from engines.sql.branches import Piece, choice, merge
from engines.sql.column import Bytes, Column, Positions, compose, gather
from engines.sql.evaluation import Frame, Step, constant, flipped, is_null, null, positions, spread, strict, truth
from engines.sql.texts import to_words
from engines.sql.types import BOOLEAN, Type

BITMAP: Final = 65_536  # values between the smallest and the largest of a list that is looked up in a bitmap


# ---- and, or, not ------------------------------------------------------------------------------------------------


def connective(operator: Literal["and", "or"], arguments: Sequence[int], risky: Sequence[bool]) -> Step:
    """AND or OR of BOOLEAN nodes. risky: which of them may fail."""
    decided = 0 if operator == "and" else 1  # the value that settles it

    def step(frame: Frame) -> Column:
        rows = frame.rows
        data: Bytes | None = None
        valid: Bytes | None = None
        for node, lazy in zip(arguments, risky, strict=True):
            if data is not None and lazy:
                open_rows = flipped(data) if decided else data
                if valid is not None:
                    open_rows = open_rows | flipped(valid)
                kept = vector.count(open_rows)
                if kept == 0:
                    break
                if kept < rows:
                    at = positions(open_rows, kept)
                    found = spread(frame.sub(at).value(node), kept)
                    one = np.full(rows, 1 - decided, np.uint8)
                    vector.scatter(found.data, 0, at, one)
                    there = None
                    if found.valid is not None:
                        there = np.ones(rows, np.uint8)
                        vector.scatter(found.valid, 0, at, there)
                    data, valid = _both(operator, data, valid, one, there)
                    continue
            column = frame.value(node)
            if column.constant:
                if not is_null(column) and bool(column.data[0]) != bool(decided):
                    continue
                if not is_null(column):
                    return constant(decided, BOOLEAN)
                column = spread(column, rows)
            if data is None:
                data, valid = column.data, column.valid
            else:
                data, valid = _both(operator, data, valid, column.data, column.valid)
        return constant(1 - decided, BOOLEAN) if data is None else Column(BOOLEAN, data, valid=valid)

    return step


def _both(
    operator: str, a: Bytes, a_valid: Bytes | None, b: Bytes, b_valid: Bytes | None
) -> tuple[Bytes, Bytes | None]:
    if a_valid is None and b_valid is None:
        return (a & b if operator == "and" else a | b), None
    data, valid = np.empty(len(a), np.uint8), np.empty(len(a), np.uint8)
    vector.kleene(operator == "or", a, a_valid, b, b_valid, data, valid)
    return data, valid


def negation(argument: int) -> Step:
    """NOT of the step's value; NULL stays NULL."""
    return strict(
        lambda columns, _, __: Column(BOOLEAN, flipped(columns[0].data), valid=columns[0].valid), [argument], BOOLEAN
    )


# ---- NULL and truth ----------------------------------------------------------------------------------------------


def null_test(argument: int, *, wanted: bool) -> Step:
    """IS NULL (wanted) or IS NOT NULL."""

    def step(frame: Frame) -> Column:
        column = frame.value(argument)
        if column.valid is None:
            return constant(int(not wanted), BOOLEAN)
        return Column(BOOLEAN, flipped(column.valid) if wanted else column.valid, constant=column.constant)

    return step


def truth_test(argument: int, *, value: bool | None, wanted: bool) -> Step:
    """IS [NOT] TRUE, FALSE, UNKNOWN: never NULL."""

    def step(frame: Frame) -> Column:
        column = frame.value(argument)
        if value is None:
            mask = np.zeros(len(column), np.uint8) if column.valid is None else flipped(column.valid)
        else:
            mask = column.data if value else flipped(column.data)
            mask = mask if column.valid is None else mask & column.valid
        return Column(BOOLEAN, mask if wanted else flipped(mask), constant=column.constant)

    return step


def distinction(left: int, right: int, *, wanted: bool) -> Step:
    """IS DISTINCT FROM (wanted) or IS NOT DISTINCT FROM: NULL is a value like any other."""

    def step(frame: Frame) -> Column:
        a, b = frame.value(left), frame.value(right)
        rows = frame.rows
        every = a.constant and b.constant
        if every:
            a, b, rows = replace(a, constant=False), replace(b, constant=False), 1
        mask = comparisons.compare("<>" if wanted else "=", a, b, rows)
        if a.valid is not None or b.valid is not None:
            x = np.ones(1, np.uint8) if a.valid is None else a.valid
            y = np.ones(1, np.uint8) if b.valid is None else b.valid
            mask = (mask & x & y) | (x ^ y if wanted else flipped(x | y))
        return Column(BOOLEAN, mask, constant=every)

    return step


# ---- IN ----------------------------------------------------------------------------------------------------------


def membership(argument: int, items: Sequence[int]) -> Step:
    """Argument IN (items), constants of a run."""
    key = object()  # under which a run keeps the list

    def kernel(columns: list[Column], rows: int, constants: "dict[object, _List]", values: Sequence[Column]) -> Column:
        column = columns[0]
        if key not in constants:
            constants[key] = _List(column, values)
        listed = constants[key]
        mask = listed.mask(column, rows)
        valid = column.valid
        if listed.null:
            valid = mask if valid is None else valid & mask
        return Column(BOOLEAN, mask, valid=valid)

    def step(frame: Frame) -> Column:
        values = [frame.value(node) for node in items]
        inner = strict(lambda columns, rows, _: kernel(columns, rows, frame.constants, values), [argument], BOOLEAN)
        return inner(frame)

    return step


class _List:
    """The values of an IN, made ready. null: whether a NULL is among them."""

    def __init__(self, column: Column, items: Sequence[Column]) -> None:
        self.null = any(is_null(item) for item in items)
        self.items = [item for item in items if not is_null(item)]
        self.words: frozenset[bytes] = frozenset()
        self.whole: list[int] = []
        if column.type.bytes:
            self.words = frozenset(to_words(item)[0] for item in self.items)
        elif not column.type.floating and all(not item.type.floating for item in self.items):
            ranges = [comparisons.limits("=", value_of(i), places(i.type), places(column.type)) for i in self.items]
            self.whole = sorted({low for low, high, _ in ranges if low is not None and low == high})
        self.table: Bytes | None = None
        if len(self.whole) > 1 and self.whole[-1] - self.whole[0] < BITMAP:
            self.table = np.zeros(self.whole[-1] - self.whole[0] + 1, np.uint8)
            self.table[np.array(self.whole) - self.whole[0]] = 1

    def mask(self, column: Column, rows: int) -> Bytes:
        if column.type.bytes:
            if len(self.items) <= 8:
                return self._each(column, rows)
            return np.array([word in self.words for word in to_words(column)], np.uint8)
        if column.type.floating or any(item.type.floating for item in self.items):
            values = np.array([doubles(item)[0] for item in self.items])
            found = doubles(column)
            hits: Bytes = (np.isin(found, values) | (np.isnan(found) & np.isnan(values).any())).astype(np.uint8)
            return hits
        if column.wide:
            wanted = set(self.whole)
            return np.array([value in wanted for value in column.data.tolist()], np.uint8)
        if not self.whole:
            return np.zeros(rows, np.uint8)
        if self.table is not None and LEAST <= self.whole[0] - column.base <= MOST:
            mask = np.empty(rows, np.uint8)
            kernels.member(column.data, self.whole[0] - column.base, self.table, mask)
            return mask
        if len(self.whole) <= 8:
            mask = np.zeros(rows, np.uint8)
            for value in self.whole:
                mask |= comparisons.within(column, (value, value, False), rows)
            return mask
        fitting = [value for value in self.whole if LEAST <= value <= MOST]
        return np.isin(column.numbers(), np.array(fitting, np.int64)).astype(np.uint8)

    def _each(self, column: Column, rows: int) -> Bytes:
        mask = np.zeros(rows, np.uint8)
        for item in self.items:
            mask |= comparisons.compare("=", column, item, rows)
        return mask


# ---- CASE and its kin --------------------------------------------------------------------------------------------


def case(branches: Sequence[tuple[int, int]], otherwise: int, type: Type) -> Step:
    """CASE WHEN ... THEN ... ELSE: nodes of conditions and values."""

    def step(frame: Frame) -> Column:
        pieces: list[Piece] = []
        left = frame  # the rows that no condition was true for
        at: Positions | None = None
        for condition, value in branches:
            found = left.value(condition)
            if found.constant and not truth(found, 1)[0]:
                continue
            if found.constant:
                pieces.append((left.value(value), at))
                break
            mask = truth(found, left.rows)
            if len(branches) == 1 and frame.nodes.fixed[value] and frame.nodes.fixed[otherwise]:
                short = choice(mask, frame.value(value), frame.value(otherwise), type)
                if short is not None:
                    return short
            rest = _split(left, at, mask, value, pieces)
            if rest is None:
                break
            left, at = rest
        else:
            pieces.append((left.value(otherwise), at))
        return merge(pieces, type, frame.rows)

    return step


def _split(
    left: Frame, at: Positions | None, mask: Bytes, value: int, pieces: list[Piece]
) -> tuple[Frame, Positions | None] | None:
    """The value for the rows of the mask as a piece; the other rows, as a frame and where they are. None if no rows."""
    kept = vector.count(mask)
    if kept == 0:
        return left, at
    if kept == left.rows:
        pieces.append((left.value(value), at))
        return None
    hits, rest = positions(mask, kept), positions(flipped(mask), left.rows - kept)
    pieces.append((left.sub(hits).value(value), hits if at is None else compose(at, hits)))
    return left.sub(rest), rest if at is None else compose(at, rest)


def coalesce(arguments: Sequence[int], type: Type) -> Step:
    """The first argument that is not NULL."""

    def step(frame: Frame) -> Column:
        pieces: list[Piece] = []
        left = frame
        at: Positions | None = None
        for node in arguments:
            column = left.value(node)
            if is_null(column):
                continue
            if column.valid is None or column.constant:
                pieces.append((column, at))
                break
            rest = _split(left, at, column.valid, node, pieces)
            if rest is None:
                break
            left, at = rest
        return merge([(replace(column, type=type), rows) for column, rows in pieces], type, frame.rows)

    return step


def nullif(left: int, right: int, type: Type) -> Step:
    """left, or NULL where both are equal."""

    def step(frame: Frame) -> Column:
        a, b = frame.value(left), frame.value(right)
        if is_null(a) or is_null(b):
            return a
        rows = frame.rows
        every = a.constant and b.constant
        if every:
            a, b, rows = replace(a, constant=False), replace(b, constant=False), 1
        equal = comparisons.compare("=", a, b, rows)
        valid = both_valid(a, b, rows)
        kept = flipped(equal if valid is None else equal & valid)
        a = spread(a, rows)
        return replace(a, type=type, valid=kept if a.valid is None else kept & a.valid, constant=every)

    return step


def extreme(arguments: Sequence[int], type: Type, *, greatest: bool) -> Step:
    """GREATEST or LEAST; NULLs are left out, so only all NULLs give NULL."""

    def step(frame: Frame) -> Column:
        best: Column | None = None
        for node in arguments:
            column = frame.value(node)
            if is_null(column):
                continue
            best = column if best is None else _better(best, column, type, frame.rows, greatest=greatest)
        return null(type) if best is None else replace(best, type=type)

    return step


def _better(a: Column, b: Column, type: Type, rows: int, *, greatest: bool) -> Column:
    every = a.constant and b.constant
    if every:
        a, b, rows = replace(a, constant=False), replace(b, constant=False), 1
    wins = comparisons.compare(">" if greatest else "<", b, a, rows)  # b takes the place of a
    if b.valid is not None:
        wins = wins & b.valid
    if a.valid is not None:
        wins = wins | flipped(a.valid)
    kept = vector.count(wins)
    if kept in {0, rows}:
        return replace(b if kept else a, constant=every or (b if kept else a).constant)
    yes, no = positions(wins, kept), positions(flipped(wins), rows - kept)
    return merge([(gather(b, yes), yes), (gather(a, no), no)], type, rows)
