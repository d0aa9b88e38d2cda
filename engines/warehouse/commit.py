"""A transaction: changes of a root in memory, blobs that no page names yet, and one moment at which all of it is true.

    begin     the present root                                    the writer's lock is held from here on
    change    the catalogue: another Root. Rows: segments and masks are put, pages change in memory
    commit    pages and sketches that changed are put, then the root, then HEAD moves (storage.py)
    rollback  all is forgotten; blobs that were put are for `collect`

Readers see the root before or the root after. The transaction itself sees what it has done: table() gives a source over
its own pages. One thread at a time uses it.

A table with more than 64 short row groups (under 8,192 rows) has them merged by the next append: single INSERTs would
else make as many groups as rows.
"""

import itertools
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from engines.errors import Closed
from engines.sql.column import Batch, Bytes
from engines.warehouse import delete, statistics, vacuum
from engines.warehouse.catalog import ColumnDefinition, ExternalTable, Root, Style, TableDefinition, TableEntry, View
from engines.warehouse.pages import Group, Page, paged, replaced
from engines.warehouse.scan import State, Table
from engines.warehouse.write import Writer

if TYPE_CHECKING:
    from engines.warehouse import storage

MANY_SHORT: Final = 64  # short groups that are not merged yet


@dataclass(slots=True)
class Working:
    """A table's rows inside a transaction. sketches: None = as they were."""

    pages: tuple[Page, ...]
    sketches: Mapping[int, Bytes] | None = None
    table: Table | None = None  # over these pages, once somebody asks


@dataclass(frozen=True, slots=True)
class Mark:
    """A transaction as it was before a statement."""

    root: Root
    working: dict[int, Working]
    bytes: int


class Transaction:
    """See the module's text. Made by Storage.begin()."""

    def __init__(self, storage: "storage.Storage", view: "storage.View", release: Callable[[], None]) -> None:
        self.root: Root = view.root
        self._storage = storage
        self._view = view
        self._working: dict[int, Working] = {}
        self._open = True
        self._bytes = 0
        self._release = weakref.finalize(self, release)  # who forgets a transaction does not lock out the others

    # -- reading

    def tables(self) -> list[str]:
        return sorted(self.root.tables)

    def table(self, name: str) -> Table:
        """A table with what this transaction did to it."""
        self._refuse_ended()
        entry = self.root.table(name)
        working = self._working.get(entry.definition.id)
        if working is None:
            if self._view.root.tables.get(name) is entry:
                return self._view.table(name)
            state = self._storage.state(entry)
            return Table(name, state, self._storage.cache, self.root.slices, self._view)
        if working.table is None or working.table.name != name or working.table.state.definition != entry.definition:
            sketches = working.sketches
            state = State(
                entry.definition,
                working.pages,
                object(),
                lambda: self._storage.sketches(entry.sketches) if sketches is None else sketches,
            )
            working.table = Table(name, state, self._storage.cache, self.root.slices, self._view)
        return working.table

    # -- the catalogue

    def create_table(
        self,
        name: str,
        columns: Sequence[ColumnDefinition],
        *,
        style: Style = "auto",
        key: str | None = None,
        sort: Sequence[str] = (),
        interleaved: bool = False,
    ) -> None:
        """AlreadyExists; Invalid for what no table can be. Numbers of columns are given here."""
        time = self._storage.clock.now()
        root = self.root.create_table(
            name, columns, style=style, key=key, sort=sort, interleaved=interleaved, time=time
        )
        self._become(root)

    def drop_table(self, name: str) -> None:
        self._become(self.root.drop_table(name))

    def rename_table(self, name: str, to: str) -> None:
        self._become(self.root.rename_table(name, to))

    def add_column(self, name: str, column: ColumnDefinition) -> None:
        """Rows that are there have column.missing in it."""
        self._become(self.root.add_column(name, column))

    def drop_column(self, name: str, column: str) -> None:
        self._become(self.root.drop_column(name, column))

    def rename_column(self, name: str, column: str, to: str) -> None:
        self._become(self.root.rename_column(name, column, to))

    def put_view(self, name: str, view: View, *, replace: bool = False) -> None:
        self._become(self.root.put_view(name, view, replace=replace))

    def drop_view(self, name: str) -> None:
        self._become(self.root.drop_view(name))

    def put_external(self, name: str, table: ExternalTable, *, replace: bool = False) -> None:
        self._become(self.root.put_external(name, table, replace=replace))

    def drop_external(self, name: str) -> None:
        self._become(self.root.drop_external(name))

    def put_entry(self, name: str, entry: TableEntry) -> None:
        """A table whose pages are there already, under a new number: one of a snapshot."""
        self.root.refuse_taken(name)
        definition = msgspec.structs.replace(entry.definition, id=self.root.next_table)
        root = self.root.with_table(name, msgspec.structs.replace(entry, definition=definition))
        self._become(msgspec.structs.replace(root, next_table=self.root.next_table + 1))

    def change(self, change: Callable[[Root], Root]) -> None:
        """Another catalogue, made of the present one."""
        self._become(change(self.root))

    def _become(self, root: Root) -> None:
        self._refuse_ended()
        self.root = root

    # -- rows

    def append(self, name: str, batches: Iterable[Batch]) -> int:
        """Add rows: batches keyed by column name; a column that is missing is NULL, or IDENTITY. How many they were.

        Invalid, and nothing is added, where a value does not belong into its column.
        """
        self._refuse_ended()
        entry = self.root.table(name)
        working = self._work(entry)
        groups = [group for page in working.pages for group in page.groups]
        short = [place for place, group in enumerate(groups) if group.short]
        writer = self.writer(entry, turn=len(groups))
        try:
            for batch in batches:
                writer.append(batch)
            added = writer.finish()
        finally:
            writer.close()
        if not writer.rows:
            return 0
        self._bytes += sum(group.bytes for group in added)
        pages = paged(working.pages, added)
        sketches = self._sketches(entry, working)
        if writer.sketches:
            sketches = statistics.merged(sketches, writer.sketches)
        if any(column.identity is not None for column in entry.definition.columns):
            entry = msgspec.structs.replace(entry, identities=entry.identities + writer.given_out)
            self.root = self.root.with_table(name, entry)
        self._set(entry, pages, sketches if writer.sketches else working.sketches)
        if len(short) >= MANY_SHORT:
            self.rewrite(name, short)
        return writer.rows

    def writer(self, entry: TableEntry, **options: Any) -> Writer:  # noqa: ANN401 - Writer's
        """What makes row groups for a table."""
        storage = self._storage
        return Writer(
            entry.definition,
            self.root.slices,
            storage.stored.put_many,
            threads=storage.threads,
            identities=entry.identities,
            **options,
        )

    def delete(self, name: str, rows: npt.ArrayLike) -> int:
        """Delete rows by their numbers, as "$row" of the table gave them since it changed last. How many went."""
        self._refuse_ended()
        entry = self.root.table(name)
        working = self._work(entry)
        state = self.table(name).state
        numbers = np.unique(np.asarray(rows, np.int64))
        changes = delete.deleted(state.groups, numbers, self._storage.cache, self._storage.stored.put_many)
        gone = sum(group.deleted - state.groups[place].deleted for place, group in changes.items())
        if gone:
            self._set(entry, replaced(working.pages, dict(changes)), working.sketches)
        return gone

    def replace(self, name: str, rows: npt.ArrayLike, batches: Iterable[Batch]) -> int:
        """UPDATE: the rows with these numbers go, those of the batches come. How many went."""
        gone = self.delete(name, rows)
        self.append(name, batches)
        return gone

    def truncate(self, name: str) -> None:
        """All rows go."""
        self._refuse_ended()
        entry = self.root.table(name)
        self._set(entry, (), {})

    def vacuum(self, name: str, mode: "vacuum.Mode" = "full", *, threshold: float = vacuum.THRESHOLD) -> int:
        """Write row groups anew that are worth it (vacuum.py); how many there were of them."""
        self._refuse_ended()
        state = self.table(name).state
        places = vacuum.worth_it(state, mode, threshold)
        for some in places:
            self.rewrite(name, some, keep_places=True)
        self._drop_emptied(name)
        return sum(map(len, places))

    def rewrite(self, name: str, places: Sequence[int], *, keep_places: bool = False) -> None:
        """Read these groups and write their rows as new ones, sorted, of full length, by slice."""
        entry = self.root.table(name)
        working = self._work(entry)
        source = self.table(name)
        added: list[Group] = []
        for slice, some in itertools.groupby(
            sorted(places, key=lambda place: source.state.groups[place].slice),
            key=lambda place: source.state.groups[place].slice,
        ):
            writer = self.writer(entry, slice=slice, sorted_rows=vacuum.MERGED_ROWS)
            try:
                for batch in vacuum.rows_of(source, list(some)):
                    writer.append(batch)
                added += writer.finish()
            finally:
                writer.close()
        changes: dict[int, Group | None] = {
            place: vacuum.emptied(source.state.groups[place]) if keep_places else None for place in places
        }
        self._set(entry, paged(replaced(working.pages, changes), added), working.sketches)

    def _drop_emptied(self, name: str) -> None:
        """Groups without a row that is left go."""
        entry = self.root.table(name)
        working = self._work(entry)
        groups = [group for page in working.pages for group in page.groups]
        gone: dict[int, Group | None] = {place: None for place, group in enumerate(groups) if not group.live}
        if gone:
            self._set(entry, replaced(working.pages, gone), working.sketches)

    def redefine(self, name: str, change: Callable[[TableDefinition], TableDefinition]) -> None:
        """Another definition, and every row written anew by it: other keys, encodings, types."""
        source = self.table(name)
        before = self.root.table(name)
        names = [column.name for column in before.definition.columns]
        self._become(self.root.change(name, change))
        self.truncate(name)
        self.append(name, source.rows(names))
        entry = msgspec.structs.replace(self.root.table(name), identities=before.identities)
        self.root = self.root.with_table(name, entry)

    def analyze(self, name: str) -> None:
        """Make the sketches of distinct values anew, from the rows that are there."""
        self._refuse_ended()
        entry = self.root.table(name)
        working = self._work(entry)
        self._set(entry, working.pages, vacuum.sketches_of(self.table(name)))

    def _work(self, entry: TableEntry) -> Working:
        """The table's pages as they are in this transaction; not kept before they change."""
        found = self._working.get(entry.definition.id)
        return found or Working(tuple(map(self._storage.page, entry.pages)))

    def _set(self, entry: TableEntry, pages: tuple[Page, ...], sketches: Mapping[int, Bytes] | None) -> None:
        self._working[entry.definition.id] = Working(pages, sketches)

    def _sketches(self, entry: TableEntry, working: Working) -> Mapping[int, Bytes]:
        return self._storage.sketches(entry.sketches) if working.sketches is None else working.sketches

    # -- the end

    def mark(self) -> "Mark":
        """Where back_to() can return: what a statement that fails has done is undone, and the transaction goes on."""
        return Mark(self.root, dict(self._working), self._bytes)

    def back_to(self, mark: "Mark") -> None:
        if self._open:
            self.root, self._working, self._bytes = mark.root, dict(mark.working), mark.bytes

    def commit(self) -> int:
        """Make all of it true at once; the commit's number. Nothing is written where nothing was changed."""
        self._refuse_ended()
        if not self._working and self.root is self._view.root:
            self.rollback()
            return self.root.sequence
        try:
            for name in list(self.root.tables):
                if self.root.tables[name].definition.id in self._working:
                    self._drop_emptied(name)
            tables = {name: self._entry(entry) for name, entry in self.root.tables.items()}
            root = msgspec.structs.replace(
                self.root,
                tables=tables,
                sequence=self.root.sequence + 1,
                time=self._storage.clock.now(),
                written=self.root.written + self._bytes,
            )
            self._storage.publish(root)
        except BaseException:
            self.rollback()
            raise
        self._end()
        return root.sequence

    def _entry(self, entry: TableEntry) -> TableEntry:
        """A table's entry with its pages, those that changed put."""
        working = self._working.get(entry.definition.id)
        if working is None:
            return entry
        new = [page for page in working.pages if page.reference is None]
        names = iter(self._storage.stored.put_many([[page.encode()] for page in new]))
        pages = [page if page.reference is not None else page.written(next(names)) for page in working.pages]
        for page in pages:
            self._storage.keep_page(page)
        sketches = entry.sketches
        if working.sketches is not None:
            content = [[statistics.encode(working.sketches)]] if working.sketches else []
            sketches = next(iter(self._storage.stored.put_many(content)), None)
        references = tuple(page.reference for page in pages if page.reference is not None)
        return msgspec.structs.replace(entry, pages=references, sketches=sketches)

    def rollback(self) -> None:
        """Forget it. Nothing where it has ended."""
        if self._open:
            if self._storage.durability == "commit":
                self._storage.stored.forget()
            self._end()

    def _end(self) -> None:
        self._open = False
        self._working.clear()
        self._release()

    def _refuse_ended(self) -> None:
        if not self._open:
            raise Closed("this transaction has ended: begin another one")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None and self._open:
            self.commit()
        else:
            self.rollback()
