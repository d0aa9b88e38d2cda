"""Conditions, operands and values in PartiQL: the Pratt parser of syntax.py with other words, names and constants.

What differs: names may stand in double quotes, and only this grammar's own words have to. Values are written, or ? for
one from outside. Functions may be written in any case. != is <>, NOT IN and NOT BETWEEN are one word each, IS asks for
the type, parentheses may be doubled.

Each name becomes a placeholder #_0, #_1, ... in the tree, each value :_0, :_1, ...; names, literals and shown say what
they stand for.
"""

import re
from collections.abc import Callable, Iterator
from typing import ClassVar, NoReturn

from engines.errors import nearest
from engines.kv.partiql.tree import Collection, Constant, Literal, Parameter
from engines.kv.syntax import POWERS, Call, Condition, Node, Not, Operand, Parser, Part, Path, Token, Value, tokens
from engines.kv.values import TYPES, number

# --- tokens ---

_TOKEN = re.compile(
    r"""(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<quoted>"(?:[^"]|"")+")|(?P<string>'(?:[^']|'')*')"""
    r"""|(?P<number>[0-9]+\.[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)"""
    r"""|(?P<index>[0-9]+)|(?P<sign><<|>>|<>|<=|>=|!=|[=<>(),.\[\]{}:*?+-])|(?P<space>\s+)"""
)
_CHARACTERS = {
    "'": "a text ends with ', and a ' inside is written ''",
    '"': 'a name in double quotes ends with ", and has at least one character',
    ";": "execute one statement at a time, without ;",
    "!": "not equal is written <> or !=",
    "`": 'names stand in double quotes: "order"',
    "#": "here names need no placeholder: put reserved words into double quotes",
    "$": "a value from outside is written ?",
    "&": "write AND",
    "|": "write OR",
}
_KEYWORDS = frozenset(
    re.findall(
        "[A-Z]+",
        "SELECT FROM WHERE ORDER BY ASC DESC AND OR NOT IN IS BETWEEN INSERT INTO VALUE UPDATE SET REMOVE DELETE "
        "RETURNING EXISTS MISSING NULL TRUE FALSE",
    )
)
_WORDS = {"TRUE": True, "FALSE": False, "NULL": None}
_KINDS = {kind: kind for kind in TYPES} | {
    "STRING": "S",
    "NUMBER": "N",
    "BINARY": "B",
    "BOOLEAN": "BOOL",
    "MAP": "M",
    "STRUCT": "M",
    "LIST": "L",
    "STRING_SET": "SS",
    "NUMBER_SET": "NS",
    "BINARY_SET": "BS",
}
_PLACEHOLDER = re.compile(r"[#:]_[0-9]+")
_OPERAND = "expected an attribute, a value or a function"


def _unquoted(token: Token) -> str:
    """A text or a name without its quotes; those inside are doubled."""
    quote = token.text[0]
    return token.text[1:-1].replace(quote * 2, quote)


# --- the parser ---


class ConditionParser(Parser):
    """Reads a part of a statement."""

    powers = POWERS | dict.fromkeys(("!=", "IS", "NOT"), POWERS["="])
    brackets: ClassVar = {"(": ")", "[": "]"}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.names: dict[str, str] = {}  # name -> placeholder
        self.literals: dict[str, Literal] = {}
        self.shown: dict[str, str] = {}
        self.parameters = 0

    def read_tokens(self, text: str) -> Iterator[Token]:
        return tokens(text, _TOKEN, _CHARACTERS, "a statement has no {} here")

    # errors

    def fail(self, message: str, where: Token | Call | None = None, hint: str = "") -> NoReturn:
        super().fail(self.readable(message), where, self.readable(hint))

    def readable(self, text: str) -> str:
        text = _PLACEHOLDER.sub(lambda match: self.shown.get(match.group(), match.group()), text)
        return text.replace(":value", "?").replace("the expression ends", "the statement ends")

    # conditions

    def grouped(self, read: Callable[[], Part]) -> Part:
        """Parentheses may be doubled here: no text of ours keeps them."""
        self.take("(")
        node = read()
        self.take(")")
        return node

    def infix(self, left: Node, token: Token) -> Condition:
        match token.keyword:
            case "NOT":
                return Not(super().infix(left, self.take("IN", "BETWEEN")), token.at)
            case "IS":
                return self.type_test(left, token)
            case "!=":
                token = token._replace(text="<>")
        return super().infix(left, token)

    def type_test(self, left: Node, token: Token) -> Condition:
        if not isinstance(left, Path):
            self.fail(f"IS asks about an attribute, and {left} is none", token)
        negated = self.token.keyword == "NOT"
        self.index += negated
        word = self.token.keyword
        if word == "MISSING":
            self.index += 1
            return Call("attribute_exists" if negated else "attribute_not_exists", (left,), token.at)
        if word not in _KINDS:
            known = ("MISSING", *_KINDS)
            self.fail(
                f"after IS stands MISSING or a type, {self.found()}", hint=nearest(word, known).removeprefix("; ")
            )
        kind = self.noted(Constant(_KINDS[word]), self.token)
        self.index += 1
        test = Call("attribute_type", (left, kind), token.at)
        return Not(test, token.at) if negated else test

    # operands

    def operand(self) -> Operand:
        token = self.token
        if token.kind == "word" and self.tokens[self.index + 1].text == "(" and token.keyword not in _KEYWORDS:
            return self.call()
        if token.kind == "quoted" or (token.kind == "word" and token.keyword not in _KEYWORDS):
            return self.path()
        if token.keyword == "MISSING":
            self.fail("nothing equals MISSING", hint="write IS MISSING or IS NOT MISSING")
        if token.keyword == "EXISTS":
            self.fail("EXISTS is a statement of its own, in a transaction")
        if token.text == "=" and self.tokens[self.index - 1].text == "=":
            self.fail(f"{_OPERAND}, found '='", hint="equal is written with one =")
        if token.kind in ("sign", "end") and token.text not in ("?", "-", "[", "{", "<<"):
            self.fail(f"{_OPERAND}, {self.found()}")
        if token.kind == "word" and token.keyword not in _WORDS:
            self.fail(f"{_OPERAND}, {self.found()}", hint=f'an attribute of that name is written "{token.text}"')
        start = self.index
        literal = self.literal()
        return self.noted(literal, self.tokens[start], self.tokens[self.index - 1])

    def noted(self, literal: Literal, first: Token, last: Token | None = None) -> Value:
        """The placeholder for a value that stands from one token to another."""
        name, last = f":_{len(self.literals)}", last or first
        self.literals[name] = literal
        self.shown[name] = self.text[first.at : last.at + len(last.text)]
        if isinstance(literal, Parameter):
            self.shown[name] = f"parameter {literal.number + 1}"
        return Value(name, first.at)

    def function(self, token: Token) -> str:
        return token.text.lower()

    def check_call(self, call: Call) -> None:
        if not isinstance(call.arguments[0], Path) and call.function != "list_append":
            self.fail(f"the first argument of {call.function} is an attribute, got {call.arguments[0]}", call)
        if any(isinstance(argument, Call) and argument.function != "size" for argument in call.arguments):
            self.fail(f"a function can not be an argument of {call.function}", call)

    def name(self) -> str:
        name = self.identifier()
        placeholder = self.names.setdefault(name, f"#_{len(self.names)}")
        self.shown[placeholder] = name
        return placeholder

    def identifier(self) -> str:
        token = self.token
        if token.kind == "quoted":
            self.index += 1
            return _unquoted(token)
        hint = ""
        if token.keyword in _KEYWORDS:
            hint = f'as a name it is written "{token.text}"'
        elif token.kind == "string":
            hint = "names stand in double quotes, texts in single ones"
        elif token.kind == "word":
            self.index += 1
            return token.text
        return self.fail(f"expected a name, {self.found()}", hint=hint)

    # values

    def literal(self) -> Literal:
        token = self.token
        self.index += 1
        if token.text in ("{", "[", "<<"):
            self.descend()
            made = self.map() if token.text == "{" else self.elements(token.text)
            self.depth -= 1
            return made
        if token.text == "?":
            self.parameters += 1
            return Parameter(self.parameters - 1)
        if token.keyword in _WORDS:
            return Constant(_WORDS[token.keyword])
        return self.text_or_number(token)

    def text_or_number(self, token: Token) -> Constant:
        if token.kind == "string":
            return Constant(_unquoted(token))
        sign = ""
        if token.text == "-":
            sign, token = "-", self.token
            self.index += 1
        if token.kind in ("number", "index"):
            return Constant(number(sign + token.text))
        self.index -= 1
        hint = ""
        if token.kind in ("quoted", "word"):
            hint = "texts stand in single quotes, other values from outside are written ?"
        return self.fail(f"expected a value, {self.found()}", hint=hint)

    def elements(self, opened: str) -> Collection:
        kind, close = ("L", "]") if opened == "[" else ("S", ">>")
        parts: list[Literal] = []
        while self.token.text != close:
            if parts:
                self.take(",")
            parts.append(self.literal())
        self.take(close)
        return Collection(kind, (), tuple(parts))

    def map(self) -> Collection:
        parts: dict[str, Literal] = {}
        first = True
        while self.token.text != "}":
            if not first:
                self.take(",")
            first = False
            token = self.token
            if token.kind != "string":
                self.fail(f"the names in a map are texts, {self.found()}", hint="write {'name': value}")
            name = _unquoted(token)
            self.index += 1
            self.take(":")
            if name in parts:
                self.fail(f"the map has two values for {name!r}", token)
            if self.token.keyword == "MISSING":
                self.index += 1
                continue
            parts[name] = self.literal()
        self.take("}")
        return Collection("M", tuple(parts), tuple(parts.values()))
