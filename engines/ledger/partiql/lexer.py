"""PartiQL text as tokens.

words       SELECT, v, _ql_committed_Vehicle       "quoted name"        'text, with '' for a quote'
numbers     17  1.5  .5  2e3                       `2024-01-01T00:00:00Z`  an Ion literal: a time, a number, a text
signs       ( ) [ ] { } << >> , . : ; ? * + - / % || = <> != < <= > >= @
comments    -- to the end of the line              /* up to here */
"""

import re
from typing import Final, NamedTuple

from engines.errors import QueryError
from engines.ledger.partiql.words import RESERVED

WORD, QUOTED, TEXT, NUMBER, ION, SIGN, END = "word", "quoted", "text", "number", "ion", "sign", "end"

_TOKEN: Final = re.compile(
    r"""
      (?P<skip>   \s+ | --[^\n]* | /\*.*?\*/ )
    | (?P<open>   /\* )
    | (?P<word>   [A-Za-z_$][A-Za-z_0-9$]* )
    | (?P<quoted> "(?:[^"]|"")*" )
    | (?P<text>   '(?:[^']|'')*' )
    | (?P<number> (?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)? )
    | (?P<ion>    `[^`]*` )
    | (?P<sign>   << | >> | <> | != | <= | >= | \|\| | [()\[\]{},.:;?*+\-/%=<>@] )
    """,
    re.VERBOSE | re.DOTALL,
)

_HINTS: Final = {"&": "write AND", "|": "write OR, or || to join texts", "!": "write NOT, or <> between two values"}


class Token(NamedTuple):
    """kind, what it says (a word's own letters; a text without its quotes), where it begins.

    keyword: a word in capitals, or a sign; nothing for others, so that the text 'from' never is FROM.
    """

    kind: str
    value: str
    position: int
    keyword: str = ""


def tokens(text: str) -> list[Token]:
    """All tokens, and END three times. QueryError where something is none."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup == "open":
            opened = {
                "/": "a comment that is not closed",
                "'": "a text that is not closed",
                '"': "a quoted name that is not closed",
                "`": "an Ion literal that is not closed",
            }
            message = opened.get(text[at], f"{text[at]!r} means nothing here")
            raise QueryError(message, text=text, position=at, suggestion=_HINTS.get(text[at], ""))
        kind, value = str(match.lastgroup), match.group()
        if kind in (QUOTED, TEXT):
            value = value[1:-1].replace(value[0] * 2, value[0])
        elif kind == ION:
            value = value[1:-1]
        if kind != "skip":
            keyword = value.upper() if kind == WORD else value if kind == SIGN else ""
            found.append(Token(kind, value, at, keyword))
        at = match.end()
    found += [Token(END, "", len(text))] * 3  # two to look ahead
    return found


class Reader:
    """Tokens from left to right, and the errors that name the place."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._at = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += token.kind != END
        return token

    def _is(self, *words: str) -> bool:
        """Whether these words or signs come next."""
        at = self._at
        if self._tokens[at].keyword != words[0]:
            return False
        return len(words) == 1 or all(self._tokens[at + i].keyword == word for i, word in enumerate(words))

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
