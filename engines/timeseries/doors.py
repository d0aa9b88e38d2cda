"""The other ways in, and a way out without SQL: records, lines, tables of Arrow become columns; rows become series.

    write_records    boto3's shapes           records.py ──┐
    write_lines      line protocol            lines.py   ──┼──> Columns ──> TimeTable.append, one frame, one sync
    write_table      Arrow, pandas, Polars    intake.py  ──┘
    series           ──> parts ──> Series     objects.py

A line that cannot be read, or a record that is refused, does not keep the others out: RejectedRecords tells of all of
them when the rest is on disk.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engines import display
from engines.errors import Invalid, NotFound, nearest
from engines.extras import extra
from engines.timeseries import defining, ingest, intake, lines, merge, records, selection
from engines.timeseries.columns import Columns
from engines.timeseries.objects import Measured, Selection, Series
from engines.timeseries.results import Rejected, RejectedRecords, WriteResult
from engines.timeseries.rows import is_version

if TYPE_CHECKING:
    from engines.timeseries.engine import TimeSeries
    from engines.timeseries.table import TimeTable


def written(table: "TimeTable", batches: Sequence[Columns], rejected: Sequence[Rejected] = ()) -> WriteResult:
    """Write batches, of a call some of whose records were refused already. RejectedRecords if any was refused."""
    try:
        result = table.append(*batches) if batches else WriteResult()
    except RejectedRecords as error:
        result = error.result
    return told([result, WriteResult(rejected=tuple(rejected))])


def told(results: Iterable[WriteResult]) -> WriteResult:
    """The sum of what was written. RejectedRecords if anything was refused."""
    total = sum(results, WriteResult())
    if total.rejected:
        ordered = tuple(sorted(total.rejected, key=lambda one: one.index))
        raise RejectedRecords.of(WriteResult(total.memory, total.magnetic, total.unchanged, ordered))
    return total


def write_records(
    table: "TimeTable", given: Iterable[Mapping[str, Any]], common: Mapping[str, Any] | None
) -> WriteResult:
    """See TimeTable.write_records."""
    return written(table, records.read(given, common))


def _single(kind: str) -> bool:
    if kind not in {"multi", "single"}:
        raise Invalid(f'records is "multi" (a record a line) or "single" (a record a field), got {kind!r}')
    return kind == "single"


def write_lines(table: "TimeTable", data: bytes | str, *, precision: str, kind: str, now: int | None) -> WriteResult:
    """See TimeTable.write_lines."""
    moment = table.engine.now() if now is None else now
    found, rejected = lines.read(data, precision=precision, now=moment, single=_single(kind))
    others = [name for name in found if name != table.name]
    if others:
        line = min(int(columns.index[0]) for columns in found[others[0]] if columns.index is not None) + 1
        raise Invalid(
            f"line {line} is of {others[0]!r}, and this is the table {table.name!r}: TimeSeries.write_lines sends each "
            "line to its table"
        )
    return written(table, found.get(table.name, []), rejected)


def route_lines(  # noqa: PLR0917 - those of write_lines, and where to
    engine: "TimeSeries",
    data: bytes | str,
    precision: str,
    kind: str,
    create: Mapping[str, Any] | None,
    now: int | None,
) -> WriteResult:
    """See TimeSeries.write_lines."""
    moment = engine.now() if now is None else now
    found, rejected = lines.read(data, precision=precision, now=moment, single=_single(kind))
    known = set(engine.tables())
    for name in found.keys() - known:
        if create is None:
            raise NotFound(
                f"no table {name!r}{nearest(name, known)}; create it, or pass create={{}} to have such tables created"
            )
        defining.checked_name(name, "a table's name")
    tables = {
        name: engine.table(name) if name in known else engine.create_table(name, **(create or {})) for name in found
    }
    for name, batches in found.items():
        for columns in batches:
            ingest.check(tables[name].definition, columns)  # of all tables, before rows go into the first
    results = [WriteResult(rejected=tuple(rejected))]
    for name, batches in found.items():
        try:
            results.append(tables[name].append(*batches))
        except RejectedRecords as error:
            results.append(error.result)
    return told(results)


def write_table(
    table: "TimeTable",
    data: Any,  # noqa: ANN401 - whatever speaks Arrow
    *,
    time: str,
    dimensions: Sequence[str],
    measure_name: str | None,
    version: int,
) -> WriteResult:
    """See TimeTable.write_table."""
    if not hasattr(data, "__arrow_c_stream__"):
        raise Invalid(f"a table of Arrow, pandas, Polars or DuckDB is wanted, got {type(data).__name__}: use write()")
    if isinstance(dimensions, str):
        raise Invalid(f"dimensions are names of columns: write ({dimensions!r},)")
    arrow = extra("pyarrow", "arrow").table(data)
    for name in (time, *dimensions):
        if name not in arrow.column_names:
            raise NotFound(f"the table has no column {name!r}{nearest(name, arrow.column_names)}")
    given = {name: arrow.column(name) for name in arrow.column_names}
    measures = {name: column for name, column in given.items() if name != time and name not in dimensions}
    full = {name: column for name, column in measures.items() if column.null_count < len(column) or not len(column)}
    if arrow.num_rows == 0:
        return WriteResult()
    columns = intake.columns_of(
        given[time],
        {name: given[name] for name in dimensions},
        full,
        measure_name=measure_name,
        version=version,
    )
    return table.append(columns)


def series(table: "TimeTable", dimensions: Mapping[str, str]) -> Selection:
    """See TimeTable.series."""
    _check_dimensions(table, dimensions)
    numbers = table.index.match({name: [value] for name, value in dimensions.items()})
    found: dict[int, dict[str, list[tuple[Any, Any]]]] = {int(number): {} for number in numbers}
    by_id = {measure.id: measure for measure in table.definition.measures}
    for part in table.parts(series=numbers):
        _, places, _ = np.intersect1d(part.series, numbers, return_indices=True)
        rows = merge.rows_of(merge.selected(part, places), table.type_of)
        cuts = np.flatnonzero(rows.series[1:] != rows.series[:-1]) + 1
        for start, end in itertools.pairwise([0, *cuts.tolist(), len(rows)]):
            if start == end:
                continue
            mine = found[int(rows.series[start])]
            for number, column in rows.columns.items():
                if is_version(number) or by_id[number].type == "varchar":
                    continue
                there = column.present()[start:end]
                if there.any():
                    values = column.data[start:end][there].astype(np.float64)
                    mine.setdefault(by_id[number].name, []).append((rows.times[start:end][there], values))
    asked = f"{table.name}({', '.join(f'{name}={value!r}' for name, value in dimensions.items())})"
    measured = []
    for key, measures in found.items():
        its = table.index.dimensions(key)
        pieces = {
            name: Series(name, np.concatenate([at for at, _ in some]), np.concatenate([one for _, one in some]), its)
            for name, some in measures.items()
        }
        if pieces:
            measured.append(Measured(its, table.index.kind(key), pieces))
    return Selection(measured, asked)


def last(table: "TimeTable", dimensions: Mapping[str, str]) -> display.Table:
    """See TimeTable.last: a query of the newest block of each series."""
    _check_dimensions(table, dimensions)
    known = table.definition.dimensions
    keys = ", ".join(map(quoted, known))
    behind_time = selection.Columns.of(table.definition).schema[len(known) + 2 :]
    measures = [field.name for field in behind_time]
    columns = ", ".join(f"max_by({quoted(name)}, time) AS {quoted(name)}" for name in measures)
    wanted = " AND ".join(f"{quoted(name)} = ?" for name in dimensions)
    text = (
        f"SELECT {keys}{', ' if keys else ''}measure_name, max(time) AS time{', ' if columns else ''}{columns} "  # noqa: S608 - quoted names
        f"FROM {quoted(table.name)}{f' WHERE {wanted}' if wanted else ''} "
        f"GROUP BY {keys}{', ' if keys else ''}measure_name ORDER BY {keys}{', ' if keys else ''}measure_name"
    )
    return table.engine.sql(text, tuple(dimensions.values()))


def _check_dimensions(table: "TimeTable", names: Iterable[str]) -> None:
    known = table.definition.dimensions
    for name in names:
        if name not in known:
            raise NotFound(f"table {table.name!r} has no dimension {name!r}{nearest(name, known)}")


def quoted(name: str) -> str:
    """A name as SQL writes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'
