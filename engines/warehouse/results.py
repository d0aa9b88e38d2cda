"""The result cache: the answer to a query that was asked before, of tables that have not changed since.

    key    text, values and their types, user, the version of each table that is read, all views, who may read what

A version changes with every change of a table, so nothing has to be thrown away when data changes: it is never asked
for again, and the least recently used go. Queries that ask for the time, the user or random numbers are not kept.
Redshift has such a cache on by default; here it is off, because a measurement should measure.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from engines.sql.front import Cache
from engines.sql.logical import Bound, Expression, Plan, Query, Subquery, inputs, walk
from engines.sql.result import Result
from engines.sql.rewrite.trees import expressions, is_pure

KEPT: Final = 128
ROWS: Final = 100_000  # an answer with more is not kept


class ResultCache:
    """See the module's text. Any thread."""

    def __init__(self) -> None:
        self._kept = Cache(KEPT)
        self.hits = 0

    def key(self, engine: Any, query: Query, text: str, values: Sequence[Any], named: Mapping[str, Any]) -> Hashable:  # noqa: ANN401 - an SQL
        """None if the query's answer may not be kept."""
        if not steady(query):
            return None
        versions = tuple(engine.source(name).version() for name in query.tables)
        given = tuple((type(value), value) for value in values)
        root = engine.catalog.root
        rules = msgspec.msgpack.encode((root.views, root.access))
        given_names = tuple((name, type(value), value) for name, value in named.items())
        key = text, given, given_names, engine.user, versions, rules
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def get(self, key: Hashable) -> Result | None:
        found: Result | None = self._kept.get(key)
        self.hits += found is not None
        return found

    def put(self, key: Hashable, result: Result) -> None:
        if len(result) <= ROWS:
            self._kept.put(key, result)


def steady(query: Query) -> bool:
    """Whether the same tables give the same answer, whenever it is asked and whoever asks."""
    return all(_steady(expression) for expression in _expressions(query.plan))


def _steady(expression: Expression) -> bool:
    return is_pure(expression) and not any(
        isinstance(one, Bound) and str(one.name).startswith("$") for one in walk(expression)
    )


def _expressions(plan: Plan) -> Iterator[Expression]:
    """Those of a plan and of all plans below it, in subqueries too."""
    for expression in expressions(plan):
        yield expression
        for one in walk(expression):
            if isinstance(one, Subquery):
                yield from _expressions(one.plan)
    for below in inputs(plan):
        yield from _expressions(below)
