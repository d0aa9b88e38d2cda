"""Joins: the build side is a sink, the probe side is a step, and a few kinds have a source of leftovers.

    build side ──> Build ──> Built: columns, numbers of the keys (keys.py), build rows by number
    probe side ──> Probe ──> batch.take(probe rows) beside the Built's columns at (build rows): nothing is gathered yet
                   Rest: build rows that found a partner (semi), or none (right, full, anti), after the last probe

How lowering uses it, for a logical Join:

    join = Joining(plan, functions, needed)           needed: ids that somebody above uses
    number = close(stream(join.build_plan), join.build)
    stream(join.probe_plan).then(join.probe(number))
    if join.rest: one branch more, whose source is the result of pipeline `number`, read by join.leftovers

`probe(number)` has what run.py asks of a step that needs results (`needs`, `bind`), and `keep`: masks with which a scan
drops rows that cannot find a partner before it decodes their other columns (joinfilter.py). Probes only read a Built,
so threads share it; but those with a `rest` also mark its rows: they must run in the process that holds it.

Keys are numbered; where all of them are distinct the number is the build row, so probing a dense key is one load a row.
Duplicates are expanded in pieces of at most `vector` rows. A condition is evaluated on pairs of candidates, which are
batches like any other: only the columns that it mentions are gathered. Joins without keys are in nestedloop.py.

Invariants: NULL equals nothing. A probe row without a partner comes out once if its side is preserved, and not else; so
does a build row. Nothing is said about the order of rows.

Simpler than production: a build side that exceeds the memory is refused, not partitioned and spilled (grace hash join).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

import numpy as np

from engines._native import hashjoin
from engines.errors import TooLarge
from engines.sql import expressions, logical
from engines.sql.candidates import TWO_ROWS, chosen, null, passed_on
from engines.sql.collected import Collected, merged
from engines.sql.column import Batch, Bytes, Column, Positions, nulls
from engines.sql.context import Context
from engines.sql.functions.registry import Functions
from engines.sql.joinfilter import Filter, Mask, filter_of
from engines.sql.keyindex import Numbers
from engines.sql.keys import Numbering
from engines.sql.logical import Cast, Expression, Reference, output
from engines.sql.nestedloop import Nested
from engines.sql.operators import Step
from engines.sql.source import Predicate
from engines.sql.types import BOOLEAN, Type, decimal

ALWAYS_RIGHT: Final = frozenset({"single", "null-aware anti"})
Results = Mapping[int, Any]
Emit = Literal["pairs", "semi", "anti", "nothing"]


@dataclass(slots=True)
class Built:
    """A build side that is complete. `marks`: by number of the key, and by row where a condition was asked too."""

    rows: int
    columns: dict[str, Column]
    numbering: Numbering | None  # None: there are no keys
    numbers: Numbers | None  # of each row's key, where rows are not simply numbered
    starts: Positions | None  # None: number i is row i
    order: Positions | None
    null_keys: bool  # a row has a NULL among its keys
    marks: Bytes | None = None
    row_marks: Bytes | None = None
    filters: dict[int, Filter | None] = field(default_factory=dict)

    @property
    def unique(self) -> bool:
        return self.starts is None


class Keys:
    """Key expressions of one side: plain references are looked up, others computed."""

    def __init__(self, keys: Sequence[Expression], functions: Functions) -> None:
        self.keys = keys
        self.computed = [key for key in keys if not isinstance(key, Reference)]
        self.program = expressions.compile(self.computed, functions) if self.computed else None

    def columns(self, batch: Batch, context: Context) -> list[Column]:
        made = iter(self.program.run(batch, context) if self.program else ())
        return [batch.column(key.id) if isinstance(key, Reference) else next(made) for key in self.keys]


class Joining:
    """A join, lowered: no values and no data are in it. See the module's text for its use."""

    def __init__(self, plan: logical.Join, functions: Functions, needed: Collection[str] | None = None) -> None:
        self.plan = plan
        kind = plan.kind
        build_left = plan.build == "left" and kind not in ALWAYS_RIGHT
        self.build_plan, self.probe_plan = (plan.left, plan.right) if build_left else (plan.right, plan.left)
        pairs = [_comparable(left, right) for left, right in plan.keys]
        build = [left if build_left else right for left, right in pairs]
        probe = [right if build_left else left for left, right in pairs]
        condition = plan.condition
        if kind == "null-aware anti" and (len(pairs) > 1 or condition is not None):
            condition = _not_among(plan)  # which pair is not false: no table of keys tells
            build, probe = [], []
        self.build_keys, self.probe_keys = Keys(build, functions), Keys(probe, functions)
        self.types = tuple(key.type for key in build)
        self.condition = None if condition is None else expressions.condition(condition, functions)
        one_side = kind in {"semi", "anti", "null-aware anti"}
        self.rest = build_left if kind in {"left", "semi", "anti"} else not build_left if kind == "right" else False
        self.rest = self.rest or kind == "full"
        self.emit: Emit = "pairs"
        if one_side:
            self.emit = "nothing" if build_left else "semi" if kind == "semi" else "anti"
        self.outer = (
            kind in {"full", "single"} or (kind == "left" and not build_left) or (kind == "right" and build_left)
        )
        self.null_aware = kind == "null-aware anti" and bool(build)
        self.single = kind == "single"
        self.name = "nested loop join" if not build else "hash join"
        used = set(output(self.build_plan)) if needed is None else set(needed)
        if condition is not None:
            used |= {one.id for one in logical.walk(condition) if isinstance(one, Reference)}
        gives = self.emit in {"pairs", "nothing"} or condition is not None
        self.ids = tuple(id for id in output(self.build_plan) if id in used) if gives else ()
        self.build = Build(self)

    def probe(self, number: int) -> "Probe":
        """The step of the probe side, given the number of the build side's pipeline."""
        return Probe(self, (number,))

    def leftovers(self, built: Built, context: Context) -> Iterator[Batch]:
        """After the last probe: the build rows that the join still owes."""
        marked = np.zeros(built.rows, bool)
        if built.row_marks is not None:
            marked |= built.row_marks != 0
        if built.marks is not None and built.rows:
            numbers = built.numbers
            if numbers is None:
                marked |= built.marks[: built.rows] != 0
            else:
                there = numbers < len(built.marks)
                marked[there] |= built.marks[numbers[there]] != 0
        rows = np.flatnonzero(marked if self.plan.kind == "semi" else ~marked).astype(np.int32)
        missing: dict[str, Column] = {}
        if self.emit == "pairs":
            missing = {id: null(type) for id, type in output(self.probe_plan).items()}
        whole = Batch(built.columns, built.rows)
        for start in range(0, len(rows), context.vector):
            context.check()
            batch = whole.take(rows[start : start + context.vector])
            yield batch.with_columns(missing) if missing else batch


class Build:
    """The sink of the build side. Its state: Collected; once merged: Built."""

    def __init__(self, join: Joining) -> None:
        self.join = join
        self.keys = [key.id if isinstance(key, Reference) else f"key {i}" for i, key in enumerate(join.build_keys.keys)]
        preserved = join.rest or join.null_aware
        self.drop = not preserved and bool(self.keys)  # rows with a NULL key find nobody

    def start(self) -> Collected:
        return Collected()

    def add(self, state: Collected, batch: Batch, context: Context) -> None:
        keys = self.join.build_keys.columns(batch, context)
        if self.drop and any(key.valid is not None for key in keys):
            there = np.ones(batch.rows, np.uint8)
            for key in keys:
                if key.valid is not None:
                    there = there & key.valid
            if not there.all():
                batch = batch.take(np.flatnonzero(there).astype(np.int32))
                if not batch.rows:
                    return
                keys = self.join.build_keys.columns(batch, context)
        columns = {id: batch.column(id) for id in self.join.ids}
        state.add(columns | dict(zip(self.keys, keys, strict=True)), batch.rows, context, f"the {self.join.name}")

    def merge(self, states: Sequence[Collected], context: Context) -> Built:
        state = states[0] if len(states) == 1 else merged(states)
        whole = state.whole()
        types = output(self.join.build_plan)
        columns = {id: whole[id] if whole else nulls(types[id], 0) for id in self.join.ids}
        built = Built(state.rows, columns, None, None, None, None, null_keys=False)
        if self.keys:
            self._number(built, [whole[id] for id in self.keys] if whole else [])
            held = state.bytes + (built.numbering.nbytes if built.numbering else 0)
            if held > context.memory:
                raise TooLarge(
                    f"the {self.join.name} must hold {held:,} bytes, and memory= allows {context.memory:,}: allow "
                    "more, or read fewer rows or columns",
                    limit=context.memory,
                    size=held,
                )
        if self.join.rest:
            built.row_marks = np.zeros(state.rows, np.uint8)
            if built.numbering is not None and self.join.condition is None:
                built.marks = np.zeros(len(built.numbering), np.uint8)
        return built

    def batches(self, state: Built, context: Context) -> Iterator[Batch]:
        """The leftovers."""
        return self.join.leftovers(state, context)

    def _number(self, built: Built, keys: list[Column]) -> None:
        built.numbering = numbering = Numbering(self.join.types, nulls="never")
        numbers = numbering.number(keys, built.rows) if keys else np.zeros(0, np.uint32)
        count = len(numbering)
        if count == built.rows:
            return
        built.numbers = numbers
        built.starts, built.order = np.empty(count + 1, np.int32), np.empty(built.rows, np.int32)
        built.null_keys = hashjoin.group_rows(numbers, built.starts, built.order) < built.rows


@dataclass(frozen=True, slots=True)
class Probe:
    """The probe side, before a run. `keep` gives masks to the scan that the branch begins with."""

    join: Joining
    needs: tuple[int, ...]

    def bind(self, results: Results, context: Context) -> Step:
        del context
        built: Built = results[self.needs[0]]
        return Hashed(self.join, built) if self.join.types else Nested(self.join, built)

    def keep(self, results: Results, scan: logical.Scan, context: Context) -> dict[str, Mask]:
        """Column of the scanned table -> mask of the rows that may find a partner."""
        del context
        return {name: filter.mask() for name, filter in self._filters(results, scan)}

    def predicates(self, results: Results, scan: logical.Scan) -> list[Predicate]:
        """Bounds of the keys that can find a partner, by which the scan's partitions can be pruned."""
        found: list[Predicate] = []
        for name, filter in self._filters(results, scan):
            if filter.names is None:
                found += [Predicate(name, ">=", filter.least), Predicate(name, "<=", filter.most)]
        return found

    def _filters(self, results: Results, scan: logical.Scan) -> Iterator[tuple[str, Filter]]:
        built: Built = results[self.needs[0]]
        if self.join.outer or self.join.emit == "anti" or built.numbering is None:
            return
        names = {id: column.name for id, column in scan.columns}
        for i, key in enumerate(self.join.probe_keys.keys):
            if isinstance(key, Reference) and key.id in names:
                if i not in built.filters:
                    built.filters[i] = filter_of(built.numbering, i)
                filter = built.filters[i]
                if filter is not None:
                    yield names[key.id], filter


class Hashed:
    """The probe side in one run: looks keys up, and answers each batch with what its rows find."""

    def __init__(self, join: Joining, built: Built) -> None:
        self.join = join
        self.built = built
        self.inner = Batch(built.columns, built.rows)

    def push(self, batch: Batch, context: Context) -> Iterator[Batch]:
        join, built = self.join, self.built
        if join.null_aware:
            yield from self._not_in(batch, context)
            return
        if not built.rows and not join.outer and join.emit != "anti":
            return
        found = self._find(batch, context)
        if join.condition is not None:
            pieces = (
                (at, rows, (batch if at is None else batch.take(at)).beside(self.inner.take(rows)))
                for at, rows in self._pieces(found, context)
            )
            yield from passed_on(join, built, batch, pieces, context)
            return
        if built.marks is not None:
            hashjoin.mark(found, built.marks)
        if join.emit == "pairs":
            yield from self._pairs(batch, found, context)
        elif join.emit != "nothing":
            yield from chosen(batch, found, there=join.emit == "semi")

    def _find(self, batch: Batch, context: Context) -> Positions:
        numbering = cast("Numbering", self.built.numbering)
        return numbering.find(self.join.probe_keys.columns(batch, context), batch.rows)

    def _pairs(self, batch: Batch, found: Positions, context: Context) -> Iterator[Batch]:
        join, built = self.join, self.built
        if built.unique and join.outer:
            yield batch.beside(self.inner.take(found, outer=True)) if join.ids else batch
            return
        if join.single and built.starts is not None:
            sizes = np.diff(built.starts)
            if len(sizes) and sizes[found[found >= 0]].max(initial=0) > 1:
                raise context.error(TWO_ROWS)
        for at, rows in self._pieces(found, context, outer=join.outer):
            left = batch if at is None else batch.take(at)
            yield left.beside(self.inner.take(rows, outer=join.outer)) if join.ids else left

    def _pieces(
        self, found: Positions, context: Context, *, outer: bool = False
    ) -> Iterator[tuple[Positions | None, Positions]]:
        """Pairs (probe rows, build rows); probe rows None = each once, in order."""
        built = self.built
        if built.starts is None or built.order is None:
            at, rows = np.empty(len(found), np.int32), np.empty(len(found), np.int32)
            kept = hashjoin.compact(found, at, rows)
            if kept == len(found):
                yield None, rows
            elif kept:
                yield at[:kept], rows[:kept]
            return
        row = partner = 0
        while row < len(found):
            at, rows = np.empty(context.vector, np.int32), np.empty(context.vector, np.int32)
            row, partner, kept = hashjoin.expand(found, built.starts, built.order, outer, row, partner, at, rows)
            if kept:
                yield at[:kept], rows[:kept]
            context.check()

    def _not_in(self, batch: Batch, context: Context) -> Iterator[Batch]:
        """NOT IN: a NULL on the right leaves nothing; a NULL on the left stays only if the right side is empty."""
        if not self.built.rows:
            yield batch
        elif not self.built.null_keys:
            (key,) = self.join.probe_keys.columns(batch, context)
            found = self._find(batch, context)
            if key.valid is not None:
                found = np.where(key.valid != 0, found, np.int32(0))  # neither in nor not in: as if found
            yield from chosen(batch, found, there=False)


def _comparable(left: Expression, right: Expression) -> tuple[Expression, Expression]:
    """Keys as the same whole numbers: decimals of different scales are cast to one that holds both."""
    a, b = left.type, right.type
    if not (a.decimal or b.decimal) or not (a.whole and b.whole) or a.scale == b.scale:
        return left, right
    scale = max(a.scale, b.scale)
    digits = max((one.precision or 19) - one.scale for one in (a, b))
    common = decimal(min(digits + scale, 38), scale)
    return _cast(left, common), _cast(right, common)


def _cast(expression: Expression, type: Type) -> Expression:
    same = expression.type.decimal and expression.type.scale == type.scale
    return expression if same else Cast(expression, type=type, position=expression.position)


def _not_among(plan: logical.Join) -> Expression:
    """What makes a left row of NOT IN go: a pair of which the keys are not unequal for certain."""
    tests: list[Expression] = [
        logical.Call("=", pair, type=BOOLEAN, position=pair[0].position) for pair in map(_comparable_pair, plan.keys)
    ]
    equal = tests[0] if len(tests) == 1 else logical.Call("and", tuple(tests), type=BOOLEAN)
    undecided: Expression = logical.Call("is not false", (equal,), type=BOOLEAN)
    if plan.condition is None:
        return undecided
    return logical.Call("and", (plan.condition, undecided), type=BOOLEAN)


def _comparable_pair(pair: tuple[Expression, Expression]) -> tuple[Expression, Expression]:
    return _comparable(*pair)
