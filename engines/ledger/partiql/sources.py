"""Where FROM finds its rows: whatever has `rows` and `has`. A ledger's tables do, and plain values by name."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from engines.errors import Invalid, nearest
from engines.ledger.partiql.nodes import MISSING, Source, TableSource
from engines.ledger.partiql.plan import Known

Row: TypeAlias = tuple[str | None, Any]  # a document's id, or None, and the value


class Sources(Protocol):
    """Where FROM finds its rows."""

    def rows(self, source: Source, equal: Sequence[Known], bounds: tuple[Any, Any]) -> Iterable[Row]:
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

    def rows(self, source: Source, equal: Sequence[Known], bounds: tuple[Any, Any]) -> Iterable[Row]:  # noqa: ARG002 - the protocol's
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


def elements(value: Any) -> list[Any]:  # noqa: ANN401 - any value
    """What FROM iterates over: what is no list is one element, also NULL and MISSING."""
    return value if isinstance(value, list) else [value]
