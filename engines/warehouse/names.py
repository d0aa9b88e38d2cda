"""What a name means to a statement: the catalogue that the SQL floor asks.

    temporary table of the session ──> table or view of the warehouse ──> external table ──> attached ──> system table

Names are folded to lower case; `public.` may be left away. All tables of a statement are of one moment: that of the
session's transaction if it has one, else the root that was the present when the statement began.

For a session with a user a table is a view that shows what the user may see (access.py). Names inside a view are looked
up with the rights of its owner, who does not see the session's temporary tables: else somebody could put one of them in
the place of a table that a policy reads. So that a plan can tell the two apart, it knows temporary tables as
"pg_temp.name".
"""

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from engines.errors import Denied, NotFound, nearest
from engines.sql.binder import View
from engines.sql.source import TableSource
from engines.warehouse import system
from engines.warehouse.catalog import Root
from engines.warehouse.scan import Table

if TYPE_CHECKING:
    from engines.warehouse.session import Session


TEMPORARY: Final = "pg_temp."


class Attached:
    """A source of another engine, under the name that it was attached by."""

    def __init__(self, name: str, source: TableSource) -> None:
        self.name = name
        self._source = source

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the source has
        return getattr(self._source, name)


class Names:
    """The names of one session. owns: with the rights of the owner, and without temporary tables."""

    def __init__(self, session: "Session", *, owns: bool = False) -> None:
        self.session = session
        self.target: str | None = None  # the table whose rows are numbered: of an UPDATE or DELETE
        self.owner = self if owns else Names(session, owns=True)

    @property
    def root(self) -> Root:
        return self.session.root

    def find(self, parts: tuple[str, ...]) -> TableSource | View | None:
        """A table, or a view; None if there is nothing of this name."""
        name = folded(parts)
        if self.owner is self:
            return self._stored(name)
        temporary = self._temporary(name.removeprefix(TEMPORARY))
        if temporary is not None:
            return temporary
        if self.session.user:
            return self._seen_by_user(name)
        found = self._stored(name)
        if isinstance(found, View) and self.session.temporary_tables():
            found.catalog = self.owner
        return found

    def source(self, name: str) -> TableSource:
        """The table that a plan has under this name. NotFound if it is gone."""
        temporary = name.startswith(TEMPORARY)
        found = self._temporary(name.removeprefix(TEMPORARY)) if temporary else self._stored(name)
        if found is None or isinstance(found, View):
            raise NotFound(f"there is no table {name!r}{nearest(name, self.names())}")
        return found

    def meant(self, name: str) -> TableSource | View:
        """What a statement means by a name. NotFound; Denied."""
        found = self.find((name,))
        if found is None:
            raise NotFound(f"there is no table {name!r}{nearest(name, self.names())}")
        return found

    def names(self) -> Iterator[str]:
        """All that the user may read."""
        root = self.root
        if self.owner is not self:
            yield from self.session.temporary_tables()
        for name in (*root.tables, *root.views, *root.external, *self.session.warehouse.attached):
            if self.readable(name):
                yield name
        yield from system.TABLES

    def readable(self, name: str) -> bool:
        """Whether the user may read anything of a table."""
        user = self.session.user
        return not user or self.owner is self or self.root.access.may_read(name, user)

    @property
    def shadowed(self) -> bool:
        """Whether a temporary table hides something, so that one name has two meanings in one statement."""
        root = self.root
        return any(
            root.kind_of(name) is not None or name in self.session.warehouse.attached
            for name in self.session.temporary_tables()
        )

    def _temporary(self, name: str) -> TableSource | None:
        found = self.session.temporary_table(name)
        if found is None:
            return None
        table = copy.copy(found)
        table.name = TEMPORARY + name
        return table.numbered() if name == self.target else table

    def _stored(self, name: str) -> TableSource | View | None:
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
        user = self.session.user
        found = self._stored(name)
        if found is None:
            return None
        if self.root.kind_of(name) is None and name not in self.session.warehouse.attached:
            if name.removeprefix("pg_catalog.") in system.OWNERS:
                raise Denied(f"{user} may not read {name!r}: it tells of every table")
            return found
        if isinstance(found, View):
            columns = self.session.columns_of(name, self.owner)
        else:
            columns = [field.name for field in found.schema() if not field.name.startswith("$")]
        text = self.root.access.view(name, user, columns, fenced=isinstance(found, View))
        return View(text, catalog=self.owner)


def folded(parts: tuple[str, ...]) -> str:
    """A name as the catalogue has it."""
    name = ".".join(parts).lower()
    return name.removeprefix("public.")
