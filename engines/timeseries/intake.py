"""Whatever a user passes, as columns: lists, numpy, pandas, Polars, Arrow; datetimes, ISO texts and numbers for times.

    times        moments.py
    dimensions   a text that stands for all rows, or a text for each; None = the record has no such dimension
    measures     float DOUBLE   int BIGINT   bool BOOLEAN   str VARCHAR   datetime64, datetime TIMESTAMP
                 None or masked = absent. NaN is a value of DOUBLE

A column has one type; whole numbers among floats become floats, nothing else is converted. All is checked here, before
anything is written: Invalid names the column and the row.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines._native import encodings
from engines.errors import Invalid, TooLarge
from engines.extras import extra
from engines.timeseries.columns import Columns, Values, Words
from engines.timeseries.foreign import arrow_of, is_arrow, plain_of
from engines.timeseries.moments import LAST, exact, moment, times_of
from engines.timeseries.schema import LONGEST_DIMENSION_NAME, MOST_DIMENSIONS, MOST_MEASURES, MeasureType

Array = npt.NDArray[Any]
DISTINCT: Final = 65_536  # texts that are told apart by their hashes
CLASSES: Final[tuple[tuple[tuple[type, ...], MeasureType], ...]] = (
    ((bool, np.bool_), "boolean"),  # before int, which bool is too
    ((int, np.integer), "bigint"),
    ((float, np.floating), "double"),
    ((str,), "varchar"),
    ((dt.date, np.datetime64), "timestamp"),
)


def columns_of(
    time: Any,  # noqa: ANN401 - see the module's text; so the others
    dimensions: Mapping[str, Any],
    measures: Mapping[str, Any],
    *,
    measure_name: Any = None,  # noqa: ANN401
    version: Any = 1,  # noqa: ANN401
) -> Columns:
    """Records as columns of one length. Scalars everywhere make one record. Invalid, TooLarge."""
    times = times_of(time)
    rows = len(times)
    if not measures:
        raise Invalid("a record has at least one measure, got none: pass measures={name: values}")
    if len(measures) > MOST_MEASURES:
        raise TooLarge(f"a record has at most {MOST_MEASURES:,} measures, got {len(measures):,}", limit=MOST_MEASURES)
    if len(dimensions) > MOST_DIMENSIONS:
        raise TooLarge(f"a record has at most {MOST_DIMENSIONS} dimensions, got {len(dimensions)}")
    for name in dimensions:
        checked_dimension_name(name)
    for name in measures:
        if not isinstance(name, str) or not name:
            raise Invalid(f"the name of a measure is a text that is not empty, got {name!r}")
        if name in dimensions:
            raise Invalid(f"{name!r} is both a dimension and a measure: name one of them otherwise")
    words = {name: words_of(values, rows, f"dimension {name!r}") for name, values in dimensions.items()}
    values = {name: values_of(given, rows, f"measure {name!r}") for name, given in measures.items()}
    names = None if measure_name is None else words_of(measure_name, rows, "measure_name")
    if names is not None and (any(not word for word in names.words) or bool((names.codes < 0).any())):
        raise Invalid("a measure_name is a text that is not empty")
    return Columns(times, words, values, names, versions_of(version, rows))


def checked_dimension_name(name: object) -> str:
    """The name, if it can be one. Invalid."""
    if not isinstance(name, str) or not name:
        raise Invalid(f"the name of a dimension is a text that is not empty, got {name!r}")
    if len(name.encode()) > LONGEST_DIMENSION_NAME:
        raise Invalid(f"the name of a dimension has at most {LONGEST_DIMENSION_NAME} bytes, got {name!r}")
    return name


# ---- text


def words_of(given: Any, rows: int, what: str) -> Words:  # noqa: ANN401 - see the module's text
    """A text for each row, or one for all. Invalid with the row of what is no text."""
    if isinstance(given, str):
        return Words(np.zeros(1 if rows else 0, np.int32), (given,))
    given = arrow_of(given)
    if is_arrow(given):
        return _arrow_words(given, rows, what)
    if hasattr(given, "cat") and hasattr(given.cat, "codes"):  # categories of pandas
        categories = [_word(word, 0, what) for word in given.cat.categories.tolist()]
        codes = given.cat.codes.to_numpy().astype(np.int32)
        return _checked_words(Words(codes, tuple(str(word) for word in categories)), rows, what)
    given = plain_of(given)
    mask = None
    if isinstance(given, np.ma.MaskedArray):
        mask, given = np.ma.getmaskarray(given), given.filled("" if given.dtype.kind == "U" else None)
    if isinstance(given, np.ndarray) and given.dtype.kind == "U" and given.ndim == 1:
        codes, words = _distinct_texts(given)
    else:
        values = given.tolist() if hasattr(given, "tolist") else list(given) if isinstance(given, Iterable) else [given]
        codes, words = _distinct(values if isinstance(values, list) else [values], what)
    if mask is not None:
        codes[mask] = -1
    return _checked_words(Words(codes, words), rows, what)


def _distinct(values: Sequence[Any], what: str) -> tuple[Array, tuple[str, ...]]:
    """Codes and words of a list."""
    try:
        distinct = dict.fromkeys(values)
    except TypeError:  # there is a list among them, or the like
        distinct = {7: None}
    if not all(type(word) is str or word is None for word in distinct):
        for row, word in enumerate(values):
            _word(word, row, what)
    words = tuple(str(word) for word in distinct if word is not None)
    lookup: dict[Any, int] = {word: number for number, word in enumerate(words)} | {None: -1}
    return np.fromiter(map(lookup.__getitem__, values), np.int32, len(values)), words


def _distinct_texts(array: Array) -> tuple[Array, tuple[str, ...]]:
    """Codes and words of numpy's own texts: by a hash of each, which is then held against the text itself."""
    if not len(array):
        return np.zeros(0, np.int32), ()
    letters = np.ascontiguousarray(array).view(np.uint32).reshape(len(array), -1)
    with np.errstate(over="ignore"):
        hashes = np.full(len(array), 7, np.uint64)
        for column in letters.T:
            hashes = (hashes ^ column) * np.uint64(0x9E3779B97F4A7C15)
    codes, firsts = np.zeros(len(array), np.uint32), np.zeros(min(len(array), DISTINCT), np.int32)
    count = encodings.number_values(hashes.view(np.int64), None, codes, firsts)
    if count < 0 or not bool((letters[firsts[codes]] == letters).all()):
        return _distinct(array.tolist(), "")
    return codes.astype(np.int32), tuple(array[firsts[:count]].tolist())


def _word(word: object, row: int, what: str) -> object:
    """A text or None; anything else is Invalid."""
    if word is None or isinstance(word, str):
        return word
    if isinstance(word, float) and word != word:  # noqa: PLR0124 - NaN
        raise Invalid(f"{what} in row {row} is NaN: it is a text, or None where a record has none")
    raise Invalid(f"{what} in row {row} is {word!r}, a {type(word).__name__}: it is a text; write str(...)")


def _checked_words(words: Words, rows: int, what: str) -> Words:
    if len(words.codes) != rows and len(words.codes) != 1:
        raise Invalid(f"{what} has {len(words.codes):,} values, time has {rows:,}")
    for word in words.words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise Invalid(f"{what} holds {word!r}, which is no Unicode text") from None
    return words


def _arrow_words(given: Any, rows: int, what: str) -> Words:  # noqa: ANN401 - an array of pyarrow
    pa = extra("pyarrow", "arrow")
    kind = given.type.value_type if pa.types.is_dictionary(given.type) else given.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        if given.null_count == len(given):
            return _checked_words(Words(np.full(len(given), -1, np.int32), ()), rows, what)
        raise Invalid(f"{what} is a column of {kind}: it is a text; cast it, in pandas with .astype(str)")
    coded = given if pa.types.is_dictionary(given.type) else given.dictionary_encode()
    codes = coded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    words = coded.dictionary.to_pylist()
    if None in words:
        codes[np.array([word is None for word in words], bool)[codes] & (codes >= 0)] = -1
    return _checked_words(Words(codes, tuple(word or "" for word in words)), rows, what)


# ---- measures


def values_of(given: Any, rows: int, what: str) -> Values:  # noqa: ANN401 - see the module's text
    """A measure's values. Invalid with the row where a type changes."""
    given = arrow_of(given)
    if is_arrow(given):
        found = _arrow_values(given, what)
    else:
        given = plain_of(given)
        if isinstance(given, np.ndarray) and given.ndim > 1:
            raise Invalid(f"{what} is one column, got {given.ndim} dimensions")
        found = _of_array(np.atleast_1d(given), what) if isinstance(given, np.ndarray) else _of_list(given, what)
    if len(found.data) != rows:
        raise Invalid(f"{what} has {len(found.data):,} values, time has {rows:,}")
    return found


def _of_array(array: Array, what: str) -> Values:
    kind = array.dtype.kind
    valid = None
    if isinstance(array, np.ma.MaskedArray):
        valid = (~np.ma.getmaskarray(array)).view(np.uint8)
        array = np.asarray(array.filled(array.dtype.type()) if kind not in "OM" else array.data)
    if kind in "OSV":
        values = array.tolist()
        if valid is not None:
            values = [value if there else None for value, there in zip(values, valid.tolist(), strict=True)]
        return _of_list(values, what)
    if kind == "U":
        words = words_of(array, len(array), what)
        return Values("varchar", words.codes, valid, words.words)
    if kind == "M":
        return _of_moments(array, valid, what)
    if kind == "b":
        return Values("boolean", array.astype(np.uint8), valid)
    if kind in "iu":
        if array.dtype == np.uint64 and len(array) and int(array.max()) > LAST:
            raise Invalid(f"{what} in row {int(np.argmax(array > LAST))} does not fit BIGINT, 64 bits with a sign")
        return Values("bigint", array.astype(np.int64), valid)
    if kind == "f":
        return Values("double", np.ascontiguousarray(array, np.float64), valid)
    raise Invalid(f"{what} is a column of {array.dtype}: measures are float, int, bool, str or datetime64")


def _of_moments(array: Array, valid: Array | None, what: str) -> Values:
    """datetime64 of any unit; NaT is absent."""
    nothing = np.isnat(array)
    if bool(nothing.any()):
        there = (~nothing).view(np.uint8)
        valid = there if valid is None else valid & there
        array = np.where(nothing, np.datetime64(0, "s"), array)
    return Values("timestamp", exact(array, what), valid)


def _type_of_all(values: Sequence[object], what: str) -> MeasureType | None:
    """The type that all values have, None if there are only Nones. Invalid where they differ."""
    kind: MeasureType | None = None
    for row, value in enumerate(values):
        mine = type_of(value)
        if value is None or (mine is not None and mine == kind):
            continue
        if mine is None:
            raise Invalid(
                f"{what} in row {row} is {value!r:.60}, a {type(value).__name__}: "
                "it is float, int, bool, str or datetime"
            )
        if kind is None:
            kind = mine
        elif {kind, mine} == {"double", "bigint"}:
            kind = "double"
        else:
            raise Invalid(f"{what} in row {row} is {mine.upper()} after {kind.upper()}: a measure has one type")
    return kind


def _of_list(given: Any, what: str) -> Values:  # noqa: ANN401 - a list, or one value
    values = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    kind = _type_of_all(values, what)
    if kind is None:
        if not values:
            return Values("double", np.empty(0))  # of no rows nobody will ask the type
        raise Invalid(f"{what} has no value in any row: leave it out")
    there = np.array([value is not None for value in values], np.uint8)
    valid = None if there.all() else there
    if kind == "varchar":
        words = words_of(values, len(values), what)
        return Values(kind, np.maximum(words.codes, 0), valid, words.words)
    if kind == "timestamp":
        return Values(kind, np.array([0 if one is None else moment(one) for one in values], np.int64), valid)
    plain: list[Any] = [0 if value is None else value for value in values]
    if kind == "bigint":
        for row, value in enumerate(plain):
            if not -LAST - 1 <= value <= LAST:
                raise Invalid(f"{what} in row {row} is {value!r}, which does not fit BIGINT, 64 bits with a sign")
        return Values(kind, np.array(plain, np.int64), valid)
    return Values(kind, np.array(plain, np.float64 if kind == "double" else np.uint8), valid)


def type_of(value: object) -> MeasureType | None:
    """The type that a value has as a measure; None for what is none."""
    return next((kind for classes, kind in CLASSES if isinstance(value, classes)), None)


def _arrow_values(given: Any, what: str) -> Values:  # noqa: ANN401 - an array of pyarrow
    pa = extra("pyarrow", "arrow")
    kind = given.type
    valid = None
    if given.null_count:
        valid = given.is_valid().to_numpy(zero_copy_only=False).astype(np.uint8)
    if given.null_count == len(given) > 0:
        raise Invalid(f"{what} has no value in any row: leave it out")
    text = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_string(text) or pa.types.is_large_string(text) or pa.types.is_string_view(text):
        words = _arrow_words(given, len(given), what)
        return Values("varchar", np.maximum(words.codes, 0), valid, words.words)
    if pa.types.is_boolean(kind):
        filled = given.fill_null(False) if given.null_count else given  # noqa: FBT003 - Arrow's signature
        return Values("boolean", filled.to_numpy(zero_copy_only=False).astype(np.uint8), valid)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        array = given.cast(pa.timestamp("ns"))
        numbers = array.cast(pa.int64())
        filled = numbers.fill_null(0) if given.null_count else numbers
        return Values("timestamp", filled.to_numpy(zero_copy_only=False), valid)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        filled = given.fill_null(0) if given.null_count else given
        found = _of_array(filled.to_numpy(zero_copy_only=False), what)
        return Values(found.type, found.data, valid)
    raise Invalid(f"{what} is a column of {kind}: measures are float, int, bool, str or timestamp; cast it")


def versions_of(given: Any, rows: int) -> Array:  # noqa: ANN401 - a number, or one for each row
    """int64, one for all or one a row. Invalid below 1."""
    if isinstance(given, bool):
        raise Invalid("a version is a whole number from 1")
    array = np.atleast_1d(np.asarray(given))
    if array.dtype.kind not in "iu" or array.ndim > 1 or len(array) not in {1, rows}:
        raise Invalid(f"version is a whole number from 1, or one for each of {rows:,} rows, got {given!r:.60}")
    if len(array) and (int(array.min()) < 1 or int(array.max()) > LAST):
        raise Invalid(f"a version is a whole number from 1 to {LAST}, got {int(array.min())}")
    return array.astype(np.int64)
