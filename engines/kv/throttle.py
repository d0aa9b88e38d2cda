"""Capacity: what an operation costs in units, who has paid how much, and the buckets that units are paid from.

    read unit    4 KB read consistently;  half of one if not consistent;  two in a transaction
    write unit   1 KB written;  two in a transaction

                 rate units a second
                         │
                         ▼
    300 s x rate   ┌───────────┐  full: what flows in is lost        take(units)   a write: its price is known before.
                   │           │                                                   All of it, or Throttled and nothing
    1 s x rate     │▒▒▒▒▒▒▒▒▒▒▒│  where a new bucket starts          check()       a read, before: is anything left?
    0              ├───────────┤                                     charge(units) a read, after: its price shows only
                   │   debt    │                                                   then, and may lead below zero
                   └───────────┘

A new bucket holds what one second brings, not 300: burst is what was bought before and not used, and a new table has
left nothing unused yet. So five writes a second means five writes now, and the sixth is refused with
retry_after=0.2; after five quiet minutes it is 1,500 at once.

A write larger than the bucket (400 units from a bucket of one a second) would never find it full enough. It passes when
the bucket is full, and leaves a debt that later writes wait for.

All is exact: levels are whole numbers of 10^-12 units (a rate has six decimals, time has microseconds), so retry_after
is the first microsecond at which the same request passes, and not one later.

A rate of None is on demand: everything is counted, nothing refused. `partition_limits` adds what holds in either mode:
no partition key gets more than 3,000 read and 1,000 write units a second, however much the table has.

What an index costs is paid from its table's buckets; in DynamoDB every global index has buckets of its own, and a write
is refused when one of those is empty. Consumed tells the shares apart, so a Capacity for each index could be added.

Simpler than DynamoDB: a table is not split among partitions whose share of the rate shrinks as it grows; burst is
promised, there it is best effort; on demand has no ceiling (there 40,000 units, and twice the last peak).

Invariants: over any stretch of time, take() grants at most the level at its start plus rate x time, or one write beyond
that if it is larger than the bucket; a level is never above the capacity; after a refusal nothing has changed but the
count of refusals, and the same request passes after retry_after seconds if nobody else takes anything.
"""

import math
import threading
from dataclasses import dataclass, field
from typing import Any

from engines.clock import MICROSECONDS, Clock
from engines.display import Table
from engines.errors import Invalid, Throttled

READ_STEP, WRITE_STEP = 4096, 1024  # bytes
BURST_SECONDS = 300
PARTITION_READ, PARTITION_WRITE = 3000, 1000  # units a second for one partition key
PARTITIONS = 4096  # keys whose buckets are remembered, the longest unused is forgotten first
FINE = 10**12  # a level is a whole number of these parts of a unit
PART = FINE // MICROSECONDS  # of a unit whose rate has six decimals


def read_units(size: int, *, consistent: bool = False, transaction: bool = False) -> float:
    """What reading size bytes costs: 4 KB begun is one unit, and nothing found is charged like 4 KB.

    Half of that if not consistent; double in a transaction, whatever consistent says. Query and scan add up the sizes
    of a page first and round once.
    """
    steps = _steps(size, READ_STEP)
    return 2.0 * steps if transaction else float(steps) if consistent else steps / 2


def write_units(size: int, *, transaction: bool = False) -> float:
    """What writing size bytes costs: 1 KB begun is one unit, double in a transaction.

    The size of a write is that of the larger of the old and the new item; a deletion's is the old one's.
    """
    steps = _steps(size, WRITE_STEP)
    return 2.0 * steps if transaction else float(steps)


def _steps(size: int, step: int) -> int:
    if size < 0:
        raise Invalid(f"a size is 0 bytes or more, got {size}")
    return max(1, -(-size // step))


@dataclass(slots=True)
class Share:
    """The units that one table or one index has cost."""

    read: float = 0.0
    write: float = 0.0

    def to_dynamodb_json(self) -> dict[str, float]:
        return {
            "CapacityUnits": self.read + self.write,
            "ReadCapacityUnits": self.read,
            "WriteCapacityUnits": self.write,
        }


@dataclass(slots=True)
class TableShare:
    """What operations have cost one table: its own part, and those of its indexes by name."""

    table: Share = field(default_factory=Share)
    global_indexes: dict[str, Share] = field(default_factory=dict)
    local_indexes: dict[str, Share] = field(default_factory=dict)

    @property
    def total(self) -> Share:
        shares = [self.table, *self.global_indexes.values(), *self.local_indexes.values()]
        return Share(sum(share.read for share in shares), sum(share.write for share in shares))


class Consumed:
    """What operations cost: pass one as consumed=, to one operation or to many; it adds up.

    read, write: units of all tables and indexes. tables: by table name, the share of the table and of each index. One
    thread at a time.
    """

    def __init__(self) -> None:
        self.read = 0.0
        self.write = 0.0
        self.tables: dict[str, TableShare] = {}

    def add(
        self, table: str, *, read: float = 0, write: float = 0, index: str | None = None, local: bool = False
    ) -> None:
        """Note units of a table, or of one of its indexes; local says which kind. Invalid if not finite or negative."""
        for units in (read, write):
            if not (math.isfinite(units) and units >= 0):
                raise Invalid(f"consumed units are a number from 0 on, got {units}")
        of_table = self.tables.setdefault(table, TableShare())
        if index is None:
            share = of_table.table
        else:
            share = (of_table.local_indexes if local else of_table.global_indexes).setdefault(index, Share())
        share.read += read
        share.write += write
        self.read += read
        self.write += write

    def to_dynamodb_json(self, *, indexes: bool = True) -> list[dict[str, Any]]:
        """DynamoDB's ConsumedCapacity, an entry for each table in the order of their first use.

        indexes=False leaves the shares out, as ReturnConsumedCapacity=TOTAL does. The service gives Read- and
        WriteCapacityUnits only for transactions, here they are always there.
        """
        answer: list[dict[str, Any]] = []
        for name, taken in self.tables.items():
            entry: dict[str, Any] = {"TableName": name, **taken.total.to_dynamodb_json()}
            if indexes:
                entry["Table"] = taken.table.to_dynamodb_json()
                for title, shares in (
                    ("GlobalSecondaryIndexes", taken.global_indexes),
                    ("LocalSecondaryIndexes", taken.local_indexes),
                ):
                    if shares:
                        entry[title] = {index: share.to_dynamodb_json() for index, share in shares.items()}
            answer.append(entry)
        return answer

    def __repr__(self) -> str:
        return f"Consumed(read={_plain(self.read)}, write={_plain(self.write)})"


class Bucket:
    """Units that flow in at a rate and are paid out; safe to share between threads.

    rate: units a second, kept to a millionth; None for on demand, where nothing is ever refused. burst_seconds: for how
    many seconds' worth there is room. A new bucket holds one second's worth. label: what the units are, for messages.
    consumed and throttled count units paid and requests refused. Invalid for a rate that is not above 0.
    """

    def __init__(
        self, rate: float | None, clock: Clock, *, burst_seconds: float = BURST_SECONDS, label: str = "units"
    ) -> None:
        if not _positive(burst_seconds):
            raise Invalid(f"burst_seconds is a number above 0, got {burst_seconds!r} (leave it out for 300)")
        self.label = label
        self.throttled = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._burst = round(burst_seconds * MICROSECONDS)
        self._consumed = 0
        self._level = 0
        self._refilled = clock.now()
        self._begin(rate)

    def _begin(self, rate: float | None) -> None:
        self._rate = rate
        self._flow = 0 if rate is None else checked_rate(rate, self.label)  # fine parts a microsecond
        self._room = self._flow * self._burst
        self._level = min(self._flow * MICROSECONDS, self._room)

    @property
    def rate(self) -> float | None:
        """Units a second as they were given; None on demand."""
        return self._rate

    @property
    def capacity(self) -> float:
        """The most the bucket holds, in units; infinity on demand."""
        return math.inf if self._rate is None else self._room / FINE

    @property
    def level(self) -> float:
        """What is in it now, in units: below zero is debt; infinity on demand."""
        with self._lock:
            self._refill()
            return math.inf if self._rate is None else self._level / FINE

    @property
    def consumed(self) -> float:
        """Units paid since the bucket was made."""
        return self._consumed / FINE

    def take(self, units: float) -> None:
        """Pay before the work is done. Throttled, with nothing taken, if there is less than that in the bucket.

        More than it can ever hold is given when it is full, and leaves a debt. retry_after of the error is in seconds.
        """
        wanted = _fine(units)
        if wanted < 0:
            raise Invalid(f"take() takes 0 units or more, got {units} (charge() gives back)")
        with self._lock:
            self._refill()
            if self._rate is not None:
                self._need(min(wanted, self._room), f"{_plain(units)} {self.label} are needed")
            self._level -= wanted
            self._consumed += wanted

    def charge(self, units: float) -> None:
        """Pay for what has been done already, into debt if need be. Negative units give back what was taken."""
        paid = _fine(units)
        with self._lock:
            self._refill()
            self._level = min(self._level - paid, self._room)
            self._consumed += paid

    def check(self) -> None:
        """Before work whose price is not known yet: Throttled if the bucket is empty or in debt."""
        with self._lock:
            if self._rate is not None:
                self._refill()
                self._need(1, f"{self.label} are needed")

    def set_rate(self, rate: float | None) -> None:
        """Go on at another rate from now on. Invalid for one that is not above 0, and then the old one stays.

        What is in the bucket stays, as far as the new one holds it. After on demand it starts as a new one does.
        """
        if rate is not None:
            checked_rate(rate, self.label)
        with self._lock:
            self._refill()
            before, level = self._rate, self._level
            self._begin(rate)
            if before is not None:
                self._level = min(level, self._room)

    def _refill(self) -> None:
        now = self._clock.now()
        if now > self._refilled:
            self._level = min(self._level + self._flow * (now - self._refilled), self._room)
        self._refilled = now  # also after a step back: time that passes twice is better than time that never comes

    def _need(self, wanted: int, message: str) -> None:
        missing = wanted - self._level
        if missing <= 0:
            return
        self.throttled += 1
        retry_after = -(-missing // self._flow) / MICROSECONDS
        raise Throttled(
            f"{message}, {_plain(self._level / FINE)} are left at {_plain(self._rate or 0)} a second: wait "
            f"{_plain(retry_after)} s, or buy more",
            retry_after=retry_after,
        )


class Capacity:
    """The read and the write bucket of one table or index.

    read, write: units a second; None, None is on demand. partition_limits=True adds buckets of 3,000 read and 1,000
    write units a second for each partition key, which hold one second's worth, and are there on demand too: a hot key
    is refused while the table has plenty. The last 4,096 keys used are remembered. Invalid for one None alone and for
    rates that are not above 0.

    `take`, `check`, `charge`, `give_back` mind both limits; `.read` and `.write` are the table's own buckets.
    """

    def __init__(
        self, read: float | None, write: float | None, clock: Clock, *, partition_limits: bool = False
    ) -> None:
        check_rates(read, write)
        self.read = Bucket(read, clock, label="read units")
        self.write = Bucket(write, clock, label="write units")
        self.partition_limits = partition_limits
        self._clock = clock
        self._partitions: dict[object, tuple[Bucket, Bucket]] = {}  # the longest unused first
        self._lock = threading.Lock()

    @property
    def on_demand(self) -> bool:
        return self.read.rate is None

    def set_rates(self, read: float | None, write: float | None) -> None:
        """Other rates from now on; what the buckets hold stays. Invalid, with nothing changed, as when made."""
        check_rates(read, write)
        self.read.set_rate(read)
        self.write.set_rate(write)

    def take(self, units: float, partition: object = None) -> None:
        """Pay for a write to a partition key (anything hashable). Throttled, with nothing taken, by either limit."""
        self.write.take(units)
        if self.partition_limits and partition is not None:
            try:
                self._of(partition)[1].take(units)
            except Throttled as error:
                self.write.charge(-units)
                raise self._hot(partition, error) from None

    def give_back(self, units: float, partition: object = None) -> None:
        """Undo a take(): the write was not done after all."""
        self.write.charge(-units)
        if self.partition_limits and partition is not None:
            self._of(partition)[1].charge(-units)

    def check(self, partition: object = None) -> None:
        """Before a read: Throttled if the table, or this partition key, has no read units left."""
        self.read.check()
        if self.partition_limits and partition is not None:
            try:
                self._of(partition)[0].check()
            except Throttled as error:
                raise self._hot(partition, error) from None

    def charge(self, units: float, partition: object = None) -> None:
        """After a read: pay for it, into debt if need be."""
        self.read.charge(units)
        if self.partition_limits and partition is not None:
            self._of(partition)[0].charge(units)

    def to_table(self) -> Table:
        """Both buckets: units a second, what is in them, what they can hold, what was paid, how often they refused."""
        rows = [
            (kind, bucket.rate, bucket.level, bucket.capacity, bucket.consumed, bucket.throttled)
            for kind, bucket in (("read", self.read), ("write", self.write))
        ]
        title = "on demand" if self.on_demand else "provisioned"
        return Table.from_rows(("units", "rate", "level", "burst", "consumed", "throttled"), rows, title=title)

    def hot_keys(self, limit: int = 10) -> Table:
        """The partition keys that were refused most often, then those that cost most: empty without partition_limits.

        Only of the keys that are remembered. Invalid if limit is below 1.
        """
        if limit < 1:
            raise Invalid(f"limit must be at least 1, got {limit} (leave it out for 10)")
        with self._lock:
            known = list(self._partitions.items())
        rows = [
            (partition, read.consumed, write.consumed, read.throttled + write.throttled)
            for partition, (read, write) in known
        ]
        rows.sort(key=lambda row: (row[3], row[1] + row[2]), reverse=True)
        names = ("partition", "read units", "write units", "throttled")
        return Table.from_rows(names, rows[:limit], title="hot keys", stats={"keys remembered": len(known)})

    def _of(self, partition: object) -> tuple[Bucket, Bucket]:
        with self._lock:
            buckets = self._partitions.pop(partition, None)
            if buckets is None:
                buckets = (
                    Bucket(PARTITION_READ, self._clock, burst_seconds=1, label="read units of one partition key"),
                    Bucket(PARTITION_WRITE, self._clock, burst_seconds=1, label="write units of one partition key"),
                )
                if len(self._partitions) >= PARTITIONS:
                    del self._partitions[next(iter(self._partitions))]
            self._partitions[partition] = buckets
            return buckets

    def _hot(self, partition: object, error: Throttled) -> Throttled:
        return Throttled(
            f"the partition key {partition!r} is hot: {str(error).removesuffix(', or buy more')}, or spread the load "
            f"over more keys; more capacity for the table does not help",
            partition=partition,
            retry_after=error.details["retry_after"],
        )


def checked_rate(rate: float, label: str = "units") -> int:
    """A rate as fine parts a microsecond, which is millionths of a unit a second. Invalid if it is not above 0."""
    if not _positive(rate) or (flow := round(rate * MICROSECONDS)) < 1:
        raise Invalid(
            f"a rate of {label} is a number above 0 and finite, in units a second, got {rate!r} (None, for reads and "
            f"writes alike, is on demand)"
        )
    return flow


def check_rates(read: float | None, write: float | None) -> None:
    """Invalid for one rate alone, and for one that is not above 0."""
    if (read is None) != (write is None):
        raise Invalid(
            f"capacity is two rates, read and write, or None for both (on demand), got read={read!r}, write={write!r}"
        )
    for rate, label in ((read, "read units"), (write, "write units")):
        if rate is not None:
            checked_rate(rate, label)


def _positive(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and 0 < number < math.inf


def _fine(units: float) -> int:
    if not math.isfinite(units):
        raise Invalid(f"units are a finite number, got {units}")
    return round(units * MICROSECONDS) * PART


def _plain(number: float) -> str:
    return f"{number:.6f}".rstrip("0").rstrip(".")
