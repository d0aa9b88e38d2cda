"""One value as a column."""

from typing import Any

import numpy as np

from engines.sql import texts
from engines.sql.column import Column
from engines.sql.types import Type


def constant(type: Type, value: Any) -> Column:  # noqa: ANN401 - an engine value
    """A column that holds one value in every row; None = NULL."""
    valid = None if value is not None else np.zeros(1, np.uint8)
    if type.bytes:
        return texts.from_words([value], type, constant=True)
    if type.floating:
        return Column(type, np.array([value or 0.0], np.float64), valid=valid, constant=True)
    if type.kind == "boolean":
        return Column(type, np.array([value or 0], np.uint8), valid=valid, constant=True)
    if value is not None and not -(2**63) <= value < 2**63:
        wide = np.empty(1, object)
        wide[0] = value
        return Column(type, wide, low=value, high=value, constant=True)
    return Column(type, np.array([value or 0], np.int64), valid=valid, low=value, high=value, constant=True)
