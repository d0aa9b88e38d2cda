"""Expressions and SELECT as Python functions of a scope, made once for a statement.

    scope     one dict for a row: what FROM binds, by name, and under keys no name can have: parameters, context
    SELECT    nested loops over the sources, left to right; each source is asked with the equalities that an index may
              answer (plan.py); WHERE is looked at for every row all the same

Names are found as the specification says. A name alone in FROM is a table, if there is one, else what is bound already
(@name is no table). Elsewhere it is what FROM has bound, else an attribute of that, from the nearest FROM outwards.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeAlias

from engines.errors import QueryError
from engines.ledger.partiql import operators, plan, values
from engines.ledger.partiql.aggregates import distinct, total
from engines.ledger.partiql.functions import Context, function
from engines.ledger.partiql.nodes import (
    MISSING,
    Aggregate,
    Between,
    Binary,
    Call,
    Case,
    Expression,
    From,
    HistorySource,
    Is,
    Like,
    ListOf,
    Literal,
    Name,
    Parameter,
    Select,
    Step,
    StructOf,
    Subquery,
    TableSource,
    Unary,
    ValueSource,
)  # fmt: skip
from engines.ledger.partiql.operators import Evaluate, Scope
from engines.ledger.partiql.sources import Row, Sources, elements

Levels: TypeAlias = tuple[tuple[str, ...], ...]  # the names that each FROM binds, innermost first

# keys of a scope beside names
PARAMETERS, CONTEXT, SOURCES, ENVIRONMENT = "?", "? context", "? sources", "? environment"
AGGREGATES, DOCUMENT_ID = "? aggregates", "? id"

# -- SELECT -----------------------------------------------------------------------------------------------------------


class Loops:
    """FROM and WHERE: the scopes of all rows that pass."""

    def __init__(self, sources: tuple[From, ...], where: Expression | None, outer: Levels) -> None:
        self._sources = []
        own: tuple[str, ...] = ()
        around = {name for level in outer for name in level}
        hidden = {name for source in sources for name in source.names}
        for source in sources:
            found = source.source
            compiler = Compiler((own, *outer))
            value = None
            if isinstance(found, ValueSource):
                value = compiler.collection(found.value)
            elif isinstance(found, TableSource) and (found.name in own or found.name in around):
                value = compiler.expression(Name(found.name))  # unless there is such a table
            bounds = (None, None)
            if isinstance(found, HistorySource):
                bounds = tuple(None if b is None else compiler.expression(b) for b in (found.start, found.end))  # type: ignore[assignment] # two
            # WHERE sees the names of all sources: where one is called like something around, that is not meant
            bound = (around - hidden).union(own)
            equal = [
                (path, compiler.expression(side))
                for path, side in plan.equalities(source, bound, where, lonely=len(sources) == 1 and not outer)
            ]
            own += source.names
            condition = None if source.on is None else Compiler((own, *outer)).expression(source.on)
            self._sources.append((source, found, value, bounds, equal, condition))
        self.levels = (own, *outer)
        self._where = None if where is None else Compiler(self.levels).expression(where)

    def scopes(self, scope: Scope) -> Iterator[Scope]:
        """One dict for each row, its own."""
        where = self._where
        for inner in self._joined(0, scope):
            if where is None or where(inner) is True:
                yield inner

    def _joined(self, number: int, scope: Scope) -> Iterator[Scope]:
        if number == len(self._sources):
            yield scope
            return
        source, _, _, _, _, condition = self._sources[number]
        last = number + 1 == len(self._sources)  # a generator less for each row
        found = False
        rows, ordered = self._rows(number, scope)
        for position, (identity, value) in enumerate(rows):
            inner = {**scope, source.alias: value, DOCUMENT_ID: identity}
            if source.position:
                inner[source.position] = position if ordered and identity is None else MISSING
            if source.identity:
                inner[source.identity] = identity
            if condition is None or condition(inner) is True:
                found = True
                if last:
                    yield inner
                else:
                    yield from self._joined(number + 1, inner)
        if source.outer and not found:
            nothing = {**scope, source.alias: None}
            nothing.update(dict.fromkeys((n for n in (source.position, source.identity) if n), None))
            yield from self._joined(number + 1, nothing)

    def _rows(self, number: int, scope: Scope) -> tuple[Iterable[Row], bool]:
        """The rows, and whether they have positions: elements of a list do, documents of a table do not."""
        _, found, value, bounds, equal, _ = self._sources[number]
        sources: Sources = scope[SOURCES]
        if value is not None and not (isinstance(found, TableSource) and sources.has(found.name)):
            given = value(scope)
            return [(None, each) for each in elements(given)], isinstance(given, list)
        wanted = [(path, side(scope)) for path, side in equal]
        nothing = any(each is MISSING or each is None for _, each in wanted)  # for nothing is equal to them
        if nothing and number:
            return [], False
        start, end = (None if bound is None else bound(scope) for bound in bounds)
        known = [plan.Known(path, each) for path, each in wanted if values.storable(each)]
        rows = sources.rows(found, known, (start, end))  # also to hear that there is no such table
        return [] if nothing else rows, True


def compile_select(statement: Select, outer: Levels) -> Callable[[Scope], Iterator[Any]]:
    """A SELECT as a function of a scope. outer: what is bound around it."""
    loops = Loops(statement.sources, statement.where, outer)
    compiler = Compiler(loops.levels, aggregates=[])
    project = _projection(statement, compiler)
    collected = compiler.aggregates or []

    def rows(scope: Scope) -> Iterator[Any]:
        if not statement.aggregated:
            yield from map(project, loops.scopes(scope))
        else:
            states: list[list[Any]] = [[] for _ in collected]
            for inner in loops.scopes(scope):
                for state, (_, argument) in zip(states, collected, strict=True):
                    value = True if argument is None else argument(inner)
                    if value is not None and value is not MISSING:
                        state.append(value)
            results = [total(node, state) for state, (node, _) in zip(states, collected, strict=True)]
            nothing = dict.fromkeys(loops.levels[0], MISSING)
            yield project({**scope, **nothing, AGGREGATES: results})

    def made(scope: Scope) -> Iterator[Any]:
        found = (row for row in rows(scope) if row is not MISSING)
        return distinct(found) if statement.distinct else found

    return made


def _projection(statement: Select, compiler: "Compiler") -> Evaluate:
    if statement.value is not None:
        return compiler.expression(statement.value)
    items = statement.items
    if len(items) == 1 and items[0].value is None and items[0].name is None:
        return _star(statement.sources)
    made: list[tuple[str, bool, Evaluate]] = []
    for number, item in enumerate(items, 1):
        if item.value is None:
            made.append((f"_{number}", True, compiler.expression(Name(item.name or ""))))
        else:
            made.append((item.name or name_of(item.value) or f"_{number}", False, compiler.expression(item.value)))

    def row(scope: Scope) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, spread, value in made:
            found = value(scope)
            if spread and isinstance(found, dict):
                fields.update(found)
            elif found is not MISSING:
                fields[name] = found
        return fields

    return row


def _star(sources: tuple[From, ...]) -> Evaluate:
    """SELECT *: the fields of all structs, other values as _1, _2 ..., and what AT and BY bind."""
    if len(sources) == 1 and not sources[0].position and not sources[0].identity:
        alias = sources[0].alias
        return lambda scope: (
            value if isinstance(value := scope[alias], dict) else {} if value is MISSING else {"_1": value}
        )

    def row(scope: Scope) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for number, source in enumerate(sources, 1):
            value = scope[source.alias]
            fields.update(value if isinstance(value, dict) else {f"_{number}": value})
            fields.update((name, scope[name]) for name in (source.position, source.identity) if name)
        return {name: value for name, value in fields.items() if value is not MISSING}

    return row


def name_of(expression: Expression) -> str | None:
    """What a column is called that has no name: the last name of a path."""
    if isinstance(expression, Name):
        return expression.name
    if isinstance(expression, Step) and isinstance(expression.key, Literal) and isinstance(expression.key.value, str):
        return expression.key.value
    return None


# -- expressions ------------------------------------------------------------------------------------------------------


class Compiler:
    """Makes functions of expressions. levels: what is bound around them; aggregates: collected where they may stand."""

    def __init__(self, levels: Levels, *, aggregates: list[tuple[Aggregate, Evaluate | None]] | None = None) -> None:
        self._levels = levels
        self._names = tuple(name for level in levels for name in level)
        self.aggregates = aggregates

    def expression(self, node: Expression) -> Evaluate:  # noqa: C901, PLR0911, PLR0912 - one case for each kind
        """The function of a scope that an expression is."""
        match node:
            case Literal(value):
                return lambda _: value
            case Parameter(number):
                return lambda scope: scope[PARAMETERS][number]
            case Name(name):
                return self._name(name)
            case Step(value, key):
                return self._step(self.expression(value), key)
            case Unary(operator, value):
                return operators.unary(operator, self.expression(value))
            case Binary(operator, left, right):
                return operators.binary(operator, self.expression(left), self._right(operator, right))
            case Between(value, low, high):
                return operators.between(self.expression(value), self.expression(low), self.expression(high))
            case Like():
                return self._like(node)
            case Is(value, name):
                of = self.expression(value)
                return lambda scope: values.is_type(of(scope), name)
            case Case():
                return self._case(node)
            case StructOf(fields):
                return operators.struct([(self.expression(key), self.expression(value)) for key, value in fields])
            case ListOf(items):
                elements = [self.expression(item) for item in items]
                return lambda scope: [value for item in elements if (value := item(scope)) is not MISSING]
            case Call(name, arguments, word):
                made = self.collection if name in ("EXISTS", "SIZE") else self.expression
                return self._call(function(name, word), [made(argument) for argument in arguments])
            case Aggregate():
                return self._aggregate(node)
            case Subquery(inner):
                return self._scalar(inner)

    def path(self, node: Expression, alias: str) -> list[Evaluate]:
        """The steps of a path from a document: alias.a[0].b and a[0].b are the same."""
        steps: list[Evaluate] = []
        while isinstance(node, Step):
            key = node.key
            if isinstance(key, Literal):
                steps.append(lambda _, value=key.value: value)  # type: ignore[misc] # a default binds it now
            else:
                steps.append(self.expression(key))
            node = node.value
        assert isinstance(node, Name)  # noqa: S101 - the parser has looked
        if node.name != alias:
            steps.append(lambda _, value=node.name: value)  # type: ignore[misc] # the same
        return steps[::-1]

    def _name(self, name: str) -> Evaluate:
        if name in self._names:
            return lambda scope: scope[name]
        names = self._names

        def found(scope: Scope) -> Any:  # noqa: ANN401 - any value
            for each in names:
                value = scope[each]
                if isinstance(value, dict) and name in value:
                    return value[name]
            return scope[ENVIRONMENT].get(name, MISSING)

        return found

    def _step(self, value: Evaluate, key: Expression) -> Evaluate:
        if isinstance(key, Literal) and isinstance(key.value, str):
            name = key.value
            return lambda scope: struct.get(name, MISSING) if isinstance(struct := value(scope), dict) else MISSING
        step = self.expression(key)
        return lambda scope: step_into(value(scope), step(scope))

    def _right(self, operator: str, right: Expression) -> Evaluate:
        if operator != "IN":
            return self.expression(right)
        made = self.collection(right)
        if isinstance(right, Subquery) and right.select.value is None:
            return lambda scope: [next(iter(row.values()), MISSING) for row in made(scope) if isinstance(row, dict)]
        return made

    def _like(self, node: Like) -> Evaluate:
        value, pattern = self.expression(node.value), self.expression(node.pattern)
        escape = None if node.escape is None else self.expression(node.escape)

        def like(scope: Scope) -> Any:  # noqa: ANN401 - any value
            given = [value(scope), pattern(scope), *([] if escape is None else [escape(scope)])]
            if any(each is MISSING for each in given):
                return MISSING
            if any(each is None for each in given):
                return None
            if not all(isinstance(each, str) for each in given):
                return MISSING
            return operators.like_pattern(given[1], given[2] if len(given) > 2 else "").fullmatch(given[0]) is not None

        return like

    def _case(self, node: Case) -> Evaluate:
        subject = None if node.subject is None else self.expression(node.subject)
        branches = [(self.expression(condition), self.expression(value)) for condition, value in node.branches]
        otherwise = (lambda _: None) if node.otherwise is None else self.expression(node.otherwise)

        def case(scope: Scope) -> Any:  # noqa: ANN401 - any value
            wanted = None if subject is None else subject(scope)
            for condition, value in branches:
                found = condition(scope) if subject is None else values.equal(wanted, condition(scope))
                if found is True:
                    return value(scope)
            return otherwise(scope)

        return case

    def _call(self, called: Callable[[Sequence[Any], Context], Any], arguments: list[Evaluate]) -> Evaluate:
        return lambda scope: called([argument(scope) for argument in arguments], scope[CONTEXT])

    def _aggregate(self, node: Aggregate) -> Evaluate:
        if self.aggregates is None:
            raise QueryError(f"{node.function} stands in the list after SELECT only")
        number = len(self.aggregates)
        self.aggregates.append((node, None if node.argument is None else self.expression(node.argument)))
        return lambda scope: scope[AGGREGATES][number]

    def collection(self, node: Expression) -> Evaluate:
        """The function of an expression that stands where rows are wanted: a subquery there is all its rows."""
        if not isinstance(node, Subquery):
            return self.expression(node)
        made = compile_select(node.select, self._levels)
        return lambda scope: list(made(scope))

    def _scalar(self, node: Select) -> Evaluate:
        """A subquery where one value is wanted: of SQL's SELECT it is the one row's one column.

        No row is NULL, several rows or columns are MISSING. SELECT VALUE has no columns: all its values.
        """
        made = compile_select(node, self._levels)
        if node.value is not None:
            return lambda scope: list(made(scope))

        def scalar(scope: Scope) -> Any:  # noqa: ANN401 - any value
            rows = list(islice(made(scope), 2))
            if not rows:
                return None
            return next(iter(rows[0].values()), MISSING) if len(rows) == 1 and len(rows[0]) < 2 else MISSING

        return scalar


def step_into(value: Any, key: Any) -> Any:  # noqa: ANN401 - any value
    """What is in a value under a name or at a position; MISSING if nothing is."""
    if isinstance(value, dict) and isinstance(key, str):
        return value.get(key, MISSING)
    if isinstance(value, list) and type(key) is int and 0 <= key < len(value):
        return value[key]
    return MISSING
