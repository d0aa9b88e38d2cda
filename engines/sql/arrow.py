"""Arrow and columns, both ways: what COPY, UNLOAD, external tables, DataFrames and other programs speak.

    int8 ... int64, uint8 ... uint32    whole numbers         string, large_string, string_view   offsets and heap
    decimal128                          whole, scaled         dictionary<string>                  codes and words
    date32 date64 timestamp time        whole numbers         list, struct                        ARRAY, ROW
    float16 float32 float64 bool null   as they are           map, union, duration ...            Invalid, by name

Text heaps and 64-bit numbers are shared, not copied. What stands under a NULL is set to 0, for a foreign writer may
have left anything there.

Invariant: from_arrow(to_arrow(column)) holds the same values.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.errors import Invalid, TooLarge
from engines.extras import extra
from engines.sql import types
from engines.sql.column import VECTOR, Array, Batch, Bytes, Column, Dictionary, elements, expand, gather
from engines.sql.source import Field, Schema
from engines.sql.types import Type
from engines.sql.values import span

if TYPE_CHECKING:
    import pyarrow as pa

UNITS = {"s": 1_000_000, "ms": 1000, "us": 1}
HIGH = 1 << 64


def pyarrow() -> Any:  # noqa: ANN401 - the module
    """The module; an error that names the extra where it is missing."""
    return extra("pyarrow", "arrow")


def schema_of(schema: "pa.Schema") -> Schema:
    """An Arrow schema's fields in SQL's types."""
    return tuple(Field(field.name, type_of_arrow(field.type, field.name), field.nullable) for field in schema)


def type_of_arrow(arrow: "pa.DataType", name: str = "") -> Type:
    """Invalid names the column if no SQL type holds what the Arrow type does."""
    pa = pyarrow()
    is_ = pa.types
    if is_.is_dictionary(arrow):
        return type_of_arrow(arrow.value_type, name)
    if is_.is_decimal(arrow):
        if arrow.precision <= types.MOST_DIGITS and 0 <= arrow.scale <= arrow.precision:
            return types.decimal(arrow.precision, arrow.scale)
    elif is_.is_timestamp(arrow):
        return Type("timestamptz" if arrow.tz else "timestamp", unit="ns" if arrow.unit == "ns" else "us")
    elif is_.is_list(arrow) or is_.is_large_list(arrow):
        return types.array(type_of_arrow(arrow.value_type, name))
    elif is_.is_struct(arrow):
        return Type("row", fields=tuple((field.name, type_of_arrow(field.type, name)) for field in arrow))
    for test, found in (
        (is_.is_boolean, types.BOOLEAN),
        (is_.is_int8, types.SMALLINT),
        (is_.is_uint8, types.SMALLINT),
        (is_.is_int16, types.SMALLINT),
        (is_.is_uint16, types.INTEGER),
        (is_.is_int32, types.INTEGER),
        (is_.is_uint32, types.BIGINT),
        (is_.is_int64, types.BIGINT),
        (is_.is_uint64, types.decimal(20, 0)),
        (is_.is_float32, types.REAL),
        (is_.is_floating, types.DOUBLE),
        (is_.is_string, types.VARCHAR),
        (is_.is_large_string, types.VARCHAR),
        (is_.is_string_view, types.VARCHAR),
        (is_.is_binary, types.VARBYTE),
        (is_.is_large_binary, types.VARBYTE),
        (is_.is_fixed_size_binary, types.VARBYTE),
        (is_.is_date, types.DATE),
        (is_.is_time, types.TIME),
        (is_.is_null, types.NULL),
    ):
        if test(arrow):
            return found
    raise Invalid(f"column {name!r} is of Arrow's type {arrow}, which no SQL type holds: cast it before")


def batches_of(table: "pa.Table | pa.RecordBatch", rows: int = VECTOR) -> Iterator[Batch]:
    """An Arrow table as batches of at most that many rows."""
    for record in table.to_batches(max_chunksize=rows) if hasattr(table, "to_batches") else [table]:
        for start in range(0, record.num_rows, rows):
            yield batch_of(record.slice(start, rows))


def batch_of(record: "pa.RecordBatch") -> Batch:
    """Columns are converted when somebody asks for them."""
    makers = {name: _maker(record.column(i), name) for i, name in enumerate(record.schema.names)}
    return Batch(makers, record.num_rows)


def _maker(array: "pa.Array", name: str) -> Any:  # noqa: ANN401 - column.Maker
    return lambda: from_arrow(array, name=name)


def from_arrow(array: "pa.Array | pa.ChunkedArray", name: str = "") -> Column:
    """A column of the same values. TooLarge if its text is over 2 GB."""
    pa = pyarrow()
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
        if isinstance(array, pa.ChunkedArray):
            raise TooLarge(f"the text of column {name!r} is over 2 GB: pass it in batches", size=array.nbytes)
    found = type_of_arrow(array.type, name)
    valid = _validity(array)
    column = replace(_filled(array, found, name), valid=valid)
    if valid is not None and not column.type.bytes and column.parts is None:
        column.data = np.where(valid.astype(bool), column.data, column.data.dtype.type(0) if not column.wide else 0)
    return column


def _validity(array: "pa.Array") -> "Bytes | None":
    if array.null_count == 0:
        return None
    if array.buffers()[0] is None or pyarrow().types.is_dictionary(
        array.type
    ):  # of a dictionary, words may be null too
        missing = array.is_null() if not pyarrow().types.is_null(array.type) else None
        return np.zeros(len(array), np.uint8) if missing is None else (~_bits(missing).astype(bool)).astype(np.uint8)
    return _bits_of(array.buffers()[0], array.offset, len(array))


def _bits(array: "pa.Array") -> Bytes:
    return _bits_of(array.buffers()[1], array.offset, len(array))


def _bits_of(buffer: Any, offset: int, length: int) -> Bytes:  # noqa: ANN401 - pa.Buffer
    start = offset // 8
    taken = np.frombuffer(buffer, np.uint8)[start : (offset + length + 7) // 8]
    return np.unpackbits(taken, bitorder="little")[offset - start * 8 : offset - start * 8 + length]


def _filled(array: "pa.Array", found: Type, name: str) -> Column:
    pa = pyarrow()
    arrow = array.type
    if pa.types.is_dictionary(arrow):
        return _coded(array, found, name)
    if found.bytes:
        return _text(array, found, name)
    if found.kind == "null":
        return Column(found, np.zeros(len(array), np.uint8))
    if found.kind == "boolean":
        return Column(found, _bits(array))
    if found.kind == "array":
        return _list(array, found, name)
    if found.kind == "row":
        parts = {field: from_arrow(array.field(i), name) for i, (field, _) in enumerate(found.fields)}
        return Column(found, np.arange(len(array), dtype=np.int32), parts=parts)
    if found.decimal and pa.types.is_decimal(arrow):
        return _decimal(array, found)
    if found.decimal:
        values = _numbers(array, np.uint64)
        fits = not len(values) or int(values.max()) < 2**63
        return Column(found, values.astype(np.int64) if fits else values.astype(object))
    if found.floating:
        return Column(found, _numbers(array, arrow.to_pandas_dtype()).astype(np.float64))
    return Column(found, _moments(array, found))


def _numbers(array: "pa.Array", dtype: Any) -> Array:  # noqa: ANN401 - a numpy type
    if len(array) == 0:
        return np.zeros(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype)[array.offset : array.offset + len(array)]


def _moments(array: "pa.Array", found: Type) -> Array:
    """Integers, dates, times: int64 in the engine's unit."""
    is_ = pyarrow().types
    arrow = array.type
    if is_.is_integer(arrow):
        return _numbers(array, arrow.to_pandas_dtype()).astype(np.int64, copy=False)
    if is_.is_date32(arrow):
        return _numbers(array, np.int32).astype(np.int64)
    if is_.is_date64(arrow):
        return _numbers(array, np.int64) // 86_400_000
    if is_.is_time32(arrow):
        return _numbers(array, np.int32).astype(np.int64) * UNITS[arrow.unit]
    values = _numbers(array, np.int64)
    if arrow.unit == "ns":
        return values if found.unit == "ns" and found.kind != "time" else values // 1000
    times = UNITS[arrow.unit]
    if times == 1:
        return values
    made = values * times
    beyond = made // times != values
    if beyond.any() and (beyond & array.is_valid().to_numpy(zero_copy_only=False)).any():
        raise Invalid(f"Arrow's {arrow} has moments that microseconds in 64 bits do not hold")
    return made


def _decimal(array: "pa.Array", found: Type) -> Column:
    pa = pyarrow()
    if not pa.types.is_decimal128(array.type):
        array = array.cast(pa.decimal128(found.precision, found.scale))
    if len(array) == 0:
        return Column(found, np.zeros(0, np.int64))
    halves = np.frombuffer(array.buffers()[1], np.int64).reshape(-1, 2)[array.offset : array.offset + len(array)]
    low, high = halves[:, 0], halves[:, 1]
    if found.precision <= 18 or bool((high == low >> 63).all()):
        return Column(found, np.ascontiguousarray(low))
    return Column(found, high.astype(object) * HIGH + np.ascontiguousarray(low).view(np.uint64).astype(object))


def _text(array: "pa.Array", found: Type, name: str) -> Column:
    pa = pyarrow()
    if pa.types.is_string_view(array.type) or pa.types.is_fixed_size_binary(array.type):
        array = array.cast(pa.string() if found.text else pa.binary())
    if len(array) == 0:
        return Column(found, np.zeros(1, np.int32), heap=np.zeros(0, np.uint8))
    large = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    _, offsets_buffer, heap_buffer = array.buffers()
    dtype = np.int64 if large else np.int32
    offsets = np.frombuffer(offsets_buffer, dtype)[array.offset : array.offset + len(array) + 1]
    start, end = int(offsets[0]), int(offsets[-1])
    if end - start >= 2**31:
        raise TooLarge(f"the text of column {name!r} is over 2 GB: pass it in batches", size=end - start)
    heap = np.frombuffer(heap_buffer, np.uint8)[start:end] if heap_buffer is not None else np.zeros(0, np.uint8)
    return Column(found, (offsets - start).astype(np.int32, copy=False), heap=heap)


def _coded(array: "pa.Array", found: Type, name: str) -> Column:
    if not found.bytes or array.dictionary.null_count or len(array.dictionary) == 0:
        return _filled(array.cast(array.type.value_type), found, name)
    plain = _text(array.dictionary, found, name)
    assert plain.heap is not None, "text as offsets and heap"  # noqa: S101 - what _text gives
    codes = array.indices.fill_null(0) if array.indices.null_count else array.indices
    numbers = _numbers(codes, codes.type.to_pandas_dtype())
    narrow = np.uint8 if len(array.dictionary) <= 256 else np.uint16 if len(array.dictionary) <= 65_536 else np.uint32
    return Column(found, numbers.astype(narrow), words=Dictionary(plain.data, plain.heap))


def _list(array: "pa.Array", found: Type, name: str) -> Column:
    offsets = array.offsets.to_numpy(zero_copy_only=False)
    elements = array.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0])) if len(offsets) else array.values
    cuts = (offsets - offsets[0]).astype(np.int32) if len(offsets) else np.zeros(1, np.int32)
    return Column(found, cuts, parts={"element": from_arrow(elements, name)})


# ---- and back ----------------------------------------------------------------------------------------------------


def arrow_type(type: Type) -> "pa.DataType":
    """The Arrow type that holds a SQL type's values."""
    pa = pyarrow()
    kind = type.kind
    if kind == "decimal":
        return pa.decimal128(max(type.precision, 1), type.scale)
    if kind in {"timestamp", "timestamptz"}:
        return pa.timestamp(type.unit, tz="UTC" if kind == "timestamptz" else None)
    if kind in {"array", "timeseries"}:
        return pa.list_(arrow_type(type.element))
    if kind == "row":
        return pa.struct([(name, arrow_type(inner)) for name, inner in type.fields])
    return {
        "boolean": pa.bool_(),
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "real": pa.float32(),
        "double": pa.float64(),
        "char": pa.string(),
        "varchar": pa.string(),
        "varbyte": pa.binary(),
        "date": pa.date32(),
        "time": pa.time64("us"),
        "interval": pa.duration("ns" if type.unit == "ns" else "us"),
        "null": pa.null(),
    }[kind]


def to_arrow(column: Column, rows: int) -> "pa.Array":
    """The column as an Arrow array; codes stay a dictionary."""
    pa = pyarrow()
    column = expand(column, rows)
    mask = None if column.valid is None else column.valid == 0
    kind, target = column.type.kind, arrow_type(column.type)
    if kind == "null":
        return pa.nulls(rows)
    if column.words is not None:
        words = pa.array(column.words.words(), pa.binary()).cast(target)
        codes = pa.array(column.data.astype(np.int32), mask=mask)
        return pa.DictionaryArray.from_arrays(codes, words)
    buffer = None if column.valid is None else pa.py_buffer(np.packbits(column.valid, bitorder="little"))
    if column.heap is not None:
        buffers = [
            buffer,
            pa.py_buffer(np.ascontiguousarray(column.data)),
            pa.py_buffer(np.ascontiguousarray(column.heap)),
        ]
        return pa.Array.from_buffers(target, rows, buffers)
    if column.parts is not None:
        if kind == "row":
            children = [to_arrow(gather(part, column.data), rows) for part in column.parts.values()]
            return pa.StructArray.from_arrays(
                children, names=list(column.parts), mask=None if mask is None else pa.array(mask)
            )
        element = elements(column)
        return pa.ListArray.from_arrays(
            pa.array(column.data), to_arrow(element, len(element)), mask=None if mask is None else pa.array(mask)
        )
    if kind == "boolean":
        return pa.array(column.data.astype(bool), mask=mask)
    if column.type.floating:
        return pa.array(column.data, pa.float64(), mask=mask).cast(target)
    if kind == "decimal":
        return pa.Array.from_buffers(target, rows, [buffer, pa.py_buffer(_halves(column))])
    if kind == "interval" and column.wide:
        return pa.array([span(value) for value in column.data], pa.int64(), mask=mask).cast(target)
    return pa.array(column.numbers(), mask=mask).cast(pa.int32() if kind == "date" else pa.int64()).cast(target)


def _halves(column: Column) -> Array:
    if column.wide:
        whole = b"".join(int(value).to_bytes(16, "little", signed=True) for value in column.data)
        return np.frombuffer(whole, np.int64)
    low = column.numbers()
    halves = np.empty((len(low), 2), np.int64)
    halves[:, 0], halves[:, 1] = low, low >> 63
    return halves


def table_of(batches: "Iterator[Batch] | list[Batch]", columns: "list[tuple[str, str, Type]]") -> "pa.Table":
    """An Arrow table of batches; columns: header, id, type."""
    pa = pyarrow()
    target = pa.schema([(header, arrow_type(type)) for header, _, type in columns])
    records = []
    for batch in batches:
        arrays = [_plain(to_arrow(batch.column(id), batch.rows)) for _, id, _ in columns]
        records.append(pa.RecordBatch.from_arrays(arrays, schema=target))
    return pa.Table.from_batches(records, schema=target)


def _plain(array: "pa.Array") -> "pa.Array":
    return array.cast(array.type.value_type) if pyarrow().types.is_dictionary(array.type) else array
