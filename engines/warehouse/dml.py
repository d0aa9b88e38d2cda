"""INSERT, UPDATE, DELETE, MERGE: each is a query that says which rows, and a transaction that is told.

    INSERT INTO t (a, b) query     the query, its columns fitted to those of the table; defaults beside them
    DELETE FROM t USING s WHERE c  SELECT t."$row" FROM t, s WHERE c                            those rows go
    UPDATE t SET a = e FROM s ..   SELECT t."$row", e, t.b FROM t, s WHERE ...                  they go, these come
    MERGE INTO t USING s ON c      matched:      SELECT t."$row", ... FROM t JOIN s ON c
                                   not matched:  SELECT ... FROM s WHERE NOT EXISTS (SELECT 1 FROM t WHERE c)

"$row" is a row's number in the state that the transaction has (scan.py), so the query runs under the writer's lock. An
UPDATE whose row is met by several rows of FROM takes the first; a MERGE refuses that, as the standard has it.

A value fits a column if assignment may convert it: numbers, times and texts among themselves, and text from and to
anything. What is too long or too large for its column is an error, never cut.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from sqlglot import exp

from engines.display import Table
from engines.errors import Invalid, QueryError
from engines.sql import front
from engines.sql.binder.literals import cast
from engines.sql.binder.typing import assignable, castable
from engines.sql.collected import Collected
from engines.sql.column import Batch
from engines.sql.logical import Expression, Plan, Project, Query, Reference, Values
from engines.sql.types import Type
from engines.sql.values import engine_value, python_values
from engines.warehouse.catalog import ColumnDefinition, TableDefinition, stored
from engines.warehouse.commit import Transaction
from engines.warehouse.names import folded
from engines.warehouse.scan import ROW

if TYPE_CHECKING:
    from engines.warehouse.execute import Running
    from engines.warehouse.session import Engine
    from engines.warehouse.statements import records

Node = Any  # of sqlglot's tree
NO_ROWS: Final = Query(Values((), ()), ())  # for what is no query, but wants a Context
UNBOUNDED: Final = sys.maxsize  # of memory: what a statement writes is held until it is written


def done(command: str, rows: int = 0, **more: Any) -> Table:  # noqa: ANN401 - cells of a row
    """The answer to a command: one row."""
    return Table({"command": [command], "rows": [rows], **{name: [value] for name, value in more.items()}})


# ---- values into columns -----------------------------------------------------------------------------------------


def fitted(
    query: Query, columns: Sequence[ColumnDefinition], text: str, *, also: Sequence[tuple[str, Expression]] = ()
) -> Query:
    """The query with its columns as these of a table, by their order; more columns of constants behind them.

    QueryError where their number differs, or assignment does not convert.
    """
    if len(query.columns) != len(columns):
        place = max(_positions(query.plan), default=0)
        message = f"{len(columns)} columns are to be filled, and {len(query.columns)} values given"
        raise QueryError(message, text=text, position=place)
    made: list[tuple[str, Expression]] = []
    if isinstance(query.plan, Values):
        query = _fitted_rows(query, query.plan, columns, text)
    for (_, id, given), column in zip(query.columns, columns, strict=True):
        position = _position(query.plan, id)
        made.append((column.name, _assigned(Reference(id, type=given, position=position), column, text)))
    made += also
    described = tuple((name, f"{name}#into", value.type) for name, value in made)
    into = tuple((f"{name}#into", value) for name, value in made)
    return Query(Project(query.plan, into), described, query.tables)


def _fitted_rows(query: Query, plan: Values, columns: Sequence[ColumnDefinition], text: str) -> Query:
    """Each value of VALUES by itself: an error stands where it does."""
    places = [[id for id, _ in plan.columns].index(id) for _, id, _ in query.columns]
    wanted = dict(zip(places, columns, strict=True))
    rows = tuple(
        tuple(_assigned(value, wanted[at], text) if at in wanted else value for at, value in enumerate(row))
        for row in plan.rows
    )
    types = tuple(
        (id, unbounded(wanted[at].type) if at in wanted else type) for at, (id, type) in enumerate(plan.columns)
    )
    known = dict(types)
    return Query(Values(types, rows), tuple((name, id, known[id]) for name, id, _ in query.columns), query.tables)


def _assigned(value: Expression, column: ColumnDefinition, text: str) -> Expression:
    given, wanted = value.type, column.type
    if not (assignable(given, wanted) or ((given.text or wanted.text) and castable(given, wanted))):
        message = f"column {column.name!r} holds {wanted} and takes no {given}: write a CAST"
        raise QueryError(message, text=text, position=max(value.position, 0))
    return cast(value, unbounded(wanted))


def unbounded(type: Type) -> Type:
    """A type of text without its length: a cast would cut there; whoever stores it refuses what is too long."""
    return replace(type, length=0) if type.text else type


def _position(plan: Plan, id: str) -> int:
    """Where a column of a query was written, as far as its plan says it."""
    while not isinstance(plan, Project):
        below = getattr(plan, "input", None)
        if below is None:
            return -1
        plan = below
    return next((value.position for name, value in plan.columns if name == id), -1)


def _positions(plan: Plan) -> Iterator[int]:
    if isinstance(plan, Project):
        yield from (value.position for _, value in plan.columns)


def filled(engine: "Engine", table: TableDefinition, given: Iterable[str]) -> list[tuple[str, Expression]]:
    """The DEFAULT values of the columns that are not given. What has none is NULL, or IDENTITY."""
    named = set(given)
    return [
        (column.name, front.bind_expression(column.default, {}, engine.dialect, wanted=unbounded(column.type)))
        for column in table.columns
        if column.name not in named and column.default is not None
    ]


def rows_of(running: "Running", query: Query) -> Collected:
    """A bound query's rows."""
    engine = running.engine
    context = engine.context(query, running.statement.source, running.values, running.named, timeout=running.timeout)
    context.memory = UNBOUNDED
    return engine.collect(engine.program(query), context)


def batches(found: Collected, query: Query) -> Iterator[Batch]:
    """Its rows, keyed by header."""
    for piece, rows in zip(found.pieces, found.counts, strict=True):
        yield Batch({name: piece[id] for name, id, _ in query.columns}, rows)


def constant_row(name: str, value: Expression) -> Query:
    """SELECT value AS name."""
    return Query(Project(Values((), ((),)), ((name, value),)), ((name, name, value.type),))


def engine_value_of(found: Collected, column: "ColumnDefinition | records.ColumnDefinition") -> Any:  # noqa: ANN401 - as the catalogue writes values
    """The one value of a query's only column, for `missing` of a column that is added. Invalid if it is too long."""
    (shown,) = python_values(found.whole()[column.name], 1)
    value = engine_value(shown, column.type)
    if column.type.bytes and column.type.length and value is not None and len(value) > column.type.length:
        raise Invalid(f"DEFAULT of column {column.name!r} is longer than {column.type}")
    return stored(value)


# ---- INSERT ------------------------------------------------------------------------------------------------------


def insert(running: "Running") -> Table:
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


def appended(transaction: Transaction, name: str, found: Collected, query: Query) -> int:
    """The rows of a query into a table; how many."""
    if query.columns:
        return transaction.append(name, batches(found, query))
    return transaction.append(name, (Batch({}, rows) for rows in found.counts))


def _named(running: "Running", table: TableDefinition, names: Sequence[str], node: Node) -> list[ColumnDefinition]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise running.error(f"column {twice[0]!r} is named more than once", node)
    return [running.column(table, name, node) for name in names]


def _values(
    running: "Running", values: Node, columns: list[ColumnDefinition], *, named: bool
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


def delete(running: "Running") -> Table:
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


def update(running: "Running") -> Table:
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


def assignments(running: "Running", table: TableDefinition, nodes: Sequence[Node]) -> dict[str, Node]:
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
    running: "Running", table: TableDefinition, bound: Query, *, once: bool = False
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


def merge(running: "Running") -> Table:
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
    running: "Running", table: TableDefinition, ast: Node, when: Node, taken: Node
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
    running: "Running", table: TableDefinition, ast: Node, when: Node, taken: Node
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


HANDLERS: Final[dict[Any, Callable[["Running"], Table]]] = {
    exp.Insert: insert,
    exp.Update: update,
    exp.Delete: delete,
    exp.Merge: merge,
}
