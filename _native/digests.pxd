"""Digests for the hash tree: of many messages, of a row of equal ones, of one node; the kernels' way to SHA-256.

    leaf = SHA-256(00 | entry)      node = SHA-256(01 | left | right)      data = SHA-256(02 | salt 16 | document)

sha256.h hashes two messages at a time, without the GIL, where the CPU has instructions for it; hashlib does elsewhere.
A module that cimports this calls choose_hash once, when it is imported: a wrong hash would be believed for ever.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memcpy


cdef extern from "sha256.h" nogil:
    ctypedef struct sha256_batch:
        int prefix
        const uint8_t *salts
        const uint8_t *const *bodies
        const size_t *lengths
        const uint8_t *row
        size_t stride
    int sha256_available()
    void sha256_many(const sha256_batch *batch, size_t n, uint8_t *out)
    size_t sha256_head(const sha256_batch *batch, size_t i, uint8_t *head)
    const uint8_t *sha256_body(const sha256_batch *batch, size_t i, size_t *length)

cdef extern from *:
    """
    static int sha256_in_use; /* a flag for each module that cimports this: whether it hashes by sha256_many */
    """
    int sha256_in_use

cdef enum:
    DIGEST_BYTES = 32
    SALT_BYTES = 16
    LEAF_PREFIX = 0
    NODE_PREFIX = 1
    DATA_PREFIX = 2


cdef inline int ask_hashlib(const sha256_batch *batch, Py_ssize_t n, uint8_t *out) except -1:
    cdef uint8_t head[1 + SALT_BYTES]
    cdef size_t used, length
    cdef const uint8_t *body
    cdef Py_ssize_t i
    from hashlib import sha256
    for i in range(n):
        used = sha256_head(batch, i, head)
        body = sha256_body(batch, i, &length)
        state = sha256(PyBytes_FromStringAndSize(<char *>head, used))
        state.update(PyBytes_FromStringAndSize(<const char *>body, length))
        memcpy(out + DIGEST_BYTES * i, PyBytes_AS_STRING(state.digest()), DIGEST_BYTES)
    return 0


cdef inline int hash_all(const sha256_batch *batch, Py_ssize_t n, uint8_t *out) except -1 nogil:
    """The digests of all messages of a batch; MemoryError only from hashlib."""
    if sha256_in_use:
        sha256_many(batch, n, out)
        return 0
    with gil:
        return ask_hashlib(batch, n, out)


cdef inline int hash_row(int prefix, const uint8_t *row, size_t stride, Py_ssize_t n, uint8_t *out) except -1 nogil:
    """The digests of n messages of one length that lie in a row."""
    cdef sha256_batch batch
    batch.prefix, batch.salts, batch.bodies, batch.lengths = prefix, NULL, NULL, NULL
    batch.row, batch.stride = row, stride
    return hash_all(&batch, n, out)


cdef inline int hash_node(const uint8_t *left, const uint8_t *right, uint8_t *out) except -1 nogil:
    cdef uint8_t pair[2 * DIGEST_BYTES]
    memcpy(pair, left, DIGEST_BYTES)
    memcpy(pair + DIGEST_BYTES, right, DIGEST_BYTES)
    return hash_row(NODE_PREFIX, pair, 2 * DIGEST_BYTES, 1, out)


cdef inline bint choose_hash(bint wanted) except -1:
    """Hash with the CPU's instructions from now on, if it has them and they agree with hashlib; whether that is so.

    Looked at are messages of all lengths up to three blocks, one and two at a time, with and without what may stand
    before them.
    """
    cdef int length, n
    cdef sha256_batch batch
    cdef uint8_t made[2 * DIGEST_BYTES]
    cdef uint8_t expected[2 * DIGEST_BYTES]
    cdef bytes text = bytes(range(256)) * 2
    cdef const uint8_t *row = <const uint8_t *>PyBytes_AS_STRING(text)
    global sha256_in_use
    sha256_in_use = 0
    if not wanted or not sha256_available():
        return False
    batch.bodies, batch.lengths, batch.row = NULL, NULL, row
    for length in range(1, 200):
        batch.stride = length
        batch.prefix = length % 4 - 1
        batch.salts = row + length if length % 3 == 0 else NULL
        for n in (1, 2):
            sha256_many(&batch, n, made)
            ask_hashlib(&batch, n, expected)
            if memcmp(made, expected, n * DIGEST_BYTES):
                return False
    sha256_in_use = 1
    return True
