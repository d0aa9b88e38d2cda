"""The ledger's chapter: the planes of the year as a registry that nobody can change unseen.

    Plane   VIN-like number: the tail number, with year, manufacturer, model, seats and who operates it

Each answer is held against what is known without the ledger: how long a path of the tree has to be, which bytes were
changed, how many revisions were written.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from engines import ledger
from engines.clock import ManualClock, SystemClock
from engines.display import Table
from engines.ledger.pictures import draw_proof
from engines.tour.chapter import Chapter, Picture, Question
from engines.tour.kv import plane_items
from engines.tour.show import Show
from engines.tour.story import NEW_YEAR, Story

IDEA = "One hash stands for everything before it; who keeps it sees every change."
SOLD = 3


def chapter(story: Story, folder: Path, show: Show) -> Chapter:
    """Enter all planes, sell one, prove a past owner, tamper with a byte, write the book anew, forget an owner."""
    told = Chapter("ledger", "immutable, provable ledger: the class of QLDB", IDEA)
    show.open(told)
    with ledger.Ledger(folder / "registry", clock=ManualClock(NEW_YEAR * 1_000_000)) as book:
        run = _Run(story, folder, show, told, book)
        run.enter()
        run.sell()
        run.prove()
        run.tamper()
        run.forget()
    return told


class _Run:
    """One telling: the open book, and what its answers are held against."""

    def __init__(self, story: Story, folder: Path, show: Show, told: Chapter, book: ledger.Ledger) -> None:
        self.folder, self.show, self.told, self.book = folder, show, told, book
        self.timer = SystemClock().timer
        self.planes: list[dict[str, Any]] = [
            {name: _plain(value) for name, value in plane.items()} | {"owner": "first owner"}
            for plane in plane_items(story)
        ]

    def enter(self) -> None:
        """Enter all planes, and keep a digest."""
        self.book.create_table("Plane", indexes=["tailnum"])
        started = self.timer()
        appended = self.book.append("Plane", self.planes)
        seconds = self.timer() - started
        self.plane, self.id = self.planes[0]["tailnum"], appended.ids[0]
        self.digest = self.book.digest()
        self.told.figures["planes entered a second"] = f"{len(self.planes) / seconds:,.0f}"
        self.told.check("planes entered", len(self.planes), appended.count)

    def sell(self) -> None:
        """Sell a plane three times; ask who owned it when."""
        clock = self.book.clock
        assert isinstance(clock, ManualClock)  # noqa: S101 - the chapter has made it
        for number in range(SOLD):
            clock.advance(days=30)
            self.book.execute("UPDATE Plane AS p SET p.owner = ? WHERE p.tailnum = ?", f"buyer {number}", self.plane)
        started = self.timer()
        rows = [
            (row["metadata"]["txTime"][:10], row["data"]["owner"], row["metadata"]["version"])
            for row in self.book.history("Plane", self.id)
        ]
        seconds = self.timer() - started
        answer = Table.from_rows(("from", "owner", "version"), rows)
        words = f"{len(self.planes):,} planes are entered, one is sold: who has owned {self.plane}?"
        self.show.add(self.told, Question(words, 'book.history("Plane", id)', answer, seconds))
        self.told.check("revisions of the plane", [*range(SOLD + 1)], [row[2] for row in rows])

    def prove(self) -> None:
        """Prove the first owner by the digest that was kept, and that today's book continues that one."""
        started = self.timer()
        proof = self.book.prove("Plane", self.id, version=0, digest=self.digest)
        made = self.timer() - started
        today = self.book.digest()
        continued = ledger.verify_consistency(self.book.prove_consistency(self.digest, today), self.digest, today)
        forged = replace(proof, data=(proof.data or "").replace("first", "worst"))
        rows = [
            ("the entry and its data", bool(ledger.verify_proof(proof, self.digest))),
            ("the same with another owner", bool(ledger.verify_proof(forged, self.digest))),
            ("today's book begins with January's", bool(continued)),
        ]
        answer = Table.from_rows(("shown by a few hashes", "true"), rows)
        words = f"Was {self.plane} entered so? {len(proof.path)} hashes prove it, of {self.digest.size:,}"
        self.show.add(self.told, Question(words, "ledger.verify_proof(proof, digest)", answer, made))
        self.show.add(
            self.told,
            Picture("The way from an entry to the root", draw_proof(proof), "Blue is computed, yellow comes along."),
        )
        self.told.check("proofs accepted and refused", [True, False, True], [row[1] for row in rows])
        longest = (self.digest.size - 1).bit_length()
        self.told.check("hashes in the proof are log2(n) at most", expected=True, found=len(proof.path) <= longest)

    def tamper(self) -> None:
        """Change one byte on the disk, as nobody may; then write a whole other book."""
        segment = min((self.folder / "registry" / "log").glob("*.log"))
        good = segment.read_bytes()
        at = good.rindex(b"first owner")
        segment.write_bytes(good[:at] + b"F" + good[at + 1 :])
        started = self.timer()
        report = self.book.verify()
        seconds = self.timer() - started
        segment.write_bytes(good)
        found = report.first_bad
        named = found is not None and found.offset is not None and found.offset <= at
        rows = [] if found is None else [(found.kind, found.block, found.document, found.version)]
        answer = Table.from_rows(("kind", "block", "document", "version"), rows)
        words = "One byte is changed on the disk. What does an audit say?"
        self.show.add(self.told, Question(words, "book.verify().first_bad", answer, seconds))
        self.told.check("the changed byte is named", expected=True, found=named)
        with ledger.Ledger(self.folder / "forged", clock=ManualClock(NEW_YEAR * 1_000_000)) as other:
            other.create_table("Plane", indexes=["tailnum"])
            other.append("Plane", (plane | {"owner": "forger"} for plane in self.planes))
        (self.folder / "forged" / "BOOK").write_bytes((self.folder / "registry" / "BOOK").read_bytes())
        with ledger.Ledger(self.folder / "forged") as other:
            alone, against = other.verify(), other.verify(against=self.digest)
        words = "The whole book is written anew, consistent in itself. Who notices?"
        whole = [("the book alone", alone.ok), ("a digest that was kept elsewhere", against.ok)]
        answer = Table.from_rows(("audited by", "finds it whole"), whole)
        self.show.add(self.told, Question(words, "book.verify(against=digest)", answer, against.seconds))
        self.told.check("found whole: alone, against the digest", [True, False], [row[1] for row in whole])

    def forget(self) -> None:
        """Delete the first owner's data; the proof made before still holds."""
        proof = self.book.prove("Plane", self.id, version=0, digest=self.digest)
        started = self.timer()
        self.book.redact("Plane", self.id, version=0)
        seconds = self.timer() - started
        files = [file for file in (self.folder / "registry").rglob("*") if file.is_file()]
        data = (proof.data or "").encode()
        rows = [
            ("its bytes on the disk", sum(data in file.read_bytes() for file in files)),
            ("the proof made before holds", bool(ledger.verify_proof(proof, self.digest))),
            ("problems that verify() names", len(self.book.verify(against=self.digest).problems)),
        ]
        answer = Table.from_rows(("after a redaction", "found"), rows)
        words = "The first owner asks to be forgotten. What is left?"
        self.show.add(self.told, Question(words, 'book.redact("Plane", id, version=0)', answer, seconds))
        self.told.check("after a redaction: files, proof, problems", [0, True, 0], [row[1] for row in rows])


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON's values
    """A value as JSON holds it."""
    return value if isinstance(value, str | int | float | bool | None) else float(value)
