"""Auto-scaling: two minutes up, fifteen down, and how often; by a clock that moves when it is told."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models.capacity import scaled

from engines.clock import ManualClock
from engines.errors import Invalid
from engines.kv.scaling import ScalingPolicy


def minutes(policy, clock, units_a_second, count=1):
    """That many minutes of even use; the rates that ticks after each of them answered."""
    rates = []
    for _ in range(count):
        policy.observe(units_a_second * 60)
        clock.advance(minutes=1)
        rates.append(policy.tick())
    return rates


@pytest.fixture
def clock():
    return ManualClock()


def test_two_minutes_above_the_target_raise_the_rate_to_where_they_are_on_target(clock):
    policy = ScalingPolicy(10, 1000, clock=clock, rate=100)
    assert minutes(policy, clock, 84) == [None]
    assert minutes(policy, clock, 77) == [120]
    assert policy.rate == 120
    assert minutes(policy, clock, 84, 5) == [None] * 5


def test_use_at_the_target_exactly_is_no_reason(clock):
    policy = ScalingPolicy(10, 1000, clock=clock, rate=100)
    assert minutes(policy, clock, 70, 5) == [None] * 5
    policy.observe(0.5)
    assert minutes(policy, clock, 70) == [None]
    policy.observe(0.5)
    assert minutes(policy, clock, 70) == [101]


def test_one_minute_of_storm_is_never_scaled_for(clock):
    policy = ScalingPolicy(10, 1000, clock=clock, rate=100)
    for _ in range(10):
        assert minutes(policy, clock, 400) == [None]
        assert minutes(policy, clock, 70) == [None]


def test_fifteen_minutes_20_percent_below_the_target_lower_it(clock):
    policy = ScalingPolicy(10, 1000, clock=clock, rate=100)
    assert minutes(policy, clock, 50, 15) == [None] * 14 + [72]
    assert minutes(policy, clock, 50, 30) == [None] * 30


def test_a_minute_in_between_that_is_busier_starts_the_fifteen_anew(clock):
    policy = ScalingPolicy(10, 1000, clock=clock, rate=100)
    assert minutes(policy, clock, 20, 14) == [None] * 14
    assert minutes(policy, clock, 51) == [None]
    assert minutes(policy, clock, 20, 15) == [None] * 14 + [29]


def test_idle_minutes_count_as_minutes_without_use(clock):
    policy = ScalingPolicy(10, 1000, clock=clock, rate=100)
    policy.observe(6_000)
    clock.advance(minutes=15)
    assert policy.tick() is None  # the first minute was busy
    clock.advance(minutes=1)
    assert policy.tick() == 10
    clock.advance(days=400)
    assert policy.tick() is None


def test_the_rate_stays_between_minimum_and_maximum(clock):
    policy = ScalingPolicy(50, 150, clock=clock, rate=100)
    assert minutes(policy, clock, 1000, 4) == [None, 150, None, None]
    assert minutes(policy, clock, 0, 20)[14:] == [50, None, None, None, None, None]


def test_a_rate_outside_of_the_limits_is_brought_back_at_once(clock):
    assert ScalingPolicy(50, 150, clock=clock, rate=10).tick() == 50
    policy = ScalingPolicy(50, 150, clock=clock, rate=100)
    policy.set_rate(500)
    assert policy.tick() == 150
    assert policy.tick() is None


def lower(policy, count):
    """What ticks answer when the rate is far too high each time, because it was set so by hand."""
    answers = []
    for _ in range(count):
        policy.set_rate(1000)
        answers.append(policy.tick())
    return answers


def test_four_decreases_a_day_and_one_more_an_hour_after_the_last(clock):
    policy = ScalingPolicy(10, 1000, clock=clock, rate=1000)
    clock.advance(minutes=15)
    assert lower(policy, 5) == [10, 10, 10, 10, None]
    clock.advance(minutes=59, seconds=59)
    assert policy.tick() is None
    clock.advance(seconds=1)
    assert policy.tick() == 10
    assert lower(policy, 2) == [None, None]
    policy.set_rate(5000)
    assert policy.tick() == 10  # where it must not stay, it does not
    policy.set_rate(1000)
    hours = 0
    while clock.now() < 86_400_000_000 - 3_600_000_000:
        clock.advance(hours=1)
        hours += lower(policy, 1) == [10]
    assert hours == 22  # with the four and the one: 27 a day
    clock.advance(hours=0.75)  # the next UTC day
    assert lower(policy, 5) == [10, 10, 10, 10, None]


def test_cooldowns_hold_back_the_next_change_of_their_own_kind(clock):
    policy = ScalingPolicy(10, 1000, clock=clock, rate=100, cooldown_up=300, cooldown_down=3600)
    assert minutes(policy, clock, 100, 2) == [None, 143]
    assert minutes(policy, clock, 200, 5) == [None, None, None, None, 286]
    assert minutes(policy, clock, 100, 15)[-1] == 143  # there was no decrease yet
    assert minutes(policy, clock, 20, 60) == [None] * 59 + [29]
    assert minutes(policy, clock, 100, 2) == [None, 143]  # an increase waits for no decrease


def test_load_far_above_the_rate_is_reached_in_steps_because_what_is_refused_is_not_consumed(clock):
    policy = ScalingPolicy(10, 1000, clock=clock, rate=100)
    rates = []
    while policy.rate < 1000:
        rates += [rate for rate in minutes(policy, clock, min(1000, policy.rate)) if rate]
    assert rates == [143, 205, 293, 419, 599, 856, 1000]
    assert clock.now() == 14 * 60_000_000


def test_activities_say_when_and_why(clock):
    policy = ScalingPolicy(10, 1000, clock=clock, rate=100)
    minutes(policy, clock, 100, 2)
    policy.set_rate(150)
    policy.set_rate(150)
    assert list(policy.activities) == [
        (120_000_000, 100, 143, "2 minutes above the target"),
        (120_000_000, 143, 150, "set by hand"),
    ]


def test_a_clock_that_steps_back_neither_adds_nor_loses(clock):
    policy = ScalingPolicy(10, 1000, clock=clock, rate=100)
    minutes(policy, clock, 100)
    clock._now -= 30_000_000
    policy.observe(6_000)
    clock.advance(minutes=1)
    assert policy.tick() is None
    clock.advance(seconds=30)
    assert policy.tick() == 143


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"minimum": 0}, "minimum is a whole number"),
        ({"maximum": 10.5}, "maximum is a whole number"),
        ({"rate": True}, "rate is a whole number"),
        ({"minimum": 6, "maximum": 5}, "minimum is at most maximum, got 6 and 5"),
        ({"target": 70}, "0.2 to 0.9, got 70"),
        ({"target": 0.1}, "0.2 to 0.9"),
        ({"target": math.nan}, "0.2 to 0.9"),
        ({"target": "0.7"}, "0.2 to 0.9"),
        ({"cooldown_up": -1}, "cooldown_up is a number of seconds"),
        ({"cooldown_down": math.inf}, "cooldown_down is a number of seconds"),
    ],
)
def test_what_makes_no_sense_is_refused(clock, changed, message):
    with pytest.raises(Invalid, match=message):
        ScalingPolicy(**{"minimum": 1, "maximum": 100, "clock": clock} | changed)


@pytest.mark.parametrize("units", [-1, math.nan, math.inf, "1", True])
def test_units_that_are_none_are_not_observed(clock, units):
    policy = ScalingPolicy(1, 100, clock=clock)
    with pytest.raises(Invalid, match="from 0 on"):
        policy.observe(units)
    with pytest.raises(Invalid, match="rate is a whole number"):
        policy.set_rate(units)


LOADS = st.lists(st.tuples(st.sampled_from([1, 1, 2, 16]), st.sampled_from([0, 3, 40, 50, 70, 71, 300])), max_size=30)


@given(
    loads=LOADS,
    rate=st.integers(20, 400),
    target=st.sampled_from([0.2, 0.5, 0.7, 0.9]),
    slow=st.booleans(),
)
def test_the_rate_is_what_the_rules_say(loads, rate, target, slow):
    """Ticks every minute, or only now and then: the answer is that of the minutes that are over."""
    clock = ManualClock()
    policy = ScalingPolicy(20, 400, clock=clock, rate=rate, target=target)
    used, downs = [], []
    for count, percent in loads:
        for i in range(count):
            policy.observe(rate * percent * 0.6)
            used.append(rate * percent * 0.6)
            clock.advance(minutes=1)
            if slow and i < count - 1:
                continue
            wanted = scaled(used, rate, target, 20, 400)
            if wanted < rate and len(downs) >= 4 and clock.now() - downs[-1] < 3_600_000_000:
                wanted = rate  # all on one day
            elif wanted < rate:
                downs.append(clock.now())
            assert policy.tick() == (None if wanted == rate else wanted)
            assert policy.tick() is None
            rate = wanted
            assert policy.rate == rate
