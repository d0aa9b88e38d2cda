"""The answer to a query: a Result whose header is known from the plan, and whose plan is drawn when it is asked for.

A dashboard's query takes tens of microseconds: what is the same for every run of a plan is worked out once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engines.display import Plan, Table
from engines.sql.collected import Collected
from engines.sql.logical import Query
from engines.sql.result import Result, distinct
from engines.sql.types import Type


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of an answer, and the names of their types: the same for every run."""

    columns: Sequence[tuple[str, str, Type]]
    types: Mapping[str, str]

    @classmethod
    def of(cls, query: Query) -> "Header":
        columns = distinct(query.columns)
        return cls(columns, {name: str(type) for name, _, type in columns})


class Answer(Result):
    """The rows of a statement. plan: the steps that were run, and what they touched."""

    def __init__(self, found: Collected, header: Header, stats: Mapping[str, Any], plan: Callable[[], Plan]) -> None:
        Table.__init__(self, {}, header.types, stats=stats)  # what a Result works out first is known here
        self.found = found
        self.described = list(header.columns)
        self._made = None
        self._rows = None
        self._plan = plan

    @property
    def plan(self) -> Plan:
        """Made when it is asked for."""
        return self._plan()
