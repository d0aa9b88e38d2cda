"""UNNEST: a row for each element of an array, or of several side by side; shorter ones are filled up with NULL.

    row   a          b            row  a     b     n
    0     [1, 2]     [x]          0    1     x     1
    1     []         NULL         0    2     NULL  2
    2     [3]        [y, z]       2    3     y     1         the columns of the row come along as positions,
                                  2    NULL  z     2         elements as positions in the arrays' elements

Nothing is copied but the elements that a later step asks for. A row without elements is dropped; with `outer` it stays,
with NULLs. A batch that unnests to more rows than a batch may have leaves in pieces.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from engines.sql.collected import evaluator
from engines.sql.column import Batch, Column, Layer, elements, nulls
from engines.sql.context import Context
from engines.sql.logical import Expression
from engines.sql.types import BIGINT

Lengths = npt.NDArray[np.int64]


class Unnest:
    """A step: the columns of its input, one for each array's elements, and `ordinality`, which counts from 1."""

    def __init__(
        self, arrays: Sequence[tuple[str, Expression]], ordinality: str | None = None, *, outer: bool = False
    ) -> None:
        self.arrays = [(id, expression.type.element, evaluator(expression)) for id, expression in arrays]
        self.ordinality = ordinality
        self.outer = outer

    def push(self, batch: Batch, context: Context) -> Iterator[Batch]:
        if not batch.rows:
            return
        arrays = [evaluate(batch, context) for _, _, evaluate in self.arrays]
        firsts, lengths = zip(*(_spans(array, batch.rows) for array in arrays), strict=True)
        times = np.maximum.reduce(lengths)
        if self.outer:
            times = np.maximum(times, 1)
        ends = np.cumsum(times)
        total = int(ends[-1])
        for start in range(0, total, context.vector):
            stop = min(start + context.vector, total)
            places = np.arange(start, stop)
            rows = np.searchsorted(ends, places, side="right")
            number = places - (ends[rows] - times[rows])  # which element of its row, from 0
            layers = [
                Layer(
                    {id: nulls(element, 0) if array.parts is None else elements(array)},
                    np.where(number < length[rows], span[rows] + number, -1).astype(np.int32),
                    outer=True,
                )
                for (id, element, _), array, span, length in zip(self.arrays, arrays, firsts, lengths, strict=True)
            ]
            if self.ordinality is not None:
                layers.append(Layer({self.ordinality: self._count(number, rows, lengths)}))
            taken = batch.take(rows.astype(np.int32))
            yield Batch(rows=len(rows), layers=[*taken.layers, *layers])

    def _count(self, number: Lengths, rows: Lengths, lengths: Sequence[Lengths]) -> Column:
        """1, 2, ... for the elements of a row; NULL where the row has none."""
        counted = number + 1
        high = int(counted.max())
        if not self.outer:
            return Column(BIGINT, counted, low=1, high=high)
        some = (np.maximum.reduce(lengths)[rows] > 0).astype(np.uint8)
        return Column(BIGINT, counted, valid=None if some.all() else some, low=1, high=high)


def _spans(array: Column, rows: int) -> tuple[Lengths, Lengths]:
    """Where each row's elements begin, and how many there are: 0 for NULL."""
    if array.parts is None:  # a NULL that is no array
        return np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    offsets = array.data.astype(np.int64)
    lengths = np.diff(offsets)
    if array.valid is not None:
        lengths = np.where(array.valid, lengths, 0)
    if array.constant:
        return np.full(rows, offsets[0]), np.full(rows, lengths[0])
    return offsets[:-1], lengths
