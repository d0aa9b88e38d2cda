"""The hash tree of RFC 6962 (and 9162): its digests, level by level, and the proofs made of them.

    leaf = SHA-256(00 | entry)      node = SHA-256(01 | left | right)      data = SHA-256(02 | salt 16 | document)

    level 2  .-------0-------.              a tree of 6 leaves: each level keeps the complete subtrees only,
    level 1  .---0---.---1---.---2---.      so digest i of level h is that of leaves i * 2^h to (i + 1) * 2^h - 1,
    level 0  0   1   2   3   4   5          levels only ever grow, and all of them together hold 2 digests a leaf

Whatever is not complete, at the right edge, is folded from complete subtrees when it is asked for: one digest for each
bit of the size. A digest of a level lies in one of two places:

    stored   a mapped file, digests 0 to stored - 1, borrowed       (nothing of it in a tree in memory)
    tail     in memory, from an even index on to the end, owned     (overlaps stored by the one waiting for its pair)

Hashing is done in batches, two messages at a time and without the GIL: see digests.pxd. merkleproof.pyx checks proofs.

Invariants: the root of n leaves does not depend on how they came, in how many calls, or what of them is stored; every
proof made is accepted by merkleproof.
"""

from hashlib import sha256 as hashlib_sha256

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memmove

from digests cimport (
    DATA_PREFIX,
    DIGEST_BYTES,
    LEAF_PREFIX,
    NODE_PREFIX,
    SALT_BYTES,
    choose_hash,
    hash_all,
    hash_node,
    hash_row,
    sha256_batch,
)


cdef enum:
    LEVELS = 64      # a size has 64 bits
    FIRST_ROOM = 64  # digests
    FEW = 32         # messages that take less time than giving the GIL to others, and getting it back


# -- hashing -----------------------------------------------------------------------------------------------------------


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
        if n < FEW:
            hash_all(&batch, n, out)
        else:
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
        result = PyBytes_FromStringAndSize(NULL, DIGEST_BYTES * n)
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
    if len(digests) % (2 * DIGEST_BYTES):
        raise ValueError(f"pairs of digests are a multiple of 64 bytes, got {len(digests)}")
    return digests_of_row(NODE_PREFIX, digests, 2 * DIGEST_BYTES, len(digests) // (2 * DIGEST_BYTES))


def data_hashes(salts not None, documents not None):
    """SHA-256(02 | salt | document) for each document: 32 bytes each. salts: 16 bytes for each document, in a row."""
    cdef Py_buffer view
    cdef tuple held = tuple(documents)
    cdef bytes result = PyBytes_FromStringAndSize(NULL, DIGEST_BYTES * len(held))
    PyObject_GetBuffer(salts, &view, PyBUF_SIMPLE)
    try:
        if view.len != SALT_BYTES * len(held):
            raise ValueError(f"{len(held)} documents take {SALT_BYTES * len(held)} bytes of salt, got {view.len}")
        hash_bodies(DATA_PREFIX, <const uint8_t *>view.buf, held, <uint8_t *>PyBytes_AS_STRING(result))
    finally:
        PyBuffer_Release(&view)
    return result


def digests(documents not None, int prefix=-1):
    """SHA-256 of each document, or of the byte `prefix` and the document: 32 bytes each. Documents are bytes."""
    cdef tuple held = tuple(documents)
    cdef bytes result = PyBytes_FromStringAndSize(NULL, DIGEST_BYTES * len(held))
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
            return level.tail + DIGEST_BYTES * (i - level.first)
        return <const uint8_t *>level.mapped.buf + DIGEST_BYTES * i if i < level.stored else NULL

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
            moved = <uint8_t *>PyMem_RawRealloc(level.tail, DIGEST_BYTES * room)
            if moved == NULL:
                with gil:
                    raise MemoryError
            level.tail, level.room = moved, room
        return 0

    cdef inline uint8_t *end(self, int h) noexcept nogil:
        """Where the next digest of level h goes."""
        return self.levels[h].tail + DIGEST_BYTES * ((self.size >> h) - self.levels[h].first)

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
                self.levels[h].tail + DIGEST_BYTES * (2 * before - self.levels[h].first),
                2 * DIGEST_BYTES,
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
        if n < FEW:
            self.climb(n)
        else:
            with nogil:
                self.climb(n)

    cdef int take(self, const uint8_t *records, Py_ssize_t stride, Py_ssize_t n) except -1 nogil:
        """Append the leaves of records in a row."""
        if n > 0:
            self.reserve(n)
            hash_row(LEAF_PREFIX, records, stride, n, self.end(0))
            self.climb(n)
        return 0

    def extend_records(self, records not None, Py_ssize_t stride, Py_ssize_t n):
        """Append the leaves of n records of `stride` bytes in a row. ValueError if the buffer is shorter than that."""
        cdef Py_buffer view
        PyObject_GetBuffer(records, &view, PyBUF_SIMPLE)
        try:
            if stride < 1 or n < 0 or n > view.len // stride:
                raise ValueError(f"{n} records of {stride} bytes do not lie in {view.len} bytes")
            if n < FEW:
                self.take(<const uint8_t *>view.buf, stride, n)
            else:
                with nogil:
                    self.take(<const uint8_t *>view.buf, stride, n)
        finally:
            PyBuffer_Release(&view)

    def extend_hashes(self, hashes not None):
        """Append leaves that are hashed already: 32 bytes each, in a row."""
        cdef Py_buffer view
        PyObject_GetBuffer(hashes, &view, PyBUF_SIMPLE)
        try:
            if view.len % DIGEST_BYTES:
                raise ValueError(f"leaf hashes are a multiple of {DIGEST_BYTES} bytes, got {view.len}")
            with nogil:
                if view.len > 0:
                    self.reserve(view.len // DIGEST_BYTES)
                    memcpy(self.end(0), view.buf, view.len)
                    self.climb(view.len // DIGEST_BYTES)
        finally:
            PyBuffer_Release(&view)

    def digest(self, int level, uint64_t index):
        """One digest. IndexError where there is none."""
        cdef const uint8_t *found = self.at(level, index) if 0 <= level < LEVELS else NULL
        if found == NULL:
            raise IndexError(f"no digest {index} at level {level}")
        return PyBytes_FromStringAndSize(<const char *>found, DIGEST_BYTES)

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
                memcpy(out, part, DIGEST_BYTES)
                started = True
        return 0

    def root(self, uint64_t size):
        """The root of the tree of the first `size` leaves: read from 64 digests at most. ValueError if fewer."""
        cdef uint8_t out[DIGEST_BYTES]
        if size > self.size:
            raise ValueError(f"a tree of {self.size} leaves has no root of {size}")
        if size == 0:
            return hashlib_sha256().digest()
        self.fold(size, LEVELS, out)
        return PyBytes_FromStringAndSize(<char *>out, DIGEST_BYTES)

    cdef list path(self, int h, uint64_t index, uint64_t size):
        """What is hashed to node `index` of level h on its way up to the root of `size` leaves, lowest first."""
        cdef uint64_t last = size - 1 >> h
        cdef const uint8_t *part
        cdef uint8_t edge[DIGEST_BYTES]
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
                path.append(PyBytes_FromStringAndSize(<const char *>part, DIGEST_BYTES))
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

    def settled(self, int level):
        """How many digests of a level lie in stored memory: the first of those that wait in our own."""
        return self.levels[level].first if 0 <= level < LEVELS else 0

    def since(self, int level, uint64_t index):
        """The digests of a level from `index` on, as bytes. IndexError where they do not lie in the tail."""
        cdef level_t *found
        if not 0 <= level < LEVELS or not self.levels[level].first <= index <= self.size >> level:
            raise IndexError(f"no digests from {index} on in memory at level {level}")
        found = &self.levels[level]
        return PyBytes_FromStringAndSize(
            <const char *>found.tail + DIGEST_BYTES * (index - found.first),
            DIGEST_BYTES * ((self.size >> level) - index),
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
        count = min(<uint64_t>view.len // DIGEST_BYTES, total)
        if count < found.first:
            PyBuffer_Release(&view)
            raise ValueError(f"{count} digests do not reach up to {found.first}")
        if found.is_mapped:
            PyBuffer_Release(&found.mapped)
        found.mapped, found.stored, found.is_mapped = view, count, True
        first = count & ~<uint64_t>1
        kept = total - first
        if found.tail != NULL and first > found.first:
            memmove(found.tail, found.tail + DIGEST_BYTES * (first - found.first), DIGEST_BYTES * kept)
            found.first = first
            moved = <uint8_t *>PyMem_RawRealloc(found.tail, DIGEST_BYTES * max(kept, <uint64_t>FIRST_ROOM))
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
            count = <uint64_t>len(levels[h]) // DIGEST_BYTES
            if count < size >> h:
                raise ValueError(f"level {h} of {size} leaves has {size >> h} digests, got {count}")
        for h in range(len(levels)):
            level = &self.levels[h]
            count = size >> h
            level.tail = <uint8_t *>PyMem_RawMalloc(DIGEST_BYTES * FIRST_ROOM)
            if level.tail == NULL:
                raise MemoryError
            PyObject_GetBuffer(levels[h], &level.mapped, PyBUF_SIMPLE)
            level.is_mapped, level.room, level.stored, level.first = True, FIRST_ROOM, count, count & ~<uint64_t>1
            if count & 1:
                memcpy(level.tail, <const uint8_t *>level.mapped.buf + DIGEST_BYTES * (count - 1), DIGEST_BYTES)
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


def use_sha_instructions(bint wanted=True):
    """Hash with the CPU's SHA instructions, or (False) with hashlib. True if the instructions are used from now on."""
    return choose_hash(wanted)


choose_hash(True)
