"""Pages: lists of row groups, between the catalogue and the blobs that hold rows.

    page     a blob: zstd of MessagePack, [group, ...], at most 64
    group    [slice, rows, blob, {column number: block}, deleted, mask]
    block    [offset, length, encoding, compressed, raw bytes, nulls, distinct, low, high]

A group is up to 65,536 rows of one slice. Its blocks stand back to back in one blob, each at a multiple of 8 bytes: a
group that is written costs one file and one sync, however many columns it has, and one column is read by its range.
(Redshift has a file for each column and slice; here a group is deleted as a whole, so nothing is gained by more files.)

mask: where the bits of the deleted rows lie (delete.py). Values are the engine's; whole numbers beyond 64 bits as text.

A commit rewrites only the pages that changed. Groups keep their order: a row's number (scan.py) is that of its group,
and of itself in it.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import zstandard

from engines.errors import Corrupted
from engines.sql.column import VECTOR
from engines.storage.digests import is_digest
from engines.warehouse.catalog import PageReference, Value

GROUPS: Final = 64  # most groups of a page
LARGEST: Final = 1 << 26  # bytes of a page
SHORT: Final = 8192  # rows: a group with fewer is merged with others when there are many


class BlockReference(msgspec.Struct, frozen=True, array_like=True):
    """A block of a group's blob, and its zone map (blocks.py)."""

    offset: int
    length: int
    encoding: int
    compressed: bool
    raw: int
    nulls: int
    distinct: int
    low: Value
    high: Value


class Mask(msgspec.Struct, frozen=True, array_like=True):
    """A block of booleans, 1 = deleted: a range of a blob."""

    blob: str
    offset: int
    length: int


class Group(msgspec.Struct, frozen=True, array_like=True):
    """A row group."""

    slice: int
    rows: int  # the deleted ones too
    blob: str
    blocks: dict[int, BlockReference]
    deleted: int = 0
    mask: Mask | None = None

    @property
    def live(self) -> int:
        return self.rows - self.deleted

    @property
    def bytes(self) -> int:
        return sum(block.length for block in self.blocks.values())

    @property
    def short(self) -> bool:
        return self.rows < SHORT


class Page:
    """A page in memory; `reference` is None until it is written."""

    __slots__ = ("groups", "reference")

    def __init__(self, groups: tuple[Group, ...], reference: PageReference | None = None) -> None:
        self.groups = groups
        self.reference = reference

    def encode(self) -> bytes:
        return zstandard.ZstdCompressor(level=3).compress(_encoder.encode(self.groups))

    def written(self, digest: str) -> "Page":
        live, deleted = sum(group.live for group in self.groups), sum(group.deleted for group in self.groups)
        size = sum(group.bytes for group in self.groups)
        return Page(self.groups, PageReference(digest, len(self.groups), live, deleted, size))

    @classmethod
    def decode(cls, data: bytes, reference: PageReference) -> "Page":
        """Corrupted, naming the blob, if it is no page, or holds what no page may."""
        digest = reference.digest
        try:
            if not 0 < zstandard.frame_content_size(data) <= LARGEST:
                raise Corrupted(f"blob {digest} is no page of row groups", file=digest, offset=0)
            groups = _decoder.decode(zstandard.ZstdDecompressor().decompress(data))
        except (zstandard.ZstdError, msgspec.MsgspecError, RecursionError) as error:
            raise Corrupted(f"blob {digest} is no page of row groups: {error}", file=digest, offset=0) from error
        if len(groups) != reference.groups or not all(map(_sound, groups)):
            raise Corrupted(f"blob {digest} lists row groups that cannot be", file=digest, offset=0)
        return cls(groups, reference)


def _sound(group: Group) -> bool:
    return (
        1 <= group.rows <= VECTOR
        and 0 <= group.deleted <= group.rows
        and group.slice >= 0
        and is_digest(group.blob)
        and all(block.offset >= 0 and block.length > 0 and block.raw >= 0 for block in group.blocks.values())
        and (group.mask is None or (is_digest(group.mask.blob) and group.mask.offset >= 0 and group.mask.length > 0))
    )


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[Group, ...])


def paged(pages: Sequence[Page], more: Iterable[Group]) -> tuple[Page, ...]:
    """The pages with groups behind them: the last one is filled up first."""
    added = tuple(more)
    if not added:
        return tuple(pages)
    kept = list(pages)
    if kept and len(kept[-1].groups) < GROUPS:
        added = kept.pop().groups + added
    return (*kept, *(Page(added[start : start + GROUPS]) for start in range(0, len(added), GROUPS)))


def replaced(pages: Sequence[Page], changes: dict[int, Group | None]) -> tuple[Page, ...]:
    """The pages with some groups, by their place in the table, changed or (None) gone. Other pages stay as they are."""
    made, first = [], 0
    for page in pages:
        places = range(first, first + len(page.groups))
        first += len(page.groups)
        if not any(place in changes for place in places):
            made.append(page)
            continue
        groups = [changes.get(place, group) for place, group in zip(places, page.groups, strict=True)]
        left = tuple(group for group in groups if group is not None)
        if left:
            made.append(Page(left))
    return tuple(made)


def groups_of(pages: Iterable[Page]) -> tuple[Group, ...]:
    """The row groups of all pages, in order."""
    return tuple(itertools.chain.from_iterable(page.groups for page in pages))


def zone(block: BlockReference | None) -> tuple[Any, Any]:
    """Low and high of a block; text stands for whole numbers beyond 64 bits."""
    if block is None:
        return None, None
    low, high = block.low, block.high
    return int(low) if isinstance(low, str) else low, int(high) if isinstance(high, str) else high
