"""The warehouse's chapter: all flights with all their columns, and questions that read a few columns of all of them.

    flights    336,776 x 19, DISTKEY(tailnum) SORTKEY(time_hour): a plane's flights on one slice, in order of time
    planes       3,322 x  9, DISTKEY(tailnum): on the slice of its flights, so their join moves nothing
    airlines        16 x  2, on every slice

Two nodes of two slices. What is expected of every answer is counted beside it with numpy, on the columns of the files.
"""

from pathlib import Path
from typing import Any

import numpy as np

from engines.clock import SystemClock
from engines.display import Table
from engines.tour import pictures
from engines.tour.chapter import Chapter, Picture, Question, Remark, Tree, duration, size
from engines.tour.kv import WORST
from engines.tour.pictures import Bar
from engines.tour.show import Show
from engines.tour.story import Story
from engines.warehouse import Warehouse

IDEA = "Columns in blocks that know their lowest and highest value: read few, skip most."
SINGLE = 20  # rows that are inserted one at a time
FLIGHTS = """CREATE TABLE flights (
    year SMALLINT, month SMALLINT, day SMALLINT, dep_time SMALLINT, sched_dep_time SMALLINT, dep_delay SMALLINT,
    arr_time SMALLINT, sched_arr_time SMALLINT, arr_delay SMALLINT, carrier CHAR(2) NOT NULL, flight SMALLINT,
    tailnum VARCHAR(6), origin CHAR(3), dest CHAR(3), air_time SMALLINT, distance SMALLINT, hour SMALLINT,
    minute SMALLINT, time_hour TIMESTAMP) DISTKEY(tailnum) SORTKEY(time_hour)"""
PLANES = """CREATE TABLE planes (
    tailnum VARCHAR(6) NOT NULL, year SMALLINT, type VARCHAR(30), manufacturer VARCHAR(40), model VARCHAR(30),
    engines SMALLINT, seats SMALLINT, speed SMALLINT, engine VARCHAR(20)) DISTKEY(tailnum)"""
LATEST = "SELECT carrier, round(avg(arr_delay::float), 2) AS late FROM flights GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3"
DAY = "SELECT count(*) AS flights, count(arr_delay) AS landed FROM flights WHERE time_hour >= ? AND time_hour < ?"
MAKERS = """SELECT manufacturer, count(*) AS flights FROM flights JOIN planes USING (tailnum)
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3"""


def chapter(story: Story, folder: Path, show: Show) -> Chapter:
    """Load, ask what reads columns, what skips blocks, what joins in place; snapshot; insert a row at a time."""
    told = Chapter("warehouse", "columnar warehouse: the class of Redshift", IDEA)
    show.open(told)
    with Warehouse(folder / "warehouse", nodes=2, slices=2) as house:
        run = _Run(story, show, told, house)
        run.load()
        run.latest()
        run.one_day()
        run.makers()
        run.snapshots()
        run.singly()
    return told


class _Run:
    """One telling: the open warehouse, and the columns that its answers are held against."""

    def __init__(self, story: Story, show: Show, told: Chapter, house: Warehouse) -> None:
        self.story, self.show, self.told, self.house = story, show, told, house
        self.flights = story.flights()
        self.timer = SystemClock().timer

    def load(self) -> None:
        """Load the two tables, and say what they take."""
        self.house.sql(FLIGHTS)
        self.house.sql(PLANES)
        flights, planes = whole(self.flights), whole(self.story.planes())
        started = self.timer()
        loaded = self.house.append("flights", flights)
        seconds = self.timer() - started
        self.house.append("planes", planes)
        layout = self.house.layout("flights")
        stored, raw = (sum(layout.columns[name]) for name in ("stored", "raw"))
        rate = f"{loaded / seconds:,.0f}"
        self.told.figures = {
            "flights": f"{loaded:,}",
            "loaded in": duration(seconds),
            "rows a second": rate,
            "in columns": size(stored),
            "without encoding": size(raw),
        }
        self.show.say(f"loaded {loaded:,} flights in {duration(seconds)}: {rate} rows/s, {size(stored)} of {size(raw)}")
        caption = "Each strip is a block, from its lowest value to its highest. By the sort key they are stairs."
        drawn = layout.svg("time_hour", "month", "dep_delay", "carrier")
        self.show.add(self.told, Picture("Which values lie in which block", drawn, caption))
        self.told.check("flights", 336_776 if self.story.complete else len(self.flights), loaded)

    def latest(self) -> None:
        """Ask what no key answers: two columns of nineteen, all rows."""
        answer, seconds = self.asked(LATEST)
        words = f"Who arrives latest? Two of 19 columns of {len(self.flights):,} rows"
        self.show.add(self.told, Question(words, f'house.sql("{LATEST[:44]} ...")', bare(answer), seconds))
        carrier, late = self.flights.column("carrier"), self.flights.column("arr_delay")
        plain = {c: round(float(np.nanmean(late[carrier == c])), 2) for c in np.unique(carrier).tolist()}
        expected = WORST if self.story.complete else sorted(plain.items(), key=lambda one: (-one[1], one[0]))[:3]
        self.told.check("worst mean delays", [tuple(one) for one in expected], [tuple(row) for row in answer])
        layout = self.house.layout("flights")
        columns = dict.fromkeys(layout.columns["column"], 0)
        for column, stored in zip(layout.columns["column"], layout.columns["stored"], strict=True):
            columns[column] += stored
        drawn = pictures.shares([Bar(name, count, size(count)) for name, count in sorted(columns.items(), key=_second)])
        read = size(answer.stats["bytes_scanned"])
        caption = f"The question read {read}: carrier and arr_delay. A store of rows would have read everything."
        self.show.add(self.told, Picture("Where the bytes are", drawn, caption))

    def one_day(self) -> None:
        """Ask about a day: zone maps leave most blocks unread."""
        moments = self.flights.column("time_hour")
        low = np.datetime64("2013-07-04" if moments.max() > np.datetime64("2013-07-05") else "2013-01-15")
        high = low + 1
        values = [one.astype("datetime64[us]").item() for one in (low, high)]
        answer, seconds = self.asked(DAY, *values)
        words = f"How many left on {low.item():%d %B}, how many landed?".replace(" 0", " ")
        self.show.add(self.told, Question(words, f'house.sql("{DAY[:40]} ...", low, high)', bare(answer), seconds))
        plan = self.house.explain(DAY, *values, analyze=True)
        caption = "Zone maps say which blocks cannot hold that day: they are pruned, without a look at them."
        self.show.add(self.told, Tree(plan, caption))
        here = (moments >= low) & (moments < high)
        landed = int((here & ~np.isnan(self.flights.column("arr_delay"))).sum())
        self.told.check("flights of the day, landed", [(int(here.sum()), landed)], [tuple(row) for row in answer])
        if self.story.complete:
            pruned = answer.stats["blocks_pruned"] >= answer.stats["blocks_total"] // 2
            self.told.check("half of the blocks and more are left unread", expected=True, found=pruned)

    def makers(self) -> None:
        """Join flights with planes where both lie: nothing moves."""
        answer, seconds = self.asked(MAKERS)
        words = f"Whose planes fly most? A join in place: {answer.stats['bytes_moved']:,} bytes moved"
        code = 'house.sql("SELECT ... FROM flights JOIN planes USING (tailnum) ...")'
        self.show.add(self.told, Question(words, code, bare(answer), seconds))
        caption = (
            "Both tables lie by tail number, so every slice joins its own rows. Arrows are as thick as their bytes."
        )
        self.show.add(self.told, Picture("Leader, nodes and slices", self.house.picture(MAKERS).svg(), caption))
        planes = self.story.planes()
        maker = dict(zip(planes.column("tailnum").tolist(), planes.column("manufacturer").tolist(), strict=True))
        flown = [maker[tail] for tail in self.flights.column("tailnum").tolist() if tail in maker]
        names, counts = np.unique(flown, return_counts=True)
        expected = sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda one: (-one[1], one[0]))[:3]
        self.told.check("makers that fly most", expected, [tuple(row) for row in answer])
        self.told.check("bytes that the join moved", 0, answer.stats["bytes_moved"])

    def snapshots(self) -> None:
        """Take one, change a hundredth, take another; then lose the table, and have it back."""
        first = self.house.snapshot("before")
        self.house.sql("UPDATE flights SET dep_delay = 0 WHERE day = 31 AND month IN (1, 12) AND carrier = 'UA'")
        second = self.house.snapshot("after")
        self.house.sql("DROP TABLE flights")
        started = self.timer()
        rows = self.house.restore_table("before", "flights", "flights")
        seconds = self.timer() - started
        taken = [(one.name, one.blobs, one.new_blobs, size(one.new_bytes)) for one in (first, second)]
        answer = Table.from_rows(("snapshot", "blobs", "new", "new bytes"), taken)
        words = "Somebody drops the table. Is there a snapshot?"
        code = 'house.restore_table("before", "flights", "flights")'
        self.show.add(self.told, Question(words, code, answer, seconds))
        caption = "A snapshot names blobs that never change. The second has most of them in common with the first."
        self.show.add(self.told, Picture("What each snapshot added", self.house.snapshot_grid().svg(), caption))
        self.told.check("rows after the restore", len(self.flights), rows)
        self.told.check("the second added less than the first", expected=True, found=second.new_bytes < first.new_bytes)

    def singly(self) -> None:
        """What it is bad at: one row at a time."""
        self.house.sql("CREATE TABLE log (n INTEGER, words VARCHAR(20))")
        started = self.timer()
        for n in range(SINGLE):
            self.house.sql("INSERT INTO log VALUES (?, ?)", n, f"row {n}")
        singly = (self.timer() - started) / SINGLE
        started = self.timer()
        many = np.arange(100_000)
        self.house.append("log", {"n": many, "words": np.array(["a row"] * len(many))})
        once = (self.timer() - started) / len(many)
        words = f"an INSERT of one row takes {duration(singly)}, a row of 100,000 {duration(once)}"
        self.show.add(self.told, Remark("Bad at", words))
        (found,) = self.house.sql("SELECT count(*) FROM log").rows()
        self.told.check("rows inserted both ways", SINGLE + len(many), found[0])

    def asked(self, text: str, *values: Any) -> tuple[Table, float]:  # noqa: ANN401 - parameters
        """The answer, and the seconds it took."""
        started = self.timer()
        answer = self.house.sql(text, *values)
        return answer, self.timer() - started


def whole(table: Table) -> Table:
    """The columns as they lie in the warehouse: whole numbers, and NULL where the file has NA."""
    columns = {}
    for name, values in table.columns.items():
        array = np.asarray(values)
        if array.dtype.kind == "f":
            missing = np.isnan(array)
            array = np.ma.masked_array(np.where(missing, 0, array).astype(np.int64), missing)
        columns[name] = array
    return Table(columns)


def bare(answer: Table) -> Table:
    """The rows alone: what a Question shows."""
    return Table.from_rows(answer.names, [tuple(row) for row in answer])


def _second(pair: tuple[str, int]) -> int:
    return -pair[1]
