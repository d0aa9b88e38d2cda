"""Blocks of a ledger as bytes: pack, seal, check, and audit against their hashes.

    head 16      "EHB1" | count u32 | length of the statements u32 | zero u32
    statements   what was asked for, canonical JSON
    entries      96 bytes for each document, all together: hashed in a row, without a gather
    bodies       salt 16 | data, for each entry, in the same order: their places are sums of lengths
    trailer 144  what ties the block to the one before, and to all entries before it

    entry      0 kind u8    1 flags u8    2 zero u16    4 table u32    8 document 16    24 version u32    28 length u32
              32 block u64    40 time i64    48 transaction 16    64 data hash 32
    trailer    0 kind u8    1 flags u8    2 zero u16    4 count u32    8 block u64    16 first leaf u64    24 time i64
              32 transaction 16    48 hash of the statements 32    80 root 32    112 hash of the block before 32

All integers are little-endian. engines/ledger/block.py says what the fields mean and which hash covers what.

A block is packed before it is known which number and time it gets: pack outside the lock, stamp and seal inside. An
audit does not parse JSON and needs no interpreter: it hashes what lies there, 64 bodies at a time, without the GIL.

Invariants: what was packed, stamped and sealed passes check and audit; no byte outside the buffer is read, whatever the
bytes say; every bit of a block is covered by a hash, or by a check here, or both.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from digests cimport DATA_PREFIX, choose_hash, hash_all, sha256_batch


cdef extern from "crc32c.h":
    uint32_t crc32c_extend(uint32_t crc, const uint8_t *data, size_t n) noexcept nogil
    void crc32c_choose() noexcept nogil

cdef extern from *:
    """
    #pragma pack(push, 1)
    typedef struct {
        uint8_t kind, flags; uint16_t zero; uint32_t table; uint8_t document[16]; uint32_t version, length;
        uint64_t block; int64_t time; uint8_t transaction[16], data_hash[32];
    } ledger_entry;
    typedef struct {
        uint8_t kind, flags; uint16_t zero; uint32_t count; uint64_t block, first_leaf; int64_t time;
        uint8_t transaction[16], statements_hash[32], root[32], previous[32];
    } ledger_trailer;
    typedef struct { char magic[4]; uint32_t count, statements, zero; } ledger_head;
    typedef struct {
        uint32_t version, length; uint64_t leaf, sequence, offset, block; uint32_t checksum;
    } ledger_place;
    #pragma pack(pop)
    typedef char ledger_place_size[sizeof(ledger_place) == 44 ? 1 : -1];
    typedef char ledger_sizes[sizeof(ledger_entry) == 96 && sizeof(ledger_trailer) == 144 ? 1 : -1];
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #error "a ledger's entries are read as little-endian structs; a big-endian port needs byte swaps here"
    #endif
    """
    ctypedef struct ledger_entry:
        uint8_t kind, flags
        uint32_t zero, table
        uint8_t document[16]
        uint32_t version, length
        uint64_t block
        int64_t time
        uint8_t transaction[16]
        uint8_t data_hash[32]
    ctypedef struct ledger_trailer:
        uint8_t kind, flags
        uint32_t zero, count
        uint64_t block, first_leaf
        int64_t time
        uint8_t transaction[16]
        uint8_t statements_hash[32]
        uint8_t root[32]
        uint8_t previous[32]
    ctypedef struct ledger_head:
        char magic[4]
        uint32_t count, statements, zero
    ctypedef struct ledger_place:
        uint32_t version, length
        uint64_t leaf, sequence, offset, block
        uint32_t checksum

cdef enum:
    HEAD = 16
    ENTRY = 96
    SALT = 16
    TRAILER = 144
    DIGEST = 32
    REVISION = 1
    TOMBSTONE = 2
    CATALOGUE = 4     # the last of the kinds of entries
    CLOSING = 5       # the kind of a trailer
    TOGETHER = 64     # bodies hashed at once

HEAD_BYTES, ENTRY_BYTES, SALT_BYTES, TRAILER_BYTES = HEAD, ENTRY, SALT, TRAILER
cdef const char* MAGIC = "EHB1"
cdef uint8_t[DIGEST] NO_DIGEST
memset(NO_DIGEST, 0, DIGEST)

cdef enum:
    _FINE, _SHORT, _MAGIC, _HEAD_ZERO, _STATEMENTS, _ENTRIES, _BODY, _SURPLUS, _TRAILER, _TRAILER_ZERO, _COUNT
    _KIND, _ENTRY_ZERO, _NUMBER, _TIME, _TRANSACTION, _TOMBSTONE, _EMPTY, _STATEMENTS_HASH, _DATA_HASH

cdef dict PROBLEMS = {
    _SHORT: "it is shorter than a block without entries",
    _MAGIC: "it does not begin with EHB1",
    _HEAD_ZERO: "bytes of its head that are to be zero are not",
    _STATEMENTS: "it is too short for its statements",
    _ENTRIES: "it is too short for its entries",
    _BODY: "its data is longer than what is left of the block",
    _SURPLUS: "bytes are left over between the last body and the trailer",
    _TRAILER: "its trailer is not of a trailer's kind",
    _TRAILER_ZERO: "bytes of its trailer that are to be zero are not",
    _COUNT: "its trailer counts other entries than its head",
    _KIND: "it is of no kind that there is",
    _ENTRY_ZERO: "bytes that are to be zero are not",
    _NUMBER: "it says to be of another block than the trailer",
    _TIME: "it says to be of another time than the trailer",
    _TRANSACTION: "it says to be of another transaction than the trailer",
    _TOMBSTONE: "it is a tombstone that has data, a salt or a hash",
    _EMPTY: "it has no data",
    _STATEMENTS_HASH: "its statements do not have the hash that the trailer says",
    _DATA_HASH: "its data does not have the hash that the entry says",
}

cdef struct Finding:
    int problem
    Py_ssize_t entry   # or -1
    Py_ssize_t offset


class BadBlock(ValueError):
    """Bytes that are no sound block. .entry counts from 0, None for what is not of one; .offset is in the block."""

    def __init__(self, problem, entry, offset):
        super().__init__(problem if entry is None else f"entry {entry}: {problem}")
        self.entry, self.offset = entry, offset


# -- writing -----------------------------------------------------------------------------------------------------------


cdef int check_size(str name, Py_buffer* view, Py_ssize_t n, Py_ssize_t each) except -1:
    if view.len != n * each:
        raise ValueError(f"{name} take {each} bytes for each of {n} bodies, got {view.len}")
    return 0


def pack(
    bytes transaction not None, bytes statements not None, bytes statements_hash not None, kinds, tables, documents,
    versions, salts, bodies not None, hashes
):
    """A block of all that is known before its place is: number, time, first leaf, root and chain are still zero.

    A column for each field, as contiguous buffers: kinds u8[n], tables u32[n], documents 16 bytes each, versions
    u32[n], salts 16 each, hashes (of the data) 32 each; bodies are n bytes objects, below 4 GiB each. A tombstone's
    salt and hash are written as zeros. ValueError where the sizes do not fit.
    """
    cdef tuple held = tuple(bodies)
    cdef Py_ssize_t i, n = len(held), size = HEAD + len(statements) + TRAILER
    cdef Py_buffer[6] views
    cdef int taken = 0
    cdef bytes body
    if len(transaction) != 16 or len(statements_hash) != DIGEST or len(statements) > 0xFFFFFFFF or n > 0xFFFFFFFF:
        raise ValueError("a transaction's id has 16 bytes, a hash 32; statements and entries are fewer than 2^32")
    for i in range(n):
        body = held[i]
        if len(body) > 0xFFFFFFFF:
            raise ValueError(f"body {i} has {len(body):,} bytes; the format ends at {0xFFFFFFFF:,}")
        size += ENTRY + SALT + len(body)
    try:
        for column in (kinds, tables, documents, versions, salts, hashes):
            PyObject_GetBuffer(column, &views[taken], PyBUF_SIMPLE)
            taken += 1
        for i, (name, each) in enumerate(
            (("kinds", 1), ("tables", 4), ("documents", 16), ("versions", 4), ("salts", SALT), ("hashes", DIGEST))
        ):
            check_size(name, &views[i], n, each)
        payload = PyByteArray_FromStringAndSize(NULL, size)
        fill(
            <uint8_t*>PyByteArray_AS_STRING(payload), size, transaction, statements, statements_hash, held,
            <const uint8_t*>views[0].buf, <const uint8_t*>views[1].buf, <const uint8_t*>views[2].buf,
            <const uint8_t*>views[3].buf, <const uint8_t*>views[4].buf, <const uint8_t*>views[5].buf,
        )
        return payload
    finally:
        for i in range(taken):
            PyBuffer_Release(&views[i])


cdef int fill(
    uint8_t* start, Py_ssize_t size, bytes transaction, bytes statements, bytes statements_hash, tuple bodies,
    const uint8_t* kinds, const uint8_t* tables, const uint8_t* documents, const uint8_t* versions,
    const uint8_t* salts, const uint8_t* hashes
) except -1:
    cdef Py_ssize_t i, length, n = len(bodies)
    cdef ledger_head* head = <ledger_head*>start
    cdef ledger_entry* entry = <ledger_entry*>(start + HEAD + len(statements))
    cdef uint8_t* to = <uint8_t*>(entry + n)
    cdef ledger_trailer* trailer = <ledger_trailer*>(start + size - TRAILER)
    memcpy(head.magic, MAGIC, 4)
    head.count, head.statements, head.zero = <uint32_t>n, <uint32_t>len(statements), 0
    memcpy(start + HEAD, PyBytes_AS_STRING(statements), len(statements))
    for i in range(n):
        body = <object>bodies[i]
        length = len(<bytes>body)
        memset(entry, 0, ENTRY)
        entry.kind, entry.length = kinds[i], <uint32_t>length
        memcpy(&entry.table, tables + 4 * i, 4)
        memcpy(&entry.version, versions + 4 * i, 4)
        memcpy(entry.document, documents + 16 * i, 16)
        memcpy(entry.transaction, PyBytes_AS_STRING(transaction), 16)
        if kinds[i] == TOMBSTONE:
            memset(to, 0, SALT)
        else:
            memcpy(entry.data_hash, hashes + DIGEST * i, DIGEST)
            memcpy(to, salts + SALT * i, SALT)
        memcpy(to + SALT, PyBytes_AS_STRING(body), length)
        to += SALT + length
        entry += 1
    memset(trailer, 0, TRAILER)
    trailer.kind, trailer.count = CLOSING, <uint32_t>n
    memcpy(trailer.transaction, PyBytes_AS_STRING(transaction), 16)
    memcpy(trailer.statements_hash, PyBytes_AS_STRING(statements_hash), DIGEST)
    return 0


cdef int look_at_draft(bytearray payload) except -1:
    """Enough that writing entries and trailer stays inside: bytes that pack made always pass."""
    cdef const ledger_head* head = <const ledger_head*>PyByteArray_AS_STRING(payload)
    if (
        len(payload) < HEAD + TRAILER or memcmp(head.magic, MAGIC, 4)
        or <uint64_t>head.statements + <uint64_t>head.count * ENTRY > <uint64_t>(len(payload) - HEAD - TRAILER)
    ):
        raise ValueError("these bytes were not made by pack()")
    return 0


def stamp(bytearray payload not None, uint64_t block, int64_t time):
    """Write the block's number and time (microseconds since 1970) into all its entries and its trailer."""
    cdef ledger_head* head = <ledger_head*>PyByteArray_AS_STRING(payload)
    cdef ledger_entry* entry
    cdef ledger_trailer* trailer
    cdef Py_ssize_t i
    look_at_draft(payload)
    entry = <ledger_entry*>(<uint8_t*>head + HEAD + head.statements)
    for i in range(head.count):
        entry[i].block, entry[i].time = block, time
    trailer = <ledger_trailer*>(<uint8_t*>head + len(payload) - TRAILER)
    trailer.block, trailer.time = block, time


def seal(bytearray payload not None, uint64_t first_leaf, bytes root not None, bytes previous not None):
    """Complete the trailer: index of the block's first leaf, root over all leaves before the trailer, hash before.

    Returns the trailer's bytes.
    """
    cdef ledger_trailer* trailer
    look_at_draft(payload)
    if len(root) != DIGEST or len(previous) != DIGEST:
        raise ValueError("the root and the hash of the block before have 32 bytes each")
    trailer = <ledger_trailer*>(PyByteArray_AS_STRING(payload) + len(payload) - TRAILER)
    trailer.first_leaf = first_leaf
    memcpy(trailer.root, PyBytes_AS_STRING(root), DIGEST)
    memcpy(trailer.previous, PyBytes_AS_STRING(previous), DIGEST)
    return PyBytes_FromStringAndSize(<const char*>trailer, TRAILER)


# -- reading -----------------------------------------------------------------------------------------------------------


cdef inline bint found(Finding* finding, int problem, Py_ssize_t entry, Py_ssize_t offset) noexcept nogil:
    """Always False, so that a check that fails can end with it."""
    finding.problem, finding.entry, finding.offset = problem, entry, offset
    return False


cdef inline bint is_zero(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    return size == 0 or (data[0] == 0 and memcmp(data, data + 1, size - 1) == 0)


cdef bint sound_entry(
    const ledger_entry* entry, const ledger_trailer* trailer, const uint8_t* body, Py_ssize_t i, Py_ssize_t at,
    Finding* finding
) noexcept nogil:
    """What an entry says by itself and beside its trailer; at: where it stands in the block."""
    if not REVISION <= entry.kind <= CATALOGUE:
        return found(finding, _KIND, i, at)
    if entry.flags or entry.zero:
        return found(finding, _ENTRY_ZERO, i, at + 1)
    if entry.block != trailer.block:
        return found(finding, _NUMBER, i, at + 32)
    if entry.time != trailer.time:
        return found(finding, _TIME, i, at + 40)
    if memcmp(entry.transaction, trailer.transaction, 16):
        return found(finding, _TRANSACTION, i, at + 48)
    if entry.kind != TOMBSTONE:
        return entry.length > 0 or found(finding, _EMPTY, i, at + 28)
    if entry.length or memcmp(entry.data_hash, NO_DIGEST, DIGEST) or not is_zero(body, SALT):
        return found(finding, _TOMBSTONE, i, at)
    return True


cdef bint sound(const uint8_t* start, Py_ssize_t size, Finding* finding) noexcept nogil:
    """Every length and field of a block, but no hash."""
    cdef const ledger_head* head = <const ledger_head*>start
    cdef const ledger_trailer* trailer
    cdef const ledger_entry* entry
    cdef Py_ssize_t i, at, left
    if size < HEAD + TRAILER:
        return found(finding, _SHORT, -1, size)
    left = size - HEAD - TRAILER
    if memcmp(head.magic, MAGIC, 4):
        return found(finding, _MAGIC, -1, 0)
    if head.zero:
        return found(finding, _HEAD_ZERO, -1, 12)
    if head.statements > left:
        return found(finding, _STATEMENTS, -1, 8)
    left -= head.statements
    if head.count > left // (ENTRY + SALT):
        return found(finding, _ENTRIES, -1, 4)
    left -= head.count * <Py_ssize_t>(ENTRY + SALT)
    trailer = <const ledger_trailer*>(start + size - TRAILER)
    if trailer.kind != CLOSING:
        return found(finding, _TRAILER, -1, size - TRAILER)
    if trailer.flags or trailer.zero:
        return found(finding, _TRAILER_ZERO, -1, size - TRAILER + 1)
    if trailer.count != head.count:
        return found(finding, _COUNT, -1, size - TRAILER + 4)
    entry = <const ledger_entry*>(start + HEAD + head.statements)
    at = HEAD + <Py_ssize_t>head.statements + head.count * <Py_ssize_t>ENTRY
    for i in range(head.count):
        if entry[i].length > left:
            return found(finding, _BODY, i, <const uint8_t*>&entry[i].length - start)
        if not sound_entry(&entry[i], trailer, start + at, i, <const uint8_t*>&entry[i] - start, finding):
            return False
        left -= entry[i].length
        at += SALT + <Py_ssize_t>entry[i].length
    return left == 0 or found(finding, _SURPLUS, -1, at)


cdef object bad_block(const Finding* finding):
    return BadBlock(PROBLEMS[finding.problem], None if finding.entry < 0 else finding.entry, finding.offset)


def check(payload not None):
    """Where the bodies begin, and, as the last item, the trailer: n + 1 offsets in the block.

    BadBlock unless every length and every field that says something twice is right. Hashes are not looked at: audit().
    """
    cdef Py_buffer view
    cdef Finding finding
    cdef bint fine
    cdef const ledger_entry* entry
    cdef Py_ssize_t i, at, n
    cdef list offsets
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        fine = sound(<const uint8_t*>view.buf, view.len, &finding)
        if not fine:
            raise bad_block(&finding)
        n = (<const ledger_head*>view.buf).count
        at = HEAD + <Py_ssize_t>(<const ledger_head*>view.buf).statements
        entry = <const ledger_entry*>(<const uint8_t*>view.buf + at)
        at += n * ENTRY
        offsets = [at]
        for i in range(n):
            at += SALT + <Py_ssize_t>entry[i].length
            offsets.append(at)
        return offsets
    finally:
        PyBuffer_Release(&view)


def places(payload not None, uint64_t sequence, uint64_t offset):
    """For each entry, where it can be found again: (key, place), as the tree keeps them (engines/ledger/state.py).

    key: table u32, big-endian | document 16. place: version u32 | bytes of data u32 | leaf u64 | sequence u64 | offset
    of the data u64 | block u64 | crc32c of salt and data u32. sequence is that of the log's frame, offset where its
    payload begins in the segment. BadBlock as in check().
    """
    cdef Py_buffer view
    cdef Finding finding
    cdef const ledger_head* head
    cdef const ledger_entry* entry
    cdef const ledger_trailer* trailer
    cdef const uint8_t* body
    cdef ledger_place place
    cdef uint8_t[20] key
    cdef Py_ssize_t i
    cdef list made = []
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        if not sound(<const uint8_t*>view.buf, view.len, &finding):
            raise bad_block(&finding)
        head = <const ledger_head*>view.buf
        entry = <const ledger_entry*>(<const uint8_t*>view.buf + HEAD + head.statements)
        trailer = <const ledger_trailer*>(<const uint8_t*>view.buf + view.len - TRAILER)
        body = <const uint8_t*>(entry + head.count)
        for i in range(head.count):
            key[0], key[1] = <uint8_t>(entry[i].table >> 24), <uint8_t>(entry[i].table >> 16)
            key[2], key[3] = <uint8_t>(entry[i].table >> 8), <uint8_t>entry[i].table
            memcpy(&key[4], entry[i].document, 16)
            place.version, place.length, place.leaf = entry[i].version, entry[i].length, trailer.first_leaf + i
            place.sequence, place.block = sequence, trailer.block
            place.offset = offset + <uint64_t>(body + SALT - <const uint8_t*>view.buf)
            place.checksum = crc32c_extend(0, body, SALT + <size_t>entry[i].length)
            made.append((
                PyBytes_FromStringAndSize(<const char*>key, 20),
                PyBytes_FromStringAndSize(<const char*>&place, sizeof(ledger_place)),
            ))
            body += SALT + <Py_ssize_t>entry[i].length
        return made
    finally:
        PyBuffer_Release(&view)


def summary(payload not None):
    """What is needed to take a block into the tree: (number, entries, first leaf, time, transaction, where the entries
    begin, table). table: the one that all entries are first revisions of; -1 where there is more to say.

    BadBlock as in check().
    """
    cdef Py_buffer view
    cdef Finding finding
    cdef const ledger_head* head
    cdef const ledger_entry* entry
    cdef const ledger_trailer* trailer
    cdef Py_ssize_t i
    cdef int64_t table = -1
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        if not sound(<const uint8_t*>view.buf, view.len, &finding):
            raise bad_block(&finding)
        head = <const ledger_head*>view.buf
        entry = <const ledger_entry*>(<const uint8_t*>view.buf + HEAD + head.statements)
        trailer = <const ledger_trailer*>(<const uint8_t*>view.buf + view.len - TRAILER)
        if head.count:
            table = entry.table
        for i in range(head.count):
            if entry[i].kind != REVISION or entry[i].version or entry[i].table != table:
                table = -1
                break
        return (
            trailer.block, head.count, trailer.first_leaf, trailer.time,
            PyBytes_FromStringAndSize(<const char*>trailer.transaction, 16), HEAD + <Py_ssize_t>head.statements, table,
        )
    finally:
        PyBuffer_Release(&view)


def same_places(list places not None, found not None):
    """Whether an iterator gives these (key, place) pairs, one after the other: bytes, or views as LMDB gives them."""
    cdef Py_ssize_t i = 0, n = len(places)
    if n == 0:
        return True
    for key, place in found:
        expected = <tuple>places[i]
        if not (same_bytes(key, expected[0]) and same_bytes(place, expected[1])):
            return False
        i += 1
        if i == n:
            return True
    return False


cdef bint same_bytes(given, bytes expected) except -1:
    cdef Py_buffer view
    PyObject_GetBuffer(given, &view, PyBUF_SIMPLE)
    try:
        return view.len == len(expected) and memcmp(view.buf, PyBytes_AS_STRING(expected), view.len) == 0
    finally:
        PyBuffer_Release(&view)


# -- audit -------------------------------------------------------------------------------------------------------------


cdef int hash_bodies(
    int prefix, const uint8_t** bodies, const size_t* lengths, Py_ssize_t n, uint8_t* out
) except -1 nogil:
    cdef sha256_batch batch
    batch.prefix, batch.salts, batch.row, batch.stride = prefix, NULL, NULL, 0
    batch.bodies, batch.lengths = bodies, lengths
    return hash_all(&batch, n, out)


cdef int audit_hashes(const uint8_t* start, Py_ssize_t size, uint8_t* blank, Finding* finding) except -1 nogil:
    """Every hash of a sound block. Sets blank[i] to 1 for each revision whose body is all zeros."""
    cdef const ledger_head* head = <const ledger_head*>start
    cdef const ledger_trailer* trailer = <const ledger_trailer*>(start + size - TRAILER)
    cdef const ledger_entry* entry = <const ledger_entry*>(start + HEAD + head.statements)
    cdef const uint8_t* body = <const uint8_t*>(entry + head.count)
    cdef const uint8_t* bodies[TOGETHER]
    cdef size_t[TOGETHER] lengths
    cdef Py_ssize_t[TOGETHER] numbers
    cdef uint8_t[TOGETHER * DIGEST] digests
    cdef Py_ssize_t i = 0, j, waiting
    bodies[0], lengths[0] = start + HEAD, head.statements
    hash_bodies(-1, bodies, lengths, 1, digests)
    if memcmp(digests, trailer.statements_hash, DIGEST):
        found(finding, _STATEMENTS_HASH, -1, HEAD)
        return 0
    while i < head.count:
        waiting = 0
        while i < head.count and waiting < TOGETHER:
            if entry[i].kind == REVISION and is_zero(body, SALT + <Py_ssize_t>entry[i].length):
                blank[i] = 1
            elif entry[i].kind != TOMBSTONE:
                bodies[waiting], lengths[waiting], numbers[waiting] = body, SALT + <size_t>entry[i].length, i
                waiting += 1
            body += SALT + <Py_ssize_t>entry[i].length
            i += 1
        hash_bodies(DATA_PREFIX, bodies, lengths, waiting, digests)
        for j in range(waiting):
            if memcmp(digests + DIGEST * j, entry[numbers[j]].data_hash, DIGEST):
                found(finding, _DATA_HASH, numbers[j], bodies[j] - start)
                return 0
    return 0


def audit(payload not None):
    """Check a block and hash its statements and bodies: the numbers of the revisions that were blanked, from 0.

    A blanked body, salt and all, is zeros: nothing is left to hash, and whether that was asked for is another block's
    to say. BadBlock at the first thing that is wrong. The buffer must not change meanwhile; the GIL is released.
    """
    cdef Py_buffer view
    cdef Finding finding
    cdef bytearray blank
    cdef uint8_t* marks
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        finding.problem = _FINE
        with nogil:
            sound(<const uint8_t*>view.buf, view.len, &finding)
        if finding.problem == _FINE:
            blank = bytearray((<const ledger_head*>view.buf).count)
            marks = <uint8_t*>PyByteArray_AS_STRING(blank)
            with nogil:
                audit_hashes(<const uint8_t*>view.buf, view.len, marks, &finding)
        if finding.problem != _FINE:
            raise bad_block(&finding)
        return [i for i, mark in enumerate(blank) if mark] if 1 in blank else []
    finally:
        PyBuffer_Release(&view)


def use_sha_instructions(bint wanted=True):
    """Hash with the CPU's SHA instructions, or (False) with hashlib. True if the instructions are used from now on."""
    return choose_hash(wanted)


choose_hash(True)
crc32c_choose()
