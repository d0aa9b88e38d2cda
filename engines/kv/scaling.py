"""Auto-scaling: the rate of a table follows its load, by target tracking as Application Auto Scaling does it.

    units ──observe──> │ minute │ minute │ ... │ minute so far │           sums of the clock's minutes, 15 are kept
                                      │
          tick() ─────────────────────┤
                                      ├─ the last 2 above target x rate             rate = ceil(highest / target)   up
                                      └─ the last 15 at or below (target - 0.2) x rate     the same               down

With a target of 0.7 and a rate of 100, two minutes above 70 units a second raise the rate; fifteen at 50 or below
lower it. The new rate is what brings the highest minute looked at to the target exactly, so an answer never makes the
next one necessary, and asking twice changes nothing.

Limits, as for DynamoDB: between minimum and maximum; at most 4 decreases a UTC day at any time, and beyond those only
if the last decrease is an hour ago (27 a day at most); cooldowns in seconds between two increases, and between two
decreases, both 0 as the service's defaults are.

What a learner sees: burst is what a table lives on until scaling has noticed; scaling answers after two to three
minutes, so a spike shorter than that is throttled or is not, but never scaled for. And since what is refused is not
consumed, use can't be far above the rate: a tenfold load is reached in steps of 1/target, two minutes each.

Where this differs from the service: a minute without any use counts as 0 (there it is no data, and an idle table is
never scaled down); alarms have no delay, and a new rate holds at once, not after minutes; a cooldown lets no larger
increase pass.

    table.scale(read=Scaling(5, 100), write=Scaling(5, 50, target=0.5))

    Definition    Scaling, which is a policy's numbers, and the rates as they are    in the log and the catalog
    Scaler        a ScalingPolicy for reads, one for writes: minutes, cooldowns      in memory, anew when it is opened
    Ticks         at tick(), or before the first operation of a minute on a table that is scaled: asks every Scaler, and
                  alters the definitions of the tables whose rates change

No thread runs: without operations and without tick() nothing changes, and need not. With a ManualClock all of it is
exact. A rate changes outside the store's lock and before an operation, so that operation pays at the new rate already.
As the minutes seen are not durable, a store that is opened again decides after two new minutes or fifteen.

What the indexes of a table cost comes out of the table's own buckets, so one policy serves them all; in the service
each global index has rates, and policies, of its own.

Invariants: the rate is in minimum ... maximum after every tick; an increase needs 2 minutes above the target, a
decrease 15 at or below target - 0.2; the same units at the same times give the same rates.
"""

import math
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from engines.clock import MICROSECONDS, Clock
from engines.display import Table
from engines.errors import Invalid, NotFound, ReadOnly

if TYPE_CHECKING:
    from engines.kv.catalog import Definition
    from engines.kv.store import Store
    from engines.kv.throttle import Bucket, Capacity

MINUTE, HOUR, DAY = 60 * MICROSECONDS, 3600 * MICROSECONDS, 86400 * MICROSECONDS
MINUTES_UP, MINUTES_DOWN = 2, 15
BELOW = Fraction(20, 100)  # of the rate: how far under the target a decrease begins
LOWEST_TARGET, HIGHEST_TARGET = 0.2, 0.9
DECREASES_A_DAY = 4
ACTIVITIES = 1000  # remembered
KINDS = ("read", "write")


class Scaling(msgspec.Struct, frozen=True):
    """The numbers of a policy: what Table.scale() takes and a table's definition keeps. See ScalingPolicy."""

    minimum: int
    maximum: int
    target: float = 0.7
    cooldown_up: float = 0
    cooldown_down: float = 0

    def policy(self, clock: Clock, rate: float) -> "ScalingPolicy":
        """A policy of these numbers, without any memory, that goes on from a rate (the next whole one). Invalid."""
        return ScalingPolicy(
            self.minimum,
            self.maximum,
            clock=clock,
            rate=math.ceil(rate),
            target=self.target,
            cooldown_up=self.cooldown_up,
            cooldown_down=self.cooldown_down,
        )


class Activity(NamedTuple):
    """One change of the rate: when (microseconds), from what to what, and why."""

    time: int
    before: int
    after: int
    why: str


class ScalingPolicy:
    """Target tracking for the read or the write rate of one table or index. Safe to share between threads.

    minimum, maximum: whole units a second, the rate stays between them. rate: where it starts (minimum). target: which
    part of the rate should be in use, 0.2 to 0.9. cooldown_up, cooldown_down: seconds after an increase or a decrease
    in which there is no other. Invalid for anything else.
    """

    def __init__(
        self,
        minimum: int,
        maximum: int,
        *,
        clock: Clock,
        rate: int | None = None,
        target: float = 0.7,
        cooldown_up: float = 0,
        cooldown_down: float = 0,
    ) -> None:
        for name, value in (("minimum", minimum), ("maximum", maximum), ("rate", minimum if rate is None else rate)):
            _whole(name, value)
        if minimum > maximum:
            raise Invalid(f"minimum is at most maximum, got {minimum} and {maximum}")
        if not (_is_number(target) and LOWEST_TARGET <= target <= HIGHEST_TARGET):
            raise Invalid(f"target is the part of the rate in use, {LOWEST_TARGET} to {HIGHEST_TARGET}, got {target!r}")
        for name, seconds in (("cooldown_up", cooldown_up), ("cooldown_down", cooldown_down)):
            if not (_is_number(seconds) and 0 <= seconds < math.inf):
                raise Invalid(f"{name} is a number of seconds from 0 on, got {seconds!r}")
        self.minimum, self.maximum, self.target = minimum, maximum, target
        self.cooldown_up, self.cooldown_down = cooldown_up, cooldown_down
        self.rate = minimum if rate is None else rate
        self.activities: deque[Activity] = deque(maxlen=ACTIVITIES)
        self._target = Fraction(str(target))  # 0.7 is meant, not the float below it
        self._clock = clock
        self._lock = threading.Lock()
        self._minutes: deque[float] = deque(maxlen=MINUTES_DOWN)  # units used in those that are over, the latest last
        self._minute = clock.now() // MINUTE
        self._units = 0.0  # in the minute so far
        self._last_up: int | None = None
        self._last_down: int | None = None
        self._day, self._decreases = 0, 0  # a UTC day, and how often the rate went down on it

    def observe(self, units: float) -> None:
        """Note units that were consumed now. Invalid if they are negative or not finite."""
        if not (_is_number(units) and 0 <= units < math.inf):
            raise Invalid(f"observed units are a number from 0 on, got {units!r}")
        with self._lock:
            self._close_minutes()
            self._units += units

    def tick(self) -> int | None:
        """The new rate if the minutes that are over ask for one, else None. It holds from now on."""
        with self._lock:
            now = self._close_minutes()
            wanted, why = self._wanted()
            if wanted == self.rate or not self._may(wanted, now):
                return None
            self._note(wanted, why, now)
            return wanted

    def set_rate(self, rate: int) -> None:
        """The rate was changed by hand: go on from it. Does not count as a decrease, nor for cooldowns. Invalid."""
        _whole("rate", rate)
        with self._lock:
            if rate != self.rate:
                self.activities.append(Activity(self._clock.now(), self.rate, rate, "set by hand"))
                self.rate = rate

    def _close_minutes(self) -> int:
        """Put the minutes that are over away, idle ones too; the time. A clock that steps back changes nothing."""
        now = self._clock.now()
        passed = now // MINUTE - self._minute
        if passed > 0:
            self._minutes.append(self._units)
            self._minutes.extend([0.0] * min(passed - 1, MINUTES_DOWN))
            self._minute, self._units = now // MINUTE, 0.0
        return now

    def _wanted(self) -> tuple[int, str]:
        minutes = [Fraction(units) / 60 for units in self._minutes]  # units a second
        wanted, why = self.rate, "outside of minimum and maximum"
        if len(minutes) >= MINUTES_UP and min(minutes[-MINUTES_UP:]) > self._target * self.rate:
            wanted, why = self._fitting(minutes[-MINUTES_UP:]), f"{MINUTES_UP} minutes above the target"
        elif len(minutes) >= MINUTES_DOWN and max(minutes) <= (self._target - BELOW) * self.rate:
            wanted, why = self._fitting(minutes), f"{MINUTES_DOWN} minutes 20 % or more below the target"
        return min(max(wanted, self.minimum), self.maximum), why

    def _fitting(self, minutes: list[Fraction]) -> int:
        return math.ceil(max(minutes) / self._target)

    def _may(self, wanted: int, now: int) -> bool:
        if not self.minimum <= self.rate <= self.maximum:
            return True  # set by hand to where it must not stay
        if wanted > self.rate:
            return _is_past(self._last_up, self.cooldown_up, now)
        quota = now // DAY != self._day or self._decreases < DECREASES_A_DAY
        return (quota or _is_past(self._last_down, HOUR / MICROSECONDS, now)) and _is_past(
            self._last_down, self.cooldown_down, now
        )

    def _note(self, wanted: int, why: str, now: int) -> None:
        if wanted > self.rate:
            self._last_up = now
        else:
            self._decreases = self._decreases + 1 if now // DAY == self._day else 1
            self._day, self._last_down = now // DAY, now
        self.activities.append(Activity(now, self.rate, wanted, why))
        self.rate = wanted


def _is_past(last: int | None, seconds: float, now: int) -> bool:
    return last is None or now - last >= seconds * MICROSECONDS


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Invalid(f"{name} is a whole number of units a second from 1 on, got {value!r}")


# -- policies at work in a store --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Side:
    """The reads or the writes of a table: what is asked of them, who decides, who is paid, and what of it was seen."""

    numbers: Scaling
    policy: ScalingPolicy
    bucket: "Bucket"
    seen: float


class Scaler:
    """The policies of one table, and what its buckets tell them. Safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sides: dict[str, _Side] = {}

    def follow(self, definition: "Definition", capacity: "Capacity") -> None:
        """Take over a table's definition, new or changed. Policies whose numbers are the same keep their memory."""
        with self._lock:
            for kind in KINDS:
                rate, numbers, bucket = getattr(definition, kind), scaling_of(definition, kind), getattr(capacity, kind)
                side = self._sides.get(kind)
                if numbers is None:
                    self._sides.pop(kind, None)
                elif side is None or side.numbers != numbers:
                    self._sides[kind] = _Side(numbers, numbers.policy(self._clock, rate), bucket, bucket.consumed)
                else:
                    side.policy.set_rate(math.ceil(rate))
                    if side.bucket is not bucket:
                        side.bucket, side.seen = bucket, bucket.consumed

    def observe(self) -> None:
        """Note what the buckets were paid since the last time, as used now. What is given back counts against more."""
        with self._lock:
            for side in self._sides.values():
                paid = side.bucket.consumed
                if paid > side.seen:
                    side.policy.observe(paid - side.seen)
                    side.seen = paid

    def begin(self) -> None:
        """Forget what a replay has changed."""
        with self._lock:
            for side in self._sides.values():
                side.policy.activities.clear()

    def tick(self, definition: "Definition") -> dict[str, int]:
        """The rates that shall be other ones than those of the definition: "read", "write", both or none."""
        with self._lock:
            for side in self._sides.values():
                side.policy.tick()
            rates = {kind: side.policy.rate for kind, side in self._sides.items()}
        return {kind: rate for kind, rate in rates.items() if rate != getattr(definition, kind)}

    def to_table(self) -> Table:
        """The changes of both rates in the order of time, and the limits as stats."""
        with self._lock:
            rows = [
                (activity.time, kind, activity.before, activity.after, activity.why)
                for kind, side in self._sides.items()
                for activity in list(side.policy.activities)
            ]
            stats = {f"{kind} units": f"{n.minimum} to {n.maximum}" for kind, n in self._numbers()}
        rows.sort(key=lambda row: row[0])
        return _activities(rows, stats)

    def _numbers(self) -> list[tuple[str, Scaling]]:
        return [(kind, side.numbers) for kind, side in self._sides.items()]


def _activities(rows: list[tuple[int, str, int, int, str]], stats: dict[str, str]) -> Table:
    return Table(
        {
            "time": np.array([row[0] for row in rows], dtype="M8[us]"),
            **{name: [row[at] for row in rows] for at, name in enumerate(("units", "before", "after", "why"), 1)},
        },
        title="scaling activities",
        stats=stats,
    )


def activities(scaler: Scaler | None) -> Table:
    """The changes of a table's rates, also of a table that is not scaled."""
    return _activities([], {}) if scaler is None else scaler.to_table()


def scaling_of(definition: "Definition", kind: str) -> Scaling | None:
    """The numbers for "read" or "write"."""
    return definition.read_scaling if kind == "read" else definition.write_scaling


def scaled(definition: "Definition", read: Scaling | None, write: Scaling | None, clock: Clock) -> "Definition":
    """The definition with these policies, and with rates within their limits. Invalid for a table on demand, ..."""
    for kind, numbers in (("read", read), ("write", write)):
        rate = getattr(definition, kind)
        if numbers is None:
            continue
        if not isinstance(numbers, Scaling):
            raise Invalid(f"{kind} is a kv.Scaling(minimum, maximum), or None for rates by hand, got {numbers!r:.80}")
        numbers.policy(clock, 1)  # Invalid for what makes no sense
        if rate is None:
            raise Invalid(f"table {definition.name} is on demand, there is no rate to scale: buy capacity() first")
        fitting = min(max(math.ceil(rate), numbers.minimum), numbers.maximum)
        definition = msgspec.structs.replace(definition, **{kind: fitting})
    return msgspec.structs.replace(definition, read_scaling=read, write_scaling=write)


class Ticks:
    """Asks the scaled tables of a store whether their rates have to change: once in every minute of use."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._ticking = threading.Lock()
        self._minute = store.clock.now() // MINUTE

    def begin(self) -> None:
        """The store is open: from now on changes count."""
        for table in self._store.schema.all():
            if table.records.scaler is not None:
                table.records.scaler.begin()

    def tick(self) -> int:
        """Ask now; how many tables have got other rates. Not under the store's lock: definitions are altered."""
        changed = 0
        for table in self._store.schema.all():
            scaler = table.records.scaler
            rates = {} if scaler is None else scaler.tick(table.definition)
            if rates:
                with suppress(NotFound):  # it was dropped meanwhile
                    self._store.schema.alter(table, partial(_at_rates, rates))
                    changed += 1
        return changed

    def if_due(self) -> None:
        """The same, if it is the first time in this minute. A store that takes no writes goes on at the old rates."""
        minute = self._store.clock.now() // MINUTE
        if minute != self._minute and self._ticking.acquire(blocking=False):
            try:
                self._minute = minute
                with suppress(ReadOnly):
                    self.tick()
            finally:
                self._ticking.release()


def _at_rates(rates: dict[str, int], definition: "Definition") -> "Definition":
    """The definition at these rates, unless it was changed to on demand meanwhile."""
    return definition if definition.read is None else msgspec.structs.replace(definition, **rates)
