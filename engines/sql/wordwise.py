"""Expressions over one coded text column: computed for each word of its dictionary, not for each row.

    l_shipmode LIKE 'A%'   ->   for 7 words, once a block; then a look-up of 65,536 codes

Any expression will do that has no other column beneath it and is pure: comparisons, LIKE, SUBSTRING, IN, CAST, a CASE
over the column. What was computed stays with the dictionary (`Dictionary.kept`), so that every batch that shares it, in
this statement or a later one, only looks up. A word that no row uses may make the expression fail: then it is computed
for the rows, as if there were no dictionary.

    BOOLEAN, whole numbers, floats   a look-up; true words with neighbouring codes: a comparison of the codes
    text                             the same codes, and a dictionary of the new words; equal words become one
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from engines._native import compare
from engines.errors import QueryError
from engines.sql import texts
from engines.sql.branches import room
from engines.sql.column import Array, Batch, Bytes, Column, Dictionary
from engines.sql.evaluation import Frame, Step, looked_up
from engines.sql.logical import Expression
from engines.sql.types import Type

MOST_KEPT: Final = 64  # expressions whose results stay with a dictionary


class Known:
    """An expression as a key: its hash is computed once. Equal expressions are equal keys."""

    __slots__ = ("expression", "hashed")

    def __init__(self, expression: Expression) -> None:
        self.expression = expression
        self.hashed = hash(expression)

    def __hash__(self) -> int:
        return self.hashed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Known) and self.hashed == other.hashed and self.expression == other.expression


@dataclass(frozen=True, slots=True)
class Answers:
    """What an expression gives for a dictionary's words. run: the first and last true code, if all between are true."""

    column: Column
    run: tuple[int, int] | None
    codes: Array | None  # of text: the code that each word's becomes; None: the same


def wordwise(step: Step, id: str, type: Type, expression: Expression, bound: Sequence[int | str]) -> Step:
    """The step, computed by words where the column with that id is coded and has fewer words than rows."""
    known: Known | None = None

    def wise(frame: Frame) -> Column:
        nonlocal known
        column = frame.batch.column(id)
        words = column.words
        if words is None or column.constant or not len(words):
            return step(frame)
        if known is None:
            known = Known(expression)
        rules: Mapping[str, Any] = frame.context.rules
        key = (known, column.valid is None, rules.get("zone"), *(frame.context.values.get(name) for name in bound))
        kept: dict[Any, Answers] = words.kept.setdefault("expressions", {})
        answers = kept.get(key)
        if answers is None:
            if len(words) > frame.rows:
                return step(frame)
            try:
                answers = _answers(step, frame, id, column, type)
            except QueryError:  # perhaps from a word that no row has
                return step(frame)
            if len(kept) >= MOST_KEPT:
                kept.clear()
            kept[key] = answers
        return _looked_up(answers, column, len(words), type)

    return wise


def _answers(step: Step, frame: Frame, id: str, column: Column, type: Type) -> Answers:
    """The step over all words, and over a NULL behind them if the column has some."""
    words = column.words
    assert words is not None, "only for coded columns"  # noqa: S101 - by construction
    offsets, valid = words.offsets, None
    if column.valid is not None:
        offsets = np.append(offsets, offsets[-1:])
        valid = np.ones(len(words) + 1, np.uint8)
        valid[-1] = 0
    every = Column(column.type, offsets, valid=valid, heap=words.heap)
    batch = Batch({id: every}, len(offsets) - 1)
    made = step(Frame(frame.nodes, batch, frame.context, frame.constants))
    if made.constant:
        return Answers(made, None, None)
    if made.valid is not None and made.valid.all():
        made = replace(made, valid=None)
    if type.bytes:
        return _distinct(made)
    if type.kind == "boolean":
        true = np.flatnonzero(made.data if made.valid is None else made.data & made.valid)
        neighbours = made.valid is None and len(true) and true[-1] - true[0] + 1 == len(true)
        return Answers(made, (int(true[0]), int(true[-1])) if neighbours else None, None)
    if type.whole and not made.wide and made.data.dtype == np.int64:
        low, high = made.bounds()
        data, base = room(len(made), low, high)
        if data.dtype != np.int64:
            np.subtract(made.data, base, out=data, casting="unsafe")
            made = replace(made, data=data, base=base)
    return Answers(made, None, None)


def _distinct(made: Column) -> Answers:
    """Text for every word as a dictionary, in which no word comes twice."""
    if made.words is not None:
        return Answers(made, None, made.data)
    numbers: dict[bytes, int] = {}
    codes = [numbers.setdefault(word, len(numbers)) for word in texts.to_words(made)]
    if len(numbers) == len(codes) and made.heap is not None:
        return Answers(
            replace(made, data=np.zeros(0, np.uint8), heap=None, words=Dictionary(made.data, made.heap)), None, None
        )
    width = np.uint8 if len(numbers) <= 2**8 else np.uint16 if len(numbers) <= 2**16 else np.uint32
    return Answers(replace(made, heap=None, words=Dictionary.of(list(numbers))), None, np.array(codes, width))


def _looked_up(answers: Answers, column: Column, words: int, type: Type) -> Column:
    made = answers.column
    if made.constant:
        return made
    codes = column.data
    if column.valid is not None:
        wider = codes.dtype if words < 2 ** (8 * codes.itemsize) else np.dtype(f"u{2 * codes.itemsize}")
        codes = np.where(column.valid, codes, wider.type(words)).astype(wider, copy=False)
    if answers.run is not None:
        mask: Bytes = np.empty(len(codes), np.uint8)
        compare.between(codes, *answers.run, mask)
        return Column(type, mask)
    valid = None if made.valid is None else looked_up(codes, made.valid)
    if type.bytes:
        return replace(made, data=codes if answers.codes is None else looked_up(codes, answers.codes), valid=valid)
    return replace(made, data=looked_up(codes, made.data), valid=valid)
