"""What a name means to a statement: the catalogue that the SQL floor asks.

    temporary table of the session ──> table or view of the warehouse ──> external table ──> attached ──> system table

Names are folded to lower case; `public.` may be left away. All tables of a statement are of one moment: that of the
session's transaction if it has one, else the root that was the present when the statement began.

For a session with a user a table is a view that shows what the user may see (access.py). Names inside a view are looked
up with the rights of its owner.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from engines.errors import NotFound, nearest
from engines.sql.binder import View
from engines.sql.source import TableSource
from engines.warehouse import system
from engines.warehouse.catalog import Root, TableEntry
from engines.warehouse.scan import Table

if TYPE_CHECKING:
    from engines.warehouse.session import Session


class Attached:
    """A source of another engine, under the name that it was attached by."""

    def __init__(self, name: str, source: TableSource) -> None:
        self.name = name
        self._source = source

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the source has
        return getattr(self._source, name)


class Names:
    """The names of one session. Between two calls of `refresh` what they mean stays the same."""

    def __init__(self, session: "Session") -> None:
        self.session = session
        self.target: str | None = None  # the table whose rows are numbered: of an UPDATE or DELETE
        self._owner: Names | None = None  # with the rights of the owner

    @property
    def root(self) -> Root:
        return self.session.root

    def find(self, parts: tuple[str, ...]) -> TableSource | View | None:
        """A table, or a view; None if there is nothing of this name."""
        name = folded(parts)
        if self.session.user and self._owner is not self:
            return self._seen_by_user(name)
        return self._find(name)

    def source(self, name: str) -> TableSource:
        """The table that a plan has under this name. NotFound if it is gone."""
        found = self._find(name)
        if found is None or isinstance(found, View):
            raise NotFound(f"there is no table {name!r}{nearest(name, self.names())}")
        return found

    def names(self) -> Iterator[str]:
        """All of them."""
        root = self.root
        yield from self.session.temporary_tables()
        yield from (*root.tables, *root.views, *root.external, *self.session.warehouse.attached, *system.TABLES)

    def _find(self, name: str) -> TableSource | View | None:
        temporary = self.session.temporary_table(name)
        if temporary is not None:
            return self._numbered(temporary)
        root = self.root
        if name in root.tables:
            return self._numbered(self.session.stored_table(name))
        if name in root.views:
            view = root.views[name]
            if view.materialized is not None:
                return self.session.stored_table(view.materialized)
            return View(view.text, view.columns)
        if name in root.external:
            return self.session.warehouse.external(name, root.external[name])
        attached = self.session.warehouse.attached.get(name)
        if attached is not None:
            return attached
        return system.source(name, self.session)

    def _numbered(self, table: Table) -> Table:
        return table.numbered() if table.name == self.target else table

    def _seen_by_user(self, name: str) -> TableSource | View | None:
        found = self._find(name)
        if found is None or name in system.TABLES or self.session.temporary_table(name) is not None:
            return found
        if self._owner is None:
            self._owner = Names(self.session)
            self._owner._owner = self._owner  # noqa: SLF001 - its own class: it has the rights itself
        if isinstance(found, View):
            columns = self.session.columns_of(name, self._owner)
        else:
            columns = [field.name for field in found.schema() if not field.name.startswith("$")]
        text = self.root.access.view(name, self.session.user, columns)
        return View(text, catalog=self._owner)


def folded(parts: tuple[str, ...]) -> str:
    """A name as the catalogue has it."""
    name = ".".join(parts).lower()
    return name.removeprefix("public.")


def entry_of(root: Root, name: str) -> TableEntry | None:
    """A table's entry, if there is one."""
    return root.tables.get(name)
