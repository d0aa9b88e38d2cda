"""TO_CHAR and TO_NUMBER of numbers: templates of digits.

    9    a digit; a blank instead of a leading zero      0    a digit, always
    .  D   the point                                     ,  G   a comma between digits
    S    the sign, where it stands                       MI   - or a blank      PL   + or a blank      SG   + or -
    PR   negative numbers in <>                          $  L   the currency sign
    FM   no blanks at the sides, no zeros at the end     TH th   1ST, 2nd       V   times 10 for each 9 behind it
    "text" and all other characters as they are

As in PostgreSQL: a column for the sign stands in front unless a sign is asked for; a number that has too many digits
shows # for each. Numbers are rounded half away from zero. No RN and no EEEE.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Final

from engines.sql.column import Column
from engines.sql.functions.given import Given, scalars
from engines.sql.functions.registry import Functions, signature
from engines.sql.types import MOST_DIGITS, Type, decimal

FUNCTIONS = Functions()
scalar = scalars(FUNCTIONS)
TOKEN: Final = re.compile(r'FM|MI|PL|SG|PR|TH|EEEE|RN|[90.,DGSLV$]|"[^"]*"|.', re.IGNORECASE | re.DOTALL)
CONTEXT: Final = Context(prec=80)
READ_SCALE: Final = 6  # digits behind the point that TO_NUMBER keeps


@dataclass(frozen=True, slots=True)
class Template:
    """A number's template, read once."""

    marks: tuple[str, ...]
    before: int  # digits before the point
    behind: int
    zero: int  # digits before the point that are always shown
    fill: bool
    shift: int  # V: digits behind it


@lru_cache(maxsize=256)
def template_of(text: str) -> Template:
    """ValueError for what is not supported."""
    kept = {"th", "Th", "tH", "TH"}
    marks = tuple(mark if mark[0] == '"' or mark in kept else mark.upper() for mark in TOKEN.findall(text))
    for unknown in ("EEEE", "RN"):
        if unknown in marks:
            raise ValueError(f"the template {text!r} has {unknown}, which is not supported")
    digits = [mark for mark in marks if mark in {"9", "0", ".", "D", "V"}]
    points = [i for i, mark in enumerate(digits) if mark in {".", "D"}]
    if len(points) > 1 or digits.count("V") > 1 or (points and "V" in digits):
        raise ValueError(f"the template {text!r} has more than one point")
    shift = len(digits) - digits.index("V") - 1 if "V" in digits else 0
    whole = [mark for mark in (digits[: points[0]] if points else digits) if mark in "90"]
    zero = len(whole) - whole.index("0") if "0" in whole else 0
    behind = len(digits) - points[0] - 1 if points else 0
    return Template(marks, len(whole), behind, zero, "FM" not in marks, shift)


def number_as_text(value: "int | float", scale: int, text: str) -> str:
    """The number (a whole one times 10^-scale) as the template shows it."""
    made = template_of(text)
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value).scaleb(-scale, CONTEXT)
    if not number.is_finite():
        return str(value)
    number = number.scaleb(made.shift, CONTEXT).quantize(Decimal(1).scaleb(-made.behind), ROUND_HALF_UP, CONTEXT)
    negative = number < 0
    whole, _, fraction = f"{abs(number):f}".partition(".")
    whole = whole if whole != "0" or (made.before and not made.behind) else ""
    overflow = len(whole) > made.before
    whole = whole.rjust(max(made.zero, 0), "0") if made.zero > len(whole) else whole
    if not made.fill and fraction:
        least = _zeros_behind(made)
        fraction = fraction[:least] + fraction[least:].rstrip("0")
    return _assembled(made, "#" * made.before if overflow else whole, fraction, overflow=overflow, negative=negative)


def _zeros_behind(made: Template) -> int:
    """Digits behind the point up to the last 0 of the template."""
    behind = "".join(made.marks).replace("D", ".").partition(".")[2]
    return max((i + 1 for i, digit in enumerate(d for d in behind if d in "90") if digit == "0"), default=0)


def _assembled(made: Template, whole: str, fraction: str, *, overflow: bool, negative: bool) -> str:
    """The template with the digits in their places. A sign that leads stands right before the first digit."""
    blank = " " if made.fill else ""
    sign = "-" if negative else "+"
    signs = {"SG": sign, "S": sign, "MI": "-" if negative else blank, "PL": blank if negative else "+"}
    lead = made.before - len(whole)
    out: list[str] = []
    first: int | None = None  # where the number begins
    place, behind = 0, -1
    own = any(mark in signs for mark in made.marks)
    leading = "" if own else "-" if negative else blank  # stands right before the number
    for mark in made.marks:
        if mark in {"9", "0", ".", "D"}:
            shown = mark in {".", "D"} or behind >= 0 or place >= lead
            first = len(out) if shown and first is None else first
            if mark in {".", "D"}:
                out.append(".")
                behind = 0
            elif behind >= 0:
                out.append("#" if overflow else fraction[behind : behind + 1])
                behind += 1
            else:
                out.append(whole[place - lead] if shown else blank)
                place += 1
        elif mark in {",", "G"}:
            out.append("," if first is not None else blank)
        elif mark == "S" and not place and behind < 0:
            leading = sign
        elif mark in signs:
            out.append(signs[mark])
        elif mark == "PR":
            out.append(">" if negative else blank)
            leading = "<" if negative else blank
        elif mark in {"$", "L"}:
            out.append("$")
        elif mark.upper() == "TH":
            out.append("" if negative else _ordinal(whole, mark))
        elif mark not in {"FM", "V"}:
            out.append(mark.strip('"'))
    out.insert(first if first is not None else 0, leading)
    return "".join(out)


def _ordinal(whole: str, written: str) -> str:
    number = int(whole or 0)
    last = 0 if 10 < number % 100 < 14 else number % 10
    ending = {1: "st", 2: "nd", 3: "rd"}.get(last, "th")
    return ending.upper() if written[0].isupper() else ending


def _two_texts(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
    casts, _ = signature("text, text -> varchar")(types)
    return casts, decimal(MOST_DIGITS, READ_SCALE)


@scalar(
    "to_number",
    _two_texts,
    meaning="the number that a text shows by a template, with 6 digits behind the point",
)
def to_number(given: Given) -> Column:
    def read(text: str, template: str) -> int:
        made = template_of(template)
        kept = re.sub(r"[^0-9.+<>()-]", "", text)
        negative = "-" in kept or kept.startswith("<")
        digits = re.sub(r"[^0-9.]", "", kept)
        if not digits or digits.count(".") > 1:
            raise ValueError(f"{text!r} is no number: the template is {template!r}")
        whole, _, fraction = digits.partition(".")
        if len(whole.lstrip("0")) > made.before or len(whole) > 32:
            raise ValueError(f"{text!r} has more digits than the template {template!r}")
        number = Decimal(f"{whole or 0}.{fraction[: made.behind] or 0}").scaleb(-made.shift, CONTEXT)
        scaled = int(number.scaleb(READ_SCALE, CONTEXT).to_integral_value(ROUND_HALF_UP, CONTEXT))
        return -scaled if negative else scaled

    return given.for_each(read)
