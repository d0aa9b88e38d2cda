"""What the tests of the warehouse's SQL share: rows as plain Python, and refusals that change nothing."""

from decimal import Decimal

import numpy as np
import pytest

from engines.errors import EngineError


def plain(value):
    """A cell as Python has it: no numpy scalars, None for NaT."""
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return None if np.isnat(value) else value.item()
    return value.item() if isinstance(value, np.generic) else value


def rows_of(table):
    return [tuple(map(plain, row)) for row in zip(*table.columns.values(), strict=True)]


def ask(who, text, *values, **named):
    """The rows that a warehouse or session gives."""
    return rows_of(who.sql(text, *values, **named))


def one(who, text, *values, **named):
    """The only cell of the only row."""
    ((value,),) = ask(who, text, *values, **named)
    return value


def touched(who, text, *values, **named):
    """How many rows a command says it touched."""
    return int(who.sql(text, *values, **named).columns["rows"][0])


def refused(who, text, kind, says, *values, **named):
    """The error of a statement; it must be of this very class, say this, and have changed no table."""
    warehouse = getattr(who, "warehouse", who)
    before = contents(warehouse)
    with pytest.raises(EngineError) as caught:
        who.sql(text, *values, **named)
    assert type(caught.value) is kind, repr(caught.value)
    assert says in str(caught.value)
    assert contents(warehouse) == before
    return caught.value


def contents(warehouse):
    """All that others see of the tables, read past SQL: their shapes and pages."""
    root = warehouse.storage.view().root
    return {"tables": root.tables, "views": root.views, "schemas": root.schemas, "access": root.access}


def sorted_rows(rows):
    """Rows in an order that knows NULL."""
    return sorted(rows, key=lambda row: [(value is None, 0 if value is None else value) for value in row])


def decimals(*texts):
    return [(Decimal(text),) for text in texts]
