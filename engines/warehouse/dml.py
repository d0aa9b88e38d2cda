"""INSERT, UPDATE, DELETE, MERGE: each is a query that says which rows, and a transaction that is told.

    INSERT INTO t (a, b) query     the query, its columns fitted to those of the table; defaults beside them
    DELETE FROM t USING s WHERE c  SELECT t."$row" FROM t, s WHERE c                            those rows go
    UPDATE t SET a = e FROM s ..   SELECT t."$row", e, t.b FROM t, s WHERE ...                  they go, these come
    MERGE INTO t USING s ON c      matched:      SELECT t."$row", ... FROM t JOIN s ON c
                                   not matched:  SELECT ... FROM s WHERE NOT EXISTS (SELECT 1 FROM t WHERE c)

What fits into a column, and DEFAULTs: fitting.py. "$row" is a row's number in the state that the transaction has
(scan.py), so the query runs under the writer's lock. An UPDATE whose row is met by several rows of FROM takes the
first; a MERGE refuses that, as the standard has it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sqlglot import exp

from engines.display import Table
from engines.errors import Invalid, QueryError
from engines.sql import front
from engines.sql.collected import Collected
from engines.sql.column import Batch
from engines.sql.logical import Query
from engines.warehouse.catalog import ColumnDefinition, TableDefinition
from engines.warehouse.fitting import appended, batches, filled, fitted, rows_of
from engines.warehouse.names import folded
from engines.warehouse.running import Running, done
from engines.warehouse.scan import ROW

Node = Any  # of sqlglot's tree


# ---- INSERT ------------------------------------------------------------------------------------------------------


def insert(running: Running) -> Table:
    """INSERT INTO t [(columns)] VALUES, a query, or DEFAULT VALUES."""
    ast = running.statement.ast
    target, names = ast.this, None
    if isinstance(target, exp.Schema):
        names = [node.name.lower() for node in target.expressions]
        target = target.this
    name = name_of(target)
    with running.session.change(running.session.holder(name)) as transaction:
        table = running.definition(transaction, name, target)
        columns = _named(running, table, names, ast.this) if names is not None else list(table.columns)
        query = ast.args.get("expression")
        if ast.args.get("default") or query is None:
            columns, query = [], exp.select(exp.Literal.number(1))
        if isinstance(query, exp.Values):
            query, columns = _values(running, query, columns, named=names is not None)
        bound = running.bind(_with(query, ast))
        if not columns:
            bound = replace(bound, columns=())
        if names is None and len(bound.columns) < len(columns):  # the last columns take their defaults
            columns = columns[: len(bound.columns)]
        for column in columns:
            if column.identity is not None:
                raise running.error(f"column {column.name!r} is an IDENTITY and gives its values itself", ast.this)
        also = filled(running.engine, table, [column.name for column in columns])
        whole = fitted(bound, columns, running.statement.source, also=also)
        found = rows_of(running, whole)
        rows = appended(transaction, name, found, whole)
    return done("INSERT", rows)


def _named(running: Running, table: TableDefinition, names: Sequence[str], node: Node) -> list[ColumnDefinition]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise running.error(f"column {twice[0]!r} is named more than once", node)
    return [running.column(table, name, node) for name in names]


def _values(
    running: Running, values: Node, columns: list[ColumnDefinition], *, named: bool
) -> tuple[Node, list[ColumnDefinition]]:
    """VALUES with DEFAULT put in. A column that says DEFAULT in all rows is left out, as an IDENTITY must be.

    named: the statement names its columns; else the last ones may be left away.
    """
    rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in values.expressions]
    width = len(rows[0])
    for row in rows:
        if len(row) != width:
            raise running.error(f"the rows of VALUES have {width} and {len(row)} values", row[0])
    if width > len(columns) or (named and width < len(columns)):
        raise running.error(f"{len(columns)} columns are to be filled, and {width} values given", rows[0][-1])
    keep = [at for at in range(width) if not all(_says_default(row[at]) for row in rows)]
    if len(keep) == width and not any(_says_default(value) for row in rows for value in row):
        return values, columns[:width]
    taken = [columns[at] for at in keep]
    made = [
        exp.Tuple(expressions=[_default(columns[at]) if _says_default(row[at]) else row[at] for at in keep])
        for row in rows
    ]
    if not keep:
        return exp.union(*[exp.select("1")] * len(rows), distinct=False) if len(rows) > 1 else exp.select("1"), []
    return exp.Values(expressions=made), taken


def _with(query: Node, ast: Node) -> Node:
    """The query with what the statement says in front of itself: WITH ... INSERT, UPDATE, DELETE."""
    before = ast.args.get("with_")
    if before is None:
        return query
    query, inner = query.copy(), query.args.get("with_")
    both = before.copy()
    both.set("expressions", [*both.expressions, *(inner.copy().expressions if inner is not None else [])])
    query.set("with_", both)
    return query


def _says_default(node: Node) -> bool:
    if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier):
        return not node.this.quoted and len(node.parts) == 1 and node.name.upper() == "DEFAULT"
    return isinstance(node, exp.Var) and node.name.upper() == "DEFAULT"


def _default(column: ColumnDefinition) -> Node:
    """A column's DEFAULT as a syntax tree."""
    if column.default is None:
        return exp.Null()
    return front.expression_of(column.default)


# ---- UPDATE and DELETE -------------------------------------------------------------------------------------------


def delete(running: Running) -> Table:
    """DELETE FROM t [USING ...] [WHERE ...]."""
    ast = running.statement.ast
    target = ast.this or next(iter(ast.args.get("tables") or ()), None)  # the latter: DELETE t, without FROM
    if target is None:
        raise running.error("DELETE names no table", ast)
    name = name_of(target)
    with running.changing(name) as transaction:
        running.definition(transaction, name, target)
        if ast.args.get("where") is None and not ast.args.get("using"):
            rows = transaction.table(name).state.rows
            transaction.truncate(name)
            return done("DELETE", rows)
        select = _joined([_row(target)], target, ast.args.get("using") or [], ast.args.get("where"))
        query = running.bind(_with(select, ast))
        gone = transaction.delete(name, _numbers(rows_of(running, query), query))
    return done("DELETE", gone)


def update(running: Running) -> Table:
    """UPDATE t SET column = value, ... [FROM ...] [WHERE ...]."""
    ast = running.statement.ast
    name = name_of(ast.this)
    with running.changing(name) as transaction:
        table = running.definition(transaction, name, ast.this)
        given = assignments(running, table, ast.expressions)
        source = ast.args.get("from_")
        others = [] if source is None else [source.this]
        select = _joined(_changed(table, given, ast.this), ast.this, others, ast.args.get("where"))
        rows, gone, query = _replacements(running, table, running.bind(_with(select, ast)))
        transaction.replace(name, rows, batches(gone, query))
    return done("UPDATE", len(rows))


def assignments(running: Running, table: TableDefinition, nodes: Sequence[Node]) -> dict[str, Node]:
    """SET a = x, b = DEFAULT: column -> syntax tree."""
    given: dict[str, Node] = {}
    for node in nodes:
        if not isinstance(node, exp.EQ) or not isinstance(node.this, exp.Column):
            raise running.error("SET takes column = value", node)
        column = running.column(table, node.this.name.lower(), node.this)
        if column.name in given:
            raise running.error(f"column {column.name!r} is set more than once", node.this)
        if column.identity is not None:
            raise running.error(f"column {column.name!r} is an IDENTITY and keeps its values", node.this)
        value = node.expression
        given[column.name] = _default(column) if _says_default(value) else value
    return given


def _changed(table: TableDefinition, given: dict[str, Node], target: Node) -> list[Node]:
    """What an UPDATE selects: the number of the row, and all of its columns as they will be."""
    return [_row(target), *(given.get(column.name) or _of(target, column.name) for column in table.columns)]


def _replacements(
    running: Running, table: TableDefinition, bound: Query, *, once: bool = False
) -> tuple[npt.NDArray[np.int64], Collected, Query]:
    """The numbers of the rows that go, and the rows that come. once: QueryError where a row is met twice."""
    number = ColumnDefinition(ROW, bound.columns[0][2])
    query = fitted(bound, (number, *table.columns), running.statement.source)
    found = rows_of(running, query)
    numbers = _numbers(found, query)
    distinct, first = np.unique(numbers, return_index=True)
    if len(distinct) < len(numbers):
        if once:
            raise QueryError(
                "MERGE: a row of the target is met by more than one row of the source: make the source unique by the "
                "columns of ON",
                text=running.statement.source,
                position=0,
            )
        whole = Batch(found.whole(), found.rows).take(np.sort(first).astype(np.int32))
        found = Collected([{id: whole.column(id) for _, id, _ in query.columns}], [whole.rows], whole.rows)
    return distinct, found, replace(query, columns=query.columns[1:])


def _numbers(found: Collected, query: Query) -> npt.NDArray[np.int64]:
    """The first column: rows' numbers."""
    id = query.columns[0][1]
    if not found.rows:
        return np.empty(0, np.int64)
    column = found.whole()[id]
    return np.asarray(column.data, np.int64) + column.base


def _joined(items: list[Node], target: Node, others: Sequence[Node], where: Node) -> Node:
    """SELECT items FROM target, others WHERE ..."""
    joins = []
    for other in others:
        alone = other.copy()
        inner = alone.args.pop("joins", None) or []
        joins += [exp.Join(this=alone), *inner]
    return exp.Select(
        expressions=[item.copy() for item in items],
        from_=exp.From(this=target.copy()),
        joins=joins,
        where=None if where is None else where.copy(),
    )


def _of(target: Node, name: str) -> Node:
    """A column of the target."""
    return exp.Column(this=exp.to_identifier(name, quoted=True), table=exp.to_identifier(target.alias_or_name))


def _row(target: Node) -> Node:
    return _of(target, ROW)


def name_of(node: Node) -> str:
    """A table's name in a syntax tree, as the catalogue has it."""
    return folded(tuple(part.name for part in node.parts))


# ---- MERGE -------------------------------------------------------------------------------------------------------


def merge(running: Running) -> Table:
    """MERGE INTO t USING s ON c WHEN MATCHED [AND x] THEN UPDATE SET ... | DELETE WHEN NOT MATCHED THEN INSERT ..."""
    ast = running.statement.ast
    name = name_of(ast.this)
    matched = [when for when in ast.args["whens"].expressions if when.args["matched"]]
    others = [when for when in ast.args["whens"].expressions if not when.args["matched"]]
    if any(when.args.get("source") for when in others):
        raise running.error("WHEN NOT MATCHED BY SOURCE is not supported", others[0])
    with running.changing(name) as transaction:
        table = running.definition(transaction, name, ast.this)
        going: list[npt.NDArray[np.int64]] = []
        coming: list[tuple[Collected, Query]] = []
        taken: Node = None
        for when in matched:
            gone, come = _when_matched(running, table, ast, when, taken)
            going.append(gone)
            coming += come
            taken = _either(taken, when.args.get("condition"))
        taken = None
        for when in others:
            coming.append(_when_not_matched(running, table, ast, when, taken))
            taken = _either(taken, when.args.get("condition"))
        numbers = np.concatenate(going) if going else np.empty(0, np.int64)
        if len(np.unique(numbers)) < len(numbers):
            raise Invalid("MERGE: two clauses want the same row of the target")
        transaction.delete(name, numbers)
        for rows, query in coming:
            appended(transaction, name, rows, query)
        inserted = sum(rows.rows for rows, _ in coming[len(coming) - len(others) :]) if others else 0
    return done("MERGE", len(numbers) + inserted)


def _when_matched(
    running: Running, table: TableDefinition, ast: Node, when: Node, taken: Node
) -> tuple[npt.NDArray[np.int64], list[tuple[Collected, Query]]]:
    then = when.args["then"]
    deletes = isinstance(then, exp.Var) and then.name.upper() == "DELETE"
    if not deletes and not isinstance(then, exp.Update):
        raise running.error("WHEN MATCHED THEN takes UPDATE SET or DELETE", when)
    given = {} if deletes else assignments(running, table, then.expressions)
    items = [_row(ast.this)] if deletes else _changed(table, given, ast.this)
    condition = _both(ast.args["on"], when.args.get("condition"), taken)
    select = _joined(items, ast.this, [ast.args["using"]], exp.Where(this=condition))
    bound = running.bind(select)
    if deletes:
        return np.unique(_numbers(rows_of(running, bound), bound)), []
    rows, found, query = _replacements(running, table, bound, once=True)
    return rows, [(found, query)]


def _when_not_matched(
    running: Running, table: TableDefinition, ast: Node, when: Node, taken: Node
) -> tuple[Collected, Query]:
    then = when.args["then"]
    if not isinstance(then, exp.Insert):
        raise running.error("WHEN NOT MATCHED THEN takes INSERT", when)
    nodes = then.this.expressions if then.this is not None else []
    names = [node.name.lower() for node in nodes] or [column.name for column in table.columns]
    columns = _named(running, table, names, then)
    given = then.expression.expressions
    if len(given) != len(columns):
        raise running.error(f"{len(columns)} columns are to be filled, and {len(given)} values given", then)
    values = [_default(column) if _says_default(value) else value for value, column in zip(given, columns, strict=True)]
    inside = exp.Select(
        expressions=[exp.Literal.number(1)],
        from_=exp.From(this=ast.this.copy()),
        where=exp.Where(this=ast.args["on"].copy()),
    )
    condition = _both(exp.Not(this=exp.Exists(this=inside)), when.args.get("condition"), taken)
    select = exp.Select(
        expressions=[value.copy() for value in values],
        from_=exp.From(this=ast.args["using"].copy()),
        where=exp.Where(this=condition),
    )
    query = fitted(running.bind(select), columns, running.statement.source, also=filled(running.engine, table, names))
    return rows_of(running, query), query


def _both(one: Node, other: Node, taken: Node) -> Node:
    """A condition with a clause's own, and not those of the clauses before it."""
    condition: Node = exp.paren(one.copy())
    if other is not None:
        condition = exp.And(this=condition, expression=exp.paren(other.copy()))
    if taken is not None:
        left = exp.Anonymous(this="coalesce", expressions=[taken.copy(), exp.Boolean(this=False)])
        condition = exp.And(this=condition, expression=exp.Not(this=left))
    return condition


def _either(taken: Node, condition: Node) -> Node:
    """What the clauses so far have taken: all, where one has no condition."""
    mine = exp.Boolean(this=True) if condition is None else exp.paren(condition.copy())
    return mine if taken is None else exp.Or(this=taken, expression=mine)


HANDLERS: Final[dict[Any, Callable[[Running], Table]]] = {
    exp.Insert: insert,
    exp.Update: update,
    exp.Delete: delete,
    exp.Merge: merge,
}
