"""Time as an argument: every engine takes a clock, and no engine ever asks the operating system what time it is.

So expiry, retention, schedules and throttling are exact in a lesson and in a test: `clock.advance(days=1)` is a day.

    SystemClock      the machine's time
    ManualClock      stands still until it is told to advance; sleepers wake when their moment has come
    HybridClock      another clock plus a counter and a node name: stamps that agree with cause and effect on n machines

All times are whole microseconds since 1970-01-01 UTC.
"""

import threading
import time
from typing import NamedTuple, Protocol

from engines.errors import Invalid

MICROSECONDS = 1_000_000


class Clock(Protocol):
    """What an engine asks of a clock."""

    def now(self) -> int:
        """Microseconds since 1970, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return when that much of *this* clock's time has passed."""
        ...

    def timer(self) -> float:
        """Seconds from an arbitrary start, never going back: for measuring how long something took."""
        ...


class SystemClock:
    """The machine's clock. It may step backwards when it is corrected: logs clamp, so their times never do."""

    def now(self) -> int:
        return time.time_ns() // 1000

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def timer(self) -> float:
        return time.perf_counter()


class ManualClock:
    """A clock that moves only when told. start is in microseconds; threads asleep on it wake when it passes them."""

    def __init__(self, start: int = 0) -> None:
        if start < 0:
            raise Invalid(f"a ManualClock starts at 0 or later, in microseconds since 1970, got {start}")
        self._now = start
        self._moved = threading.Condition()

    def now(self) -> int:
        return self._now

    def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> int:
        """Move forward by the sum of the arguments; the new time in microseconds. Invalid if the sum is negative."""
        step = round((seconds + 60 * minutes + 3600 * hours + 86400 * days) * MICROSECONDS)
        if step < 0:
            raise Invalid(f"a clock only moves forward, got a step of {step} microseconds")
        with self._moved:
            self._now += step
            self._moved.notify_all()
            return self._now

    def sleep(self, seconds: float) -> None:
        with self._moved:
            until = self._now + round(seconds * MICROSECONDS)
            self._moved.wait_for(lambda: self._now >= until)

    def timer(self) -> float:
        return self._now / MICROSECONDS


class Stamp(NamedTuple):
    """A moment on a HybridClock: compares as (milliseconds, counter, node), so all nodes agree on one order."""

    milliseconds: int
    counter: int
    node: str


class HybridClock:
    """A hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014), safe to share between threads.

    tick() stamps a local event, merge(stamp) an event that was caused by a remote one. A stamp is later than every
    stamp its node has seen, and stays within the clocks' skew of real time. The counter has 16 bits; should it run
    over, the milliseconds move on by one.
    """

    def __init__(self, clock: Clock, node: str) -> None:
        self._clock = clock
        self._node = node
        self._last = (0, 0)
        self._lock = threading.Lock()

    def tick(self) -> Stamp:
        """The stamp of an event that happens here and now."""
        return self._after((0, 0))

    def merge(self, remote: Stamp) -> Stamp:
        """The stamp of receiving what was stamped `remote`: later than it, and than all seen before."""
        return self._after((remote.milliseconds, remote.counter))

    def _after(self, seen: tuple[int, int]) -> Stamp:
        with self._lock:
            milliseconds, counter = max(self._last, seen)
            now = self._clock.now() // 1000
            if now > milliseconds:
                self._last = (now, 0)
            elif counter < 0xFFFF:
                self._last = (milliseconds, counter + 1)
            else:
                self._last = (milliseconds + 1, 0)
            return Stamp(*self._last, self._node)
