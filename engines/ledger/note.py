"""Signed checkpoints: a digest as a few lines of text that anybody can keep, compare and check.

    dmv/4fV2...                                        the origin: which ledger
    20852                                              the size: how many leaves
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=       the root over them
                                                       (a blank line: what stands above it is signed)
    — dmv/4fV2... base64(key id 4 | signature 64)      one line for each signature

These are the formats of C2SP (signed-note and tlog-checkpoint), which logs and witnesses of other makers read as well.
A key id is the beginning of SHA-256(name, newline, 01, public key); a verifier's key is the text
`name+key id in hex+base64(01 | public key)`. Signatures are Ed25519 (RFC 8032), from the package cryptography: the
extra [sign], loaded when the first key is used.

Simpler than the formats allow: no extension lines after the root, and Ed25519 only. Other keys' lines are passed over.

Invariants: what a signer signs, its verifier key accepts; what a key accepts, its signer has signed, to the byte.
"""

import base64
import binascii
import hashlib
from typing import Any, Final, Protocol

from engines.errors import Invalid
from engines.extras import extra

DASH: Final = "\u2014 "
ED25519: Final = b"\x01"  # the type of signature, as C2SP numbers them
KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 4
SIGNATURE_BYTES: Final = 64
MOST_SIGNATURES: Final = 100
LONGEST: Final = 1 << 20  # characters of a note


class Signer(Protocol):
    """Who signs digests: a name without spaces and "+", the 4 bytes of its key's id, and the signing itself."""

    @property
    def name(self) -> str: ...
    @property
    def key_id(self) -> bytes: ...
    def sign(self, message: bytes) -> bytes: ...


class Ed25519Signer:
    """A signer with an Ed25519 key. secret: the key's 32 bytes, which are never shown again.

    Invalid if the name is empty or has a space, a control character or "+", or the secret is not 32 bytes.
    EngineError (code "missing-extra") without the package cryptography.
    """

    def __init__(self, name: str, secret: bytes) -> None:
        if not is_key_name(name):
            raise Invalid(f"a signer's name is printable, without spaces and '+', got {name!r}", name=name)
        if not isinstance(secret, bytes) or len(secret) != KEY_BYTES:
            raise Invalid(f"an Ed25519 secret is {KEY_BYTES} random bytes; keep them, nothing else opens the key")
        self._key = _ed25519().Ed25519PrivateKey.from_private_bytes(secret)
        self._public: bytes = self._key.public_key().public_bytes_raw()
        self.name = name
        self.key_id = _key_id(name, self._public)

    @property
    def verifier_key(self) -> str:
        """What to give to those who check: the public half, as a text for verify_note."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ED25519 + self._public).decode()}"

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of a signature."""
        return bytes(self._key.sign(message))

    def __repr__(self) -> str:
        return f"Ed25519Signer({self.name!r}, key id {self.key_id.hex()})"


class VerifierKey:
    """The public half of a key, from its text. Invalid where that is no Ed25519 key, or its id is of another."""

    def __init__(self, text: str) -> None:
        name, key_id, encoded = (*str(text).split("+", 2), "", "")[:3]
        kind_and_key = decoded(encoded) or b""
        if not is_key_name(name) or len(kind_and_key) != 1 + KEY_BYTES or kind_and_key[:1] != ED25519:
            raise Invalid(f"a verifier key is a text name+key id+base64 of an Ed25519 key, got {text!r}")
        self._public = kind_and_key[1:]
        self.name = name
        self.key_id = _key_id(name, self._public)
        if key_id != self.key_id.hex():
            raise Invalid(f"the key id of {name} is {self.key_id.hex()} for this key, got {key_id!r}: one is mistyped")

    def accepts(self, signature: bytes, message: bytes) -> bool:
        """Whether this key has signed the message."""
        library = _ed25519()
        try:
            library.Ed25519PublicKey.from_public_bytes(self._public).verify(signature, message)
        except (extra("cryptography.exceptions", "sign").InvalidSignature, ValueError):
            return False
        return True


def checkpoint(origin: str, size: int, root: bytes) -> str:
    """The text that is signed; it ends with a newline."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def sign(text: str, signer: Signer) -> str:
    """A note: a text that ends with a newline, and below it one signature. Invalid as check_signer."""
    check_signer(signer)
    signature = base64.b64encode(signer.key_id + signer.sign(text.encode())).decode()
    return f"{text}\n{DASH}{signer.name} {signature}\n"


def check_signer(signer: Signer) -> None:
    """Invalid if its name or key id cannot stand in a note."""
    if not is_key_name(signer.name) or len(signer.key_id) != KEY_ID_BYTES:
        raise Invalid(f"a signer has a printable name without spaces and '+' and a key id of 4 bytes, got {signer!r}")


def opened(note: object) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """The checkpoint that a note signs, and its signatures: name, key id and signature. Nothing is verified yet.

    Invalid, with the reason, if this is no note.
    """
    if not isinstance(note, str) or len(note) > LONGEST or not all(map(str.isprintable, note.split("\n"))):
        raise Invalid(f"a note is a printable text of at most {LONGEST} characters")
    text, blank, below = note.rpartition("\n\n")
    text, lines = text + "\n", below.split("\n")
    if not blank or not is_checkpoint(text):
        raise Invalid("a checkpoint is three lines (origin, size, root), a blank line, and signatures")
    if lines.pop() or not 0 < len(lines) <= MOST_SIGNATURES:
        raise Invalid(f"below the blank line are 1 to {MOST_SIGNATURES} signatures, each a whole line")
    return text, [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(DASH).partition(" ")
    value = decoded(encoded) or b""
    if not line.startswith(DASH) or not is_key_name(name) or len(value) <= KEY_ID_BYTES:
        raise Invalid("a signature is a dash, a name, and base64 of key id and signature, with single spaces between")
    return name, value[:KEY_ID_BYTES], value[KEY_ID_BYTES:]


def is_checkpoint(text: str) -> bool:
    """Whether a text is an origin, a size and a root in base64, each on a line of its own."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not is_origin(lines[0]):
        return False
    size, root = lines[1], decoded(lines[2])
    well_written = size.isascii() and size.isdigit() and (size == "0" or size[0] != "0")
    return well_written and len(size) <= 20 and int(size) < 1 << 64 and root is not None and len(root) == 32


def is_origin(name: object) -> bool:
    """Whether this can name a ledger: a printable text that is not empty."""
    return isinstance(name, str) and name != "" and name.isprintable()


def is_key_name(name: object) -> bool:
    """Whether this can name a key: an origin without spaces and plus signs."""
    return is_origin(name) and not {" ", "+"} & set(str(name))


def decoded(text: object) -> bytes | None:
    """The bytes that a base64 text stands for; None where it stands for none, or is not the one that is written."""
    if not isinstance(text, str):
        return None
    try:
        value = binascii.a2b_base64(text)
    except ValueError:  # of which binascii.Error is one: other characters than ASCII are the other
        return None
    return value if binascii.b2a_base64(value, newline=False).decode() == text else None


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:KEY_ID_BYTES]


def _ed25519() -> Any:  # noqa: ANN401 - a module of a package that may be absent has no static type
    return extra("cryptography.hazmat.primitives.asymmetric.ed25519", "sign")
