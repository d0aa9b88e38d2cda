"""Expressions as text: a lexer and a Pratt parser that make a small immutable tree. expressions.py gives it meaning.

    condition   operand (= <> < <= > >=) operand | operand BETWEEN operand AND operand | operand IN (operand, ...)
                function(...) | NOT condition | condition AND condition | condition OR condition | (condition)
    operand     path | :value | size(path)
    path        name, then .name or [index]; a name is a word that is not reserved, or a placeholder #name
    function    attribute_exists(path)  attribute_not_exists(path)  attribute_type(path, operand)
                begins_with(path, operand)  contains(path, operand)

A Pratt parser (Pratt, POPL 1973) gives each infix operator a binding power: OR 1, AND 2, NOT 3, comparisons 4. One loop
reads an operator as long as it binds more tightly than the one before; so BETWEEN reads its bounds at power 4, and the
AND between them is its own. Keywords may be written in any case, function names may not: as in the service.

A tree knows its placeholders but not what they stand for, so it is cached by text. Mistakes of grammar are QueryErrors
with a caret; words that are grammatical but not allowed (reserved, a constant for a path) are Invalid.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, NamedTuple, NoReturn, TypeVar

from engines.errors import Invalid, QueryError, nearest
from engines.kv.reserved import RESERVED
from engines.kv.values import EXPRESSION_BYTES, IN_VALUES, NESTING, OPERATORS

DEEPEST = 100  # parentheses, NOTs and functions inside each other: far from Python's own limit
Part = TypeVar("Part")


# --- the tree ---


@dataclass(frozen=True, slots=True)
class Path:
    """Where an attribute is: names, still with # where they are placeholders, and list indexes."""

    parts: tuple[str | int, ...]
    at: int = field(compare=False)  # the position in the text; of each node, for errors

    def __str__(self) -> str:
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.parts)[1:]


@dataclass(frozen=True, slots=True)
class Value:
    """A placeholder :name for a constant."""

    name: str
    at: int = field(compare=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Call:
    """A function; its arguments are operands. Of a condition's functions, size is the only operand itself."""

    function: str
    arguments: tuple["Operand", ...]
    at: int = field(compare=False)

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.arguments))})"


Operand = Path | Value | Call


@dataclass(frozen=True, slots=True)
class Compare:
    """left = right, and the other five operators."""

    operator: str
    left: Operand
    right: Operand
    at: int = field(compare=False)

    def __str__(self) -> str:
        return f"{self.left} {self.operator} {self.right}"


@dataclass(frozen=True, slots=True)
class Between:
    """operand BETWEEN low AND high, both included."""

    operand: Operand
    low: Operand
    high: Operand
    at: int = field(compare=False)

    def __str__(self) -> str:
        return f"{self.operand} BETWEEN {self.low} AND {self.high}"


@dataclass(frozen=True, slots=True)
class In:
    """operand IN (options)."""

    operand: Operand
    options: tuple[Operand, ...]
    at: int = field(compare=False)

    def __str__(self) -> str:
        return f"{self.operand} IN ({', '.join(map(str, self.options))})"


@dataclass(frozen=True, slots=True)
class Not:
    """NOT condition."""

    condition: "Condition"
    at: int = field(compare=False)

    def __str__(self) -> str:
        return f"NOT {_inside(self.condition)}"


@dataclass(frozen=True, slots=True)
class Joined:
    """Two or more conditions with AND, or with OR, between them."""

    operator: str
    conditions: tuple["Condition", ...]
    at: int = field(compare=False)

    def __str__(self) -> str:
        return f" {self.operator} ".join(map(_inside, self.conditions))


Condition = Compare | Between | In | Not | Joined | Call
Node = Condition | Path | Value


def _inside(condition: Condition) -> str:
    return f"({condition})" if isinstance(condition, Joined) else str(condition)


# --- tokens ---


class Token(NamedTuple):
    """One word of the text: its kind, and where it begins."""

    kind: str  # word #name :value index sign end
    text: str
    at: int

    @property
    def keyword(self) -> str:
        return self.text.upper() if self.kind == "word" else self.text


_TOKEN = re.compile(
    r"(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<name>\#[A-Za-z0-9_]+)|(?P<value>:[A-Za-z0-9_]+)|(?P<index>[0-9]+)"
    r"|(?P<sign><>|<=|>=|[=<>(),.\[\]+-])|(?P<space>\s+)"
)
_HINTS = {
    "'": "write a placeholder like :name, and pass the text in values",
    '"': "write a placeholder like :name, and pass the text in values",
    "!": "not equal is written <>",
    "&": "write AND",
    "|": "write OR",
    "#": "a name placeholder is # and letters, digits or _",
    ":": "a value placeholder is : and letters, digits or _",
    "`": "write a placeholder like #name, and pass the name in names",
    "*": "expressions only add and subtract; for all attributes leave the projection out",
    "/": "expressions only add and subtract",
}


def tokens(text: str, pattern: re.Pattern[str], hints: Mapping[str, str], refusal: str) -> Iterator[Token]:
    """The tokens of a text and, last, one of kind "end". QueryError at what begins none.

    pattern: its groups are the kinds. hints: what to write in place of a character. refusal: the error, with a {} for
    the character.
    """
    at = 0
    while at < len(text):
        match = pattern.match(text, at)
        if match is None:
            hint = hints.get(text[at], "")
            raise QueryError(refusal.format(repr(text[at])), text=text, position=at, suggestion=hint)
        if match.lastgroup != "space":
            yield Token(str(match.lastgroup), match.group(), at)
        at = match.end()
    yield Token("end", "", len(text))


# --- the parser ---

POWERS = {"OR": 1, "AND": 2, "=": 4, "<>": 4, "<": 4, "<=": 4, ">": 4, ">=": 4, "BETWEEN": 4, "IN": 4}
NOT_POWER, COMPARING = 3, 4
CONDITION_FUNCTIONS = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
    "size": 1,
}


class Parser:
    """Reads one expression from left to right. A grammar is a method that reads from here on: condition() is one.

    Grammars with other words or operands (updatesyntax.py, partiql/conditions.py) say which tokens, operators and
    functions they have, and what check_call() asks of a call.
    """

    functions: Mapping[str, int] = CONDITION_FUNCTIONS  # how many arguments each takes
    powers: ClassVar[Mapping[str, int]] = POWERS
    brackets: ClassVar[Mapping[str, str]] = {"(": ")"}  # around what follows IN

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self.read_tokens(text))
        self.index = 0
        self.depth = 0
        self.operators = 0
        self.group = (-1, -1)  # the tokens that opened and closed the last pair of parentheses

    def read_tokens(self, text: str) -> Iterator[Token]:
        return tokens(text, _TOKEN, _HINTS, "an expression has no character {}")

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def fail(self, message: str, where: Token | Call | None = None, hint: str = "") -> NoReturn:
        at = (where or self.token).at
        raise QueryError(message, text=self.text, position=at, suggestion=hint)

    def take(self, *expected: str) -> Token:
        """The next token, if it is one of these keywords or signs; else a QueryError."""
        token = self.token
        if token.keyword not in expected:
            self.fail(f"expected {' or '.join(map(repr, expected))}, {self.found()}")
        self.index += 1
        return token

    def found(self) -> str:
        return f"found {self.token.text!r}" if self.token.kind != "end" else "but the expression ends here"

    def end(self) -> None:
        """QueryError unless all is read."""
        if self.token.kind != "end":
            self.fail(f"the expression should end here, {self.found()}")

    def separated(self, read: Callable[[], Part]) -> list[Part]:
        """What read() reads, once and again after each comma."""
        parts = [read()]
        while self.token.text == ",":
            self.index += 1
            parts.append(read())
        return parts

    def until(self, close: str, read: Callable[[], Part]) -> list[Part]:
        """The same, and the sign that closes the list."""
        parts = [read()]
        while self.take(",", close).text == ",":
            parts.append(read())
        return parts

    def count(self, token: Token) -> None:
        self.operators += 1
        if self.operators > OPERATORS:
            raise Invalid(f"an expression has at most {OPERATORS} operators and functions; {token.text!r} is one more")

    def descend(self) -> None:
        """One level deeper; whoever goes down takes self.depth back up."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise Invalid(f"an expression has at most {DEEPEST} parentheses, NOTs and functions inside each other")

    def grouped(self, read: Callable[[], Part]) -> Part:
        """What read() reads between ( and ). Invalid where a second pair stands around the same."""
        opened = self.index
        self.take("(")
        node = read()
        self.take(")")
        if self.group == (opened + 1, self.index - 2):
            raise Invalid(f"the parentheses around ({node}) are doubled: leave one pair out")
        self.group = (opened, self.index - 1)
        return node

    # conditions

    def condition(self, power: int = 0) -> Condition:
        """A condition whose operators bind more tightly than power."""
        node = self.node(power)
        if isinstance(node, Path | Value) or (isinstance(node, Call) and node.function == "size"):
            self.fail(f"{node} alone is no condition, {self.found()}", hint=f"compare it: {node} = :value")
        return node

    def node(self, power: int) -> Node:
        node = self.prefix()
        while self.powers.get(self.token.keyword, 0) > power:
            token = self.token
            self.index += 1
            self.count(token)
            node = self.infix(node, token)
        return node

    def prefix(self) -> Node:
        token = self.token
        if token.keyword not in ("NOT", "("):
            return self.operand()
        self.descend()
        if token.keyword == "NOT":
            self.index += 1
            self.count(token)
            node: Condition = Not(self.condition(NOT_POWER), token.at)
        else:
            node = self.grouped(self.condition)
        self.depth -= 1
        return node

    def infix(self, left: Node, token: Token) -> Condition:
        operator = token.keyword
        if operator in ("AND", "OR"):
            return _joined(operator, self.joinable(left, token), self.condition(POWERS[operator]), token.at)
        operand = self.comparable(left, token)
        if operator == "BETWEEN":
            low = self.comparable(self.operand(), token)
            self.take("AND")
            return Between(operand, low, self.comparable(self.operand(), token), token.at)
        if operator == "IN":
            return In(operand, self.options(token), token.at)
        return Compare(operator, operand, self.comparable(self.operand(), token), token.at)

    def joinable(self, left: Node, token: Token) -> Condition:
        if isinstance(left, Path | Value) or (isinstance(left, Call) and left.function == "size"):
            self.fail(f"{token.keyword} joins conditions, {left} is none", token, f"compare it: {left} = :value")
        return left

    def comparable(self, left: Node, token: Token) -> Operand:
        if isinstance(left, Path | Value) or (isinstance(left, Call) and left.function == "size"):
            return left
        return self.fail(
            f"{token.keyword} compares operands, and {left} is a condition", token, "join them with AND or OR"
        )

    def options(self, token: Token) -> tuple[Operand, ...]:
        close = self.brackets[self.take(*self.brackets).text]
        options = self.until(close, lambda: self.comparable(self.operand(), token))
        if len(options) > IN_VALUES:
            raise Invalid(f"IN takes at most {IN_VALUES} values, got {len(options)}: ask several times")
        return tuple(options)

    # operands

    def operand(self) -> Operand:
        """A path, a value, or a function. Conditions that are functions come this way too; see condition()."""
        token = self.token
        if token.kind == "value":
            self.index += 1
            return Value(token.text, token.at)
        if (
            token.kind == "word"
            and self.tokens[self.index + 1].text == "("
            and token.keyword not in ("AND", "OR", "IN")
        ):
            return self.call()
        if token.kind in ("word", "name"):
            return self.path()
        hint = "write a placeholder like :n, and pass the number in values" if token.kind == "index" else ""
        if token.text == "=" and self.tokens[self.index - 1].text == "=":
            hint = "equal is written with one ="
        return self.fail(f"expected an attribute, a :value or a function, {self.found()}", hint=hint)

    def call(self) -> Call:
        token = self.token
        name = self.function(token)
        size = self.functions.get(name)
        if size is None:
            hint = nearest(name.lower(), self.functions).removeprefix("; ")
            self.fail(f"there is no function {token.text!r} here", hint=hint)
        self.count(token)
        self.descend()
        self.index += 1
        self.take("(")
        arguments = self.until(")", self.operand)
        if len(arguments) != size:
            self.fail(f"{name} takes {size} argument{'s' * (size > 1)}, got {len(arguments)}", token)
        self.depth -= 1
        call = Call(name, tuple(arguments), token.at)
        self.check_call(call)
        return call

    def function(self, token: Token) -> str:
        """The name of the function that a word means."""
        return token.text

    def check_call(self, call: Call) -> None:
        """Invalid for arguments that may not stand there."""
        if not isinstance(call.arguments[0], Path):
            raise Invalid(f"the first argument of {call.function} is an attribute, got {call.arguments[0]}")
        if any(isinstance(argument, Call) and argument.function != "size" for argument in call.arguments):
            raise Invalid(f"a condition can not be an argument of {call.function}")

    def path(self) -> Path:
        start = self.token.at
        parts: list[str | int] = [self.name()]
        while self.token.text in (".", "["):
            if self.take(".", "[").text == ".":
                parts.append(self.name())
                continue
            index = self.token
            if index.kind != "index":
                self.fail(f"a list is indexed with a number from 0, {self.found()}")
            self.index += 1
            self.take("]")
            parts.append(int(index.text[:10]))  # more digits than any list has elements
        if len(parts) > NESTING + 1:
            raise Invalid(f"a path goes at most {NESTING} levels into an item, got {len(parts) - 1}")
        return Path(tuple(parts), start)

    def name(self) -> str:
        token = self.token
        if token.kind not in ("word", "name"):
            self.fail(f"expected the name of an attribute, {self.found()}")
        if token.kind == "word" and token.text.lower() in RESERVED:
            raise Invalid(
                f"{token.text!r} is a reserved word, at character {token.at + 1}: write #{token.text} instead "
                f"and pass names={{'#{token.text}': '{token.text}'}}"
            )
        self.index += 1
        return token.text


def _joined(operator: str, left: Condition, right: Condition, at: int) -> Joined:
    """One node for a AND b AND c: the tree stays flat however long the chain is."""
    if isinstance(left, Joined) and left.operator == operator:
        return Joined(operator, (*left.conditions, right), left.at)
    return Joined(operator, (left, right), at)


@lru_cache(512)
def parse_condition(text: str) -> Condition:
    """The tree of a condition, kept for the last 512 texts."""
    parser = Parser(checked(text))
    node = parser.condition()
    parser.end()
    return node


def checked(text: str) -> str:
    """The text of an expression, if there is one of at most 4 KB."""
    size = len(text.encode(errors="replace"))
    if size > EXPRESSION_BYTES:
        raise Invalid(
            f"an expression has at most {EXPRESSION_BYTES:,} bytes, got {size:,}: use #short names and :values"
        )
    if not text.strip():
        raise Invalid("an expression can not be empty: leave the argument out")
    return text
