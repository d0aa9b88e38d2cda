"""Lines, records and tables of Arrow written to a store: what goes where, and that bad input leaves nothing."""

import pytest

from engines.clock import ManualClock
from engines.errors import Invalid, NotFound
from engines.timeseries.engine import TimeSeries
from engines.timeseries.results import RejectedRecords

NOW = 1_767_225_600  # 2026-01-01, seconds


@pytest.fixture
def db():
    with TimeSeries(clock=ManualClock(NOW * 10**6)) as opened:
        opened.create_table("cpu")
        yield opened


def count(db, name):
    return db.sql(f'SELECT count(*) AS n FROM "{name}"')[0].n


def test_each_line_goes_to_the_table_that_it_names(db):
    db.create_table("disk")
    result = db.write_lines(f"cpu,host=a x=1 {NOW}\ndisk,host=a free=2i {NOW}\ncpu,host=b x=2", precision="s")
    assert (result.memory, result.rejected) == (3, ())
    assert (count(db, "cpu"), count(db, "disk")) == (2, 1)


def test_lines_of_tables_that_are_not_there_are_refused_or_create_them(db):
    with pytest.raises(NotFound, match="no table 'cpus'; did you mean 'cpu'"):
        db.write_lines("cpu,host=a x=1\ncpus,host=a x=1")
    assert count(db, "cpu") == 0
    db.write_lines("cpu,host=a x=1\ncpus,host=a x=1", create={"memory": "12h"})
    assert (count(db, "cpu"), count(db, "cpus")) == (1, 1)
    assert db.table("cpus").definition.memory == 12 * 3600 * 10**9


@pytest.mark.parametrize("bad", ["no~name,host=a x=1", "disk,host=a x=1,host=2", "disk,free=1 host=2"])
def test_lines_that_no_table_can_take_leave_nothing_in_the_others(db, bad):
    db.create_table("disk", dimensions=["host"])
    with pytest.raises(Invalid):
        db.write_lines(f"cpu,host=a x=1\n{bad}", create={})
    assert (count(db, "cpu"), count(db, "disk")) == (0, 0)
    assert db.tables() == ["cpu", "disk"]


def test_what_is_refused_in_several_tables_is_told_in_order_of_the_lines(db):
    db.create_table("disk")
    later = (NOW + 3600) * 10**9  # too far ahead
    with pytest.raises(RejectedRecords) as told:
        db.write_lines(f"disk,host=a x=1 {later}\ncpu,host=a x=\ncpu,host=a x=1\ncpu,host=b x=1 {later}")
    assert [one.index for one in told.value.result.rejected] == [0, 1, 3]
    assert told.value.result.memory == 1
    assert count(db, "cpu") == 1


def test_a_table_takes_its_own_lines_only(db):
    cpu = db.table("cpu")
    with pytest.raises(Invalid, match="line 2 is of 'disk'"):
        cpu.write_lines("cpu,host=a x=1\ndisk,host=a x=1")
    assert count(db, "cpu") == 0
    assert cpu.write_lines("cpu,host=a x=1,y=2", records="single", now=NOW * 10**9).memory == 2
    with pytest.raises(Invalid, match='records is "multi"'):
        cpu.write_lines("cpu x=1", records="several")


def test_a_table_of_arrow_has_a_column_of_times(db):
    pa = pytest.importorskip("pyarrow")
    rows = pa.table({"time": [NOW * 10**9], "host": ["a"], "x": [1.5], "y": pa.array([None], pa.float64())})
    cpu = db.table("cpu")
    assert cpu.write_table(rows, dimensions=["host"]).memory == 1
    assert [one.name for one in cpu.definition.measures] == ["x"]  # what has no value is left out
    with pytest.raises(NotFound, match="no column 'hots'; did you mean 'host'"):
        cpu.write_table(rows, dimensions=["hots"])
    with pytest.raises(Invalid, match="names of columns"):
        cpu.write_table(rows, dimensions="host")
    with pytest.raises(Invalid, match="got list"):
        cpu.write_table([1])
