"""Text -> statements that are ready to be planned: parse (sqlglot), bind (binder/), and remember.

    text ── tokens ── syntax tree ── names and types ──> Query          a statement that the floor itself runs
                 └─ first words ─────────────────────> handler        one that an engine has registered

sqlglot is the grammar and no more; what is bound is ours. The grammar is told to know no functions, so every call
arrives by its own name; it never falls back to a Command, so what it does not understand is an error with a place.

The statement cache: exact text, types of the parameters and dialect -> the statements, with whatever the engine
derived from them (`Statement.kept`: the rewritten and the lowered plan). An entry is good as long as every table that
it names still has the same columns, and every view the same text. Values, the time and partitions are bound per run.
"""

import functools
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, TypeVar

from sqlglot import exp

from engines.errors import QueryError
from engines.sql.binder import Binder, Catalog, Column, Rows, Scope, View, bind_query, bind_type
from engines.sql.binder.literals import cast
from engines.sql.binder.typing import assignable, castable
from engines.sql.dialect import REDSHIFT, Dialect
from engines.sql.grammar import Node, Token, parse, split, tokenize
from engines.sql.logical import Bound, Constant, Expression, Plan, Query
from engines.sql.types import Type

CACHED: Final = 256
T = TypeVar("T")


@dataclass(slots=True)
class Statement:
    """One statement, bound. kind: "query", "explain", or the key of Dialect.statements that takes it."""

    kind: Any
    text: str  # of the statement alone
    source: str  # the whole text, which positions count in
    query: Query | None = None
    analyze: bool = False  # EXPLAIN ANALYZE
    ast: Node = None  # of an engine's statement, None if its first words were enough to know it
    tokens: Sequence[Node] = ()  # of an engine's statement
    parameters: Mapping[int | str, Type] = field(default_factory=dict)  # those that it mentions
    kept: dict[str, Any] = field(default_factory=dict)  # what the engine derived from it; lives as long as the entry
    cached: bool = False


def tokenized(text: str, dialect: Dialect) -> list[Token]:
    """The tokens, as the dialect changes them."""
    found = tokenize(text, dialect.parser)
    return found if dialect.tokens is None else dialect.tokens(found)


# ---- the statement cache -----------------------------------------------------------------------------------------


class Cache:
    """The least recently used go first. Any thread."""

    def __init__(self, capacity: int = CACHED) -> None:
        self.capacity = capacity
        self.hits = 0
        self.misses = 0
        self._entries: dict[Hashable, Any] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any:  # noqa: ANN401 - whatever was put
        """What was put under the key; None if it is not there (any more)."""
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is None:
                self.misses += 1
                return None
            self._entries[key] = entry
            self.hits += 1
            return entry

    def put(self, key: Hashable, entry: object) -> None:
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = entry
            while len(self._entries) > self.capacity:
                del self._entries[next(iter(self._entries))]

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(slots=True)
class _Entry:
    statements: list[Statement]
    seen: tuple[tuple[tuple[str, ...], Any], ...]  # names -> (name in plans, schema) or View, as they were


def _still_true(entry: _Entry, catalog: Catalog) -> bool:
    for parts, before in entry.seen:
        found = catalog.find(parts)
        if found is None:
            return False
        if isinstance(found, View):
            if found != before:
                return False
            continue
        if isinstance(before, View) or found.name != before[0]:
            return False
        schema = found.schema()
        if schema is not before[1] and schema != before[1]:
            return False
    return True


# ---- prepare -----------------------------------------------------------------------------------------------------


def prepare(
    text: str,
    catalog: Catalog,
    dialect: Dialect = REDSHIFT,
    values: Sequence[Any] = (),
    named: Mapping[str, Any] | None = None,
    *,
    cache: Cache | None = None,
) -> Iterator[Statement]:
    """The statements of a text, each bound only when it is asked for: one may create what the next one reads.

    values and named: those of `?`, `$1` and `:name`; only their types matter here. All is parsed before the first
    statement comes: QueryError for wrong syntax, and then, one by one, for what cannot be bound. With a cache: an entry
    is made of a text whose statements are all queries.
    """
    parameters: dict[int | str, Type] = {}
    if values or named:
        parameters = {number: dialect.type_of(value) for number, value in enumerate(values, 1)}
        parameters |= {name: dialect.type_of(value) for name, value in (named or {}).items()}
    key = (text, dialect.name, tuple(parameters.items()))
    if cache is not None:
        entry = cache.get(key)
        if entry is not None and _still_true(entry, catalog):
            for one in entry.statements:
                one.cached = True
            return iter(entry.statements)
    found = tokenized(text, dialect)
    parsed = [_Parsed.of(text, one, dialect) for one in split(found)]
    if not parsed:
        raise QueryError("there is no statement here", text=text)
    if parameters:
        _refuse_unused(text, found, len(values), named or {})

    def finished(statements: list[Statement], seen: Mapping[tuple[str, ...], Any]) -> None:
        if cache is not None and all(one.query is not None for one in statements):
            cache.put(key, _Entry(statements, tuple(seen.items())))

    return _bound(parsed, Binder(text, catalog, dialect, parameters, parse=_view_parser(dialect)), finished)


def _refuse_unused(text: str, found: Sequence[Token], values: int, named: Mapping[str, Any]) -> None:
    """QueryError for values that no parameter of the text takes."""
    pairs = [(one.text, other.text) for one, other in pairwise(found)]
    most = max((int(number) for sign, number in pairs if sign == "$" and number.isdigit()), default=0)
    if values > most:
        takes = f"takes {most}: write ? for each" if most else "has no parameter: write ? where a value goes"
        raise QueryError(f"{values} values were passed, the text {takes}", text=text)
    for name in named:  # a number is of a dialect that counts its own
        if isinstance(name, str) and all((sign, name) not in pairs for sign in ":$@"):
            raise QueryError(f"the text has no parameter :{name}, for which a value was passed", text=text)


def _bound(
    parsed: "list[_Parsed]", binder: Binder, finished: Callable[[list[Statement], Mapping[tuple[str, ...], Any]], None]
) -> Iterator[Statement]:
    statements = []
    for number, one in enumerate(parsed, 1):
        statements.append(one.bound(binder))
        if number == len(parsed):
            finished(statements, binder.seen)
        yield statements[-1]


@dataclass(slots=True)
class _Parsed:
    kind: Any
    tree: Node
    found: list[Node]
    text: str
    analyze: bool = False

    @classmethod
    def of(cls, text: str, found: list[Node], dialect: Dialect) -> "_Parsed":
        words = [token.text.upper() for token in found[:4]]
        shown = text[found[0].start : found[-1].end + 1]
        key = dialect.statement(words)
        if key is not None:
            return cls(key, None, found, shown)
        if words[0] == "EXPLAIN":
            return cls._explain(text, found, dialect)
        tree = parse(text, found, dialect.parser)
        for kind in type(tree).__mro__:
            if kind in dialect.statements:
                return cls(kind, tree, found, shown)
        if not isinstance(tree, (exp.Query, exp.Subquery, exp.Values)):
            said = words[0] if len(words) < 2 else f"{words[0]} {words[1]}"
            raise QueryError(f"the statement {said} is not supported here", text=text, position=found[0].start)
        return cls("query", tree, found, shown)

    @classmethod
    def _explain(cls, text: str, found: list[Node], dialect: Dialect) -> "_Parsed":
        rest = found[1:]
        analyze = False
        while rest and rest[0].text.upper() in {"ANALYZE", "VERBOSE"}:
            analyze = analyze or rest[0].text.upper() == "ANALYZE"
            rest = rest[1:]
        if not rest:
            raise QueryError("EXPLAIN needs a statement", text=text, position=found[-1].end + 1)
        inner = cls.of(text, rest, dialect)
        if inner.kind != "query":
            raise QueryError("EXPLAIN takes a query", text=text, position=rest[0].start)
        return cls("explain", inner.tree, found, text[found[0].start : found[-1].end + 1], analyze)

    def bound(self, binder: Binder) -> Statement:
        binder.begin()
        if self.kind not in {"query", "explain"}:
            return Statement(
                self.kind, self.text, binder.text, ast=self.tree, tokens=self.found, parameters=binder.parameters
            )
        query = _guarded(binder, lambda: whole_query(binder, self.tree))
        return Statement(self.kind, self.text, binder.text, query, self.analyze, parameters=binder.used)


def _parsed(text: str, dialect: Dialect) -> Node:
    return parse(text, tokenized(text, dialect), dialect.parser)


def _view_parser(dialect: Dialect) -> Callable[[str], Node]:
    return functools.partial(_parsed, dialect=dialect)


def _guarded(binder: Binder, work: Callable[[], T]) -> T:
    try:
        return work()
    except RecursionError:
        raise QueryError("the statement is nested too deeply", text=binder.text) from None


def whole_query(binder: Binder, tree: Node) -> Query:
    """The Query of a syntax tree."""
    rows = bind_query(binder, tree, None)
    return Query(rows.plan, tuple((one.name, one.id, one.type) for one in rows.columns), tuple(binder.tables))


# ---- for the statements of engines -------------------------------------------------------------------------------


def bind_select(
    ast: Node,
    catalog: Catalog,
    dialect: Dialect = REDSHIFT,
    *,
    text: str = "",
    parameters: Mapping[int | str, Type] | None = None,
) -> Query:
    """The query inside an INSERT or a CREATE TABLE AS: its syntax tree, or its text. text: what positions count in."""
    if isinstance(ast, str):
        text, ast = ast, _parsed(ast, dialect)
    binder = Binder(text, catalog, dialect, parameters, parse=_view_parser(dialect))
    return _guarded(binder, lambda: whole_query(binder, ast))


class _NoTables:
    """A catalogue without tables."""

    def find(self, _: tuple[str, ...]) -> None:
        return None

    def names(self) -> tuple[str, ...]:
        return ()


NO_TABLES: Final = _NoTables()


def expression_of(text: str, dialect: Dialect = REDSHIFT) -> Node:
    """The syntax tree of an expression."""
    return _parsed(f"select {text}", dialect).expressions[0]


def bind_expression(
    text: str,
    columns: Mapping[str, tuple[str, Type]],
    dialect: Dialect = REDSHIFT,
    *,
    catalog: Catalog = NO_TABLES,
    wanted: Type | None = None,
) -> Expression:
    """An expression over named columns (name -> id, type): a DEFAULT, the condition of a policy.

    catalog: where its subqueries find tables. wanted: the result is cast to this type where assignment allows it, else
    QueryError.
    """
    ast = expression_of(text, dialect)
    binder = Binder(f"select {text}", catalog, dialect, parse=_view_parser(dialect))
    rows = Rows(Plan(), [Column(name, id, type) for name, (id, type) in columns.items()])
    bound = _guarded(binder, lambda: binder.expression(ast, Scope(rows=rows, clause="this expression")))
    return bound if wanted is None else _assigned(binder, bound, wanted, ast)


def _assigned(binder: Binder, value: Expression, wanted: Type, node: Node) -> Expression:
    """The value as a column of that type takes it."""
    constant_text = value.type.text and isinstance(value, (Constant, Bound))
    if not (assignable(value.type, wanted) or (constant_text and castable(value.type, wanted))):
        raise binder.error(f"a column of {wanted} takes no {value.type}: write a CAST", node)
    return cast(value, wanted)


__all__ = [
    "NO_TABLES",
    "Cache",
    "Catalog",
    "Statement",
    "View",
    "bind_expression",
    "bind_select",
    "bind_type",
    "expression_of",
    "prepare",
]
