"""How much of the log is kept, and for whom.

    log    first ───────────── PITR: 35 days ─────────────── streams: 24 hours ──────── last checkpoint ─── last

Without streams and point-in-time recovery the log is dropped up to the last checkpoint. Else each checkpoint leaves a
mark, so that a moment can be turned into a sequence: what lies below the newest mark that is old enough may go. A frame
may name an older one that holds the old image of an item (kvstamp.pyx), so each mark also says how far back its frames
refer; those are kept as well. Marks stand in the tree's catalog, in the checkpoint that they speak of.
"""

from collections.abc import Callable, Iterable

from engines._native.kvpoint import References
from engines.clock import MICROSECONDS, Clock
from engines.kv import catalog, journal
from engines.kv.catalog import Definition, Mark
from engines.storage.log import Log
from engines.storage.tree import Keyspace

STREAM_SECONDS = 24 * 3600  # how long a change stream is kept
PITR_SECONDS = 35 * 24 * 3600  # how far back a table can be restored


class Retention:
    """The marks of one store. definitions(): those of its tables now."""

    def __init__(self, log: Log, clock: Clock, kept: Keyspace, definitions: Callable[[], Iterable[Definition]]) -> None:
        self._log, self._clock, self._catalog, self._definitions = log, clock, kept, definitions
        marks = self._marks()
        self.references = References(max(log.first, *(m.sequence + 1 for m in self._before(marks, STREAM_SECONDS)), 0))
        self.last_mark = marks[-1].sequence if marks else 0
        self.keep = 0  # the oldest sequence that somebody needs, as of the last mark

    def note_references(self, applied: int) -> None:
        """At open: those of frames between the last mark and its checkpoint, for others wrote while it was made."""
        if not any(definition.stream for definition in self._definitions()):
            return
        for found in self._log.read(max(self.last_mark, self._log.first - 1)):
            if found.sequence > applied:
                return  # the replay notes the rest
            for _, _, old, _, _ in journal.frame_changes(found, self._log.path):
                if isinstance(old, int):
                    self.references.note(old)

    def mark(self) -> None:
        """Under the lock, in a checkpoint's transaction: remember when it was, and what can be dropped after it."""
        definitions = list(self._definitions())
        streams, pitr = any(d.stream for d in definitions), any(d.pitr for d in definitions)
        if not (streams or pitr):
            self.keep = self.references.since = self._log.last + 1  # a stream of later must not name what goes now
            return
        now = self._clock.now()  # no frame after this moment is below the mark
        marks = [*self._marks(), Mark(now, self._log.last, self.references.oldest)]
        old = len(self._before(marks, PITR_SECONDS if pitr else STREAM_SECONDS))
        marks = marks[max(0, old - 1) :]
        self._catalog.put(b"marks", catalog.encode(marks))
        self.references.forget()
        past = self._before(marks, STREAM_SECONDS)
        self.references.since = max(self._log.first, past[-1].sequence + 1 if past else 0)
        kept = max(self._log.first, marks[0].sequence + 1 if old else 0)
        self.keep = min([kept, *(mark.low_reference for mark in (marks[1:] if old else marks))])

    def sequence_at(self, time: int) -> int:
        """A sequence that is not after this moment: of the newest mark before it, 0 where there is none."""
        return max((mark.sequence for mark in self._marks() if mark.time <= time), default=0)

    def _marks(self) -> list[Mark]:
        return catalog.decode_marks(self._catalog.get(b"marks") or catalog.EMPTY_LIST)

    def _before(self, marks: list[Mark], seconds: int) -> list[Mark]:
        """Those at least so long ago."""
        return [mark for mark in marks if mark.time <= self._clock.now() - seconds * MICROSECONDS]
