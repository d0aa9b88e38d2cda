"""TimeSeries.sql: a text to its answer, with a plan that was made before, if one was made for a text of its shape.

    text ──> cut ──> shape + literals ──> Prepared: program, constants of a run, folds           kept by shape
                                              └──> values of now ──> run ──> Answer

    first time   parse, bind, take constants out, rewrite, fuse, lower          1 to 3 milliseconds
    then         find, bind, prune, run                                         tens of microseconds

A Prepared is good for every text of its shape whose other literals are the same and whose parameters have the same
types, as long as its tables have the same columns. now() is read once a statement, and never kept.

What goes wrong is told at its place in the text that was passed: a plan that was made for another text of the same
shape knows other places, so on an error it is made anew for this one.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from engines.clock import Clock
from engines.display import Plan, Table
from engines.errors import Invalid, NotFound, QueryError, nearest
from engines.sql import explain, front, logical
from engines.sql.collected import Collected
from engines.sql.context import Context
from engines.sql.engine import SQL
from engines.sql.expressions import fold
from engines.sql.logical import Query
from engines.sql.lower import lower
from engines.sql.program import Profile, Program
from engines.sql.rewrite import rewrite
from engines.sql.source import Schema, TableSource
from engines.sql.values import engine_value
from engines.timeseries import direct, ends, folding, fused, listings, shape
from engines.timeseries.answer import Answer, Header
from engines.timeseries.constants import RunConstant, computed, taken_out
from engines.timeseries.database import Tables
from engines.timeseries.dialect import TIMESTREAM, parameter_type
from engines.timeseries.functions import Refused
from engines.timeseries.scan import Reading, TimeSource
from engines.timeseries.selection import Readable

_BOUND: Final = re.compile(r":\d+|\bconstant\d+\b")
VARIANTS: Final = 32  # plans of one shape that differ in the literals that are no parameters
Parameters = Sequence[Any] | Mapping[str, Any]


@dataclass(slots=True)
class Prepared:
    """A statement that is ready to run. fixed: pieces of the text that it was made for, and is no good without."""

    text: str
    statement: front.Statement
    query: Query
    program: Program
    constants: list[RunConstant]
    tables: tuple[tuple[TimeSource, Schema], ...]
    folds: dict[str, fused.Fold]
    ends: dict[str, fused.End]
    short: direct.Direct | None
    header: Header
    again: frozenset[str]  # tables that are read several times
    parameters: tuple[shape.Parameter, ...] = ()
    fixed: tuple[tuple[int, str], ...] = ()
    plain: Program | None = None  # without folds; made when a fold does not pay

    def fits(self, pieces: Sequence[str]) -> dict[int | str, Any] | None:
        """The values of its parameters in a text of the same shape; None if it is not for that text."""
        for at, piece in self.fixed:
            if pieces[at] != piece:
                return None
        values: dict[int | str, Any] = {}
        for one in self.parameters:
            found = shape.value_of(pieces[one.piece], as_moment=one.moment)
            if found is None or found[1] != one.type:
                return None
            values[one.number] = found[0]
        return values


@dataclass(slots=True)
class Request:
    """What is asked for. values: of the literals that are parameters; now: microseconds, None = the clock's."""

    text: str
    parameters: Parameters = ()
    now: int | None = None
    timeout: float | None = None
    values: Mapping[int | str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Run:
    """A run's context, and the sources that it reads."""

    context: Context
    readings: dict[str, Reading] = field(default_factory=dict)


class Queries(SQL):
    """Runs statements over the tables of one database. Threads may share it.

    handlers: statements that others answer (UNLOAD): first words -> function of the statement and what was asked.
    """

    def __init__(
        self,
        database: str,
        find: Callable[[str], Readable | None],
        names: Callable[[], Iterable[str]],
        clock: Clock,
        *,
        threads: int = 1,
    ) -> None:
        self.tables = Tables(database, find, names)
        super().__init__(self.tables, dialect=TIMESTREAM, clock=clock, threads=threads)
        self.handlers: dict[str, Callable[[front.Statement, Request], Table]] = {}
        self._exact = front.Cache(1024)
        self._shapes = front.Cache(256)

    # ---- the door

    def sql(
        self, text: str, parameters: Parameters = (), *, now: int | None = None, timeout: float | None = None
    ) -> Table:
        """The rows of a statement; of several those of the last one.

        parameters: a sequence for `?`, a mapping for `:name` and `@name`. now: microseconds, if it is not the clock's.
        QueryError for what the text has wrong, or for rows that an expression has no value for; DeadlinePassed after
        timeout seconds.
        """
        prepared, values = self.prepared(text, parameters)
        if isinstance(prepared, Prepared):
            return self._answer(prepared, Request(text, parameters, now, timeout, values))
        found: Table | None = None
        for statement in prepared:
            found = self._statement(statement, Request(text, parameters, now, timeout))
        if found is None:
            raise Invalid("there is no statement in the text")
        return found

    def explained(self, text: str, parameters: Parameters = (), *, now: int | None = None) -> Plan:
        """Runs a SELECT, and says by which steps, and what they touched."""
        statements = self._bound(text, parameters)
        if len(statements) != 1 or statements[0].query is None:
            raise Invalid("EXPLAIN takes one SELECT")
        return self._explained(self._made(statements[0], text), Request(text, parameters, now))

    # ---- plans

    def prepared(
        self, text: str, parameters: Parameters = ()
    ) -> tuple[Prepared | list[front.Statement], dict[int | str, Any]]:
        """A SELECT ready to run, and the values of its literals; several statements, or others, as they are."""
        types: Hashable = _types(parameters) if parameters else ()
        key = text, types
        known = self._exact.get(key)
        if known is not None and self._good(known[0]):
            return known  # type: ignore[no-any-return] # what was put
        try:
            outline, pieces = shape.cut(text)
        except TypeError:
            raise Invalid(f"a statement is a text, got {type(text).__name__}") from None
        variants: list[Prepared] = self._shapes.get((outline, types)) or []
        for one in variants:
            values = one.fits(pieces)
            if values is not None and self._good(one):
                self._exact.put(key, (one, values))
                return one, values
        lifted, tokens = shape.parameters(text, pieces)
        given: dict[int | str, Any] = {}
        values = {}
        for parameter in lifted:
            found = shape.value_of(pieces[parameter.piece], as_moment=parameter.moment)
            assert found is not None, "it has just been read"  # noqa: S101 - by construction
            values[parameter.number] = found[0]
            given[parameter.number] = shape.python_value(*found)
        statements = None
        if lifted:
            with contextlib.suppress(QueryError):  # told below, at its place; or literals are what it needs
                statements = self._bound(text, parameters, tokens, given)
        if statements is None:
            statements = self._bound(text, parameters)
            lifted, values = [], {}
        if len(statements) != 1 or statements[0].kind != "query":
            return statements if not lifted else self._bound(text, parameters), {}
        made = self._made(statements[0], text)
        made.parameters = tuple(one for one in lifted if one.number in statements[0].parameters)
        taken = {one.piece for one in made.parameters}
        made.fixed = tuple((at, piece) for at, piece in enumerate(pieces) if at not in taken)
        kept = [one for one in variants if self._good(one)][-VARIANTS:]
        self._shapes.put((outline, types), [*kept, made])
        self._exact.put(key, (made, values))
        return made, values

    def _good(self, prepared: Prepared) -> bool:
        return all(self.tables.still(source, schema) for source, schema in prepared.tables)

    def _bound(
        self,
        text: str,
        parameters: Parameters,
        tokens: list[Any] | None = None,
        given: Mapping[int | str, Any] | None = None,
    ) -> list[front.Statement]:
        """The statements of a text, their names and types found."""
        dialect = self.dialect if tokens is None else replace(self.dialect, tokens=lambda _: tokens)
        positional: Sequence[Any] = () if isinstance(parameters, Mapping) else parameters
        named: dict[Any, Any] = dict(parameters) if isinstance(parameters, Mapping) else {}
        return list(front.prepare(text, self.catalog, dialect, positional, named | dict(given or {})))

    def _made(self, statement: front.Statement, text: str) -> Prepared:
        query = statement.query
        assert query is not None, "a query"  # noqa: S101 - its kind says so
        functions = self.dialect.functions
        try:
            plan, constants = taken_out(query.plan, self.dialect)
            taken = Query(plan, query.columns, query.tables)
            better = rewrite(taken, self.source, folding=lambda one: fold(one, functions, self.dialect.rules))
            sources = {name: self._time_source(name) for name in query.tables}
            folded, folds, ended = fused.fuse(better, sources)
            program = lower(folded, functions)
        except RecursionError:
            raise QueryError("the statement is nested too deeply", text=text) from None
        except Refused as refused:
            raise QueryError(refused.message, text=text, position=max(refused.position, 0)) from None
        tables = tuple((source, source.schema()) for source in sources.values())
        short = direct.shortened(folded, folds, functions)
        of = {name: one.table for name, one in folds.items()} | {name: one.table for name, one in ended.items()}
        read = Counter(of.get(name, name) for name in _scans(folded.plan, set()))
        again = frozenset(name for name, times in read.items() if times > 1)
        header = Header.of(query)
        return Prepared(text, statement, better, program, constants, tables, folds, ended, short, header, again)

    def _time_source(self, name: str) -> TimeSource:
        found = self.source(name)
        assert isinstance(found, TimeSource), "there are no others in the catalogue"  # noqa: S101 - see Tables
        return found

    def source(self, name: str) -> TableSource:
        """The table of that full name, as plans say it. NotFound if it is gone."""
        found = self.tables.find((name,))
        if found is None:
            raise NotFound(f"no table {name!r}{nearest(name, self.catalog.names())}")
        return found

    # ---- runs

    def _answer(self, prepared: Prepared, request: Request) -> Answer:
        began = self.clock.timer()
        try:
            run, found = self._run(prepared, request)
        except QueryError as error:
            if request.text == prepared.text:
                raise
            raise self._placed(request) or error from None
        stats: dict[str, Any] = {}
        for name, reading in run.readings.items():
            counted = reading.touched.counters()
            stats |= {f"{name}.{key}": value for key, value in counted.items()} if len(run.readings) > 1 else counted
        stats["seconds"] = self.clock.timer() - began
        return Answer(found, prepared.header, stats, lambda: self._drawn(prepared, run))

    def _placed(self, request: Request) -> QueryError | None:
        """The error of a statement, at its place in this very text."""
        [statement] = self._bound(request.text, request.parameters)
        try:
            self._run(self._made(statement, request.text), replace(request, values={}))
        except QueryError as error:
            return error
        return None

    def _run(self, prepared: Prepared, request: Request, profile: Profile | None = None) -> tuple[_Run, Collected]:
        run = self._begun(prepared, request)
        context = run.context
        try:
            if prepared.short is not None and profile is None:
                return run, prepared.short.run(context)
            return run, self.collect(prepared.program, context, profile)
        except folding.Sparse:
            if prepared.plain is None:
                prepared.plain = lower(prepared.query, self.dialect.functions)
            return run, self.collect(prepared.plain, context)
        except Refused as refused:
            raise context.error(refused.message, refused.position) from None

    def _begun(self, prepared: Prepared, request: Request) -> _Run:
        """The context of a run, with the tables as they are now, and the values of its constants."""
        timeout, parameters = request.timeout, request.parameters
        if timeout is not None and timeout <= 0:
            raise Invalid(f"timeout is above 0 seconds, got {timeout:g}")
        now = self.clock.now() if request.now is None else request.now
        known: dict[int | str, Any] = {"$now": now, "$user": b"", **request.values}
        if parameters:
            pairs = parameters.items() if isinstance(parameters, Mapping) else enumerate(parameters, 1)
            known |= {name: engine_value(value, parameter_type(value)) for name, value in pairs}
        again = prepared.again
        readings = {source.name: source.reading(again=source.name in again) for source, _ in prepared.tables}
        tables: dict[str, TableSource] = dict(readings)
        for name, one in prepared.folds.items():
            tables[name] = folding.Folding(one, readings[one.table], known)
        for name, end in prepared.ends.items():
            tables[name] = ends.Ended(end, readings[end.table], known)
        context = Context(
            text=request.text,
            tables=tables,
            values=known,
            clock=self.clock,
            rules=self.dialect.rules,
            deadline=None if timeout is None else self.clock.timer() + timeout,
            random=self.random,
            memory=self.memory,
            vector=self.vector,
        )
        computed(prepared.constants, known, context)
        return _Run(context, readings)

    # ---- explaining

    def _explained(self, prepared: Prepared, request: Request) -> Plan:
        profile = Profile()
        began = self.clock.timer()
        run, _ = self._run(prepared, request, profile)
        return self._drawn(prepared, run, profile, self.clock.timer() - began)

    def _drawn(self, prepared: Prepared, run: _Run, profile: Profile | None = None, seconds: float = 0.0) -> Plan:
        """The tree of steps, with what each scan touched."""
        tables = run.context.tables
        drawn = explain.plan_of(prepared.program, tables.__getitem__, profile)
        for step in drawn.find_all("Scan"):
            name = step.detail.partition(":")[0]
            source = tables.get(name)
            reading = run.readings.get(name)
            if isinstance(source, folding.Folding):
                step.name, step.detail = "Fold", source.fold.described()
            if isinstance(source, folding.Folding | ends.Ended):
                reading = source.reading
            if reading is not None:
                step.counters = {**step.counters, **reading.touched.counters()}
        known = run.context.values
        texts = {f":{one.number}": fused.written(known[one.number], one.type) for one in prepared.parameters}
        texts |= {one.name[1:]: fused.written(known[one.name], one.expression.type) for one in prepared.constants}
        for step, _ in drawn.walk():  # what a run knows, in the place of the names that the plan has for it
            step.detail = _BOUND.sub(lambda found: texts.get(found[0], found[0]), step.detail)
        if seconds:
            drawn.counters["micros_total"] = round(1e6 * seconds)
        return drawn

    # ---- other statements

    def _statement(self, statement: front.Statement, request: Request) -> Table:
        if statement.kind == "query":
            return self._answer(self._made(statement, request.text), request)
        if statement.kind == "explain":
            prepared = self._made(statement, request.text)
            if statement.analyze:
                return explain.as_result(self._explained(prepared, request))
            return explain.as_result(self._drawn(prepared, self._begun(prepared, request)))
        handler = self.handlers.get(statement.kind)
        if handler is not None:
            return handler(statement, request)
        return listings.answer(statement, request.text, self.tables)


def _scans(plan: logical.Plan, shared: set[str]) -> Iterator[str]:
    """The tables that a plan reads, as often as it reads them; one that is read for each row counts twice."""
    if isinstance(plan, logical.Shared):
        if plan.name in shared:
            return
        shared.add(plan.name)
    if isinstance(plan, logical.Scan):
        yield plan.table
    for below in logical.inputs(plan):
        yield from _scans(below, shared)
    if isinstance(plan, logical.Apply):
        yield from _scans(plan.plan, set())
    if isinstance(plan, logical.Recursive):
        yield from _scans(plan.step, set())


def _types(parameters: Parameters) -> Hashable:
    """What of the parameters a plan depends on."""
    if isinstance(parameters, Mapping):
        return tuple((name, parameter_type(value)) for name, value in parameters.items())
    if isinstance(parameters, str | bytes) or not isinstance(parameters, Sequence):
        raise Invalid(f"parameters are a sequence for ? or a mapping for :name, got {type(parameters).__name__}")
    return tuple(parameter_type(value) for value in parameters)
