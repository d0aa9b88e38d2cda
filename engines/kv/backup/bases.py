"""Bases: from which moments on the log can be replayed, so that a table can be had as it was at any moment after.

    log    first ── base ─────────── base ─────────── base ── last        one table, point-in-time recovery on
                      └── replay ──> any moment       └── the newest, less than a day old

A table's contents at a moment are its newest base before it and what the log says since. Its creation is a base too,
of nothing, as long as the log reaches back to it. Another one is taken by the checkpoint that finds the newest a day
old, or none at all: a snapshot (snapshots.py) of that one table under the ref base/TABLE/SEQUENCE-TIME, which writes
only the pages that have changed. So a restore replays a day of log, if there are checkpoints, and the log is kept from
the newest base on that is 35 days old. Older bases are dropped, and so are those of a table whose point-in-time
recovery is switched off.

Simpler than production: the writer that happens to make the checkpoint also takes the base, and waits for it, once a
day; the others go on. A base that could not be taken (a full disk) is tried again at the next checkpoint, and until
then the log is kept.

Invariants: a moment that was covered stays covered for 35 days. What is in a base is not after the moment of its name.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from engines.clock import MICROSECONDS
from engines.errors import EngineError
from engines.kv.backup.snapshots import Snapshots, applied_in, definitions_in
from engines.kv.catalog import Definition
from engines.kv.retention import PITR_SECONDS
from engines.progress import Progress
from engines.storage.refs import ABSENT

if TYPE_CHECKING:
    from engines.kv.store import Store

EVERY_SECONDS = 24 * 3600
EVERYTHING = 1 << 62  # a sequence: nobody needs any of the log


class Start(NamedTuple):
    """Where a replay starts: the base `ref` holds all up to `sequence`; None for the creation, of nothing."""

    sequence: int
    time: int
    ref: str | None


class Bases:
    """The bases of one store's tables."""

    def __init__(self, store: "Store", snapshots: Snapshots) -> None:
        self._store, self._snapshots, self._place = store, snapshots, snapshots.place
        self._known: dict[int, list[Start]] | None = None

    # -- what there is ------------------------------------------------------------------------------------------------

    def all(self) -> dict[int, list[Start]]:
        """By table, oldest first."""
        if self._known is None:
            known: dict[int, list[Start]] = {}
            for ref in self._place.refs.names("base/"):
                _, table, moment = ref.split("/")
                sequence, _, time = moment.partition("-")
                known.setdefault(int(table), []).append(Start(int(sequence), int(time), ref))
            self._known = {table: sorted(starts) for table, starts in known.items()}
        return self._known

    def starts(self, definition: Definition) -> list[Start]:
        """Those of a table from which the log can be replayed, oldest first."""
        first = self._store.log.first
        found = [Start(definition.began, definition.created, None)] if definition.began >= first else []
        return found + [start for start in self.all().get(definition.id, ()) if start.sequence >= first - 1]

    def sequence_at(self, time: int) -> int:
        """The last frame that is not after this moment; one that is no longer kept, where nothing is known of later."""
        log, retention = self._store.log, self._store.retention
        with self._store.tree.lock:
            found = retention.sequence_at(time)
        found = max([found, *(s.sequence for starts in self.all().values() for s in starts if s.time <= time)])
        for frame in log.read(max(found, log.first - 1)):
            if frame.time > time:
                break
            found = frame.sequence
        return found

    # -- at a checkpoint ----------------------------------------------------------------------------------------------

    def after_checkpoint(self) -> int:
        """Take those that are due, drop those that are old; the oldest sequence that a restore needs."""
        covered = [definition for definition in self._store.schema.definitions() if definition.pitr]
        if (covered or self.all()) and self._snapshots.lock.acquire(blocking=False):
            try:
                due = {definition.id for definition in covered if self._due(definition)}
                if due:
                    self._take(due)
                self._drop_old(covered)
            except EngineError:  # the checkpoint is made, the next one tries again; verify() names damage
                self._known = None
            finally:
                self._snapshots.lock.release()
        return min([EVERYTHING, *(self._needed(definition) for definition in covered)])

    def _due(self, definition: Definition) -> bool:
        starts = self.starts(definition)
        return not starts or self._ago(EVERY_SECONDS) >= starts[-1].time

    def _ago(self, seconds: int) -> int:
        return self._store.clock.now() - seconds * MICROSECONDS

    def _take(self, tables: set[int]) -> None:
        store, place = self._store, self._place
        with store.tree.snapshot() as view, Progress("base snapshot", "items") as progress:
            sequence = applied_in(view)
            for definition in definitions_in(view):
                if definition.id in tables:
                    kept = place.put_table(view, definition, progress)
                    time = store.clock.now()  # after all that is in it
                    start = Start(sequence, time, f"base/{definition.id}/{sequence}-{time}")
                    known = self.all().setdefault(definition.id, [])
                    if start not in known:
                        place.refs.set(str(start.ref), place.put_snapshot([kept], sequence, time), expected=ABSENT)
                        known.append(start)

    def _drop_old(self, covered: Iterable[Definition]) -> None:
        oldest = {definition.id: self._oldest(definition) for definition in covered}
        alive = {definition.id for definition in self._store.schema.definitions()}
        old = []
        for table, starts in self.all().items():
            for start in starts:
                if table in oldest:
                    first = oldest[table]
                    gone = first is not None and start.sequence < first.sequence
                else:  # switched off, or dropped
                    gone = table in alive or start.time <= self._ago(PITR_SECONDS)
                if gone:
                    old.append(str(start.ref))
        for ref in old:
            self._place.refs.delete(ref)
        if old:
            self._known = None
            self._snapshots.collect()

    def _oldest(self, definition: Definition) -> Start | None:
        """The one from which the oldest moment is restored."""
        starts = self.starts(definition)
        past = [start for start in starts if start.time <= self._ago(PITR_SECONDS)]
        return past[-1] if past else starts[0] if starts else None

    def _needed(self, definition: Definition) -> int:
        start = self._oldest(definition)
        return EVERYTHING if start is None else start.sequence + (start.ref is not None)
