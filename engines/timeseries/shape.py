"""The shape of a text: what is left when literals are taken out, so that the next time range finds its plan.

    ... WHERE hostname = 'a' AND time > now() - 12h GROUP BY 1
    ──> shape    ... WHERE hostname = § AND time > now() - § GROUP BY §
        literals 'a'  12h  1         of which 'a' and 12h become parameters: they are compared with in WHERE
                                     1 stays as it is: it is part of what the plan was made for

`cut` is a regular expression, for it runs at every call: a microsecond or two, where tokens take a hundred. Only when
a plan is made the tokens say which of the pieces are literals that may become parameters: `parameters`. A piece is
one only if a token stands at exactly its place, so a mistake of the regular expression costs a plan, no wrong answer.

A literal becomes a parameter where a run may know its value later than the plan: beside a comparison in WHERE, in IN,
in BETWEEN, in ago(...), and behind + or - there. Elsewhere (LIKE, LIMIT, GROUP BY 1, the width of a bin) it stays.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
from sqlglot import tokens

from engines.errors import Invalid
from engines.sql.grammar import tokenize
from engines.sql.types import INTERVAL_NS, TIMESTAMP_NS, VARCHAR, Type
from engines.sql.values import engine_value, type_of
from engines.timeseries.dialect import is_duration, rewritten
from engines.timeseries.durations import UNITS
from engines.timeseries.moments import moment

FIRST: Final = 1_000_000  # parameters of users have smaller numbers
Token = Any  # of sqlglot
KIND: Final = tokens.TokenType
_PIECE: Final = re.compile(
    r"""('(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | (?<![\w$@:.?])\d[\w.]*)""", re.VERBOSE | re.DOTALL
)
_DURATION: Final = re.compile(r"(\d+)(ns|us|ms|s|m|h|d)", re.IGNORECASE)
COMPARISONS: Final = {KIND.EQ, KIND.NEQ, KIND.LT, KIND.LTE, KIND.GT, KIND.GTE, KIND.BETWEEN}
SIGNS: Final = {KIND.DASH, KIND.PLUS}
CLAUSES: Final = {
    KIND.SELECT, KIND.FROM, KIND.GROUP_BY, KIND.ORDER_BY, KIND.HAVING, KIND.LIMIT, KIND.OFFSET, KIND.UNION,
    KIND.INTERSECT, KIND.EXCEPT, KIND.WINDOW, KIND.WITH,
}  # fmt: skip


def cut(text: str) -> tuple[str, list[str]]:
    """The shape of a text, and its pieces that may be literals, in order."""
    pieces = _PIECE.split(text)
    return "\0".join(pieces[::2]), pieces[1::2]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A literal that is known when the statement runs. piece: which of the text's; number: of the Bound."""

    piece: int
    number: int
    type: Type
    moment: bool = False  # TIMESTAMP '...': a text that is a time


def value_of(piece: str, *, as_moment: bool = False) -> tuple[Any, Type] | None:
    """The engine value and the type of a literal; None for what is none, or is better left to the binder."""
    if piece[0] == "'":
        if not as_moment:
            return piece[1:-1].replace("''", "'").encode(), VARCHAR
        try:
            return moment(piece[1:-1]), TIMESTAMP_NS
        except Invalid:
            return None
    found = _DURATION.fullmatch(piece)
    if found:
        time = int(found[1]) * UNITS[found[2].lower()]
        return ((0, time), INTERVAL_NS) if 0 < time < 2**63 else None
    if not piece.isascii() or not piece.replace(".", "", 1).isdigit() or len(piece) > 30:
        return None
    value = Decimal(piece) if "." in piece else int(piece)
    type = type_of(value)
    return engine_value(value, type), type


def python_value(value: Any, type: Type) -> Any:  # noqa: ANN401 - an engine value
    """What a user would have passed for it as a parameter: the binder asks for its type."""
    if type == VARCHAR:
        return value.decode()
    if type == INTERVAL_NS:
        return np.timedelta64(value[1], "ns")
    if type == TIMESTAMP_NS:
        return np.datetime64(value, "ns")
    return Decimal(value).scaleb(-type.scale) if type.decimal else value


def parameters(text: str, pieces: Sequence[str]) -> tuple[list[Parameter], list[Token]]:
    """The literals that become parameters, and the tokens of the text with parameters in their places."""
    found = tokenize(text, "trino")
    starts: dict[int, int] = {}
    end = 0
    for number, literal in enumerate(pieces):
        end = text.index(literal, end)
        starts[end] = number
        end += len(literal)
    chosen = []
    made: list[Token] = []
    walk = _Walk()
    skip = 0
    for i, token in enumerate(found):
        if skip:
            skip -= 1
            continue
        after = found[i + 1] if i + 1 < len(found) else None
        place = _Place(found, i, after)
        walk.see(place)
        piece = starts.get(place.start)
        if piece is None or place.stop - place.start != len(pieces[piece]) or not walk.free(place):
            made.append(token)
            continue
        as_moment = made[-1].token_type is KIND.TIMESTAMP if made else False
        valued = value_of(pieces[piece], as_moment=as_moment)
        if valued is None:
            made.append(token)
            continue
        if as_moment:
            made.pop()
        number = FIRST + piece
        chosen.append(Parameter(piece, number, valued[1], as_moment))
        made.append(tokens.Token(KIND.PARAMETER, "$", token.line, token.col, token.start, token.end))
        made.append(tokens.Token(KIND.NUMBER, str(number), token.line, token.col, token.start, token.end))
        skip = place.count - 1
    return chosen, rewritten(made)


class _Place:
    """A token, and what stands around it. A duration is two tokens."""

    def __init__(self, found: Sequence[Token], at: int, after: Token | None) -> None:
        self.token = found[at]
        self.before = found[at - 1] if at else None
        self.earlier = found[at - 2] if at > 1 else None
        self.kind = self.token.token_type
        self.start = self.token.start
        duration = after is not None and is_duration(self.token, after)
        self.count = 2 if duration else 1
        last = after if duration and after is not None else self.token
        self.stop = last.end + 1


class _Walk:
    """Where in a statement a token stands: WHERE or not, by depth of parentheses."""

    def __init__(self) -> None:
        self.where = [False]
        self.inside = [""]  # what an opening parenthesis stood behind: "in", "ago", or nothing
        self.between = [False]

    def see(self, place: _Place) -> None:
        kind, before = place.kind, place.before
        if kind is KIND.L_PAREN:
            word = before.text.lower() if before is not None else ""
            self.where.append(self.where[-1])
            self.inside.append(word)
            self.between.append(False)
        elif kind is KIND.R_PAREN and len(self.where) > 1:
            self.where.pop()
            self.inside.pop()
            self.between.pop()
        elif kind is KIND.WHERE:
            self.where[-1] = True
        elif kind in CLAUSES:
            self.where[-1] = False
        elif kind is KIND.BETWEEN:
            self.between[-1] = True

    def free(self, place: _Place) -> bool:
        """Whether a literal here may be known later. To be asked once for each token, in order."""
        before = place.before
        if not self.where[-1] or before is None or place.kind not in {KIND.STRING, KIND.NUMBER}:
            return False
        kind = before.token_type
        if kind is KIND.TIMESTAMP and place.earlier is not None:
            kind = place.earlier.token_type
        if kind in COMPARISONS:
            return True
        if kind is KIND.AND:
            pending, self.between[-1] = self.between[-1], False
            return pending
        if kind in {KIND.L_PAREN, KIND.COMMA}:
            return self.inside[-1] == "in" or (self.inside[-1] == "ago" and kind is KIND.L_PAREN)
        if kind in SIGNS and place.earlier is not None:
            return place.earlier.token_type in {KIND.R_PAREN, KIND.CURRENT_TIMESTAMP, *COMPARISONS}
        return False
