"""Column names in expressions: a, t.a, schema.t.a, with the fields of records behind them; names of lambdas."""

from sqlglot import exp

from engines.errors import nearest
from engines.sql.binder.binding import Binder, Handler, Node, binds
from engines.sql.binder.scopes import Ambiguous, Named, Scope
from engines.sql.logical import Call, Constant, Expression, Reference
from engines.sql.types import INTEGER, VARCHAR, Type


def _seen(scope: Scope, owner: Scope, id: str, position: int) -> None:
    """A subquery has mentioned a column of a SELECT around it: that one must know, in case it groups."""
    if owner is not scope:
        owner.captured.append((id, position))
        scope.foreign.add(id)


@binds(exp.Column)
def bind_column(binder: Binder, node: Node, scope: Scope) -> Expression:
    """A column; or a field of a record, if the name before the point is a column and no table."""
    args = node.args
    name_node = args["this"]
    if name_node.__class__ is exp.Star:
        raise binder.error("* stands for columns only as an item of SELECT and in COUNT(*)", node)
    name = name_node.args["this"]
    table = args.get("table")
    position = binder.position(name_node)
    if table is None:
        return _bare(binder, node, name, position, scope)
    parts = tuple(args[key].args["this"].lower() for key in ("catalog", "db", "table") if args.get(key) is not None)
    looking: Scope | None = scope
    while looking is not None:
        relation = looking.rows.relation(parts) if looking.rows is not None else None
        if relation is not None:
            try:
                found = relation.named.find(name)
            except Ambiguous:
                raise binder.error(
                    f"the column {parts[-1]}.{name} is ambiguous: the table has several of that name", node
                ) from None
            if found is None:
                guess = nearest(name, (column.name for column in relation.named.columns)).removeprefix("; ")
                raise binder.error(f"the table {parts[-1]} has no column {name!r}", name_node, suggestion=guess)
            _seen(scope, looking, found.id, position)
            return Reference(found.id, type=found.type, position=position)
        looking = looking.outer
    record = _find(binder, node, parts[0], scope, position)
    if record is not None and record.type.fields:
        names = [*(args[key].args["this"] for key in ("db", "table") if args.get(key) is not None), name]
        for one in names[-len(parts) :]:
            record = field(binder, record, one, node)
        return record
    tables: list[str] = []
    looking = scope
    while looking is not None:
        tables += looking.rows.relations if looking.rows is not None else ()
        looking = looking.outer
    guess = nearest(parts[-1], tables).removeprefix("; ")
    raise binder.error(f"no table {'.'.join(parts)!r} is in FROM here", args["table"], suggestion=guess)


def _bare(binder: Binder, node: Node, name: str, position: int, scope: Scope) -> Expression:
    found = _find(binder, node, name, scope, position)
    if found is None:
        if name.lower() in NO_PARENTHESES:
            return NO_PARENTHESES[name.lower()](binder, node, scope)
        raise binder.missing_column(name, node, scope)
    return found


NO_PARENTHESES: dict[str, Handler] = {}  # functions that are written like columns; filled by calls.py


def _find(binder: Binder, node: Node, name: str, scope: Scope, position: int) -> Expression | None:
    looking: Scope | None = scope
    while looking is not None:
        if looking.parameters and name.lower() in looking.parameters:
            return looking.parameters[name.lower()]
        if looking.rows is not None:
            try:
                found = looking.rows.find(name)
            except Ambiguous:
                tables = [key for key, one in looking.rows.relations.items() if _has(one.named, name)]
                choice = " or ".join(f"{table}.{name}" for table in tables) or "a table's name before it"
                raise binder.error(f"the column {name!r} is ambiguous: write {choice}", node) from None
            if found is not None:
                _seen(scope, looking, found.id, position)
                return Reference(found.id, type=found.type, position=position)
        if looking.aliases and (known := looking.aliases.get(name.lower())) is not None:
            if looking is not scope:
                return None
            return known
        looking = looking.outer
    return None


def _has(named: Named, name: str) -> bool:
    try:
        return named.find(name) is not None
    except Ambiguous:
        return True


def field(binder: Binder, record: Expression, name: str, node: Node) -> Expression:
    """The field of a record: record.name."""
    for known, type in record.type.fields:
        if known.lower() == name.lower() and record.type.kind == "row":
            text = Constant(known.encode(), type=VARCHAR)
            return Call("field", (record, text), type=type, position=binder.position(node))
    names = [known for known, _ in record.type.fields] if record.type.kind == "row" else []
    raise binder.error(f"{record.type} has no field {name!r}{nearest(name, names)}", node)


@binds(exp.Dot)
def _dot(binder: Binder, node: Node, scope: Scope) -> Expression:
    return field(binder, binder.expression(node.this, scope), node.expression.name, node)


@binds(exp.Identifier)
def _identifier(binder: Binder, node: Node, scope: Scope) -> Expression:
    """Inside a lambda sqlglot leaves its parameters as bare names."""
    return _bare(binder, node, node.name, binder.position(node), scope)


@binds(exp.Bracket)
def _bracket(binder: Binder, node: Node, scope: Scope) -> Expression:
    array = binder.expression(node.this, scope)
    if array.type.kind not in {"array", "timeseries"} or len(node.expressions) != 1:
        raise binder.error(f"[ ] takes an element of an ARRAY, this is {array.type}", node)
    index = binder.expression(node.expressions[0], scope)
    if not index.type.integer:
        raise binder.error(f"the index of an ARRAY is a whole number, this is {index.type}", node)
    return Call("element", (array, index), type=array.type.element, position=binder.position(node))


@binds(exp.Star)
def _star(binder: Binder, node: Node, _: Scope) -> Expression:
    raise binder.error("* stands for columns only as an item of SELECT and in COUNT(*)", node)


__all__ = ["INTEGER", "NO_PARENTHESES", "Type", "bind_column", "field"]
