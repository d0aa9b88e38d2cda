"""Functions of text: lengths, cutting, padding, searching, joining.

Characters are Unicode code points, counted from 1. Kernels do what queries do to whole columns (case, cutting,
trimming, joining, searching, replacing); what is rare is computed in Python, once for each distinct row of arguments.

As in Redshift and PostgreSQL: SUBSTRING may begin before the text (characters there are empty), trimming takes off
blanks where no characters are given, CONCAT of NULL is NULL. (DuckDB: a negative start counts from the end, CONCAT
leaves NULLs out.)
"""

from typing import Final

import numpy as np

from engines._native import strings, textsearch
from engines.sql import texts
from engines.sql.column import Bytes, Column, Positions
from engines.sql.functions.given import Given, Numbers, scalars, spread, whole_column
from engines.sql.functions.registry import Functions
from engines.sql.types import VARCHAR

FUNCTIONS = Functions()
scalar = scalars(FUNCTIONS)
LONGEST: Final = 1 << 24  # bytes that REPEAT and the like may make of one value


# ---- lengths and case --------------------------------------------------------------------------------------------


def characters(offsets: Positions, heap: Bytes) -> Numbers:
    """Characters of each value."""
    if strings.is_ascii(heap):
        return np.diff(offsets).astype(np.int64)
    made = np.empty(len(offsets) - 1, np.int64)
    strings.count_characters(offsets, heap, made)
    return made


@scalar(
    "length",
    "text -> integer; varbyte -> integer",
    synonyms=["len", "char_length", "character_length", "textlen"],
    meaning="characters of x; bytes of a VARBYTE",
)
def length(given: Given) -> Column:
    if given.columns[0].type.kind == "varbyte":
        return octet_length(given)
    return whole_column(given.type, characters(*given.every_text(0)))


@scalar("octet_length", "text -> integer; varbyte -> integer", meaning="bytes of x")
def octet_length(given: Given) -> Column:
    return whole_column(given.type, np.diff(given.every_text(0)[0]))


def _cased(given: Given, *, upper: bool) -> Column:
    offsets, heap = given.every_text(0)
    if strings.is_ascii(heap):
        made = np.empty_like(heap)
        strings.fold_case(heap, made, upper=upper)
        return Column(VARCHAR, offsets, heap=made)
    return given.for_each(str.upper if upper else str.lower)


@scalar("upper", "text -> varchar", synonyms=["ucase"], meaning="x in capital letters")
def upper(given: Given) -> Column:
    return _cased(given, upper=True)


@scalar("lower", "text -> varchar", synonyms=["lcase"], meaning="x in small letters")
def lower(given: Given) -> Column:
    return _cased(given, upper=False)


@scalar("initcap", "text -> varchar", meaning="x with the first letter of each word a capital")
def initcap(given: Given) -> Column:
    def capital(text: str) -> str:
        made, inside = [], False
        for letter in text:
            made.append(letter.lower() if inside else letter.upper())
            inside = letter.isalnum()
        return "".join(made)

    return given.for_each(capital)


# ---- cutting -----------------------------------------------------------------------------------------------------


def _cut(given: Given, first: Numbers, count: Numbers) -> Column:
    offsets, heap = given.every_text(0)
    begins, made = np.empty(given.rows, np.int32), np.empty(given.rows + 1, np.int32)
    strings.cut_characters(offsets, heap, first, count, begins, made, single=strings.is_ascii(heap))
    return texts.cut_out(begins, heap, made, VARCHAR)


@scalar(
    "substring",
    "text, integer, integer? -> varchar",
    synonyms=["substr"],
    meaning="SUBSTRING(x FROM start FOR length): characters from start on",
)
def substring(given: Given) -> Column:
    first = given.whole(1)
    if len(given) < 3:
        return _cut(given, np.maximum(first, 1), np.array([2**31]))
    count = given.whole(2)
    given.refuse(count < 0, "the length of a substring must not be negative, got {value}", 2)
    return _cut(given, first, count)


@scalar("left", "text, integer -> varchar", meaning="the first n characters; all but the last -n if n is negative")
def left(given: Given) -> Column:
    count = given.whole(1)
    if (count < 0).any():
        count = np.where(count < 0, np.maximum(characters(*given.every_text(0)) + count, 0), count)
    return _cut(given, np.ones(1, np.int64), count)


@scalar("right", "text, integer -> varchar", meaning="the last n characters; all but the first -n if n is negative")
def right(given: Given) -> Column:
    count, size = given.whole(1), characters(*given.every_text(0))
    first = np.where(count < 0, 1 - np.maximum(count, -(2**31)), size - np.minimum(count, size) + 1)
    return _cut(given, first, np.array([2**31]))


def _trimmed(given: Given, *, left: bool, right: bool) -> Column:
    among = given.one_text(1, "the characters that are trimmed", " ")
    if not among.isascii():
        if left and right:
            return given.for_each(lambda text, *_: text.strip(among))
        return given.for_each(lambda text, *_: text.lstrip(among) if left else text.rstrip(among))
    offsets, heap = given.every_text(0)
    flags = np.zeros(256, np.uint8)
    flags[list(among.encode())] = 1
    begins, made = np.empty(given.rows, np.int32), np.empty(given.rows + 1, np.int32)
    strings.trim_bytes(offsets, heap, flags, begins, made, left=left, right=right)
    return texts.cut_out(begins, heap, made, VARCHAR)


@scalar("trim", "text, text? -> varchar", synonyms=["btrim"], meaning="x without the blanks (characters) at its ends")
def trim(given: Given) -> Column:
    return _trimmed(given, left=True, right=True)


@scalar("ltrim", "text, text? -> varchar", meaning="x without the blanks (characters) at its beginning")
def ltrim(given: Given) -> Column:
    return _trimmed(given, left=True, right=False)


@scalar("rtrim", "text, text? -> varchar", meaning="x without the blanks (characters) at its end")
def rtrim(given: Given) -> Column:
    return _trimmed(given, left=False, right=True)


@scalar("split_part", "text, text, integer -> varchar", meaning="the nth part of x between delimiters; empty if none")
def split_part(given: Given) -> Column:
    part = given.whole(2)
    given.refuse(part < 1, "SPLIT_PART counts parts from 1, got {value}", 2)
    if not (given.single(1) and given.single(2)) or not given.one_text(1, "the delimiter"):
        return given.for_each(_split)
    offsets, heap = given.every_text(0)
    mark = np.frombuffer(given.one_text(1, "the delimiter").encode(), np.uint8)
    begins, made = np.empty(given.rows, np.int32), np.empty(given.rows + 1, np.int32)
    textsearch.split_part(offsets, heap, mark, int(part[0]), begins, made)
    return texts.cut_out(begins, heap, made, VARCHAR)


def _split(text: str, mark: str, part: int) -> str:
    parts = text.split(mark) if mark else [text]
    return parts[part - 1] if part <= len(parts) else ""


# ---- searching ---------------------------------------------------------------------------------------------------


def _found(given: Given, value: int, part: int) -> Numbers:
    made = np.empty(given.rows, np.int64)
    textsearch.find_positions(*given.text(value), *given.text(part), made)
    return made


@scalar("position", "text, text -> integer", meaning="POSITION(x IN y): the character of y where x begins, or 0")
def position(given: Given) -> Column:
    return whole_column(given.type, _found(given, 1, 0))


@scalar("strpos", "text, text -> integer", synonyms=["instr"], meaning="the character of x where y begins, or 0")
def strpos(given: Given) -> Column:
    return whole_column(given.type, _found(given, 0, 1))


@scalar("charindex", "text, text, integer? -> integer", meaning="the character of y at which x begins, from n on")
def charindex(given: Given) -> Column:
    if len(given) == 2:
        return position(given)
    return given.for_each(lambda part, text, start: text.find(part, max(start - 1, 0)) + 1)


@scalar("replace", "text, text, text -> varchar", meaning="x with every y replaced by z")
def replace(given: Given) -> Column:
    if not (given.single(1) and given.single(2)):
        return given.for_each(lambda text, old, new: text.replace(old, new) if old else text)
    offsets, heap = given.every_text(0)
    old = np.frombuffer(given.one_text(1, "what is replaced").encode(), np.uint8)
    new = np.frombuffer(given.one_text(2, "the replacement").encode(), np.uint8)
    if not len(old):
        return Column(VARCHAR, offsets, heap=heap)
    made = np.empty(given.rows + 1, np.int32)
    out = np.empty(textsearch.replace_offsets(offsets, heap, old, len(new), made), np.uint8)
    textsearch.replace_bytes(offsets, heap, old, new, made, out)
    return Column(VARCHAR, made, heap=out)


# ---- joining -----------------------------------------------------------------------------------------------------


@scalar("||", "text... -> varchar; varbyte, varbyte -> varbyte", synonyms=["concat"], meaning="x and y, joined")
def concat(given: Given) -> Column:
    pieces = [given.text(i) for i in range(len(given))]
    sizes = np.zeros(given.rows, np.int64)
    for offsets, _ in pieces:
        sizes += np.diff(offsets)
    ends = np.cumsum(sizes)
    if given.rows and ends[-1] >= 2**31:
        raise given.error("more than 2 GB of text in one column")
    made = np.zeros(given.rows + 1, np.int32)
    made[1:] = ends
    out, at = np.empty(int(made[-1]), np.uint8), made[:-1].copy()
    for offsets, heap in pieces:
        strings.place(offsets, heap, at, out)
    return Column(given.type, made, heap=out)


@scalar("concat_ws", "text, text... -> varchar", strict=False, meaning="the texts, x between them, without NULLs")
def concat_ws(given: Given) -> Column:
    columns = [spread(column, given.rows) for column in given.columns]
    words = [texts.to_words(column) for column in columns]
    masks = [[1] * given.rows if column.valid is None else column.valid.tolist() for column in columns]
    made = []
    for row in range(given.rows):
        there = [word[row] for word, mask in zip(words[1:], masks[1:], strict=True) if mask[row]]
        made.append(words[0][row].join(there) if masks[0][row] else None)
    return texts.from_words(made)


def _bounded(size: int) -> None:
    if size > LONGEST:
        raise ValueError(f"a text of {size:,} bytes is too long: at most {LONGEST:,}")


@scalar("repeat", "text, integer -> varchar", synonyms=["replicate"], meaning="x, n times")
def repeat(given: Given) -> Column:
    def repeated(text: str, count: int) -> str:
        _bounded(len(text.encode()) * count)
        return text * count

    return given.for_each(repeated)


def _padded(given: Given, *, left: bool) -> Column:
    def padded(text: str, size: int, fill: str = " ") -> str:
        _bounded(size)
        size = max(size, 0)
        more = size - len(text)
        if more <= 0 or not fill:
            return text[:size]
        padding = (fill * (more // len(fill) + 1))[:more]
        return padding + text if left else text + padding

    return given.for_each(padded)


@scalar("lpad", "text, integer, text? -> varchar", meaning="x, filled up at its left to n characters, or cut to n")
def lpad(given: Given) -> Column:
    return _padded(given, left=True)


@scalar("rpad", "text, integer, text? -> varchar", meaning="x, filled up at its right to n characters, or cut to n")
def rpad(given: Given) -> Column:
    return _padded(given, left=False)


# ---- letters -----------------------------------------------------------------------------------------------------


@scalar("reverse", "text -> varchar", meaning="x backwards")
def reverse(given: Given) -> Column:
    return given.for_each(lambda text: text[::-1])


@scalar("ascii", "text -> integer", meaning="the code point of the first character, 0 if there is none")
def code_point(given: Given) -> Column:
    return given.for_each(lambda text: ord(text[0]) if text else 0)


@scalar("chr", "integer -> varchar", meaning="the character of that code point")
def letter(given: Given) -> Column:
    def made(code: int) -> str:
        if not 1 <= code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise ValueError(f"{code} is no character's code point")
        return chr(code)

    return given.for_each(made)


@scalar(
    "translate", "text, text, text -> varchar", meaning="each character of y in x becomes that of z, or is left out"
)
def translate(given: Given) -> Column:
    def translated(text: str, old: str, new: str) -> str:
        table: dict[int, str | None] = {}
        for i, letter in enumerate(old):
            table.setdefault(ord(letter), new[i] if i < len(new) else None)
        return text.translate(table)

    return given.for_each(translated)


@scalar("quote_ident", "text -> varchar", meaning="x as a name in a statement, in quotes where it needs them")
def quote_ident(given: Given) -> Column:
    def quoted(text: str) -> str:
        plain = text.isascii() and text.isidentifier() and text == text.lower()
        return text if plain else '"' + text.replace('"', '""') + '"'

    return given.for_each(quoted)


@scalar("quote_literal", "text -> varchar", meaning="x as a constant in a statement, in quotes")
def quote_literal(given: Given) -> Column:
    return given.for_each(lambda text: "'" + text.replace("\\", "\\\\").replace("'", "''") + "'")


# ---- sound and order ---------------------------------------------------------------------------------------------

SOUNDS: Final = {
    letter: digit for digit, letters in enumerate(("bfpv", "cgjkqsxz", "dt", "l", "mn", "r"), 1) for letter in letters
}


def sound(text: str) -> str:
    """American Soundex: the first letter, and three digits for the consonants that follow."""
    letters = [letter for letter in text.lower() if "a" <= letter <= "z"]
    if not letters:
        return ""
    made, before = letters[0].upper(), SOUNDS.get(letters[0])
    for letter in letters[1:]:
        digit = SOUNDS.get(letter)
        if digit and digit != before:
            made += str(digit)
        if letter not in "hw":  # they do not part equal sounds
            before = digit
    return made[:4].ljust(4, "0")


@scalar("soundex", "text -> varchar", meaning="how x sounds in English: a letter and three digits")
def soundex(given: Given) -> Column:
    return given.for_each(sound)


@scalar("difference", "text, text -> integer", meaning="in how many places of SOUNDEX x and y agree, 0 to 4")
def difference(given: Given) -> Column:
    return given.for_each(lambda a, b: sum(x == y for x, y in zip(sound(a), sound(b), strict=False)))


@scalar("octetindex", "text, text -> integer", meaning="the byte of y at which x begins, from 1; 0 if it does not")
def octetindex(given: Given) -> Column:
    return given.for_each(lambda part, text: text.encode().find(part.encode()) + 1)


@scalar(
    "bpcharcmp", "text, text -> integer", synonyms=["bttext_pattern_cmp"], meaning="1, 0 or -1: the order of x and y"
)
def compared(given: Given) -> Column:
    def order(a: str, b: str) -> int:
        first, second = a.rstrip(" ").encode(), b.rstrip(" ").encode()
        return (first > second) - (first < second)

    return given.for_each(order)
