"""What a ledger gives to people who need not trust it: digests, proofs, and the verdict about them.

    digest       {"format": "enginehouse-digest/1", "origin", "size", "root", "block", "time", "note"}
    proof        {"format": "enginehouse-proof/1", "origin", "size", "index", "entry", "salt", "data", "path"}
    consistency  {"format": "enginehouse-consistency/1", "origin", "old", "new", "path"}

JSON objects with exactly these fields. Hashes, entries and salts are base64, and only the one text that an encoder
writes is taken; numbers are within 64 bits. data is the document's JSON *as a string*, so that whoever checks hashes
exactly the bytes that were entered and needs no canonical form of anything.

What a true verdict says:

    verify_proof         this entry, and this data if there is some, is leaf `index` of the digest's tree
    verify_consistency   the old digest's tree is the beginning of the new one's: nothing in it was changed or removed

and what it does not: who made the digest (verify_note tells, if it is signed), or when. Of a digest, root and size are
proved by a tree; block and time are the ledger's word.

An entry is 96 bytes and holds the hash of its data at 64, or 144, a block's trailer, without data. Where salt and data
are null the entry is proved alone: that of a tombstone, or of data that was redacted or is nobody's business.

Invariants: from_json and to_json are inverses; a verdict never raises, whatever it is given; a proof in which anything
is altered is refused.
"""

import base64
import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, TypeVar

from engines._native.ledgerblock import ENTRY_BYTES, SALT_BYTES, TRAILER_BYTES
from engines.errors import Invalid
from engines.ledger.merkle import verify_consistency as _consistent
from engines.ledger.merkle import verify_inclusion as _included
from engines.ledger.note import DASH, Signer, VerifierKey, checkpoint, decoded, is_origin, opened, sign
from engines.ledger.pictures import draw_proof

DATA_HASH: Final = 64  # where it stands in an entry
DIGEST: Final = 32  # bytes
END: Final = 1 << 64  # of all numbers
LONGEST_PATH: Final = 64

Given = TypeVar("Given", "Digest", "Proof", "ConsistencyProof")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether something was shown, and the reason in one sentence. True or false where a condition is wanted."""

    shown: bool
    reason: str

    def __bool__(self) -> bool:
        return self.shown


@dataclass(frozen=True, slots=True)
class Digest:
    """A ledger at one moment: `root` over its first `size` leaves, up to `block`, at `time` (microseconds since 1970).

    note is the signed checkpoint of origin, size and root, or None.
    """

    FORMAT: ClassVar = "enginehouse-digest/1"

    origin: str
    size: int
    root: bytes
    block: int
    time: int
    note: str | None = None

    def to_json(self) -> str:
        """The digest as a JSON object."""
        return _to_json(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Digest":
        """The digest that to_json wrote. Invalid, with the reason, if the text is anything else."""
        return _read(Digest, text)

    def signed(self, signer: Signer) -> "Digest":
        """The same digest with a note by this signer."""
        note = sign(checkpoint(self.origin, self.size, self.root), signer)
        return Digest(self.origin, self.size, self.root, self.block, self.time, note)


@dataclass(frozen=True, slots=True)
class Proof:
    """`entry` is leaf `index` of the first `size`, by the digests of `path`; `salt` and `data` are its document."""

    FORMAT: ClassVar = "enginehouse-proof/1"

    origin: str
    size: int
    index: int
    entry: bytes
    salt: bytes | None
    data: str | None
    path: tuple[bytes, ...]

    def to_json(self) -> str:
        """The proof as a JSON object."""
        return _to_json(self)

    def _repr_html_(self) -> str:
        """The path as a picture: what is given and what is computed."""
        return draw_proof(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Proof":
        """The proof that to_json wrote. Invalid, with the reason, if the text is anything else."""
        return _read(Proof, text)


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """That the first `old` leaves of a ledger of `new` leaves are what they were, by the digests of `path`."""

    FORMAT: ClassVar = "enginehouse-consistency/1"

    origin: str
    old: int
    new: int
    path: tuple[bytes, ...]

    def to_json(self) -> str:
        """The proof as a JSON object."""
        return _to_json(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> "ConsistencyProof":
        """The proof that to_json wrote. Invalid, with the reason, if the text is anything else."""
        return _read(ConsistencyProof, text)


# -- the verdicts


def verify_proof(proof: object, digest: object) -> Verdict:
    """Whether the proof's entry, and its data where it has some, is in the tree that the digest stands for.

    Each is a Proof or Digest, a dict of the JSON's fields, or its text. Never raises: what is none of that is refused.
    """
    try:
        proof, digest = _read(Proof, proof), _read(Digest, digest)
    except Invalid as error:
        return Verdict(shown=False, reason=str(error))
    if proof.origin != digest.origin:
        return _no(f"the proof is about {proof.origin}, the digest about {digest.origin}")
    if proof.size != digest.size:
        return _no(f"the proof is about {proof.size} leaves, the digest about {digest.size}")
    if proof.data is not None and proof.salt is not None:
        made = hashlib.sha256(b"\2" + proof.salt + proof.data.encode()).digest()
        if made != proof.entry[DATA_HASH:]:
            return _no("the data is not what the entry was made of")
    leaf = hashlib.sha256(b"\0" + proof.entry).digest()
    if not _included(leaf, proof.index, proof.size, proof.path, digest.root):
        return _no(f"the path does not lead from entry {proof.index} to the root of {proof.size} leaves")
    what = "this entry" if proof.data is None else "this entry with its data"
    return Verdict(shown=True, reason=f"{what} is leaf {proof.index} of {proof.size} in {proof.origin}")


def verify_consistency(proof: object, old: object, new: object) -> Verdict:
    """Whether the tree of the old digest is the beginning of the new one's. About an empty tree nothing can be shown.

    Each is a ConsistencyProof or Digest, a dict of the JSON's fields, or its text. Never raises, as verify_proof.
    """
    try:
        proof, old, new = _read(ConsistencyProof, proof), _read(Digest, old), _read(Digest, new)
    except Invalid as error:
        return Verdict(shown=False, reason=str(error))
    if not proof.origin == old.origin == new.origin:
        return _no(f"the proof is about {proof.origin}, the digests about {old.origin} and {new.origin}")
    if (proof.old, proof.new) != (old.size, new.size):
        return _no(f"the proof is from {proof.old} to {proof.new} leaves, the digests from {old.size} to {new.size}")
    if old.size == 0:
        return _no("about a digest of the empty tree nothing can be shown")
    if not _consistent(old.size, new.size, proof.path, old.root, new.root):
        return _no(f"the path does not lead from the root of {old.size} leaves to that of {new.size}")
    return Verdict(shown=True, reason=f"the first {old.size} of {new.size} leaves in {old.origin} are unchanged")


def verify_note(note: object, key: str) -> Verdict:
    """Whether a note is a checkpoint that was signed with the key whose public half is the text `key`.

    A digest whose note is about something else is refused by the other two; so whoever has verified its note may trust
    the digest. Never raises on a hostile note. Invalid if the key is none; EngineError (code "missing-extra") without
    the package cryptography.
    """
    public = VerifierKey(key)
    try:
        text, signatures = opened(note)
    except Invalid as error:
        return _no(str(error))
    ours = [signature for name, key_id, signature in signatures if (name, key_id) == (public.name, public.key_id)]
    if not ours:
        return _no(f"nobody signed it with the key {public.key_id.hex()} of {public.name}")
    if not all(public.accepts(signature, text.encode()) for signature in ours):
        return _no(f"the signature of {public.name} is not about this text")
    return Verdict(shown=True, reason=f"signed by {public.name}")


def _no(reason: str) -> Verdict:
    return Verdict(shown=False, reason=reason)


# -- from and to JSON


def _to_json(value: "Digest | Proof | ConsistencyProof") -> str:
    found: dict[str, Any] = {"format": value.FORMAT}
    for field in fields(value):
        member = getattr(value, field.name)
        if isinstance(member, bytes):
            member = base64.b64encode(member).decode()
        elif isinstance(member, tuple):
            member = [base64.b64encode(part).decode() for part in member]
        found[field.name] = member
    return json.dumps(found, ensure_ascii=False)


def _read(kind: type[Given], given: object) -> Given:
    """A value of this kind, from itself, its fields or its text, each field looked at. Invalid with the reason."""
    if isinstance(given, kind):
        value = given
    else:
        if isinstance(given, str | bytes):
            given = _parsed(given)
        if not isinstance(given, dict):
            raise Invalid(f"a {kind.__name__}, a dict or a JSON text is wanted, got {type(given).__name__}")
        names: list[str] = [field.name for field in fields(kind)]
        if given.keys() != {"format", *names}:
            raise Invalid(f"the fields of a {kind.__name__} are format, {', '.join(names)}")
        if not isinstance(given["format"], str) or given["format"] != kind.FORMAT:
            raise Invalid(f"the format of a {kind.__name__} is {kind.FORMAT}")
        value = kind(**{name: _member(name, given[name]) for name in names})
    _check(value)
    return value


def _parsed(text: str | bytes) -> object:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except (
        ValueError,
        RecursionError,
    ):  # a ValueError, too: no UTF-8, thousands of digits
        raise Invalid("the text is no JSON, or too deep") from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("a field is there twice")
    return found


def _member(name: str, value: object) -> Any:  # noqa: ANN401 - what no field can be, _check refuses
    if name in ("root", "entry", "salt"):
        return None if value is None else decoded(value) or b""
    if name == "path" and isinstance(value, list):
        return tuple(decoded(part) or b"" for part in value)
    return value


def _check(value: "Digest | Proof | ConsistencyProof") -> None:
    """Invalid if a field is not what its annotation says, within its limits: these values may come from anywhere."""
    if not is_origin(value.origin):
        raise Invalid("the origin is a printable text that is not empty")
    if isinstance(value, Digest):
        _check_numbers(size=value.size, block=value.block, time=value.time)
        _check_bytes("the root", value.root, DIGEST)
        if value.note is not None:
            start = f"{checkpoint(value.origin, value.size, value.root)}\n{DASH}"
            if not isinstance(value.note, str) or not value.note.startswith(start):
                raise Invalid("the note is not about this origin, size and root")
        return
    if isinstance(value, Proof):
        _check_numbers(size=value.size, index=value.index)
        _check_bytes("the entry", value.entry, ENTRY_BYTES, TRAILER_BYTES)
        if value.data is not None or value.salt is not None:
            _check_bytes("the salt of data", value.salt, SALT_BYTES)
            if not isinstance(value.data, str) or len(value.entry) != ENTRY_BYTES or not _is_unicode(value.data):
                raise Invalid("data is a text, or null together with its salt, and a trailer has none")
    else:
        _check_numbers(old=value.old, new=value.new)
    if not isinstance(value.path, tuple | list) or len(value.path) > LONGEST_PATH:
        raise Invalid(f"the path is a list of at most {LONGEST_PATH} hashes")
    if not (set(map(type, value.path)) <= {bytes} and set(map(len, value.path)) <= {DIGEST}):  # a loop takes 2 us more
        raise Invalid(f"each part of the path is {DIGEST} bytes")


def _check_numbers(**numbers: object) -> None:
    for name, number in numbers.items():
        if type(number) is not int or not 0 <= number < END:
            raise Invalid(f"{name} is a whole number from 0, below 2^64")


def _check_bytes(name: str, value: object, *lengths: int) -> None:
    if not isinstance(value, bytes) or len(value) not in lengths:
        raise Invalid(f"{name} is {' or '.join(map(str, lengths))} bytes")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_digest(given: object) -> Digest:
    """A Digest from itself, a dict of its JSON's fields, or that text. Invalid with the reason."""
    return _read(Digest, given)
