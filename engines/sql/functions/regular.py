r"""Regular expressions: ~ and its family, SIMILAR TO, REGEXP_SUBSTR, REGEXP_REPLACE, REGEXP_COUNT, REGEXP_INSTR.

They run on Python's re, once for each distinct value. What POSIX writes otherwise is translated:

    [[:alpha:]] and the other classes      in brackets, as ranges of ASCII
    \< \> \m \M \y                         word boundaries, \b
    $                                      the very end, \Z (Python's also stands before a last line break)
    SIMILAR TO                             % is .*, _ is ., the whole value must match

An expression without any special character is a search for its text and runs in LIKE's kernel.

Parameters, as in Redshift: i without regard to case, c with regard to it, e the first group instead of the whole match,
p Perl's syntax (it is always understood). REGEXP_REPLACE replaces every match (DuckDB: the first) and knows $1 and \1.

Pitfall: re backtracks. An expression like (a+)+b needs time that doubles with each letter; no timeout stops it, since
a match is one call. Write expressions without nested repetition over text that others wrote.
"""

import re
from functools import lru_cache
from typing import Final

from engines.sql.column import Column
from engines.sql.functions.given import Given, mask_column, scalars, spread
from engines.sql.functions.like import matches
from engines.sql.functions.registry import Functions

FUNCTIONS = Functions()
scalar = scalars(FUNCTIONS)
CLASSES: Final = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "\\x21-\\x7e",
    "lower": "a-z",
    "print": "\\x20-\\x7e",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\s",
    "upper": "A-Z",
    "word": "\\w",
    "xdigit": "0-9A-Fa-f",
}
BOUNDARIES: Final = frozenset("<>mMy")
SPECIAL: Final = frozenset(".^$*+?{}[]\\|()")


def _bracket(pattern: str, i: int) -> tuple[str, int]:
    """The bracket expression that begins at i, and where it ends. ValueError if it does not end."""
    made = ["["]
    i += 1
    if pattern.startswith("^", i):
        made.append("^")
        i += 1
    first = True
    while i < len(pattern) and (first or pattern[i] != "]"):
        first = False
        if pattern.startswith("[:", i):
            end = pattern.find(":]", i)
            name = pattern[i + 2 : end] if end > 0 else ""
            if name not in CLASSES:
                raise ValueError(f"[:{name or pattern[i + 2 :]}:] is no class of characters in {pattern!r}")
            made.append(CLASSES[name])
            i = end + 2
        elif pattern[i] == "\\":
            made.append(pattern[i : i + 2])
            i += 2
        else:
            made.append("\\" + pattern[i] if pattern[i] in "[]&~|" else pattern[i])
            i += 1
    if i >= len(pattern):
        raise ValueError(f"the bracket in {pattern!r} does not end")
    return "".join(made) + "]", i + 1


def translated(pattern: str) -> str:
    """A POSIX expression in Python's syntax."""
    made, i = [], 0
    while i < len(pattern):
        letter = pattern[i]
        if letter == "[":
            piece, i = _bracket(pattern, i)
            made.append(piece)
        elif letter == "\\":
            following = pattern[i + 1 : i + 2]
            made.append("\\b" if following in BOUNDARIES and following else pattern[i : i + 2])
            i += 2
        else:
            made.append("\\Z" if letter == "$" else letter)
            i += 1
    return "".join(made)


def similar(pattern: str, escape: str) -> str:
    """A SIMILAR TO pattern in Python's syntax."""
    made, i = [], 0
    while i < len(pattern):
        letter = pattern[i]
        if escape and letter == escape:
            if i + 1 == len(pattern):
                raise ValueError(f"the pattern {pattern!r} ends with its escape character: write it twice")
            made.append(re.escape(pattern[i + 1]))
            i += 2
        elif letter == "[":
            piece, i = _bracket(pattern, i)
            made.append(piece)
        else:
            made.append({"%": ".*", "_": ".", "(": "(?:"}.get(letter, "\\" + letter if letter in ".^$" else letter))
            i += 1
    return "".join(made)


@lru_cache(maxsize=256)
def compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """The expression, in Python's syntax already. ValueError if it is none."""
    try:
        return re.compile(pattern, flags | re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None


def _expression(pattern: str, parameters: str) -> re.Pattern[str]:
    unknown = set(parameters) - set("cepimns")
    if unknown:
        raise ValueError(f"regular expressions have the parameters c, e, i and p, not {''.join(sorted(unknown))!r}")
    flags = (re.IGNORECASE if "i" in parameters else 0) | (re.MULTILINE if "m" in parameters else 0)
    return compiled(translated(pattern), flags)


# ---- whether ----------------------------------------------------------------------------------------------------


def _search(given: Given, parameters: str = "") -> Column:
    if given.single(1) and "i" not in parameters:
        pattern = given.one_text(1, "the expression")
        begins, ends = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
        literal = pattern[begins : len(pattern) - ends]
        if not SPECIAL & set(literal):
            text = re.sub(r"([%_\\])", r"\\\1", literal)
            like = f"{'' if begins else '%'}{text}{'' if ends else '%'}"
            return mask_column(matches(spread(given.columns[0], given.rows), like.encode(), b"\\"))
    return given.for_each(lambda text, pattern, *_: _expression(pattern, parameters).search(text) is not None)


def _negated(column: Column) -> Column:
    return mask_column(column.data ^ 1, column.valid)


@scalar("~", "text, text -> boolean", meaning="whether x holds a match of the expression y")
def matching(given: Given) -> Column:
    return _search(given)


@scalar("~*", "text, text -> boolean", meaning="~ without regard to case")
def matching_any_case(given: Given) -> Column:
    return _search(given, "i")


@scalar("!~", "text, text -> boolean", meaning="whether x holds no match of y")
def not_matching(given: Given) -> Column:
    return _negated(_search(given))


@scalar("!~*", "text, text -> boolean", meaning="!~ without regard to case")
def not_matching_any_case(given: Given) -> Column:
    return _negated(_search(given, "i"))


@scalar("regexp_like", "text, text, text? -> boolean", meaning="whether x holds a match of the expression y")
def regexp_like(given: Given) -> Column:
    return _search(given, given.one_text(2, "the parameters"))


@scalar("similar to", "text, text, text? -> boolean", meaning="x SIMILAR TO pattern [ESCAPE e]: LIKE with |*+?()[]")
def similar_to(given: Given) -> Column:
    def alike(text: str, pattern: str, escape: str = "\\") -> bool:
        if len(escape) > 1:
            raise ValueError(f"ESCAPE takes one character or none, got {escape!r}")
        return compiled(similar(pattern, escape)).fullmatch(text) is not None

    return given.for_each(alike)


# ---- where and what ----------------------------------------------------------------------------------------------


def _from(position: int) -> int:
    if position < 1:
        raise ValueError(f"regular expressions count characters from 1, got {position}")
    return position - 1


def _occurrence(
    text: str, pattern: str, position: int, occurrence: int, parameters: str
) -> tuple[re.Match[str] | None, int]:
    """That match (from 1), and the group that counts."""
    if occurrence < 1:
        raise ValueError(f"regular expressions count matches from 1, got {occurrence}")
    expression = _expression(pattern, parameters)
    found = None
    for number, found in enumerate(expression.finditer(text, _from(position)), 1):
        if number == occurrence:
            return found, 1 if "e" in parameters and expression.groups else 0
    return None, 0


@scalar(
    "regexp_substr",
    "text, text, integer?, integer?, text? -> varchar",
    meaning="the match of y in x, from a position on, the nth one; empty if there is none",
)
def regexp_substr(given: Given) -> Column:
    def found(text: str, pattern: str, position: int = 1, occurrence: int = 1, parameters: str = "") -> str:
        match, group = _occurrence(text, pattern, position, occurrence, parameters)
        return (match[group] or "") if match else ""

    return given.for_each(found)


@scalar(
    "regexp_instr",
    "text, text, integer?, integer?, integer?, text? -> integer",
    meaning="where the match begins (option 1: the character behind it), 0 if there is none",
)
def regexp_instr(given: Given) -> Column:
    def place(text: str, pattern: str, position: int = 1, occurrence: int = 1, *rest: int | str) -> int:
        option, parameters = bool(rest and rest[0]), str(rest[1]) if len(rest) > 1 else ""
        match, group = _occurrence(text, pattern, position, occurrence, parameters)
        if match is None or match.start(group) < 0:
            return 0
        return (match.end(group) if option else match.start(group)) + 1

    return given.for_each(place)


@scalar("regexp_count", "text, text, integer?, text? -> integer", meaning="how many matches of y there are in x")
def regexp_count(given: Given) -> Column:
    def counted(text: str, pattern: str, position: int = 1, parameters: str = "") -> int:
        return sum(1 for _ in _expression(pattern, parameters).finditer(text, _from(position)))

    return given.for_each(counted)


def _template(replacement: str) -> str:
    r"""$1 and \1 as Python's \g<1>; everything else as it is written."""
    made, i = [], 0
    while i < len(replacement):
        letter, following = replacement[i], replacement[i + 1 : i + 2]
        if letter in "$\\" and following.isdecimal():
            made.append(f"\\g<{following}>")
            i += 2
        elif letter == "\\" and following == "&":
            made.append("\\g<0>")
            i += 2
        elif letter == "\\":
            made.append("\\\\")
            i += 2 if following == "\\" else 1
        else:
            made.append(letter)
            i += 1
    return "".join(made)


@scalar(
    "regexp_replace",
    "text, text, text? -> varchar; text, text, text, integer, text? -> varchar; text, text, text, text -> varchar",
    meaning="x with every match of y replaced; $1 or \\1 in the replacement is a group",
)
def regexp_replace(given: Given) -> Column:
    def replaced(text: str, pattern: str, new: str = "", position: int | str = 1, parameters: str = "") -> str:
        if isinstance(position, str):  # PostgreSQL's fourth argument: flags
            parameters = position.replace("g", "")
        start = 0 if isinstance(position, str) else _from(position)
        try:
            return text[:start] + _expression(pattern, parameters).sub(_template(new), text[start:])
        except (re.error, IndexError) as error:
            raise ValueError(f"{new!r} is no replacement for {pattern!r}: {error}") from None

    return given.for_each(replaced)
