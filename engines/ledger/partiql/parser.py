"""PartiQL's grammar, as far as the ledger speaks it: a Pratt parser (Pratt, "Top Down Operator Precedence", 1973).

    OR < AND < NOT < = <> < <= > >= IN BETWEEN LIKE IS < || < + - < * / % < - (sign) < . [ ]

x IN (a) and IN (a, b) are lists, x IN a is whatever a holds. @t.items is t.items: PartiQL's way to insist that t is what
FROM has bound; here variables come first anyway.

Statements are parsed once and remembered by their text. Texts come from anywhere: whatever is no statement is a
QueryError with the place, and nesting ends at 100.
"""

from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, Final

from engines.errors import QueryError, nearest
from engines.ledger.partiql import lexer, values
from engines.ledger.partiql.lexer import END, ION, NUMBER, QUOTED, SIGN, TEXT, WORD, Token
from engines.ledger.partiql.nodes import (
    MISSING,
    Aggregate,
    Between,
    Binary,
    Call,
    Case,
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
    Is,
    Item,
    Like,
    ListOf,
    Literal,
    Name,
    Parameter,
    Parsed,
    Select,
    Source,
    Statement,
    Step,
    StructOf,
    Subquery,
    TableSource,
    Unary,
    UndropTable,
    Update,
    Value,
    ValueSource,
    children,
)  # fmt: skip

DEEPEST: Final = 100
DEEPEST_TREE: Final = 160
LONGEST: Final = 1 << 20  # characters of a text
LONGEST_NUMBER: Final = 400  # digits
COMMITTED: Final = "_ql_committed_"

COMPARISONS: Final = {"=": 4, "<>": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4}
BINDING: Final = {"||": 5, "+": 6, "-": 6, "*": 7, "/": 7, "%": 7, **COMPARISONS}
SIGN_BINDING: Final = 8
AGGREGATES: Final = ("COUNT", "SUM", "MIN", "MAX", "AVG")
FUNCTIONS: Final = {  # name: fewest and most arguments
    "SIZE": (1, 1), "EXISTS": (1, 1), "COALESCE": (1, 99), "NULLIF": (2, 2), "CHAR_LENGTH": (1, 1),
    "CHARACTER_LENGTH": (1, 1), "LOWER": (1, 1), "UPPER": (1, 1), "SUBSTRING": (2, 3), "TXID": (0, 0), "UTCNOW": (0, 0),
    "TO_STRING": (2, 2), "TO_TIMESTAMP": (1, 2), "DATE_ADD": (2, 2), "DATE_DIFF": (2, 2), "EXTRACT": (1, 1),
    "TRIM": (1, 2), "CAST": (1, 1),
}  # fmt: skip
TYPES: Final = {
    "NULL": "NULL", "MISSING": "MISSING", "BOOL": "BOOL", "BOOLEAN": "BOOL", "INT": "INT", "INTEGER": "INT",
    "SMALLINT": "INT", "BIGINT": "INT", "FLOAT": "FLOAT", "REAL": "FLOAT", "DOUBLE": "FLOAT", "DECIMAL": "NUMBER",
    "NUMERIC": "NUMBER", "STRING": "STRING", "VARCHAR": "STRING", "CHAR": "STRING", "SYMBOL": "STRING",
    "STRUCT": "STRUCT", "TUPLE": "STRUCT", "LIST": "LIST", "BAG": "LIST", "TIMESTAMP": "TIMESTAMP",
}  # fmt: skip
DATE_PARTS: Final = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND")
RESERVED: Final = frozenset(
    """
    SELECT VALUE DISTINCT FROM WHERE AS AT BY JOIN INNER LEFT CROSS ON AND OR NOT IN BETWEEN LIKE
    ESCAPE IS NULL MISSING TRUE FALSE CASE WHEN THEN ELSE END INSERT INTO UPDATE DELETE SET REMOVE
    CREATE DROP UNDROP TABLE INDEX EXISTS CAST GROUP ORDER HAVING LIMIT UNION
    """.split()
)
NOT_SPOKEN: Final = {"GROUP": "GROUP BY", "ORDER": "ORDER BY", "HAVING": "HAVING", "LIMIT": "LIMIT", "UNION": "UNION"}
CLAUSES: Final = ("FROM", "WHERE", "JOIN", "LEFT JOIN", "AND", "OR", "SET", "REMOVE", "VALUE", "LIKE", "BETWEEN")
BEGINNINGS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "FROM", "CREATE", "DROP", "UNDROP")


@lru_cache(512)
def parsed(text: str) -> Parsed:
    """A statement with its text, from the cache. QueryError, with the place, for whatever is none."""
    if len(text) > LONGEST:
        raise QueryError(f"a statement has at most {LONGEST:,} characters, this one {len(text):,}: pass values as ?")
    return Parsed(text, Parser(text).statement())


def parse(text: str) -> Statement:
    """What a text says. QueryError, with line, column and a caret, where it says nothing."""
    return parsed(text).statement


class Parser:
    """Reads one statement."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = lexer.tokens(text)
        self._at = 0
        self._depth = 0
        self._parameters = 0

    # -- tokens -------------------------------------------------------------------------------------------------------

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += token.kind != END
        return token

    def _is(self, *words: str) -> bool:
        """Whether these words or signs come next."""
        for i, word in enumerate(words):
            token = self._tokens[min(self._at + i, len(self._tokens) - 1)]
            if token.kind == SIGN:
                if token.value != word:
                    return False
            elif token.kind != WORD or token.value.upper() != word:
                return False
        return True

    def _accept(self, *words: str) -> bool:
        if not self._is(*words):
            return False
        self._at += len(words)
        return True

    def _expect(self, *words: str) -> None:
        for word in words:
            if not self._accept(word):
                raise self._error(f"{word} is expected here, not {self._shown()}")

    def _shown(self) -> str:
        token = self._next
        return "the end" if token.kind == END else repr(token.value)

    def _error(self, message: str, at: int | None = None, suggestion: str = "") -> QueryError:
        return QueryError(
            message, text=self._text, position=self._next.position if at is None else at, suggestion=suggestion
        )

    def _identifier(self, what: str) -> str:
        token = self._next
        if token.kind == QUOTED or (token.kind == WORD and token.value.upper() not in RESERVED):
            return self._take().value
        hint = f'in double quotes it may be a name: "{token.value}"' if token.kind == WORD else ""
        raise self._error(f"{what} is expected here, not {self._shown()}", suggestion=hint)

    # -- statements ---------------------------------------------------------------------------------------------------

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
            for member in fields(node):
                value = getattr(node, member.name)
                parts = value if isinstance(value, tuple) else (value,)
                for part in parts:
                    inner = part if isinstance(part, tuple) else (part,)
                    waiting += [(each, depth + 1) for each in inner if is_dataclass(each)]

    def _value_statement(self) -> Statement:
        token = self._next
        following = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        if token.kind == END:
            raise self._error("there is no statement")
        star = following.kind == SIGN and following.value == "*" and self._at + 2 < len(self._tokens)
        if token.kind == WORD and star and self._is(token.value.upper(), "*", "FROM"):
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
        distinct = self._accept("DISTINCT")
        value: Expression | None = None
        items: tuple[Item, ...] = ()
        if self._is("VALUE") and not self._ends_item(1):
            self._take()
            value = self._expression()
        else:
            items = self._items()
        sources = self._sources() if self._accept("FROM") else ()
        where = self._expression() if self._accept("WHERE") else None
        if where is not None:
            self._refuse_aggregates(where)
        found = Select(items, value, distinct, sources, where)
        if found.aggregated:
            for item in (*items, Item(value, None)) if value is not None else items:
                self._refuse_single_rows(item.value)
        return found

    def _refuse_single_rows(self, expression: Expression | None) -> None:
        """Beside COUNT(*) there is no row to take an attribute from."""
        if expression is None or isinstance(expression, Name):
            shown = "*" if expression is None else expression.name
            at = None if expression is None else expression.at
            raise self._error(f"{shown} has no one value beside an aggregate, and GROUP BY is not spoken here", at)
        if not isinstance(expression, Aggregate):
            for below in children(expression):
                self._refuse_single_rows(below)

    def _ends_item(self, ahead: int) -> bool:
        token = self._tokens[min(self._at + ahead, len(self._tokens) - 1)]
        if token.kind == WORD:
            return token.value.upper() in ("FROM", "AS")
        return token.kind == END or (token.kind == SIGN and token.value in (",", "."))

    def _items(self) -> tuple[Item, ...]:
        items: list[Item] = []
        while True:
            if self._accept("*"):
                items.append(Item(None, None))
            elif self._tokens[self._at + 1 : self._at + 3] and self._is_star_of_alias():
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
        first, second, third = (*self._tokens[self._at : self._at + 3], Token(END, "", 0), Token(END, "", 0))[:3]
        return first.kind in (WORD, QUOTED) and second.value == "." and (third.kind, third.value) == (SIGN, "*")

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
                self._refuse_aggregates(on)
            found.append(From(joined.source, joined.alias, joined.position, joined.identity, on, outer))
        names = [name for each in found for name in (each.alias, each.position, each.identity) if name]
        for name in names:
            if names.count(name) > 1:
                raise self._error(f"two things are called {name} in FROM: rename one with AS")
        return tuple(found)

    def _from(self) -> From:
        at = self._next.position
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
        if self._accept("VALUE"):
            return Insert(table, self._expression(), several=False)
        return Insert(table, self._expression(), several=True)

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

    # -- expressions --------------------------------------------------------------------------------------------------

    def _expression(self, binding: int = 0) -> Expression:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._error(f"this is nested more than {DEEPEST} deep: take it apart")
        left = self._postfix(self._first())
        while True:
            at = self._next.position
            if self._next.kind == SIGN and BINDING.get(self._next.value, -1) > binding:
                operator = self._take().value
                right = self._expression(BINDING[operator])
                left = Binary("<>" if operator == "!=" else operator, left, right, at)
            elif binding < 1 and self._is("OR"):
                left = self._joined("OR", left, 1, at)
            elif binding < 2 and self._is("AND"):
                left = self._joined("AND", left, 2, at)
            elif binding < 4 and (self._is("NOT", "IN") or self._is("NOT", "BETWEEN") or self._is("NOT", "LIKE")):
                self._take()
                left = Unary("NOT", self._relation(left, at), at)
            elif binding < 4 and (self._is("IN") or self._is("BETWEEN") or self._is("LIKE") or self._is("IS")):
                left = self._relation(left, at)
            else:
                break
        self._depth -= 1
        return left

    def _joined(self, operator: str, left: Expression, binding: int, at: int) -> Expression:
        """A chain of AND, or of OR, as a tree that is as flat as can be: a thousand of them nest ten deep."""
        parts = [left]
        while self._accept(operator):
            parts.append(self._expression(binding))
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=False)
            parts = [Binary(operator, one, other, at) for one, other in pairs] + parts[len(parts) & ~1 :]
        return parts[0]

    def _relation(self, left: Expression, at: int) -> Expression:
        if self._accept("IN"):
            listed = self._is("(") and not self._is("(", "SELECT")
            if not listed:
                return Binary("IN", left, self._expression(4), at)
            opened = self._take().position
            return Binary("IN", left, ListOf(self._list(")"), opened), at)
        if self._accept("BETWEEN"):
            low = self._expression(4)
            self._expect("AND")
            return Between(left, low, self._expression(4), at)
        if self._accept("LIKE"):
            pattern = self._expression(4)
            return Like(left, pattern, self._expression(4) if self._accept("ESCAPE") else None, at)
        self._expect("IS")
        negated = self._accept("NOT")
        found: Expression = Is(left, self._type(), at)
        return Unary("NOT", found, at) if negated else found

    def _type(self) -> str:
        token = self._take()
        name = TYPES.get(token.value.upper()) if token.kind == WORD else None
        if name is None:
            raise self._error(
                f"{token.value!r} is no type", token.position, nearest(token.value.upper(), TYPES).removeprefix("; ")
            )
        if token.value.upper() == "DOUBLE":
            self._accept("PRECISION")
        if self._accept("("):
            while not self._accept(")"):
                if self._take().kind not in (NUMBER, SIGN):
                    raise self._error("a number is expected here")
        return name

    def _first(self) -> Expression:  # noqa: C901, PLR0911, PLR0912 - one case for each beginning
        token = self._next
        at = token.position
        if token.kind == NUMBER:
            return Literal(self._number(self._take()), at)
        if token.kind == TEXT:
            return Literal(self._take().value, at)
        if token.kind == ION:
            return Literal(self._ion(self._take()), at)
        if token.kind == QUOTED:
            return Name(self._take().value, at)
        if token.kind == WORD:
            return self._word(token, at)
        if self._accept("@"):
            return Name(self._identifier("the name of a variable"), at)
        if self._accept("?"):
            self._parameters += 1
            return Parameter(self._parameters - 1, at)
        if self._accept("-"):
            value = self._expression(SIGN_BINDING)
            if isinstance(value, Literal) and type(value.value) in (int, float):
                return Literal(-value.value, at)
            return Unary("-", value, at)
        if self._accept("+"):
            return Unary("+", self._expression(SIGN_BINDING), at)
        if self._accept("("):
            return self._parenthesis(at)
        if self._accept("["):
            return ListOf(self._list("]"), at)
        if self._accept("<<"):
            return ListOf(self._list(">>"), at)
        if self._accept("{"):
            return self._struct(at)
        raise self._error(f"a value is expected here, not {self._shown()}")

    def _parenthesis(self, at: int) -> Expression:
        if self._is("SELECT"):
            found: Expression = Subquery(self._select(), at)
            self._expect(")")
            return found
        first = self._expression()
        if self._is(","):
            self._take()
            return ListOf((first, *self._list(")")), at)
        self._expect(")")
        return first

    def _list(self, end: str) -> tuple[Expression, ...]:
        items: list[Expression] = []
        if self._accept(end):
            return ()
        while True:
            items.append(self._expression())
            if not self._accept(","):
                self._expect(end)
                return tuple(items)

    def _struct(self, at: int) -> StructOf:
        fields: list[tuple[Expression, Expression]] = []
        if self._accept("}"):
            return StructOf((), at)
        while True:
            key: Expression
            key = Literal(self._take().value, self._next.position) if self._next.kind == QUOTED else self._expression()
            self._expect(":")
            fields.append((key, self._expression()))
            if not self._accept(","):
                self._expect("}")
                return StructOf(tuple(fields), at)

    def _number(self, token: Token) -> int | float:
        if len(token.value) > LONGEST_NUMBER:
            raise self._error(f"a number has at most {LONGEST_NUMBER} digits", token.position)
        if token.value.isdigit():
            return int(token.value)
        number = float(token.value)
        if number in (float("inf"), float("-inf")):
            raise self._error("this number is too large", token.position)
        return number

    def _ion(self, token: Token) -> str | int | float | bool | None:
        text = token.value.strip()
        if text in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[text]
        if text[:1] in "\"'" and text[-1:] == text[:1] and len(text) > 1:
            return text[1:-1]
        if values.NUMBER.fullmatch(text) is None:
            return text  # a time, or a symbol
        number = self._number(Token(NUMBER, text.lstrip("+-"), token.position))
        return -number if text.startswith("-") else number

    def _postfix(self, value: Expression) -> Expression:
        while True:
            at = self._next.position
            if self._accept("."):
                token = self._take()
                if token.kind not in (WORD, QUOTED):
                    raise self._error("the name of a field is expected after the dot", token.position)
                value = Step(value, Literal(token.value, token.position), at)
            elif self._accept("["):
                key = self._expression()
                self._expect("]")
                value = Step(value, key, at)
            else:
                return value

    def _word(self, token: Token, at: int) -> Expression:
        word = token.value.upper()
        constants = {"TRUE": True, "FALSE": False, "NULL": None, "MISSING": MISSING}
        if word in constants:
            self._take()
            return Literal(constants[word], at)
        if word == "NOT":
            self._take()
            return Unary("NOT", self._expression(3), at)
        if word == "CASE":
            return self._case(at)
        following = self._tokens[self._at + 1]
        if following.kind == SIGN and following.value == "(":
            return self._call(word, at)
        if word in RESERVED and word != "VALUE":
            raise self._error(
                f"a value is expected here, not {token.value!r}",
                suggestion=f'in double quotes it may be a name: "{token.value}"',
            )
        return Name(self._take().value, at)

    def _case(self, at: int) -> Case:
        self._expect("CASE")
        subject = None if self._is("WHEN") else self._expression()
        branches: list[tuple[Expression, Expression]] = []
        while self._accept("WHEN"):
            condition = self._expression()
            self._expect("THEN")
            branches.append((condition, self._expression()))
        if not branches:
            raise self._error(f"WHEN is expected here, not {self._shown()}")
        otherwise = self._expression() if self._accept("ELSE") else None
        self._expect("END")
        return Case(subject, tuple(branches), otherwise, at)

    def _call(self, name: str, at: int) -> Expression:  # noqa: C901, PLR0912 - some have a grammar of their own
        self._at += 2
        if name in AGGREGATES:
            return self._aggregate(name, at)
        if name not in FUNCTIONS:
            hint = nearest(name, [*FUNCTIONS, *AGGREGATES]).removeprefix("; ")
            raise self._error(f"there is no function {name}", at, hint)
        word = ""
        arguments: list[Expression] = []
        if name == "CAST":
            arguments.append(self._expression())
            self._expect("AS")
            word = self._type()
            self._expect(")")
        elif name == "EXTRACT":
            word = self._date_part()
            self._expect("FROM")
            arguments.append(self._expression())
            self._expect(")")
        elif name == "TRIM":
            word = next((side for side in ("LEADING", "TRAILING", "BOTH") if self._accept(side)), "BOTH")
            if not self._accept("FROM"):
                arguments.append(self._expression())
                if self._accept("FROM"):
                    arguments.append(self._expression())
            else:
                arguments.append(self._expression())
            self._expect(")")
        elif name == "SUBSTRING":
            arguments.append(self._expression())
            comma = self._accept(",")
            if not comma:
                self._expect("FROM")
            arguments.append(self._expression())
            if self._accept("," if comma else "FOR"):
                arguments.append(self._expression())
            self._expect(")")
        elif name == "EXISTS" and self._is("SELECT"):
            arguments.append(Subquery(self._select(), at))
            self._expect(")")
        else:
            if name in ("DATE_ADD", "DATE_DIFF"):
                word = self._date_part()
                self._expect(",")
            arguments += self._list(")")
        low, high = FUNCTIONS[name]
        if not low <= len(arguments) <= high:
            wanted = f"{low}" if low == high else f"{low} to {high}"
            raise self._error(f"{name} takes {wanted} arguments, got {len(arguments)}", at)
        return Call("CHAR_LENGTH" if name == "CHARACTER_LENGTH" else name, tuple(arguments), word, at)

    def _date_part(self) -> str:
        token = self._take()
        word = token.value.upper()
        if word not in DATE_PARTS:
            raise self._error(f"{', '.join(DATE_PARTS)} are parts of a time, got {token.value!r}", token.position)
        return word

    def _aggregate(self, name: str, at: int) -> Aggregate:
        if name == "COUNT" and self._accept("*"):
            self._expect(")")
            return Aggregate(name, None, at=at)
        distinct = self._accept("DISTINCT")
        argument = self._expression()
        self._expect(")")
        self._refuse_aggregates(argument)
        return Aggregate(name, argument, distinct, at)

    def _refuse_aggregates(self, expression: Expression) -> None:
        if isinstance(expression, Aggregate):
            raise self._error(f"{expression.function} stands in the list after SELECT only", expression.at)
        for below in children(expression):
            self._refuse_aggregates(below)
