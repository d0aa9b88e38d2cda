"""The ledger's texts, hashes and blocks as plainly as they can be written: json, struct and hashlib."""

import hashlib
import json
import struct


def number(value):
    """ECMAScript's text of a double, from the shortest digits, which Python's repr finds too."""
    if value == 0:
        return "0"
    sign, text = ("-", repr(-value)) if value < 0 else ("", repr(value))
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).rstrip("0")
    point -= len(digits) - len(digits.lstrip("0"))
    digits = digits.lstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = "." + digits[1:] if digits[1:] else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"


def canonical(value):
    return text(value).encode()


def text(value):
    if isinstance(value, float):
        return number(value)
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{text(key)}:{text(value[key])}" for key in keys) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


# -- blocks ------------------------------------------------------------------------------------------------------------

REVISION, TOMBSTONE, REDACTION, CATALOGUE, TRAILER = 1, 2, 3, 4, 5


def hashed(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def data_hash(salt, data):
    return hashed(b"\2", salt, data)


def leaf(record):
    return hashed(b"\0", record)


def block_hash(trailer):
    return hashed(b"\3", trailer)


def root(leaves):
    """RFC 6962: the largest power of two smaller than n goes left."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else hashed()
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return hashed(b"\1", root(leaves[:left]), root(leaves[left:]))


def block(number, time, transaction, statements, rows, leaves, previous):  # noqa: PLR0917 (in the order of the bytes)
    """A block's payload; rows are (kind, table, document, version, salt, data), leaves all that were before it."""
    entries, bodies = [], []
    for kind, table, document, version, salt, data in rows:
        digest = bytes(32) if kind == TOMBSTONE else data_hash(salt, data)
        entries.append(
            struct.pack("<BBHI16sII", kind, 0, 0, table, document, version, len(data))
            + struct.pack("<Qq16s32s", number, time, transaction, digest)
        )
        bodies.append((bytes(16) if kind == TOMBSTONE else salt) + data)
    everything = root([*leaves, *map(leaf, entries)])
    trailer = (
        struct.pack("<BBHIQQq", TRAILER, 0, 0, len(rows), number, len(leaves), time)
        + transaction
        + hashed(statements)
        + everything
        + previous
    )
    head = struct.pack("<4sIII", b"EHB1", len(rows), len(statements), 0)
    return b"".join([head, statements, *entries, *bodies, trailer])
