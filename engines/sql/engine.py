"""A statement from its text to its rows: what an engine that speaks SQL holds, and all a test needs.

    text ──> prepare ──> Query ──> rewrite ──> lower ──> Program      kept with the statement in the cache
                                                            └──> run, with values, time and tables of now ──> Result

A second run of the same text pays for none of the first line's steps: the cache knows the statement by its text, the
types of its parameters and the columns of its tables.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from random import Random
from typing import Any, Final

from engines.clock import Clock, SystemClock
from engines.display import Plan
from engines.errors import Invalid, NotFound, QueryError, nearest
from engines.sql import explain, front
from engines.sql.collected import Collected
from engines.sql.column import VECTOR, keep_freed_memory
from engines.sql.context import Context
from engines.sql.dialect import REDSHIFT, Dialect
from engines.sql.expressions import fold
from engines.sql.logical import Query
from engines.sql.lower import lower
from engines.sql.result import Result
from engines.sql.rewrite import rewrite
from engines.sql.run import Local, Profile, Program, Runner, run
from engines.sql.source import TableSource
from engines.sql.sources import table_source
from engines.sql.values import engine_value, type_of

MEMORY: Final = 1 << 30


class MemoryCatalog:
    """Tables and views by name, without regard to case. A table is whatever `table_source` takes."""

    def __init__(self, tables: Mapping[str, Any] | None = None) -> None:
        self._found: dict[str, TableSource | front.View] = {}
        for name, table in (tables or {}).items():
            self.attach(name, table)

    def attach(self, name: str, table: Any) -> None:  # noqa: ANN401 - whatever can be a table
        """Add or replace a table, or a View."""
        self._found[name.lower()] = table if isinstance(table, front.View) else table_source(name, table)

    def find(self, parts: tuple[str, ...]) -> TableSource | front.View | None:
        return self._found.get(".".join(parts).lower())

    def names(self) -> Iterable[str]:
        return list(self._found)


class SQL:
    """Runs SELECTs over the tables of a catalogue. Threads may share it.

    catalog: find() must know a source by the `name` it gives itself. threads: slices that run side by side; runner: who
    runs them instead. memory: bytes that one step of a query may hold.
    """

    def __init__(
        self,
        catalog: front.Catalog,
        *,
        dialect: Dialect = REDSHIFT,
        clock: Clock | None = None,
        threads: int = 1,
        memory: int = MEMORY,
        runner: Runner | None = None,
        vector: int = VECTOR,
        user: str = "",
    ) -> None:
        keep_freed_memory()
        self.catalog = catalog
        self.dialect = dialect
        self.clock = clock or SystemClock()
        self.memory = memory
        self.runner = runner or Local(threads)
        self.vector = vector
        self.user = user
        self.random = Random(0)  # noqa: S311 - SQL's RANDOM()
        self.cache = front.Cache()

    # ---- statements

    def query(self, text: str, *values: Any, timeout: float | None = None, **named: Any) -> Result:  # noqa: ANN401 - see type_of
        """The rows of a SELECT; of several statements those of the last one. EXPLAIN gives its lines as rows.

        values and named: of the parameters `?` and `:name`. timeout in seconds: DeadlinePassed after that. QueryError
        for what the text has wrong, or for rows that an expression has no value for.
        """
        found: Result | None = None
        for statement in front.prepare(text, self.catalog, self.dialect, values, named, cache=self.cache):
            found = self.answer(statement, values, named, timeout=timeout)
        if found is None:
            raise Invalid("there is no statement in the text")
        return found

    def answer(
        self,
        statement: front.Statement,
        values: Sequence[Any] = (),
        named: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
    ) -> Result:
        """The rows of one prepared query."""
        began = self.clock.timer()
        if statement.kind == "explain":
            plan = self.plan(statement, values, named, analyze=statement.analyze)
            return explain.as_result(plan)
        program = self.program_of(statement)
        context = self.context(program.query, statement.source, values, named, timeout=timeout)
        found = self.collect(program, context)
        stats = {"cached": statement.cached, **asdict(context.scanned), "seconds": self.clock.timer() - began}
        if context.lost:
            stats["nodes_lost"] = tuple(context.lost)
        return Result(found, program.query.columns, stats=stats)

    def explain(self, text: str, *values: Any, analyze: bool = False, **named: Any) -> Plan:  # noqa: ANN401 - see type_of
        """How a SELECT is run, as a tree of steps; with analyze it is run, and the steps say what they touched."""
        plan: Plan | None = None
        for statement in front.prepare(text, self.catalog, self.dialect, values, named, cache=self.cache):
            plan = self.plan(statement, values, named, analyze=analyze or statement.analyze)
        if plan is None:
            raise Invalid("there is no statement in the text")
        return plan

    def plan(
        self,
        statement: front.Statement,
        values: Sequence[Any] = (),
        named: Mapping[str, Any] | None = None,
        *,
        analyze: bool = False,
    ) -> Plan:
        """The steps of one prepared query, with counters if it is run for them."""
        program = self.program_of(statement)
        if not analyze:
            return explain.plan_of(program, self.source, moves=self.runner.moves(program, self.source))
        profile = Profile()
        context = self.context(program.query, statement.source, values, named)
        began = self.clock.timer()
        self.collect(program, context, profile)
        seconds = self.clock.timer() - began
        moves = self.runner.moves(program, self.source)
        return explain.plan_of(program, self.source, profile, context.scanned, seconds, moves=moves)

    # ---- plans

    def program_of(self, statement: front.Statement) -> Program:
        """The statement's program, made once."""
        program: Program | None = statement.kept.get("program")
        if program is None:
            if statement.query is None:
                raise QueryError(f"{statement.kind} is no query", text=statement.source)
            program = statement.kept["program"] = self.program(statement.query)
        return program

    def program(self, query: Query) -> Program:
        """A bound query, rewritten and lowered."""
        functions, rules = self.dialect.functions, self.dialect.rules
        try:
            better = rewrite(query, self.source, folding=lambda expression: fold(expression, functions, rules))
            return lower(better, functions)
        except RecursionError:
            raise QueryError("the statement is nested too deeply") from None

    def source(self, name: str) -> TableSource:
        """The table of that full name, as plans say it. NotFound if it is gone."""
        found = self.catalog.find(tuple(name.split(".")))
        if found is None or isinstance(found, front.View):
            raise NotFound(f"no table {name!r}{nearest(name, self.catalog.names())}")
        return found

    # ---- runs

    def context(
        self,
        query: Query,
        text: str = "",
        values: Sequence[Any] = (),
        named: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
    ) -> Context:
        """What one run knows: the values as the engine holds them, the time, the tables as they are now."""
        if timeout is not None and timeout <= 0:
            raise Invalid(f"timeout is above 0 seconds, got {timeout:g}")
        bound: dict[int | str, Any] = {"$now": self.clock.now(), "$user": self.user.encode()}
        for number, value in enumerate(values, 1):
            bound[number] = engine_value(value, type_of(value))
        for name, value in (named or {}).items():
            bound[name] = engine_value(value, type_of(value))
        return Context(
            text=text,
            tables={name: self.source(name) for name in query.tables},
            values=bound,
            clock=self.clock,
            rules=self.dialect.rules,
            deadline=None if timeout is None else self.clock.timer() + timeout,
            random=self.random,
            memory=self.memory,
            vector=self.vector,
        )

    def collect(self, program: Program, context: Context, profile: Profile | None = None) -> Collected:
        """Run it; tables that hold something for the length of a query let it go."""
        try:
            found: Collected = run(program, context, self.runner, profile)
        except RecursionError:
            raise QueryError("the statement is nested too deeply", text=context.text) from None
        finally:
            for table in context.tables.values():
                let_go = getattr(table, "close", None)  # of a Pinned; isinstance costs more than the rest of this
                if let_go is not None:
                    let_go()
        return found


__all__ = ["MEMORY", "SQL", "MemoryCatalog"]
