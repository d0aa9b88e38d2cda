"""What a function takes: words for the types of its arguments, and what each argument is cast to.

    series     a TIMESERIES of numbers, as DOUBLE        any series   a TIMESERIES of whatever
    time       a TIMESTAMP; a DATE or a text is cast     times        an ARRAY of these
    interval   INTERVAL                                  whole double text boolean any
    values     an ARRAY of whatever

`takes(("series", "time"), DOUBLE)` makes a resolver for the registry; several choices are tried in order. A NULL fits
everything. The result is a type, or is computed from the types of the arguments.
"""

from collections.abc import Callable, Sequence
from typing import Final

from engines.sql.functions.registry import Resolve, TypeMismatch
from engines.sql.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTERVAL_NS,
    NULL,
    TIMESTAMP_NS,
    VARCHAR,
    Type,
    array,
    timeseries,
)

SERIES: Final = timeseries(DOUBLE)
TIMES: Final = array(TIMESTAMP_NS)
Result = Type | Callable[[Sequence[Type]], Type]
Choice = tuple[tuple[str, ...], Result]

OF_NULL: Final = {
    "series": SERIES,
    "any series": SERIES,
    "time": TIMESTAMP_NS,
    "times": TIMES,
    "interval": INTERVAL_NS,
    "whole": BIGINT,
    "double": DOUBLE,
    "text": VARCHAR,
    "boolean": BOOLEAN,
    "values": array(NULL),
}


def fitting(word: str, type: Type) -> Type | None:
    """What a value of a type is cast to where that word stands; None if it does not fit."""
    if type.kind == "null":
        return OF_NULL.get(word, type)
    match word:
        case "any":
            return type
        case "any series":
            return type if type.kind == "timeseries" else None
        case "values":
            return type if type.kind == "array" else None
        case "series":
            return SERIES if type.kind == "timeseries" and type.fields[1][1].number else None
        case "time":
            return TIMESTAMP_NS if type.temporal or type.text else None
        case "times":
            inside = type.kind == "array" and (
                type.element.temporal or type.element.text or type.element.kind == "null"
            )
            return TIMES if inside else None
        case "interval":
            return INTERVAL_NS if type.kind == "interval" else None
        case "whole":
            return type if type.integer else None
        case "double":
            return DOUBLE if type.number else None
        case "text":
            return type if type.text else None
        case "boolean":
            return type if type.kind == "boolean" else None
    raise ValueError(f"{word!r} names no types")


def takes(*choices: Choice) -> Resolve:
    """A resolver: the first choice whose words the arguments fit. TypeMismatch says what there is."""

    def resolve(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
        for words, result in choices:
            if len(words) != len(types):
                continue
            found = [fitting(word, type) for word, type in zip(words, types, strict=True)]
            casts = [one for one in found if one is not None]
            if len(casts) == len(found):
                return casts, result if isinstance(result, Type) else result(casts)
        given = ", ".join(map(str, types))
        known = " or ".join(f"({', '.join(words)})" for words, _ in choices)
        quoted = any("interval" in words[1:] for words, _ in choices) and any(type.text for type in types[1:])
        hint = ": a duration has no quotes, write 15m" if quoted else ""
        raise TypeMismatch(f"takes {known}, not ({given}){hint}")

    return resolve
