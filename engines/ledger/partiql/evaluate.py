"""Running statements: SELECT gives values, UPDATE and DELETE find documents, UPDATE and INSERT make new ones.

Nothing here knows what a table is (sources.py), and nothing is written: who calls this does that.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

from engines.errors import Invalid, QueryError
from engines.ledger.partiql.compiler import (
    CONTEXT,
    DOCUMENT_ID,
    ENVIRONMENT,
    PARAMETERS,
    SOURCES,
    Compiler,
    Loops,
    compile_select,
    step_into,
)  # fmt: skip
from engines.ledger.partiql.functions import Context
from engines.ledger.partiql.lexer import SIGN, tokens
from engines.ledger.partiql.nodes import MISSING, Delete, Insert, Literal, Parsed, Select, Update, Value
from engines.ledger.partiql.operators import Scope
from engines.ledger.partiql.parser import parsed
from engines.ledger.partiql.sources import Environment, Sources


def run(text: str, environment: Mapping[str, Any] | None = None, parameters: Sequence[Any] = ()) -> Any:  # noqa: ANN401 - any value
    """What a SELECT, or an expression alone, gives where names stand for these values; a list for SELECT.

    QueryError, Invalid. environment: lists are bags. MISSING is partiql.MISSING.
    """
    names = {} if environment is None else environment
    statement = parsed(text)
    if not isinstance(statement.statement, Select | Value):
        raise Invalid(f"run() takes SELECT or an expression, this is {statement.statement.kind.upper()}")
    scope = new_scope(statement, Environment(names), parameters, Context(), names)
    return value(statement, scope) if isinstance(statement.statement, Value) else list(select(statement, scope))


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


def select(statement: Parsed, scope: Scope) -> Iterator[Any]:
    """The values that a SELECT gives."""
    made = statement.compiled.get("select")
    if made is None:
        assert isinstance(statement.statement, Select)  # noqa: S101 - the caller has looked
        made = statement.compiled["select"] = compile_select(statement.statement, ())
    return made(scope)


def value(statement: Parsed, scope: Scope) -> Any:  # noqa: ANN401 - any value
    """What an expression alone is worth."""
    made = statement.compiled.get("value")
    if made is None:
        assert isinstance(statement.statement, Value)  # noqa: S101 - the caller has looked
        made = statement.compiled["value"] = Compiler(()).expression(statement.statement.value)
    return made(scope)


def matches(statement: Parsed, scope: Scope) -> Iterator[tuple[str, dict[str, Any]]]:
    """The documents that an UPDATE or DELETE is about: id and document. All are found before any is given."""
    made = statement.compiled.get("matches")
    if made is None:
        update = statement.statement
        assert isinstance(update, Update | Delete)  # noqa: S101 - the caller has looked
        made = statement.compiled["matches"] = Loops((update.source,), update.where, ())
    alias = statement.statement.source.alias  # type: ignore[union-attr] # as above
    found = [(inner[DOCUMENT_ID], inner[alias]) for inner in made.scopes(scope)]
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
    for (verb, path, value, position), change in zip(made, update.changes, strict=True):
        steps = [step(inner) for step in path]
        given = None if value is None else deepcopy(value(inner))
        if given is MISSING and not isinstance(change.value, Literal):
            raise Invalid(
                "what is to be SET is MISSING: is it a name where a text, 'in single quotes', is meant? "
                "REMOVE takes a field away"
            )
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
    made = statement.compiled.get("values")
    if made is None:
        made = statement.compiled["values"] = Compiler(()).expression(insert.values)
    found = made(scope)
    return found if insert.several and isinstance(found, list) else [found]


def _set(document: dict[str, Any], steps: list[Any], value: Any) -> None:  # noqa: ANN401 - any value
    """Put a value at a path, structs on the way where there is nothing; or take away what is there if it is MISSING."""
    at: Any = document
    for step, following in pairwise(steps):
        below = step_into(at, step)
        if below is MISSING and value is MISSING:
            return
        if below is MISSING and isinstance(at, dict) and isinstance(step, str) and isinstance(following, str):
            below = at[step] = {}
        at = below
    last = steps[-1]
    fits = isinstance(at, dict) and isinstance(last, str)
    fits = fits or (isinstance(at, list) and type(last) is int and 0 <= last < len(at))
    if value is MISSING:
        if step_into(at, last) is not MISSING:
            del at[last]
    elif fits:
        at[last] = value
    else:
        raise Invalid(f"the path ends at {last!r}, and nothing of that kind is there: SET what is around it")


def _insert(document: Any, steps: list[Any], value: Any, position: Any) -> None:  # noqa: ANN401 - any value
    at = document
    for step in steps:
        at = step_into(at, step)
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
