"""The catalogue: what tables, views and external tables there are, and which pages hold a table's rows.

    root    a blob, MessagePack of Root: all of the catalogue, and for each table the list of its pages

HEAD and every snapshot name a root; a root never changes. Its functions make a new one of an old one and touch no disk,
so a transaction is a variable that holds a Root, and rolling back is forgetting it.

Columns have numbers that are never used twice: blocks name them, so renaming a column changes no block, dropping one
leaves its bytes to the next VACUUM, and adding one is a value that older row groups are taken to hold (`missing`).

Identifiers are taken as they come: who reads SQL folds their case and puts schemas before them ("sales.orders").
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, TypeVar

import msgspec

from engines.errors import AlreadyExists, Corrupted, Invalid, NotFound, listed, nearest
from engines.sql.source import Field, Schema
from engines.sql.types import NESTED, Type
from engines.warehouse.access import Access
from engines.warehouse.blocks import NAMES

Style = Literal["auto", "even", "key", "all"]
STYLES: Final = ("auto", "even", "key", "all")
SMALL: Final = 65_536  # rows up to which DISTSTYLE AUTO means ALL
MOST_COLUMNS: Final = 1600
MOST_INTERLEAVED: Final = 8
Value = Any  # an engine value: int, float, bytes or None; whole numbers beyond 64 bits as text
_Item = TypeVar("_Item")


class ColumnDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A column. default: SQL text; identity: (first, step); encode: what ENCODE says; missing: see above."""

    name: str
    type: Type
    nullable: bool = True
    default: str | None = None
    identity: tuple[int, int] | None = None
    encode: str = "auto"
    missing: Value = None
    id: int = 0


class TableDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A table's shape. key, sort: numbers of columns; id: never used twice. interleaved: see zorder.py."""

    columns: tuple[ColumnDefinition, ...]
    style: Style = "auto"
    key: int | None = None
    sort: tuple[int, ...] = ()
    interleaved: bool = False
    id: int = 0
    next_column: int = 0
    created: int = 0

    def schema(self) -> Schema:
        return tuple(Field(column.name, column.type, column.nullable) for column in self.columns)

    def column(self, name: str) -> ColumnDefinition:
        """NotFound offers the nearest name."""
        for column in self.columns:
            if column.name == name:
                return column
        names = [column.name for column in self.columns]
        raise NotFound(f"there is no column {name!r}{nearest(name, names)}; there are {listed(names)}")

    def named(self, ids: Iterable[int]) -> tuple[str, ...]:
        names = {column.id: column.name for column in self.columns}
        return tuple(names[id] for id in ids)

    def keys_by_name(self) -> tuple[Style, str | None, tuple[str, ...]]:
        """Style, DISTKEY and SORTKEY, by the names of columns."""
        return self.style, None if self.key is None else self.named([self.key])[0], self.named(self.sort)


class PageReference(msgspec.Struct, frozen=True, array_like=True):
    """A page of row groups: its blob, and sums over its groups."""

    digest: str
    groups: int
    rows: int  # that are not deleted
    deleted: int
    bytes: int  # of encoded blocks


class TableEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A table: its shape, its pages, its sketches (statistics.py), how many IDENTITY values were given out."""

    definition: TableDefinition
    pages: tuple[PageReference, ...] = ()
    sketches: str | None = None
    identities: int = 0


class View(msgspec.Struct, frozen=True, omit_defaults=True):
    """A view: its query's text, and names for its columns."""

    text: str
    columns: tuple[str, ...] = ()
    materialized: str | None = None  # the table that holds its rows


class ExternalTable(msgspec.Struct, frozen=True, omit_defaults=True):
    """Files that are read as a table. columns: None = as the files say; format: "" = by their suffix.

    partitioning: "hive" = by the names of the folders below; "listed" = the places alone, whatever they are called;
    "none" = folders mean nothing. partitions: columns whose values the folders or places say; None = as the names say.
    """

    location: str
    format: str
    partitioning: str = "hive"
    columns: tuple[tuple[str, Type], ...] | None = None
    options: dict[str, str] = {}
    partitions: tuple[tuple[str, Type], ...] | None = None
    places: tuple[tuple[str, tuple[str | None, ...]], ...] = ()  # of "listed": a location, values in partitions' order


class Root(msgspec.Struct, frozen=True):
    """Everything at one moment. sequence: the number of the commit; slices: fixed when the warehouse is made.

    written: bytes of blocks that were ever appended: what automated snapshots go by. schemas: what may stand before the
    dot of a name, beside public. access: who may read what.
    """

    slices: int
    sequence: int = 0
    time: int = 0
    tables: dict[str, TableEntry] = {}
    views: dict[str, View] = {}
    external: dict[str, ExternalTable] = {}
    next_table: int = 1
    written: int = 0
    schemas: tuple[str, ...] = ()
    access: Access = Access()
    kind: str = "warehouse root"

    def encode(self) -> bytes:
        return _encoder.encode(self)

    @classmethod
    def decode(cls, data: bytes, digest: str = "") -> "Root":
        """Corrupted, naming the blob, if it is no root."""
        try:
            root = msgspec.msgpack.decode(data, type=cls)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Corrupted(f"blob {digest} is no catalogue: {error}", file=digest, offset=0) from error
        if root.kind != "warehouse root" or root.slices < 1:
            raise Corrupted(f"blob {digest} is no catalogue", file=digest, offset=0)
        return root

    def table(self, name: str) -> TableEntry:
        """NotFound offers the nearest name; Invalid for a view."""
        if name not in self.tables:
            kind = self.kind_of(name)
            if kind is not None:
                raise Invalid(f"{name!r} is {'an' if kind[0] == 'e' else 'a'} {kind}, and a table is wanted")
            raise NotFound(f"there is no table {name!r}{nearest(name, [*self.tables, *self.views, *self.external])}")
        return self.tables[name]

    def kind_of(self, name: str) -> str | None:
        """table, view, external table, or None: what already has this name."""
        for kind, names in (("table", self.tables), ("view", self.views), ("external table", self.external)):
            if name in names:
                return kind
        return None

    def refuse_taken(self, name: str) -> None:
        kind = self.kind_of(name)
        if kind is not None:
            article = "an" if kind.startswith("e") else "a"
            raise AlreadyExists(f"there is {article} {kind} {name!r} already: drop it, or name another", name=name)

    # -- each of these gives a new root

    def with_table(self, name: str, entry: TableEntry) -> "Root":
        return msgspec.structs.replace(self, tables={**self.tables, name: entry})

    def create_table(
        self,
        name: str,
        columns: Sequence[ColumnDefinition],
        *,
        style: Style = "auto",
        key: str | None = None,
        sort: Sequence[str] = (),
        interleaved: bool = False,
        time: int = 0,
    ) -> "Root":
        """AlreadyExists; Invalid for what no table can be."""
        self.refuse_taken(name)
        made = define_table(columns, style=style, key=key, sort=sort, id=self.next_table, time=time)
        made = msgspec.structs.replace(made, interleaved=interleaved and len(sort) > 1)
        check(made)
        root = self.with_table(name, TableEntry(made))
        return msgspec.structs.replace(root, next_table=self.next_table + 1)

    def drop_table(self, name: str) -> "Root":
        self.table(name)
        return msgspec.structs.replace(self, tables=_without(self.tables, name), access=self.access.dropped(name))

    def rename_table(self, name: str, to: str) -> "Root":
        entry = self.table(name)
        if name == to:
            return self
        self.refuse_taken(to)
        return msgspec.structs.replace(
            self, tables={**_without(self.tables, name), to: entry}, access=self.access.renamed(name, to)
        )

    def change(self, name: str, change: Callable[[TableDefinition], TableDefinition]) -> "Root":
        """Another definition for a table, of which `check` must approve."""
        entry = self.table(name)
        made = change(entry.definition)
        check(made)
        return self.with_table(name, msgspec.structs.replace(entry, definition=made))

    def add_column(self, name: str, column: ColumnDefinition) -> "Root":
        """Rows that are there have column.missing in it. Invalid where that is NULL and the column is NOT NULL."""
        entry = self.table(name)
        if not column.nullable and column.missing is None and any(page.rows for page in entry.pages):
            raise Invalid(f"column {column.name!r} is NOT NULL, and {name!r} has rows: give a DEFAULT")

        def add(table: TableDefinition) -> TableDefinition:
            new = msgspec.structs.replace(column, id=table.next_column)
            return msgspec.structs.replace(table, columns=(*table.columns, new), next_column=table.next_column + 1)

        return self.change(name, add)

    def drop_column(self, name: str, column: str) -> "Root":
        """Invalid for the last column and for keys."""

        def drop(table: TableDefinition) -> TableDefinition:
            gone = table.column(column)
            if gone.id == table.key or gone.id in table.sort:
                raise Invalid(f"column {column!r} is a DISTKEY or SORTKEY of {name!r}: rows lie by it, it cannot go")
            return msgspec.structs.replace(table, columns=tuple(one for one in table.columns if one is not gone))

        root = self.change(name, drop)
        return msgspec.structs.replace(root, access=self.access.column_dropped(name, column))

    def rename_column(self, name: str, column: str, to: str) -> "Root":
        def rename(table: TableDefinition) -> TableDefinition:
            old = table.column(column)
            new = msgspec.structs.replace(old, name=to)
            return msgspec.structs.replace(table, columns=tuple(new if one is old else one for one in table.columns))

        root = self.change(name, rename)
        return msgspec.structs.replace(root, access=self.access.column_renamed(name, column, to))

    def put_view(self, name: str, view: View, *, replace: bool = False) -> "Root":
        if not (replace and name in self.views):
            self.refuse_taken(name)
        return msgspec.structs.replace(self, views={**self.views, name: view})

    def drop_view(self, name: str) -> "Root":
        if name not in self.views:
            raise NotFound(f"there is no view {name!r}{nearest(name, self.views)}")
        return msgspec.structs.replace(self, views=_without(self.views, name), access=self.access.dropped(name))

    def put_external(self, name: str, table: ExternalTable, *, replace: bool = False) -> "Root":
        if not (replace and name in self.external):
            self.refuse_taken(name)
        return msgspec.structs.replace(self, external={**self.external, name: table})

    def drop_external(self, name: str) -> "Root":
        if name not in self.external:
            raise NotFound(f"there is no external table {name!r}{nearest(name, self.external)}")
        return msgspec.structs.replace(self, external=_without(self.external, name), access=self.access.dropped(name))


_encoder = msgspec.msgpack.Encoder(order="sorted")


def _without(items: dict[str, _Item], name: str) -> dict[str, _Item]:
    return {other: item for other, item in items.items() if other != name}


def define_table(
    columns: Sequence[ColumnDefinition], *, style: Style, key: str | None, sort: Sequence[str], id: int, time: int
) -> TableDefinition:
    """A new table's definition, its columns numbered."""
    numbered = tuple(msgspec.structs.replace(column, id=number) for number, column in enumerate(columns))
    bare = TableDefinition(numbered, style, id=id, next_column=len(numbered), created=time)
    check(bare)
    if (style == "key") != (key is not None):
        raise Invalid("DISTSTYLE KEY needs a DISTKEY, and only that style has one")
    return msgspec.structs.replace(
        bare,
        key=None if key is None else bare.column(key).id,
        sort=tuple(bare.column(name).id for name in sort),
    )


def check(table: TableDefinition) -> None:
    """Invalid for what no table can be."""
    names = [column.name for column in table.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not 1 <= len(names) <= MOST_COLUMNS:
        raise Invalid(f"a table has 1 to {MOST_COLUMNS:,} columns, got {len(names):,}")
    if table.interleaved and len(table.sort) > MOST_INTERLEAVED:
        raise Invalid(f"an INTERLEAVED SORTKEY has at most {MOST_INTERLEAVED} columns, got {len(table.sort)}")
    if twice:
        raise AlreadyExists(f"a table has no two columns of one name, got {listed(twice)} more than once")
    if table.style not in STYLES:
        raise Invalid(f"DISTSTYLE is one of {', '.join(STYLES)}, got {table.style!r}")
    for column in table.columns:
        if not column.name:
            raise Invalid("a column needs a name")
        if column.type.kind in NESTED or column.type.kind in ("null", "interval"):
            raise Invalid(f"column {column.name!r}: a table cannot hold {column.type}")
        if column.encode not in NAMES:
            raise Invalid(f"column {column.name!r}: ENCODE is one of {', '.join(NAMES)}, got {column.encode!r}")
        if column.identity is not None and not column.type.integer:
            raise Invalid(f"column {column.name!r}: IDENTITY needs whole numbers, not {column.type}")


def stored(value: Any) -> Value:  # noqa: ANN401 - an engine value
    """As the catalogue and pages write it."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    kept: Value = value
    return kept


def loaded(value: Value) -> Any:  # noqa: ANN401 - an engine value
    """The inverse."""
    return int(value) if isinstance(value, str) else value
