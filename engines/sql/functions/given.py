"""What a call is given, and how functions read it and make their results.

    @scalar("chr", "integer -> varchar")
    def letter(given: Given) -> Column: ...

A column of one value stands for every row here, whether it is marked constant or the batch has one row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.errors import QueryError
from engines.sql import texts
from engines.sql.column import Bytes, Column, Positions, expand
from engines.sql.context import Context
from engines.sql.functions.registry import Functions, Resolve, present
from engines.sql.spans import months_and_time
from engines.sql.types import BOOLEAN, DOUBLE, Type
from engines.sql.values import engine_column

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class Given:
    """The arguments of one call over one batch. `type` is the result's."""

    columns: list[Column]
    rows: int
    type: Type
    context: Context
    position: int

    def __len__(self) -> int:
        return len(self.columns)

    def error(self, message: str) -> QueryError:
        """An error at the call's place in the statement."""
        return self.context.error(message, self.position)

    def whole(self, i: int) -> Numbers:
        """Argument i as int64; one number where it is constant."""
        return whole(self.columns[i])

    def floats(self, i: int) -> Floats:
        """Argument i as float64; one number where it is constant."""
        return floats(self.columns[i])

    def text(self, i: int) -> tuple[Positions, Bytes]:
        """Offsets and heap of argument i; one value where it is constant."""
        return texts.parts_of(self.columns[i])

    def every_text(self, i: int) -> tuple[Positions, Bytes]:
        """Offsets and heap of argument i, a value for every row."""
        return texts.parts_of(spread(self.columns[i], self.rows))

    def present(self) -> Bytes | None:
        """1 for the rows without a NULL argument; None = all."""
        return present(self.columns, self.rows)

    def single(self, i: int) -> bool:
        """Whether argument i is one value that stands for every row."""
        return self.columns[i].constant or len(self.columns[i]) == 1

    def one_text(self, i: int, what: str, default: str = "") -> str:
        """Argument i, a text that is the same for all rows; default where there is no such argument.

        QueryError if it may differ. what: names it: "the pattern".
        """
        if i >= len(self.columns):
            return default
        words = set(texts.to_words(self.columns[i]))
        if len(words) > 1:
            raise self.error(f"{what} must be the same for all rows here: write it as a constant")
        return words.pop().decode(errors="replace") if words else ""

    def refuse(self, wrong: npt.NDArray[np.bool_], problem: str, i: int = 0) -> None:
        """QueryError for the first row that is `wrong` and has no NULL. `problem` may name {value}: argument i's."""
        if not wrong.any():
            return
        there = self.present()
        bad = np.broadcast_to(wrong, self.rows) & (True if there is None else there.astype(bool))
        if bad.any():
            values = to_python(self.columns[i])
            raise self.error(problem.format(value=values[0 if len(values) == 1 else int(bad.argmax())]))

    def for_each(self, compute: Callable[..., Any]) -> Column:
        """compute(values of a row) for every distinct row of values, in Python; None is NULL.

        Rows with a NULL argument are not computed. A ValueError becomes a QueryError.
        """
        lists = [to_python(column) for column in self.columns]
        lists = [made * self.rows if len(made) == 1 != self.rows else made for made in lists]
        there = self.present()
        mask = [1] * self.rows if there is None else there.tolist()
        known: dict[tuple[Any, ...], Any] = {}
        made: list[Any] = []
        try:
            for row, seen in zip(zip(*lists, strict=True), mask, strict=True):
                if not seen:
                    made.append(None)
                    continue
                if row not in known:
                    known[row] = compute(*row)
                made.append(known[row])
        except ValueError as error:
            raise self.error(str(error)) from None
        return from_python(made, self.type)


Body = Callable[[Given], Column]


def scalars(functions: Functions) -> Callable[..., Callable[[Body], Body]]:
    """`Functions.scalar`, for bodies that take a Given."""

    def scalar(
        name: str,
        takes: "str | Resolve",
        *,
        synonyms: Sequence[str] = (),
        strict: bool = True,
        pure: bool = True,
        meaning: str = "",
    ) -> Callable[[Body], Body]:
        def register(body: Body) -> Body:
            def call(columns: list[Column], rows: int, type: Type, context: Context, position: int) -> Column:
                return body(Given(columns, rows, type, context, position))

            functions.scalar(name, takes, synonyms=synonyms, strict=strict, pure=pure, meaning=meaning)(call)
            return body

        return register

    return scalar


# ---- reading -----------------------------------------------------------------------------------------------------


def whole(column: Column) -> Numbers:
    """Whole numbers as int64. Wide ones that do not fit become the nearest that does."""
    if column.wide:
        return np.array([max(min(int(value), 2**63 - 1), -(2**63)) for value in column.data], np.int64)
    return column.numbers()


def floats(column: Column) -> Floats:
    """Numbers as float64."""
    if column.data.dtype == np.float64:
        return column.data
    made: Floats = column.data.astype(np.float64) + column.base
    return made


def intervals(column: Column) -> tuple[Numbers, Numbers]:
    """Months of INTERVALs, and the time beside them."""
    if column.wide and len(column.data):
        pairs = np.array([months_and_time(value) for value in column.data], np.int64)
        return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])
    times = whole(column)
    return np.zeros(len(times), np.int64), times


def to_python(column: Column) -> list[Any]:
    """The values: str, int (decimals scaled), float; what stands under a NULL too."""
    if column.type.kind == "varbyte":
        return texts.to_words(column)
    if column.heap is not None or column.words is not None:
        return [word.decode(errors="replace") for word in texts.to_words(column)]
    plain = column.wide or column.data.dtype == np.float64 or column.type.kind == "boolean"
    made: list[Any] = column.data.tolist() if plain else column.numbers().tolist()
    return made


def spread(column: Column, rows: int) -> Column:
    """One value as so many rows; any other column as it is."""
    if not column.constant and len(column) == rows:
        return column
    return expand(replace(column, constant=True), rows)


# ---- making ------------------------------------------------------------------------------------------------------


def whole_column(type: Type, data: npt.NDArray[Any], valid: Bytes | None = None) -> Column:
    """A column of whole numbers, with the bounds that its values have."""
    data = np.ascontiguousarray(data, np.int64)
    if not len(data):
        return Column(type, data, valid=valid, low=0, high=0)
    return Column(type, data, valid=valid, low=int(data.min()), high=int(data.max()))


def mask_column(data: npt.NDArray[Any], valid: Bytes | None = None) -> Column:
    """A BOOLEAN column of a mask."""
    return Column(BOOLEAN, np.ascontiguousarray(data, np.uint8), valid=valid)


def float_column(data: npt.NDArray[Any], type: Type = DOUBLE, valid: Bytes | None = None) -> Column:
    """A column of floats; REAL is rounded to 32 bits."""
    data = np.ascontiguousarray(data, np.float64)
    return Column(type, data.astype(np.float32).astype(np.float64) if type.kind == "real" else data, valid=valid)


def from_python(values: Sequence[Any], type: Type) -> Column:
    """A column of engine values; text as str or bytes, None is NULL."""
    if type.bytes:
        return texts.from_words([v.encode() if isinstance(v, str) else v for v in values], type)
    made = engine_column(values, type)
    return float_column(made.data, type, made.valid) if type.kind == "real" else made
