"""Frames of the journal: there and back, damaged, and stopped in the middle of being applied."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from timeseries.test_merge import checked, many, plain, rows_of, several
from timeseries.written import held

from engines.clock import ManualClock
from engines.errors import Corrupted
from engines.timeseries import TimeSeries, journal, merge
from engines.timeseries.journal import LATE, NEW, Batch, Section
from engines.timeseries.ordering import ordered
from engines.timeseries.rows import Column, Rows
from engines.timeseries.schema import Measure
from engines.timeseries.series import SeriesIndex, SeriesKey

NOW = 1_800_000_000
KEYS = (SeriesKey("cpu", (("host", "a"),)), SeriesKey(None, ()))


def batch(*sections):
    measures = (Measure(2, "usage", "double", single=False),)
    return Batch(7, NOW, 3, ("host",), measures, KEYS, list(sections))


@given(several)
def test_a_frame_says_what_was_written(parts):
    rows = [rows_of(part) for part in parts]
    encoded = merge.encoded_part(many(0, 200))
    given = batch(*(Section(at, LATE, some) for at, some in enumerate(rows)), Section(5, NEW, None, encoded))
    back = journal.decode(journal.encode(given), "here")
    assert (back.table, back.now, back.first_series) == (7, NOW, 3)
    assert (back.dimensions, back.measures, back.series) == (given.dimensions, given.measures, KEYS)
    assert [(s.tile, s.kind) for s in back.sections] == [(s.tile, s.kind) for s in given.sections]
    for section, some in zip(back.sections, rows, strict=False):
        assert plain(section.rows) == plain(some)
    assert checked([back.sections[-1].part]) == checked([encoded])


def test_long_plain_columns_are_compressed():
    rows = Rows(np.zeros(2_000, np.int32), np.arange(2_000), {2: Column("double", np.zeros(2_000))})
    payload = journal.encode(batch(Section(0, NEW, rows)))
    assert len(payload) < 8_000
    assert plain(journal.decode(payload, "here").sections[0].rows) == plain(rows)


def test_a_damaged_frame_is_corrupted_or_something_else_but_never_worse():
    payload = journal.encode(
        batch(Section(0, NEW, many(0, 3)), Section(0, LATE, None, merge.encoded_part(many(0, 70))))
    )
    for at in range(0, len(payload), 3):
        for bit in (0, 4, 7):
            damaged = payload[:at] + bytes([payload[at] ^ 1 << bit]) + payload[at + 1 :]
            try:
                journal.decode(damaged, "here")
            except Corrupted:
                continue
    for end in range(0, len(payload) - 64, 7):
        with pytest.raises(Corrupted):
            journal.decode(payload[:end], "here")


def test_a_write_that_is_stopped_while_it_becomes_visible_is_there_as_a_whole(monkeypatch):
    with TimeSeries(clock=ManualClock(NOW * 10**6)) as store:
        table = store.create_table("cpu")
        times = np.arange(NOW - 100, NOW) * 10**9
        table.write(times[:50], {"host": "a"}, {"usage": np.arange(50.0)})
        take = type(table).take

        def stopped(self, given):
            monkeypatch.undo()
            take(self, given)
            raise KeyboardInterrupt

        monkeypatch.setattr(type(table), "take", stopped)
        with pytest.raises(KeyboardInterrupt):
            table.write(times[50:], {"host": "b"}, {"idle": np.arange(50.0)})
        assert store.table("cpu") is table
        assert len(held(table)) == 100
        assert table.write(times[50:], {"host": "b"}, {"idle": np.arange(50.0)}).unchanged == 50
        assert store.tree.stats()["applied"] == store.log.last


# -- series


def test_series_are_numbered_as_they_come_and_found_by_what_they_have():
    index = SeriesIndex()
    keys = [
        SeriesKey("cpu", (("host", "a"), ("region", "x"))),
        SeriesKey("cpu", (("host", "b"),)),
        SeriesKey(None, (("host", "a"),)),
        SeriesKey("cpu", (("host", "a"), ("region", "y"))),
    ]
    assert [index.add(key) for key in (*keys, keys[0])] == [0, 1, 2, 3, 0]
    assert index.match({"host": ["a"]}).tolist() == [0, 2, 3]
    assert index.match({"host": ["a", "b"], "region": ["y", "z"]}).tolist() == [3]
    assert index.match({"region": [None]}).tolist() == [1, 2]
    assert index.match({"region": [None, "x"], "host": ["a"]}).tolist() == [0, 2]
    assert index.match({"planet": ["mars"]}).tolist() == []
    assert index.match({"planet": [None]}).tolist() == [0, 1, 2, 3]
    assert index.match({}).tolist() == [0, 1, 2, 3]
    assert index.match({"host": []}).tolist() == []
    assert index.dimension("region").codes.tolist() == [0, -1, -1, 1]
    assert index.dimension("region").words == ("x", "y")
    assert index.singles().tolist() == [False, False, True, False]
    assert index.of_kind("cpu").tolist() == [0, 1, 3]
    assert index.kinds == ["cpu", None]
    assert index.find(keys[2]) == 2
    assert index.find(SeriesKey("cpu", ())) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=60))
def test_rows_are_sorted_as_python_sorts_them(rows):

    series = np.array([row[0] for row in rows], np.int32)
    times = np.array([row[1] for row in rows], np.int64)
    order = ordered(series, times)
    assert order.of(len(rows)).tolist() == sorted(range(len(rows)), key=rows.__getitem__)
    assert order.repeats == (len(set(rows)) < len(rows))
