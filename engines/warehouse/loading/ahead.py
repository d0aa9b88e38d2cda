"""One step ahead: the next item of an iterator is made in a thread while the last one is worked on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item], *, threads: int) -> Iterator[Item]:
    """The same items. Worth it where making one releases the GIL; with one thread it is the iterator itself."""
    if threads < 2:
        yield from items
        return
    end = object()
    with ThreadPoolExecutor(1, "load") as pool:
        waiting = pool.submit(next, items, end)
        while (item := waiting.result()) is not end:
            waiting = pool.submit(next, items, end)
            yield item  # type: ignore[misc] # not the end
