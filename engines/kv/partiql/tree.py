"""What a PartiQL statement is, once it is read: immutable, and the same for every text that is the same.

Conditions, paths and update actions are those of syntax.py and updatesyntax.py, with a placeholder #_0, #_1, ... for
each name and :_0, :_1, ... for each value; a Statement says what they stand for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engines.errors import Invalid
from engines.kv.syntax import Condition, Path
from engines.kv.updatesyntax import Action
from engines.kv.values import type_of


@dataclass(frozen=True, slots=True)
class Constant:
    """A text, a number, True, False or None."""

    value: Any


@dataclass(frozen=True, slots=True)
class Parameter:
    """A question mark: which of the statement's, from 0."""

    number: int


@dataclass(frozen=True, slots=True)
class Collection:
    """A map "M", with a name for each part, a list "L" or a set "S"."""

    kind: str
    names: tuple[str, ...]
    parts: tuple["Literal", ...]


Literal = Constant | Parameter | Collection


def bind(literal: Literal, parameters: Sequence[Any]) -> Any:  # noqa: ANN401 - whatever an item may hold
    """The value of a literal, made anew: nobody shares it. Invalid for what can not be a set."""
    match literal:
        case Constant(value):
            return value
        case Parameter(number):
            return parameters[number]
    values = [bind(part, parameters) for part in literal.parts]
    if literal.kind == "M":
        return dict(zip(literal.names, values, strict=True))
    if literal.kind == "L":
        return values
    kinds = {type_of(value) for value in values}
    if len(kinds) != 1 or not kinds <= {"S", "N", "B"}:
        found = ", ".join(sorted(kinds)) or "nothing"
        raise Invalid(f"a set <<...>> holds strings, or numbers, or bytes, one at least; this one holds {found}")
    return set(values)


# --- statements ---


@dataclass(frozen=True, slots=True)
class Target:
    """The table, and maybe an index of it."""

    table: str
    index: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Order:
    """One key of ORDER BY."""

    path: Path
    descending: bool


@dataclass(frozen=True, slots=True)
class Select:
    """paths: none where all is asked for."""

    target: Target
    paths: tuple[Path, ...]
    where: Condition | None
    order: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Insert:
    """item: a map, or a ? that stands for one."""

    target: Target
    item: Literal


@dataclass(frozen=True, slots=True)
class Update:
    """returns: as Table.update has it."""

    target: Target
    actions: tuple[Action, ...]
    where: Condition
    returns: str


@dataclass(frozen=True, slots=True)
class Delete:
    """returns: "NONE" or "ALL_OLD"."""

    target: Target
    where: Condition
    returns: str


@dataclass(frozen=True, slots=True)
class Exists:
    """A check: the one item that a SELECT asks for is there."""

    select: Select

    @property
    def target(self) -> Target:
        return self.select.target

    @property
    def where(self) -> Condition | None:
        return self.select.where


Body = Select | Insert | Update | Delete | Exists


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement, and what its placeholders stand for."""

    text: str
    body: Body
    names: Mapping[str, str]  # "#_0" -> the attribute's name
    literals: Mapping[str, Literal]  # ":_0" -> the value
    shown: Mapping[str, str]  # both -> as they are written
    parameters: int  # how many
    where: int  # the position of WHERE, or of the table where there is none
