"""Statements and expressions of PartiQL as trees. at: where an expression begins in the text."""

from dataclasses import dataclass, field
from typing import Any, TypeAlias


class Missing:
    """What stands where there is nothing: no attribute, no element, no meaning. There is one: MISSING."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"


MISSING = Missing()

# -- expressions


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that stands in the text."""

    value: Any
    at: int = 0


@dataclass(frozen=True, slots=True)
class Parameter:
    """A ?, and which one."""

    number: int  # from 0
    at: int = 0


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, or an attribute of what FROM binds. Capitals count."""

    name: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """value.name, value['name'], value[0]: key is a Literal for the first."""

    value: "Expression"
    key: "Expression"
    at: int = 0


@dataclass(frozen=True, slots=True)
class Unary:
    """NOT value, -value, +value."""

    operator: str  # NOT, -, +
    value: "Expression"
    at: int = 0


@dataclass(frozen=True, slots=True)
class Binary:
    """left operator right. IN has a list or a collection at its right."""

    operator: str  # AND OR = <> < <= > >= || + - * / % IN
    left: "Expression"
    right: "Expression"
    at: int = 0


@dataclass(frozen=True, slots=True)
class Between:
    """value BETWEEN low AND high, both included."""

    value: "Expression"
    low: "Expression"
    high: "Expression"
    at: int = 0


@dataclass(frozen=True, slots=True)
class Like:
    """value LIKE pattern ESCAPE escape."""

    value: "Expression"
    pattern: "Expression"
    escape: "Expression | None"
    at: int = 0


@dataclass(frozen=True, slots=True)
class Is:
    """value IS type."""

    value: "Expression"
    type: str  # NULL, MISSING, or a type
    at: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """CASE; with a subject, branches are compared with it."""

    subject: "Expression | None"
    branches: tuple[tuple["Expression", "Expression"], ...]
    otherwise: "Expression | None"
    at: int = 0


@dataclass(frozen=True, slots=True)
class StructOf:
    """{'name': value}: pairs of expressions."""

    fields: tuple[tuple["Expression", "Expression"], ...]
    at: int = 0


@dataclass(frozen=True, slots=True)
class ListOf:
    """[value, ...] and <<value, ...>>."""

    items: tuple["Expression", ...]
    at: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A function of one row. EXTRACT, CAST, DATE_ADD and TRIM carry a word in `word`."""

    function: str
    arguments: tuple["Expression", ...]
    word: str = ""
    at: int = 0


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function of all rows: COUNT(*), SUM(DISTINCT value)."""

    function: str  # COUNT SUM MIN MAX AVG
    argument: "Expression | None"  # None: COUNT(*)
    distinct: bool = False
    at: int = 0


@dataclass(frozen=True, slots=True)
class Subquery:
    """(SELECT ...) where a value stands."""

    select: "Select"
    at: int = 0


Expression: TypeAlias = (
    Literal | Parameter | Name | Step | Unary | Binary | Between | Like | Is | Case | StructOf | ListOf | Call
    | Aggregate | Subquery
)  # fmt: skip

# -- where rows come from


@dataclass(frozen=True, slots=True)
class TableSource:
    """The documents of a table, as users see them."""

    name: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class CommittedSource:
    """_ql_committed_NAME: the current revisions with their metadata."""

    name: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class HistorySource:
    """history(NAME [, start [, end]]): all revisions with their metadata."""

    name: str
    start: Expression | None
    end: Expression | None
    at: int = 0


@dataclass(frozen=True, slots=True)
class CatalogueSource:
    """information_schema.user_tables: a row for each table."""

    at: int = 0


@dataclass(frozen=True, slots=True)
class ValueSource:
    """The elements of a value: a list's items, else the value itself."""

    value: Expression
    at: int = 0


Source: TypeAlias = TableSource | CommittedSource | HistorySource | CatalogueSource | ValueSource


@dataclass(frozen=True, slots=True)
class From:
    """One source of a FROM clause. on: a join's condition; outer: LEFT JOIN."""

    source: Source
    alias: str
    position: str | None = None  # AT
    identity: str | None = None  # BY
    on: Expression | None = None
    outer: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What it binds."""
        return tuple(name for name in (self.alias, self.position, self.identity) if name)


# -- statements


@dataclass(frozen=True, slots=True)
class Item:
    """An expression of a SELECT and its name; value None: alias.* or, without a name, *."""

    value: Expression | None
    name: str | None


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT: items, or one value; * is an item without value and name."""

    items: tuple[Item, ...]
    value: Expression | None  # SELECT VALUE
    distinct: bool
    sources: tuple[From, ...]
    where: Expression | None
    parameters: int = 0
    kind: str = "select"

    @property
    def aggregated(self) -> bool:
        """Whether it makes one row of all."""
        return any(contains_aggregate(item.value) for item in self.items) or contains_aggregate(self.value)


@dataclass(frozen=True, slots=True)
class Insert:
    """INSERT INTO table."""

    table: str
    values: Expression
    several: bool  # INSERT INTO T <<...>> or a parameter that is a list; VALUE e is one document
    parameters: int = 0
    kind: str = "insert"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that UPDATE or FROM does to a document: SET path = value, REMOVE path, INSERT INTO path VALUE."""

    verb: str
    path: Expression
    value: Expression | None = None
    position: Expression | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """UPDATE, and FROM ... SET, REMOVE or INSERT INTO."""

    source: From
    changes: tuple[Change, ...]
    where: Expression | None
    parameters: int = 0
    kind: str = "update"


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE FROM, and FROM ... DELETE."""

    source: From
    where: Expression | None
    parameters: int = 0
    kind: str = "delete"


@dataclass(frozen=True, slots=True)
class CreateTable:
    """CREATE TABLE."""

    table: str
    parameters: int = 0
    kind: str = "create table"


@dataclass(frozen=True, slots=True)
class CreateIndex:
    """CREATE INDEX ON table (path)."""

    table: str
    path: tuple[str | int, ...]
    parameters: int = 0
    kind: str = "create index"


@dataclass(frozen=True, slots=True)
class DropTable:
    """DROP TABLE."""

    table: str
    parameters: int = 0
    kind: str = "drop table"


@dataclass(frozen=True, slots=True)
class DropIndex:
    """DROP INDEX ON table (path)."""

    table: str
    path: tuple[str | int, ...]
    parameters: int = 0
    kind: str = "drop index"


@dataclass(frozen=True, slots=True)
class UndropTable:
    """UNDROP TABLE: by its id, for a name may have been used again."""

    table: str  # its id
    parameters: int = 0
    kind: str = "undrop table"


@dataclass(frozen=True, slots=True)
class Value:
    """An expression on its own."""

    value: Expression
    parameters: int = 0
    kind: str = "value"


Statement: TypeAlias = (
    Select | Insert | Update | Delete | CreateTable | CreateIndex | DropTable | DropIndex | UndropTable | Value
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A statement, its text, and what running it needs again and again: made once, kept beside it."""

    text: str
    statement: Statement
    compiled: dict[str, Any] = field(default_factory=dict, compare=False, hash=False)


def children(expression: Any) -> list[Any]:  # noqa: ANN401, C901, PLR0911 - any node, one case for each kind
    """The expressions right below this one; a subquery is a world of its own."""
    match expression:
        case Step(value, key):
            return [value, key]
        case Unary(_, value) | Is(value):
            return [value]
        case Binary(_, left, right):
            return [left, right]
        case Between(value, low, high):
            return [value, low, high]
        case Like(value, pattern, escape):
            return [value, pattern, *([escape] if escape is not None else [])]
        case Case(subject, branches, otherwise):
            ends = [subject] if subject is not None else []
            ends += [otherwise] if otherwise is not None else []
            return ends + [part for branch in branches for part in branch]
        case StructOf(fields):
            return [part for pair in fields for part in pair]
        case ListOf(items):
            return list(items)
        case Call(_, arguments):
            return list(arguments)
        case Aggregate(_, argument) if argument is not None:
            return [argument]
        case _:
            return []


def contains_aggregate(expression: Expression | None) -> bool:
    """Whether COUNT, SUM, MIN, MAX or AVG is in it."""
    return isinstance(expression, Aggregate) or any(map(contains_aggregate, children(expression)))
