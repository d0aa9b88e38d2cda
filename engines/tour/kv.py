"""The chapter of the key-value store: planes as items, and a boarding pass for every flight of the year.

    planes    key tailnum               maker, model, seats, engine, year (where it is known)
    passes    key tailnum, departure    carrier, flight, origin, dest, late (minutes, if it landed), expires (then)

The tail number is the partition key: one plane's flights lie side by side, in the order of their departures. Seconds
alone do not make the key unique (one plane is booked for two flights in one minute, and 2,512 flights have the tail
number "NA"), so the flight number stands behind the point: departure 1357034400.1141. A pass expires at the landing; a
flight that was cancelled has no landing, so its pass has no `expires`, and stays.

The clock is a ManualClock that stands at New Year 2013 until the chapter turns it. What is expected of every answer is
counted beside it with numpy, on the columns of the files.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from engines import kv
from engines.clock import ManualClock, SystemClock
from engines.display import Table
from engines.tour import pictures
from engines.tour.chapter import Chapter, Picture, Question, Remark, Tree, duration, size
from engines.tour.pictures import Bar
from engines.tour.show import Show
from engines.tour.story import NEW_YEAR, Story, arrived, scheduled

IDEA = "The log is the database, one append-only file; the tree is a cache of it."
DAY = 86_400
TURNS = 12  # of the clock
QUERY = "tailnum = :t AND departure BETWEEN :a AND :b"
FILTER = "attribute_exists(late)"
WORST = [("F9", 21.92), ("FL", 20.12), ("EV", 15.80)]  # mean arrival delay by carrier, in minutes, of the real year


def chapter(story: Story, folder: Path, show: Show) -> Chapter:
    """Load, ask, turn the clock."""
    told = Chapter("kv", "key-value store with TTL: the class of DynamoDB", IDEA)
    show.open(told)
    clock = ManualClock(NEW_YEAR * 1_000_000)
    with kv.Store(folder / "kv", clock=clock) as store:
        run = _Run(story, show, told, store)
        run.load()
        run.read_one()
        run.read_a_range()
        run.read_all()
        run.turn(clock)
    return told


def plane_items(story: Story) -> Iterator[dict[str, Any]]:
    """Make an item a plane. Items differ: of some planes the year is not known."""
    names = ("tailnum", "year", "manufacturer", "model", "seats", "engine")
    for tail, year, maker, model, seats, engine in zip(
        *(story.planes().column(n).tolist() for n in names), strict=True
    ):
        item = {"tailnum": tail, "maker": maker, "model": model, "seats": int(seats), "engine": engine}
        yield item if np.isnan(year) else item | {"year": int(year)}


def boarding_passes(story: Story) -> Iterator[dict[str, Any]]:
    """Make an item a flight, in the order of the files. What is not known about a flight is not in its item."""
    flights = story.flights()
    names = ("tailnum", "carrier", "flight", "origin", "dest", "arr_delay")
    arrays = [*(flights.column(name) for name in names), scheduled(flights), arrived(flights, story.airports())]
    for tail, carrier, number, origin, dest, delay, leaves, lands in zip(*(a.tolist() for a in arrays), strict=True):
        item = {"tailnum": tail, "departure": Decimal(f"{leaves}.{number:04d}")}
        item |= {"carrier": carrier, "flight": number, "origin": origin, "dest": dest}
        if not np.isnan(delay):
            item["late"] = int(delay)
        if not np.isnan(lands):
            item["expires"] = int(lands)
        yield item


class _Run:
    """One telling: the open store with its two tables, and the columns that its answers are held against."""

    def __init__(self, story: Story, show: Show, told: Chapter, store: kv.Store) -> None:
        self.story, self.show, self.told, self.store = story, show, told, store
        self.planes = store.create_table("planes", key=("tailnum:S",))
        self.passes = store.create_table("passes", key=("tailnum:S", "departure:N"), ttl="expires", stream=True)
        self.timer = SystemClock().timer
        self.asked: list[Bar] = []  # what each question read, and how long it took
        flights = story.flights()
        self.carrier, self.late = flights.column("carrier"), flights.column("arr_delay")
        self.flown = Counter(tail for tail in flights.column("tailnum").tolist() if tail != "NA")
        self.hottest = self.flown.most_common(1)[0][0]
        self.hot = np.sort(scheduled(flights)[flights.column("tailnum") == self.hottest])
        self.lands = arrived(flights, story.airports())

    def load(self) -> None:
        flights, planes, started = len(self.lands), len(self.story.planes()), self.timer()
        with self.planes.batch_writer() as batch:
            for plane in plane_items(self.story):
                batch.put(plane)
        with (
            self.show.progress("boarding passes", flights, "items") as advance,
            self.passes.batch_writer() as batch,
        ):
            for i, boarding in enumerate(boarding_passes(self.story), 1):
                batch.put(boarding)
                if i % 2_000 == 0:
                    advance(2_000)
        seconds = self.timer() - started
        rate, stored = f"{(flights + planes) / seconds:,.0f}", size(sum(row.bytes for row in self.store.layout()))
        self.told.figures = {
            "boarding passes": f"{flights:,}",
            "planes": f"{planes:,}",
            "loaded in": duration(seconds),
            "items a second": rate,
            "on disk": stored,
        }
        self.show.say(f"loaded {flights:,} boarding passes in {duration(seconds)}: {rate} items/s, {stored} on disk")
        self.show.add(self.told, self.on_disk())
        self.told.check("planes", 3_322 if self.story.complete else planes, count(self.planes))
        self.told.check("boarding passes", 336_776 if self.story.complete else flights, count(self.passes))

    def on_disk(self) -> Picture:
        held: Counter[str] = Counter()
        for row in self.store.layout():
            held["the log" if row.what.startswith("log ") else row.what] += row.bytes
        rows = [Bar(what, count, size(count)) for what, count in held.most_common()]
        caption = "The tree holds where things stand; the log what happened, a day long, for the change stream."
        return Picture("Where the bytes are", pictures.shares(rows), caption)

    def read_one(self) -> None:
        """Read every plane once, in random order, each call timed."""
        tails = self.story.planes().column("tailnum").tolist()
        random.Random(2013).shuffle(tails)  # noqa: S311 - an order, not a secret
        times = []
        for tail in tails:
            started = self.timer()
            self.planes.get(tail)
            times.append(self.timer() - started)
        busiest = next(tail for tail, _ in self.flown.most_common() if tail in set(tails))
        plane = self.planes.get(busiest) or {}
        answer = Table.from_rows(plane, [list(plane.values())])
        median = float(np.median(times))
        self.show.add(self.told, Question(f"Which plane is {busiest}?", f'planes.get("{busiest}")', answer, median))
        caption = f"{len(times):,} reads, each of another plane: one way down the tree, however much it holds."
        self.show.add(self.told, Picture("How long a read takes", pictures.histogram(times), caption))
        self.asked.append(Bar("get: 1 item", median, duration(median)))
        self.told.check(f"the plane {busiest}", busiest, plane.get("tailnum"))
        there = "there" if self.hottest in tails else "none: no file describes it"
        found = self.planes.get(self.hottest)
        self.told.check(f"an item for {self.hottest}", there, "there" if found else "none: no file describes it")

    def read_a_range(self) -> None:
        """Ask about one plane and three days: a range of the sort key."""
        low = NEW_YEAR + DAY * (184 if self.hot[-1] > NEW_YEAR + 200 * DAY else 14)  # 4 July, or 15 January
        high = low + 3 * DAY
        window = {":t": self.hottest, ":a": low, ":b": high}
        started = self.timer()
        flown = self.passes.query(QUERY, values=window).all()
        seconds = self.timer() - started
        rows = [
            (
                day(i["departure"], "%d %b %H:%M"),
                f"{i['carrier']} {i['flight']}",
                i["origin"],
                i["dest"],
                i.get("late"),
            )
            for i in flown
        ]
        answer = Table.from_rows(("leaves", "flight", "from", "to", "minutes late"), rows)
        code = f'passes.query("{QUERY}", values=window)'
        words = f"Where did {self.hottest} fly in the three days from {day(low, '%d %B').lstrip('0')}?"
        self.show.add(self.told, Question(words, code, answer, seconds))
        self.asked.append(Bar(f"query: {len(flown):,} items", seconds, duration(seconds)))
        caption = "What answering touched: the items between two keys, and nothing else."
        self.show.add(self.told, Tree(self.passes.explain(QUERY, values=window), caption))
        months = [
            (datetime(2013, m, 1, tzinfo=UTC).timestamp(), f"{datetime(2013, m, 1, tzinfo=UTC):%b}")
            for m in range(1, 13)
        ]
        drawn = pictures.partition(
            self.hot.tolist(), [*months, (months[-1][0] + 32 * DAY, "")], (low, high), f"tailnum = {self.hottest}"
        )
        caption = "A partition lies in one piece, in the order of its sort key: three days of a year are a short walk."
        self.show.add(self.told, Picture("One partition", drawn, caption))

        self.told.check(
            f"flights of {self.hottest} in those days", int(((self.hot >= low) & (self.hot < high)).sum()), len(flown)
        )
        every = self.passes.query("tailnum = :t", values={":t": self.hottest}, count=True)
        hottest, expected = ("N725MQ", 575) if self.story.complete else (self.hottest, self.hot.size)
        self.told.check("flights of the hottest key", f"{hottest} {expected}", f"{self.hottest} {every.count}")

    def read_all(self) -> None:
        """Ask what a key-value store is bad at: a question that no key answers."""
        started = self.timer()
        delays: dict[str, list[int]] = defaultdict(list)
        page: kv.Page | None = self.passes.scan(filter=FILTER)
        with self.show.progress("items read", len(self.lands), "") as advance:
            while page is not None:
                for item in page:
                    delays[item["carrier"]].append(int(item["late"]))
                advance(page.scanned)
                page = page.next()
        mean = {carrier: round(sum(late) / len(late), 2) for carrier, late in delays.items()}
        seconds = self.timer() - started
        worst = sorted(mean, key=lambda carrier: (-mean[carrier], carrier))
        rows = [(carrier, mean[carrier], len(delays[carrier])) for carrier in worst[:3]]
        answer = Table.from_rows(("carrier", "mean minutes late", "flights that landed"), rows)
        code = f'page = passes.scan(filter="{FILTER}")  # then page.next()'
        words = f"Bad at: who arrives latest? No key knows, so it reads all {len(self.lands):,}"
        self.show.add(self.told, Question(words, code, answer, seconds))
        self.asked.append(Bar(f"scan: {len(self.lands):,} items", seconds, duration(seconds)))
        caption = "Each line is ten times the one before: a key-value store answers what its keys were made for."
        drawn = pictures.bars(self.asked, logarithmic=True)
        self.show.add(self.told, Picture("Three ways to ask, and what they cost", drawn, caption))

        plain = {c: round(float(np.nanmean(self.late[self.carrier == c])), 2) for c in np.unique(self.carrier).tolist()}
        expected = WORST if self.story.complete else sorted(plain.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
        words = ", ".join(f"{carrier} {minutes:.2f}" for carrier, minutes in expected)
        self.told.check(
            "worst mean delays", words, ", ".join(f"{carrier} {mean[carrier]:.2f}" for carrier in worst[:3])
        )

    def turn(self, clock: ManualClock) -> None:
        """Turn the clock: to the second for one pass, then through the whole year in twelve turns."""
        lands = np.sort(self.lands[np.isfinite(self.lands)])
        stays = len(self.lands) - lands.size
        self.to_the_second(clock)
        days = -(-int(lands[-1] + DAY - NEW_YEAR) // DAY // TURNS)
        turns, seconds = [], 0.0
        with self.show.progress("passes expired", lands.size, "items") as advance:
            for _ in range(TURNS):
                clock.advance(days=days)
                started = self.timer()
                expired = self.store.expire()
                seconds += self.timer() - started
                advance(expired)
                left = self.passes.describe()["items"]
                turns.append((day(clock.now() / 1e6), expired, left))
                expected = int((lands * 1e6 > clock.now()).sum()) + stays
                if len(turns) in (1, TURNS // 2, TURNS):
                    self.told.check(f"passes left on {turns[-1][0]}", expected, left)
        code = f"clock.advance(days={days}); store.expire()    # {TURNS} times"
        words = "How many passes are left when the clock is turned?"
        answer = Table.from_rows(("the clock shows", "expired", "left"), turns)
        self.show.add(self.told, Question(words, code, answer, seconds))
        self.told.check("passes without a landing stay", 8_713 if self.story.complete else stays, count(self.passes))
        drawn = pictures.columns([Bar(date, left, f"{left:,}") for date, _, left in turns])
        caption = f"{lands.size:,} passes expired at {lands.size / seconds:,.0f} a second, each recorded in the log."
        self.show.add(self.told, Picture("Boarding passes left, as the clock is turned", drawn, caption))

    def to_the_second(self, clock: ManualClock) -> None:
        """Show what only this engine does: the first landing of the hot plane, a second before it and at it."""
        mine = self.passes.query("tailnum = :t", values={":t": self.hottest}).all()
        boarding = next(item for item in mine if "expires" in item)
        key = (boarding["tailnum"], boarding["departure"])
        position = self.store.log.last
        clock.advance(seconds=int(boarding["expires"]) - 1 - clock.now() / 1e6)
        before = self.passes.get(*key)
        clock.advance(seconds=1)
        after = self.passes.get(*key)
        self.store.expire()
        removed = next(change for change in self.passes.changes(after=position) if change.key == key)
        words = f"a pass is gone in the second of its landing; change {removed.sequence:,} says so"
        self.show.add(self.told, Remark("Only here", words))
        self.told.check("a pass a second before it expires", "there", "there" if before == boarding else before)
        self.told.check("a pass in the second it expires", "gone", after or "gone")
        self.told.check(
            "its last change, by expiry",
            "REMOVE, expired",
            f"{removed.kind}, {'expired' if removed.expired else 'deleted'}",
        )


def count(table: kv.Table) -> int:
    """Count the items by reading them all."""
    page: kv.Page | None = table.scan(count=True)
    total = 0
    while page is not None:
        total += page.count
        page = page.next()
    return total


def day(moment: float | Decimal, form: str = "%d %b") -> str:
    """A moment in seconds since 1970 as a date."""
    return datetime.fromtimestamp(int(moment), UTC).strftime(form)
