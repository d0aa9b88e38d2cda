"""Statements of PartiQL, as far as the ledger speaks it.

Statements are parsed once and remembered by their text. Texts come from anywhere: whatever is no statement is a
QueryError with the place, and nesting ends at 100.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from engines.errors import QueryError, nearest
from engines.ledger.partiql.expressions import SIGN_BINDING, Expressions
from engines.ledger.partiql.lexer import END, NUMBER, QUOTED, SIGN, TEXT, WORD
from engines.ledger.partiql.nodes import (
    Aggregate,
    CatalogueSource,
    Change,
    CommittedSource,
    CreateIndex,
    CreateTable,
    Delete,
    DropIndex,
    DropTable,
    Expression,
    From,
    HistorySource,
    Insert,
    Item,
    Literal,
    Name,
    Parsed,
    Select,
    Source,
    Statement,
    Step,
    TableSource,
    UndropTable,
    Update,
    Value,
    ValueSource,
    children,
)  # fmt: skip
from engines.ledger.partiql.words import BEGINNINGS, CLAUSES, NOT_SPOKEN, RESERVED

DEEPEST_TREE: Final = 160
DEEPEST_SELECT: Final = 20
MOST_SOURCES: Final = 100  # each is a loop inside the one before
LONGEST: Final = 1 << 20  # characters of a text
REMEMBERED: Final = 1 << 14  # longer texts hold values, and hardly come again
COMMITTED: Final = "_ql_committed_"


def parsed(text: str) -> Parsed:
    """A statement with its text, from the cache. QueryError, with the place, for whatever is none."""
    return remembered(text) if len(text) <= REMEMBERED else _parsed(text)


def _parsed(text: str) -> Parsed:
    if len(text) > LONGEST:
        raise QueryError(f"a statement has at most {LONGEST:,} characters, this one {len(text):,}: pass values as ?")
    return Parsed(text, Parser(text).statement())


remembered: Final = lru_cache(512)(_parsed)


def parse(text: str) -> Statement:
    """What a text says. QueryError, with line, column and a caret, where it says nothing."""
    return parsed(text).statement


class Parser(Expressions):
    """Reads one statement."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._selects = 0
        self._sources_read = 0

    def statement(self) -> Statement:  # noqa: C901 - one case for each statement
        """All of the text as one statement."""
        word = self._next.value.upper() if self._next.kind == WORD else ""
        found: Statement
        match word:
            case "SELECT":
                found = self._select()
            case "INSERT":
                found = self._insert()
            case "UPDATE":
                found = self._update()
            case "DELETE":
                found = self._delete()
            case "FROM":
                found = self._from_statement()
            case "CREATE":
                found = self._create()
            case "DROP":
                found = self._drop()
            case "UNDROP":
                self._expect("UNDROP", "TABLE")
                found = UndropTable(self._identifier("the id of a table, in double quotes,"))
            case _:
                found = self._value_statement()
        self._accept(";")
        if self._next.kind != END:
            if self._next.kind == WORD and self._next.value.upper() in NOT_SPOKEN:
                raise self._error(f"{NOT_SPOKEN[self._next.value.upper()]} is not spoken here: do it in Python")
            raise self._error(f"the statement is over before {self._shown()}", suggestion=self._clause_meant())
        self._measure(found)
        return replace(found, parameters=self._parameters)

    def _clause_meant(self) -> str:
        """FORM and WHER are read as names; what follows them is where the statement breaks off."""
        for token in self._tokens[max(self._at - 1, 0) : self._at + 1][::-1]:
            hint = nearest(token.value.upper(), CLAUSES) if token.kind == WORD else ""
            if hint and token.value.upper() not in RESERVED:
                return hint.removeprefix("; ")
        return ""

    def _measure(self, found: Statement) -> None:
        """QueryError where the tree is so deep that walking it could end the process: 1 + 1 + 1 + ... nests as well."""
        waiting: list[tuple[Any, int]] = [(found, 0)]
        while waiting:
            node, depth = waiting.pop()
            if depth > DEEPEST_TREE:
                raise self._error(f"this is nested more than {DEEPEST_TREE} deep: take it apart", node.at)
            for name in node.__match_args__:  # the fields of a dataclass
                value = getattr(node, name)
                for part in value if isinstance(value, tuple) else (value,):
                    inner = part if isinstance(part, tuple) else (part,)
                    waiting.extend((each, depth + 1) for each in inner if hasattr(each, "__match_args__"))

    def _value_statement(self) -> Statement:
        token = self._next
        following = self._tokens[self._at + 1]
        if token.kind == END:
            raise self._error("there is no statement")
        if token.kind == WORD and self._is(token.keyword, "*", "FROM"):
            hint = nearest(token.value.upper(), BEGINNINGS).removeprefix("; ")
            raise self._error(f"no statement begins with {token.value!r}", suggestion=hint)
        if (
            token.kind == WORD
            and following.kind in (WORD, QUOTED)
            and following.value.upper() not in RESERVED - {"FROM", "INTO", "TABLE", "INDEX"}
        ):
            hint = nearest(token.value.upper(), BEGINNINGS).removeprefix("; ")
            raise self._error(f"no statement begins with {token.value!r}", suggestion=hint)
        return Value(self._expression())

    def _select(self) -> Select:
        self._expect("SELECT")
        self._selects += 1
        if self._selects > DEEPEST_SELECT:
            raise self._error(f"SELECT stands inside SELECT more than {DEEPEST_SELECT} deep: take it apart")
        distinct = self._accept("DISTINCT")
        around, self._aggregates = self._aggregates, True
        value: Expression | None = None
        items: tuple[Item, ...] = ()
        if self._is("VALUE") and not self._ends_item(1):
            self._take()
            value = self._expression()
        else:
            items = self._items()
        self._aggregates = False
        sources = self._sources() if self._accept("FROM") else ()
        where = self._expression() if self._accept("WHERE") else None
        found = Select(items, value, distinct, sources, where)
        self._selects -= 1
        self._aggregates = around
        if found.aggregated:
            own = {name for each in sources for name in (each.alias, each.position, each.identity) if name}
            for item in (*items, Item(value, None)) if value is not None else items:
                self._refuse_single_rows(item.value, own)
        return found

    def _refuse_single_rows(self, expression: Expression | None, own: set[str]) -> None:
        """Beside COUNT(*) there is no row to take an attribute from; a subquery may take one from around it."""
        outer = self._selects > 0
        if expression is None or (isinstance(expression, Name) and (expression.name in own or not outer)):
            shown = "*" if expression is None else expression.name
            at = None if expression is None else expression.at
            raise self._error(f"{shown} has no one value beside an aggregate, and GROUP BY is not spoken here", at)
        if not isinstance(expression, Aggregate):
            for below in children(expression):
                self._refuse_single_rows(below, own)

    def _ends_item(self, ahead: int) -> bool:
        token = self._tokens[self._at + ahead]
        return token.kind == END or token.keyword in ("FROM", "AS", ",", ".")

    def _items(self) -> tuple[Item, ...]:
        items: list[Item] = []
        while True:
            if self._accept("*"):
                items.append(Item(None, None))
            elif self._is_star_of_alias():
                items.append(Item(None, self._take().value))
                self._expect(".", "*")
            else:
                value = self._expression()
                name = None
                if self._accept("AS") or self._next.kind == QUOTED or self._plain_word():
                    name = self._identifier("a name")
                items.append(Item(value, name))
            if not self._accept(","):
                break
        if len(items) > 1 and any(item.value is None and item.name is None for item in items):
            raise self._error("* stands alone: SELECT * FROM ...")
        return tuple(items)

    def _is_star_of_alias(self) -> bool:
        first, second, third = self._tokens[self._at : self._at + 3]
        return first.kind in (WORD, QUOTED) and (second.keyword, third.keyword) == (".", "*")

    def _plain_word(self) -> bool:
        return self._next.kind == WORD and self._next.value.upper() not in RESERVED

    def _sources(self) -> tuple[From, ...]:
        found = [self._from()]
        while True:
            if self._accept(","):
                found.append(self._from())
                continue
            outer = self._accept("LEFT")
            crossed = not outer and self._accept("CROSS")
            if not (outer or crossed):
                self._accept("INNER")
            if not self._accept("JOIN"):
                if outer or crossed:
                    raise self._error(f"JOIN is expected here, not {self._shown()}")
                break
            joined = self._from()
            on = None
            if not crossed:
                self._expect("ON")
                on = self._expression()
            found.append(From(joined.source, joined.alias, joined.position, joined.identity, on, outer))
        met: set[str] = set()
        for name in (name for each in found for name in each.names):
            if name in met:
                raise self._error(f"two things are called {name} in FROM: rename one with AS")
            met.add(name)
        return tuple(found)

    def _from(self) -> From:
        at = self._next.position
        self._sources_read += 1
        if self._sources_read > MOST_SOURCES:
            raise self._error(f"a statement reads at most {MOST_SOURCES} sources: take it apart")
        source, alias = self._source()
        if self._accept("AS") or self._next.kind == QUOTED or self._plain_word():
            alias = self._identifier("a name")
        position = self._identifier("a name") if self._accept("AT") else None
        identity = self._identifier("a name") if self._accept("BY") else None
        if identity is not None and isinstance(source, ValueSource | CatalogueSource | HistorySource):
            raise self._error("BY gives the ids of a table's documents; this is no table", at)
        return From(source, alias or f"_{at}", position, identity)

    def _source(self) -> tuple[Source, str]:
        token = self._next
        if self._is("HISTORY", "("):
            return self._history(), "history"
        if self._is("INFORMATION_SCHEMA", ".", "USER_TABLES"):
            self._at += 3
            return CatalogueSource(token.position), "user_tables"
        if token.kind == QUOTED or self._plain_word():
            following = self._tokens[self._at + 1]
            if not (following.kind == SIGN and following.value in (".", "[", "(")):
                name = self._take().value
                if name.lower().startswith(COMMITTED):
                    return CommittedSource(name[len(COMMITTED) :], token.position), name
                return TableSource(name, token.position), name
        value = self._expression(SIGN_BINDING)
        name = ""
        if isinstance(value, Step) and isinstance(value.key, Literal) and isinstance(value.key.value, str):
            name = value.key.value
        return ValueSource(value, token.position), name

    def _history(self) -> HistorySource:
        at = self._next.position
        self._at += 2
        table = self._identifier("the name of a table")
        bounds: list[Expression] = []
        while self._accept(","):
            bounds.append(self._expression())
        self._expect(")")
        if len(bounds) > 2:
            raise self._error("history() takes a table, a start and an end", at)
        start, end = (*bounds, None, None)[:2]
        return HistorySource(table, start, end, at)

    def _insert(self) -> Insert:
        self._expect("INSERT", "INTO")
        table = self._identifier("the name of a table")
        if self._is("(") and not self._is("(", "SELECT") and not self._is("(", "?"):
            raise self._error("columns are not named: INSERT INTO T VALUE {'a': 1, 'b': 2}")
        several = not self._accept("VALUE")
        values = self._expression()
        self._refuse_names(values)
        return Insert(table, values, several)

    def _refuse_names(self, expression: Expression) -> None:
        """There is nothing that a name could stand for here; and a text in double quotes is one."""
        if isinstance(expression, Name):
            raise self._error(
                f"{expression.name!r} is a name here, and there is nothing of that name; a text is written "
                f"'{expression.name}'",
                expression.at,
            )
        for below in children(expression):
            self._refuse_names(below)

    def _update(self) -> Update:
        self._expect("UPDATE")
        source = self._dml_source()
        changes = self._changes()
        where = self._expression() if self._accept("WHERE") else None
        return Update(source, changes, where)

    def _delete(self) -> Delete:
        self._expect("DELETE", "FROM")
        source = self._dml_source()
        where = self._expression() if self._accept("WHERE") else None
        return Delete(source, where)

    def _from_statement(self) -> Statement:
        self._expect("FROM")
        source = self._dml_source()
        where = self._expression() if self._accept("WHERE") else None
        if self._accept("DELETE"):
            return Delete(source, where)
        return Update(source, self._changes(), where)

    def _dml_source(self) -> From:
        at = self._next.position
        source = self._from()
        if not isinstance(source.source, TableSource):
            raise self._error("only the documents of a table can be changed", at)
        return source

    def _changes(self) -> tuple[Change, ...]:
        changes: list[Change] = []
        while True:
            if self._accept("SET"):
                while True:
                    path = self._path()
                    self._expect("=")
                    changes.append(Change("set", path, self._expression()))
                    if not self._accept(","):
                        break
            elif self._accept("REMOVE"):
                changes.append(Change("remove", self._path()))
                while self._accept(","):
                    changes.append(Change("remove", self._path()))
            elif self._accept("INSERT", "INTO"):
                path = self._path()
                self._expect("VALUE")
                value = self._expression()
                changes.append(Change("insert", path, value, self._expression() if self._accept("AT") else None))
            else:
                break
        if not changes:
            raise self._error(f"SET, REMOVE or INSERT INTO is expected here, not {self._shown()}")
        return tuple(changes)

    def _path(self) -> Expression:
        at = self._next.position
        path = self._expression(SIGN_BINDING)
        inner = path
        while isinstance(inner, Step):
            inner = inner.value
        if not isinstance(inner, Name):
            raise self._error("a path begins with a name: v.Owner.Name or Owners[0]", at)
        return path

    def _create(self) -> Statement:
        self._expect("CREATE")
        if self._accept("INDEX"):
            self._expect("ON")
            table = self._identifier("the name of a table")
            return CreateIndex(table, self._index_path())
        self._expect("TABLE")
        return CreateTable(self._identifier("the name of a table"))

    def _drop(self) -> Statement:
        self._expect("DROP")
        if self._accept("INDEX"):
            self._expect("ON")
            table = self._identifier("the name of a table")
            return DropIndex(table, self._index_path())
        self._expect("TABLE")
        return DropTable(self._identifier("the name of a table"))

    def _index_path(self) -> tuple[str | int, ...]:
        self._expect("(")
        steps = self.index_steps()
        self._expect(")")
        return steps

    def index_steps(self) -> tuple[str | int, ...]:
        """A path as an index has it: Owner.Names[0], names with capitals as they are."""
        steps: list[str | int] = [self._field()]
        while True:
            if self._accept("."):
                steps.append(self._field())
            elif self._accept("["):
                token = self._take()
                if token.kind == NUMBER and token.value.isdigit() and len(token.value) < 10:
                    steps.append(int(token.value))
                elif token.kind == TEXT:
                    steps.append(token.value)
                else:
                    raise self._error("a whole number or a text is expected in [ ]", token.position)
                self._expect("]")
            else:
                return tuple(steps)

    def whole_path(self) -> tuple[str | int, ...]:
        """All of the text as the path of an index."""
        steps = self.index_steps()
        if self._next.kind != END:
            raise self._error(f"the path is over before {self._shown()}")
        return steps

    def _field(self) -> str:
        token = self._take()
        if token.kind in (WORD, QUOTED):
            return token.value
        raise self._error("the name of a field is expected here", token.position)
