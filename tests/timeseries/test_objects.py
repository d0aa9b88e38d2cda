"""Series as objects: the same answers as SQL's functions, without SQL."""

import math

import numpy as np
import pytest

from engines.errors import Invalid, NotFound
from engines.timeseries.objects import Measured, Selection, Series

SECOND = 10**9


def series(times, values, **dimensions):
    return Series("usage", np.array(times, np.int64) * SECOND, np.array(values, float), dimensions)


GAPPY = series([0, 10, 30], [1, 5, 3], host="a")


def points(found):
    return [
        (time // SECOND, value) for time, value in zip(found.nanoseconds.tolist(), found.values.tolist(), strict=True)
    ]


def test_interpolation_at_times_and_by_a_step():
    assert points(GAPPY.interpolate_linear("5s")) == [(0, 1), (5, 3), (10, 5), (15, 4.5), (20, 4), (25, 3.5), (30, 3)]
    asked = np.array([40, 5, -0, 10]) * SECOND
    assert points(GAPPY.interpolate_linear(asked)) == [(0, 1), (5, 3), (10, 5)]
    assert points(GAPPY.interpolate_locf(asked)) == [(0, 1), (5, 1), (10, 5), (40, 3)]
    assert points(GAPPY.interpolate_fill(asked, 7)) == [(0, 1), (5, 7), (10, 5), (40, 7)]
    assert GAPPY.interpolate_spline_cubic("20s").values.tolist() == pytest.approx([1, 5.25])
    assert points(GAPPY.interpolate_linear(["1970-01-01T00:00:05"])) == [(5, 3)]


def test_change_area_and_correlation():
    assert points(GAPPY.derivative_linear()) == [(10, 0.4), (30, -0.1)]
    assert points(GAPPY.non_negative_derivative_linear("10s")) == [(10, 4)]
    assert GAPPY.integral_trapezoidal() == 110
    assert GAPPY.integral_trapezoidal("10s") == 11
    assert GAPPY.correlate_pearson(GAPPY) == pytest.approx(1)
    assert GAPPY.correlate_spearman(GAPPY.transform(lambda values: -(values**3))) == pytest.approx(-1)
    assert math.isnan(GAPPY.correlate_pearson(GAPPY.transform(lambda values: values * 0)))
    with pytest.raises(Invalid, match="different times"):
        GAPPY.correlate_pearson(series([0, 1], [1, 2]))


def test_empty_series_and_single_points():
    empty, one = series([], []), series([5], [2])
    assert len(empty.interpolate_linear("1s")) == len(empty.derivative_linear()) == len(one.derivative_linear()) == 0
    assert empty.integral_trapezoidal() is None
    assert one.integral_trapezoidal() == 0
    assert points(one.interpolate_spline_cubic("1s")) == [(5, 2)]
    assert math.isnan(empty.correlate_spearman(empty))
    assert "0 points" in repr(empty)
    assert "<svg" in empty.svg()


def test_filter_transform_between():
    assert points(GAPPY.filter(lambda one: one.values > 2)) == [(10, 5), (30, 3)]
    assert points(GAPPY.between("1970-01-01T00:00:10", 30 * SECOND)) == [(10, 5)]
    for wrong in (lambda _: [1, 2, 3], lambda _: np.array([True])):
        with pytest.raises(Invalid, match="keep gives"):
            GAPPY.filter(wrong)
    with pytest.raises(Invalid, match="change gives"):
        GAPPY.transform(lambda values: values[:1])


def test_bad_steps_are_named():
    with pytest.raises(Invalid, match="is no duration"):
        GAPPY.interpolate_linear("soon")
    with pytest.raises(Invalid, match="more than 1,000,000 times"):
        GAPPY.interpolate_linear("1ns")


def test_a_selection_of_one_is_asked_by_measure_and_of_several_iterated():
    a = Measured({"host": "a"}, "cpu", {"usage": GAPPY})
    b = Measured({"host": "b"}, "cpu", {"usage": GAPPY, "load": GAPPY})
    assert Selection([a], "cpu")["usage"] is GAPPY
    both = Selection([a, b], "cpu")
    assert both["load"] is GAPPY
    assert [one.dimensions["host"] for one in both] == ["a", "b"]
    with pytest.raises(Invalid, match="2 series of cpu have 'usage'"):
        both["usage"]
    with pytest.raises(NotFound, match="did you mean 'load'"):
        both["lod"]
    with pytest.raises(NotFound, match="did you mean 'usage'"):
        a["usag"]
    assert "<svg" in both._repr_html_()
    assert len(GAPPY.table()) == 3
