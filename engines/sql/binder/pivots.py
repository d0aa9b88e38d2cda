"""PIVOT and UNPIVOT in FROM, written out as the queries that they stand for.

    t PIVOT (SUM(v) FOR j IN (1 AS one, 2))        SELECT k, SUM(v) FILTER (WHERE j = 1) AS one,
                                                             SUM(v) FILTER (WHERE j = 2) AS "2" FROM t GROUP BY k
    t UNPIVOT (v FOR j IN (one, two AS zwei))      SELECT k, 'one' AS j, one AS v FROM t WHERE one IS NOT NULL
                                                   UNION ALL SELECT k, 'zwei', two FROM t WHERE two IS NOT NULL

PIVOT groups by all columns that it does not mention. UNPIVOT leaves NULLs out unless it says INCLUDE NULLS.
"""

from collections.abc import Sequence

from sqlglot import exp

from engines.sql.binder.binding import Binder, Node, written


def pivoted(binder: Binder, source: Node, names: Sequence[str], pivot: Node) -> Node:
    """The query for a PIVOT or UNPIVOT of `source`, whose columns have these names. QueryError for what is odd."""
    fields = pivot.args.get("fields") or []
    if len(fields) != 1 or fields[0].__class__ is not exp.In or not fields[0].expressions:
        raise binder.error("PIVOT is written PIVOT (SUM(x) FOR y IN (1, 2))", pivot)
    return (_to_rows if pivot.args.get("unpivot") else _to_columns)(binder, source, names, pivot, fields[0])


def _quoted(name: str) -> Node:
    return exp.column(exp.to_identifier(name, quoted=True))


def _select(items: Sequence[Node], source: Node) -> Node:
    return exp.Select(expressions=list(items)).from_(source.copy(), copy=False)


def _named(node: Node) -> tuple[Node, str]:
    """What stands before AS, and the name."""
    if isinstance(node, (exp.PivotAlias, exp.Alias)):
        return node.this, node.args["alias"].name
    return node, node.name or written(node)


def _to_columns(binder: Binder, source: Node, names: Sequence[str], pivot: Node, choice: Node) -> Node:
    mentioned = {choice.this.name.lower()}
    items = []
    for one in pivot.expressions:
        mentioned |= {column.name.lower() for column in one.find_all(exp.Column)}
    kept = [_quoted(name) for name in names if name.lower() not in mentioned]
    for value in choice.expressions:
        wanted, name = _named(value)
        for one in pivot.expressions:
            call = one.this if isinstance(one, exp.Alias) else one
            if not isinstance(call, exp.Anonymous):
                raise binder.error(f"PIVOT takes aggregates, not {written(one)}", one)
            end = one.args["alias"].name if isinstance(one, exp.Alias) else ""
            if not end and len(pivot.expressions) > 1:
                raise binder.error(f"of several aggregates in PIVOT each has a name: {written(call)} AS ...", one)
            where = exp.Where(this=exp.EQ(this=choice.this.copy(), expression=wanted.copy()))
            title = f"{name}_{end}" if end else name
            items.append(exp.alias_(exp.Filter(this=call.copy(), expression=where), title, quoted=True, copy=False))
    query = _select([*kept, *items], source)
    if kept:
        query.set("group", exp.Group(expressions=[one.copy() for one in kept]))
    return query


def _to_rows(binder: Binder, source: Node, names: Sequence[str], pivot: Node, choice: Node) -> Node:
    values = pivot.expressions
    if len(values) != 1 or not isinstance(values[0], (exp.Identifier, exp.Column)):
        raise binder.error("UNPIVOT is written UNPIVOT (value FOR name IN (a, b))", pivot)
    pairs = [_named(one) for one in choice.expressions]
    taken = {column.name.lower() for column, _ in pairs}
    kept = [_quoted(name) for name in names if name.lower() not in taken]
    query = None
    for column, name in pairs:
        label = exp.alias_(exp.Literal.string(name), choice.this.name, quoted=True, copy=False)
        value = exp.alias_(column.copy(), values[0].name, quoted=True, copy=False)
        one = _select([*(each.copy() for each in kept), label, value], source)
        if not pivot.args.get("include_nulls"):
            there = exp.Not(this=exp.Is(this=column.copy(), expression=exp.Null()))
            one.set("where", exp.Where(this=there))
        query = one if query is None else exp.Union(this=query, expression=one, distinct=False)
    return query
