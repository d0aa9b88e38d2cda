"""The second chapter of the key-value store: what is done to a table in use, on the flights of January.

    gates     key gate                  boarded: how many passengers have been counted
    passes    key tailnum, departure    the boarding passes of January, without an expiry, so that they stay
    seats     key flight, seat          sold_to: one passenger
    departures  key flight              unsold: how many seats are left
    planes    key tailnum               asked by each flight that leaves, with and without a cache

Five things, each beside what goes wrong, or what is paid, without it: an update that goes to the item, an index that is
added while others write, a transaction that is cancelled whole, a table as it was before a mistake, a cache. What is
expected of every answer is counted with numpy or in plain Python.
"""

import threading
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from engines import kv
from engines.clock import ManualClock, SystemClock
from engines.display import Table
from engines.errors import ConditionFailed
from engines.tour import pictures
from engines.tour.chapter import Chapter, Picture, Question, duration
from engines.tour.kv import boarding_passes, plane_items
from engines.tour.pictures import Bar
from engines.tour.show import Show
from engines.tour.story import NEW_YEAR, Story, scheduled

if TYPE_CHECKING:
    from collections.abc import Callable

IDEA = "Whatever many do at once, the log has one after the other, and the past."
JANUARY = 31 * 86_400  # seconds
CLERKS, ROUNDS = 4, 50


def chapter(story: Story, folder: Path, show: Show) -> Chapter:
    """Count at a gate, ask in another order, sell a seat twice, make a mistake and go back, cache."""
    told = Chapter("seats", "kv in use: races, an index, the past, a cache", IDEA)
    show.open(told)
    with kv.Store(folder / "seats", clock=ManualClock(NEW_YEAR * 1_000_000)) as store:
        run = _Run(story, show, told, store)
        run.count_passengers()
        run.ask_in_another_order()
        run.sell_twice()
        run.go_back()
        run.cache()
    return told


class _Run:
    """One telling: the open store, and the January that its answers are held against."""

    def __init__(self, story: Story, show: Show, told: Chapter, store: kv.Store) -> None:
        self.story, self.show, self.told, self.store = story, show, told, store
        self.timer = SystemClock().timer
        flights = story.flights()
        self.complete = story.complete
        self.january = flights.column("month") == 1
        leaves = scheduled(flights)
        self.items = [
            {name: value for name, value in item.items() if name != "expires"}
            for item, chosen in zip(boarding_passes(story), self.january.tolist(), strict=True)
            if chosen
        ]
        order = np.argsort(leaves[self.january], kind="stable")
        self.tails: list[str] = flights.column("tailnum")[self.january][order].tolist()
        self.late, self.dest = flights.column("arr_delay")[self.january], flights.column("dest")[self.january]
        self.passes = store.create_table("passes", key=("tailnum:S", "departure:N"), pitr=True)
        with self.passes.batch_writer() as batch:
            for item in self.items:
                batch.put(item)

    def count_passengers(self) -> None:
        """Let clerks count at one gate: reading and writing back, each round at its worst; then with an update."""
        gates = self.store.create_table("gates", key="gate:S")
        gates.put({"gate": "read, then put", "boarded": 0})
        for _ in range(ROUNDS):
            seen = [gates.get("read, then put") or {} for _ in range(CLERKS)]  # all have read before one writes
            for item in seen:
                gates.put(item | {"boarded": item["boarded"] + 1})

        def board() -> None:
            for _ in range(ROUNDS):
                gates.update("update", "ADD boarded :one", values={":one": 1})

        started = self.timer()
        clerks = [threading.Thread(target=board) for _ in range(CLERKS)]
        for clerk in clerks:
            clerk.start()
        for clerk in clerks:
            clerk.join()
        seconds = self.timer() - started
        counted = [(gate, CLERKS * ROUNDS, (gates.get(gate) or {})["boarded"]) for gate in ("read, then put", "update")]
        answer = Table.from_rows(("how", "passengers", "counted"), counted)
        code = 'gates.update("A1", "ADD boarded :one", values={":one": 1})'
        words = f"{CLERKS} clerks count {CLERKS * ROUNDS} passengers at one gate. How many are lost?"
        self.show.add(self.told, Question(words, code, answer, seconds))
        self.told.check("passengers counted with update", CLERKS * ROUNDS, counted[1][2])
        self.told.check("passengers counted by reading first", ROUNDS, counted[0][2])

    def ask_in_another_order(self) -> None:
        """Add an index to a table that is being written, and ask it what the key cannot answer."""
        places, flown = np.unique(self.dest, return_counts=True)
        where = "BOS" if self.complete else str(places[np.argmax(flown)])
        done, stamped = threading.Event(), []

        def keep_writing() -> None:
            for item in self.items:
                key = (item["tailnum"], item["departure"])
                self.passes.update(key, "SET checked = :yes", values={":yes": True})
                stamped.append(key)
                if done.is_set():
                    return

        started, writer = self.timer(), threading.Thread(target=keep_writing)
        writer.start()
        self.passes.create_index("latest", ("dest:S", "late:N"))
        filled = self.timer() - started
        done.set()
        writer.join()
        options: dict[str, Any] = {"index": "latest", "values": {":d": where}}
        started = self.timer()
        worst = self.passes.query("dest = :d", **options, reverse=True, limit=3)
        seconds = self.timer() - started
        rows = [(item["carrier"], item["flight"], item["origin"], int(item["late"])) for item in worst.items]
        answer = Table.from_rows(("carrier", "flight", "from", "minutes late"), rows)
        code = 'passes.query("dest = :d", index="latest", reverse=True, limit=3, ...)'
        words = f"Who came latest to {where}? An index, made in {duration(filled)} while others write"
        self.show.add(self.told, Question(words, code, answer, seconds))
        plan = self.passes.explain("dest = :d", **options)
        read, scanned = int(plan.counters["items_examined"]), len(self.items)
        drawn = pictures.bars([Bar("scan", scanned, f"{scanned:,} items"), Bar("index", read, f"{read:,} items")])
        caption = f"What is read to find all flights to {where} that landed: the index holds them side by side."
        self.show.add(self.told, Picture("The same question, with and without an index", drawn, caption))
        landed = np.isfinite(self.late)
        late = np.sort(self.late[landed & (self.dest == where)])
        self.told.check(f"the latest three to {where}", [int(n) for n in late[:-4:-1]], [row[3] for row in rows])
        self.told.check(f"read for all of {where} that landed", 1_214 if self.complete else late.size, read)
        self.told.check(
            "entries of the index", int(landed.sum()), sum(1 for _ in self.passes.scan(index="latest").all())
        )
        self.told.check("writers went on meanwhile", expected=True, found=bool(stamped))

    def sell_twice(self) -> None:
        """Sell one seat to two passengers: three items of three tables change together, or none does."""
        tables = {"seats": ("flight:S", "seat:S"), "departures": "flight:S", "passengers": "name:S"}
        seats, departures, passengers = (self.store.create_table(name, key=key) for name, key in tables.items())
        departures.put({"flight": "UA 1141", "unsold": 3})
        reasons: list[Any] = []
        began = self.timer()
        for who in ("ann", "bob"):
            try:
                self.store.transact(sale("UA 1141", "12A", who))
            except ConditionFailed as error:
                reasons = [reason and reason["code"] for reason in cast("Any", error.reasons) or ()]
        seconds = (self.timer() - began) / 2
        left = (departures.get("UA 1141") or {}).get("unsold")
        bookings = [(passengers.get(who) or {}).get("bookings", 0) for who in ("ann", "bob")]
        rows = [
            ("seats: 12A, if it is free", "done", reasons[0] if reasons else "done"),
            ("departures: unsold - 1", "done", f"not done: {left} of 3 left"),
            ("passengers: bookings + 1", "done", f"not done: bob has {bookings[1]}"),
        ]
        answer = Table.from_rows(("three tables", "ann's", "bob's"), rows)
        words = "Bob buys the seat that is Ann's. What of the rest of his sale?"
        self.show.add(self.told, Question(words, "store.transact([kv.Put(...), kv.Update(...), ...])", answer, seconds))
        self.told.check("why bob's sale was cancelled", ["ConditionalCheckFailed", None, None], reasons)
        sold = (seats.get("UA 1141", "12A") or {}).get("sold_to")
        self.told.check("after it: seat, unsold, bookings", ("ann", 2, [1, 0]), (sold, left, bookings))

    def go_back(self) -> None:
        """Change every pass by mistake, and have the table as it was a moment before."""
        clock = self.store.clock
        assert isinstance(clock, ManualClock)  # noqa: S101 - the chapter has made it
        clock.advance(seconds=JANUARY)
        right = {(item["tailnum"], item["departure"]): item for item in self.passes.scan().all()}
        good = clock.now()
        clock.advance(seconds=1)
        with self.passes.batch_writer() as batch:
            for item in right.values():
                batch.put(item | {"dest": "XXX"})
        spoilt = len(self.passes.query("dest = :d", index="latest", values={":d": "XXX"}).all())
        started = self.timer()
        before = self.store.restore_table("passes", to="passes_before", at=good / 1e6)
        seconds = self.timer() - started
        rows = []
        for table in (self.passes, before):
            found = {(item["tailnum"], item["departure"]): item for item in table.scan().all()}
            wrong = sum(item["dest"] == "XXX" for item in found.values())
            rows.append((table.name, wrong, sum(found.get(key) == item for key, item in right.items())))
        answer = Table.from_rows(("table", "to XXX", "as they were"), rows)
        words = "Somebody has changed the destination of all passes. And a second before?"
        code = 'store.restore_table("passes", to="passes_before", at=then)'
        self.show.add(self.told, Question(words, code, answer, seconds))
        expected = 27_004 if self.complete else len(self.items)
        as_expected = [("passes", expected, 0), ("passes_before", 0, expected)]
        self.told.check("passes spoilt, and as they were before", as_expected, rows)
        self.told.check("to XXX by the index, which holds what landed", int(np.isfinite(self.late).sum()), spoilt)
        self.told.check("problems that verify() names", 0, len(self.store.verify().problems))

    def cache(self) -> None:
        """Ask for the plane of each departure of January: the table, a cache beside it, an accelerator before it."""
        planes = self.store.create_table("planes", key="tailnum:S")
        with planes.batch_writer() as batch:
            for plane in plane_items(self.story):
                batch.put(plane)
        beside, fast = kv.Cache(clock=self.store.clock), kv.Accelerator(planes, ttl=300)

        def cache_aside(tail: str, paid: kv.Consumed) -> object:
            item = beside.get(tail)
            if item is None:
                item = planes.get(tail, consumed=paid) or {}
                beside.set(tail, item, ttl=300)
            return item

        ways: dict[str, Callable[[str, kv.Consumed], object]] = {
            "planes.get": lambda tail, paid: planes.get(tail, consumed=paid),
            "a kv.Cache beside it": cache_aside,
            "an accelerator before it": lambda tail, paid: fast.get(tail, consumed=paid),
        }
        rows, whole, seconds = [], [], 0.0
        for way, read in ways.items():
            paid, started = kv.Consumed(), self.timer()
            for tail in self.tails:
                read(tail, paid)
            seconds = self.timer() - started
            rows.append((way, paid.read, f"{1e6 * seconds / len(self.tails):.1f}"))
            whole.append(Bar(way, float(paid.read), f"{paid.read:,} read units"))
        answer = Table.from_rows(("read with", "read units", "µs a read"), rows)
        words = f"Each of {len(self.tails):,} departures asks for its plane. What does a cache save?"
        code = "planes = kv.Accelerator(planes)  # and nothing else changes"
        self.show.add(self.told, Question(words, code, answer, seconds))
        caption = "Half a unit a read of the table, found or not. The cache needs lines of yours, the accelerator none."
        self.show.add(self.told, Picture("What a month of questions costs", pictures.bars(whole), caption))
        asked, different = len(self.tails), len(set(self.tails))
        if self.complete:
            self.told.check("departures and their planes", (27_004, 3_149), (asked, different))
        units = [Decimal(asked) / 2, Decimal(different) / 2, Decimal(different) / 2]
        self.told.check("read units", [float(unit) for unit in units], [float(row[1]) for row in rows])


def sale(flight: str, seat: str, who: str) -> list[kv.Put | kv.Update]:
    """A seat that is free gets a name, its flight has one less, the passenger one booking more."""
    one = {":one": 1}
    return [
        kv.Put("seats", {"flight": flight, "seat": seat, "sold_to": who}, condition="attribute_not_exists(seat)"),
        kv.Update("departures", flight, "SET unsold = unsold - :one", condition="unsold >= :one", values=one),
        kv.Update("passengers", who, "ADD bookings :one", values=one),
    ]
