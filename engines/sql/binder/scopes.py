"""Names: which columns an expression may mention, and what each stands for.

    Rows       what FROM gives, or a whole query: a plan, the columns that a bare name finds, the tables by their alias
    Scope      a SELECT while it is bound: its Rows, the select list's aliases, the aggregates and windows met so far
    outer      the scope around a subquery; a name that is not found here is looked for there

A name is looked up without regard to case; where a table has columns that differ in nothing else, as it is written.
A bare name that two tables have is ambiguous, unless USING or NATURAL made one column of the two. The inner scope
hides the outer one. An alias of the select list may be used in later items and in GROUP BY, HAVING, QUALIFY and ORDER
BY; a column of FROM comes first, except in ORDER BY.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engines.sql.logical import AggregateCall, Expression, Plan, WindowCall
from engines.sql.types import Type


class Column(NamedTuple):
    """A column that can be named: its name as it was written, its id in the plan, its type."""

    name: str
    id: str
    type: Type


class Ambiguous(Exception):
    """More than one column has the name."""


class Named:
    """Columns by name."""

    __slots__ = ("_by_name", "columns")

    def __init__(self, columns: list[Column]) -> None:
        self.columns = columns
        self._by_name: dict[str, Column | list[Column]] | None = None

    def find(self, name: str) -> Column | None:
        """The column; None if there is none. Ambiguous if there are several."""
        if self._by_name is None:
            self._by_name = {}
            for column in self.columns:
                folded = column.name.lower()
                known = self._by_name.setdefault(folded, column)
                if known is not column:
                    self._by_name[folded] = [*(known if isinstance(known, list) else [known]), column]
        found = self._by_name.get(name.lower())
        if found is None or isinstance(found, Column):
            return found
        exact = [column for column in found if column.name == name]
        if len(exact) == 1:
            return exact[0]
        raise Ambiguous


@dataclass(slots=True)
class Relation:
    """A table in FROM. parts: its full name, folded, for `schema.table.column`; empty if it has an alias."""

    alias: str
    named: Named
    parts: tuple[str, ...] = ()


@dataclass(slots=True)
class Rows:
    """A plan whose columns have names. columns: what `*` gives and a bare name finds, in order."""

    plan: Plan
    columns: list[Column]
    relations: dict[str, Relation] = field(default_factory=dict)  # by folded alias
    named: Named | None = None

    def find(self, name: str) -> Column | None:
        if self.named is None:
            self.named = Named(self.columns)
        return self.named.find(name)

    def relation(self, parts: tuple[str, ...]) -> Relation | None:
        """The table that is called so: by its alias, or by the end of its full name."""
        found = self.relations.get(parts[-1])
        if found is not None and (len(parts) == 1 or found.parts[-len(parts) :] == parts):
            return found
        return None


@dataclass(slots=True)
class Scope:
    """One SELECT while it is bound."""

    outer: "Scope | None" = None
    rows: Rows | None = None  # None: no FROM is in sight (VALUES, DEFAULT)
    aliases: dict[str, Expression] = field(default_factory=dict)  # of the select list so far, folded
    aggregates: dict[AggregateCall, str] = field(default_factory=dict)  # -> id
    windows: dict[WindowCall, str] = field(default_factory=dict)
    definitions: dict[str, Any] = field(default_factory=dict)  # WINDOW name AS (...), folded
    clause: str = ""  # where we are, for errors: "WHERE", "the argument of an aggregate"
    may_aggregate: bool = False
    may_window: bool = False
    captured: list[tuple[str, int]] = field(default_factory=list)  # our ids that subqueries mention, and where
    foreign: set[str] = field(default_factory=set)  # ids of outer scopes that we mention
    parameters: dict[str, Expression] = field(default_factory=dict)  # of lambdas

    def visible(self) -> Iterable[str]:
        """All names that could have been meant, for suggestions."""
        scope: Scope | None = self
        while scope is not None:
            if scope.rows is not None:
                yield from (column.name for column in scope.rows.columns)
            yield from scope.aliases
            scope = scope.outer
