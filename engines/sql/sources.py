"""Tables that other programs hold: anything that speaks Arrow (pyarrow, pandas, Polars, DuckDB) as a `TableSource`."""

import itertools
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from engines.errors import Invalid
from engines.sql.arrow import batch_of, pyarrow, schema_of
from engines.sql.column import VECTOR, Batch
from engines.sql.source import Partition, Placement, Predicate, Scanned, Schema, Statistics, Support, TableSource

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
        self._version = next(_versions)

    def schema(self) -> Schema:
        return self._schema

    def version(self) -> Hashable:
        return self._version

    def statistics(self) -> Statistics:
        return Statistics(rows=self._rows)

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
    if isinstance(thing, dict):
        return ArrowSource(name, pyarrow().table(thing))
    raise Invalid(
        f"{type(thing).__name__} is no table: pass an Arrow table, a DataFrame, a dict of arrays, a pyarrow dataset, "
        "or an object with as_table_source()"
    )
