"""Functions that others have under other names: an error that says what to write here."""

from typing import Any, Final

from engines.sql.binder.binding import Binder
from engines.sql.binder.scopes import Scope
from engines.sql.functions.registry import Functions

FUNCTIONS = Functions()
BIN: Final = "write bin(time, 15s)"
FILLED: Final = (
    "write INTERPOLATE_LINEAR, INTERPOLATE_LOCF or INTERPOLATE_FILL of CREATE_TIME_SERIES(time, value) over "
    "SEQUENCE(first, last, step)"
)
INSTEAD: Final = {
    "time_bucket": BIN,
    "date_bin": BIN,
    "time_slice": BIN,
    "time_bucket_gapfill": FILLED,
    "date_bin_gapfill": FILLED,
    "gapfill": FILLED,
    "locf": FILLED,
    "interpolate": FILLED,
    "mean": "write AVG(value)",
    "time": BIN,
    "first": "write MIN_BY(value, time)",
    "last": "write MAX_BY(value, time)",
    "rate": "write NON_NEGATIVE_DERIVATIVE_LINEAR(CREATE_TIME_SERIES(time, value), 1s)",
    "derivative": "write DERIVATIVE_LINEAR(CREATE_TIME_SERIES(time, value), 1s)",
}


def _refused(binder: Binder, name: str, node: Any, scope: Scope) -> Any:  # noqa: ANN401 - of sqlglot; it never returns
    del scope
    raise binder.error(f"there is no function {name.upper()} here: {INSTEAD[name]}", node)


FUNCTIONS.specials |= dict.fromkeys(INSTEAD, _refused)
