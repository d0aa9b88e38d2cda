"""What a chapter of the tour is made of: parts in the order they are told, and answers that must be right.

    Chapter     one engine: its idea in a sentence, what was loaded, the parts, the checks
      Question  the line of code that was typed, the answer as a table, how long it took
      Remark    a sentence with a heading: what only this engine does, what it is bad at
      Tree      a plan: what answering a question touched
      Picture   an SVG drawing with a caption; only the page shows it
    Check       an answer known beforehand, and the one that was found

An engine's chapter is a function `chapter(story, folder, show) -> Chapter` in a module of the engine's name. It adds
its parts through show.add, which also prints them, so the terminal and the page tell one story.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from engines.display import Plan, Table


@dataclass(frozen=True, slots=True)
class Check:
    """A known answer: right if what was found equals it."""

    what: str
    expected: object
    found: object

    @property
    def right(self) -> bool:
        return self.expected == self.found


@dataclass(frozen=True, slots=True)
class Question:
    """Something asked: in words, as the line that was typed, its answer, and the seconds it took."""

    words: str
    code: str
    answer: Table
    seconds: float


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence under a heading of two or three words."""

    heading: str
    words: str


@dataclass(frozen=True, slots=True)
class Tree:
    """A plan, and what to look at in it."""

    plan: Plan
    caption: str


@dataclass(frozen=True, slots=True)
class Picture:
    """An inline SVG with the sentence below it."""

    title: str
    svg: str
    caption: str


Part: TypeAlias = Question | Remark | Tree | Picture


@dataclass(slots=True)
class Chapter:
    """One engine's part of the tour. figures are a few numbers worth large print: words -> number."""

    name: str
    kind: str
    idea: str
    figures: dict[str, str] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def check(self, what: str, expected: object, found: object) -> None:
        self.checks.append(Check(what, expected, found))


def duration(seconds: float) -> str:
    """Words for a duration: 3.2 µs, 41 ms, 7.1 s."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_two_digits(seconds / size)} {unit}"
    return f"{_two_digits(seconds / 1e-6)} µs"


def size(count: float) -> str:
    """Words for a number of bytes: 812 bytes, 4.1 KB, 52 MB."""
    if count < 1_000:
        return f"{count:.0f} bytes"
    for unit, unit_bytes in (("KB", 1e3), ("MB", 1e6)):
        if count < 1_000 * unit_bytes:
            return f"{_two_digits(count / unit_bytes)} {unit}"
    return f"{_two_digits(count / 1e9)} GB"


def _two_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 9.95 else f"{number:.1f}" if number >= 1 else f"{number:.2f}"
