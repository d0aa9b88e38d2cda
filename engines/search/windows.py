"""Trees of queries, a window of 8,192 documents at a time: slower than the kernels of topk.py, simple, always right.

    Leaf      the sum of clauses          Matching   a bitset, all with one score
    Words     a phrase                    Every      all documents with one score
    All       must, should, must_not      Best       the highest score, and a share of the others (dis_max)
    Scaled    a score times a factor, or made constant

A node fills, for documents low ... low + 8,191 of one segment, `bits` (uint64[128]: which match) and `scores`
(float64[8192]: what they get, 0 elsewhere). A node of one's own is a class with those two methods: `open(segment,
number)` gives something that has `fill(low) -> (bits, scores)`. Arrays that fill() returns belong to the caller.

Scores are kept in float64 and rounded once, when a hit is offered, as in the kernels: the same query gives the same
bits here and there, which is what the tests of the kernels rest on.

Invariants: fill() is called with ascending multiples of 8,192; scores are 0 where the bit is off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from engines._native.searchtopk import Context, Top
from engines.search.columns import Bits
from engines.search.segment import Segment
from engines.search.topk import Clause, Filters, Phrase, context, damaged

WINDOW: Final = 8192
WORDS: Final = WINDOW // 64

Scores = npt.NDArray[np.float64]
Filled = tuple[Bits, Scores]


class Cursor(Protocol):
    """A node on one segment."""

    def fill(self, low: int) -> Filled:
        """The window that begins at document `low`."""
        ...


class Node(Protocol):
    """A query, whatever the segment."""

    def open(self, segment: Segment, number: int) -> Cursor:
        """The node on one segment, the number-th of those that the query is asked of."""
        ...


def search(
    segments: Sequence[Segment],
    node: Node,
    k: int = 10,
    *,
    filters: Filters | None = None,
    after: tuple[float, int, int] | None = None,
    min_score: float | None = None,
) -> Top:
    """The best k live documents of a tree; the total is exact. Corrupted if a posting list makes no sense."""
    top = Top(k, after)
    for number, segment in enumerate(segments):
        cursor = node.open(segment, number)
        for low in range(0, segment.docs, WINDOW):
            try:
                bits, scores = cursor.fill(low)
            except ValueError as error:
                raise damaged(segment) from error
            bits &= part(segment.live, low, segment.docs)
            if filters is not None:
                bits &= part(filters[number], low, segment.docs)
            if min_score is not None:
                bits &= packed(scores.astype(np.float32) >= np.float32(min_score))
            top.add_window(number, low, scores, bits)
    return top


def part(bits: Bits | None, low: int, docs: int) -> Bits:
    """The window of a bitset over a segment; None: all its documents."""
    out = np.zeros(WORDS, np.uint64)
    first, end = low >> 6, min((low + WINDOW) >> 6, (docs + 63) >> 6)
    if bits is not None:
        out[: end - first] = bits[first:end]
        return out
    out[: end - first] = ~np.uint64(0)
    if docs & 63 and end == (docs + 63) >> 6:
        out[end - first - 1] = np.uint64((1 << (docs & 63)) - 1)
    return out


def packed(flags: npt.NDArray[np.bool_]) -> Bits:
    """The bits of a window from one boolean a document."""
    return np.packbits(flags, bitorder="little").view(np.uint64)


def unpacked(bits: Bits) -> npt.NDArray[np.bool_]:
    """One boolean a document from the bits of a window."""
    return np.unpackbits(bits.view(np.uint8), bitorder="little").view(np.bool_)


# --- leaves ---


@dataclass(frozen=True, slots=True)
class Leaf:
    """Documents that have any of the clauses; their scores add up in the clauses' order."""

    clauses: tuple[Clause, ...]

    def open(self, segment: Segment, number: int) -> Cursor:
        return _LeafCursor(context(segment, self.clauses, number))


class _LeafCursor:
    def __init__(self, made: Context) -> None:
        self._context = made

    def fill(self, low: int) -> Filled:
        bits, scores = np.zeros(WORDS, np.uint64), np.zeros(WINDOW)
        self._context.fill(low, scores, bits)
        return bits, scores


@dataclass(frozen=True, slots=True)
class Words:
    """Documents that hold a phrase. ValueError if its field keeps no positions."""

    phrase: Phrase

    def open(self, segment: Segment, number: int) -> Cursor:
        return _WordsCursor(self.phrase, self.phrase.context(segment, number))


class _WordsCursor:
    def __init__(self, phrase: Phrase, made: Context | None) -> None:
        self._phrase, self._context = phrase, made

    def fill(self, low: int) -> Filled:
        bits, scores = np.zeros(WORDS, np.uint64), np.zeros(WINDOW)
        if self._context is not None:
            self._context.fill_phrase(low, scores, bits, self._phrase.weight, self._phrase.slop)
        return bits, scores


@dataclass(frozen=True, slots=True, eq=False)
class Matching:
    """The documents of a bitset for each segment (None: all of it), all with one score."""

    bits: Filters
    score: float = 0.0

    def open(self, segment: Segment, number: int) -> Cursor:
        return _MatchingCursor(self.bits[number], segment.docs, self.score)


class _MatchingCursor:
    def __init__(self, bits: Bits | None, docs: int, score: float) -> None:
        self._bits, self._docs, self._score = bits, docs, score

    def fill(self, low: int) -> Filled:
        bits = part(self._bits, low, self._docs)
        return bits, np.where(unpacked(bits), np.float64(self._score), 0.0)


@dataclass(frozen=True, slots=True)
class Every:
    """All documents, with one score."""

    score: float = 1.0

    def open(self, segment: Segment, number: int) -> Cursor:  # noqa: ARG002 -- every node has it
        return _MatchingCursor(None, segment.docs, self.score)


# --- trees ---


@dataclass(frozen=True, slots=True)
class All:
    """A boolean query: every node of must and filtered, none of must_not, at least `minimum` of should.

    The score is the sum of must, then should: filtered ones do not count. minimum: None means 1 where there is neither
    must nor filtered, else 0. With nothing but must_not all others match, with score 0.
    """

    must: tuple[Node, ...] = ()
    should: tuple[Node, ...] = ()
    must_not: tuple[Node, ...] = ()
    filtered: tuple[Node, ...] = ()
    minimum: int | None = None

    def open(self, segment: Segment, number: int) -> Cursor:
        minimum = self.minimum
        if minimum is None:
            minimum = 1 if self.should and not self.must and not self.filtered else 0
        groups = [
            [node.open(segment, number) for node in nodes]
            for nodes in (self.must, self.should, self.must_not, self.filtered)
        ]
        return _AllCursor(groups, minimum, segment.docs)


class _AllCursor:
    def __init__(self, groups: list[list[Cursor]], minimum: int, docs: int) -> None:
        self._must, self._should, self._must_not, self._filtered = groups
        self._minimum, self._docs = minimum, docs

    def fill(self, low: int) -> Filled:
        bits, scores = part(None, low, self._docs), np.zeros(WINDOW)
        for cursor in self._must:
            matching, more = cursor.fill(low)
            bits &= matching
            scores += more
        for cursor in self._filtered:
            bits &= cursor.fill(low)[0]
        for cursor in self._must_not:
            bits &= ~cursor.fill(low)[0]
        if self._should:
            counts = np.zeros(WINDOW, np.int32)
            for cursor in self._should:
                matching, more = cursor.fill(low)
                scores += more
                counts += unpacked(matching)
            if self._minimum > 0:
                bits &= packed(counts >= self._minimum)
        elif self._minimum > 0:
            bits[:] = 0
        scores[~unpacked(bits)] = 0
        return bits, scores


@dataclass(frozen=True, slots=True)
class Best:
    """The highest score of the nodes, and tie_breaker times the sum of the others (dis_max)."""

    nodes: tuple[Node, ...]
    tie_breaker: float = 0.0

    def open(self, segment: Segment, number: int) -> Cursor:
        return _BestCursor([node.open(segment, number) for node in self.nodes], self.tie_breaker)


class _BestCursor:
    def __init__(self, cursors: list[Cursor], tie_breaker: float) -> None:
        self._cursors, self._tie_breaker = cursors, tie_breaker

    def fill(self, low: int) -> Filled:
        bits, highest, total = np.zeros(WORDS, np.uint64), np.zeros(WINDOW), np.zeros(WINDOW)
        for cursor in self._cursors:
            matching, scores = cursor.fill(low)
            bits |= matching
            np.maximum(highest, scores, out=highest)
            total += scores
        if self._tie_breaker:
            highest += self._tie_breaker * (total - highest)
        return bits, highest


@dataclass(frozen=True, slots=True)
class Scaled:
    """A node with its scores times a factor, or all the same (constant_score)."""

    node: Node
    factor: float = 1.0
    constant: float | None = None

    def open(self, segment: Segment, number: int) -> Cursor:
        return _ScaledCursor(self.node.open(segment, number), self.factor, self.constant)


class _ScaledCursor:
    def __init__(self, cursor: Cursor, factor: float, constant: float | None) -> None:
        self._cursor, self._factor, self._constant = cursor, factor, constant

    def fill(self, low: int) -> Filled:
        bits, scores = self._cursor.fill(low)
        if self._constant is not None:
            return bits, np.where(unpacked(bits), self._constant, 0.0)
        scores *= self._factor
        return bits, scores
