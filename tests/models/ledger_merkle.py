"""The hash tree of RFC 6962, word for word: the recursive definitions of its sections 2.1 to 2.1.2, on a list."""

import hashlib


def leaf(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def split(n):
    """The largest power of two smaller than n."""
    return 1 << (n - 1).bit_length() - 1


def root(entries):
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return leaf(entries[0])
    k = split(len(entries))
    return hashlib.sha256(b"\1" + root(entries[:k]) + root(entries[k:])).digest()


def path(index, entries):
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if index < k:
        return [*path(index, entries[:k]), root(entries[k:])]
    return [*path(index - k, entries[k:]), root(entries[:k])]


def consistency(old, entries, *, whole=True):
    if old == len(entries):
        return [] if whole else [root(entries)]
    k = split(len(entries))
    if old <= k:
        return [*consistency(old, entries[:k], whole=whole), root(entries[k:])]
    return [*consistency(old - k, entries[k:], whole=False), root(entries[:k])]
