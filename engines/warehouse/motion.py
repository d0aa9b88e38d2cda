"""What a query moves between slices: where the rows of each step lie, and what that makes of each join.

    Rows lie    by key    on the slice that hash64(key) says: all rows of one key are on one slice
                even      on slices, anyhow
                all       every slice may read all of them
                leader    in one place: what an aggregate or a sort has left

    DS_DIST_NONE        both sides lie by the key of the join: slice i meets slice i, nothing moves
    DS_DIST_ALL_NONE    every slice reads the inner side by itself: nothing moves
    DS_BCAST_INNER      the inner side is sent to every slice
    DS_DIST_ALL_INNER   the outer side is in one place, so the inner side comes there
    DS_DIST_INNER       the outer side lies by the key, and each row of the inner side is sent to its slice: many rows
    DS_DIST_OUTER, DS_DIST_BOTH    the outer side, or both, would go to the slices of the key

The inner side is the one a hash table is made of. The outer side never moves here: slices share a memory, or are few,
and a table that is sent whole costs less than rows that are sent twice. So the last two are never chosen; Redshift
takes them where the inner side is too large to be sent to every node.

NOT IN is special: a single NULL on the inner side concerns all slices. It is sent to all of them.

The leader also wants to know which pipelines can stay on their slices (`apart`): the inner sides of joins that move
nothing, and aggregates with the key that rows lie by among theirs, for no group of those is on two slices.

Nodes that share no memory would send and be sent what is to be joined, and every pipeline that is one task more costs a
round trip. So what is small beside the table it meets is made by each of them anew (`everywhere`): a query is mostly
one task a node then, and only the last states come back.

Invariant: if rows lie by key, any two with equal values of one of these ids are on the same slice, whatever table.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from engines.sql import logical
from engines.sql.aggregate import Aggregate
from engines.sql.collected import Collected, merged
from engines.sql.column import Batch
from engines.sql.context import Context
from engines.sql.join import Build, Joining, Probe
from engines.sql.logical import Cast, Expression, Plan, Reference, output
from engines.sql.program import Move, Pipeline, Program
from engines.sql.rewrite.estimates import Estimates
from engines.sql.run import ALONE
from engines.sql.scan import Result, Table
from engines.sql.source import Placement, TableSource
from engines.sql.steps import Collect
from engines.sql.types import Type
from engines.warehouse.distribute import slices_of

MANY: Final = 65_536  # rows of an inner side that are sent to their slices; fewer go to all of them
WORTH: Final = 1.5  # times the rows that all nodes read, in one that they are joined with: then each makes it itself
Label = Literal["DS_DIST_NONE", "DS_DIST_ALL_NONE", "DS_BCAST_INNER", "DS_DIST_INNER", "DS_DIST_ALL_INNER"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the rows of a step lie. ids: the columns that they lie by."""

    style: Literal["key", "even", "all", "leader"]
    ids: frozenset[str] = frozenset()


LEADER: Final = Place("leader")
EVEN: Final = Place("even")


class Motion:
    """A program over tables that lie on `slices`. source: the table of a name."""

    def __init__(self, program: Program, source: Callable[[str], TableSource], slices: int, nodes: int = 0) -> None:
        self._program = program
        self._source = source
        self._slices = slices
        self._nodes = nodes
        self._estimates = Estimates(source)
        self._places: dict[int, Place] = {}
        self._staying: set[int] = set()  # aggregates, by id(), whose groups stay on their slices
        self._joins: dict[int, tuple[Joining, int]] = {}  # by id() of the logical join; with the inner side's pipeline
        for pipeline in program.pipelines:
            for branch in pipeline.branches:
                for step in branch.steps:
                    if isinstance(step, Probe):
                        self._joins[id(step.join.plan)] = step.join, step.needs[0]
        self.scattered: dict[int, int] = {}  # pipelines of inner sides that are sent by key; the key's number
        self.apart = self._stay()  # the pipelines whose results stay on their slices
        self.everywhere = self._made_by_all() if nodes else frozenset()  # those that each node makes for itself
        self.by_pipeline = {number: self.label(join, number) for join, number in self._joins.values()}

    def moves(self) -> Mapping[int, Move]:
        """What each join moves, by the id() of its logical step."""
        found = {}
        often = {"DS_BCAST_INNER": self._slices - 1, "DS_DIST_INNER": 1, "DS_DIST_ALL_INNER": 1 - 1 / self._slices}
        for number, (join, pipeline) in self._joins.items():
            label, inner = self.label(join, pipeline), join.build_plan
            times = 0 if pipeline in self.everywhere else often.get(label, 0)
            rows = round(self._estimates.rows(inner) * times)
            found[number] = Move(label, rows, rows * sum(map(_width, output(inner).values())))
        return found

    def _stay(self) -> frozenset[int]:
        found: set[int] = set()
        if self._slices < 2:
            return frozenset()
        probing = {
            step.needs[0]: branch
            for pipeline in self._program.pipelines
            for branch in pipeline.branches
            for step in branch.steps
            if isinstance(step, Probe)
        }
        for pipeline in self._program.pipelines[:-1]:
            sliced = self._sliced(pipeline, found)
            if isinstance(pipeline.sink, Aggregate):
                if sliced and self._grouped(pipeline.sink.plan) and self._read_once(pipeline):
                    self._staying.add(id(pipeline.plan))
                    self._places.clear()  # steps above it lie somewhere else now
                    found.add(pipeline.number)
            elif isinstance(pipeline.sink, Build) and self._by_slice(probing[pipeline.number].source, found):
                join = pipeline.sink.join
                if self._label(join) == "DS_DIST_NONE":
                    if sliced:
                        found.add(pipeline.number)
                elif (key := self._sent_by(join)) is not None:
                    self.scattered[pipeline.number] = key
        return frozenset(found)

    def _made_by_all(self) -> frozenset[int]:
        """What is small beside the table that it is joined with: to make it again takes less time than to send it."""
        found: set[int] = set()
        read: dict[int, float] = {}  # rows that are read to make the result of a pipeline
        reading = self._reading()
        for pipeline in self._program.pipelines[:-1]:
            needed = set(pipeline.needs())
            if pipeline.number in self.apart or not needed <= found:
                continue
            if not isinstance(pipeline.sink, Build | Collect) or not self._anywhere(pipeline):
                continue
            rows = sum(self._table_rows(pipeline)) + sum(read[number] for number in needed)
            inner = isinstance(pipeline.sink, Build) and self.place(pipeline.sink.join.build_plan).style == "all"
            if inner or rows * self._nodes * WORTH <= reading.get(pipeline.number, 0):
                found.add(pipeline.number)
                read[pipeline.number] = rows
                self.scattered.pop(pipeline.number, None)
        return frozenset(found)

    def leaves(self, pipeline: Pipeline) -> float:
        """Bytes that an aggregate leaves, as far as the planner knows: all slices may leave as many. Else 0."""
        if not isinstance(pipeline.sink, Aggregate):
            return 0.0
        return self._estimates.rows(pipeline.sink.plan) * sum(map(_width, output(pipeline.sink.plan).values()))

    def _reading(self) -> dict[int, float]:
        """For each pipeline: rows of the largest table in those that use its result, and theirs; the least of these."""
        found: dict[int, float] = {}
        for pipeline in reversed(self._program.pipelines):
            rows = max(*self._table_rows(pipeline), found.get(pipeline.number, 0), 0)
            for number in pipeline.needs():
                found[number] = min(rows, found.get(number, rows))
        return found

    def _table_rows(self, pipeline: Pipeline) -> list[float]:
        tables = [branch.source.plan.table for branch in pipeline.branches if isinstance(branch.source, Table)]
        return [float(self._source(name).statistics().rows or 0) for name in tables]

    @staticmethod
    def _anywhere(pipeline: Pipeline) -> bool:
        """Whether each node could run all of it: it keeps no marks that belong together."""
        sources = all(isinstance(branch.source, Table | Result) for branch in pipeline.branches)
        steps = [step for branch in pipeline.branches for step in branch.steps]
        return sources and not any(isinstance(step, Probe) and step.join.rest for step in steps)

    def _sliced(self, pipeline: Pipeline, apart: set[int]) -> bool:
        """Whether all that it reads is there by slice."""
        return all(self._by_slice(branch.source, apart) for branch in pipeline.branches)

    def _by_slice(self, source: object, apart: set[int]) -> bool:
        match source:
            case Table():
                table = self._source(source.plan.table)
                placement = table.placement
                large = (table.statistics().rows or 0) >= ALONE
                return large and placement is not None and placement.slices == self._slices and placement.style != "all"
            case Result():
                return source.number in apart
        return False

    def _read_once(self, pipeline: Pipeline) -> bool:
        readers = sum(list(other.needs()).count(pipeline.number) for other in self._program.pipelines)
        return readers == 1

    # ---- where rows lie

    def place(self, plan: Plan) -> Place:
        """Where the rows of a step lie."""
        if id(plan) not in self._places:
            self._places[id(plan)] = self._place(plan)
        return self._places[id(plan)]

    def _place(self, plan: Plan) -> Place:
        match plan:
            case logical.Scan():
                return self._scanned(plan)
            case logical.Filter():
                return self.place(plan.input)
            case logical.Project():
                below = self.place(plan.input)
                ids = frozenset(id for id, one in plan.columns if isinstance(one, Reference) and one.id in below.ids)
                return Place(below.style, ids) if ids or below.style != "key" else EVEN
            case logical.Join():
                return self._joined(plan)
            case logical.Aggregate() if id(plan) in self._staying:
                return Place("key", self._grouped(plan))
        return LEADER

    def _grouped(self, plan: logical.Aggregate) -> frozenset[str]:
        """The keys of groups by which their rows lie already."""
        below = self.place(plan.input)
        if below.style != "key" or plan.sets is not None:
            return frozenset()
        return frozenset(id for id, one in plan.keys if isinstance(one, Reference) and one.id in below.ids)

    def _scanned(self, plan: logical.Scan) -> Place:
        placement: Placement | None = self._source(plan.table).placement
        if placement is None or placement.slices != self._slices:
            return LEADER
        if placement.style != "key":
            return Place(placement.style)
        ids = frozenset(id for id, column in plan.columns if column.name in placement.columns)
        return Place("key", ids) if ids and len(placement.columns) == 1 else EVEN

    def _joined(self, plan: logical.Join) -> Place:
        found = self._joins.get(id(plan))
        if found is None:
            return LEADER
        join, _ = found
        outer, inner = self.place(join.probe_plan), self.place(join.build_plan)
        if outer.style == "all" and inner.style != "all":
            return inner if inner.style == "leader" else EVEN
        if outer.style != "key":
            return EVEN if join.rest and outer.style == "all" else outer
        ids = outer.ids
        if self._label(join) == "DS_DIST_NONE":
            if plan.kind == "inner":
                pairs = self._pairs(join)
                ids |= {theirs for mine, theirs in pairs if mine in ids}
            elif join.rest:  # rows of the inner side that found nobody lie by its key, and the outer side's is NULL
                ids = inner.ids if join.emit == "nothing" or plan.kind in {"left", "right"} else frozenset()
        elif join.rest:
            ids = frozenset()
        return Place("key", ids) if ids else EVEN

    # ---- joins

    def label(self, join: Joining, pipeline: int) -> Label:
        """What a join moves, given the pipeline of its inner side."""
        return "DS_DIST_INNER" if pipeline in self.scattered else self._label(join)

    def _label(self, join: Joining) -> Label:
        outer, inner = self.place(join.probe_plan), self.place(join.build_plan)
        if inner.style == "all":
            return "DS_DIST_ALL_NONE"
        if outer.style in {"all", "leader"}:
            return "DS_DIST_ALL_INNER"
        by_key = outer.style == inner.style == "key" and not join.null_aware
        if by_key and any(mine in outer.ids and theirs in inner.ids for mine, theirs in self._pairs(join)):
            return "DS_DIST_NONE"
        return "DS_BCAST_INNER"

    def _sent_by(self, join: Joining) -> int | None:
        """The number of the key by which rows of the inner side find their slices; None: they go to all of them."""
        outer, inner = self.place(join.probe_plan), self.place(join.build_plan)
        if join.null_aware or outer.style != "key" or inner.style == "all":
            return None
        if self._estimates.rows(join.build_plan) < MANY:
            return None
        for number, (mine, theirs) in enumerate(zip(join.probe_keys.keys, join.build_keys.keys, strict=True)):
            column = _column(mine)
            if column is not None and column.id in outer.ids and _hash_alike(column.type, theirs.type):
                return number
        return None

    @staticmethod
    def _pairs(join: Joining) -> list[tuple[str, str]]:
        """Ids that are compared, of the outer and the inner side, where equal values have equal hashes."""
        found = []
        for outer, inner in zip(join.probe_keys.keys, join.build_keys.keys, strict=True):
            mine, theirs = _column(outer), _column(inner)
            if mine is not None and theirs is not None and _hash_alike(mine.type, theirs.type):
                found.append((mine.id, theirs.id))
        return found


def scatter(key: str, slices: int) -> Callable[[Sequence[Collected], Context], list[Collected]]:
    """For inner sides: makes one state for each slice of those that there are, by the hash of column `key`."""

    def scattered(states: Sequence[Collected], context: Context) -> list[Collected]:
        together = merged(states)
        found = [Collected() for _ in range(slices)]
        if together.rows:
            columns = together.whole()
            context.scanned.rows_moved += together.rows
            context.scanned.bytes_moved += together.bytes
            lies, whole = slices_of(columns[key], together.rows, slices), Batch(columns, together.rows)
            for slice, state in enumerate(found):
                mine = whole.take(np.flatnonzero(lies == slice).astype(np.int32))
                state.add({id: mine.column(id) for id in columns}, mine.rows, context, "a join")
        return found

    return scattered


def _column(expression: Expression) -> Reference | None:
    """The column that a key is. A cast from one kind of integer to another changes no value, and so no hash."""
    if isinstance(expression, Cast) and expression.type.integer and expression.argument.type.integer:
        expression = expression.argument
    return expression if isinstance(expression, Reference) else None


def _hash_alike(one: Type, other: Type) -> bool:
    if one.integer and other.integer:
        return True
    return (one.kind, one.scale, one.unit, one.fields) == (other.kind, other.scale, other.unit, ())


def _width(type: Type) -> int:
    """Bytes of a value, roughly."""
    if type.bytes:
        return 4 + min(type.length or 16, 32) // 2
    return {"boolean": 1, "date": 2, "smallint": 2, "integer": 4}.get(type.kind, 8)
