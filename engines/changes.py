r"""Change streams: what happened to the items of an engine, in order, and consumers that do not lose their place.

    engine ── changes(after=41) ──> Change 42, Change 43, ...  ── Consumer ──> apply([42, 43]) ── then ──> position 43

A source hands out durable changes only: a consumer never acts on something that a power failure could undo. Positions
are the source's sequence numbers; they grow, but need not be consecutive, and changes of one transaction may share one.

A Consumer writes its position after the effect, so a crash in between repeats the effect: at least once. Two ways to
make that harmless:

    idempotent      the effect is a put under the change's key: doing it twice is doing it once
    exactly once    the effect stores the sequence with itself, in one transaction, and leaves out what it has seen:

                    def apply(changes):
                        with database:                                    # one transaction
                            seen = database.position()
                            for change in changes:
                                if change.sequence > seen: database.add(change)
                            database.set_position(changes[-1].sequence)

    FOLDER/NAME.position     sequence, 20 digits | space | crc32c of name, space and those digits, 8 hex | \n

Simpler than a service: no shards, no leases. Run one Consumer of a name at a time; two would both do all the work.

Invariants: changes are applied in order; none is left out, whatever crashes; one that was applied before the position
was written is never applied again; changes that share a sequence are in one batch.
"""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import google_crc32c

from engines.errors import Corrupted, Invalid
from engines.storage.files import FileSystem, RealFileSystem, disk_errors, make_folder, read_file, write_atomically
from engines.storage.refs import PART

Kind = Literal["INSERT", "MODIFY", "REMOVE"]


@dataclass(frozen=True, slots=True)
class Change:
    """One item before and after. time is in microseconds UTC; an INSERT has no old, a REMOVE no new item."""

    sequence: int
    time: int
    table: str
    kind: Kind
    key: tuple[Any, ...]
    old: dict[str, Any] | None
    new: dict[str, Any] | None
    expired: bool = False  # removed because its time had come, not by a user


class Changes(Protocol):
    """Whatever has a change stream: an engine, or one table of it."""

    def changes(
        self, after: int = 0, *, limit: int | None = None, follow: bool = False, timeout: float | None = None
    ) -> Iterator[Change]:
        """The durable changes with sequence > after, ascending.

        It ends at the present; with follow it waits there, and ends after `timeout` seconds without a change or when
        the engine is closed. Trimmed, with the oldest position, if changes after `after` are no longer kept.
        """
        ...


class Consumer:
    """A function that is called with every change, and a place in the stream that survives a crash.

    apply takes a batch, a list of changes in order; what it raises passes through, and the batch comes again next time.
    folder None keeps the position in memory only. A new consumer begins at the oldest change. ReadOnly where the disk
    refuses the position (its code says why), Corrupted where it is damaged.
    """

    def __init__(
        self,
        source: Changes,
        name: str,
        apply: Callable[[list[Change]], object],
        *,
        files: FileSystem | None = None,
        folder: str | None = None,
        batch: int = 1000,
    ) -> None:
        if not PART.fullmatch(name):
            raise Invalid(f"a consumer's name is made of A-Z a-z 0-9 _ . + = @ -, at most 100, got {name!r}")
        if batch < 1:
            raise Invalid(f"batch is the number of changes handed over at once, at least 1, got {batch}")
        self.name = name
        self._source, self._apply, self._batch = source, apply, batch
        self._files: FileSystem = files or RealFileSystem()
        self._folder = folder
        self._durable_folder = False
        self._running = threading.Lock()
        self._position = self._load()

    @property
    def position(self) -> int:
        """The sequence up to which everything was applied; 0 before the first."""
        return self._position

    def run(self, limit: int | None = None, *, follow: bool = False, timeout: float | None = None) -> int:
        """Apply what is waiting, in batches, and return how many changes that was.

        It stops at the present, or with follow after `timeout` seconds without news. limit stops it early; changes that
        share a sequence stay together, so a batch and the total may be larger by the rest of a transaction.
        Trimmed if the source no longer keeps what comes next: copy the present state anew, then seek() past it.
        """
        if limit is not None and limit < 1:
            raise Invalid(f"limit must be at least 1, got {limit} (leave it out for all changes)")
        applied = 0
        with self._running:
            while limit is None or applied < limit:
                for batch in self._batches(None if limit is None else limit - applied):
                    self._apply(batch)
                    self._remember(batch[-1].sequence)
                    applied += len(batch)
                if not follow or (limit is not None and applied >= limit):
                    break
                news = self._source.changes(self._position, limit=1, follow=True, timeout=timeout)
                if next(news, None) is None:
                    break
        return applied

    def lag(self) -> int:
        """How many changes wait to be applied. It reads them to count them."""
        return sum(1 for _ in self._source.changes(self._position))

    def seek(self, position: int) -> None:
        """Go on after this sequence: 0 to apply everything again, a later one to leave out what is before."""
        if position < 0:
            raise Invalid(f"a position is a sequence, 0 for the start, got {position}")
        with self._running:
            self._remember(position)

    def _batches(self, limit: int | None) -> Iterator[list[Change]]:
        """What is there now, cut between sequences only."""
        batch: list[Change] = []
        total = 0
        for _, group in itertools.groupby(self._source.changes(self._position), key=lambda change: change.sequence):
            batch += group
            full = limit is not None and total + len(batch) >= limit
            if len(batch) >= self._batch or full:
                total += len(batch)
                yield batch
                batch = []
            if full:
                return
        if batch:
            yield batch

    def _remember(self, position: int) -> None:
        if self._folder is not None:
            with disk_errors(f"the position of consumer {self.name!r} cannot be written to {self._folder}"):
                if not self._durable_folder:
                    make_folder(self._files, self._folder)
                    self._durable_folder = True
                write_atomically(self._files, self._file(), _encode(self.name, position))
        self._position = position

    def _load(self) -> int:
        if self._folder is None:
            return 0
        with disk_errors(f"the position of consumer {self.name!r} cannot be read"):
            try:
                data = read_file(self._files, self._file())
            except FileNotFoundError:
                return 0
        digits = data[:20].decode(errors="replace")
        if not (digits.isascii() and digits.isdigit()) or data != _encode(self.name, int(digits)):
            raise Corrupted(
                f"{self._file()} does not hold the position of consumer {self.name!r}: delete it to start from the "
                "oldest change (which applies again what was applied), then run()",
                file=self._file(),
                offset=0,
            )
        return int(digits)

    def _file(self) -> str:
        return f"{self._folder}/{self.name}.position"


def _encode(name: str, position: int) -> bytes:
    return b"%020d %08x\n" % (position, google_crc32c.value(b"%s %020d" % (name.encode(), position)))


def replay(changes: Sequence[Change], state: dict[tuple[Any, ...], dict[str, Any]] | None = None) -> dict[Any, Any]:
    """The items after these changes, by (table, *key): a stream from its start is the whole of a store."""
    items = dict(state or {})
    for change in changes:
        place = (change.table, *change.key)
        if change.new is None:
            items.pop(place, None)
        else:
            items[place] = change.new
    return items
