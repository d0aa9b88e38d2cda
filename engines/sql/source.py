"""How a table reaches the SQL floor: `TableSource`. It imports neither the SQL parser nor an engine, so any can be one.

    schema()       names, types                                   asked when a statement is planned
    statistics()   rows, and per column bounds, NULLs, distinct   asked when joins are ordered
    support()      which conditions it can answer itself
    partitions()   what is left after pruning; pins one state     asked once a run
    scan()         batches of one partition, columns decoded when somebody asks for them

A source may return rows that a predicate rejects, if `support` said PRUNE or NONE for it; never fewer than the
predicates admit. Values in predicates, bounds and statistics are the engine's own: days, microseconds, scaled
decimals as whole numbers; text as bytes; float and bool.
"""

import enum
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from engines.sql.column import Batch, Bytes
from engines.sql.types import Type


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a table."""

    name: str
    type: Type
    nullable: bool = True


Schema = tuple[Field, ...]


class Support(enum.Enum):
    """What a source does with a predicate."""

    EXACT = "exact"  # rows that fail it never come back
    PRUNE = "prune"  # some are dropped; filter again
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Predicate:
    """One conjunct on one column. value: an engine value; of `in` a tuple of them; of `is null` None.

    In a plan it may hold an expression instead, of what is known when the statement runs; a source never sees that.
    """

    column: str
    op: Literal["=", "<>", "<", "<=", ">", ">=", "in", "is null", "is not null", "prefix"]
    value: Any = None


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """None = unknown. low and high are engine values; distinct is an estimate."""

    low: Any = None
    high: Any = None
    nulls: int | None = None
    distinct: int | None = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """rows: None = unknown (the planner assumes 1,000). exact: rows, bounds and NULLs are true, not guessed."""

    rows: int | None = None
    columns: Mapping[str, ColumnStatistics] = field(default_factory=dict)
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Where rows lie: `key` by hash of columns, `even`, or `all` (every slice has them). slices: how many."""

    style: Literal["key", "even", "all"]
    slices: int
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Partition:
    """A piece of a table that one slice scans. Picklable: another process must be able to scan it."""

    id: str
    rows: int
    bytes: int = 0
    slice: int = 0
    origin: Any = None

    def __reduce__(self) -> tuple[type["Partition"], tuple[Any, ...]]:
        """As pickle's own for dataclasses, but faster: hundreds travel with every task of a node."""
        return Partition, (self.id, self.rows, self.bytes, self.slice, self.origin)


@dataclass(slots=True)
class Scanned:
    """What a scan touched; a source adds to it while it runs, and a run adds up those of its slices."""

    rows_scanned: int = 0
    blocks_total: int = 0
    blocks_pruned: int = 0
    blocks_decoded: int = 0
    bytes_scanned: int = 0
    bytes_moved: int = 0
    rows_moved: int = 0

    def add(self, other: "Scanned") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class TableSource(Protocol):
    """A table, whatever holds it."""

    name: str

    def schema(self) -> Schema: ...
    def version(self) -> Hashable:
        """Changes with the data."""
        ...

    def statistics(self) -> Statistics: ...
    def support(self, predicate: Predicate) -> Support: ...
    def partitions(self, predicates: Sequence[Predicate], scanned: Scanned) -> Sequence[Partition]:
        """What is left after pruning, of one consistent state."""
        ...

    def scan(
        self, partition: Partition, columns: Sequence[str], predicates: Sequence[Predicate], scanned: Scanned
    ) -> Iterator[Batch]:
        """The rows, in batches of at most VECTOR, keyed by column name. Any thread, several at once."""
        ...

    @property
    def placement(self) -> Placement | None: ...


@runtime_checkable
class JoinFiltering(Protocol):
    """A source that can use what a join knows of its other side, before rows are decoded."""

    def scan_where(
        self,
        partition: Partition,
        columns: Sequence[str],
        predicates: Sequence[Predicate],
        scanned: Scanned,
        keep: Mapping[str, Callable[[Any], Bytes]],
    ) -> Iterator[Batch]:
        """As scan; keep: column -> a function from the decoded Column to a mask of the rows that may match."""
        ...


@runtime_checkable
class Pinned(Protocol):
    """A source that holds something for the length of a query."""

    def close(self) -> None: ...
