"""Digests and numbers in other bases: MD5, SHA1, SHA2, CRC32, FNV_HASH, STRTOL, TO_HEX, FROM_HEX.

Digests are text in small hexadecimal digits. FNV_HASH is Fowler, Noll and Vo's FNV-1a of 64 bits, signed, over the
bytes of the value: text as UTF-8, whole numbers with the low byte first in the width of their type. These functions
run in Python, once for each distinct value.
"""

import base64
import hashlib
import struct
from typing import Any, Final

import google_crc32c

from engines.sql.column import Column
from engines.sql.functions.given import Given, scalars
from engines.sql.functions.registry import Functions

FUNCTIONS = Functions()
scalar = scalars(FUNCTIONS)
SHA2: Final = {0: "sha256", 224: "sha224", 256: "sha256", 384: "sha384", 512: "sha512"}
WIDTHS: Final = {"boolean": 1, "smallint": 2, "integer": 4, "date": 4}  # bytes; all others 8
FNV_OFFSET: Final = 0xCBF29CE484222325
FNV_PRIME: Final = 0x100000001B3
DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def _bytes(value: "str | bytes") -> bytes:
    return value.encode() if isinstance(value, str) else value


@scalar("md5", "text -> varchar; varbyte -> varchar", meaning="the MD5 digest in hexadecimal")
def md5(given: Given) -> Column:
    return given.for_each(lambda value: hashlib.md5(_bytes(value), usedforsecurity=False).hexdigest())


@scalar("sha1", "text -> varchar; varbyte -> varchar", synonyms=["sha", "func_sha1"], meaning="the SHA-1 digest")
def sha1(given: Given) -> Column:
    return given.for_each(lambda value: hashlib.sha1(_bytes(value), usedforsecurity=False).hexdigest())


@scalar("sha2", "text, integer -> varchar; varbyte, integer -> varchar", meaning="the SHA-2 digest of 224 to 512 bits")
def sha2(given: Given) -> Column:
    def digest(value: "str | bytes", bits: int) -> str:
        if bits not in SHA2:
            raise ValueError(f"SHA2 has 224, 256, 384 or 512 bits (0 means 256), not {bits}")
        return hashlib.new(SHA2[bits], _bytes(value)).hexdigest()

    return given.for_each(digest)


@scalar("sha256", "text -> varchar; varbyte -> varchar", meaning="the SHA-256 digest")
def sha256(given: Given) -> Column:
    return given.for_each(lambda value: hashlib.sha256(_bytes(value)).hexdigest())


@scalar("crc32", "text -> varchar; varbyte -> varchar", meaning="the CRC-32C of the bytes, 8 hexadecimal digits")
def crc32(given: Given) -> Column:
    return given.for_each(lambda value: f"{google_crc32c.value(_bytes(value)):08x}")


@scalar("fnv_hash", "any, integer? -> bigint", meaning="the 64-bit FNV-1a hash of x, going on from a seed")
def fnv_hash(given: Given) -> Column:
    kind = given.columns[0].type.kind

    def hashed(value: Any, seed: int = FNV_OFFSET) -> int:  # noqa: ANN401 - any type's values
        if isinstance(value, float):
            data = struct.pack("<d", value)
        elif isinstance(value, int):
            data = value.to_bytes(max(WIDTHS.get(kind, 8), (value.bit_length() + 8) // 8), "little", signed=True)
        else:
            data = _bytes(value)
        state = seed & 0xFFFF_FFFF_FFFF_FFFF
        for byte in data:
            state = (state ^ byte) * FNV_PRIME & 0xFFFF_FFFF_FFFF_FFFF
        return state - (state >> 63 << 64)

    return given.for_each(hashed)


@scalar("strtol", "text, integer -> bigint", meaning="a number that is written in base 2 to 36")
def strtol(given: Given) -> Column:
    def number(text: str, base: int) -> int:
        if not 2 <= base <= 36:
            raise ValueError(f"the base of STRTOL is 2 to 36, got {base}")
        try:
            made = int(text.strip().replace("_", "?"), base)
        except ValueError:
            raise ValueError(f"{text!r} is no number in base {base}") from None
        if not -(2**63) <= made < 2**63:
            raise ValueError(f"{text!r} in base {base} does not fit BIGINT")
        return made

    return given.for_each(number)


@scalar("to_hex", "integer -> varchar; varbyte -> varchar; text -> varchar", meaning="x in hexadecimal digits")
def to_hex(given: Given) -> Column:
    def written(value: "int | str | bytes") -> str:
        return f"{value & 0xFFFF_FFFF_FFFF_FFFF:x}" if isinstance(value, int) else _bytes(value).hex()

    return given.for_each(written)


@scalar(
    "to_varbyte", "text, text -> varbyte", meaning="the bytes that a text stands for: 'hex' digits, 'utf8', 'base64'"
)
def to_varbyte(given: Given) -> Column:
    def read(text: str, form: str) -> bytes:
        match form.lower():
            case "utf8" | "utf-8":
                return text.encode()
            case "hex":
                return bytes.fromhex(text)
            case "base64":
                return base64.b64decode(text, validate=True)
        raise ValueError(f"TO_VARBYTE reads 'hex', 'utf8' or 'base64', not {form!r}")

    return given.for_each(read)


@scalar("from_varbyte", "varbyte, text -> varchar", meaning="bytes as text: 'hex' digits, 'utf8', 'base64'")
def from_varbyte(given: Given) -> Column:
    def written(data: bytes, form: str) -> str:
        match form.lower():
            case "utf8" | "utf-8":
                return data.decode()
            case "hex":
                return data.hex()
            case "base64":
                return base64.b64encode(data).decode()
        raise ValueError(f"FROM_VARBYTE writes 'hex', 'utf8' or 'base64', not {form!r}")

    return given.for_each(written)


@scalar("from_hex", "text -> varbyte", meaning="the bytes that hexadecimal digits stand for")
def from_hex(given: Given) -> Column:
    def read(text: str) -> bytes:
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise ValueError(f"{text!r} is no even number of hexadecimal digits") from None

    return given.for_each(read)
