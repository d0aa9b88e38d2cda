"""Text -> tokens -> syntax tree: sqlglot's grammar, told to know no functions and to have no way out.

    FUNCTIONS = {}     SUM(x), NVL(a, b), DATEADD(...) arrive by their own name, as an exp.Anonymous; sqlglot would make
                       classes of its own of them, slower, and differently from version to version
    COMMANDS = {}      EXPLAIN, VACUUM, COPY come as tokens, not as one token that holds the rest of the text
    no Command         what the grammar does not understand is an error with a place, not a text that is passed on
    lists              "a,, b" and "a, FROM" are errors; sqlglot would overlook the gap
    errors             carry their token, and are made without the excerpt that nobody reads when an attempt fails

All that depends on the inside of sqlglot's parser is here.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import sqlglot
from sqlglot import exp, tokens
from sqlglot.errors import ErrorLevel, ParseError, SqlglotError, TokenError

from engines.errors import QueryError

Node = Any  # of sqlglot's tree: what lies in its args is known to the grammar only
Token = Any

OWN_SYNTAX: Final = {"CAST", "TRY_CAST", "CONVERT", "EXTRACT", "POSITION", "SUBSTRING", "TRIM"}


class _Refused(ParseError):
    """Wrong syntax at a token."""

    def __init__(self, message: str, token: Token) -> None:
        super().__init__(message, [{}])  # sqlglot notes there what it was trying
        self.token = token


def _raise_error(parser: Node, message: str, token: Token = None) -> None:
    raise _Refused(message, token or parser._curr or parser._prev)  # noqa: SLF001 - a method of the parser


def _refuse(parser: Node) -> None:
    raise _Refused("this statement is not supported", parser._tokens[0] if parser._tokens else None)  # noqa: SLF001 - see above


def _parse_list(parser: Node, parse_method: Callable[[], Any], sep: Any = tokens.TokenType.COMMA) -> list[Node]:  # noqa: ANN401 - see below
    """In the place of sqlglot's _parse_csv, which would overlook that nothing follows a comma."""
    item = parse_method()
    items = [] if item is None else [item]
    while parser._match(sep):  # noqa: SLF001 - see above
        item = parse_method()
        if item is None:
            raise _Refused("something is missing after the comma", parser._curr or parser._prev)  # noqa: SLF001 - see above
        items.append(item)
    return items


def _approximate(parser: Node) -> Node:
    """APPROXIMATE COUNT(DISTINCT x), APPROXIMATE PERCENTILE_DISC(p) WITHIN GROUP (ORDER BY x)."""
    call = parser._parse_function()  # noqa: SLF001 - see above
    if isinstance(call, exp.Anonymous) and str(call.this).lower() == "count" and call.expressions:
        inner = call.expressions[0]
        if isinstance(inner, exp.Distinct) and len(inner.expressions) == 1:
            approximate = exp.Anonymous(this="approx_count_distinct", expressions=inner.expressions)
            approximate.meta.update(call.meta)
            return approximate
    if isinstance(call, exp.WithinGroup):
        return call
    raise _Refused("APPROXIMATE stands before COUNT(DISTINCT x) or PERCENTILE_DISC", parser._curr or parser._prev)  # noqa: SLF001 - see above


def _as_value(node: Node) -> Node:
    """ARRAY(a, b)[0] is an element of that array; sqlglot would read ARRAY[0]."""
    return exp.Paren(this=node) if isinstance(node, exp.Anonymous) and str(node.this).lower() == "array" else node


@functools.cache
def grammar(name: str) -> Any:  # noqa: ANN401 - a dialect of sqlglot
    """Sqlglot's dialect of that name, changed as above."""
    known = sqlglot.Dialect.get_or_raise(name)
    base: Any = type(known)
    parser = base.Parser
    changes = {
        "FUNCTIONS": {},
        "FUNCTION_PARSERS": {key: one for key, one in parser.FUNCTION_PARSERS.items() if key in OWN_SYNTAX},
        "NO_PAREN_FUNCTION_PARSERS": {**parser.NO_PAREN_FUNCTION_PARSERS, "APPROXIMATE": _approximate},
        "raise_error": _raise_error,
        "_warn_unsupported": _refuse,
        "_parse_csv": _parse_list,
        "_parse_bracket": lambda self, this=None: parser._parse_bracket(self, _as_value(this)),  # noqa: SLF001 - see above
    }
    words = {**known.tokenizer_class.KEYWORDS, "FLOAT": tokens.TokenType.DOUBLE, "VALUES": tokens.TokenType.VALUES}
    tokenizer = type("Tokenizer", (known.tokenizer_class,), {"KEYWORDS": words, "COMMANDS": set()})
    return type("Grammar", (base,), {"Parser": type("Parser", (parser,), changes), "Tokenizer": tokenizer})()


def tokenize(text: str, dialect: str = "redshift") -> list[Token]:
    """The tokens of a text. QueryError for a text, a quoted name or a comment that does not end.

    Each `?` becomes $1, $2, ... in the order of the text: the binder meets them in another one.
    """
    try:
        found: list[Token] = grammar(dialect).tokenize(text)
    except TokenError as error:
        message = "a text, a name in quotes or a comment begins and does not end"
        raise QueryError(message, text=text, position=_opened(text)) from error
    found = list(_numbered(found)) if "?" in text else found
    if "#" in text:  # a # that stands alone is no temporary table's name, but an operator
        word, operator = tokens.TokenType.VAR, tokens.TokenType.HASH
        found = [_as(one, operator) if one.text == "#" and one.token_type is word else one for one in found]
    return found


def _as(token: Token, kind: Any, text: str | None = None) -> Token:  # noqa: ANN401 - a TokenType
    return tokens.Token(kind, token.text if text is None else text, token.line, token.col, token.start, token.end)


def _numbered(found: Sequence[Token]) -> Iterator[Token]:
    number = 0
    for token in found:
        cast = token.text == "?::"  # one token for sqlglot, whatever the type behind it
        if token.token_type is not tokens.TokenType.PLACEHOLDER and not cast:
            yield token
            continue
        number += 1
        yield _as(token, tokens.TokenType.PARAMETER, "$")
        yield _as(token, tokens.TokenType.NUMBER, str(number))
        if cast:
            yield _as(token, tokens.TokenType.DCOLON, "::")


def _opened(text: str) -> int:
    """Where the last quote stands: what does not end begins there, or ended what was meant to go on."""
    return max(text.rfind(mark) for mark in ("'", '"', "/*", "$")) if text else 0


def parse(text: str, found: Sequence[Token], dialect: str = "redshift") -> Node:
    """The syntax tree of one statement's tokens. QueryError with its place."""
    try:
        trees = grammar(dialect).parser(error_level=ErrorLevel.IMMEDIATE).parse(list(found), text)
    except _Refused as error:
        raise _told(text, found, error) from None
    except SqlglotError as error:
        raise QueryError(str(error).splitlines()[0], text=text) from error
    except RecursionError:
        raise QueryError("the statement is nested too deeply", text=text) from None
    if len(trees) != 1 or trees[0] is None:
        raise QueryError("there is no statement here", text=text, position=found[0].start if found else 0)
    return trees[0]


def _told(text: str, found: Sequence[Token], error: _Refused) -> QueryError:
    token = error.token
    place = token.start if token else len(text)
    shown = repr(token.text) if token else "the end"
    if token and found and token is found[-1] and "Required keyword" in str(error):
        place = min(token.end + 1, len(text))  # the operand would have stood behind it
    said = str(error)
    if said.startswith("Invalid expression"):
        said = f"{shown} is not expected here"
    elif said.startswith("Required keyword"):
        said = f"something is missing after {shown}" if token is found[-1] else f"something is missing before {shown}"
    elif said.startswith("Expected table name"):
        said = "the name of a table is missing here"
    elif said.startswith("Expecting )"):
        said = "a ) is missing here"
        place = place if token and token is not found[-1] else len(text)
    elif said.startswith("Expect"):
        said = f"{said[0].lower()}{said[1:]}"
    return QueryError(said, text=text, position=place)


def split(found: Sequence[Token]) -> Iterator[list[Token]]:
    """The tokens of each statement of a text."""
    one: list[Token] = []
    for token in found:
        if token.token_type is not tokens.TokenType.SEMICOLON:
            one.append(token)
        elif one:
            yield one
            one = []
    if one:
        yield one
