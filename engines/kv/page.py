"""The answer of a query or scan: a page of items, and where the next one starts."""

from collections.abc import Callable, Iterator
from typing import Any

from engines import display
from engines.errors import Invalid
from engines.rows import Column

Item = dict[str, Any]
Key = tuple[Any, ...]


class Page(display.Table):
    """Items in the order they were read. Iterating gives the items themselves, as dicts.

    count: items returned. scanned: items examined, before the filter. last_key: pass it as start= to read on; None at
    the end. As a table (in a notebook, or through to_pandas) it has one column for every attribute that occurs.
    """

    def __init__(
        self,
        items: list[Item],
        scanned: int,
        last_key: Key | None,
        read: Callable[[Key], "Page"],
        *,
        count: int | None = None,
    ) -> None:
        super().__init__({}, stats={"items examined": scanned})
        self.items = items
        self.count = len(items) if count is None else count
        self.scanned = scanned
        self.last_key = last_key
        self._read = read
        self._made: dict[str, Column] | None = None

    @property
    def columns(self) -> dict[str, Column]:
        """One column for each attribute, in the order they are met; None where an item has no such attribute."""
        if self._made is None:
            names = list(dict.fromkeys(name for item in self.items for name in item))
            self._made = {name: [item.get(name) for item in self.items] for name in names}
        return self._made

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def next(self) -> "Page | None":
        """The page after this one, None at the end."""
        return None if self.last_key is None else self._read(self.last_key)

    def all(self) -> list[Item]:
        """The items of this page and all that follow."""
        items = list(self.items)
        page = self.next()
        while page is not None:
            items += page.items
            page = page.next()
        return items


def check_limit(limit: int | None) -> int | None:
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise Invalid(f"limit must be a whole number of at least 1, got {limit!r} (leave it out for a whole page)")
    return limit
