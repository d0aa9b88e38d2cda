"""Tokens of transactions: what was done once under a token is not done again.

    frame      u8 n | token, n bytes | 16 bytes of BLAKE2b of the actions | the payload of an ITEMS frame
    catalog    token/ time u64 big-endian, token -> digest of the actions

The token stands in its transaction's own frame, so it is known exactly if the transaction has happened. It is kept for
ten minutes of the store's clock, as in DynamoDB.
"""

from collections.abc import Callable
from itertools import takewhile

from engines.clock import MICROSECONDS
from engines.errors import Invalid
from engines.storage.tree import Keyspace

TOKEN_SECONDS = 600
TOKEN_LENGTH = 36
DIGEST_BYTES = 16


def encode_token(token: str, digest: bytes) -> bytes:
    """What a transaction's frame begins with."""
    return bytes([len(token)]) + token.encode() + digest


def decode_token(payload: bytes | memoryview) -> tuple[str, bytes, memoryview]:
    """Token, digest, and the rest of a frame's payload. ValueError if it does not begin so."""
    data = memoryview(payload)
    end = 1 + data[0] if data.nbytes else 0
    if not 1 < end <= TOKEN_LENGTH + 1 or len(data) < end + DIGEST_BYTES:
        raise ValueError("it does not begin with a token")
    return bytes(data[1:end]).decode(), bytes(data[end : end + DIGEST_BYTES]), data[end + DIGEST_BYTES :]


class Tokens:
    """The tokens of the last ten minutes. Under the store's lock."""

    def __init__(self, catalog: Keyspace, now: Callable[[], int]) -> None:
        self._catalog, self._now = catalog, now
        self._known: dict[str, tuple[int, bytes]] = {}  # oldest first
        for key, digest in catalog.page(b"token/", b"token0", limit=1 << 30, limit_bytes=1 << 40):
            self._known[key[14:].decode()] = (int.from_bytes(key[6:14], "big"), digest)

    def seen(self, token: str, digest: bytes) -> bool:
        """Whether these actions have happened already. Invalid if others have, under the same token."""
        time, known = self._known.get(token, (0, b""))
        if not known or time <= self._now() - TOKEN_SECONDS * MICROSECONDS:
            return False
        if known != digest:
            error = Invalid(f"the token {token!r} was used for other actions: take another one for these")
            error.aws = "IdempotentParameterMismatchException"
            raise error
        return True

    def add(self, token: str, digest: bytes, time: int) -> None:
        """A transaction has happened at this time, now or in a replay; what is older than ten minutes is forgotten."""
        until = time - TOKEN_SECONDS * MICROSECONDS
        old = list(takewhile(lambda name: self._known[name][0] <= until, self._known))  # oldest first
        for name in [*old, *([token] if token in self._known and token not in old else [])]:
            self._catalog.delete(_place(name, self._known.pop(name)[0]))
        self._catalog.put(_place(token, time), digest)
        self._known[token] = (time, digest)


def _place(token: str, time: int) -> bytes:
    return b"token/" + time.to_bytes(8, "big") + token.encode()
