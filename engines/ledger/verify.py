"""Checks a ledger's proof with nothing but Python's standard library. Copy this one file to wherever you trust it.

    python verify.py proof.json digest.json     is this entry in the book that this digest stands for?

One line says what was shown, exit status 0, or why nothing was, 1. The digest itself is to be trusted: its note, if it
has one, has to be about it, but who signed that is not looked at. For two digests there is `ledger.verify_consistency`.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

DIGEST = ["block", "format", "note", "origin", "root", "size", "time"]
PROOF = ["data", "entry", "format", "index", "origin", "path", "salt", "size"]


def require(truth: object, otherwise: str) -> None:
    """ValueError, with the reason why nothing was shown."""
    if not truth:
        raise ValueError(otherwise)


def load(text: str | bytes, kind: str, fields: list[str]) -> dict[str, Any]:
    """A JSON object of a format, with exactly these fields. All numbers in these formats have 64 bits."""
    pairs = json.loads(text, object_pairs_hook=tuple)  # no dict yet: that would hide a field given twice
    require(isinstance(pairs, tuple) and sorted(name for name, _ in pairs) == fields, f"no {kind}: {', '.join(fields)}")
    found = dict(pairs)
    require(found["format"] == f"enginehouse-{kind}/1", f"the format is not enginehouse-{kind}/1")
    origin = found["origin"]
    require(isinstance(origin, str) and origin and origin.isprintable(), f"the origin of the {kind} is no name")
    for name in {"block", "index", "size", "time"} & found.keys():
        require(type(found[name]) is int and 0 <= found[name] < 1 << 64, f"{name} is no whole number of 64 bits")
    return found


def raw(text: object, *lengths: int) -> bytes:
    """The bytes that a base64 text stands for. No other text is taken for the same bytes."""
    value = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    require(len(value) in lengths and base64.b64encode(value).decode() == text, f"no base64 of {lengths} bytes")
    return value


def judge(proof_text: str | bytes, digest_text: str | bytes) -> str:
    """What the proof shows about the digest; ValueError if it shows nothing."""
    proof, digest = load(proof_text, "proof", PROOF), load(digest_text, "digest", DIGEST)
    require(proof["origin"] == digest["origin"], "the digest is of another ledger")
    require(proof["size"] == digest["size"] and proof["index"] < proof["size"], "the digest is of another size")
    note = f"{digest['origin']}\n{digest['size']}\n{digest['root']}\n\n\u2014 "
    require(digest["note"] is None or str(digest["note"]).startswith(note), "the note is about another digest")
    entry, data = raw(proof["entry"], 96, 144), proof["data"]
    if data is not None or proof["salt"] is not None:
        made = hashlib.sha256(b"\2" + raw(proof["salt"], 16) + str(data).encode()).digest()
        require(isinstance(data, str) and len(entry) == 96 and made == entry[64:], "the data is not what was entered")
    path, at, last = proof["path"], proof["index"], proof["size"] - 1
    require(isinstance(path, list) and len(path) <= 64, "the path is no list of at most 64 hashes")
    node = hashlib.sha256(b"\0" + entry).digest()
    for part in [raw(part, 32) for part in path]:  # RFC 9162, 2.1.3.2
        require(last, "the path is too long")
        left = at & 1 or at == last  # whether the part stands left of the node
        node = hashlib.sha256(b"\1" + part + node if left else b"\1" + node + part).digest()
        up = (at & -at).bit_length() if left else 1  # levels: at the right edge there may be none to the left for some
        at, last = at >> up, last >> up
    require(last == 0 and node == raw(digest["root"], 32), "the path does not lead to the digest's root")
    what = "entry" if data is None else "entry with this data"
    return f"this {what} is leaf {proof['index']} of {proof['size']} in {proof['origin']}"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        print(judge(Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]).read_bytes()))  # noqa: T201 - a program's one line
    except (ValueError, OSError, RecursionError) as error:
        sys.exit(f"refused: {error}")  # on standard error, with status 1
