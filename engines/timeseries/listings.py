"""SHOW TABLES, SHOW MEASURES FROM t, DESCRIBE t: what there is, as the service lists it."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from engines.display import Table
from engines.errors import QueryError, nearest
from engines.sql.front import Statement
from engines.timeseries.selection import MEASURE_NAME, TIME_COLUMN

if TYPE_CHECKING:
    from engines.timeseries.database import Tables
    from engines.timeseries.scan import TimeSource

MEASURE_HEADERS: Final = ("measure_name", "data_type", "dimensions")


def answer(statement: Statement, text: str, tables: "Tables") -> Table:
    """The rows of one of these statements. QueryError for what is not understood, or for a table that there is not."""
    tokens = list(statement.tokens)
    match statement.kind:
        case "SHOW DATABASES":
            _end(tokens[2:], text)
            return Table.from_rows(["Database"], [[tables.database]])
        case "SHOW TABLES":
            rest, pattern = _like(tokens[2:], text)
            if rest and rest[0].text.upper() in {"FROM", "IN"}:
                rest = _database(rest[1:], text, tables)
            _end(rest, text)
            names = [name for name in tables.names() if pattern is None or matches(pattern, name)]
            return Table.from_rows(["Table"], [[name] for name in sorted(names)])
        case "SHOW MEASURES":
            rest, pattern = _like(tokens[2:], text)
            if not rest or rest[0].text.upper() not in {"FROM", "IN"}:
                raise _error("SHOW MEASURES names a table: SHOW MEASURES FROM t", rest or tokens[-1:], text)
            found = [
                row for row in _measures(_table(rest[1:], text, tables)) if not pattern or matches(pattern, row[0])
            ]
            return Table.from_rows(MEASURE_HEADERS, sorted(found, key=lambda row: str(row[0])))
        case "DESCRIBE" | "DESC":
            return Table.from_rows(
                ["Column", "Type", "Timestream attribute type"], _described(_table(tokens[1:], text, tables))
            )
    raise QueryError(f"{statement.kind} is not supported here", text=text, position=tokens[0].start)


def _measures(source: "TimeSource") -> Iterator[list[Any]]:
    """A row a measure name: "multi" for records of several measures. dimensions: those that its series have."""
    index = source.table.index
    of: dict[str | None, list[str]] = {kind: [] for kind in index.kinds}
    for kind in index.kinds:
        mine = index.of_kind(kind)
        for name in source.table.definition.dimensions:
            if (index.dimension(name).codes[mine] >= 0).any():
                of[kind].append(name)
    for kind in index.kinds:
        if kind is not None:
            yield [kind, "multi", of[kind]]
    if None in of:
        for measure in source.table.definition.measures:
            if measure.single:
                yield [measure.name, measure.type, of[None]]


def _described(source: "TimeSource") -> Iterator[list[str]]:
    columns = source.columns()
    for one in columns.schema:
        if one.name in columns.dimensions:
            what = "DIMENSION"
        elif one.name in {TIME_COLUMN, MEASURE_NAME}:
            what = "TIMESTAMP" if one.name == TIME_COLUMN else "MEASURE_NAME"
        else:
            what = "MULTI" if one.name in columns.multi else "MEASURE_VALUE"
        yield [one.name, "double" if one.type.kind == "double" else one.type.kind, what]


# ---- reading ------------------------------------------------------------------------------------------------------


def _table(tokens: Sequence[Any], text: str, tables: "Tables") -> "TimeSource":
    parts = [token.text for token in tokens[::2]]
    if not tokens or len(tokens) % 2 == 0 or any(token.text != "." for token in tokens[1::2]):
        raise _error("the name of a table is expected here", tokens, text)
    found = tables.find(tuple(parts))
    if found is None:
        guess = nearest(parts[-1], tables.names()).removeprefix("; ")
        raise QueryError(
            f"there is no table {'.'.join(parts)!r}", text=text, position=tokens[0].start, suggestion=guess
        )
    return found


def _database(tokens: Sequence[Any], text: str, tables: "Tables") -> Sequence[Any]:
    if not tokens or tokens[0].text.lower() != tables.database.lower():
        raise _error(f"there is one database here: {tables.database!r}", tokens, text)
    return tokens[1:]


def _like(tokens: Sequence[Any], text: str) -> tuple[Sequence[Any], str | None]:
    """The tokens before LIKE, and its pattern."""
    for at, token in enumerate(tokens):
        if token.text.upper() == "LIKE":
            if len(tokens) != at + 2:
                raise _error("LIKE takes one pattern", tokens[at:], text)
            return tokens[:at], str(tokens[-1].text)
    return tokens, None


def matches(pattern: str, name: str) -> bool:
    """LIKE: % is any text, _ any character."""
    parts = (".*" if one == "%" else "." if one == "_" else re.escape(one) for one in pattern)
    return re.fullmatch("".join(parts), name, re.DOTALL) is not None


def _end(tokens: Sequence[Any], text: str) -> None:
    if tokens:
        raise _error(f"{tokens[0].text!r} is not expected here", tokens, text)


def _error(message: str, tokens: Sequence[Any], text: str) -> QueryError:
    return QueryError(message, text=text, position=tokens[0].start if tokens else len(text))
