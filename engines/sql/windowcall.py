"""One call of a window function at work: its arguments and frames by place, and answers that go back to rows.

    row     where the input has it         what arguments and answers are kept by
    place   where the order has it         what functions count in: frames.py

Invariant: an answer has one value for each row of the input, or a row of `column` for each, -1 for NULL.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engines.sql.column import Array, Bytes, Column, Positions, gather
from engines.sql.context import Context
from engines.sql.frames import UP_TO_PEERS, WHOLE_PARTITION, Arrangement, value_of
from engines.sql.logical import Constant, WindowCall


@dataclass(slots=True)
class Answer:
    """The result of a call: a column by row, or the rows of `column` where its values stand; -1 is NULL."""

    column: Column
    at: Positions | None = None

    def rows(self, start: int, stop: int) -> Column:
        if self.at is not None:
            return gather(self.column, self.at[start:stop], outer=True)
        valid = None if self.column.valid is None else self.column.valid[start:stop]
        return replace(self.column, data=self.column.data[start:stop], valid=valid)


class Running:
    """One call at work."""

    def __init__(
        self, call: WindowCall, arguments: list[Column], where: Column | None, rows: Arrangement, context: Context
    ) -> None:
        self.call = call
        self.arguments = arguments
        self.rows = rows
        self.context = context
        self.where: Bytes | None = None
        if where is not None:
            self.where = where.data if where.valid is None else where.data & where.valid

    def frame(self) -> tuple[Positions, Positions]:
        """The ends of each place's frame."""
        default = UP_TO_PEERS if self.call.order else WHOLE_PARTITION
        return self.rows.frame(self.call.frame or default, self.context)

    def valid(self) -> Bytes | None:
        """By place: 1 where the argument counts. None = everywhere."""
        valid = self.arguments[0].valid if self.arguments else None
        if self.where is not None:
            valid = self.where if valid is None else valid & self.where
        return None if valid is None else valid[self.rows.order]

    def number(self, argument: int, default: int) -> npt.NDArray[np.int64] | int:
        """A whole argument that tells how many rows: one number, or one for each place."""
        if len(self.arguments) <= argument:
            return default
        given = self.call.arguments[argument]
        if isinstance(given, Constant):
            return int(value_of(given, self.context) or 0)
        return self.arguments[argument].numbers()[self.rows.order]

    def whole(self, values: Array) -> Answer:
        """Whole numbers by place, without NULL."""
        return self.answer(values.astype(np.int64), None)

    def answer(self, values: Array, valid: npt.NDArray[np.bool_] | None) -> Answer:
        """Values by place as the call's type; valid: False is NULL, and its value is not looked at."""
        there = None
        if valid is not None and not valid.all():
            values = np.where(valid, values, 0)
            there = self.rows.back(valid.astype(np.uint8))
        if self.call.type.floating:
            return Answer(Column(self.call.type, self.rows.back(values.astype(np.float64)), valid=there))
        if values.dtype == object:
            limits = self.call.type.limits() or (-(2**63), 2**63 - 1)
            if min(values) < limits[0] or max(values) > limits[1]:
                raise self.context.error(
                    f"{self.call.function.upper()} OVER gives a number out of the range of {self.call.type}",
                    self.call.position,
                )
            values = narrowed_or_wide(values)
        low, high = int(values.min()), int(values.max())
        return Answer(Column(self.call.type, self.rows.back(values), valid=there, low=low, high=high))

    def at(self, places: Array) -> Answer:
        """The argument's values at these places, -1 for none."""
        found = np.where(places < 0, np.int32(-1), self.rows.order[np.maximum(places, 0)]).astype(np.int32)
        return Answer(replace(self.arguments[0], type=self.call.type), self.rows.back(found))


def narrowed_or_wide(values: Array) -> Array:
    """Python's numbers as int64 if all fit, else as they are."""
    return values.astype(np.int64) if min(values) >= -(2**63) and max(values) < 2**63 else values
