"""Words that stand for many: which terms of some segments a prefix, an automaton or a misspelt word means.

    neighbours(segments, "name", "jonh", edits=2)       # [Neighbour(term, distance, boost), ...], the nearest first
    beginning(segments, "name", b"jo")                  # [terms], sorted
    accepted(segments, "name", moves, accepts)          # the same, of a deterministic automaton over bytes

A neighbour's boost is 1 - distance / length of the shorter word, in code points: so a far neighbour counts less. The
best are those with the highest boost; among equals the first by bytes. Which terms there are depends on the segments,
so a shard's answer may differ from another's.

Invariants: the result does not depend on how documents are spread over segments; nothing is left out but by `most`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engines.search.segment import Segment


class Neighbour(NamedTuple):
    """A term near a word."""

    term: bytes
    distance: int
    boost: float


def neighbours(
    segments: Sequence[Segment],
    field: str,
    word: str,
    *,
    edits: int,
    prefix_length: int = 0,
    transpositions: bool = True,
    most: int = 50,
) -> list[Neighbour]:
    """The terms at most `edits` (0 to 2) away, the best `most` of them, the best first.

    prefix_length: so many code points at the beginning must be the same. ValueError for more than two edits.
    """
    size = len(word)
    prefix = word[:prefix_length].encode("utf-8", "surrogatepass")
    found: dict[bytes, Neighbour] = {}
    for segment in segments:
        if field not in segment.fields:
            continue
        terms = segment.terms(field)
        first, end = terms.prefix(prefix) if prefix else (0, len(terms))
        made = terms.within(word, edits, transpositions=transpositions, first=first, end=end)
        for ordinal, distance, length in zip(*(numbers.tolist() for numbers in made), strict=True):
            term = terms.term(ordinal)
            shorter = max(min(size, length), 1)
            found[term] = Neighbour(term, distance, 1.0 if distance == 0 else max(0.0, 1 - distance / shorter))
    best = sorted(found.values(), key=lambda one: (-one.boost, one.distance, one.term))
    return best[:most]


def beginning(segments: Sequence[Segment], field: str, prefix: bytes, *, most: int | None = None) -> list[bytes]:
    """The terms that begin with these bytes, sorted; at most the first `most`."""
    found: set[bytes] = set()
    for segment in segments:
        if field in segment.fields:
            terms = segment.terms(field)
            first, end = terms.prefix(prefix)
            found.update(terms.slice(first, end if most is None else min(end, first + most)))
    return sorted(found)[:most]


def accepted(
    segments: Sequence[Segment], field: str, moves: npt.NDArray[np.int32], accepts: npt.NDArray[np.uint8]
) -> list[bytes]:
    """The terms that an automaton accepts, sorted: see Dictionary.walk for its tables."""
    found: set[bytes] = set()
    for segment in segments:
        if field in segment.fields:
            terms = segment.terms(field)
            found.update(terms.term(ordinal) for ordinal in terms.walk(moves, accepts).tolist())
    return sorted(found)
