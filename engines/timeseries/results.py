"""What a write answers: how many records went where, and which were refused and why.

A refusal is a verdict on one record, not bad input: the others are written, and are durable before the error says so.
"""

from dataclasses import dataclass, field

from engines.errors import EngineError


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that was not written. index: its place in the call, from 0."""

    index: int
    reason: str
    existing_version: int | None = None  # where a record with this version or a higher one is there already


@dataclass(frozen=True, slots=True)
class WriteResult:
    """Counts of records. unchanged: repeats of what is there already."""

    memory: int = 0
    magnetic: int = 0
    unchanged: int = 0
    rejected: tuple[Rejected, ...] = field(default=())

    def __add__(self, other: "WriteResult") -> "WriteResult":
        return WriteResult(
            self.memory + other.memory,
            self.magnetic + other.magnetic,
            self.unchanged + other.unchanged,
            self.rejected + other.rejected,
        )


class RejectedRecords(EngineError):
    """Some records were refused; all others are on disk. result: what was written, and the reasons for the rest."""

    code = "RejectedRecords"
    aws = "RejectedRecordsException"

    @classmethod
    def of(cls, result: WriteResult) -> "RejectedRecords":
        """The error that tells of the refusals in a result."""
        first = result.rejected[0]
        count = len(result.rejected)
        others = "; the others are written" if result.memory or result.magnetic or result.unchanged else ""
        return cls(
            f"{count:,} record{'s were' if count > 1 else ' was'} refused, the first of them number {first.index}: "
            f"{first.reason}{others}; see error.result.rejected",
            result=result,
        )

    @property
    def result(self) -> WriteResult:
        """What was written, and what was refused and why."""
        found: WriteResult = self.details["result"]  # type: ignore[assignment] # of() has put it there
        return found
