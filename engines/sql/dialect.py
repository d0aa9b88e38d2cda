"""A dialect: what an engine that speaks SQL passes to the floor. The floor itself never asks which engine it serves.

parser        name of a dialect of sqlglot: the grammar
rules         choices on which services differ, see RULES
tokens        changes the tokens of a statement before they are parsed
functions     the registry, with the engine's own functions in it
statements    what the floor does not know: first words of a statement, or class of its syntax tree -> handler
types         further names of types
type_of       the type of a Python value as a parameter
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from engines.sql.functions import Functions, standard
from engines.sql.types import Type
from engines.sql.values import type_of

RULES: Final[Mapping[str, Any]] = {
    "nulls": "large",  # ORDER BY: NULL as if larger than everything (last ascending, first descending); or "last"
    "sum_of_bigint": "decimal",  # DECIMAL(38, 0); or "bigint", an error where it overflows
    "database": "dev",  # current_database()
    "schema": "public",  # current_schema()
    "zone": "UTC",  # of TIMESTAMPTZ, where text and TIMESTAMP are turned into it
    "unit": "us",  # of now() and INTERVAL; or "ns": a TIMESTAMP is a moment then, and a zone in a text counts
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an engine's SQL differs. Two dialects with the same name are the same to the statement cache."""

    name: str
    parser: str = "redshift"
    rules: Mapping[str, Any] = field(default_factory=lambda: RULES)
    tokens: Callable[[list[Any]], list[Any]] | None = None
    functions: Functions = field(default_factory=standard)
    statements: Mapping[Any, Any] = field(default_factory=dict)
    types: Mapping[str, Type] = field(default_factory=dict)
    type_of: Callable[[object], Type] = type_of

    def statement(self, words: Sequence[str]) -> Any | None:  # noqa: ANN401 - handlers are the engine's
        """The key in `statements` that fits the first words of a statement (upper case), the longest first."""
        for n in range(len(words), 0, -1):
            key = " ".join(words[:n])
            if key in self.statements:
                return key
        return None


REDSHIFT: Final = Dialect("redshift")
