"""A reader of statements that Redshift has and the SQL parser does not know: one word, name or value after the other.

The tokens are sqlglot's; what they mean is decided here, by the statement that reads them. An expression or a query in
the middle of a statement stays text, cut out where it stands: whoever binds it gets it with blanks before it, so that
an error still points at its place in the whole.

Invariant: every refusal is a QueryError at the token that was not expected.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from sqlglot.dialects.redshift import Redshift
from sqlglot.errors import TokenError
from sqlglot.tokens import Token, TokenType

from engines.errors import QueryError, listed


class Statements(Redshift):
    """Redshift's tokens, all of them: the dialect's own reader makes one text of what follows UNLOAD or SHOW."""

    class Tokenizer(Redshift.Tokenizer):
        COMMANDS: ClassVar[set[TokenType]] = set()


QUOTED = (TokenType.STRING, TokenType.IDENTIFIER)
Name = tuple[str, ...]  # schema, table; or table alone
NAMELESS = {TokenType.STRING, TokenType.NUMBER, TokenType.L_PAREN, TokenType.R_PAREN, TokenType.COMMA, TokenType.DOT}


def tokens_of(text: str) -> list[Token]:
    """QueryError where the text cannot be cut into tokens: a quote without end."""
    try:
        return list(Statements().tokenize(text))
    except TokenError as error:
        quote = max(text.rfind("'"), text.rfind('"'), 0)
        raise QueryError("a quote or comment is not closed", text=text, position=quote) from error


def split(text: str) -> list[list[Token]]:
    """The tokens of each statement of a text; a semicolon ends one."""
    statements: list[list[Token]] = [[]]
    for token in tokens_of(text):
        if token.token_type == TokenType.SEMICOLON:
            statements.append([])
        elif " " in token.text and token.token_type not in QUOTED:  # PRIMARY KEY is one token, and two words here
            for word in re.finditer(r"\S+", text[token.start : token.end + 1]):
                start = token.start + word.start()
                statements[-1].append(
                    Token(TokenType.VAR, word[0], token.line, token.col, start, start + len(word[0]) - 1)
                )
        else:
            statements[-1].append(token)
    return [statement for statement in statements if statement]


class Reader:
    """The tokens of one statement, and how far they are read."""

    def __init__(self, text: str, tokens: Sequence[Token]) -> None:
        self.text = text
        self._tokens = tokens
        self.at = 0

    @property
    def before(self) -> str:
        """The word that was read last, upper-case."""
        return self._tokens[self.at - 1].text.upper() if self.at else ""

    def skip(self) -> None:
        """Read everything that is left, whatever it is."""
        self.at = len(self._tokens)

    @property
    def token(self) -> Token | None:
        return self._tokens[self.at] if self.at < len(self._tokens) else None

    @property
    def position(self) -> int:
        """Where the next token begins in the text; its end where there is none."""
        token = self.token
        return token.start if token else (self._tokens[-1].end + 1 if self._tokens else 0)

    def error(self, message: str, position: int | None = None, suggestion: str = "") -> QueryError:
        place = self.position if position is None else position
        return QueryError(message, text=self.text, position=place, suggestion=suggestion)

    def expected(self, what: str) -> QueryError:
        got = f"got {self.token.text!r}" if self.token else "and the text ends"
        return self.error(f"expected {what}, {got}")

    def sees(self, *words: str) -> bool:
        """Whether these words come next; nothing is read."""
        found = self._tokens[self.at : self.at + len(words)]
        return len(found) == len(words) and all(
            token.text.upper() == word and token.token_type not in QUOTED
            for token, word in zip(found, words, strict=True)
        )

    def takes(self, *words: str) -> bool:
        """Read these words if they come next."""
        if not self.sees(*words):
            return False
        self.at += len(words)
        return True

    def take(self, *words: str) -> None:
        if not self.takes(*words):
            raise self.expected(" ".join(words))

    def word(self, *choices: str) -> str:
        """One of these words, upper-case."""
        for choice in choices:
            if self.takes(choice):
                return choice
        raise self.expected(f"one of {listed(choices)}" if len(choices) > 1 else choices[0])

    def identifier(self, what: str = "a name") -> str:
        """A name, in lower case: also in quotes, as Redshift has it unless it is told otherwise."""
        token = self.token
        if token is not None and token.token_type == TokenType.IDENTIFIER:
            self.at += 1
            return token.text.lower()
        if token is None or token.token_type in NAMELESS or not (token.text[:1].isalpha() or token.text[:1] in "_$#"):
            raise self.expected(what)
        self.at += 1
        return token.text.lower()

    def name(self, what: str = "the name of a table") -> Name:
        """A name of one or two parts; `public.` is left away."""
        parts = [self.identifier(what)]
        while self.takes("."):
            parts.append(self.identifier(what))
        if len(parts) > 2:
            raise self.error(f"{what} has at most two parts, schema.table, got {'.'.join(parts)}")
        return tuple(parts[1:] if parts[0] == "public" and len(parts) == 2 else parts)

    def string(self, what: str = "a text in quotes") -> str:
        token = self.token
        if token is None or token.token_type != TokenType.STRING:
            raise self.expected(what)
        self.at += 1
        return token.text

    def number(self, what: str = "a whole number") -> int:
        token = self.token
        if token is None or token.token_type != TokenType.NUMBER or not token.text.isdigit():
            raise self.expected(what)
        self.at += 1
        return int(token.text)

    def names(self, what: str = "the name of a column") -> list[str]:
        """Names in parentheses, between commas."""
        self.take("(")
        found = [self.identifier(what)]
        while self.takes(","):
            found.append(self.identifier(what))
        self.take(")")
        return found

    def expression(self, *ends: str) -> str:
        """The text up to the next comma, closing parenthesis or one of these words, outside parentheses."""
        start, depth = self.position, 0
        begun = self.at
        while (token := self.token) is not None:
            if depth == 0 and (token.text in {",", ")"} or any(self.sees(end) for end in ends)):
                break
            depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
            self.at += 1
        if self.at == begun:
            raise self.expected("an expression")
        return blanked(self.text, start, self._tokens[self.at - 1].end + 1)

    def rest(self) -> str:
        """The text from here to the end of the statement, as `blanked` gives it."""
        if self.token is None:
            raise self.expected("a query")
        start = self.position
        self.at = len(self._tokens)
        return blanked(self.text, start, self._tokens[-1].end + 1)

    def end(self) -> None:
        """Nothing may be left."""
        if self.token is not None:
            raise self.error(f"{self.token.text!r} is not understood here")

    def choose(self, table: "dict[str, Any]", what: str) -> Any:  # noqa: ANN401 - the chosen value
        """The value of the one of these (possibly several) words that comes next."""
        for words in sorted(table, key=lambda words: -len(words.split())):
            if self.takes(*words.split()):
                return table[words]
        raise self.error(f"{what} is expected: {listed(table, 20)}")


def blanked(text: str, start: int, end: int) -> str:
    """text[start:end] with as many blanks before it (lines kept): offsets in it are offsets in the whole."""
    before = "".join("\n" if letter == "\n" else " " for letter in text[:start])
    return before + text[start:end]


def dotted(name: Iterable[str]) -> str:
    """A name as the catalogue keys it."""
    return ".".join(name)
