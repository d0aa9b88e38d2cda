"""The order of inner joins: dynamic programming over sets of leaves.

    best[{a}], best[{b}], ...          a leaf costs nothing
    best[{a, b, c}]                    the cheapest of best[{a}] + best[{b, c}], best[{a, b}] + best[{c}], ...
                                       + 2 * rows of the smaller side + rows of the larger + rows that come out

A set is a number with a bit for each leaf. Only sets that are connected by terms are looked at (Moerkotte and Neumann,
2006, here with a plainer enumeration), so that chains and stars of eight tables take well under a millisecond. Where
that would be more than a few thousand pairs, the two sets with the smallest result are joined, again and again. Sets
that no term connects are multiplied last, small ones first.

The smaller side is the right one, of which the hash table is made. Of a class of equal columns one pair is a join's
key; the others follow.
"""

from typing import Final

from engines.sql.logical import Call, Expression, Join, Plan, Reference
from engines.sql.rewrite.trees import conjunction, filtered, ids_of
from engines.sql.rewrite.work import Work

MOST_PAIRS: Final = 4_000
Edge = tuple[int, int, float, int]  # bit of one leaf, of the other, part of the pairs that meet, class or -1


class _Graph:
    """Leaves, and what connects them."""

    def __init__(self, leaves: list[Plan], terms: list[Expression], classes: list[list[Reference]], work: Work) -> None:
        self.leaves = leaves
        self.work = work
        self.home = {id: 1 << number for number, leaf in enumerate(leaves) for id in ids_of(leaf)}
        self.rows = {1 << number: work.estimates.rows(leaf) for number, leaf in enumerate(leaves)}
        self.classes = [[(self.home[one.id], one) for one in members if one.id in self.home] for members in classes]
        self.terms = [(self.mask(term), term) for term in terms]
        self.edges: list[Edge] = []
        self.others: list[tuple[int, float]] = []  # terms that are no edges: leaves, part
        self.neighbours = dict.fromkeys(self.rows, 0)
        for number, members in enumerate(self.classes):
            for i, (bit, one) in enumerate(members):
                for other_bit, other in members[i + 1 :]:
                    if bit != other_bit:
                        self._connect(bit, other_bit, work.estimates.meeting(one, other), number)
        for mask, term in self.terms:
            self._term(mask, term)
        self._bound_composites()

    def mask(self, term: Expression) -> int:
        mask = 0
        for id in self.work.mentions(term):
            mask |= self.home.get(id, 0)
        return mask

    def _connect(self, one: int, other: int, part: float, number: int) -> None:
        self.edges.append((one, other, part, number))
        self.neighbours[one] |= other
        self.neighbours[other] |= one

    def _term(self, mask: int, term: Expression) -> None:
        estimates = self.work.estimates
        if isinstance(term, Call) and term.function == "=":
            one, other = [self.mask(side) for side in term.arguments]
            if one in self.rows and other in self.rows and one != other:
                self._connect(one, other, estimates.meeting(*term.arguments), -1)
                return
        bits = [bit for bit in self.rows if bit & mask]
        part = estimates.selectivity([term])
        if len(bits) == 2 and min(self.rows[bit] for bit in bits) <= 1:
            self._connect(bits[0], bits[1], part, -1)
        else:
            self.others.append((mask, part))

    def _bound_composites(self) -> None:
        """Two leaves with several keys: together these have no more values than the smaller table has rows."""
        together: dict[tuple[int, int], list[int]] = {}
        for i, (one, other, _, _) in enumerate(self.edges):
            together.setdefault((min(one, other), max(one, other)), []).append(i)
        for (one, other), found in together.items():
            if len(found) > 1:
                sizes = [self.work.estimates.table(self.leaves[bit.bit_length() - 1]) for bit in (one, other)]
                least = 1 / max(min(sizes), 1.0)
                for i in sorted(found, key=lambda i: self.edges[i][2]):
                    left, right, part, number = self.edges[i]
                    part = min(max(part, least), 1.0)
                    self.edges[i] = left, right, part, number
                    least /= part

    # ---- sets ----------------------------------------------------------------------------------------------------

    def around(self, mask: int) -> int:
        """The leaves that some leaf of the set is connected with, the set itself taken out."""
        found = 0
        for bit, others in self.neighbours.items():
            if bit & mask:
                found |= others
        return found & ~mask

    def meeting(self, one: int, other: int) -> float:
        """The part of all pairs of rows of two sets that is left when they are joined."""
        part = 1.0
        seen: dict[int, float] = {}
        for a, b, each, number in self.edges:
            if (a & one and b & other) or (a & other and b & one):
                if number < 0:
                    part *= each
                else:
                    seen[number] = min(each, seen.get(number, 1.0))
        for each in seen.values():
            part *= each
        both = one | other
        for mask, each in self.others:
            if not mask & ~both and mask & one and mask & other:
                part *= each
        return part

    def components(self) -> list[int]:
        left = (1 << len(self.leaves)) - 1
        found = []
        while left:
            mask = left & -left
            while more := self.around(mask) & left:
                mask |= more
            found.append(mask)
            left &= ~mask
        return found


Best = dict[int, tuple[float, float, int, int]]  # set -> cost, rows, the larger part, the smaller


def arranged(leaves: list[Plan], terms: list[Expression], classes: list[list[Reference]], work: Work) -> Plan:
    """The leaves joined: by cost if the rule `order_joins` is on, else one after the other as they are."""
    graph = _Graph(leaves, terms, classes, work)
    best: Best = {bit: (0.0, rows, 0, 0) for bit, rows in graph.rows.items()}
    if "order_joins" not in work.enabled:
        mask = 1
        for number in range(1, len(leaves)):
            best[mask | 1 << number] = (0.0, 0.0, mask, 1 << number)
            mask |= 1 << number
        return _built(mask, best, graph)
    return _built(order_joins(graph, best), best, graph)


def order_joins(graph: _Graph, best: Best) -> int:
    """The cheapest tree of joins.

    lineitem JOIN orders JOIN customer (one segment)  ->  lineitem JOIN (orders JOIN customer)
    """
    parts = graph.components()
    for mask in parts:
        if mask & (mask - 1):
            sets = _connected(mask, graph)
            if sets is None:
                _greedy(mask, best, graph)
            else:
                _exhaustive(sets, best, graph)
    parts.sort(key=lambda mask: best[mask][1])
    whole = parts.pop()
    for mask in parts:
        _combine(whole, mask, best, graph)
        whole |= mask
    return whole


def _connected(whole: int, graph: _Graph) -> list[int] | None:
    """The connected sets within a component, small ones first; None if they have too many pairs."""
    found: set[int] = set()
    layer = {bit for bit in graph.rows if bit & whole}
    result: list[int] = []
    pairs, size = 0, 1
    while layer:
        if size > 1:
            result += layer
            pairs += len(layer) << (size - 1)
            if pairs > MOST_PAIRS:
                return None
        more: set[int] = set()
        for mask in layer:
            around = graph.around(mask)
            while around:
                bit = around & -around
                around ^= bit
                more.add(mask | bit)
        found |= layer
        layer = more
        size += 1
    return result


def _exhaustive(sets: list[int], best: Best, graph: _Graph) -> None:
    for whole in sets:
        least = float("inf")
        rows = -1.0
        found = (0, 0)
        lowest = whole & -whole
        rest = whole ^ lowest
        part = rest
        while part:  # every subset without the lowest bit, against the rest
            other = best.get(part)
            if other is not None:
                one = best.get(whole ^ part)
                if one is not None:
                    if rows < 0:
                        rows = max(one[1] * other[1] * graph.meeting(whole ^ part, part), 1.0)
                    larger, smaller = (one[1], other[1]) if one[1] >= other[1] else (other[1], one[1])
                    cost = one[0] + other[0] + 2 * smaller + larger + rows
                    if cost < least:
                        least = cost
                        found = (whole ^ part, part) if one[1] >= other[1] else (part, whole ^ part)
            part = (part - 1) & rest
        best[whole] = (least, rows, *found)


def _greedy(whole: int, best: Best, graph: _Graph) -> None:
    parts = [bit for bit in graph.rows if bit & whole]
    while len(parts) > 1:
        least: tuple[float, int, int] | None = None
        for i, one in enumerate(parts):
            around = graph.around(one)
            for other in parts[i + 1 :]:
                if around & other:
                    rows = best[one][1] * best[other][1] * graph.meeting(one, other)
                    if least is None or rows < least[0]:
                        least = rows, one, other
        assert least is not None  # noqa: S101 - the component is connected
        _, one, other = least
        _combine(one, other, best, graph)
        parts = [part for part in parts if part not in {one, other}] + [one | other]


def _combine(one: int, other: int, best: Best, graph: _Graph) -> None:
    larger, smaller = (one, other) if best[one][1] >= best[other][1] else (other, one)
    rows = max(best[one][1] * best[other][1] * graph.meeting(one, other), 1.0)
    cost = best[one][0] + best[other][0] + 2 * best[smaller][1] + best[larger][1] + rows
    best[one | other] = (cost, rows, larger, smaller)


# ---- the plan ----------------------------------------------------------------------------------------------------


def _built(mask: int, best: Best, graph: _Graph) -> Plan:
    if not mask & (mask - 1):
        return graph.leaves[mask.bit_length() - 1]
    _, _, one, other = best[mask]
    left, right = _built(one, best, graph), _built(other, best, graph)
    keys: list[tuple[Expression, Expression]] = []
    rest: list[Expression] = []
    for members in graph.classes:
        pairs = [(a, b) for bit, a in members if bit & one for other_bit, b in members if other_bit & other]
        if pairs:
            meeting = graph.work.estimates.meeting
            keys.append(min(pairs, key=lambda pair: meeting(*pair)) if len(pairs) > 1 else pairs[0])
    for covered, term in graph.terms:
        if covered & ~mask or not covered & ~one or not covered & ~other:
            continue  # not yet, or done below
        pair = _key(term, one, other, graph)
        if pair is None:
            rest.append(term)
        else:
            keys.append(pair)
    if not keys and graph.work.estimates.rows(right) <= 1:
        return filtered(Join(left, right, "cross"), rest)
    kind = "inner" if keys or rest else "cross"
    return Join(left, right, kind, tuple(keys), conjunction(rest) if rest else None)  # type: ignore[arg-type] # a kind


def _key(term: Expression, one: int, other: int, graph: _Graph) -> tuple[Expression, Expression] | None:
    if not (isinstance(term, Call) and term.function == "="):
        return None
    left, right = term.arguments
    of_left, of_right = graph.mask(left), graph.mask(right)
    if not of_left or not of_right:
        return None
    if not of_left & ~one and not of_right & ~other:
        return left, right
    if not of_left & ~other and not of_right & ~one:
        return right, left
    return None
