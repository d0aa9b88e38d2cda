"""DynamoDB's JSON as plain Python reads it, and a table as a list of changes says it was."""

import base64
import gzip
import json
from decimal import Decimal
from pathlib import Path


def value_of(typed):
    """The value that {type: value} says."""
    ((kind, value),) = typed.items()
    return {
        "S": lambda: value,
        "N": lambda: Decimal(value),
        "B": lambda: base64.b64decode(value),
        "BOOL": lambda: value,
        "NULL": lambda: None,
        "M": lambda: item_of(value),
        "L": lambda: [value_of(part) for part in value],
        "SS": lambda: set(value),
        "NS": lambda: set(map(Decimal, value)),
        "BS": lambda: set(map(base64.b64decode, value)),
    }[kind]()


def item_of(typed):
    return {name: value_of(value) for name, value in typed.items()}


def lines_of(files):
    """The objects in an export's data files."""
    return [json.loads(line) for file in files for line in gzip.decompress(Path(file).read_bytes()).splitlines()]


def apply(items, lines, key):
    """The items by their key, after the changes of an incremental export."""
    items = dict(items)
    for line in lines:
        where = value_of(line["Keys"][key])
        old = None if "OldImage" not in line else item_of(line["OldImage"])
        assert items.get(where) == old
        if "NewImage" in line:
            items[where] = item_of(line["NewImage"])
        else:
            items.pop(where, None)
    return items
