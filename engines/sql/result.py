"""The answer to a SELECT: a `Table` that is still columns of the engine until somebody looks.

    rows            Python's values: int, Decimal, float, str, bytes, date, datetime in UTC, None   values.python_values
    columns         numpy arrays where they say it all, lists of Python's values where they do not
    to_arrow()      Arrow, with the SQL types: exact decimals, dates, dictionaries written out

Each form is made once, when it is first asked for. Two columns may have the same header in SQL; a table's columns are
named once each, so the second is called header_2.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from engines.display import Table
from engines.rows import Column as Cells
from engines.rows import Row, row_type
from engines.sql import arrow
from engines.sql.collected import Collected
from engines.sql.column import Batch, nulls
from engines.sql.types import Type
from engines.sql.values import numpy_array, python_values

LISTED = frozenset({"decimal", "time", "interval", "null"})  # types whose values have no array of their own


class Result(Table):
    """The rows of a SELECT, in order. types: SQL's names; stats: what answering touched."""

    def __init__(
        self,
        found: Collected,
        columns: Sequence[tuple[str, str, Type]],
        *,
        title: str = "",
        stats: Mapping[str, Any] | None = None,
    ) -> None:
        """columns: header, id in `found`, type."""
        self.found = found
        self.described = distinct(columns)
        super().__init__({}, {name: str(type) for name, _, type in self.described}, title=title, stats=stats)
        self._made: dict[str, Cells] | None = None
        self._rows: list[Row] | None = None

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.described]

    @property
    def columns(self) -> dict[str, Cells]:
        if self._made is None:
            whole = self.found.whole()
            self._made = {}
            for name, id, type in self.described:
                column = whole[id] if self.found.rows else nulls(type, 0)
                listed = type.kind in LISTED or type.bytes or type.fields or column.valid is not None or column.wide
                dates = type.kind in {"date", "timestamp", "timestamptz"} and not column.wide
                self._made[name] = (
                    numpy_array(column, self.found.rows)
                    if dates or not listed
                    else python_values(column, self.found.rows)
                )
        return self._made

    def column(self, name: str) -> np.ndarray[Any, Any]:
        return super().column(name)

    def __len__(self) -> int:
        return self.found.rows

    def rows(self) -> list[Row]:
        if self._rows is None:
            make = row_type(tuple(self.names))
            made: list[Row] = []
            for piece, rows in zip(self.found.pieces, self.found.counts, strict=True):
                cells = [python_values(piece[id], rows) for _, id, _ in self.described]
                made.extend(map(make, zip(*cells, strict=True)))
            self._rows = made
        return list(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows())

    def __getitem__(self, index: SupportsIndex | slice) -> Any:  # noqa: ANN401 - a row, or a Table of some
        if isinstance(index, slice):
            return super().__getitem__(index)
        return self.rows()[index]

    def _between(self, start: int, stop: int) -> Iterator[Row]:
        yield from self.rows()[start:stop]

    def batches(self) -> Iterator[Batch]:
        """The rows as the engine holds them, columns by the ids in `described`."""
        for piece, rows in zip(self.found.pieces, self.found.counts, strict=True):
            yield Batch(piece, rows)

    def to_arrow(self) -> Any:  # noqa: ANN401 - pyarrow may be absent
        """A pyarrow.Table with the types of the columns. Needs the extra [arrow]."""
        return arrow.table_of(self.batches(), self.described)

    def to_pandas(self) -> Any:  # noqa: ANN401 - pandas may be absent
        """A pandas.DataFrame; decimals are objects. Needs the extra [arrow]."""
        return self.to_arrow().to_pandas()


def distinct(columns: Sequence[tuple[str, str, Type]]) -> list[tuple[str, str, Type]]:
    """Headers that differ: of two equal ones the second gets a number."""
    taken: set[str] = set()
    named = []
    for header, id, type in columns:
        name, number = header, 2
        while name in taken:
            name, number = f"{header}_{number}", number + 1
        taken.add(name)
        named.append((name, id, type))
    return named
