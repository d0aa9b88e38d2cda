"""A bucket of capacity units by brute force: microsecond after microsecond something flows in, and no more than fits.

And what auto-scaling is about: minutes with what was used in each, and two rules.
"""

import math
from fractions import Fraction

SECOND = 1_000_000


class Bucket:
    """Levels are fractions, so nothing is ever rounded. Times are in whole microseconds."""

    def __init__(self, rate, burst_seconds):
        self.rate, self.burst = Fraction(rate), Fraction(burst_seconds)
        self.room = self.rate * self.burst
        self.level = min(self.rate, self.room)  # one second's worth

    def wait(self, microseconds):
        for _ in range(microseconds):
            self.level = min(self.room, self.level + self.rate / SECOND)

    def take(self, units):
        """Whether that much was there; a bucket that is full gives more than it holds."""
        if self.level < min(units, self.room):
            return False
        self.level -= Fraction(units)
        return True

    def check(self):
        return self.level > 0

    def charge(self, units):
        self.level = min(self.room, self.level - Fraction(units))

    def set_rate(self, rate):
        self.rate = Fraction(rate)
        self.room = self.rate * self.burst
        self.level = min(self.level, self.room)


def scaled(minutes, rate, target, minimum, maximum):
    """The rate that follows from the units used in each of the minutes that are over, the latest last."""

    def used(count):
        return [Fraction(units) / 60 / rate for units in minutes[-count:]]

    target = Fraction(str(target))
    wanted = rate
    if len(minutes) >= 2 and min(used(2)) > target:
        wanted = math.ceil(max(used(2)) * rate / target)
    elif len(minutes) >= 15 and max(used(15)) <= target - Fraction(1, 5):
        wanted = min(rate, math.ceil(max(used(15)) * rate / target))
    return max(minimum, min(maximum, wanted))
