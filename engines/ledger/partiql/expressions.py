"""Expressions of PartiQL: a Pratt parser (Pratt, "Top Down Operator Precedence", 1973).

    OR < AND < NOT < = <> < <= > >= IN BETWEEN LIKE IS < || < + - < * / % < - (sign) < . [ ]

x IN (a) and x IN (a, b) are lists, x IN a is whatever a holds. @t is PartiQL's way to insist that t is what FROM has
bound, and no table.
"""

from collections.abc import Iterator
from typing import Final

from engines.errors import nearest
from engines.ledger.partiql import values
from engines.ledger.partiql.lexer import ION, NUMBER, QUOTED, SIGN, TEXT, WORD, Reader, Token
from engines.ledger.partiql.nodes import (
    MISSING,
    Aggregate,
    Between,
    Binary,
    Call,
    Case,
    Expression,
    Is,
    Like,
    ListOf,
    Literal,
    Name,
    Parameter,
    Select,
    Step,
    StructOf,
    Subquery,
    Unary,
)  # fmt: skip
from engines.ledger.partiql.words import AGGREGATES, DATE_PARTS, FUNCTIONS, RESERVED, TYPES

DEEPEST: Final = 100
LONGEST_CHAIN: Final = 200
LONGEST_NUMBER: Final = 400  # digits
COMPARISONS: Final = {"=": 4, "<>": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4}
BINDING: Final = {"||": 5, "+": 6, "-": 6, "*": 7, "/": 7, "%": 7, **COMPARISONS}
SIGN_BINDING: Final = 8


class Expressions(Reader):
    """Reads expressions; what a SELECT is, a subclass knows."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._parameters = 0
        self._aggregates = False  # whether COUNT may stand here

    def _select(self) -> Select:
        raise NotImplementedError

    def _expression(self, binding: int = 0) -> Expression:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._error(f"this is nested more than {DEEPEST} deep: take it apart")
        left = self._postfix(self._first())
        for _ in self._links():
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
        doubled = token.value == "=" == self._tokens[self._at - 1].value
        hint = "equal is written with one =" if doubled else ""
        raise self._error(f"a value is expected here, not {self._shown()}", suggestion=hint)

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

    def _links(self) -> Iterator[int]:
        """As often as a chain, 1 + 1 + 1 or a.b.c, may go on: each link nests the tree by one."""
        yield from range(LONGEST_CHAIN)
        raise self._error(f"this is nested more than {LONGEST_CHAIN} deep: take it apart")

    def _postfix(self, value: Expression) -> Expression:
        for _ in self._links():
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
                break
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
        if not self._aggregates:
            raise self._error(f"{name} stands in the list after SELECT only", at)
        if name == "COUNT" and self._accept("*"):
            self._expect(")")
            return Aggregate(name, None, at=at)
        distinct = self._accept("DISTINCT")
        self._aggregates = False
        argument = self._expression()
        self._aggregates = True
        self._expect(")")
        return Aggregate(name, argument, distinct, at)
