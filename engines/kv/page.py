"""The answer of a query or scan: a page of items, and where the next one starts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engines import display
from engines.errors import Invalid
from engines.kv.keyrange import Bounds
from engines.rows import Column

if TYPE_CHECKING:
    from engines._native.kvscan import Stretch
    from engines.kv.indexes import IndexEntries
    from engines.kv.projections import Projection
    from engines.kv.throttle import Consumed

Item = dict[str, Any]
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Request:
    """A query or scan, understood: where to read, what passes, what is shown of it, how many to examine, ..."""

    stretch: Bounds
    index: "IndexEntries | None" = None
    holds: "Callable[[Item], bool] | None" = None
    filter_names: frozenset[str] = frozenset()  # the attributes that holds looks at
    projection: "Projection | None" = None
    fetches: bool = False  # a local index does not hold all that is asked for: the table is read too
    limit: int | None = None
    reverse: bool = False
    count_only: bool = False
    consistent: bool = False
    segment: int = 0
    segments: int = 1
    consumed: "Consumed | None" = None


class Page(display.Table):
    """Items in the order they were read. Iterating gives the items themselves, as dicts.

    count: items found. scanned: items examined, before the filter; size: their bytes by DynamoDB's rules; capacity: the
    read units they cost. last_key: pass it as start= to read on; None at the end; key_names are the attributes it is
    made of. A page ends at its limit, or at 1 MB of items examined: next() is the one after it, all() gives the items
    of all. As a table (in a notebook, or through to_pandas) it has one column for every attribute that occurs.
    """

    def __init__(self, request: Request, key_names: Key, read: Callable[[Request, Key], "Page"]) -> None:
        super().__init__({})
        self.request = request
        self.key_names = key_names
        self.items: list[Item] = []
        self.count = self.scanned = self.size = 0
        self.expires = 0  # the second in which the first of the items examined expires, 0 for none
        self.capacity = 0.0
        self.fetched: list[int] = []  # the sizes of items that a local index had to look up in the table
        self.last: Item | None = None
        self.last_key: Key | None = None
        self.more = True
        self._read = read
        self._made: dict[str, Column] | None = None

    def add(self, found: "Stretch") -> None:
        """Take what was read under one hold of the lock."""
        self.scanned += found.scanned
        self.size += found.size
        self.count += found.count
        self.items += found.items
        self.expires = min(self.expires or found.expires, found.expires or self.expires)
        self.last = self.last if found.last_item is None else found.last_item
        self.more = found.more

    def end(self) -> None:
        """Nothing more is read for this page."""
        if self.more and self.last is not None:
            self.last_key = tuple(self.last[name] for name in self.key_names)

    @property
    def columns(self) -> dict[str, Column]:
        """One column for each attribute, in the order they are met; None where an item has no such attribute."""
        if self._made is None:
            names = list(dict.fromkeys(name for item in self.items for name in item))
            self._made = {name: [item.get(name) for item in self.items] for name in names}
            self.stats = {"items examined": self.scanned, "read units": self.capacity}
        return self._made

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def _summary(self, shown: int) -> str:
        """Also why the page ends where it does, and how to go on."""
        counting = self.request.count_only
        said = f"counted {self.count:,}, as count=True asks" if counting else super()._summary(shown)
        if self.last_key is None:
            return said
        limit = self.request.limit
        end = f"limit={limit:,}" if self.scanned == limit else "1 MB of items examined"
        onwards = ".next() counts on" if counting else ".next() is the one after it, .all() gives the items of all"
        return f"{said}; the page ends at {end}, {onwards}"

    def next(self) -> "Page | None":
        """The page after this one, None at the end."""
        return None if self.last_key is None else self._read(self.request, self.last_key)

    def all(self) -> list[Item]:
        """The items of this page and all that follow."""
        items = list(self.items)
        page = self.next()
        while page is not None:
            items += page.items
            page = page.next()
        return items


def check_limit(limit: int | None) -> int | None:
    """The limit itself. Invalid unless it is None or a whole number of at least 1."""
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise Invalid(f"limit must be a whole number of at least 1, got {limit!r} (leave it out for a whole page)")
    return None if limit is None else min(limit, 1 << 60)
