"""Columns that pyarrow has read, as COPY's options and the column's type want them; or doubt.

Doubt is the answer to everything that the careful way might see otherwise: it reads the rows again and says what is
wrong with which of them.
"""

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from engines.extras import extra
from engines.sql import castwords
from engines.sql.arrow import arrow_type, from_arrow, pyarrow
from engines.sql.column import VECTOR, Batch, Column
from engines.warehouse.loading.fields import Fields
from engines.warehouse.write import part

if TYPE_CHECKING:
    import pyarrow as pa

MOMENTS: Final = frozenset({"date", "timestamp", "timestamptz", "time"})


class Doubtful(Exception):
    """The fast way would not read this piece as COPY does."""


REFUSALS: Final = (Doubtful, ArithmeticError, TypeError, ValueError, NotImplementedError)  # pyarrow's are among them


def batches_of(table: "pa.Table", fields: list[Fields]) -> list[Batch]:
    """A table as batches of the columns' types. One of REFUSALS if in doubt."""
    columns = {one.target.name: polished(table.column(one.target.name), one) for one in fields}
    rows = table.num_rows
    return [
        Batch({name: part(column, start, min(start + VECTOR, rows)) for name, column in columns.items()}, stop)
        for start in range(0, rows, VECTOR)
        for stop in (min(VECTOR, rows - start),)
    ]


def polished(array: "pa.ChunkedArray", field: Fields) -> Column:
    """One column of its type."""
    target, options = field.target, field.options
    type = target.type
    is_text = pyarrow().types.is_string(array.type)
    if type.text:
        array = _text_options(array, field)
    elif is_text and type.integer:
        array = _whole_numbers(array, field)
    elif is_text and type.kind in MOMENTS and field.reader() is None:
        array = array.cast(arrow_type(type))
    column = from_arrow(array, target.name)
    if column.type.text and not type.text:
        column, faults = field.convert([None if one == "" else one for one in array.to_pylist()])
        if faults:
            raise Doubtful
    if type.floating and np.isinf(column.data).any():
        raise Doubtful
    if not target.nullable and column.valid is not None and not column.valid.all():
        raise Doubtful
    if type.bytes:
        if type.kind == "char" or (options.truncate and type.length):
            column = castwords.cut(column, type)
        if type.length and int(np.diff(column.data).max(initial=0)) > type.length:
            raise Doubtful
    column.type = type
    limits = type.limits() if type.whole and column.data.dtype == np.int64 and len(column.data) else None
    if limits and not limits[0] <= int(column.data.min()) <= int(column.data.max()) <= limits[1]:
        raise Doubtful
    return column


def _whole_numbers(array: "pa.ChunkedArray", field: Fields) -> "pa.ChunkedArray":
    compute: Any = extra("pyarrow.compute", "arrow")
    if compute.any(compute.match_substring(array, "x", ignore_case=True)).as_py():
        raise Doubtful
    none = pyarrow().scalar(None, pyarrow().string())
    trimmed = compute.utf8_trim(array, characters=" ")
    return compute.if_else(compute.equal(trimmed, ""), none, trimmed).cast(arrow_type(field.target.type))


def _text_options(array: "pa.ChunkedArray", field: Fields) -> "pa.ChunkedArray":
    compute: Any = extra("pyarrow.compute", "arrow")
    options = field.options
    none = pyarrow().scalar(None, pyarrow().string())
    null_rows = compute.equal(array, options.null)
    if compute.any(null_rows).as_py():
        array = compute.if_else(null_rows, none, array)
    if options.trim_blanks or field.target.type.kind == "char":
        array = compute.utf8_rtrim(array, characters=" ")
    if options.empty_as_null:
        array = compute.if_else(compute.equal(array, ""), none, array)
    if options.blanks_as_null:
        array = compute.if_else(compute.utf8_is_space(array), none, array)
    return array
