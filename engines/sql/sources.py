"""Tables that others hold, as a `TableSource`: what speaks Arrow (pyarrow, pandas, Polars, DuckDB), rows, arrays."""

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.display import Table
from engines.errors import Invalid
from engines.sql.arrays import ArraysSource
from engines.sql.arrow import batch_of, pyarrow, schema_of
from engines.sql.column import VECTOR, Batch, Column, Maker
from engines.sql.sample import Sampled
from engines.sql.source import Partition, Placement, Predicate, Scanned, Schema, Statistics, Support, TableSource
from engines.sql.values import column_of

if TYPE_CHECKING:
    import pyarrow as pa

_versions = itertools.count(1)


class ArrowSource:
    """An Arrow table in memory. It answers no predicate itself: whoever scans it filters."""

    placement: Placement | None = None

    def __init__(self, name: str, table: "pa.Table", *, rows: int = VECTOR) -> None:
        self.name = name
        self._batches: list[pa.RecordBatch] = []
        for record in table.to_batches():
            self._batches += [record.slice(start, rows) for start in range(0, record.num_rows, rows)]
        self._schema = schema_of(table.schema)
        self._rows = table.num_rows
        self._statistics = Statistics(self._rows, Sampled(table.column_names, self._batches, self._rows))
        self._version = next(_versions)

    def schema(self) -> Schema:
        return self._schema

    def version(self) -> Hashable:
        return self._version

    def statistics(self) -> Statistics:
        return self._statistics

    def support(self, predicate: Predicate) -> Support:
        del predicate
        return Support.NONE

    def partitions(self, predicates: Sequence[Predicate], scanned: Scanned) -> Sequence[Partition]:
        del predicates
        scanned.blocks_total += len(self._batches)
        return [Partition(str(i), record.num_rows, record.nbytes, origin=i) for i, record in enumerate(self._batches)]

    def scan(
        self, partition: Partition, columns: Sequence[str], predicates: Sequence[Predicate], scanned: Scanned
    ) -> Iterator[Batch]:
        del predicates
        record = self._batches[partition.origin]
        scanned.rows_scanned += record.num_rows
        scanned.blocks_decoded += 1
        yield batch_of(record.select(list(columns)))


class RowsSource:
    """Rows of Python's values, made anew for each query: system tables, small things."""

    placement: Placement | None = None

    def __init__(self, name: str, schema: Schema, rows: Callable[[], Iterable[Sequence[Any]]]) -> None:
        self.name = name
        self._schema = schema
        self._rows = rows

    def schema(self) -> Schema:
        return self._schema

    def version(self) -> Hashable:
        return next(_versions)  # never the same: nobody may keep an answer

    def statistics(self) -> Statistics:
        return Statistics()

    def support(self, predicate: Predicate) -> Support:
        del predicate
        return Support.NONE

    def partitions(self, predicates: Sequence[Predicate], scanned: Scanned) -> Sequence[Partition]:
        del predicates
        rows = list(self._rows())
        scanned.blocks_total += 1
        return [
            Partition(str(i), len(rows[i : i + VECTOR]), origin=rows[i : i + VECTOR])
            for i in range(0, len(rows), VECTOR)
        ]

    def scan(
        self, partition: Partition, columns: Sequence[str], predicates: Sequence[Predicate], scanned: Scanned
    ) -> Iterator[Batch]:
        del predicates
        scanned.rows_scanned += partition.rows
        scanned.blocks_decoded += 1
        places = {field.name: (i, field.type) for i, field in enumerate(self._schema)}
        made: dict[str, Column | Maker] = {}
        for name in columns:
            place, type = places[name]
            made[name] = column_of([row[place] for row in partition.origin], type)
        yield Batch(made, partition.rows)


def table_source(name: str, thing: Any) -> TableSource:  # noqa: ANN401 - whatever can be a table
    """What stands for `thing` as a table: itself, its as_table_source(), or what it says in Arrow.

    Invalid for what is none of these: a TableSource has schema, statistics, partitions and scan.
    """
    if all(hasattr(thing, method) for method in ("schema", "statistics", "partitions", "scan", "support")):
        return thing  # type: ignore[no-any-return] # as the test says
    if hasattr(thing, "as_table_source"):
        return thing.as_table_source()  # type: ignore[no-any-return] # its contract
    if hasattr(thing, "__arrow_c_stream__"):
        return ArrowSource(name, pyarrow().table(thing))
    if isinstance(thing, Table):
        return ArraysSource(name, thing.columns)
    if isinstance(thing, dict):
        arrays = all(isinstance(cells, np.ndarray | list) for cells in thing.values())
        return ArraysSource(name, thing) if arrays else ArrowSource(name, pyarrow().table(thing))
    raise Invalid(
        f"{type(thing).__name__} is no table: pass an Arrow table, a DataFrame, a Table, a dict of arrays, a pyarrow "
        "dataset, or an object with as_table_source()"
    )
