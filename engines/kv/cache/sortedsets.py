"""Sorted sets: members with a score each, always in order. Leaderboards, and whatever is due next.

A sorted set is a Ranking (ranking.py). Scores are floats, as in Redis: an int, a Decimal or text becomes one, so
two that differ after the 17th digit are one score. Infinities are scores, NaN is none.

    bounds of scores   5  or "5"   from 5 on       "(5"   above 5            "-inf"  "+inf"
    bounds by bytes    "[b"        from b on       "(b"   after b            "-"  "+"      all scores have to be equal

With reverse the higher bound comes first, as in Redis.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any, Literal

from engines.errors import Invalid
from engines.kv.cache.hooks import Containers, Key, Member, check_member, check_some, order_of, span, whole
from engines.kv.cache.ranking import Ranking

Score = int | float | Decimal | str | bytes
Aggregate = Literal["sum", "min", "max"]
By = Literal["index", "score", "lex"]

_SCORE, _BYTES = itemgetter(0), itemgetter(1)


class SortedSets(Containers):
    """The commands on sorted sets. An absent key is an empty one, an empty one an absent key."""

    def zadd(
        self,
        key: Key,
        mapping: Mapping[Member, Score],
        *,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
        ch: bool = False,
        incr: bool = False,
    ) -> int | float | None:
        """Give members their scores; how many are new, with ch how many are new or changed.

        nx: only new members. xx: only those that are there. gt, lt: those that are there only to a higher, lower score.
        incr: add to the one member's score; its new score, or None if the other options left it as it is.
        Invalid: options that exclude each other, a score that is no number, a sum that is none.
        """
        if (nx and (xx or gt or lt)) or (gt and lt):
            raise Invalid("nx, gt and lt exclude each other, and nx excludes xx: give one of them")
        given = _scores_of(mapping)
        if incr and len(given) != 1:
            raise Invalid(f"with incr=True give one member, got {len(given)}")
        with self._lock:
            ranking = self._ranking(key)
            changed: dict[Member, float] = {}
            new = 0
            result: float | None = None
            for member, score in given.items():
                old = ranking.score(member)
                if incr and old is not None:
                    score = _sum(member, old, score)  # noqa: PLW2901 - the score it is to have
                if xx if old is None else nx or (gt and score <= old) or (lt and score >= old):
                    continue
                new += old is None
                result = score
                if score != old:
                    changed[member] = score
            if changed:
                self._record("zadd", key, changed)
                for member, score in changed.items():
                    ranking.set(member, score)
                self._keep(key, "zset", ranking)
            if incr:
                return result
            return len(changed) if ch else new

    def zincrby(self, key: Key, by: Score, member: Member) -> float:
        """Add to a member's score, 0 where it is new; the new score. Invalid if the sum is no number."""
        return float(self.zadd(key, {member: by}, incr=True) or 0)

    def zrem(self, key: Key, *members: Member) -> int:
        """Remove members; how many were there."""
        check_some("members", members)
        for member in members:
            check_member(member)
        with self._lock:
            ranking = self._ranking(key)
            gone = [member for member in dict.fromkeys(members) if member in ranking]
            self._zremove(key, ranking, gone)
            return len(gone)

    def zscore(self, key: Key, member: Member) -> float | None:
        """The score of a member, None if it is not there."""
        check_member(member)
        with self._lock:
            return self._ranking(key).score(member)

    def zcard(self, key: Key) -> int:
        """How many members there are."""
        with self._lock:
            return len(self._ranking(key))

    def zrank(self, key: Key, member: Member) -> int | None:
        """How many members stand before this one, None if it is not there."""
        check_member(member)
        with self._lock:
            ranking = self._ranking(key)
            return ranking.rank(member) if member in ranking else None

    def zrevrank(self, key: Key, member: Member) -> int | None:
        """How many members stand after this one: 0 is the highest score. None if it is not there."""
        check_member(member)
        with self._lock:
            ranking = self._ranking(key)
            return len(ranking) - 1 - ranking.rank(member) if member in ranking else None

    def zrange(
        self,
        key: Key,
        start: Any = 0,  # noqa: ANN401 - a position, or a bound as `by` says
        stop: Any = -1,  # noqa: ANN401 - likewise
        *,
        by: By = "index",
        reverse: bool = False,
        limit: tuple[int, int] | None = None,
        scores: bool = False,
    ) -> list[Any]:
        """The members from start to stop, both included, in order; with scores, pairs of member and score.

        by "index": positions, negative ones from the end. by "score", "lex": bounds, see the module; limit is then
        (how many to skip, how many to give at most; a negative number for all).
        """
        if by not in ("index", "score", "lex"):
            raise Invalid(f'by must be "index", "score" or "lex", got {by!r}')
        if limit is not None and by == "index":
            raise Invalid('limit goes with by="score" or by="lex": with positions give start and stop')
        skip, most = (
            (0, -1) if limit is None else (whole(limit[0], "limit's first", 0), whole(limit[1], "limit's second"))
        )
        with self._lock:
            ranking = self._ranking(key)
            if by == "index":
                chosen = span(start, stop, len(ranking))
                if reverse:
                    chosen = range(len(ranking) - chosen.stop, len(ranking) - chosen.start)
            else:
                chosen = _stretch(ranking, *((stop, start) if reverse else (start, stop)), by)
            if most >= 0 or skip:
                ordered = chosen[::-1] if reverse else chosen
                ordered = ordered[skip:] if most < 0 else ordered[skip : skip + most]
                chosen = ordered[::-1] if reverse else ordered
            found = list(ranking.between(chosen.start, chosen.stop))
        if reverse:
            found.reverse()
        return found if scores else [member for member, _ in found]

    def zrangebyscore(
        self, key: Key, low: Score, high: Score, *, limit: tuple[int, int] | None = None, scores: bool = False
    ) -> list[Any]:
        """zrange with by="score"."""  # noqa: D403 - a name
        return self.zrange(key, low, high, by="score", limit=limit, scores=scores)

    def zcount(self, key: Key, low: Score, high: Score) -> int:
        """How many members have a score between these bounds."""
        with self._lock:
            return len(_stretch(self._ranking(key), low, high, "score"))

    def zpopmin(self, key: Key, count: int | None = None) -> Any:  # noqa: ANN401 - a pair, None, or a list of pairs
        """Take the member with the lowest score, as (member, score), or None; with count, a list of at most so many."""
        return self._zpop(key, count, highest=False)

    def zpopmax(self, key: Key, count: int | None = None) -> Any:  # noqa: ANN401 - a pair, None, or a list of pairs
        """Take the member with the highest score, as zpopmin does the lowest."""
        return self._zpop(key, count, highest=True)

    def zremrangebyscore(self, key: Key, low: Score, high: Score) -> int:
        """Remove the members with scores between these bounds; how many."""
        with self._lock:
            ranking = self._ranking(key)
            chosen = _stretch(ranking, low, high, "score")
            return self._zremove_stretch(key, ranking, chosen)

    def zremrangebyrank(self, key: Key, start: int, stop: int) -> int:
        """Remove the members at the positions from start to stop, both included; how many."""
        with self._lock:
            ranking = self._ranking(key)
            return self._zremove_stretch(key, ranking, span(start, stop, len(ranking)))

    def zunion(
        self, *keys: Key, weights: Sequence[float] | None = None, aggregate: Aggregate = "sum", scores: bool = False
    ) -> list[Any]:
        """The members of any of these sorted sets, in order of their scores put together.

        weights: a factor for the scores of each set, 1 if left out. aggregate: "sum", "min" or "max" of the scores.
        """
        return _listed(self._zcombine(keys, weights, aggregate, everywhere=False), scores=scores)

    def zinter(
        self, *keys: Key, weights: Sequence[float] | None = None, aggregate: Aggregate = "sum", scores: bool = False
    ) -> list[Any]:
        """The members of all of these sorted sets; otherwise as zunion."""
        return _listed(self._zcombine(keys, weights, aggregate, everywhere=True), scores=scores)

    def zunionstore(
        self,
        destination: Key,
        keys: Sequence[Key],
        weights: Sequence[float] | None = None,
        aggregate: Aggregate = "sum",
    ) -> int:
        """Make destination the sorted set that zunion gives; its size, and 0 removes the key."""
        return self._zstore("zunionstore", destination, keys, weights, aggregate)

    def zinterstore(
        self,
        destination: Key,
        keys: Sequence[Key],
        weights: Sequence[float] | None = None,
        aggregate: Aggregate = "sum",
    ) -> int:
        """Make destination the sorted set that zinter gives; its size, and 0 removes the key."""
        return self._zstore("zinterstore", destination, keys, weights, aggregate)

    def _zcombine(
        self, keys: Sequence[Key], weights: Sequence[float] | None, aggregate: Aggregate, *, everywhere: bool
    ) -> Ranking:
        check_some("keys", keys)
        if aggregate not in _TOGETHER:
            raise Invalid(f'aggregate must be "sum", "min" or "max", got {aggregate!r}')
        factors = [1.0] * len(keys) if weights is None else [score_of(weight, "a weight") for weight in weights]
        if len(factors) != len(keys):
            raise Invalid(f"weights are one number for each of {len(keys)} keys, got {len(factors)}")
        together = _TOGETHER[aggregate]
        found: dict[Member, tuple[float, int]] = {}  # its score so far, and the number of sets it is in
        with self._lock:
            for key, factor in zip(keys, factors, strict=True):
                for member, score in self._ranking(key):
                    weighted = _no_nan(score * factor)
                    before, times = found.get(member, (0.0, 0))
                    found[member] = together(before, weighted) if times else weighted, times + 1
        needed = len(keys) if everywhere else 1
        return Ranking((member, score) for member, (score, times) in found.items() if times >= needed)

    def _zstore(
        self, command: str, destination: Key, keys: Sequence[Key], weights: Sequence[float] | None, aggregate: Aggregate
    ) -> int:
        if isinstance(keys, str | bytes) or not isinstance(keys, Sequence):
            raise Invalid(f"{command} takes a list of keys, got {keys!r}")
        with self._lock:
            result = self._zcombine(keys, weights, aggregate, everywhere=command == "zinterstore")
            self._record(command, destination, list(keys), None if weights is None else list(weights), aggregate)
            self._keep(destination, "zset", Ranking())  # what stood there goes, with its time to live
            self._keep(destination, "zset", result)
            return len(result)

    def _zpop(self, key: Key, count: int | None, *, highest: bool) -> Any:  # noqa: ANN401 - a pair, None, or a list
        if count is not None:
            whole(count, "count", 0)
        with self._lock:
            ranking = self._ranking(key)
            taken = min(len(ranking), 1 if count is None else count)
            start = len(ranking) - taken if highest else 0
            found = list(ranking.between(start, start + taken))
            if highest:
                found.reverse()
            self._zremove(key, ranking, [member for member, _ in found])
            if count is None:
                return found[0] if found else None
            return found

    def _zremove_stretch(self, key: Key, ranking: Ranking, chosen: range) -> int:
        self._zremove(key, ranking, [member for member, _ in ranking.between(chosen.start, chosen.stop)])
        return len(chosen)

    def _zremove(self, key: Key, ranking: Ranking, gone: list[Member]) -> None:
        if gone:
            self._record("zrem", key, *gone)
            for member in gone:
                ranking.remove(member)
            self._keep(key, "zset", ranking)

    def _ranking(self, key: Key) -> Ranking:
        found: Ranking | None = self._container(key, "zset")
        return Ranking() if found is None else found


def score_of(value: Score, what: str = "a score") -> float:
    """The float that stands for a score, also given as text. Invalid for NaN, for what is no number, for 1e400."""
    score = math.nan
    if isinstance(value, int | float | Decimal | str | bytes) and not isinstance(value, bool):
        try:
            score = float(value)
        except (ValueError, OverflowError):
            score = math.nan
    if math.isnan(score):
        raise Invalid(f"{what} is a number that a float can hold, or infinite, got {value!r}", code="not-a-number")
    return score


def _scores_of(mapping: Mapping[Member, Score]) -> dict[Member, float]:
    if not isinstance(mapping, Mapping):
        raise Invalid(f"zadd takes a mapping of members to scores, got {type(mapping).__name__}")
    check_some("members", mapping)
    for member in mapping:
        check_member(member)
    return {member: score_of(score) for member, score in mapping.items()}


def _sum(member: Member, old: float, by: float) -> float:
    if math.isnan(old + by):
        raise Invalid(f"the score {old} of {member!r} plus {by} is no number", code="not-a-number")
    return old + by


def _stretch(ranking: Ranking, low: Any, high: Any, by: By) -> range:  # noqa: ANN401 - bounds, which are checked here
    """The positions between two bounds; empty if they have changed places."""
    bound, part = (_score_bound, _SCORE) if by == "score" else (_lex_bound, _BYTES)
    (least, above), (most, below) = bound(low), bound(high)
    start = len(ranking) if least is _LAST else 0 if least is _FIRST else ranking.place(least, key=part, after=above)
    stop = len(ranking) if most is _LAST else 0 if most is _FIRST else ranking.place(most, key=part, after=not below)
    return range(start, max(start, stop))


_FIRST, _LAST = object(), object()


def _score_bound(bound: Score) -> tuple[Any, bool]:
    """The score, and whether it is itself excluded."""
    if isinstance(bound, str | bytes):
        text = bound if isinstance(bound, str) else bound.decode("latin-1")
        if text.startswith("("):
            return score_of(text[1:], "a bound"), True
    return score_of(bound, "a bound"), False


def _lex_bound(bound: str | bytes) -> tuple[Any, bool]:
    """The bytes, and whether they are themselves excluded."""
    if isinstance(bound, str | bytes):
        data = order_of(bound)
        if data in (b"-", b"+"):
            return (_FIRST if data == b"-" else _LAST), False
        if data[:1] in (b"[", b"("):
            return data[1:], data[:1] == b"("
    raise Invalid(f'a bound by bytes is "[text" (included), "(text" (excluded), "-" or "+", got {bound!r}')


def _no_nan(score: float) -> float:
    """Infinity times 0, or plus minus infinity: 0, as Redis has it."""
    return 0.0 if math.isnan(score) else score


def _plus(left: float, right: float) -> float:
    return _no_nan(left + right)


_TOGETHER: dict[str, Callable[[float, float], float]] = {"sum": _plus, "min": min, "max": max}


def _listed(ranking: Iterable[tuple[Member, float]], *, scores: bool) -> list[Any]:
    return list(ranking) if scores else [member for member, _ in ranking]
