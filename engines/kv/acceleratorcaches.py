"""What an accelerator keeps: the item cache with its leases, the query cache, and the records that write through.

    item      whole key ──> image, or b""          until the first of: ttl, the second of the item's expiry
    page      the request as an item image ──> Kept    until the first of: query_ttl, the first expiry examined

    lease     a reader that missed has one; whoever reads or writes the key next takes it away: then it fills nothing
    writing   key ──> how many writes are under way, and whether any two of them have overlapped

A request is its own key: all arguments of the call as one item, encoded. The codec tells 1, True, "1" and b"1" apart,
and takes 1 and 1.00 for the same number, just as the table does; what it cannot encode no table accepts, so it is left
to the table to say what is wrong.

The leases and counts are under one lock, held for a few dictionary operations, never while the table is asked. Look-ups
take no lock: see kvhits.pyx. Why this keeps stale items out is told in accelerator.py.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engines._native.cachetable import CacheTable
from engines._native.kvitem import ItemCodec, item_expires
from engines.errors import ConditionFailed, Invalid, Throttled, TooLarge
from engines.kv.page import Item, Key, Page, Request
from engines.kv.records import Records, Write

if TYPE_CHECKING:
    from engines.kv.throttle import Consumed

ABSENT = b""  # what the item cache has of a key without an item; no image is empty
ENTRY_BYTES = 192  # what an entry costs beside what is in it: its places in the table, and the heads of the objects
IMAGE_BYTES = 48  # the same for an image in a page
MILLISECONDS = 1000
REFUSED = (ConditionFailed, Invalid, Throttled, TooLarge)  # nothing was written
FLAGS = ("consistent", "count", "reverse")  # False is the same as left out
COUNTS = {"limit": (int, type(None)), "segment": (int,), "segments": (int,)}  # and no subclass: True is none
POSITIONAL = {"query": ("key_condition",), "scan": ()}

Outcome = Mapping[bytes, bytes | None]  # what is under a key after a write: an image, None for no item


def until(records: Records, now: int, lifetime: int, expires: int) -> int:
    """The millisecond in which an entry ends: that of its age, or the second in which the first item in it expires."""
    end = now + lifetime
    return min(end, expires * MILLISECONDS) if expires and records.hides else end


class ItemCache:
    """Images by whole key. lifetime: in milliseconds."""

    def __init__(self, cache: CacheTable, lifetime: int, records: Records) -> None:
        self.cache, self._lifetime, self._records = cache, lifetime, records
        self._lock = threading.Lock()
        self._leases: dict[bytes, object] = {}
        self._writing: dict[bytes, _Writing] = {}

    def take_lease(self, key: bytes) -> object:
        """Before the table is read: what fill() asks for."""
        lease = object()
        with self._lock:
            self._leases[key] = lease
        return lease

    def fill(self, key: bytes, lease: object, image: bytes, now: int) -> None:
        """Keep what the table had, unless somebody else has read or written the key since. now: before the reading."""
        with self._lock:
            if self._leases.get(key) is lease:
                self._keep(key, image, now)

    def drop_lease(self, key: bytes, lease: object) -> None:
        with self._lock:
            if self._leases.get(key) is lease:
                del self._leases[key]

    def begin(self, keys: Sequence[bytes]) -> None:
        """Before a write to the table of these keys, each once. end() has to follow."""
        with self._lock:
            for key in keys:
                writing = self._writing.get(key)
                if writing is None:
                    self._writing[key] = _Writing()
                else:
                    writing.count += 1
                    writing.overlapped = True

    def end(self, keys: Sequence[bytes], outcome: Outcome | None, now: int, *, refused: bool = False) -> None:
        """After it. outcome: what is there now, None where nobody knows. refused: nothing was written.

        now: before the writing.
        """
        with self._lock:
            for key in keys:
                writing = self._writing[key]
                writing.count -= 1
                if not writing.count:
                    del self._writing[key]
                if refused:
                    continue
                self._leases.pop(key, None)
                if outcome is None or writing.overlapped:
                    self.cache.delete(key, now)
                else:
                    self._keep(key, outcome[key] or ABSENT, now)

    def _keep(self, key: bytes, image: bytes, now: int) -> None:
        end = until(self._records, now, self._lifetime, item_expires(image) if image else 0)
        try:
            if end > now:
                self.cache.set(key, image, now, end, len(key) + len(image) + ENTRY_BYTES)
                return
        except OverflowError:  # larger than all of the cache
            pass
        self.cache.delete(key, now)


class _Writing:
    """Writes of one key that are under way."""

    __slots__ = ("count", "overlapped")

    def __init__(self) -> None:
        self.count, self.overlapped = 1, False


class WriteThrough:
    """The records of a table, where a write is noted in the item cache. now: the time by which entries age."""

    def __init__(self, records: Records, cache: ItemCache, now: Callable[[], int]) -> None:
        self._records, self._cache, self._now = records, cache, now

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else records have
        return getattr(self._records, name)

    def write(  # noqa: PLR0917 - PointWriter.write's
        self,
        key: bytes,
        image: bytes | None,
        expires: int = 0,
        holds: Callable[[Item | None], bool] | None = None,
        returns_old: bool = False,  # noqa: FBT001, FBT002 - the same
        make: Callable[[Item | None], tuple[bytes | None, int]] | None = None,
        consumed: "Consumed | None" = None,
    ) -> Item | None:
        """PointWriter.write, then the item cache."""
        made = None if make is None else _Made(make)
        outcome: Outcome | None = None
        refused = False
        now = self._now()
        self._cache.begin((key,))
        try:
            old = self._records.write(key, image, expires, holds, returns_old, made, consumed)
            outcome = {key: image if made is None else made.image}
        except REFUSED:
            refused = True
            raise
        finally:
            self._cache.end((key,), outcome, now, refused=refused)
        return old

    def write_all(self, writes: Sequence[Write]) -> None:
        """Records.write_all, then the item cache: of two writes to one key the later counts."""
        images = {write.key: write.image for write in writes}
        outcome: Outcome | None = None
        now = self._now()
        self._cache.begin(tuple(images))
        try:
            self._records.write_all([write._replace(records=self._records) for write in writes])
            outcome = images
        finally:
            self._cache.end(tuple(images), outcome, now)


class _Made:
    """An update that is made under the table's lock, and the image that came of it."""

    __slots__ = ("_make", "image")

    def __init__(self, make: Callable[[Item | None], tuple[bytes | None, int]]) -> None:
        self._make = make
        self.image: bytes | None = None

    def __call__(self, old: Item | None) -> tuple[bytes | None, int]:
        self.image, expires = self._make(old)
        return self.image, expires


@dataclass(frozen=True, slots=True)
class Kept:
    """A page of the query cache."""

    request: Request
    key_names: Key
    images: tuple[bytes, ...]
    count: int
    scanned: int
    size: int
    last_key: Key | None
    expires: int  # the second of the first item examined for it, 0 for none


class PageCache:
    """Pages by their request. lifetime: in milliseconds. by_bytes: there is a limit of bytes, not of items."""

    def __init__(self, cache: CacheTable, lifetime: int, records: Records, *, by_bytes: bool) -> None:
        self.cache, self._lifetime, self._records, self._by_bytes = cache, lifetime, records, by_bytes

    def get(self, asked: bytes, now: int) -> Page | None:
        """A new page, with new items, that has cost nothing; its next page is the caller's to arrange."""
        kept: Kept | None = self.cache.get(asked, now)
        if kept is None or self._is_over(kept):
            return None
        page = Page(kept.request, kept.key_names, _nothing)
        page.items = list(map(self._records.decode, kept.images))
        page.count, page.scanned, page.size, page.expires = kept.count, kept.scanned, kept.size, kept.expires
        page.last_key, page.more = kept.last_key, kept.last_key is not None
        return page

    def _is_over(self, kept: Kept) -> bool:
        """Whether the index was dropped, or an item has expired: they may follow another clock than the entries."""
        if 0 < kept.expires <= self._records.second():
            return True
        if kept.request.index is None:
            return False
        index = kept.request.index.definition
        present = self._records.indexes.get(index.name)
        return present is None or present.definition.id != index.id

    def keep(self, asked: bytes, page: Page, now: int) -> None:
        """Keep a page that was just read, before the caller can change its items. now: before the reading."""
        end = until(self._records, now, self._lifetime, page.expires)
        if end <= now:
            return
        images = tuple(map(self._records.codec.encode, page.items))
        request = replace(page.request, consumed=None)
        kept = Kept(request, page.key_names, images, page.count, page.scanned, page.size, page.last_key, page.expires)
        size = len(images) + 1
        if self._by_bytes:
            size = len(asked) + ENTRY_BYTES + sum(len(image) + IMAGE_BYTES for image in images)
        try:
            self.cache.set(asked, kept, now, end, size)
        except OverflowError:  # larger than all of the cache
            self.cache.delete(asked, now)


def _nothing(_: Request, start: Key) -> Page:
    raise AssertionError(start)  # replaced by whoever asked for the page


_requests = ItemCodec([])


def canonical(verb: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> bytes | None:
    """The bytes of a request; None if it is one that no table accepts."""
    said = {name: value for name, value in options.items() if value is not None and name != "consumed"}
    for name, value in zip(POSITIONAL[verb], arguments, strict=False):
        if name in options:
            return None
        said[name] = value
    if len(arguments) > len(POSITIONAL[verb]) or not isinstance(said.get("start", ()), (tuple, list)):
        return None
    if any(type(options.get(name, 0)) not in kinds for name, kinds in COUNTS.items()):
        return None
    try:
        for name, plain in PLAIN.items():
            if name in said:
                said[name] = plain(said[name])
        said = {name: value for name, value in sorted(said.items()) if value is not False or name not in FLAGS}
        return _requests.encode({" verb": verb, **said})
    except (ValueError, TypeError, AttributeError):
        return None


def _in_order(given: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(given.items()))


PLAIN: dict[str, Callable[[Any], Any]] = {"start": list, "names": _in_order, "values": _in_order}
