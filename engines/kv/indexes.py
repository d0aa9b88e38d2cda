"""Secondary indexes: the items of a table once more, in the order of other attributes.

    i/ID    index partition key | index sort key | stored key (keyrange.py) -> the item, as far as the index holds it

An item that lacks one of the index's key attributes is not in it (a sparse index). An entry is what the projection
says: all of the item, the keys alone, or the keys and some attributes; with the item's expiry in its head, so that it
vanishes with the item.

Indexes are not in the log: they follow from the items. Whatever puts an item into the tree (a write, a batch, a sweep,
a replay) puts its entries there too, in the same transaction, so table and index never differ, whatever crashes. An
entry that would be what it was is not written again.

An index that is added to a table with items is filled a page of items at a time, under the lock for each page, while
others write: what they write is entered by them. Until all is done it is not ready, and cannot be queried. Should the
process end meanwhile, the filling begins anew at the next open.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from engines._native.keys import KeyCodec
from engines._native.kvitem import ItemCodec, item_expires, item_size
from engines.errors import Conflict, Invalid, NotFound, listed, nearest
from engines.kv.catalog import Index
from engines.kv.keyrange import INDEX_PARTITION, index_key, with_stored_key
from engines.kv.page import Item
from engines.kv.values import KeyPart, check_table_name, key_schema
from engines.storage.tree import Keyspace, Tree

if TYPE_CHECKING:
    from engines.kv.table import Table

LOCAL_INDEXES, GLOBAL_INDEXES = 5, 20  # the service's limits for one table
PROJECTED_NAMES = 100


def index_of(
    number: int,
    name: str,
    key: str | Sequence[str],
    projection: object,
    *,
    local: bool,
    table_key: tuple[KeyPart, ...],
) -> Index:
    """The definition of an index as the user describes it. Invalid for what makes no sense."""
    check_table_name(name)
    parts = key_schema(key)
    if local and (len(table_key) < 2 or len(parts) < 2 or parts[0] != table_key[0]):
        raise Invalid(
            f"a local index has the table's partition key, {table_key[0].name}:{table_key[0].type}, and another sort "
            f"key (and the table has a sort key itself), got {', '.join(f'{part.name}:{part.type}' for part in parts)}"
        )
    return Index(number, name, parts, _projection(projection), local)


def _projection(given: object) -> Any:  # noqa: ANN401 - as catalog.Index has it
    if given in ("ALL", "KEYS_ONLY"):
        return given
    if isinstance(given, (list, tuple, set, frozenset)) and given and all(isinstance(x, str) and x for x in given):
        if len(given) > PROJECTED_NAMES:
            raise Invalid(f"an index includes at most {PROJECTED_NAMES} attributes, got {len(given)}: use ALL")
        return tuple(dict.fromkeys(sorted(given) if isinstance(given, (set, frozenset)) else given))
    raise Invalid(f'projection is "ALL", "KEYS_ONLY" or a tuple of attribute names to include, got {given!r:.80}')


def check_indexes(indexes: Sequence[Index], table_key: tuple[KeyPart, ...]) -> None:
    """Invalid for two of one name, two types of one attribute, or more than a table may have."""
    types: dict[str, str] = {}
    for part in (*table_key, *(part for index in indexes for part in index.key)):
        if types.setdefault(part.name, part.type) != part.type:
            raise Invalid(
                f"the attribute {part.name} is of type {types[part.name]} in one key of the table and {part.type} in "
                "another: no item would fit both"
            )
    names = [index.name for index in indexes]
    if len(set(names)) < len(names):
        raise Invalid(f"each index of a table has a name of its own, got {', '.join(names)}")
    local = sum(index.local for index in indexes)
    if local > LOCAL_INDEXES or len(indexes) - local > GLOBAL_INDEXES:
        raise Invalid(
            f"a table has at most {LOCAL_INDEXES} local and {GLOBAL_INDEXES} other indexes, "
            f"got {local} and {len(indexes) - local}"
        )


class IndexEntries:
    """The entries of one index in the tree. Hold the tree's lock for whatever touches them."""

    def __init__(self, definition: Index, table_names: tuple[str, ...], tree: Tree, codec: ItemCodec) -> None:
        self.definition = definition
        self.keys = KeyCodec(definition.key_types, ended=True)
        self.entries: Keyspace = tree.keyspace(f"i/{definition.id}")
        self.key_names = definition.key_names
        self.last_key_names = tuple(dict.fromkeys((*self.key_names, *table_names)))
        self._codec = codec
        self.looks_at = frozenset(self.key_names)  # the attributes that an entry is made of, beside the image
        projection = definition.projection
        self.included: frozenset[str] | None = None  # None: all
        if projection != "ALL":
            self.included = frozenset((*self.last_key_names, *(() if projection == "KEYS_ONLY" else projection)))
            self.looks_at = self.included

    def check(self, item: Item) -> None:
        """Invalid if a key attribute of the index is there, but can not be one."""
        for number, name in enumerate(self.key_names):
            if name in item:
                try:
                    self.keys.encode_one(number, item[name])
                except ValueError as error:
                    raise Invalid(f"the attribute {name!r} in the index {self.definition.name}: {error}") from None

    def place(self, item: Item, stored_key: bytes) -> bytes | None:
        """Where the item stands in the index; None where it does not belong there.

        A key attribute of the wrong type keeps an item out: it is older than the index, else check() had refused it.
        """
        try:
            start = self.keys.encode_if_present(item, self.key_names)
        except ValueError:
            return None
        if start is None:
            return None
        if len(start) > INDEX_PARTITION:
            return index_key(self.keys, tuple(item[name] for name in self.key_names), stored_key)
        return with_stored_key(start, stored_key)

    def content(self, item: Item, image: bytes) -> bytes:
        """What the index holds of an item."""
        if self.included is None:
            return image
        kept = {name: value for name, value in item.items() if name in self.included}
        return self._codec.encode(kept, item_expires(image))

    def entry(self, item: Item | None, image: bytes | None, stored_key: bytes) -> tuple[bytes | None, bytes]:
        """Place and content; (None, b"") where there is no entry."""
        if item is None or image is None:
            return None, b""
        place = self.place(item, stored_key)
        return place, b"" if place is None else self.content(item, image)

    def change(
        self, stored_key: bytes, old: tuple[Item | None, bytes | None], new: tuple[Item | None, bytes | None]
    ) -> None:
        """Follow a change of an item: (item, image) before and after, (None, None) for none."""
        old_place, old_content = self.entry(*old, stored_key)
        place, content = self.entry(*new, stored_key)
        if old_place is not None and old_place != place:
            self.entries.delete(old_place)
        if place is not None and (place != old_place or content != old_content or not self.definition.ready):
            self.entries.put(place, content)

    def written(
        self, stored_key: bytes, old: tuple[Item | None, bytes | None], new: tuple[Item | None, bytes | None]
    ) -> list[int]:
        """The sizes of the entries that this change writes, for write units."""
        old_place, old_content = self.entry(*old, stored_key)
        place, content = self.entry(*new, stored_key)
        if old_place == place:
            return [] if place is None or old_content == content else [max(item_size(old_content), item_size(content))]
        return [item_size(found) for at, found in ((old_place, old_content), (place, content)) if at is not None]


def no_index(table: str, name: str, known: Iterable[str]) -> NotFound:
    """What to raise where a table has no index of this name."""
    names = list(known)
    has = f"its indexes are {listed(names)}" if names else "it has none, create_index() makes one"
    return NotFound(f"table {table} has no index {name!r}{nearest(name, names)}; {has}")


def find(table: "Table", name: str) -> IndexEntries:
    """The index of this name, ready to be read. NotFound, Conflict while it is being filled."""
    entries = table.records.index(name)
    if not entries.definition.ready:
        raise Conflict(
            f"the index {name} of table {table.name} is still being filled: try again in a moment "
            "(if that was interrupted, create_index() with the same arguments goes on)"
        )
    return entries
