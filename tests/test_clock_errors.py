"""Clocks that stand still, clocks that agree, and errors that say what to do."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import errors
from engines.clock import HybridClock, ManualClock, Stamp, SystemClock
from engines.errors import Conflict, EngineError, Invalid, Poisoned, QueryError, ReadOnly, Throttled, Trimmed, nearest


def test_a_manual_clock_moves_only_when_it_is_told():
    clock = ManualClock(start=5)
    assert clock.now() == 5
    assert clock.advance(1.5) == 1_500_005
    assert clock.advance(minutes=1, hours=1, days=1) == 1_500_005 + (60 + 3_600 + 86_400) * 1_000_000
    assert clock.timer() == clock.now() / 1_000_000


def test_a_manual_clock_never_goes_back():
    clock = ManualClock()
    with pytest.raises(Invalid, match="only moves forward"):
        clock.advance(-1)
    with pytest.raises(Invalid, match="starts at 0 or later"):
        ManualClock(-1)
    assert clock.now() == 0


def test_a_sleeper_wakes_when_its_moment_has_come_and_not_before():
    clock = ManualClock()
    woken = threading.Event()

    def sleeper():
        clock.sleep(10)
        woken.set()

    thread = threading.Thread(target=sleeper)
    thread.start()
    while not clock._moved._waiters:  # until it sleeps
        pass
    clock.advance(9)
    assert not woken.is_set()
    clock.advance(1)
    thread.join()
    assert woken.is_set()


def test_the_system_clock_counts_microseconds_since_1970():
    clock = SystemClock()
    assert 1_700_000_000_000_000 < clock.now() < 10_000_000_000_000_000
    began = clock.timer()
    clock.sleep(0.001)
    assert clock.timer() >= began + 0.001


def test_hybrid_stamps_of_one_moment_are_told_apart_by_their_counter():
    clock = ManualClock(7_000_999)
    hybrid = HybridClock(clock, "a")
    assert [hybrid.tick(), hybrid.tick()] == [Stamp(7000, 0, "a"), Stamp(7000, 1, "a")]
    clock.advance(0.001)
    assert hybrid.tick() == Stamp(7001, 0, "a")


def test_a_full_counter_moves_the_milliseconds_on():
    hybrid = HybridClock(ManualClock(), "a")
    assert hybrid.merge(Stamp(50, 0xFFFF, "b")) == Stamp(51, 0, "a")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.integers(0, 5))))
def test_an_effect_has_a_later_stamp_than_its_cause_on_every_node(events):
    clocks = {name: ManualClock(skew) for name, skew in [("a", 0), ("b", 40_000), ("c", 9_000_000)]}
    nodes = {name: HybridClock(clock, name) for name, clock in clocks.items()}
    last: dict[str, Stamp] = {}
    for sender, receiver, pause in events:
        clocks[sender].advance(pause / 1000)
        sent = nodes[sender].tick()
        received = nodes[receiver].merge(sent)
        assert sent < received
        assert sent > last.get(sender, Stamp(-1, 0, ""))
        assert received > last.get(receiver, Stamp(-1, 0, ""))
        last[sender], last[receiver] = max(sent, last.get(sender, sent)), received


def test_threads_never_get_the_same_stamp():
    hybrid = HybridClock(ManualClock(), "a")
    stamps: list[Stamp] = []
    threads = [threading.Thread(target=lambda: stamps.extend(hybrid.tick() for _ in range(500))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(stamps)) == 2_000


def test_every_error_has_a_code_of_its_own_and_a_name_for_the_service():
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, EngineError)]
    assert len(classes) == 16
    assert len({error.code for error in classes}) == len(classes)
    assert all(error.aws.endswith(("Exception", "Error")) for error in classes)
    assert all(error.__doc__ for error in classes)


def test_details_read_as_attributes_and_a_code_can_be_given():
    error = Throttled("wait a little", retry_after=0.5)
    assert (str(error), error.code, error.retry_after) == ("wait a little", "throttled", 0.5)
    assert error.details == {"retry_after": 0.5}
    assert ReadOnly("full", code="disk-full").code == "disk-full"
    assert ReadOnly.code == "read-only"
    with pytest.raises(AttributeError, match="limit"):
        _ = error.limit


def test_a_conflict_says_that_a_retry_may_help_and_trimmed_is_not_found():
    assert Conflict("somebody was first").retry
    assert issubclass(Trimmed, errors.NotFound)
    assert issubclass(Poisoned, ReadOnly)
    assert Trimmed("gone", oldest=7).oldest == 7


def test_a_query_error_points_at_the_spot():
    error = QueryError("unknown function", text="SELECT a\nFROM foo(b)", position=14, suggestion="did you mean 'fo'?")
    assert (error.line, error.column) == (2, 6)
    assert str(error).split("\n") == [
        "unknown function (line 2, column 6)",
        "  FROM foo(b)",
        "       ^",
        "did you mean 'fo'?",
    ]
    assert (error.kind, error.phase, error.code) == ("SyntaxError", "compile", "query")


@given(st.text(alphabet="ab\n", min_size=1), st.data())
def test_a_query_errors_line_and_column_lead_back_to_its_position(text, data):
    position = data.draw(st.integers(0, len(text)))
    error = QueryError("wrong", text=text, position=position)
    lines = text.split("\n")
    assert sum(len(line) + 1 for line in lines[: error.line - 1]) + error.column - 1 == position


def test_the_nearest_name_is_offered_and_nothing_where_none_is_near():
    assert nearest("ordres", ["orders", "people"]) == "; did you mean 'orders'?"
    assert nearest("xyz", ["orders", "people"]) == ""
