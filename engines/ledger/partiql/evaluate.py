"""Running statements: expressions become Python functions once, rows go through them.

    scope     one dict for a row: what FROM binds, by name, and under keys no name can have: parameters, context
    select    nested loops over the sources, left to right; each source is asked with the equalities that an index may
              answer (plan.py); WHERE is looked at for every row all the same

Nothing here knows what a table is: `Sources` does.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, Protocol, TypeAlias

from engines.errors import Invalid, QueryError, nearest
from engines.ledger.partiql import plan, values
from engines.ledger.partiql.functions import Context, function
from engines.ledger.partiql.nodes import (
    MISSING,
    Aggregate,
    Between,
    Binary,
    Call,
    Case,
    Delete,
    Expression,
    From,
    HistorySource,
    Insert,
    Is,
    Like,
    ListOf,
    Literal,
    Name,
    Parameter,
    Parsed,
    Select,
    Source,
    Statement,
    Step,
    StructOf,
    Subquery,
    TableSource,
    Unary,
    Update,
    Value,
    ValueSource,
)  # fmt: skip
from engines.ledger.partiql.parser import parsed

Scope: TypeAlias = dict[str, Any]
Evaluate: TypeAlias = Callable[[Scope], Any]
Row: TypeAlias = tuple[str | None, Any]  # a document's id, or None, and the value

PARAMETERS, CONTEXT, SOURCES, ENVIRONMENT, AGGREGATES = "?", "? context", "? sources", "? environment", "? aggregates"


class Sources(Protocol):
    """Where FROM finds its rows."""

    def rows(self, source: Source, equal: Sequence[plan.Known], bounds: tuple[Any, Any]) -> Iterable[Row]:
        """The rows of a table, of its history (from bounds[0] to bounds[1]) or of the catalogue that have these values.

        More may come: what is asked for is looked at again. NotFound.
        """
        ...


class Environment:
    """Names that stand for plain values, as sources: a list gives its elements, anything else itself."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names

    def rows(self, source: Source, equal: Sequence[plan.Known], bounds: tuple[Any, Any]) -> Iterable[Row]:  # noqa: ARG002 - the protocol's
        """See Sources."""
        if not isinstance(source, TableSource):
            raise Invalid("history() and committed views are a ledger's: execute() the statement there")
        found = self._names.get(source.name, MISSING)
        if found is MISSING:
            raise Invalid(f"nothing is called {source.name}{nearest(source.name, self._names)}")
        return [(None, value) for value in elements(found)]


def run(text: str, environment: Mapping[str, Any] | None = None, parameters: Sequence[Any] = ()) -> Any:  # noqa: ANN401 - any value
    """What a SELECT, or an expression alone, gives where names stand for these values; a list for SELECT.

    QueryError, Invalid. environment: lists are bags. MISSING is partiql.MISSING.
    """
    names = {} if environment is None else environment
    statement = parsed(text)
    if not isinstance(statement.statement, Select | Value):
        raise Invalid(f"run() takes SELECT or an expression, this is {statement.statement.kind.upper()}")
    scope = new_scope(statement.statement, Environment(names), parameters, Context(), names)
    if isinstance(statement.statement, Value):
        return Compiler(()).expression(statement.statement.value)(scope)
    return list(select(statement, scope))


def new_scope(
    statement: Statement,
    sources: Sources,
    parameters: Sequence[Any],
    context: Context,
    environment: Mapping[str, Any] | None = None,
) -> Scope:
    """What a statement's expressions are evaluated in. Invalid if there are too many or too few parameters."""
    if len(parameters) != statement.parameters:
        raise Invalid(
            f"the statement has {statement.parameters} ?, got {len(parameters)} parameters: one value for each"
        )
    return {PARAMETERS: parameters, CONTEXT: context, SOURCES: sources, ENVIRONMENT: environment or {}}


def elements(value: Any) -> list[Any]:  # noqa: ANN401 - any value
    """What FROM iterates over."""
    return value if isinstance(value, list) else [] if value is MISSING else [value]


# -- statements -------------------------------------------------------------------------------------------------------


def select(statement: Parsed, scope: Scope) -> Iterator[Any]:
    """The values that a SELECT gives."""
    made = statement.compiled.get("select")
    if made is None:
        assert isinstance(statement.statement, Select)  # noqa: S101 - the caller has looked
        made = statement.compiled["select"] = compile_select(statement.statement, ())
    return made(scope)


def matches(statement: Parsed, scope: Scope) -> Iterator[tuple[str, dict[str, Any]]]:
    """The documents that an UPDATE or DELETE is about: id and document. All are found before any is given."""
    made = statement.compiled.get("matches")
    if made is None:
        update = statement.statement
        assert isinstance(update, Update | Delete)  # noqa: S101 - the caller has looked
        made = statement.compiled["matches"] = _Loops((update.source,), update.where, ())
    alias = statement.statement.source.alias  # type: ignore[union-attr] # as above
    found = [(inner["? id"], inner[alias]) for inner in made.scopes(scope)]
    return iter(found)


def changed(statement: Parsed, document: dict[str, Any], identity: str, scope: Scope) -> dict[str, Any]:
    """What an UPDATE makes of a document, which stays as it is. Invalid where a path leads nowhere."""
    made = statement.compiled.get("changes")
    update = statement.statement
    assert isinstance(update, Update)  # noqa: S101 - the caller has looked
    if made is None:
        names = [name for name in (update.source.alias, update.source.identity) if name]
        compiler = Compiler(tuple(names))
        made = statement.compiled["changes"] = [
            (
                change.verb,
                compiler.path(change.path, update.source.alias),
                None if change.value is None else compiler.expression(change.value),
                None if change.position is None else compiler.expression(change.position),
            )
            for change in update.changes
        ]
    inner = {**scope, update.source.alias: document}
    if update.source.identity:
        inner[update.source.identity] = identity
    new = deepcopy(document)
    for verb, path, value, position in made:
        steps = [step(inner) for step in path]
        given = None if value is None else deepcopy(value(inner))
        if verb == "insert":
            _insert(new, steps, given, None if position is None else position(inner))
        elif not steps:
            if verb == "remove" or not isinstance(given, dict):
                raise Invalid("a document is a struct: SET it to one, or DELETE it")
            new = given
        else:
            _set(new, steps, MISSING if verb == "remove" else given)
    return new


def inserted(statement: Parsed, scope: Scope) -> list[Any]:
    """The documents that an INSERT writes."""
    insert = statement.statement
    assert isinstance(insert, Insert)  # noqa: S101 - the caller has looked
    value = Compiler(()).expression(insert.values)(scope)
    return value if insert.several and isinstance(value, list) else [value]


def _set(document: dict[str, Any], steps: list[Any], value: Any) -> None:  # noqa: ANN401 - any value
    """Put a value at a path, structs on the way where there is nothing; or take away what is there if it is MISSING."""
    at: Any = document
    for step, following in pairwise(steps):
        below = _step(at, step)
        if below is MISSING and value is MISSING:
            return
        if below is MISSING and isinstance(at, dict) and isinstance(step, str) and isinstance(following, str):
            below = at[step] = {}
        at = below
    last = steps[-1]
    fits = isinstance(at, dict) and isinstance(last, str)
    fits = fits or (isinstance(at, list) and type(last) is int and 0 <= last < len(at))
    if value is MISSING:
        if _step(at, last) is not MISSING:
            del at[last]
    elif fits:
        at[last] = value
    else:
        raise Invalid(f"the path ends at {last!r}, and nothing of that kind is there: SET what is around it")


def _insert(document: Any, steps: list[Any], value: Any, position: Any) -> None:  # noqa: ANN401 - any value
    at = document
    for step in steps:
        at = _step(at, step)
    if not isinstance(at, list):
        raise Invalid("INSERT INTO a path puts an element into a list, and there is none at this path")
    if value is MISSING:
        return
    if position is None:
        at.append(value)
    elif type(position) is int and 0 <= position <= len(at):
        at.insert(position, value)
    else:
        raise Invalid(f"the list has {len(at)} elements, AT takes 0 to {len(at)}, got {position!r:.40}")


# -- SELECT -----------------------------------------------------------------------------------------------------------


class _Loops:
    """FROM and WHERE: the scopes of all rows that pass."""

    def __init__(self, sources: tuple[From, ...], where: Expression | None, outer: tuple[str, ...]) -> None:
        self._sources = []
        names = outer
        for _i, source in enumerate(sources):
            found = source.source
            if isinstance(found, TableSource) and found.name in names:
                found = ValueSource(Name(found.name, found.at))  # what an earlier source has bound
            compiler = Compiler(names)
            value = compiler.expression(found.value) if isinstance(found, ValueSource) else None
            bounds = (None, None)
            if isinstance(found, HistorySource):
                bounds = tuple(None if b is None else compiler.expression(b) for b in (found.start, found.end))  # type: ignore[assignment] # two
            inner = names + tuple(name for name in (source.alias, source.position, source.identity) if name)
            equal = [
                (path, compiler.expression(side))
                for path, side in plan.equalities(source, names, where, lonely=len(sources) == 1 and not outer)
            ]
            condition = None if source.on is None else Compiler(inner).expression(source.on)
            self._sources.append((source, found, value, bounds, equal, condition))
            names = inner
        self.names = names
        self._where = None if where is None else Compiler(names).expression(where)

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
        found = False
        for position, (identity, value) in enumerate(self._rows(number, scope)):
            inner = {**scope, source.alias: value, "? id": identity}
            if source.position:
                inner[source.position] = position
            if source.identity:
                inner[source.identity] = identity
            if condition is None or condition(inner) is True:
                found = True
                yield from self._joined(number + 1, inner)
        if source.outer and not found:
            nothing = {**scope, source.alias: None}
            nothing.update(dict.fromkeys((n for n in (source.position, source.identity) if n), None))
            yield from self._joined(number + 1, nothing)

    def _rows(self, number: int, scope: Scope) -> Iterable[Row]:
        _, found, value, bounds, equal, _ = self._sources[number]
        if value is not None:
            return [(None, each) for each in elements(value(scope))]
        known = []
        for path, side in equal:
            wanted = side(scope)
            if wanted is MISSING or wanted is None:
                return []  # nothing is equal to that
            known.append(plan.Known(path, wanted))
        start, end = (None if bound is None else bound(scope) for bound in bounds)
        sources: Sources = scope[SOURCES]
        return sources.rows(found, known, (start, end))


def compile_select(statement: Select, outer: tuple[str, ...]) -> Callable[[Scope], Iterator[Any]]:
    """A SELECT as a function of a scope. outer: names that are bound around it."""
    loops = _Loops(statement.sources, statement.where, outer)
    compiler = Compiler(loops.names, aggregates=[])
    aliases = tuple(source.alias for source in statement.sources)
    project = _projection(statement, compiler, aliases)
    collected = compiler.aggregates or []

    def rows(scope: Scope) -> Iterator[Any]:
        if not statement.sources:
            yield from [project(scope)] if statement.where is None else []
        elif not statement.aggregated:
            yield from map(project, loops.scopes(scope))
        else:
            states: list[list[Any]] = [[] for _ in collected]
            last = scope
            for inner in loops.scopes(scope):
                for state, (_, argument) in zip(states, collected, strict=True):
                    value = True if argument is None else argument(inner)
                    if value is not None and value is not MISSING:
                        state.append(value)
            results = [total(node, state) for state, (node, _) in zip(states, collected, strict=True)]
            yield project({**dict.fromkeys(loops.names, MISSING), **last, AGGREGATES: results})

    def made(scope: Scope) -> Iterator[Any]:
        found = (row for row in rows(scope) if row is not MISSING)
        return _distinct(found) if statement.distinct else found

    return made


def total(node: Aggregate, taken: list[Any]) -> Any:  # noqa: ANN401 - any value
    """COUNT, SUM, MIN, MAX, AVG of what is neither NULL nor MISSING."""
    if node.distinct:
        taken = list(_distinct(iter(taken)))
    if node.function == "COUNT":
        return len(taken)
    if not taken:
        return None
    if node.function in ("SUM", "AVG"):
        if not all(map(values.is_number, taken)):
            return MISSING
        return sum(taken) if node.function == "SUM" else sum(taken) / len(taken)
    best = taken[0]
    for value in taken[1:]:
        before = values.less(value, best)
        if before is MISSING:
            return MISSING
        if before is (node.function == "MIN") and not values.same(value, best):
            best = value
    return best


def _distinct(found: Iterator[Any]) -> Iterator[Any]:
    """Each value once, the first time."""
    plain: set[Any] = set()
    others: list[Any] = []
    for value in found:
        if isinstance(value, str | int | float | None):
            key = (isinstance(value, bool), value)
            if key in plain:
                continue
            plain.add(key)
        else:
            if any(values.same(value, other) for other in others):
                continue
            others.append(value)
        yield value


def _projection(statement: Select, compiler: "Compiler", aliases: tuple[str, ...]) -> Evaluate:
    if statement.value is not None:
        return compiler.expression(statement.value)
    if len(statement.items) == 1 and statement.items[0].value is None and statement.items[0].name is None:
        return lambda scope: scope[aliases[0]] if len(aliases) == 1 else _merged(scope, aliases)
    made: list[tuple[str | None, Evaluate]] = []
    for number, item in enumerate(statement.items, 1):
        if item.value is None:
            made.append((None, compiler.expression(Name(item.name or ""))))
        else:
            made.append((item.name or name_of(item.value) or f"_{number}", compiler.expression(item.value)))

    def row(scope: Scope) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, value in made:
            found = value(scope)
            if name is None:
                fields.update(found if isinstance(found, dict) else {})
            elif found is not MISSING:
                fields[name] = found
        return fields

    return row


def _merged(scope: Scope, aliases: tuple[str, ...]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for alias in aliases:
        value = scope[alias]
        fields.update(value if isinstance(value, dict) else {alias: value})
    return fields


def name_of(expression: Expression) -> str | None:
    """What a column is called that has no name: the last name of a path."""
    if isinstance(expression, Name):
        return expression.name
    if isinstance(expression, Step) and isinstance(expression.key, Literal) and isinstance(expression.key.value, str):
        return expression.key.value
    return None


# -- expressions ------------------------------------------------------------------------------------------------------


class Compiler:
    """Makes functions of expressions. names: what is bound around them; aggregates: collected where they may stand."""

    def __init__(
        self, names: tuple[str, ...], *, aggregates: list[tuple[Aggregate, Evaluate | None]] | None = None
    ) -> None:
        self._names = names
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
                return _unary(operator, self.expression(value))
            case Binary(operator, left, right):
                return _binary(operator, self.expression(left), self._right(operator, right))
            case Between(value, low, high):
                return _between(self.expression(value), self.expression(low), self.expression(high))
            case Like():
                return self._like(node)
            case Is(value, name):
                of = self.expression(value)
                return lambda scope: values.is_type(of(scope), name)
            case Case():
                return self._case(node)
            case StructOf(fields):
                return _struct([(self.expression(key), self.expression(value)) for key, value in fields])
            case ListOf(items):
                made = [self.expression(item) for item in items]
                return lambda scope: [value for item in made if (value := item(scope)) is not MISSING]
            case Call(name, arguments, word):
                return self._call(function(name, word), [self.expression(argument) for argument in arguments])
            case Aggregate():
                return self._aggregate(node)
            case Subquery(inner):
                return self._subquery(inner)

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
        return lambda scope: _step(value(scope), step(scope))

    def _right(self, operator: str, right: Expression) -> Evaluate:
        made = self.expression(right)
        if operator == "IN" and isinstance(right, Subquery) and right.select.value is None:
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
            return like_pattern(given[1], given[2] if len(given) > 2 else "").fullmatch(given[0]) is not None

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

    def _subquery(self, node: Select) -> Evaluate:
        made = compile_select(node, self._names)
        return lambda scope: list(made(scope))


def _step(value: Any, key: Any) -> Any:  # noqa: ANN401 - any value
    if isinstance(value, dict) and isinstance(key, str):
        return value.get(key, MISSING)
    if isinstance(value, list) and type(key) is int and 0 <= key < len(value):
        return value[key]
    return MISSING


def _unary(operator: str, value: Evaluate) -> Evaluate:
    if operator == "NOT":
        return lambda scope: values.negate(value(scope))

    def signed(scope: Scope) -> Any:  # noqa: ANN401 - any value
        number = value(scope)
        if number is None or not values.is_number(number):
            return None if number is None else MISSING
        return -number if operator == "-" else number

    return signed


def _binary(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:  # noqa: PLR0911 - one for each operator
    match operator:
        case "AND":
            return lambda scope: False if (a := left(scope)) is False else values.both(a, right(scope))
        case "OR":
            return lambda scope: True if (a := left(scope)) is True else values.either(a, right(scope))
        case "=":
            return lambda scope: values.equal(left(scope), right(scope))
        case "<>":
            return lambda scope: values.negate(values.equal(left(scope), right(scope)))
        case "<":
            return lambda scope: values.less(left(scope), right(scope))
        case ">":
            return lambda scope: values.less(right(scope), left(scope))
        case "<=":
            return lambda scope: values.negate(values.less(right(scope), left(scope)))
        case ">=":
            return lambda scope: values.negate(values.less(left(scope), right(scope)))
        case "IN":
            return lambda scope: values.contains(left(scope), right(scope))
        case _:
            work = _ARITHMETIC[operator]
            return lambda scope: _arithmetic(work, operator, left(scope), right(scope))


def _between(value: Evaluate, low: Evaluate, high: Evaluate) -> Evaluate:
    def between(scope: Scope) -> Any:  # noqa: ANN401 - any value
        found = value(scope)
        above = values.negate(values.less(found, low(scope)))
        return False if above is False else values.both(above, values.negate(values.less(high(scope), found)))

    return between


def _arithmetic(work: Callable[[Any, Any], Any], operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - any value
    if left is MISSING or right is MISSING:
        return MISSING
    if left is None or right is None:
        return None
    if operator == "||":
        return left + right if isinstance(left, str) and isinstance(right, str) else MISSING
    if not (values.is_number(left) and values.is_number(right)):
        return MISSING
    try:
        return work(left, right)
    except (ZeroDivisionError, OverflowError):
        return MISSING


def _divided(left: Any, right: Any) -> Any:  # noqa: ANN401 - a number
    if type(left) is int and type(right) is int:
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return left / right


def _remainder(left: Any, right: Any) -> Any:  # noqa: ANN401 - a number
    return (
        left - right * _divided(left, right)
        if type(left) is int and type(right) is int
        else left - right * int(left / right)
    )


_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "||": lambda left, right: left + right,
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _divided,
    "%": _remainder,
}


def _struct(fields: list[tuple[Evaluate, Evaluate]]) -> Evaluate:
    def struct(scope: Scope) -> dict[str, Any]:
        made = {}
        for key, value in fields:
            name, found = key(scope), value(scope)
            if isinstance(name, str) and found is not MISSING:
                made[name] = found
        return made

    return struct


@lru_cache(256)
def like_pattern(pattern: str, escape: str) -> re.Pattern[str]:
    """LIKE's pattern, % for any text and _ for one character. Invalid where the escape is wrong."""
    if len(escape) > 1:
        raise Invalid(f"ESCAPE takes one character, got {escape!r:.40}")
    made, at = [], 0
    while at < len(pattern):
        character = pattern[at]
        if escape and character == escape:
            at += 1
            if at == len(pattern) or pattern[at] not in ("%", "_", escape):
                raise Invalid(f"in a LIKE pattern {escape!r} stands before %, _ or itself")
            made.append(re.escape(pattern[at]))
        elif character in "%_":
            if not (character == "%" and made and made[-1] == ".*"):  # one after another would take for ever
                made.append(".*" if character == "%" else ".")
        else:
            made.append(re.escape(character))
        at += 1
    return re.compile("".join(made), re.DOTALL)
