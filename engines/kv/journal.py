"""What the log says, read as changes.

A frame of kind ITEMS is one write, one batch, or one sweep of expired items: what happened together shares a sequence.

    u8 kind | varint count | count x (varint table, u8 flags, key, [old], [new image])      _native/kvframe.pyx

Images are written as far as somebody wants them: the new one always; the old one where the table's stream shows it, by
the sequence of the frame that wrote it if that is not older than a day, else in full; else an empty one says that there
was one.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from math import inf
from typing import TYPE_CHECKING, Any

from engines._native.kvframe import decode_changes
from engines.changes import Change
from engines.clock import SystemClock
from engines.errors import Invalid, Trimmed
from engines.kv.catalog import ITEMS_FRAME, TRANSACTION_FRAME, corrupted
from engines.kv.tokens import decode_token
from engines.storage.log import Frame, Log

if TYPE_CHECKING:
    from engines.kv.store import Store
    from engines.kv.table import Table

LoggedChange = tuple[int, bytes, bytes | int | None, bytes | None, bool]  # table, key, old or its frame, new, expired


def frame_changes(found: Frame, path: str) -> list[LoggedChange]:
    """The changes in one frame; none for other kinds. Corrupted if its bytes make no sense."""
    if found.kind not in (ITEMS_FRAME, TRANSACTION_FRAME):
        return []
    try:
        payload = found.payload if found.kind == ITEMS_FRAME else decode_token(found.payload)[2]
        return decode_changes(payload) if len(payload) else []  # a transaction may have changed nothing
    except ValueError as error:
        raise corrupted(f"{path}, frame {found.sequence}", error) from error


def changes_after(
    store: "Store",
    after: int,
    tables: Mapping[int, "Table"],
    *,
    limit: int | None,
    follow: bool,
    timeout: float | None,
) -> Iterator[Change]:
    """What Store.changes tells of these tables, by their ids. Invalid, Trimmed."""
    if not isinstance(after, int) or after < 0:
        raise Invalid(f"after is the sequence of a change, or 0 for the beginning, got {after!r}")
    if after > store.log.last and not store.read_only:  # who only reads may be behind the writer
        raise Invalid(
            f"after={after} is past the end of the change stream: the last sequence is {store.log.last}; "
            "was it another store's? after=0 begins with the oldest change"
        )
    if store.path is None:
        store.log.sync()
    began = min((table.definition.stream_began for table in tables.values()), default=store.log.last + 1)
    after = max(after, began - 1)
    since = store.references.since
    if began < store.log.first and after < since - 1:  # what is left there may refer to what is not
        raise Trimmed(
            f"the change stream is kept for 24 hours, from {since} on, asked for those after {after}: "
            f"read the table, then start from {since - 1}",
            oldest=since,
        )
    if follow and not store.read_only:
        return _follow(store.log, after, tables, limit, timeout)
    frames: Iterable[Frame] = store.log.read(after)
    if store.read_only:  # frames after the checkpoint may use attribute names that it does not know
        frames = takewhile(lambda found: found.sequence <= store.tree.applied, frames)
    return _read(frames, store.log, tables, limit)


def _read(frames: Iterable[Frame], log: Log, tables: Mapping[int, "Table"], limit: int | None) -> Iterator[Change]:
    """The changes of these tables, as far as their streams show them; ends after the frame that reaches the limit."""
    count = 0
    images = Images(log)
    for found in frames:
        for change in _shown(found, log, tables, images):
            yield change
            count += 1
        if limit is not None and count >= limit:
            return
    _end(log)


def _follow(
    log: Log, after: int, tables: Mapping[int, "Table"], limit: int | None, timeout: float | None
) -> Iterator[Change]:
    """Like read, then waits for more; ends `timeout` seconds after the last change, or when the log takes no more.

    However many other frames there are meanwhile: the log is read up to its present, then the time is looked at. It is
    real time, not the injected clock's: somebody waits.
    """
    timer = SystemClock().timer
    until = inf if timeout is None else timer() + timeout
    count = 0
    images = Images(log)
    while True:
        upto = log.durable
        for found in log.read(after):
            after = found.sequence
            for change in _shown(found, log, tables, images):
                yield change
                count += 1
                until = inf if timeout is None else timer() + timeout
            if limit is not None and count >= limit:
                return
        after = max(after, upto)
        left = until - timer()
        if left <= 0 or not log.wait(after, None if left == inf else left):
            break
    _end(log)


def _shown(found: Frame, log: Log, tables: Mapping[int, "Table"], images: "Images") -> Iterator[Change]:
    """What one frame says of these tables."""
    for table_id, key, old, new, expired in frame_changes(found, log.path):
        if (table := tables.get(table_id)) is not None and found.sequence >= table.definition.stream_started[0]:
            view = table.definition.stream
            shows_old = bool(old) and view in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES")
            shows_new = bool(new) and view in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES")
            decode = table.records.decode
            yield Change(
                found.sequence,
                found.time,
                table.name,
                "REMOVE" if new is None else "INSERT" if old is None else "MODIFY",
                table.records.keys.decode(key),
                decode(images.old(table_id, key, old)) if shows_old else None,
                decode(new) if new is not None and shows_new else None,
                expired,
            )
            if view in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES"):
                images.remember(table_id, key, found.sequence, new)


def _end(log: Log) -> None:
    """Opened read-only after damage: a consumer must not take the end of what is whole for the end."""
    if log.damage is not None:
        raise log.damage


class Images:
    """Old images by the frame that wrote them: those just read are remembered, others are looked up in the log."""

    REMEMBERED_BYTES = 16 << 20

    def __init__(self, log: Log) -> None:
        self._log = log
        self._recent: dict[tuple[int, bytes], tuple[int, bytes | None]] = {}
        self._bytes = 0

    def remember(self, table: int, key: bytes, sequence: int, new: bytes | None) -> None:
        if self._bytes >= self.REMEMBERED_BYTES:
            self._recent.clear()
            self._bytes = 0
        self._recent[table, key] = (sequence, new)
        self._bytes += len(key) + len(new or b"")

    def old(self, table: int, key: bytes, old: Any) -> bytes:  # noqa: ANN401 - an image, or the sequence of its frame
        """The image itself. Corrupted if the frame that is named does not have it."""
        if not isinstance(old, int):
            return bytes(old)
        sequence, image = self._recent.get((table, key), (0, None))
        if sequence != old:
            changes = frame_changes(self._log.read_one(old), self._log.path)
            image = next((change[3] for change in reversed(changes) if change[:2] == (table, key)), None)
        if image is None:
            raise corrupted(
                f"{self._log.path}, frame {old}", ValueError("it does not hold the image that a later one names")
            )
        return image
