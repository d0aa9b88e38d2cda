"""What engines answer with: Table (every query), Report (every verify), Plan (every explain).

All three are plain data first and pictures second: `str()` is aligned plain text, `_repr_html_` what a notebook shows.
Both are bounded (20 rows, 100 KB) however large the data is, both escape what they are given, neither runs anything.

    Table    columns by name, numpy arrays or lists; rows are tuples that also answer row["total"] and row.total
    Report   how much was checked, and what was wrong where: file, offset, what
    Plan     a tree of steps; each has counters of what it touched, with the unit in the name: rows, bytes_read, micros

A null is None in rows and in object arrays, NaT in times, masked in masked arrays, and blank on the screen; NaN is a
number and no null. Times are datetime (UTC) in rows and datetime64 in arrays.

Invariants: rows() and the columns are the same cells; the text of a table has at most 20 lines of rows; HTML is under
100 KB and contains no markup that came from the data.
"""

import html
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, SupportsIndex

import numpy as np

from engines.drawing import draw_plan
from engines.errors import Invalid, NotFound, nearest
from engines.extras import extra
from engines.rows import Column, Row, as_array, python_values, row_type
from engines.text import CELL, cut, grouped, is_number, printable, show, width

ROWS = 20  # shown as text
HTML_ROWS, HTML_COLUMNS, HTML_BYTES = 100, 40, 80_000  # the frame around the rows stays under the missing 20 KB
ALONE = 400  # characters of a value that is a table's only column: a plan's line, a statement
CHUNK = 4096  # rows turned into Python objects at a time


class Table:
    """Columns of equal length, in order.

    columns: name -> one-dimensional array or list, kept as it is and not copied. types: name -> what the engine calls
    the column's type, derived from the array where it is not given. stats: what answering touched, shown underneath.
    A subclass that makes its columns late overrides `columns` (and keeps them); all methods ask for them through it.
    Invalid if the columns differ in length or have two dimensions.
    """

    def __init__(
        self,
        columns: Mapping[str, Column],
        types: Mapping[str, str] | None = None,
        *,
        title: str = "",
        stats: Mapping[str, Any] | None = None,
    ) -> None:
        self._columns = dict(columns)
        self._types = dict(types or {})
        self.title = title
        self.stats: dict[str, Any] = dict(stats or {})
        lengths = {name: len(column) for name, column in self._columns.items()}
        if len(set(lengths.values())) > 1:
            raise Invalid(f"the columns of a table have one length, got {lengths}")
        for name, column in self._columns.items():
            if isinstance(column, np.ndarray) and column.ndim != 1:
                raise Invalid(
                    f"column {name!r} has {column.ndim} dimensions, a column has one: pass a list of its rows"
                )

    @classmethod
    def from_rows(
        cls,
        names: Iterable[str],
        rows: Iterable[Sequence[Any]],
        types: Mapping[str, str] | None = None,
        *,
        title: str = "",
        stats: Mapping[str, Any] | None = None,
    ) -> Self:
        """A table of Python rows. Invalid if two columns share a name or a row has too few or too many cells."""
        fields, taken = list(names), list(rows)
        if len(set(fields)) < len(fields):
            raise Invalid(f"two columns share a name in {fields}: rename one with AS")
        for i, row in enumerate(taken):
            if len(row) != len(fields):
                raise Invalid(f"row {i} has {len(row)} cells for {len(fields)} columns")
        columns: dict[str, Column] = {name: [row[i] for row in taken] for i, name in enumerate(fields)}
        return cls(columns, types, title=title, stats=stats)

    @property
    def columns(self) -> dict[str, Column]:
        """The columns as they were given, by name. They are the table's own: do not change them."""
        return self._columns

    @property
    def names(self) -> list[str]:
        return list(self.columns)

    @property
    def types(self) -> dict[str, str]:
        """The type of every column in the engine's words; for a column that none was given for, numpy's."""
        return {
            name: self._types.get(name) or (column.dtype.name if isinstance(column, np.ndarray) else "object")
            for name, column in self.columns.items()
        }

    def __len__(self) -> int:
        return next((len(column) for column in self.columns.values()), 0)

    def __iter__(self) -> Iterator[Any]:
        return self._between(0, Table.__len__(self))

    def __getitem__(self, index: SupportsIndex | slice) -> Any:  # noqa: ANN401 - one of two
        """A row by position, from the end if negative; for a slice a Table of those rows."""
        if isinstance(index, slice):
            return Table({name: column[index] for name, column in self.columns.items()}, self._types, title=self.title)
        at, count = operator.index(index), Table.__len__(self)
        if not -count <= at < count:
            raise IndexError(f"row {at} of a table of {count} rows")
        return next(self._between(at % count, at % count + 1))

    def rows(self) -> list[Row]:
        """All rows, as Python objects."""
        return list(self._between(0, Table.__len__(self)))

    def _between(self, start: int, stop: int) -> Iterator[Row]:
        columns = self.columns
        make = row_type(tuple(columns))
        for low in range(start, stop, CHUNK):
            high = min(low + CHUNK, stop)
            for cells in zip(*(python_values(column[low:high]) for column in columns.values()), strict=True):
                yield make(cells)

    def column(self, name: str) -> np.ndarray[Any, Any]:
        """One column as an array. A list becomes int64, float64, bool or datetime64[us] if it all fits, else object."""
        if name not in self.columns:
            raise NotFound(f"no column {name!r} among {', '.join(self.columns)}{nearest(name, self.columns)}")
        column = self.columns[name]
        return column if isinstance(column, np.ndarray) else as_array(column)

    def to_dicts(self) -> list[dict[str, Any]]:
        names = self.names
        return [dict(zip(names, row, strict=True)) for row in Table.rows(self)]

    def to_arrow(self) -> Any:  # noqa: ANN401 - pyarrow may be absent
        """A pyarrow.Table; times are timestamp[us, UTC]. Needs the extra [arrow].

        Invalid names the column that Arrow has no type for, such as one that mixes text and numbers.
        """
        arrow = extra("pyarrow", "arrow")
        taken = {}
        for name in self.columns:
            column = self.column(name)
            try:
                if column.dtype.kind == "M" and column.dtype != "M8[D]":
                    taken[name] = arrow.array(column.astype("M8[us]"), type=arrow.timestamp("us", tz="UTC"))
                elif column.dtype.kind == "O":
                    cells = (list(cell) if isinstance(cell, set | frozenset) else cell for cell in column)
                    taken[name] = arrow.array(list(cells), from_pandas=False)
                elif isinstance(column, np.ma.MaskedArray):
                    taken[name] = arrow.array(column.data, mask=np.ma.getmaskarray(column))
                else:
                    taken[name] = arrow.array(column, from_pandas=False)
            except (arrow.ArrowException, OverflowError, TypeError) as error:
                raise Invalid(f"Arrow has no one type for column {name!r}: {error}") from error
        return arrow.table(taken)

    def to_pandas(self) -> Any:  # noqa: ANN401 - pandas may be absent
        """A pandas.DataFrame; times carry UTC, masked arrays become nullable types. Needs the extra [arrow]."""
        pandas = extra("pandas", "arrow")
        taken = {}
        for name in self.columns:
            column = self.column(name)
            if isinstance(column, np.ma.MaskedArray):
                taken[name] = pandas.Series(column.tolist(), dtype=object).convert_dtypes()
            elif column.dtype.kind == "M":
                taken[name] = pandas.Series(column.astype("M8[us]")).dt.tz_localize("UTC")
            else:
                taken[name] = pandas.Series(column)
        return pandas.DataFrame(taken)

    def __str__(self) -> str:
        names, count = [cut(printable(name), 40) for name in self.names], Table.__len__(self)
        shown = list(self._between(0, min(count, ROWS)))
        limit = CELL if len(names) > 1 else ALONE
        texts = [[show(cell, limit) for cell in row] for row in shown]
        right = self._right_aligned(shown)
        widths = [max(map(width, cells)) for cells in zip(names, *texts, strict=True)]
        lines = [cut(printable(self.title), 200)] if self.title else []
        if names:
            lines += [_aligned(names, widths, right), "  ".join("─" * n for n in widths)]
            lines += [_aligned(cells, widths, right) for cells in texts]
        lines.append(f"({self._summary(len(shown))})")
        if self.stats:
            lines.append(_stats(self.stats))
        return "\n".join(lines)

    __repr__ = __str__  # what a console shows

    def _repr_html_(self) -> str:
        names, count = self.names[:HTML_COLUMNS], Table.__len__(self)
        candidates = [row[: len(names)] for row in self._between(0, min(count, HTML_ROWS))]
        right = self._right_aligned(candidates)
        head = "".join(f"<th>{_escaped(name)}</th>" for name in names)
        lines, room = [], HTML_BYTES
        for row in candidates:
            cells = (
                f'<td style="text-align:right">{_escaped(cell)}</td>' if on_right else f"<td>{_escaped(cell)}</td>"
                for cell, on_right in zip(row, right, strict=False)
            )
            line = f"<tr>{''.join(cells)}</tr>"
            room -= len(line.encode())
            if room < 0:
                break
            lines.append(line)
        summary = f"({self._summary(len(lines))})"
        if len(names) < len(self.columns):
            summary += f", {len(names)} of {len(self.columns)} columns"
        if self.title:
            summary = f"{cut(printable(self.title), 200)} {summary}"
        below = f"<p>{html.escape(_stats(self.stats))}</p>" if self.stats else ""
        body = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>{below}"
        return f"<details open><summary>{html.escape(summary)}</summary>{body}</details>"

    def _summary(self, shown: int) -> str:
        """How many rows there are, and what else a subclass has to say of that."""
        count = Table.__len__(self)
        rows = "1 row" if count == 1 else f"{count:,} rows"
        return rows if shown == count else f"{rows}, the first {shown} shown"

    def _right_aligned(self, shown: Sequence[Sequence[Any]]) -> list[bool]:
        """By column: numbers stand right, so that their digits line up. Decided by what is shown of it."""
        return [
            any(is_number(row[i]) for row in shown) and all(row[i] is None or is_number(row[i]) for row in shown)
            for i in range(min(len(self.columns), len(shown[0])) if shown else len(self.columns))
        ]


def _aligned(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (
        " " * (n - width(cell)) + cell if on_right else cell + " " * (n - width(cell))
        for cell, n, on_right in zip(cells, widths, right, strict=True)
    )
    return "  ".join(padded).rstrip()


def _stats(stats: Mapping[str, Any]) -> str:
    return cut(", ".join(f"{printable(k)} {grouped(v)}" for k, v in list(stats.items())[:40]), 2000)


def _escaped(value: object) -> str:
    return html.escape(show(value))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it was written. offset is in bytes, None where it is not about one place."""

    file: str
    offset: int | None
    what: str

    def __str__(self) -> str:
        place = self.file if self.offset is None else f"{self.file}, offset {self.offset:,}"
        return f"{printable(place)}: {printable(self.what)}"


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of verify(): how many things were looked at (`unit` says which), and what was wrong with them."""

    checked: int = 0
    problems: Sequence[Problem] = ()
    unit: str = "items"

    @property
    def ok(self) -> bool:
        return not self.problems

    def __bool__(self) -> bool:
        """`if store.verify():` means what it says."""
        return self.ok

    def __add__(self, other: "Report") -> "Report":
        """Two reports as one: an engine adds up those of its log, tree and blobs."""
        unit = (
            self.unit if self.unit == other.unit or not other.checked else other.unit if not self.checked else "items"
        )
        return Report(self.checked + other.checked, [*self.problems, *other.problems], unit)

    def __str__(self) -> str:
        found = {0: "no problem", 1: "1 problem"}.get(len(self.problems), f"{len(self.problems):,} problems")
        lines = [f"{found} in {self.checked:,} {self.unit} checked", *(f"  {p}" for p in self.problems[:ROWS])]
        if len(self.problems) > ROWS:
            lines.append(f"  and {len(self.problems) - ROWS:,} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(cut(str(self), 10_000))}</pre>"


@dataclass(slots=True)
class Plan:
    """A step of a plan and the steps that feed it. Counters may be filled in while it runs."""

    name: str
    detail: str = ""
    counters: dict[str, float] = field(default_factory=dict)
    children: "list[Plan]" = field(default_factory=list)

    def walk(self) -> "Iterator[tuple[Plan, list[bool]]]":
        """Every step with its path from the root, a True where a step is the last of its siblings; parents first."""
        waiting: list[tuple[Plan, list[bool]]] = [(self, [])]
        while waiting:
            plan, path = waiting.pop()
            yield plan, path
            last = len(plan.children) - 1
            waiting += [(child, [*path, i == last]) for i, child in reversed(list(enumerate(plan.children)))]

    def find(self, name: str) -> "Plan | None":
        """The first step of that name, parents before children; None if there is none."""
        return next(iter(self.find_all(name)), None)

    def find_all(self, name: str) -> "list[Plan]":
        return [plan for plan, _ in self.walk() if plan.name == name]

    def to_dict(self) -> dict[str, Any]:
        """The tree as JSON would hold it."""
        counters = {
            name: value.item() if isinstance(value, np.generic) else value for name, value in self.counters.items()
        }
        children = [child.to_dict() for child in self.children]
        return {"name": self.name, "detail": self.detail, "counters": counters, "children": children}

    def __str__(self) -> str:
        lines = []
        for plan, path in self.walk():
            rails = ["   " if last else "│  " for last in path[:-1]] + ["└─ " if last else "├─ " for last in path[-1:]]
            lines.append("".join(rails) + plan.line())
        return "\n".join(lines)

    def line(self) -> str:
        """One step alone: name, detail, and its counters in brackets."""
        counted = ", ".join(f"{name}={grouped(value)}" for name, value in self.counters.items())
        parts = (printable(self.name), printable(self.detail), f"[{printable(counted)}]" if counted else "")
        return "  ".join(part for part in parts if part)

    def svg(self) -> str:
        """The tree as a picture, 800 px wide; the first 80 steps of a larger one, and it says so."""
        return draw_plan([(step.name, step.detail, step.counters, path) for step, path in self.walk()])

    visualise = svg

    def _repr_html_(self) -> str:
        return f"<details open><summary>{html.escape(cut(self.line(), 200))}</summary>{self.svg()}</details>"
