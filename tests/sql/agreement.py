"""Whether two engines agree on a query: their rows, or the kind of their error."""

import datetime as dt
import math
import re
from collections import Counter
from decimal import Decimal
from itertools import chain

from engines.errors import QueryError

NEAR = 1e-9  # relative, of results that are not exact
KINDS = (
    ("division", r"division by zero"),
    ("range", r"out of range|too large|overflow|could not cast value|failed to cast|holds numbers|is no DECIMAL"),
    ("cast", r"is no [A-Z]|could not convert|conversion error|invalid date|cannot be cast"),
    ("rows", r"more than one row"),
)


class Disagreement(Exception):
    """What differs, in a few lines."""


def kind_of(error):
    """The kind of a failure of a run; "" for any other error."""
    text = str(error)
    return next((name for name, pattern in KINDS if re.search(pattern, text, re.IGNORECASE)), "")


def alike(mine, peer):
    """A text that is too long a number is out of range to one and no number to the other."""
    return mine == peer or {mine, peer} == {"cast", "range"}


def plain(value):
    """A value as both engines would give it."""
    if isinstance(value, float):
        return ("nan",) if math.isnan(value) else value
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None)
    return value


def near(mine, peer):
    if mine is None or peer is None or isinstance(mine, tuple) or isinstance(peer, tuple):
        return mine == peer
    a, b = float(mine), float(peer)
    unit = 10.0 ** mine.as_tuple().exponent if isinstance(mine, Decimal) else 1e-9
    return a == b or abs(a - b) <= unit + NEAR * max(abs(a), abs(b))


def rank(value):
    """To sort rows of mixed values and NULLs by."""
    if value is None:
        return (0, 0)
    if isinstance(value, (bool, int, float, Decimal)):
        return (1, value)
    if isinstance(value, tuple):
        return (2, 0)
    return (3, str(value))


def compare(ours, theirs, outputs, ordered=None):
    """Disagreement unless the rows are the same: as multisets, and in the order of the columns `ordered`."""
    if len(ours) != len(theirs):
        raise Disagreement(f"{len(ours)} rows, not {len(theirs)}: {sample(ours)} and {sample(theirs)}")
    ours, theirs = flat(ours), flat(theirs)
    if ordered is not None:
        for place, (row, peer) in enumerate(zip(ours, theirs, strict=True)):
            if any(row[i] != peer[i] for i in ordered):
                raise Disagreement(f"row {place} is {row}, not {peer}, in the order of columns {ordered}")
    if ours == theirs or Counter(ours) == Counter(theirs):
        return
    exact = [i for i, one in enumerate(outputs) if one.exact]
    rest = [i for i, one in enumerate(outputs) if not one.exact]

    mine, peers = (grouped(rows, exact, rest) for rows in (ours, theirs))
    for key in mine | peers:
        some, others = sorted(mine.get(key, []), key=ranks), sorted(peers.get(key, []), key=ranks)
        if len(some) != len(others) or not all(map(near, chain(*some), chain(*others))):
            raise Disagreement(f"different rows where the exact values are {key}: {sample(some)}, not {sample(others)}")


def grouped(rows, exact, rest):
    """What is not exact of each row, by what is."""
    found = {}
    for row in rows:
        found.setdefault(tuple(row[i] for i in exact), []).append([row[i] for i in rest])
    return found


def ranks(row):
    return list(map(rank, row))


def flat(rows):
    """The rows with plain values; columns that have none to change are left as they are."""
    columns = [
        list(map(plain, column)) if {float, dt.datetime} & set(map(type, column)) else column
        for column in zip(*rows, strict=True)
    ]
    return list(zip(*columns, strict=True)) if columns else [()] * len(rows)


def sample(rows):
    return [tuple(row) for row in rows[:4]]


def check(engine, peer, query):
    """Run both texts. The kind of error that both gave, or ""; Disagreement."""
    mine = error = None
    try:
        mine = engine.query(query.text(0)).rows()
    except QueryError as raised:
        error = raised
    try:
        rows = peer.execute(query.text(1)).fetchall()
    except Exception as raised:  # noqa: BLE001 - whatever it says
        if error is not None and kind_of(error) and alike(kind_of(error), kind_of(raised)):
            return kind_of(error)
        raise Disagreement(f"theirs fails: {type(raised).__name__}: {raised}\nours: {error or sample(mine)}") from None
    if error is not None:
        raise Disagreement(f"ours fails: {error}")
    compare(mine, rows, query.outputs, query.sorted)
    return ""
