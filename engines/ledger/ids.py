r"""Ids of documents, transactions, tables and the ledger: 16 bytes, shown as 22 characters.

    transaction   6 bytes clock, milliseconds | 6 random | 4 zero
    document      the first 12 of its transaction's | a counter from 1, big-endian

So ids are unique without asking anybody, they sort by time, and new ones go to the right edge of the tree. Shown in
base 62, most significant digit first, digits before capitals before small letters: texts sort as the bytes do.

    BOOK          the ledger's name \n its id \n crc32c of both lines, 8 hex digits \n

Invariants: parse(show(id)) is id; show(a) < show(b) exactly when a < b.
"""

from typing import Final

import google_crc32c

from engines._native.ledgerids import parse_id, show_id
from engines.clock import Clock
from engines.errors import Corrupted, Invalid
from engines.ledger.randomness import random_bytes

FORMAT: Final = 1  # of a ledger's folder, in ENGINE
ID_BYTES: Final = 16
ID_CHARACTERS: Final = 22


def new_transaction_id(clock: Clock) -> bytes:
    """A transaction's id at this moment."""
    return (clock.now() // 1000).to_bytes(8, "big")[-6:] + random_bytes(6) + bytes(4)


def document_ids(transaction: bytes, start: int, count: int) -> bytes:
    """The ids of a transaction's documents number start (from 1) to start + count - 1, 16 bytes each."""
    return b"".join(transaction[:12] + i.to_bytes(4, "big") for i in range(start, start + count))


def show(raw: bytes) -> str:
    """An id's 22 characters."""
    return show_id(raw)


def parse(text: object) -> bytes | None:
    """The 16 bytes that a text shows; None where it shows none."""
    return parse_id(text) if isinstance(text, str) else None


def parse_or_raise(text: object, what: str = "a document's id") -> bytes:
    """As parse. Invalid where it shows none."""
    raw = parse(text)
    if raw is None:
        raise Invalid(f"{what} is a text of {ID_CHARACTERS} letters and digits, got {text!r:.60}")
    return raw


def identity_text(identity: tuple[str, str]) -> bytes:
    """What BOOK holds: name and id of a ledger."""
    text = "".join(f"{line}\n" for line in identity).encode()
    return text + b"%08x\n" % google_crc32c.value(text)


def read_identity(data: bytes, file: str) -> tuple[str, str]:
    """Name and id from BOOK. Corrupted."""
    lines = data.split(b"\n")
    text = b"".join(line + b"\n" for line in lines[:2])
    if len(lines) != 4 or lines[3] or lines[2] != b"%08x" % google_crc32c.value(text):
        raise Corrupted(f"{file} is not what was written: restore it from a snapshot or an export", file=file, offset=0)
    return lines[0].decode(), lines[1].decode()
