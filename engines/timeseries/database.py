"""The tables of a database by name, as the SQL floor's catalogue wants them: "db"."table", db.table and table."""

from collections.abc import Callable, Iterable

from engines.sql.source import Schema
from engines.timeseries.scan import TimeSource
from engines.timeseries.selection import Readable


class Tables:
    """See the module's text. A source is kept as long as its table: plans that were made for it ask for it again."""

    def __init__(
        self, database: str, find: Callable[[str], Readable | None], names: Callable[[], Iterable[str]]
    ) -> None:
        self.database = database
        self._find = find
        self._names = names
        self._sources: dict[str, TimeSource] = {}

    def names(self) -> Iterable[str]:
        return list(self._names())

    def find(self, parts: tuple[str, ...]) -> TimeSource | None:
        if len(parts) > 1 and parts[0].lower() == self.database.lower():
            parts = parts[1:]
        name = ".".join(parts)
        table = self._find(name)
        if table is None:  # names of tables know case, but who writes one without quotes need not
            same = [one for one in self._names() if one.lower() == name.lower()]
            if len(same) != 1:
                return None
            name, table = same[0], self._find(same[0])
        return None if table is None else self.source(name, table)

    def source(self, name: str, table: Readable) -> TimeSource:
        """The table's source; the same object as long as it is the same table."""
        known = self._sources.get(name)
        if known is None or known.table is not table:
            known = self._sources[name] = TimeSource(table, name)
        return known

    def still(self, source: TimeSource, schema: Schema) -> bool:
        """Whether a plan that was made for these columns is good."""
        return self._find(source.name) is source.table and source.schema() is schema
