"""COPY and UNLOAD: a table or query, a place, and options in any order.

    COPY orders (id, total) FROM 'in/*.csv' CSV IGNOREHEADER 1 DELIMITER ';' NULL AS '-' MAXERROR 10
    UNLOAD ('SELECT ...') TO 'out/' PARQUET PARTITION BY (year)

Options come out by their lower-case names. Those that mean nothing without AWS (credentials, region, encryption) are
read and dropped.
"""

from collections.abc import Callable
from typing import Any

from engines.errors import nearest
from engines.warehouse.statements.reader import Reader, dotted
from engines.warehouse.statements.records import Copy, Unload

FORMATS = ("PARQUET", "CSV", "JSON", "ORC", "AVRO", "SHAPEFILE", "TEXT", "FIXEDWIDTH")
UNSUPPORTED = ("AVRO", "SHAPEFILE", "FIXEDWIDTH")  # a format of COPY, with its widths: FIXEDWIDTH 'id:3, name:20'


def _on(_: Reader) -> bool:
    return True


def _text(reader: Reader) -> str:
    _ = reader.takes("AS")
    return reader.string()


def _number(reader: Reader) -> int:
    _ = reader.takes("AS")
    return reader.number()


def _format(reader: Reader) -> str:
    _ = reader.takes("AS")
    form = reader.word(*FORMATS)
    if form in UNSUPPORTED:
        raise reader.error(f"{form} is not supported: use PARQUET, CSV, JSON or ORC")
    return form.lower()


def _switch(reader: Reader) -> bool:
    if reader.takes("OFF") or reader.takes("FALSE"):
        return False
    _ = reader.takes("ON") or reader.takes("TRUE") or reader.takes("PRESET")
    return True


def _names(reader: Reader) -> list[str]:
    return reader.names()


def _replacement(reader: Reader) -> str:
    _ = reader.takes("AS")
    return reader.string() if _string_next(reader) else "?"


def _string_next(reader: Reader) -> bool:
    return reader.token is not None and reader.token.token_type.name == "STRING"


def _json(reader: Reader) -> str:
    _ = reader.takes("AS")
    return reader.string() if _string_next(reader) else "auto"


def _quote(reader: Reader) -> str:
    _ = reader.takes("AS")
    return reader.string()


Option = Callable[[Reader], Any]
BOTH: dict[str, Option] = {
    "FORMAT": _format,
    "DELIMITER": _text,
    "NULL": _text,
    "GZIP": _on,
    "BZIP2": _on,
    "ZSTD": _on,
    "ESCAPE": _on,
    "IAM_ROLE": lambda reader: reader.takes("DEFAULT") or reader.string(),
    "CREDENTIALS": _text,
    "ACCESS_KEY_ID": _text,
    "SECRET_ACCESS_KEY": _text,
    "REGION": _text,
    "ENCRYPTED": _on,
    "MANIFEST": _on,
}
COPY: dict[str, Option] = BOTH | {
    "QUOTE": _quote,
    "IGNOREHEADER": _number,
    "DATEFORMAT": _text,
    "TIMEFORMAT": _text,
    "ACCEPTINVCHARS": _replacement,
    "ACCEPTANYDATE": _on,
    "BLANKSASNULL": _on,
    "EMPTYASNULL": _on,
    "FILLRECORD": _on,
    "IGNOREBLANKLINES": _on,
    "IGNOREALLERRORS": _on,
    "TRUNCATECOLUMNS": _on,
    "TRIMBLANKS": _on,
    "REMOVEQUOTES": _on,
    "ROUNDEC": _on,
    "EXPLICIT_IDS": _on,
    "MAXERROR": _number,
    "NOLOAD": _on,
    "COMPUPDATE": _switch,
    "STATUPDATE": _switch,
    "ENCODING": lambda reader: (reader.takes("AS"), reader.identifier("an encoding"))[1],
    "COMPROWS": _number,
}
UNLOAD: dict[str, Option] = BOTH | {
    "HEADER": _on,
    "ALLOWOVERWRITE": _on,
    "CLEANPATH": _on,
    "ADDQUOTES": _on,
    "PARALLEL": _switch,
    "MAXFILESIZE": lambda reader: (reader.takes("AS"), reader.number(), reader.word("MB", "GB"))[1:],
    "EXTENSION": _text,
}
DROPPED = ("IAM_ROLE", "CREDENTIALS", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION", "ENCRYPTED", "COMPROWS")


def read_copy(reader: Reader) -> Copy:
    """What comes after COPY."""
    name = dotted(reader.name())
    columns = tuple(reader.names()) if reader.sees("(") else ()
    reader.take("FROM")
    source = reader.string("a path or a pattern of paths")
    return Copy(name, source, columns, _options(reader, COPY))


def read_unload(reader: Reader) -> Unload:
    """What comes after UNLOAD."""
    reader.take("(")
    start = reader.position
    query = " " * (start + 1) + reader.string("the query, in quotes")
    reader.take(")")
    reader.take("TO")
    to = reader.string("a path")
    return Unload(query, to, _options(reader, UNLOAD))


def _options(reader: Reader, known: dict[str, Option]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while reader.token is not None:
        position = reader.position
        word = reader.token.text.upper()
        if word == "FIXEDWIDTH" and "HEADER" not in known:
            reader.at += 1
            found |= {"format": "fixedwidth", "fixedwidth": _text(reader)}
            continue
        if word in FORMATS:  # CSV, JSON 'auto', FORMAT AS may be left away
            form = _format(reader)
            found["format"] = form
            if form == "json" and "HEADER" not in known:
                found["json"] = _json(reader)
            continue
        if word == "PARTITION" and "HEADER" in known:
            reader.at += 1
            reader.take("BY")
            found["partition by"] = _names(reader)
            found["include"] = reader.takes("INCLUDE")
            continue
        if word not in known:
            hint = nearest(word, [*known, *FORMATS])
            raise reader.error(f"{word!r} is no option here{hint}", position)
        reader.at += 1
        value = known[word](reader)
        if word == "FORMAT" and value == "json" and "HEADER" not in known:
            found["json"] = _json(reader)
        if word not in DROPPED:
            found[word.lower()] = value
    return found
