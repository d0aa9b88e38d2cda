"""PartiQL text as tokens.

words       SELECT, v, _ql_committed_Vehicle       "quoted name"        'text, with '' for a quote'
numbers     17  1.5  .5  2e3                       `2024-01-01T00:00:00Z`  an Ion literal: a time, a number, a text
signs       ( ) [ ] { } << >> , . : ; ? * + - / % || = <> != < <= > >= @
comments    -- to the end of the line              /* up to here */
"""

import re
from typing import Final, NamedTuple

from engines.errors import QueryError

WORD, QUOTED, TEXT, NUMBER, ION, SIGN, END = "word", "quoted", "text", "number", "ion", "sign", "end"

_TOKEN: Final = re.compile(
    r"""
      (?P<skip>   \s+ | --[^\n]* | /\*.*?\*/ )
    | (?P<word>   [A-Za-z_$][A-Za-z_0-9$]* )
    | (?P<quoted> "(?:[^"]|"")*" )
    | (?P<text>   '(?:[^']|'')*' )
    | (?P<number> (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? )
    | (?P<ion>    `[^`]*` )
    | (?P<sign>   << | >> | <> | != | <= | >= | \|\| | [()\[\]{},.:;?*+\-/%=<>@] )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class Token(NamedTuple):
    """kind, what it says (a word's own letters; a text without its quotes), where it begins."""

    kind: str
    value: str
    position: int


def tokens(text: str) -> list[Token]:
    """All tokens, and END. QueryError where something is none."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            opened = {
                "'": "a text that is not closed",
                '"': "a quoted name that is not closed",
                "`": "an Ion literal that is not closed",
            }
            raise QueryError(opened.get(text[at], f"{text[at]!r} means nothing here"), text=text, position=at)
        kind, value = str(match.lastgroup), match.group()
        if kind in (QUOTED, TEXT):
            value = value[1:-1].replace(value[0] * 2, value[0])
        elif kind == ION:
            value = value[1:-1]
        if kind != "skip":
            found.append(Token(kind, value, at))
        at = match.end()
    found.append(Token(END, "", len(text)))
    return found
