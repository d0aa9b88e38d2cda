"""The time series' chapter: the weather of three airports by the hour, and their departures by the minute.

    weather       26,115 rows of 9 measures, an hour apart, with gaps       tiles of 30 days
    departures    a row for each minute of the year and airport, 0 or more  tiles of a week

Both tables keep a year in the memory tier; then the clock is turned, and they move. What is expected of every answer
is counted beside it with numpy, on the columns of the files.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.clock import ManualClock, SystemClock
from engines.display import Table
from engines.timeseries import Series, TimeSeries
from engines.tour import pictures
from engines.tour.chapter import Chapter, Picture, Question, Remark, Tree, duration, size
from engines.tour.pictures import Bar
from engines.tour.show import Show
from engines.tour.story import Story, departed

IDEA = "A day is a tile; a tier is a codec and a place: recent at hand, old and small."
MONTH = 31
SINGLE = 20  # rows that are written one at a time
MINUTE, HOUR = 60 * 10**9, 3_600 * 10**9
MEASURES = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
BUSIEST = """SELECT origin, bin(time, 1h) AS hour, sum(departures) AS departures FROM departures
    GROUP BY 1, 2 ORDER BY 3 DESC, 2, 1 LIMIT 3"""
GAPS = """SELECT origin, date_diff('hour', min(time), max(time)) + 1 - count(*) AS missing,
    cardinality(interpolate_linear(create_time_series(time, temp), sequence(min(time), max(time), 1h))) AS filled
    FROM weather WHERE temp IS NOT NULL GROUP BY 1 ORDER BY 1"""
DAY = "SELECT round(avg(temp), 3) AS mean FROM weather WHERE origin = 'JFK' AND time >= ? AND time < ?"


def chapter(story: Story, folder: Path, show: Show) -> Chapter:
    """Load both, ask for bins and gaps, correct a report of last summer, turn the clock until all is gone."""
    told = Chapter("timeseries", "time series in two tiers: the class of Timestream", IDEA)
    show.open(told)
    weather = story.weather()
    last = int(weather.column("time_hour").max().astype("datetime64[us]").astype(np.int64))
    clock = ManualClock(max(last, int(np.nanmax(departed(story.flights()))) * 1_000_000))
    with TimeSeries(folder / "timeseries", name="airports", clock=clock) as db:
        run = _Run(story, show, told, db, clock)
        run.load()
        run.busiest()
        run.gaps()
        run.late()
        run.later()
        run.singly()
    return told


class _Run:
    """One telling: the open store, and the columns that its answers are held against."""

    def __init__(self, story: Story, show: Show, told: Chapter, db: TimeSeries, clock: ManualClock) -> None:
        self.story, self.show, self.told, self.db, self.clock = story, show, told, db, clock
        self.weather = story.weather()
        self.origins, self.minutes, self.counts = _by_minute(story)
        self.timer = SystemClock().timer

    def load(self) -> None:
        """Write the two tables, and say what they take."""
        self.hours = self.db.create_table("weather", memory="8766h", magnetic="1095d", tile="30d")
        self.departures = self.db.create_table("departures", memory="8766h", magnetic="1095d", tile="7d")
        measured = {name: _present(self.weather.column(name)) for name in MEASURES}
        started = self.timer()
        first = self.hours.write(self.weather.column("time_hour"), {"origin": self.weather.column("origin")}, measured)
        second = [
            self.departures.write(self.minutes * MINUTE, {"origin": origin}, {"departures": counts})
            for origin, counts in zip(self.origins, self.counts, strict=True)
        ]
        seconds = self.timer() - started
        self.db.checkpoint()
        points = sum(int((~np.isnan(self.weather.column(name))).sum()) for name in MEASURES) + self.counts.size
        sizes = self.sizes()
        self.stored, self.points = sizes["memory blob bytes"], sizes["memory blob points"]
        rate = f"{points / seconds:,.0f}"
        self.told.figures = {
            "points": f"{points:,}",
            "loaded in": duration(seconds),
            "points a second": rate,
            "on disk": size(self.stored),
            "bytes a point": f"{self.stored / points:.2f}",
        }
        words = f"loaded {points:,} points in {duration(seconds)}: {rate}/s, {self.stored / points:.2f} bytes a point"
        self.show.say(words)
        written = [(one.memory, one.magnetic, len(one.rejected)) for one in (first, *second)]
        expected = [(len(self.weather), 0, 0), *[(len(self.minutes), 0, 0)] * len(self.origins)]
        self.told.check("rows written to the memory tier", expected, written)
        self.told.check("points in tiles", points, self.points)

    def busiest(self) -> None:
        """Ask for bins: folded block by block, no row is made."""
        answer, seconds = self.asked(BUSIEST)
        words = f"The busiest hours, of {self.counts.size:,} minutes?"
        code = 'db.sql("SELECT origin, bin(time, 1h) ... sum(departures) ... GROUP BY 1, 2")'
        self.show.add(self.told, Question(words, code, _to_the_minute(answer), seconds))
        plan = self.db.explain(BUSIEST)
        self.show.add(self.told, Tree(plan, "A fold goes from blocks to bins. Nothing in between is a row."))
        hours = self.minutes * MINUTE // HOUR
        cells = [
            (origin, int(hour), int(count))
            for origin, counts in zip(self.origins, self.counts, strict=True)
            for hour, count in zip(*_summed(hours, counts), strict=True)
        ]
        best = sorted(cells, key=lambda one: (-one[2], one[1], one[0]))[:3]
        found = [(row[0], int(row[1].astype("datetime64[h]").astype(np.int64)), row[2]) for row in answer.rows()]
        self.told.check("busiest hours", best, found)

    def gaps(self) -> None:
        """Count the hours that no station reported, and fill them."""
        answer, seconds = self.asked(GAPS)
        words = "How many hours lack a report, how many are there once gaps are filled?"
        code = 'db.sql("... interpolate_linear(create_time_series(time, temp), sequence(...))")'
        self.show.add(self.told, Question(words, code, _bare(answer), seconds))
        expected = []
        for origin in self.origins:
            here = (self.weather.column("origin") == origin) & ~np.isnan(self.weather.column("temp"))
            hours = self.weather.column("time_hour")[here].astype("datetime64[h]").astype(np.int64)
            span = int(hours.max() - hours.min()) + 1
            expected.append((origin, span - int(here.sum()), span))
        self.told.check("hours missing, and filled", expected, [tuple(row) for row in answer])
        one = self.db.sql("SELECT time, temp FROM weather WHERE origin = 'JFK' AND temp IS NOT NULL ORDER BY time")
        line = Series("temp", one.column("time").view(np.int64), one.column("temp"), {"origin": "JFK"})
        caption = "Degrees Fahrenheit at JFK, hour by hour. The line goes straight over hours without a report."
        self.show.add(self.told, Picture("A series", line.svg(), caption))

    def late(self) -> None:
        """Correct a report of long ago, twice: a new version is seen at once, a repeat changes nothing."""
        mine = np.flatnonzero(self.weather.column("origin") == "JFK")
        moments = self.weather.column("time_hour").astype("datetime64[h]")
        summer = np.datetime64("2013-07-04T16", "h")
        row = int(mine[np.argmin(np.abs((moments[mine] - summer).astype(np.int64)))])
        low = moments[row].astype("datetime64[D]")
        day = (low, low + 1)
        before, _ = self.asked(DAY, *day)
        values = {name: _present(self.weather.column(name)[row : row + 1]) for name in MEASURES}
        values["temp"] = np.array([100.0])
        started = self.timer()
        results = [
            self.hours.write(self.weather.column("time_hour")[row : row + 1], {"origin": "JFK"}, values, version=2)
            for _ in range(2)
        ]
        seconds = (self.timer() - started) / 2
        after, _ = self.asked(DAY, *day)
        rows = [("as reported", before.rows()[0][0]), ("an hour corrected to 100 °F", after.rows()[0][0])]
        words = f"A report of {low.item():%d %B} is corrected months later. The day's mean?".replace(" 0", " ")
        code = 'weather.write(hour, {"origin": "JFK"}, measures, version=2)'
        self.show.add(self.told, Question(words, code, Table.from_rows(("temperatures", "mean"), rows), seconds))
        here = mine[(moments[mine] >= low) & (moments[mine] < low + 1)]
        temp = self.weather.column("temp")
        corrected = np.where(here == row, 100.0, temp[here])
        expected = [round(float(np.nanmean(one)), 3) for one in (temp[here], corrected)]
        if self.story.complete:
            self.told.check("mean at JFK on 4 July", 76.933, expected[0])
        self.told.check("the mean before and after", expected, [mean for _, mean in rows])
        self.told.check(
            "the same again is unchanged", [(1, 0), (0, 1)], [(one.memory, one.unchanged) for one in results]
        )

    def later(self) -> None:
        """Turn the clock: tiles leave the memory tier, get smaller, and are deleted in the end."""
        self.db.checkpoint()
        rows, seconds = [], 0.0
        moved = cold = 0
        caption = "A tile is a week of departures. What has left the memory tier takes half of the bytes."
        self.show.add(self.told, Picture("Departures, all in the memory tier", self.drawn(), caption))
        for days, when in ((MONTH, "a month later"), (366, "a year later"), (3 * 366, "three years later")):
            self.clock.advance(days=days)
            started = self.timer()
            steps = self.db.tick()
            if days == MONTH:
                self.show.add(self.told, Picture("Departures, a month later", self.drawn(), caption))
            seconds += self.timer() - started
            for step, table, tiles, points, before, after in (tuple(one) for one in steps):
                moved += points if step == "demote" else 0
                cold += after if step == "demote" else 0
                rows.append((when, step, table, tiles, points, size(before), size(after)))
        answer = Table.from_rows(("when", "step", "table", "tiles", "points", "bytes", "then"), rows)
        self.show.add(self.told, Question("The clock is turned. Where are the tiles?", "db.tick()", answer, seconds))
        self.told.check("points moved to the magnetic tier", self.points, moved)
        (left,) = self.db.sql("SELECT count(*) FROM departures").rows()
        self.told.check("rows left after three years more", 0, left[0])
        self.told.check("the magnetic tier is smaller", expected=True, found=cold < self.stored)
        drawn = pictures.bars(
            [
                Bar("plain numbers", 16.0, "16: a time, a value"),
                Bar("memory tier", self.stored / self.points, f"{self.stored / self.points:.2f}"),
                Bar("magnetic tier", cold / moved, f"{cold / moved:.2f}"),
            ]
        )
        caption = "Regular times cost nothing; small whole numbers a few bits; the rest is what is truly random in it."
        self.show.add(self.told, Picture("Bytes a point", drawn, caption))

    def singly(self) -> None:
        """What it is bad at: one row at a time."""
        log = self.db.create_table("log")
        now = self.clock.now() * 1000
        started = self.timer()
        for n in range(SINGLE):
            log.write([now + n], {"origin": "JFK"}, {"gate": [n]})
        singly = (self.timer() - started) / SINGLE
        many = np.arange(100_000)
        started = self.timer()
        log.write(now + SINGLE + many, {"origin": "JFK"}, {"gate": many})
        once = (self.timer() - started) / len(many)
        words = f"a write of one row takes {duration(singly)}, a row of 100,000 {duration(once)}"
        self.show.add(self.told, Remark("Bad at", words))
        (found,) = self.db.sql("SELECT count(*) FROM log").rows()
        self.told.check("rows written both ways", SINGLE + len(many), found[0])

    def asked(self, text: str, *values: Any) -> tuple[Table, float]:  # noqa: ANN401 - parameters
        """The answer, and the seconds it took."""
        started = self.timer()
        answer = self.db.sql(text, values)
        return answer, self.timer() - started

    def drawn(self) -> str:
        """The tiles of departures on the axis of time, by tier."""
        return self.db.layout("departures").svg()

    def sizes(self) -> dict[str, int]:
        """What the store says of itself, by name."""
        found = self.db.stats()
        return dict(zip(found.columns["name"], found.columns["value"], strict=True))


def _by_minute(story: Story) -> tuple[list[str], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The airports, all minutes from the first departure to the last, and how many left then: [airport, minute]."""
    flights = story.flights()
    left = departed(flights)
    flown = ~np.isnan(left)
    minute = (left[flown] // 60).astype(np.int64)
    origins, which = np.unique(flights.column("origin")[flown], return_inverse=True)
    first, count = int(minute.min()), int(minute.max() - minute.min()) + 1
    counts = np.bincount(which * count + minute - first, minlength=len(origins) * count).astype(np.int64)
    return origins.tolist(), first + np.arange(count, dtype=np.int64), counts.reshape(len(origins), count)


def _summed(keys: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """Distinct keys, rising, and the sum of the counts of each; keys rise already."""
    starts = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
    return keys[starts].tolist(), np.add.reduceat(counts, starts).tolist()


def _present(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A measure whose missing values are masked: NA is no number."""
    masked: npt.NDArray[Any] = np.ma.masked_array(values, np.isnan(values))
    return masked


def _to_the_minute(answer: Table) -> Table:
    """The rows with times as short as they are."""
    rows = [(row[0], str(row[1])[:16].replace("T", " "), row[2]) for row in answer.rows()]
    return Table.from_rows(answer.names, rows)


def _bare(answer: Table) -> Table:
    """The rows alone: what a Question shows."""
    return Table.from_rows(answer.names, [tuple(row) for row in answer])
