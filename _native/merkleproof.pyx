"""Checks of the hash tree's proofs, which may come from anywhere: no is an answer to whatever they are made of.

    inclusion      a leaf's path, hashed together level by level, ends at the root
    consistency    one path ends at two roots, depending on whether what is right of the smaller tree is hashed in

A walk needs two numbers: the node's index in its level, and that of the level's last node. Both are halved with each
level, which decides on which side the next hash of the path stands, and when there has to be none left.

Numbers become C integers only when they are known to fit: proofs speak of 2^64 - 1 leaves, or of -1, or of "many".
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from digests cimport DIGEST_BYTES, choose_hash, hash_node

cdef enum:
    LONGEST_PATH = 64

cdef object LARGEST = (1 << 64) - 1


cdef bint natural(value, uint64_t *out):
    """Whether a value is an int that a size can be; booleans are not."""
    if type(value) is not int or not 0 <= value <= LARGEST:
        return False
    out[0] = <uint64_t>value
    return True


cdef bint is_digest(value):
    return isinstance(value, bytes) and len(<bytes>value) == DIGEST_BYTES


cdef bint is_path(path):
    """Whether this is a list or tuple of digests, no more than the largest tree has levels."""
    if not isinstance(path, (list, tuple)) or len(path) > LONGEST_PATH + 1:
        return False
    for part in path:
        if not is_digest(part):
            return False
    return True


cdef inline const uint8_t *of(digest) noexcept:
    return <const uint8_t *>PyBytes_AS_STRING(digest)


def verify_inclusion(leaf, index, size, path, root):
    """Whether the leaf hash stands at `index` in the tree of `size` leaves with this root (RFC 9162, 2.1.3.2).

    leaf and root are 32 bytes, path a list or tuple of them. Anything else is answered with False; nothing raises.
    """
    cdef uint64_t at, last
    cdef uint8_t digest[DIGEST_BYTES]
    if not natural(index, &at) or not natural(size, &last) or at >= last:
        return False
    if not is_digest(leaf) or not is_digest(root) or not is_path(path):
        return False
    last -= 1
    memcpy(digest, of(leaf), DIGEST_BYTES)
    for part in tuple(path):
        if last == 0:
            return False
        if at & 1 or at == last:
            hash_node(of(part), digest, digest)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            hash_node(digest, of(part), digest)
        at >>= 1
        last >>= 1
    return last == 0 and memcmp(digest, of(root), DIGEST_BYTES) == 0


def verify_consistency(size1, size2, path, root1, root2):
    """Whether the tree of size1 leaves with root1 is a prefix of the one of size2 with root2 (RFC 9162, 2.1.4.2).

    Nothing can be shown about size 0: False. For two equal sizes the path is empty and the roots are equal, whatever
    they are. Else roots are 32 bytes, path a list or tuple of them. To anything else the answer is False.
    """
    cdef uint64_t old, new, at, last
    cdef uint8_t first[DIGEST_BYTES]
    cdef uint8_t second[DIGEST_BYTES]
    cdef tuple parts
    if not natural(size1, &old) or not natural(size2, &new) or not 0 < old <= new:
        return False
    if not isinstance(root1, bytes) or not isinstance(root2, bytes) or not is_path(path):
        return False
    if old == new:
        return len(path) == 0 and <bytes>root1 == <bytes>root2
    if not is_digest(root1) or not is_digest(root2):
        return False
    parts = tuple(path)
    at, last = old - 1, new - 1
    while at & 1:
        at >>= 1
        last >>= 1
    if at == 0:  # the old tree is one complete subtree: its root is the first part, which is left out
        parts = (root1, *parts)
    if not parts:
        return False
    memcpy(first, of(parts[0]), DIGEST_BYTES)
    memcpy(second, first, DIGEST_BYTES)
    for part in parts[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            hash_node(of(part), first, first)
            hash_node(of(part), second, second)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            hash_node(second, of(part), second)
        at >>= 1
        last >>= 1
    return last == 0 and memcmp(first, of(root1), DIGEST_BYTES) == 0 and memcmp(second, of(root2), DIGEST_BYTES) == 0


def use_sha_instructions(bint wanted=True):
    """Hash with the CPU's SHA instructions, or (False) with hashlib. True if the instructions are used from now on."""
    return choose_hash(wanted)


choose_hash(True)
