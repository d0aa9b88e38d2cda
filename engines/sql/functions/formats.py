"""TO_CHAR, TO_DATE, TO_TIMESTAMP: dates and times as text, by the templates of Oracle, PostgreSQL and Redshift.

    YYYY YYY YY Y  IYYY IYY IY I  Y,YYY     year, ISO year         HH24 HH12 HH   hour
    CC  Q  MM  RM  MONTH Month month        century, quarter, ...  MI SS          minute, second
    MON Mon mon  WW W IW                    weeks                  MS US          milliseconds, microseconds
    DDD DD D ID  DAY Day day  DY Dy dy  J   days (D: Sunday 1)     SSSS SSSSS     seconds of the day
    AM PM am pm A.M. P.M. a.m. p.m.         before or after noon   AD BC A.D. ad  era     TZ tz OF  zone: UTC
    FM before a piece: no blanks, no zeros      TH th behind it: 1ST, 2nd      "text" as it is; other characters too

A template is cut into pieces once. Months' and days' names are blank-padded to 9 characters unless FM stands before.
Reading is as in PostgreSQL, simplified: a piece takes as many digits as it shows at most; blanks are skipped; what
the template does not name is that of the first day of the year 1; two-digit years below 70 are 20xx.
"""

import calendar
import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from engines.sql.column import Column
from engines.sql.functions.given import Given, scalars
from engines.sql.functions.numerals import number_as_text
from engines.sql.functions.registry import Functions
from engines.sql.types import DAY, EPOCH

FUNCTIONS = Functions()
scalar = scalars(FUNCTIONS)
NAMES: Final = tuple(calendar.month_name)[1:]
DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
ROMAN: Final = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
PIECE: Final = re.compile(
    r"(?P<fm>FM)?(?P<code>Y,YYY|YYYY|YYY|YY|Y|IYYY|IYY|IY|IW|ID|I|CC|Q|MONTH|MON|MM|MI|MS|RM|WW|W|DDD|DD|DAY|DY|D|J"
    r"|HH24|HH12|HH|SSSSS|SSSS|SS|US|A\.M\.|P\.M\.|AM|PM|A\.D\.|B\.C\.|AD|BC|TZ|OF)(?P<th>TH)?|\"(?P<text>[^\"]*)\"|(?P<other>.)",
    re.IGNORECASE | re.DOTALL,
)
WIDTHS: Final = {
    "YYYY": 4,
    "YYY": 3,
    "YY": 2,
    "Y": 1,
    "IYYY": 4,
    "IYY": 3,
    "IY": 2,
    "I": 1,
    "CC": 2,
    "Q": 1,
    "MM": 2,
    "WW": 2,
    "W": 1,
    "IW": 2,
    "DDD": 3,
    "DD": 2,
    "D": 1,
    "ID": 1,
    "J": 7,
    "HH24": 2,
    "HH12": 2,
    "HH": 2,
    "MI": 2,
    "SS": 2,
    "MS": 3,
    "US": 6,
    "SSSS": 1,
    "SSSSS": 1,
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Of a template. code is empty where `text` stands as it is; written: the code as the template has it."""

    code: str
    text: str
    written: str = ""
    fill: bool = True  # no FM before it
    ordinal: str = ""  # TH or th


@lru_cache(maxsize=256)
def pieces(template: str) -> tuple[Piece, ...]:
    """A template cut into codes (YYYY, FMMon, DDth) and what is copied as it stands."""
    made = []
    fill = True
    for found in PIECE.finditer(re.sub(r"(?i)FM(?![a-z\"])", "", template)):
        if found["code"]:
            fill = not found["fm"]
            made.append(Piece(found["code"].upper(), "", found["code"], fill, found["th"] or ""))
        else:
            made.append(Piece("", found["text"] if found["text"] is not None else found["other"]))
    return tuple(made)


def _like(word: str, written: str) -> str:
    """The word in the case in which the template names it."""
    letters = written.replace(".", "")
    if letters[:1].islower():
        return word.lower()
    return word.upper() if letters[1:2].isupper() else word.capitalize()


def ordinal(number: int, written: str) -> str:
    """st, nd, rd or th of a number, in the case in which the template wrote it."""
    last = 0 if 10 < number % 100 < 14 else number % 10
    ending = {1: "st", 2: "nd", 3: "rd"}.get(last, "th")
    return ending if written[:1].islower() else ending.upper()


# ---- writing -----------------------------------------------------------------------------------------------------

NUMBERS: Final[dict[str, Callable[[dt.datetime], int]]] = {
    "YYYY": lambda t: t.year,
    "YYY": lambda t: t.year % 1000,
    "YY": lambda t: t.year % 100,
    "Y": lambda t: t.year % 10,
    "IYYY": lambda t: t.isocalendar().year,
    "IYY": lambda t: t.isocalendar().year % 1000,
    "IY": lambda t: t.isocalendar().year % 100,
    "I": lambda t: t.isocalendar().year % 10,
    "CC": lambda t: (t.year + 99) // 100,
    "Q": lambda t: (t.month + 2) // 3,
    "MM": lambda t: t.month,
    "WW": lambda t: (t.timetuple().tm_yday + 6) // 7,
    "W": lambda t: (t.day + 6) // 7,
    "IW": lambda t: t.isocalendar().week,
    "DDD": lambda t: t.timetuple().tm_yday,
    "DD": lambda t: t.day,
    "D": lambda t: t.isoweekday() % 7 + 1,
    "ID": lambda t: t.isoweekday(),
    "J": lambda t: t.toordinal() + 1_721_425,
    "HH24": lambda t: t.hour,
    "HH12": lambda t: (t.hour + 11) % 12 + 1,
    "HH": lambda t: (t.hour + 11) % 12 + 1,
    "MI": lambda t: t.minute,
    "SS": lambda t: t.second,
    "MS": lambda t: t.microsecond // 1000,
    "US": lambda t: t.microsecond,
    "SSSS": lambda t: (t.hour * 60 + t.minute) * 60 + t.second,
    "SSSSS": lambda t: (t.hour * 60 + t.minute) * 60 + t.second,
}


def _words(piece: Piece, moment: dt.datetime) -> str:
    code = piece.code
    if code in {"MONTH", "DAY"}:
        name = NAMES[moment.month - 1] if code == "MONTH" else DAYS[moment.isoweekday() % 7]
        return _like(name, piece.written).ljust(9 if piece.fill else 0)
    if code in {"MON", "DY"}:
        name = NAMES[moment.month - 1] if code == "MON" else DAYS[moment.isoweekday() % 7]
        return _like(name[:3], piece.written)
    if code == "RM":
        return _like(ROMAN[moment.month - 1], piece.written * 2).ljust(4 if piece.fill else 0)
    if code == "Y,YYY":
        return f"{moment.year // 1000},{moment.year % 1000:03d}"
    if code in {"AM", "PM", "A.M.", "P.M."}:
        word = ("am", "pm")[moment.hour >= 12]
        word = f"{word[0]}.{word[1]}." if "." in code else word
        return word if piece.written[0].islower() else word.upper()
    if code in {"AD", "BC", "A.D.", "B.C."}:
        word = "a.d." if "." in code else "ad"
        return word if piece.written[0].islower() else word.upper()
    if code == "TZ":
        return "utc" if piece.written[0].islower() else "UTC"
    return "+00"  # OF


def moment_as_text(moment: dt.datetime, template: str) -> str:
    """The moment as the template shows it."""
    made = []
    for piece in pieces(template):
        if not piece.code:
            made.append(piece.text)
        elif piece.code in NUMBERS:
            number = NUMBERS[piece.code](moment)
            made.append(str(number).zfill(WIDTHS[piece.code] if piece.fill else 1))
            made.append(ordinal(number, piece.ordinal) if piece.ordinal else "")
        else:
            made.append(_words(piece, moment))
    return "".join(made)


EPOCH_MOMENT: Final = dt.datetime.combine(EPOCH, dt.time.min)


@scalar(
    "to_char",
    "date, text -> varchar; timestamp, text -> varchar; timestamptz, text -> varchar; time, text -> varchar;"
    "integer, text -> varchar; decimal, text -> varchar; double, text -> varchar",
    meaning="a date, time or number as text, by a template",
)
def to_char(given: Given) -> Column:
    kind = given.columns[0].type
    if kind.number:
        return given.for_each(lambda value, template: number_as_text(value, kind.scale, template))
    unit = DAY if kind.kind == "date" else 1
    divisor = 1000 if kind.unit == "ns" else 1

    def written(value: int, template: str) -> str:
        return moment_as_text(EPOCH_MOMENT + dt.timedelta(microseconds=value * unit // divisor), template)

    return given.for_each(written)


# ---- reading -----------------------------------------------------------------------------------------------------


def _word(text: str, words: "tuple[str, ...]", what: str) -> tuple[int, int]:
    """Which of the words the text begins with, and its length."""
    for i, word in enumerate(words):
        if text[: len(word)].lower() == word.lower():
            return i, len(word)
    raise ValueError(f"{text[:20]!r} begins with no {what}")


def _year(read: dict[str, int]) -> int:
    for code in ("YYYY", "Y,YYY", "IYYY"):
        if code in read:
            return read[code]
    if "YY" in read:
        return read["YY"] + (2000 if read["YY"] < 70 else 1900)
    for code in ("YYY", "Y"):
        if code in read:
            return read[code] + 2000
    return (read["CC"] - 1) * 100 + 1 if "CC" in read else 1


def text_as_moment(text: str, template: str) -> dt.datetime:
    """The moment that the text shows by that template. ValueError says what does not fit."""
    read: dict[str, int] = {}
    at = 0
    for piece in pieces(template):
        if piece.code:
            while text[at : at + 1].isspace():
                at += 1
        if not piece.code:
            at = _skip(text, at, piece.text)
        elif piece.code in {"MONTH", "MON", "DAY", "DY", "RM", "AM", "PM", "A.M.", "P.M."}:
            at = _read_word(text, at, piece.code, read)
        elif piece.code in {"AD", "A.D.", "TZ", "OF", "BC", "B.C."}:
            while at < len(text) and (text[at].isalnum() or text[at] in ".+:-"):
                at += 1
        else:
            width = 5 if piece.code in {"Y,YYY", "SSSS", "SSSSS"} else WIDTHS[piece.code]
            digits = r"\d,\d{3}" if piece.code == "Y,YYY" else rf"\d{{1,{width}}}"
            found = re.compile(digits).match(text, at)
            if not found:
                raise ValueError(f"{text!r} has no {piece.code} at character {at + 1}: the template is {template!r}")
            number = found[0].replace(",", "")
            read[piece.code] = int(number.ljust(width, "0") if piece.code in {"MS", "US"} else number)
            at = found.end() + len(piece.ordinal)
    return _moment(read, text)


def _skip(text: str, at: int, literal: str) -> int:
    """Over separators: any character stands for one that is no letter or digit; blanks for any number of blanks."""
    for letter in literal:
        if letter.isspace():
            while text[at : at + 1].isspace():
                at += 1
        elif text[at : at + 1] == letter or (not letter.isalnum() and not re.match(r"[^\W_]|\s|$", text[at:])):
            at += 1
        elif letter.isalnum():
            raise ValueError(f"{text!r} has no {letter!r} at character {at + 1}")
    return at


def _read_word(text: str, at: int, code: str, read: dict[str, int]) -> int:
    rest = text[at:]
    if code in {"MONTH", "MON"}:
        words = NAMES if code == "MONTH" else tuple(name[:3] for name in NAMES)
        read["MM"], size = _word(rest, words, "month")
        read["MM"] += 1
    elif code == "RM":
        words = tuple(sorted(ROMAN, key=len, reverse=True))
        number, size = _word(rest, words, "month in Roman numbers")
        read["MM"] = ROMAN.index(words[number]) + 1
    elif code in {"DAY", "DY"}:
        _, size = _word(rest, DAYS if code == "DAY" else tuple(name[:3] for name in DAYS), "weekday")
    else:
        number, size = _word(rest, ("a.m.", "p.m.") if "." in code else ("am", "pm"), "AM or PM")
        read["PM"] = number
    return at + size


def _moment(read: dict[str, int], text: str) -> dt.datetime:
    """What was read as a moment. ValueError if there is none such."""
    hour = read.get("HH24", 0)
    for code in ("HH12", "HH"):
        if code in read:
            hour = read[code]
            if "PM" in read:
                if not 1 <= hour <= 12:
                    raise ValueError(f"{text!r} has the hour {hour}: with AM or PM it is 1 to 12")
                hour = hour % 12 + 12 * read["PM"]
    micro = read.get("US", 0) + 1000 * read.get("MS", 0)
    seconds = read.get("SSSS", read.get("SSSSS"))
    try:
        if "J" in read:
            day = dt.date.fromordinal(read["J"] - 1_721_425)
        elif "IYYY" in read and "IW" in read:
            day = dt.date.fromisocalendar(read["IYYY"], read["IW"], read.get("ID", 1))
        elif "DDD" in read:
            day = dt.date(_year(read), 1, 1) + dt.timedelta(days=read["DDD"] - 1)
            if read["DDD"] < 1 or day.year != _year(read):
                raise ValueError("the day of the year is out of range")  # noqa: TRY301 - one message for all
        else:
            month = read.get("MM", 3 * read["Q"] - 2 if "Q" in read else 1)
            day = dt.date(_year(read), month, read.get("DD", 1))
        moment = dt.datetime.combine(day, dt.time(hour, read.get("MI", 0), read.get("SS", 0), micro))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no date or time: {error}") from None
    return moment if seconds is None else dt.datetime.combine(day, dt.time.min) + dt.timedelta(seconds=seconds)


@scalar("to_date", "text, text -> date", meaning="the date that a text shows by a template")
def to_date(given: Given) -> Column:
    return given.for_each(lambda text, template: (text_as_moment(text, template).date() - EPOCH).days)


@scalar("to_timestamp", "text, text -> timestamptz", meaning="the moment that a text shows by a template, in UTC")
def to_timestamp(given: Given) -> Column:
    def read(text: str, template: str) -> int:
        return (text_as_moment(text, template) - EPOCH_MOMENT) // dt.timedelta(microseconds=1)

    return given.for_each(read)
