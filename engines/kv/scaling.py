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

Nothing runs by itself: whoever owns the policy calls tick() when it suits, at most once a minute is of use. With a
ManualClock all of it is exact.

Invariants: the rate is in minimum ... maximum after every tick; an increase needs 2 minutes above the target, a
decrease 15 at or below target - 0.2; the same units at the same times give the same rates.
"""

import math
import threading
from collections import deque
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from engines.clock import MICROSECONDS, Clock
from engines.display import Table
from engines.errors import Invalid

MINUTE, HOUR, DAY = 60 * MICROSECONDS, 3600 * MICROSECONDS, 86400 * MICROSECONDS
MINUTES_UP, MINUTES_DOWN = 2, 15
BELOW = Fraction(20, 100)  # of the rate: how far under the target a decrease begins
LOWEST_TARGET, HIGHEST_TARGET = 0.2, 0.9
DECREASES_A_DAY = 4
ACTIVITIES = 1000  # remembered


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

    def to_table(self) -> Table:
        """The last 1,000 changes of the rate: when, from what, to what, why."""
        with self._lock:
            activities = list(self.activities)
            stats = {"rate": self.rate, "minimum": self.minimum, "maximum": self.maximum, "target": self.target}
        return Table(
            {
                "time": np.array([activity.time for activity in activities], dtype="M8[us]"),
                "before": [activity.before for activity in activities],
                "after": [activity.after for activity in activities],
                "why": [activity.why for activity in activities],
            },
            title="scaling activities",
            stats=stats,
        )

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
