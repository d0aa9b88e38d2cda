"""Ion's text form, read into the values of ion.py: a superset of JSON with types, symbols, comments and annotations.

    {id: "8F0T", at: 2022-06-08T18:46:46.512Z, hash: {{QS5l...}}, price: 90.25, mass: 1e3, kind: 'a symbol', mark::[1]}

One recursive function a kind of value over one regular expression for whatever has no parts; each character is looked
at once. What is not read: symbol tables in text ($ion_symbol_table::), which no journal has.
"""

import binascii
import re
from collections.abc import Iterator
from decimal import InvalidOperation
from typing import Final

from engines.ledger.qldb.ion import DEEPEST, SYSTEM_SYMBOLS, TYPES, BadIon, Timestamp, Value, decimal, local, timestamp

SPACE: Final = re.compile(r"(?:[ \t\r\n\v\f]+|//[^\n\r]*|/\*(?:[^*]|\*(?!/))*+\*/)*+")
BLANK: Final = frozenset(" \t\r\n\v\f/")  # what SPACE begins with
TOKEN: Final = re.compile(
    r"""(?P<long>''')|(?P<quoted>')|(?P<string>")
    |(?P<timestamp>\d{4}(?:T|-\d\d(?:T|-\d\d(?:T(?:\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?)?)))
    |(?P<radix>-?0(?:[xX][0-9a-fA-F]+(?:_[0-9a-fA-F]+)*|[bB][01]+(?:_[01]+)*))
    |(?P<number>-?(?:0|[1-9]\d*+(?:_\d+)*+)(?:\.(?:\d+(?:_\d+)*+)?)?(?:[eEdD][+-]?\d+)?)
    |(?P<infinite>[+-]inf)
    |(?P<name>[A-Za-z_$][A-Za-z0-9_$]*)
    |(?P<lob>\{\{)|(?P<open>[\[({])
    |(?P<operator>[!#%&*+\-./;<=>?@^`|~]+)""",
    re.VERBOSE | re.ASCII,
)
PLAIN_SPACE: Final = re.compile(r"[ \t\r\n\v\f]*+")
LOB_END: Final = re.compile(r"[ \t\r\n\v\f]*+\}\}")
STOP: Final = re.compile(r"[\s{}\[\](),\"':/]|\Z")
PLAIN: Final = {
    '"': re.compile(r'[^"\\\n\r]*+'),
    "'": re.compile(r"[^'\\\n\r]*+"),
    "'''": re.compile(r"(?:[^'\\]|'(?!''))*+"),
}
ESCAPES: Final = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "v": "\v", "?": "?", "'": "'",
    '"': '"', "/": "/", "\\": "\\", "\n": "", "\r": "",
}  # fmt: skip
HEX: Final = {"x": 2, "u": 4, "U": 8}
CLOSING: Final = {"[": "]", "(": ")", "{": "}"}
KEYWORDS: Final = {"true": True, "false": False}


def read_text(text: str) -> Iterator[Value]:
    """The values of a text, one after the other. BadIon where there is none."""
    reader = _Text(text)
    reader.space()
    while reader.at < len(text):
        start = reader.at
        value = reader.value(0)
        reader.space()
        if value.annotations[:1] == ("$ion_symbol_table",):
            raise BadIon("symbol tables in text are not read", start)
        if value != Value("symbol", "$ion_1_0"):
            yield value


class _Text:
    """Where in the text one is."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def space(self) -> None:
        """Go over spaces and comments."""
        if self.text[self.at : self.at + 1] in BLANK:
            found = SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at

    def value(self, depth: int, *, operators: bool = False) -> Value:
        """The value that begins here. operators: +, - and such are symbols, as within ( )."""
        if depth > DEEPEST:
            raise self.bad(f"nested deeper than {DEEPEST}")
        names: list[str | None] = []
        while True:
            start, token = self.at, TOKEN.match(self.text, self.at)
            kind = token.lastgroup if token else None
            if token is None or kind is None or (kind == "operator" and not operators):
                raise self.bad("no Ion value begins here")
            self.at = token.end()
            if kind not in ("name", "quoted"):
                value = self._read(kind, token.group(), depth)
                return Value(value.type, value.value, tuple(names))
            text = self._symbol(kind, token.group())
            end = self.at
            self.space()
            if not self.text.startswith("::", self.at):
                self.at = end
                found = self._keyword(token.group(), start) if kind == "name" else None
                if found is None:
                    found = Value("unknown" if text is None else "symbol", text)
                return Value(found.type, found.value, tuple(names))
            names.append(text)
            self.at += 2
            self.space()

    def _read(self, kind: str, found: str, depth: int) -> Value:  # noqa: PLR0911 - a case each
        start = self.at - len(found)
        try:
            match kind:
                case "string":
                    return Value("string", self._until('"'))
                case "long":
                    return Value("string", self._long())
                case "lob":
                    return self._lob()
                case "open" if found == "{":
                    return Value("struct", self._members(depth))
                case "open":
                    return Value("list" if found == "[" else "sexp", self._elements(found, depth))
                case "operator":
                    return Value("symbol", found)
            self._stop()
            if kind == "timestamp":
                return Value("timestamp", _timestamp(found))
            return _number(kind, found.replace("_", ""))
        except BadIon:
            raise
        except (ValueError, InvalidOperation, OverflowError) as error:
            raise BadIon(f"no {kind}: {error}", start) from error

    def _stop(self) -> None:
        if not STOP.match(self.text, self.at):
            raise self.bad("a number ends where a space or a comma begins")

    def _symbol(self, kind: str, token: str) -> str | None:
        if kind == "quoted":
            return self._until("'")
        if token[0] == "$" and token[1:].isdigit():
            number = int(token[1:7])
            if len(token) > 7 or number >= len(SYSTEM_SYMBOLS):
                raise self.bad(f"the symbol {token} has no name")
            return SYSTEM_SYMBOLS[number]
        return token

    def _keyword(self, word: str, start: int) -> Value | None:
        if word in KEYWORDS:
            return Value("bool", KEYWORDS[word])
        if word == "nan":
            return Value("float", float("nan"))
        if word != "null":
            return None
        if not self.text.startswith(".", self.at):
            return Value("null", None)
        found = TOKEN.match(self.text, self.at + 1)
        if found is None or found.group() not in TYPES:
            raise BadIon("null. is followed by a type", start)
        self.at = found.end()
        return Value(found.group(), None)

    def _elements(self, opening: str, depth: int) -> list[Value]:
        found: list[Value] = []
        while not self._closes(CLOSING[opening]):
            found.append(self.value(depth + 1, operators=opening == "("))
            self._comma(CLOSING[opening], wanted=opening == "[")
        return found

    def _members(self, depth: int) -> list[tuple[str | None, Value]]:
        found: list[tuple[str | None, Value]] = []
        while not self._closes("}"):
            token = TOKEN.match(self.text, self.at)
            kind = token.lastgroup if token else None
            if token is None or kind not in ("name", "quoted", "string", "long"):
                raise self.bad("a field begins with its name")
            self.at = token.end()
            if kind in ("string", "long"):
                name: str | None = self._until('"') if kind == "string" else self._long()
            else:
                name = self._symbol(str(kind), token.group())
            self.space()
            if not self.text.startswith(":", self.at) or self.text.startswith("::", self.at):
                raise self.bad("a colon follows the name of a field")
            self.at += 1
            self.space()
            found.append((name, self.value(depth + 1)))
            self._comma("}", wanted=True)
        return found

    def _closes(self, closing: str) -> bool:
        self.space()
        if self.text.startswith(closing, self.at):
            self.at += 1
            return True
        if self.at >= len(self.text):
            raise self.bad(f"{closing} is missing")
        return False

    def _comma(self, closing: str, *, wanted: bool) -> None:
        self.space()
        if not wanted or self.text.startswith(closing, self.at):
            return
        if not self.text.startswith(",", self.at):
            raise self.bad(f"a comma or {closing} is missing")
        self.at += 1

    def _until(self, quote: str, *, lob: bool = False) -> str:
        """A text up to its closing quote; the opening one is read."""
        parts = []
        while True:
            plain = PLAIN[quote].match(self.text, self.at)
            if plain:
                parts.append(plain.group())
                self.at = plain.end()
            if self.text.startswith(quote, self.at):
                self.at += len(quote)
                text = "".join(parts)
                return text if lob or text.isascii() else _joined(text)
            if not self.text.startswith("\\", self.at):
                raise self.bad("a text has no end on its line" if quote != "'''" else "a long text has no end")
            parts.append(self._escape(lob=lob))

    def _escape(self, *, lob: bool) -> str:
        letter = self.text[self.at + 1 : self.at + 2]
        if letter in ESCAPES:
            newline = 3 if self.text.startswith("\r\n", self.at + 1) else 2
            self.at += newline
            return ESCAPES[letter]
        digits = self.text[self.at + 2 : self.at + 2 + HEX.get(letter, 0)]
        if len(digits) != HEX.get(letter, -1) or (lob and letter != "x") or not re.fullmatch("[0-9a-fA-F]+", digits):
            raise self.bad("no such escape")
        if int(digits, 16) > 0x10FFFF:
            raise self.bad("no such character")
        self.at += 2 + len(digits)
        return chr(int(digits, 16))

    def _long(self, *, lob: bool = False) -> str:
        parts = [self._until("'''", lob=lob)]
        while True:
            end = self.at
            self.space()
            if not self.text.startswith("'''", self.at):
                self.at = end
                return "".join(parts).replace("\r\n", "\n").replace("\r", "\n")
            self.at += 3
            parts.append(self._until("'''", lob=lob))

    def _lob(self) -> Value:
        found = PLAIN_SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at
        for quote in ("'''", '"'):
            if self.text.startswith(quote, self.at):
                self.at += len(quote)
                text = self._long(lob=True) if quote == "'''" else self._until(quote, lob=True)
                self._close_lob()
                return Value("clob", text.encode("latin-1"))
        end = self.text.find("}", self.at)
        encoded = PLAIN_SPACE.sub("", self.text[self.at : max(end, self.at)])
        value = binascii.a2b_base64(encoded, strict_mode=True)
        if binascii.b2a_base64(value, newline=False).decode() != encoded:
            raise self.bad("base64 has spare bits that are not zero")
        self.at = max(end, self.at)
        self._close_lob()
        return Value("blob", value)

    def _close_lob(self) -> None:
        found = LOB_END.match(self.text, self.at)
        if not found:
            raise self.bad("}} is missing")
        self.at = found.end()

    def bad(self, what: str) -> BadIon:
        """What is wrong here."""
        return BadIon(what, self.at)


def _joined(text: str) -> str:
    """Surrogates that escapes wrote in pairs become one character; ValueError for lone ones."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16")


def _number(kind: str, token: str) -> Value:
    if kind == "radix":
        return Value("int", int(token, 0))
    if kind == "infinite":
        return Value("float", float(token))
    lower = token.lower()
    if "e" in lower:
        return Value("float", float(token))
    if "." not in token and "d" not in lower:
        return Value("int", int(token))
    mantissa, _, power = lower.partition("d")
    whole, _, part = mantissa.partition(".")
    if len(power) > 15:
        raise ValueError("an exponent has at most 14 digits")
    return Value(
        "decimal", decimal(int(whole.lstrip("-") + part), int(power or 0) - len(part), negative=token[0] == "-")
    )


def _timestamp(token: str) -> Timestamp:
    day, _, time = token.partition("T")
    fields: tuple[int, ...] = tuple(map(int, day.split("-")))
    if not time:
        return timestamp(fields, None, None)
    clock, sign, zone = time[:-1] if time[-1] == "Z" else time[:-6], time[-6:-5], time[-5:]
    hours, _, fraction = clock.partition(".")
    fields += tuple(map(int, hours.split(":")))
    offset: int | None = 0
    if time[-1] != "Z":
        if int(zone[:2]) > 23 or int(zone[3:]) > 59:
            raise ValueError("an offset is less than a day")
        offset = (int(zone[:2]) * 60 + int(zone[3:])) * (-1 if sign == "-" else 1)
        if not offset and sign == "-":
            offset = None
    timestamp(fields, None, None)
    utc = local(fields, -offset) if offset else fields
    return timestamp(utc, (-len(fraction), int(fraction)) if fraction else None, offset)
