"""A statement with its parameters and its table: what its tree says in the engine's language, which item it is about.

The texts made here have placeholders for all names and values, with the statement's number in them, #_0_1 and :_0_1: in
a transaction an error of the engine is put back into the words of the statement that it came from.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

from engines.errors import ConditionFailed, Conflict, EngineError, Invalid, NotFound, QueryError, TooLarge
from engines.kv.page import Key
from engines.kv.partiql.syntax import parse_statement
from engines.kv.partiql.tree import Insert, Update, bind
from engines.kv.syntax import Between, Call, Compare, Condition, In, Joined, Path, Value

if TYPE_CHECKING:
    from engines.kv.store import Store

Text = str | tuple[str, Sequence[Any]]  # a statement, alone or with its parameters

_PLACEHOLDER = re.compile(r"([#:])_(\d+|key)")
_NUMBERED = re.compile(r"([#:])_(\d+)_(\d+|key)")
_FLIPPED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

PARTITION = Path(("#_key",), 0)  # the partition key's name, for statements that do not say it


class Bound:
    """A statement with its parameters, about a table. number: its place in a transaction.

    QueryError or Invalid for a mistake, NotFound for the table.
    """

    def __init__(self, store: "Store", text: Text, number: int = 0) -> None:
        statement, parameters = text if isinstance(text, (tuple, list)) and len(text) == 2 else (text, ())
        if not isinstance(statement, str):
            raise Invalid(f"a statement is a text, or a text and its parameters, got {statement!r:.80}")
        if not isinstance(parameters, (tuple, list)):
            raise Invalid(f"parameters is a list with a value for each ?, got {parameters!r:.80}")
        self.parsed = parse_statement(statement)
        self.body = self.parsed.body
        wanted, given = self.parsed.parameters, len(parameters)
        if given != wanted:
            raise Invalid(f"the statement has {wanted} parameter{'s' * (wanted != 1)} (?), parameters has {given}")
        self.parameters = parameters
        self.number = number
        self.table = store.table(self.body.target.table)
        self.key = self.table.definition.key
        self.names: Mapping[str, str] = {**self.parsed.names, "#_key": self.key[0].name}

    def fail(self, message: str, hint: str = "", at: int | None = None) -> NoReturn:
        """QueryError, at WHERE if it is not said where."""
        position = self.parsed.where if at is None else at
        raise QueryError(message, text=self.parsed.text, position=position, suggestion=hint)

    # -- its parts --------------------------------------------------------------------------------------------------

    def value(self, value: Value) -> Any:  # noqa: ANN401 - whatever an item may hold
        return bind(self.parsed.literals[value.name], self.parameters)

    def shown(self, sign: str, name: str) -> str:
        """What a placeholder stands for, as it is written in the statement."""
        placeholder = f"{sign}_{name}"
        return self.parsed.shown.get(placeholder) or self.names.get(placeholder, placeholder)

    def text(self, node: object) -> str:
        """A part of the tree as the engine's text."""
        return _PLACEHOLDER.sub(rf"\1_{self.number}_\2", str(node))

    def placeholders(self, *texts: str | None) -> dict[str, Any]:
        """The arguments names and values for what these texts use."""
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        for sign, _, name in _NUMBERED.findall(" ".join(text for text in texts if text)):
            if sign == "#":
                names[f"#_{self.number}_{name}"] = self.names[f"#_{name}"]
            else:
                values[f":_{self.number}_{name}"] = self.value(Value(f":_{name}", 0))
        return {"names": names, "values": values}

    # -- its key ----------------------------------------------------------------------------------------------------

    def test(self, condition: Condition) -> "Test | None":
        """A condition that compares an attribute with values, with the attribute's name."""
        found = _test(condition)
        return None if found is None else found._replace(name=self.names[found.name])

    def point(self, where: Condition | None) -> tuple[Key, list[Condition]]:
        """The one key that WHERE names, and its other conditions."""
        key_names = self.table.definition.key_names
        found: dict[str, Any] = {}
        rest: list[Condition] = []
        for part in parts(where):
            test = self.test(part)
            if test is None or test.operator != "=" or test.name in found or test.name not in key_names:
                rest.append(part)
            else:
                found[test.name] = self.value(test.values[0])
        if len(found) < len(key_names):
            wanted = " AND ".join(f'"{name}" = ?' for name in key_names)
            self.fail(f"WHERE must name the key of one item here: {wanted}", "other conditions may follow with AND")
        return tuple(found[name] for name in key_names), rest


# --- conditions ---


class Test(NamedTuple):
    """A comparison of one attribute with values. condition is the same, with the attribute on the left."""

    name: str
    path: Path
    operator: str
    values: tuple[Value, ...]
    condition: Condition


def parts(where: Condition | None) -> Iterator[Condition]:
    """What stands between the ANDs."""
    if isinstance(where, Joined) and where.operator == "AND":
        for part in where.conditions:
            yield from parts(part)
    elif where is not None:
        yield where


def together(conditions: Sequence[Condition]) -> Condition:
    """One condition for all of these."""
    return conditions[0] if len(conditions) == 1 else Joined("AND", tuple(conditions), 0)


def _test(condition: Condition) -> Test | None:
    found: tuple[str, tuple[Value, ...], Condition]
    match condition:
        case Compare(sign, Path((str(name),)) as path, Value() as value):
            found = sign, (value,), condition
        case Compare(sign, Value() as value, Path((str(name),)) as path) if sign in _FLIPPED:
            found = _FLIPPED[sign], (value,), Compare(_FLIPPED[sign], path, value, condition.at)
        case Between(Path((str(name),)) as path, Value() as low, Value() as high):
            found = "BETWEEN", (low, high), condition
        case Call("begins_with", (Path((str(name),)) as path, Value() as value)):
            found = "begins_with", (value,), condition
        case In(Path((str(name),)) as path, options) if all(isinstance(option, Value) for option in options):
            found = "IN", cast("tuple[Value, ...]", options), condition
        case Joined("OR", conditions):
            return _one_of([_test(part) for part in conditions], condition)
        case _:
            return None
    return Test(name, path, *found)


def _one_of(tests: list[Test | None], condition: Condition) -> Test | None:
    """A = ? OR a = ? as a IN (?, ?)."""
    known = [test for test in tests if test is not None and test.operator in ("=", "IN")]
    if len(known) < len(tests) or len({test.name for test in known}) > 1:
        return None
    values = tuple(value for test in known for value in test.values)
    return Test(known[0].name, known[0].path, "IN", values, condition)


# --- errors ---


@contextmanager
def in_their_words(statements: Sequence[Bound]) -> Iterator[None]:
    """Errors of the engine speak of placeholders: here they are told in what the statements name and hold."""
    try:
        yield
    except (Invalid, NotFound, TooLarge, ConditionFailed, Conflict) as error:
        error.args = (readable(str(error), statements).replace("a :value", "a value"),)
        reasons: list[dict[str, Any] | None] = cast("Any", error.details.get("reasons") or [])
        for statement, reason in zip(statements, reasons, strict=False):
            if reason is not None:
                reason["message"] = readable(reason["message"], statements)
                if isinstance(statement.body, Insert) and reason["code"] == "ConditionalCheckFailed":
                    reason["code"] = "DuplicateItem"
        if isinstance(error, ConditionFailed) and not reasons:
            _explain_failed(error, statements[0])
        raise


def _explain_failed(error: EngineError, statement: Bound) -> None:
    """What an INSERT or an UPDATE asks for is not in its text, so its failure is told in other words."""
    table = statement.table.name
    if isinstance(statement.body, Insert):
        error.aws = "DuplicateItemException"
        said = (
            f"the table {table} has an item with this key already, nothing was changed: UPDATE it, or DELETE it first"
        )
        error.args = (said,)
    elif isinstance(statement.body, Update) and error.details.get("item") is None:
        said = f"the table {table} has no item with this key, nothing was changed: INSERT it, for UPDATE makes none"
        error.args = (said,)


def readable(text: str, statements: Sequence[Bound]) -> str:
    """A text with what its placeholders stand for."""
    known = {str(statement.number): statement for statement in statements}

    def shown(match: re.Match[str]) -> str:
        sign, number, name = match.groups()
        return known[number].shown(sign, name) if number in known else match.group()

    return _NUMBERED.sub(shown, text)
