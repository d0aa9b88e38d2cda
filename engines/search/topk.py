"""Ranked search over several segments: from words with weights to the best k hits.

    clauses = weigh(segments, "title", [b"cat", b"dog"])          # look up, count documents, make weights of BM25
    top = search_or(segments, clauses, 10)                        # or search_and, search_phrase
    top.hits_list()                                               # [(score, segment number, document)], the best first
    top.total, top.exact                                          # how many matched, if `track` asked for it
    count_or(segments, clauses)                                   # only how many

A hit is named by the number of its segment in the sequence and its document there. filters: for each segment a bitset
of the documents that may be hits (uint64, a bit each), or None. Deleted documents are never hits.

BM25 as Lucene 8 and later have it, with the statistics of all segments given:

    idf       ln(1 + (N - df + 0.5) / (df + 0.5))       N: documents that have the field, df: that have the term
    score     boost * idf * tf / (tf + k1 * (1 - b + b * length / average))

length is what the document's norm byte says. Deleted documents count in N, df and average until they are merged away.

A Clause holds, for each segment, where its posting list lies: words are looked up once, when it is made. So clauses
belong to the segments they were made for, in that order. Queries that are no single OR, AND or phrase are trees:
windows.py.

Invariants: the same hits, scores and order whichever function or number of segments finds them (for the same
statistics); nothing here is shared between two calls but what never changes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from engines._native.searchinvert import norm_lengths
from engines._native.searchtopk import Context, Factors, Top
from engines.errors import Corrupted
from engines.search.columns import Bits
from engines.search.segment import Segment

K1: Final = 1.2
B: Final = 0.75
_LENGTHS: Final = norm_lengths()

Entry = tuple[int, int, int]  # documents, start, size: what Dictionary.find answers
Filters = Sequence[Bits | None]


class Clause(NamedTuple):
    """One word of one field with its weight, and where its list lies in each segment (None: not there)."""

    field: str
    term: bytes
    weight: float
    factors: Factors
    entries: tuple[Entry | None, ...]

    @property
    def df(self) -> int:
        """How many documents of these segments have the term, deleted ones among them."""
        return sum(entry[0] for entry in self.entries if entry is not None)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What BM25 knows of a field: documents that have it, tokens in all of them."""

    docs: int
    tokens: int

    @classmethod
    def of(cls, segments: Sequence[Segment], field: str) -> "Statistics":
        """The sums over the segments."""
        found = [segment.fields[field] for segment in segments if field in segment.fields]
        return cls(sum(one.docs for one in found), sum(one.tokens for one in found))

    @property
    def average(self) -> float:
        """Tokens a document."""
        return self.tokens / self.docs if self.docs else 1.0


def idf(docs: int, df: int) -> float:
    """How rare a term is: ln(1 + (N - df + 0.5) / (df + 0.5))."""
    return math.log(1 + (docs - df + 0.5) / (df + 0.5))


@lru_cache(maxsize=1024)
# the switch is given by position: a cached call with keywords takes twice as long
def factors(average: float, k1: float = K1, b: float = B, norms: bool = True) -> Factors:  # noqa: FBT001, FBT002 -- see above
    """What each norm does to a score; without norms every document is of average length."""
    length = _LENGTHS / average if norms else np.ones(256)
    return Factors((k1 * (1 - b + b * length)).astype(np.float32))


@lru_cache(maxsize=1)
def constant() -> Factors:
    """Factors with which a clause scores its weight, whatever the frequency: for boolean similarity."""
    return Factors(np.zeros(256, np.float32))


def entries(segments: Sequence[Segment], field: str, term: bytes) -> tuple[Entry | None, ...]:
    """Where the list of a term lies, in each segment."""
    return tuple([segment.fields[field].terms.find(term) if field in segment.fields else None for segment in segments])


def weigh(
    segments: Sequence[Segment],
    field: str,
    terms: Sequence[bytes],
    *,
    boost: float = 1.0,
    k1: float = K1,
    b: float = B,
    statistics: Statistics | None = None,
    dfs: Sequence[int] | None = None,
) -> list[Clause]:
    """The clauses of BM25 for these words, in their order; a word that stands twice gives two.

    statistics, dfs (of each term): of a larger collection than these segments, for scores that fit to others'.
    """
    fields = [segment.fields.get(field) for segment in segments]
    norms = False
    docs = tokens = 0
    for one in fields:
        if one is not None:
            norms, docs, tokens = norms or one.has_norms, docs + one.docs, tokens + one.tokens
    if statistics is not None:
        docs, tokens = statistics.docs, statistics.tokens
    shared = factors(tokens / docs if docs else 1.0, k1, b, norms)
    finds = [None if one is None else one.terms.find for one in fields]
    made = []
    for i, term in enumerate(terms):
        found = tuple([None if find is None else find(term) for find in finds])
        df = 0
        for entry in found:
            if entry is not None:
                df += entry[0]
        if dfs is not None:
            df = dfs[i]
        weight = boost * math.log(1 + (max(docs, df) - df + 0.5) / (df + 0.5))
        made.append(Clause(field, term, weight, shared, found))
    return made


def context(segment: Segment, clauses: Sequence[Clause], number: int, bits: Bits | None = None) -> Context:
    """The kernel's view of clauses on one segment, of those that the segment has."""
    made = Context(segment.docs, segment.live, bits)
    fields = segment.fields
    for clause in clauses:
        entry = clause.entries[number]
        if entry is not None:
            made.add(fields[clause.field].kernel, *entry, clause.weight, clause.factors)
    return made


def search_or(
    segments: Sequence[Segment],
    clauses: Sequence[Clause],
    k: int = 10,
    *,
    filters: Filters | None = None,
    track: int = 0,
    after: tuple[float, int, int] | None = None,
) -> Top:
    """The best k documents that have at least one of the words. A score is the sum of its clauses.

    track: count this many matches exactly before documents are skipped (-1: all); after: the last hit of the page
    before this one. Corrupted if a posting list makes no sense.
    """
    top = Top(k, after)
    for number, segment in enumerate(segments):
        made = context(segment, clauses, number, None if filters is None else filters[number])
        try:
            made.top_or(top, number, track)
        except ValueError as error:
            raise damaged(segment) from error
    return top


def search_and(
    segments: Sequence[Segment],
    clauses: Sequence[Clause],
    k: int = 10,
    *,
    filters: Filters | None = None,
    track: int = 0,
    after: tuple[float, int, int] | None = None,
) -> Top:
    """The best k documents that have all the words. No words: no hits."""
    top = Top(k, after)
    for number, segment in enumerate(segments):
        if all(clause.entries[number] is not None for clause in clauses):
            made = context(segment, clauses, number, None if filters is None else filters[number])
            try:
                made.top_and(top, number, track)
            except ValueError as error:
                raise damaged(segment) from error
    return top


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that stand at fixed places: for each slot its place and the clauses of which any may stand there.

    slop: by how many places in all the words may be out of their places. A clause's weight does not count; the weight
    of the phrase is the boost times the sum of its words' idf. Of a slot with several words that is up to the caller.
    """

    slots: tuple[tuple[int, tuple[Clause, ...]], ...]
    weight: float
    slop: int = 0

    def context(self, segment: Segment, number: int, bits: Bits | None = None) -> Context | None:
        """The kernel's view on one segment; None where the segment lacks all words of a slot."""
        made = Context(segment.docs, segment.live, bits)
        groups: dict[frozenset[bytes], list[int]] = {}
        for i, (_, words) in enumerate(self.slots if self.slop else ()):  # an exact phrase needs no groups
            groups.setdefault(frozenset(word.term for word in words), []).append(i)
        group_of = {i: found for found, members in enumerate(groups.values()) if len(members) > 1 for i in members}
        for i, (place, words) in enumerate(self.slots):
            there = [(word, entry) for word in words if (entry := word.entries[number]) is not None]
            if not there:
                return None
            made.add_slot(place, group_of.get(i, -1))
            for word, entry in there:
                made.add(segment.fields[word.field].kernel, *entry, word.weight, word.factors)
        return made


def phrase(clauses: Sequence[Clause], *, slop: int = 0, places: Sequence[int] | None = None) -> Phrase:
    """The words one after the other (or at these places, from 0 on), with the sum of the clauses' weights."""
    where = range(len(clauses)) if places is None else places
    slots = tuple((place, (clause,)) for place, clause in zip(where, clauses, strict=True))
    return Phrase(slots, sum(clause.weight for clause in clauses), slop)


def search_phrase(
    segments: Sequence[Segment],
    wanted: Phrase,
    k: int = 10,
    *,
    filters: Filters | None = None,
    track: int = 0,
    after: tuple[float, int, int] | None = None,
) -> Top:
    """The best k documents that hold the phrase. ValueError if its field keeps no positions."""
    top = Top(k, after)
    for number, segment in enumerate(segments):
        made = wanted.context(segment, number, None if filters is None else filters[number])
        if made is not None:
            made.top_phrase(top, number, wanted.weight, wanted.slop, track)
    return top


def count_or(segments: Sequence[Segment], clauses: Sequence[Clause], *, filters: Filters | None = None) -> int:
    """How many live documents have at least one of the words."""
    return sum(
        context(segment, clauses, number, None if filters is None else filters[number]).count_or()
        for number, segment in enumerate(segments)
    )


def count_and(segments: Sequence[Segment], clauses: Sequence[Clause], *, filters: Filters | None = None) -> int:
    """How many live documents have all the words."""
    return sum(
        context(segment, clauses, number, None if filters is None else filters[number]).count_and()
        for number, segment in enumerate(segments)
        if all(clause.entries[number] is not None for clause in clauses)
    )


def count_phrase(segments: Sequence[Segment], wanted: Phrase, *, filters: Filters | None = None) -> int:
    """How many live documents hold the phrase."""
    total = 0
    for number, segment in enumerate(segments):
        made = wanted.context(segment, number, None if filters is None else filters[number])
        total += made.count_phrase(wanted.slop) if made is not None else 0
    return total


def damaged(segment: Segment) -> Corrupted:
    """What to raise where a kernel met bytes that are no posting list."""
    return segment.container.corrupted("a posting list makes no sense", 0)
