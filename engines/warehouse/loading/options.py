r"""COPY's options, checked: which format the files have, how their fields are cut, and what a field's text means.

    format    as it is said, else by the suffix of the first file, else text with the delimiter |
    csv       delimiter , and quotes; text: delimiter |, no quotes, a backslash only with ESCAPE

Simpler than the service: one character delimits; AVRO, SHAPEFILE and server-side encryption are not known.
"""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engines.errors import Invalid, nearest
from engines.sql.fileformats import COMPRESSED, SUFFIXES

MOST_ERRORS: Final = 100_000
COMPRESSIONS: Final = {"gzip": "gzip", "bzip2": "bz2", "zstd": "zstd"}
ENCODINGS: Final = {
    "utf8": "utf-8",
    "utf16": "utf-16",
    "utf16le": "utf-16-le",
    "utf16be": "utf-16-be",
    "iso88591": "latin-1",
}
KNOWN: Final = frozenset(
    {
        *("format", "delimiter", "null", "gzip", "bzip2", "zstd", "escape", "manifest", "quote", "ignoreheader"),
        *("dateformat", "timeformat", "acceptinvchars", "acceptanydate", "blanksasnull", "emptyasnull", "fillrecord"),
        *("ignoreblanklines", "ignoreallerrors", "truncatecolumns", "trimblanks", "removequotes", "roundec"),
        *("explicit_ids", "maxerror", "noload", "compupdate", "statupdate", "encoding", "json", "fixedwidth"),
    }
)
OF_TEXT: Final = frozenset(
    {
        *("delimiter", "quote", "escape", "ignoreheader", "removequotes", "fillrecord", "ignoreblanklines", "null"),
        *("dateformat", "timeformat", "acceptinvchars", "acceptanydate", "blanksasnull", "emptyasnull"),
        *("truncatecolumns", "trimblanks", "roundec", "gzip", "bzip2", "zstd", "encoding", "maxerror"),
    }
)
COLUMNAR: Final = frozenset({"parquet", "orc"})


@dataclass(frozen=True, slots=True)
class Options:
    """What COPY was told. null, replacement (ACCEPTINVCHARS), date, time (templates): None = not given."""

    format: str = "text"
    delimiter: str = "|"
    quote: str = ""
    escape: bool = False
    remove_quotes: bool = False
    header: int = 0
    null: str = "\\N"
    empty_as_null: bool = False
    blanks_as_null: bool = False
    trim_blanks: bool = False
    truncate: bool = False
    fill: bool = False
    skip_blank_lines: bool = False
    round_decimals: bool = False
    any_date: bool = False
    replacement: str | None = None
    date: str | None = None
    time: str | None = None
    compression: str | None = None
    encoding: str = "utf-8"
    json: str = "auto"
    widths: tuple[tuple[str, int], ...] = ()
    manifest: bool = False
    most_errors: int | None = 0  # None: any number
    load: bool = True
    identities: bool = False  # EXPLICIT_IDS


def read_options(given: Mapping[str, Any], first: str) -> Options:
    """Options by Redshift's names in lower case. first: the path of a file, whose suffix may tell the format.

    Invalid for what is unknown, out of range, or makes no sense together.
    """
    for name in given:
        if name not in KNOWN:
            raise Invalid(f"COPY has no option {name!r}{nearest(name, KNOWN)}")
    form = given.get("format") or ("fixedwidth" if "fixedwidth" in given else format_by_suffix(first, given))
    if form not in ("text", "csv", "json", "parquet", "orc", "fixedwidth"):
        raise Invalid(f"COPY reads text, csv, json, parquet, orc and fixedwidth, not {form!r}")
    if form in COLUMNAR:
        wrong = sorted(OF_TEXT.intersection(given) - {"fillrecord", "maxerror"})
        if wrong:
            raise Invalid(f"{wrong[0].upper()} is about text, and {form.upper()} is none: leave it out")
    if form == "csv" and (given.get("escape") or given.get("removequotes")):
        raise Invalid("CSV has quotes of its own: leave ESCAPE and REMOVEQUOTES out, or take DELIMITER ',' without CSV")
    delimiter = one_character(given.get("delimiter", default_delimiter(form, first)), "DELIMITER")
    quote = one_character(given.get("quote", '"'), "QUOTE") if form == "csv" else ""
    if "quote" in given and form != "csv":
        raise Invalid("QUOTE is an option of CSV: add CSV, or leave it out")
    if delimiter == quote:
        raise Invalid(f"DELIMITER and QUOTE differ, both are {delimiter!r}")
    replacement = given.get("acceptinvchars")
    compressions = [name for name in COMPRESSIONS if given.get(name)]
    if len(compressions) > 1:
        raise Invalid(f"a file is compressed one way, got {' and '.join(name.upper() for name in compressions)}")
    return Options(
        format=form,
        delimiter=delimiter,
        quote=quote,
        escape=bool(given.get("escape")),
        remove_quotes=bool(given.get("removequotes")),
        header=_number(given, "ignoreheader", 1 << 31),
        null=unescaped(given["null"]) if "null" in given else "\\N",
        empty_as_null=bool(given.get("emptyasnull")),
        blanks_as_null=bool(given.get("blanksasnull")),
        trim_blanks=bool(given.get("trimblanks")),
        truncate=bool(given.get("truncatecolumns")),
        fill=bool(given.get("fillrecord")),
        skip_blank_lines=bool(given.get("ignoreblanklines")),
        round_decimals=bool(given.get("roundec")),
        any_date=bool(given.get("acceptanydate")),
        replacement=None if replacement is None else one_character(replacement, "ACCEPTINVCHARS"),
        date=template(given.get("dateformat")),
        time=template(given.get("timeformat")),
        compression=COMPRESSIONS[compressions[0]] if compressions else None,
        encoding=encoding_named(given.get("encoding")),
        json=given.get("json", "auto"),
        widths=widths_of(given["fixedwidth"]) if "fixedwidth" in given else (),
        manifest=bool(given.get("manifest")),
        most_errors=None if given.get("ignoreallerrors") else _number(given, "maxerror", MOST_ERRORS),
        load=not given.get("noload"),
        identities=bool(given.get("explicit_ids")),
    )


def format_by_suffix(path: str, given: Mapping[str, Any]) -> str:
    """The format that a file's name says, if nothing else does."""
    if "delimiter" in given:
        return "text"
    name = path.lower().rsplit("/", 1)[-1]
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    found = next((form for suffix, form in SUFFIXES.items() if name.endswith(suffix)), "text")
    return "text" if name.endswith((".txt", ".tbl")) else found


def default_delimiter(form: str, path: str) -> str:
    """Where none is given."""
    if form != "csv":
        return "|"
    return "\t" if ".tsv" in path.lower() else ","


def one_character(text: str, what: str) -> str:
    r"""One character, or one that is written as an escape: \t, \001."""
    found = unescaped(text)
    if len(found) != 1 or not found.isascii() or found in "\r\n":
        raise Invalid(f"{what} is one ASCII character that ends no line, got {text!r}")
    return found


def unescaped(text: str) -> str:
    r"""What \t, \n, \0 and \001 stand for; any other text as it is."""
    if len(text) < 2 or text[0] != "\\":
        return text
    named = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\\\": "\\", "\\b": "\b", "\\f": "\f", "\\v": "\v"}
    if text in named:
        return named[text]
    digits = text[1:]
    if len(digits) <= 3 and all(digit in "01234567" for digit in digits):
        return chr(int(digits, 8))
    return text


def template(given: str | None) -> str | None:
    """DATEFORMAT and TIMEFORMAT: None for what the casts read anyway."""
    return None if given is None or given.lower() == "auto" else given


def encoding_named(given: str | None) -> str:
    """Python's name of an encoding that COPY knows."""
    key = (given or "utf8").lower().replace("-", "").replace("_", "")
    if key not in ENCODINGS:
        raise Invalid(f"ENCODING is one of {', '.join(ENCODINGS)}, got {given!r}")
    return codecs.lookup(ENCODINGS[key]).name


def widths_of(text: str) -> tuple[tuple[str, int], ...]:
    """'name:3,city:20' as pairs."""
    found = []
    for piece in text.split(","):
        name, _, width = piece.strip().rpartition(":")
        if not width.isdecimal() or int(width) < 1:
            raise Invalid(f"FIXEDWIDTH is 'column:width, ...' with widths from 1, got {piece.strip()!r}")
        found.append((name.strip(), int(width)))
    return tuple(found)


def _number(given: Mapping[str, Any], name: str, most: int) -> int:
    number = given.get(name, 0)
    if not isinstance(number, int) or not 0 <= number <= most:
        raise Invalid(f"{name.upper()} is a number from 0 to {most:,}, got {number!r}")
    return number
