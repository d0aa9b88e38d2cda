r"""Documents as the one JSON text of RFC 8785, and back.

What is hashed must be bytes, and always the same ones: keys sorted by their UTF-16 code units, no spaces, numbers as
ECMAScript writes them. The kernel engines._native.canon writes them and says how; here its complaints become errors of
the house, and the text becomes a value again.

Reading back takes two steps more than a JSON parser:

    long integers    1e20 is written 100000000000000000000, as ECMAScript does. It was a float and has to be one again:
                     an int that large would be refused when the document is written the next time.
    strictness       msgspec and json take spaces, any order, 1.50, "\u0041", and of two equal keys the last. What
                     re-encodes to the same bytes has none of these: one comparison instead of a parser of our own.

Invariants: canonical(read(canonical(v))) == canonical(v); read_strict(b) answers exactly where its answer's canonical
text is b.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from engines._native import canon
from engines._native.canon import MAX_INT, NotCanonical
from engines.errors import Invalid, TooLarge

DOCUMENT_BYTES = 1 << 24

_decode = msgspec.json.Decoder().decode


def canonical(value: object, *, limit: int | None = None) -> bytes:
    """The canonical JSON text of a value, in UTF-8.

    None, bool, int within ±(2^53 - 1), finite float, str, dict with str keys, list and tuple, at most 128 deep. Invalid
    for anything else, with the path to it ($.Owner.Price, also in error.path) and what to write instead. With a limit,
    TooLarge where the text has more bytes.
    """
    try:
        return canon.canonical(value) if limit is None else canon.canonical(value, limit)
    except NotCanonical as error:
        raise Invalid(str(error), path=error.path) from None
    except OverflowError as error:
        raise TooLarge(f"{error}; split the document", limit=limit) from None


def encoded(document: object) -> bytes:
    """A document's canonical JSON. Invalid, TooLarge."""
    if not isinstance(document, dict):
        if not isinstance(document, Mapping):
            raise Invalid(f"a document is a dict, got {type(document).__name__}: put the value into a field of one")
        document = dict(document)
    return canonical(document, limit=DOCUMENT_BYTES)


def read(text: bytes) -> Any:  # noqa: ANN401 (the value may be anything that JSON has)
    """The value of a canonical text that can be trusted to be one, because its hash is right. Invalid if it is no JSON.

    Whole numbers beyond ±(2^53 - 1) are floats, smaller ones int.
    """
    try:
        if canon.has_long_integer(text):
            return json.loads(text, parse_int=_number)
        return _decode(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"no JSON text: {error}") from error


def read_strict(text: bytes) -> Any:  # noqa: ANN401 (the value may be anything that JSON has)
    """The value of a text from anywhere; Invalid, with the place of the first difference, unless it is canonical."""
    value = read(text)
    wanted = canonical(value)
    if text != wanted:
        at = next(
            (i for i, (a, b) in enumerate(zip(text, wanted, strict=False)) if a != b), min(len(text), len(wanted))
        )
        raise Invalid(
            f"no canonical JSON (RFC 8785): byte {at} begins {text[at : at + 20]!r}, where its value is written "
            f"{wanted[at : at + 20]!r}: keys occur once, in order; no spaces; numbers and strings in their one form",
            offset=at,
        )
    return value


def _number(digits: str) -> int | float:
    value = int(digits)
    return value if -MAX_INT <= value <= MAX_INT else float(digits)
