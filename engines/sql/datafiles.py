"""The files of a location, and the values that the names of their folders hold (hive partitions).

    root/year=2024/month=__HIVE_DEFAULT_PARTITION__/part-0.parquet        year "2024", month NULL

Only folders below the location count; for a glob, below the part of it that has no wildcard. Names are percent-decoded.
Files and folders whose names begin with "." or "_" are not data: marks of unfinished and finished jobs.
"""

import datetime as dt
import decimal
import glob
import os
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from engines.errors import Invalid
from engines.sql.source import Field, Schema
from engines.sql.types import BIGINT, DATE, INTEGER, VARCHAR
from engines.sql.values import engine_value

NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file, and what the names of its folders say."""

    path: str
    size: int
    changed: int  # nanoseconds
    keys: tuple[tuple[str, str | None], ...] = ()


def listed(place: str) -> list[DataFile]:
    """The data files of a path, a folder or a glob."""
    if os.path.isfile(place):
        return [_file(place, os.path.dirname(place))]
    if os.path.isdir(place):
        found = []
        for folder, folders, names in os.walk(place):
            folders[:] = [name for name in folders if not name.startswith((".", "_"))]
            found += [_file(os.path.join(folder, name), place) for name in names if not name.startswith((".", "_"))]
        return sorted(found, key=lambda file: file.path)
    fixed = place.split("*", 1)[0].split("?", 1)[0].split("[", 1)[0]
    paths = [path for path in glob.glob(place, recursive=True) if os.path.isfile(path)]
    return [_file(path, os.path.dirname(fixed)) for path in sorted(paths)]


def _file(path: str, root: str) -> DataFile:
    found = os.stat(path)
    below = os.path.relpath(path, root or ".").split(os.sep)[:-1]
    keys = []
    for folder in below:
        key, equals, value = folder.partition("=")
        if equals:
            text = urllib.parse.unquote(value)
            keys.append((urllib.parse.unquote(key), None if text == NO_VALUE else text))
    return DataFile(path, found.st_size, found.st_mtime_ns, tuple(keys))


def guessed(files: Sequence[DataFile], keys: set[str]) -> Schema:
    """Types of partition columns by all their values: whole numbers, else dates, else text."""
    order = list(dict.fromkeys(key for file in files for key, _ in file.keys if key in keys))
    fields = []
    for key in order:
        texts = [text for file in files for name, text in file.keys if name == key and text is not None]
        found = VARCHAR
        if texts and all(text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 19 for text in texts):
            found = INTEGER if all(-(2**31) <= int(text) < 2**31 for text in texts) else BIGINT
        elif texts and all(_is_date(text) for text in texts):
            found = DATE
        fields.append(Field(key, found))
    return tuple(fields)


def _is_date(text: str) -> bool:
    try:
        return len(text) == 10 and bool(dt.date.fromisoformat(text))
    except ValueError:
        return False


def parsed(text: str | None, field: Field, path: str) -> Any:  # noqa: ANN401 - an engine value
    """A folder's value as an engine value of the column's type."""
    if text is None:
        return None
    try:
        if field.type.decimal:
            return engine_value(decimal.Decimal(text), field.type)
        if field.type.integer:
            return engine_value(int(text), field.type)
        if field.type.floating:
            return float(text)
        if field.type.kind == "boolean":
            return {"true": 1, "false": 0, "1": 1, "0": 0}[text.lower()]
        return engine_value(text, field.type)
    except (ValueError, KeyError, decimal.InvalidOperation, Invalid) as error:
        raise Invalid(f"the folder {field.name}={text} of {path!r} is no {field.type}", file=path) from error
