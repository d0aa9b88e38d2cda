"""The hash tree of RFC 6962 (and 9162): its digests level by level, proofs, and what checks them.

    leaf = SHA-256(00 | entry)      node = SHA-256(01 | left | right)      data = SHA-256(02 | salt 16 | document)

    level 2  .-------0-------.              a tree of 6 leaves: each level keeps the complete subtrees only,
    level 1  .---0---.---1---.---2---.      so digest i of level h is that of leaves i * 2^h to (i + 1) * 2^h - 1,
    level 0  0   1   2   3   4   5          levels only ever grow, and all of them together hold 2 digests a leaf

Whatever is not complete, at the right edge, is folded from complete subtrees when it is asked for: one digest for each
bit of the size. A digest of a level lies in one of two places:

    stored   a mapped file, digests 0 to stored - 1, borrowed       (nothing of it in a tree in memory)
    tail     in memory, from an even index on to the end, owned     (overlaps stored by the one waiting for its pair)

Hashing goes through hash_all: two lanes of SHA instructions without the GIL, or hashlib where the CPU has none.

Proofs come from anywhere, so the two verifiers take any objects at all, and answer False to what is not a proof.

Invariants: the root of n leaves does not depend on how they came, in how many calls, or what of them is stored; every
proof made is accepted; no proof is accepted for two different leaves or roots, short of a collision of SHA-256.
"""

from hashlib import sha256 as hashlib_sha256

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy, memmove


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

cdef enum:
    BYTES = 32        # of a digest
    SALT = 16
    LEVELS = 64       # a size has 64 bits
    LONGEST_PATH = 64
    LEAF_PREFIX = 0
    NODE_PREFIX = 1
    DATA_PREFIX = 2
    FIRST_ROOM = 64   # digests

cdef object LARGEST = (1 << 64) - 1
cdef bint two_lanes = False


# -- hashing -----------------------------------------------------------------------------------------------------------


cdef int ask_hashlib(const sha256_batch *batch, Py_ssize_t n, uint8_t *out) except -1:
    cdef uint8_t head[1 + SALT]
    cdef size_t used, length
    cdef const uint8_t *body
    cdef Py_ssize_t i
    for i in range(n):
        used = sha256_head(batch, i, head)
        body = sha256_body(batch, i, &length)
        state = hashlib_sha256(PyBytes_FromStringAndSize(<char *>head, used))
        state.update(PyBytes_FromStringAndSize(<const char *>body, length))
        memcpy(out + BYTES * i, PyBytes_AS_STRING(state.digest()), BYTES)
    return 0


cdef int hash_all(const sha256_batch *batch, Py_ssize_t n, uint8_t *out) except -1 nogil:
    """The digests of all messages of a batch; MemoryError only from hashlib."""
    if two_lanes:
        sha256_many(batch, n, out)
        return 0
    with gil:
        return ask_hashlib(batch, n, out)


cdef int hash_row(int prefix, const uint8_t *row, size_t stride, Py_ssize_t n, uint8_t *out) except -1 nogil:
    """The digests of n messages of one length that lie in a row."""
    cdef sha256_batch batch
    batch.prefix, batch.salts, batch.bodies, batch.lengths = prefix, NULL, NULL, NULL
    batch.row, batch.stride = row, stride
    return hash_all(&batch, n, out)


cdef inline int hash_node(const uint8_t *left, const uint8_t *right, uint8_t *out) except -1 nogil:
    cdef uint8_t pair[2 * BYTES]
    memcpy(pair, left, BYTES)
    memcpy(pair + BYTES, right, BYTES)
    return hash_row(NODE_PREFIX, pair, 2 * BYTES, 1, out)


cdef int hash_bodies(int prefix, const uint8_t *salts, tuple documents, uint8_t *out) except -1:
    """The digests of a tuple of bytes, which the caller holds: no item of it can go away meanwhile."""
    cdef Py_ssize_t i, n = len(documents)
    cdef sha256_batch batch
    cdef void *room = PyMem_RawMalloc(n * (sizeof(void *) + sizeof(size_t)) + 1)
    cdef const uint8_t **bodies = <const uint8_t **>room
    cdef size_t *lengths = <size_t *>(bodies + n)
    if room == NULL:
        raise MemoryError
    try:
        for i in range(n):
            document = documents[i]
            if not isinstance(document, bytes):
                raise TypeError(f"item {i} is to be bytes, not {type(document).__name__}")
            bodies[i] = <const uint8_t *>PyBytes_AS_STRING(document)
            lengths[i] = len(<bytes>document)
        batch.prefix, batch.salts, batch.row, batch.stride = prefix, salts, NULL, 0
        batch.bodies, batch.lengths = bodies, lengths
        with nogil:
            hash_all(&batch, n, out)
    finally:
        PyMem_RawFree(room)
    return 0


cdef bytes digests_of_row(int prefix, data, Py_ssize_t stride, Py_ssize_t n):
    cdef Py_buffer view
    cdef bytes result
    cdef uint8_t *out
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if stride < 1 or n < 0 or n > view.len // stride:
            raise ValueError(f"{n} records of {stride} bytes do not lie in {view.len} bytes")
        result = PyBytes_FromStringAndSize(NULL, BYTES * n)
        out = <uint8_t *>PyBytes_AS_STRING(result)
        with nogil:
            hash_row(prefix, <const uint8_t *>view.buf, stride, n, out)
    finally:
        PyBuffer_Release(&view)
    return result


def leaves(records not None, Py_ssize_t stride, Py_ssize_t n):
    """The leaf hashes of n records of `stride` bytes in a row: 32 * n bytes. ValueError if the buffer is shorter."""
    return digests_of_row(LEAF_PREFIX, records, stride, n)


def nodes(digests not None):
    """The parents of digests in a row, pair by pair. ValueError if they are no pairs of 32 bytes each."""
    if len(digests) % (2 * BYTES):
        raise ValueError(f"pairs of digests are a multiple of 64 bytes, got {len(digests)}")
    return digests_of_row(NODE_PREFIX, digests, 2 * BYTES, len(digests) // (2 * BYTES))


def data_hashes(salts not None, documents not None):
    """SHA-256(02 | salt | document) for each document: 32 bytes each. salts: 16 bytes for each document, in a row."""
    cdef Py_buffer view
    cdef tuple held = tuple(documents)
    cdef bytes result = PyBytes_FromStringAndSize(NULL, BYTES * len(held))
    PyObject_GetBuffer(salts, &view, PyBUF_SIMPLE)
    try:
        if view.len != SALT * len(held):
            raise ValueError(f"{len(held)} documents take {SALT * len(held)} bytes of salt, got {view.len}")
        hash_bodies(DATA_PREFIX, <const uint8_t *>view.buf, held, <uint8_t *>PyBytes_AS_STRING(result))
    finally:
        PyBuffer_Release(&view)
    return result


def digests(documents not None, int prefix=-1):
    """SHA-256 of each document, or of the byte `prefix` and the document: 32 bytes each. Documents are bytes."""
    cdef tuple held = tuple(documents)
    cdef bytes result = PyBytes_FromStringAndSize(NULL, BYTES * len(held))
    if not -1 <= prefix <= 255:
        raise ValueError(f"prefix is a byte, or -1 for none, got {prefix}")
    hash_bodies(prefix, NULL, held, <uint8_t *>PyBytes_AS_STRING(result))
    return result


# -- the tree ----------------------------------------------------------------------------------------------------------


cdef struct level_t:
    uint8_t *tail
    uint64_t first     # the index of the tail's first digest; even
    uint64_t room      # digests that the tail has room for
    uint64_t stored    # digests that the mapped file holds
    bint is_mapped     # whether there is such a file, and `mapped` is to be released
    Py_buffer mapped


@cython.final
@cython.auto_pickle(False)
cdef class Levels:
    """The digests of a growing tree; the module's docstring says how they lie. Not safe to share without a lock."""

    cdef level_t *levels
    cdef readonly uint64_t size

    def __cinit__(self):
        self.levels = <level_t *>PyMem_RawCalloc(LEVELS, sizeof(level_t))
        if self.levels == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef int h
        if self.levels != NULL:
            for h in range(LEVELS):
                PyMem_RawFree(self.levels[h].tail)
                if self.levels[h].is_mapped:
                    PyBuffer_Release(&self.levels[h].mapped)
            PyMem_RawFree(self.levels)

    def __len__(self):
        return self.size

    cdef const uint8_t *at(self, int h, uint64_t i) noexcept nogil:
        """Digest i of level h; NULL where there is none, which a sound tree never asks for."""
        cdef level_t *level = &self.levels[h]
        if i >= self.size >> h:
            return NULL
        if i >= level.first:
            return level.tail + BYTES * (i - level.first)
        return <const uint8_t *>level.mapped.buf + BYTES * i if i < level.stored else NULL

    cdef int reserve(self, uint64_t n) except -1 nogil:
        """Room in every tail for what n more leaves bring."""
        cdef int h
        cdef uint64_t needed, room
        cdef uint8_t *moved
        cdef level_t *level
        if n > (<uint64_t>1 << 58) - self.size:
            with gil:
                raise OverflowError("so many digests fit no memory")
        for h in range(LEVELS):
            level = &self.levels[h]
            needed = (self.size + n >> h) - level.first
            if self.size + n >> h == 0:
                return 0
            if needed <= level.room:
                continue
            room = max(needed, 2 * level.room, <uint64_t>FIRST_ROOM)
            moved = <uint8_t *>PyMem_RawRealloc(level.tail, BYTES * room)
            if moved == NULL:
                with gil:
                    raise MemoryError
            level.tail, level.room = moved, room
        return 0

    cdef inline uint8_t *end(self, int h) noexcept nogil:
        """Where the next digest of level h goes."""
        return self.levels[h].tail + BYTES * ((self.size >> h) - self.levels[h].first)

    cdef int climb(self, uint64_t n) except -1 nogil:
        """n leaf hashes stand at the end of level 0: hash every pair they complete, and count them."""
        cdef int h
        cdef uint64_t before, after
        for h in range(LEVELS - 1):
            before, after = self.size >> h + 1, self.size + n >> h + 1
            if before == after:
                break
            hash_row(
                NODE_PREFIX,
                self.levels[h].tail + BYTES * (2 * before - self.levels[h].first),
                2 * BYTES,
                after - before,
                self.end(h + 1),
            )
        self.size += n
        return 0

    def extend(self, entries not None):
        """Append the leaves of these entries (bytes). TypeError where one is not bytes; then nothing is appended."""
        cdef tuple held = tuple(entries)
        cdef Py_ssize_t n = len(held)
        if n == 0:
            return
        self.reserve(n)
        hash_bodies(LEAF_PREFIX, NULL, held, self.end(0))
        with nogil:
            self.climb(n)

    def extend_records(self, records not None, Py_ssize_t stride, Py_ssize_t n):
        """Append the leaves of n records of `stride` bytes in a row. ValueError if the buffer is shorter than that."""
        cdef Py_buffer view
        PyObject_GetBuffer(records, &view, PyBUF_SIMPLE)
        try:
            if stride < 1 or n < 0 or n > view.len // stride:
                raise ValueError(f"{n} records of {stride} bytes do not lie in {view.len} bytes")
            with nogil:
                if n > 0:
                    self.reserve(n)
                    hash_row(LEAF_PREFIX, <const uint8_t *>view.buf, stride, n, self.end(0))
                    self.climb(n)
        finally:
            PyBuffer_Release(&view)

    def extend_hashes(self, hashes not None):
        """Append leaves that are hashed already: 32 bytes each, in a row."""
        cdef Py_buffer view
        PyObject_GetBuffer(hashes, &view, PyBUF_SIMPLE)
        try:
            if view.len % BYTES:
                raise ValueError(f"leaf hashes are a multiple of {BYTES} bytes, got {view.len}")
            with nogil:
                if view.len > 0:
                    self.reserve(view.len // BYTES)
                    memcpy(self.end(0), view.buf, view.len)
                    self.climb(view.len // BYTES)
        finally:
            PyBuffer_Release(&view)

    def digest(self, int level, uint64_t index):
        """One digest. IndexError where there is none."""
        cdef const uint8_t *found = self.at(level, index) if 0 <= level < LEVELS else NULL
        if found == NULL:
            raise IndexError(f"no digest {index} at level {level}")
        return PyBytes_FromStringAndSize(<const char *>found, BYTES)

    cdef int fold(self, uint64_t size, int below, uint8_t *out) except -1 nogil:
        """The root of the incomplete subtree at the right edge of a tree of `size` leaves: of its last
        size % 2^below leaves, at least one.
        """
        cdef bint started = False
        cdef int h
        cdef const uint8_t *part
        for h in range(below):
            if not size >> h & 1:
                continue
            part = self.at(h, (size >> h) - 1)
            if part == NULL:
                with gil:
                    raise IndexError(f"no digest {(size >> h) - 1} at level {h}")
            if started:
                hash_node(part, out, out)
            else:
                memcpy(out, part, BYTES)
                started = True
        return 0

    def root(self, uint64_t size):
        """The root of the tree of the first `size` leaves: read from 64 digests at most. ValueError if fewer."""
        cdef uint8_t out[BYTES]
        if size > self.size:
            raise ValueError(f"a tree of {self.size} leaves has no root of {size}")
        if size == 0:
            return hashlib_sha256().digest()
        self.fold(size, LEVELS, out)
        return PyBytes_FromStringAndSize(<char *>out, BYTES)

    cdef list path(self, int h, uint64_t index, uint64_t size):
        """What is hashed to node `index` of level h on its way up to the root of `size` leaves, lowest first."""
        cdef uint64_t last = size - 1 >> h
        cdef const uint8_t *part
        cdef uint8_t edge[BYTES]
        cdef list path = []
        while last:
            if index & 1 or index < last:
                if not index & 1 and index + 2 > size >> h:  # the right sibling is not complete
                    self.fold(size, h, edge)
                    part = edge
                else:
                    part = self.at(h, index ^ 1)
                if part == NULL:
                    raise IndexError(f"no digest {index ^ 1} at level {h}")
                path.append(PyBytes_FromStringAndSize(<const char *>part, BYTES))
            index >>= 1
            last >>= 1
            h += 1
        return path

    def prove(self, uint64_t index, uint64_t size):
        """The inclusion proof of a leaf in the tree of the first `size` leaves: a list of digests, lowest first."""
        if not index < size <= self.size:
            raise ValueError(f"no leaf {index} in {size} of {self.size} leaves")
        return self.path(0, index, size)

    def prove_consistency(self, uint64_t old, uint64_t new):
        """The proof that the tree of `old` leaves is a prefix of the one of `new`: a list of digests, lowest first."""
        cdef int h = 0
        cdef uint64_t index
        if not 0 < old <= new <= self.size:
            raise ValueError(f"no proof from {old} to {new} of {self.size} leaves")
        if old == new:
            return []
        index = old - 1
        while index & 1:  # up to the largest complete subtree that ends with the old tree
            index >>= 1
            h += 1
        path = self.path(h, index, new)
        return [self.digest(h, index), *path] if index else path

    # -- what a store of levels needs

    def since(self, int level, uint64_t index):
        """The digests of a level from `index` on, as bytes. IndexError where they do not lie in the tail."""
        cdef level_t *found
        if not 0 <= level < LEVELS or not self.levels[level].first <= index <= self.size >> level:
            raise IndexError(f"no digests from {index} on in memory at level {level}")
        found = &self.levels[level]
        return PyBytes_FromStringAndSize(
            <const char *>found.tail + BYTES * (index - found.first), BYTES * ((self.size >> level) - index)
        )

    def settle(self, int level, stored not None):
        """The first digests of a level now stand in `stored`, a buffer that will not change: drop them from the tail.

        The buffer is kept until the next call for this level. ValueError if it does not reach up to the tail.
        """
        cdef level_t *found
        cdef Py_buffer view
        cdef uint64_t count, first, kept, total
        cdef uint8_t *moved
        if not 0 <= level < LEVELS:
            raise IndexError(f"no level {level}")
        found = &self.levels[level]
        PyObject_GetBuffer(stored, &view, PyBUF_SIMPLE)
        total = self.size >> level
        count = min(<uint64_t>view.len // BYTES, total)
        if count < found.first:
            PyBuffer_Release(&view)
            raise ValueError(f"{count} digests do not reach up to {found.first}")
        if found.is_mapped:
            PyBuffer_Release(&found.mapped)
        found.mapped, found.stored, found.is_mapped = view, count, True
        first = count & ~<uint64_t>1
        kept = total - first
        if found.tail != NULL and first > found.first:
            memmove(found.tail, found.tail + BYTES * (first - found.first), BYTES * kept)
            found.first = first
            moved = <uint8_t *>PyMem_RawRealloc(found.tail, BYTES * max(kept, <uint64_t>FIRST_ROOM))
            if moved != NULL:  # the memory of a long tail goes back
                found.tail, found.room = moved, max(kept, <uint64_t>FIRST_ROOM)

    def load(self, uint64_t size, list levels not None):
        """Begin with a tree of `size` leaves, whose levels 0, 1, ... stand in these buffers. ValueError if short."""
        cdef int h
        cdef uint64_t count
        cdef level_t *level
        if self.size:
            raise ValueError("only an empty tree is loaded")
        if len(levels) < size.bit_length() or len(levels) > LEVELS:
            raise ValueError(f"{size} leaves have {size.bit_length()} levels, got {len(levels)}")
        for h in range(len(levels)):
            if <uint64_t>len(levels[h]) // BYTES < size >> h:
                raise ValueError(f"level {h} of {size} leaves has {size >> h} digests, got {len(levels[h]) // BYTES}")
        for h in range(len(levels)):
            level = &self.levels[h]
            count = size >> h
            level.tail = <uint8_t *>PyMem_RawMalloc(BYTES * FIRST_ROOM)
            if level.tail == NULL:
                raise MemoryError
            PyObject_GetBuffer(levels[h], &level.mapped, PyBUF_SIMPLE)
            level.is_mapped, level.room, level.stored, level.first = True, FIRST_ROOM, count, count & ~<uint64_t>1
            if count & 1:
                memcpy(level.tail, <const uint8_t *>level.mapped.buf + BYTES * (count - 1), BYTES)
        self.size = size

    def cut(self, uint64_t size):
        """Forget all leaves from `size` on. ValueError where that would cut into what is stored."""
        cdef int h
        if size > self.size:
            raise ValueError(f"a tree of {self.size} leaves is not cut to {size}")
        for h in range(LEVELS):
            if size >> h < self.levels[h].stored:
                raise ValueError(f"{self.levels[h].stored} digests of level {h} are stored, {size >> h} wanted")
        self.size = size


# -- verification ------------------------------------------------------------------------------------------------------


cdef bint natural(value, uint64_t *out):
    """Whether a value is an int that a size can be; booleans are not."""
    if type(value) is not int or not 0 <= value <= LARGEST:
        return False
    out[0] = <uint64_t>value
    return True


cdef bint is_digest(value):
    return isinstance(value, bytes) and len(<bytes>value) == BYTES


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
    cdef uint8_t digest[BYTES]
    if not natural(index, &at) or not natural(size, &last) or at >= last:
        return False
    if not is_digest(leaf) or not is_digest(root) or not is_path(path):
        return False
    last -= 1
    memcpy(digest, of(leaf), BYTES)
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
    return last == 0 and memcmp(digest, of(root), BYTES) == 0


def verify_consistency(size1, size2, path, root1, root2):
    """Whether the tree of size1 leaves with root1 is a prefix of the one of size2 with root2 (RFC 9162, 2.1.4.2).

    Nothing can be shown about size 0: False. For two equal sizes the path is empty and the roots are equal, whatever
    they are. Else roots are 32 bytes, path a list or tuple of them. To anything else the answer is False.
    """
    cdef uint64_t old, new, at, last
    cdef uint8_t first[BYTES]
    cdef uint8_t second[BYTES]
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
    memcpy(first, of(parts[0]), BYTES)
    memcpy(second, first, BYTES)
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
    return last == 0 and memcmp(first, of(root1), BYTES) == 0 and memcmp(second, of(root2), BYTES) == 0


# -- which hash --------------------------------------------------------------------------------------------------------


def use_sha_instructions(bint wanted=True):
    """Hash with the CPU's SHA instructions, or (False) with hashlib. True if the instructions are used from now on."""
    global two_lanes
    two_lanes = wanted and sha256_available()
    return two_lanes


cdef bint equals_hashlib():
    """A wrong hash would be believed for ever: hold each shape against hashlib before the first is made."""
    cdef list documents = [bytes([n]) * n for n in range(200)]
    cdef list salted = [bytes([2]) + bytes([n]) * SALT + documents[n] for n in range(200)]
    salts = b"".join([bytes([n]) * SALT for n in range(200)])
    wanted = [
        b"".join([hashlib_sha256(document).digest() for document in documents]),
        b"".join([hashlib_sha256(b"\0" + document).digest() for document in documents]),
        b"".join([hashlib_sha256(document).digest() for document in salted]),
    ]
    return wanted == [digests(documents), digests(documents, 0), data_hashes(salts, documents)]


if use_sha_instructions() and not equals_hashlib():
    use_sha_instructions(False)
