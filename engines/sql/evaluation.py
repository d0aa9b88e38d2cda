"""One batch under evaluation: each node of a program computed once, when it is asked for, on the rows that need it.

    program   nodes 0, 1, 2 ...: a step each, that gets a Frame and gives a Column
    Frame     a batch, and the columns of the nodes that were asked for
              sub(positions): some of its rows. What the frame above has computed already is gathered, not computed

A CASE asks for a branch in a sub-frame of the rows that reach it, so an error can only come from a row that does.
A sub-frame's batch is made when a column is asked for: a branch that is a constant costs nothing.

Nodes without a column beneath them are constants of a run (parameters and the clock's now among them): computed once a
run, by whichever thread comes first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from engines._native import vector
from engines.sql.column import Array, Batch, Bytes, Column, Positions, expand, gather, nulls
from engines.sql.context import Context
from engines.sql.types import Type
from engines.sql.values import engine_column

Step = Callable[["Frame"], Column]
Kernel = Callable[[list[Column], int, Context], Column]
Constants = dict[Any, Any]  # node or whatever else a step keeps for a run -> what it is
ONE: Final = np.uint8(1)


@dataclass(slots=True)
class Nodes:
    """A program's nodes. fixed: constants of a run."""

    steps: list[Step] = field(default_factory=list)
    fixed: list[bool] = field(default_factory=list)
    run: "tuple[Any, Any, Constants]" = (None, None, {})  # values and rules of the run that the constants are of

    def frame(self, batch: Batch, context: Context) -> "Frame":
        """A frame over a batch, with the constants of the context's run."""
        values, rules, constants = self.run
        if values is not context.values or rules is not context.rules:
            constants = {}
            self.run = context.values, context.rules, constants
        return Frame(self, batch, context, constants)


class Frame:
    """Some rows, and what is known of them."""

    __slots__ = ("_batch", "above", "at", "constants", "context", "nodes", "rows", "values")

    def __init__(
        self,
        nodes: Nodes,
        batch: Batch | None,
        context: Context,
        constants: Constants,
        *,
        above: "Frame | None" = None,
        at: Positions | None = None,
    ) -> None:
        self.nodes = nodes
        self._batch = batch
        self.context = context
        self.constants = constants
        self.above = above
        self.at = at
        self.rows = len(at) if at is not None else batch.rows if batch is not None else 0
        self.values: list[Column | None] = [None] * len(nodes.steps)

    @property
    def batch(self) -> Batch:
        if self._batch is None:
            assert self.above is not None, "a sub-frame has rows of another"  # noqa: S101 - by construction
            assert self.at is not None, "a sub-frame has positions"  # noqa: S101 - by construction
            self._batch = self.above.batch.take(self.at)
        return self._batch

    def value(self, node: int) -> Column:
        """The node's column: `rows` values, or constant."""
        found = self.values[node]
        if found is None:
            if self.nodes.fixed[node]:
                found = self.fixed(node)
            elif self.above is not None and self.above.values[node] is not None:
                known = self.above.values[node]
                assert known is not None and self.at is not None, "checked above"  # noqa: S101, PT018 - for the checker
                found = gather(known, self.at)
            else:
                found = self.nodes.steps[node](self)
            self.values[node] = found
        return found

    def fixed(self, node: int) -> Column:
        """A node without columns beneath it, as a constant."""
        found: Column | None = self.constants.get(node)
        if found is None:
            one = Frame(self.nodes, Batch(rows=1), self.context, self.constants)
            found = self.constants[node] = as_constant(self.nodes.steps[node](one))
        return found

    def sub(self, at: Positions) -> "Frame":
        """Some of the rows."""
        return Frame(self.nodes, None, self.context, self.constants, above=self, at=at)


# ---- columns -----------------------------------------------------------------------------------------------------


def as_constant(column: Column) -> Column:
    """A column of one row, as a constant."""
    return column if column.constant else replace(column, constant=True)


def constant(value: Any, type: Type) -> Column:  # noqa: ANN401 - an engine value of any type
    """An engine value as a constant column; None is NULL. An INTERVAL is given as (months, time)."""
    if value is None:
        return null(type)
    made = engine_column([value], type)
    made.constant = True
    return made


def null(type: Type) -> Column:
    """The NULL of a type, as a constant."""
    made = nulls(type, 1)
    made.constant = True
    return made


def is_null(column: Column) -> bool:
    """Whether a column is the constant NULL."""
    return column.constant and column.valid is not None and not column.valid[0]


def strict(kernel: Kernel, arguments: Sequence[int], type: Type) -> Step:
    """A step that is NULL where an argument is the constant NULL, and computed once if all are constants.

    The kernel itself joins the masks of its arguments.
    """

    def step(frame: Frame) -> Column:
        columns = [frame.value(node) for node in arguments]
        changing = False
        for column in columns:
            if not column.constant:
                changing = True
            elif column.valid is not None and not column.valid[0]:
                return null(type)
        if changing:
            return kernel(columns, frame.rows, frame.context)
        made = kernel([replace(column, constant=False) for column in columns], 1, frame.context)
        return made if made.constant else replace(made, constant=True)

    return step


def truth(column: Column, rows: int) -> Bytes:
    """1 where a BOOLEAN is true: neither false nor NULL. Not to be changed: it may be the column's own data."""
    if column.constant:
        true = bool(column.data[0]) and (column.valid is None or bool(column.valid[0]))
        return np.full(rows, true, np.uint8)
    return column.data if column.valid is None else column.data & column.valid


def positions(mask: Bytes, kept: int) -> Positions:
    """Where the mask is 1; kept: how often that is."""
    out = np.empty(len(mask), np.int32)
    vector.positions(mask, out)
    return out[:kept].copy() if 2 * kept < len(mask) else out[:kept]


def looked_up(codes: Array, table: Array) -> Array:
    """table[codes]; codes without a sign."""
    if table.dtype == object:
        found: Array = table[codes]
        return found
    out = np.empty(len(codes), table.dtype)
    vector.lookup(codes, table, out)
    return out


def flipped(mask: Bytes) -> Bytes:
    """1 for 0, and 0 for 1."""
    made: Bytes = np.bitwise_xor(mask, ONE)
    return made


def spread(column: Column, rows: int) -> Column:
    """A constant written out; any other column as it is."""
    return expand(column, rows)
