"""The functions that every SQL engine here knows. `standard()` gives them; `registry.py` says how they are called."""

from engines.sql.functions import arrays, dates, formats, hashes, json, like, moments, numbers, numerals, regular, text
from engines.sql.functions.registry import INTERVAL_OF_TIME, Aggregate, Functions, Scalar, TypeMismatch, signature


def standard() -> Functions:
    """A registry of one's own with the standard functions in it."""
    made = Functions()
    for module in (text, like, numbers, dates, moments, formats, numerals, hashes, json, regular, arrays):
        made.add(module.FUNCTIONS)
    return made


__all__ = ["INTERVAL_OF_TIME", "Aggregate", "Functions", "Scalar", "TypeMismatch", "signature", "standard"]
