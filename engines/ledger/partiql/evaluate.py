"""Running statements: expressions become Python functions once, rows go through them.

    scope     one dict for a row: what FROM binds, by name, and under keys no name can have: parameters, context
    select    nested loops over the sources, left to right; each source is asked with the equalities that an index may
              answer (plan.py); WHERE is looked at for every row all the same

Nothing here knows what a table is: `Sources` does.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import islice, pairwise
from typing import Any, Protocol, TypeAlias

from engines.errors import Invalid, QueryError, nearest
from engines.ledger.partiql import operators, plan, values
from engines.ledger.partiql.functions import Context, function
from engines.ledger.partiql.lexer import SIGN, tokens
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
    Step,
    StructOf,
    Subquery,
    TableSource,
    Unary,
    Update,
    Value,
    ValueSource,
)  # fmt: skip
from engines.ledger.partiql.operators import Evaluate, Scope
from engines.ledger.partiql.parser import parsed

Levels: TypeAlias = tuple[tuple[str, ...], ...]  # the names that each FROM binds, innermost first
Row: TypeAlias = tuple[str | None, Any]  # a document's id, or None, and the value

PARAMETERS, CONTEXT, SOURCES, ENVIRONMENT, AGGREGATES = "?", "? context", "? sources", "? environment", "? aggregates"


class Sources(Protocol):
    """Where FROM finds its rows."""

    def rows(self, source: Source, equal: Sequence[plan.Known], bounds: tuple[Any, Any]) -> Iterable[Row]:
        """The rows of a table, of its history (from bounds[0] to bounds[1]) or of the catalogue that have these values.

        More may come: what is asked for is looked at again. NotFound.
        """
        ...

    def has(self, table: str) -> bool:
        """Whether a table is called so: in FROM, tables come before what an earlier FROM has bound."""
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

    def has(self, table: str) -> bool:
        """See Sources."""
        return table in self._names


def run(text: str, environment: Mapping[str, Any] | None = None, parameters: Sequence[Any] = ()) -> Any:  # noqa: ANN401 - any value
    """What a SELECT, or an expression alone, gives where names stand for these values; a list for SELECT.

    QueryError, Invalid. environment: lists are bags. MISSING is partiql.MISSING.
    """
    names = {} if environment is None else environment
    statement = parsed(text)
    if not isinstance(statement.statement, Select | Value):
        raise Invalid(f"run() takes SELECT or an expression, this is {statement.statement.kind.upper()}")
    scope = new_scope(statement, Environment(names), parameters, Context(), names)
    if isinstance(statement.statement, Value):
        return Compiler(()).expression(statement.statement.value)(scope)
    return list(select(statement, scope))


def new_scope(
    found: Parsed,
    sources: Sources,
    parameters: Sequence[Any],
    context: Context,
    environment: Mapping[str, Any] | None = None,
) -> Scope:
    """What a statement's expressions are evaluated in. QueryError if there are too many or too few parameters."""
    statement = found.statement
    if len(parameters) != statement.parameters:
        places = [token.position for token in tokens(found.text) if (token.kind, token.value) == (SIGN, "?")]
        raise QueryError(
            f"the statement has {statement.parameters} ?, got {len(parameters)} parameters: one value for each",
            text=found.text,
            position=places[len(parameters)] if len(parameters) < len(places) else len(found.text),
        )
    return {PARAMETERS: parameters, CONTEXT: context, SOURCES: sources, ENVIRONMENT: environment or {}}


def elements(value: Any) -> list[Any]:  # noqa: ANN401 - any value
    """What FROM iterates over: what is no list is one element, also NULL and MISSING."""
    return value if isinstance(value, list) else [value]


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
        compiler = Compiler((update.source.names,))
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
            inner = {**scope, source.alias: value, "? id": identity}
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
    loops = _Loops(statement.sources, statement.where, outer)
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
        return _distinct(found) if statement.distinct else found

    return made


def total(node: Aggregate, taken: list[Any]) -> Any:  # noqa: ANN401, PLR0911 - any value; one case for each function
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
        try:
            return values.finite(sum(taken) if node.function == "SUM" else sum(taken) / len(taken))
        except OverflowError:
            return MISSING
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
    met: set[Any] = set()
    for value in found:
        key = _frozen(value)
        if key not in met:
            met.add(key)
            yield value


def _frozen(value: Any) -> Any:  # noqa: ANN401 - any value
    """What two values have in common if and only if they are the same."""
    if isinstance(value, dict):
        return frozenset((name, _frozen(each)) for name, each in value.items())
    if isinstance(value, list):
        return (list, *map(_frozen, value))
    return (bool, value) if isinstance(value, bool) else value  # not 1, as it would be in a set


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
        return lambda scope: _step(value(scope), step(scope))

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


def _step(value: Any, key: Any) -> Any:  # noqa: ANN401 - any value
    if isinstance(value, dict) and isinstance(key, str):
        return value.get(key, MISSING)
    if isinstance(value, list) and type(key) is int and 0 <= key < len(value):
        return value[key]
    return MISSING
