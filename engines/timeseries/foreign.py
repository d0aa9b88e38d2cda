"""Columns of pandas, Polars and Arrow. None of these libraries is imported unless one of its columns was passed."""

from typing import Any

from engines.extras import extra


def is_arrow(given: object) -> bool:
    """Whether it is a column of Arrow."""
    return type(given).__module__.startswith("pyarrow")


def arrow_of(given: Any) -> Any:  # noqa: ANN401 - whatever the user passes
    """Columns of Polars, and chunked ones of Arrow, as one array of Arrow; anything else as it is."""
    if type(given).__module__.startswith("polars") and hasattr(given, "to_arrow"):
        given = given.to_arrow()
    if is_arrow(given) and hasattr(given, "combine_chunks"):
        given = given.combine_chunks()
        if hasattr(given, "num_chunks"):
            given = given.chunk(0) if given.num_chunks else extra("pyarrow", "arrow").array([], given.type)
    return given


def plain_of(given: Any) -> Any:  # noqa: ANN401 - whatever the user passes
    """Columns of pandas, Polars and Arrow as numpy; anything else as it is."""
    given = arrow_of(given)
    if is_arrow(given) and hasattr(given, "to_numpy"):
        if getattr(given, "null_count", 0):
            return given.to_pylist()
        pa = extra("pyarrow", "arrow")
        if pa.types.is_timestamp(given.type) or pa.types.is_date(given.type):
            return given.cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy(zero_copy_only=False)
        return given.to_numpy(zero_copy_only=False)
    if type(given).__module__.startswith("pandas") and hasattr(given, "isna") and hasattr(given, "dtype"):
        if getattr(given.dtype, "tz", None) is not None:
            given = given.dt.tz_convert("UTC").dt.tz_localize(None) if hasattr(given, "dt") else given.tz_localize(None)
        missing = given.isna().to_numpy() if hasattr(given.isna(), "to_numpy") else given.isna()
        if type(given.dtype).__module__.startswith("numpy"):
            return given.to_numpy()
        values = given.astype(object).to_numpy().tolist()
        return [None if nothing else value for value, nothing in zip(values, missing.tolist(), strict=True)]
    return given
