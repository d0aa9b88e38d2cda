"""One stretch of a query or scan, under one hold of the lock: walk entries, step over what is expired, filter, decode.

    entries (LMDB's iterator) ──> in the stretch? ──> expired? ──> this segment's? ──> filter ──> decode ──> found

The filter is a function on items. It is given only the attributes it asks for, and the whole item is decoded only if it
passes: most of a scan's time goes into items that nobody gets to see.

Invariants: every entry up to `last` was looked at, none after it; what is counted as examined is neither expired nor
another segment's; no view of the tree's memory outlives the call.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp

from itemread cimport peek_head

from engines._native.frame import crc32c


@cython.final
@cython.auto_pickle(False)
cdef class Stretch:
    """What was read: the items found, how many there were, what was examined, where to go on.

    last: the key that was looked at last, None if there was none. last_item: the item examined last, decoded; None
    if there was none. expires: the second in which the first of those examined expires, 0 if none does. more: there are
    entries of the stretch left. error: why the entry `last` can not be decoded.
    """

    cdef readonly list items
    cdef readonly Py_ssize_t count, scanned, size
    cdef readonly uint64_t expires
    cdef readonly bytes last
    cdef readonly object last_item, error
    cdef readonly bint more

    def __cinit__(self):
        self.items = []


def read_stretch(
    entries, bytes low, bytes high, *, bint reverse, Py_ssize_t limit, Py_ssize_t limit_bytes, Py_ssize_t limit_entries,
    uint64_t second, decode, decode_some, names, holds, fetch, pick, bint count_only, uint32_t segment,
    uint32_t segments,
):
    """Read entries with low <= key < high (None: no bound) until one of the limits is reached.

    entries: an iterator of (key, value) views that begins in the stretch. limit: items examined, -1 for no limit;
    limit_bytes: their size; limit_entries: entries looked at. second: now; items that expire then or before are not
    there (0: all are). names: the attributes that the filter `holds` asks for, for decode_some. fetch: from an entry to
    the item that filter and pick are given. It ends early, with an error, at an entry that is no item.
    """
    cdef Stretch found = Stretch()
    cdef Py_buffer view
    cdef Py_ssize_t looked_at = 0
    cdef uint32_t size
    cdef uint64_t expires
    cdef int side
    last_key = last_value = None
    for key, value in entries:
        PyObject_GetBuffer(key, &view, PyBUF_SIMPLE)
        side = 0
        if reverse:
            if low is not None:
                side = compare(&view, low)
        elif high is not None:
            side = -1 if compare(&view, high) >= 0 else 0
        PyBuffer_Release(&view)
        if side < 0:
            break
        if found.scanned == limit or found.size >= limit_bytes or looked_at == limit_entries:
            found.more = True
            break
        looked_at += 1
        last_key = key
        PyObject_GetBuffer(value, &view, PyBUF_SIMPLE)
        peek_head(&view, &size, &expires)
        PyBuffer_Release(&view)
        if expires != 0 and expires <= second:
            continue
        if segments > 1 and crc32c(bytes(key)) % segments != segment:
            continue
        found.scanned += 1
        found.size += size
        if expires != 0 and (found.expires == 0 or expires < found.expires):
            found.expires = expires
        last_value = value
        try:
            if holds is not None and fetch is None:
                if not holds(decode_some(value, names)):
                    continue
                if count_only:
                    found.count += 1
                    continue
            item = decode(value)
        except ValueError as error:
            found.error = error
            break
        if fetch is not None:
            item = fetch(item)
            if holds is not None and not holds(item):
                continue
        found.count += 1
        if not count_only:
            found.items.append(item if pick is None else pick(item))
    if last_key is not None:
        found.last = bytes(last_key)
    if last_value is not None and found.error is None:
        found.last_item = decode(last_value)
    return found


cdef inline int compare(const Py_buffer* key, bytes bound) noexcept:
    """Below zero, zero or above, as the bytes stand."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(bound)
    cdef int order = memcmp(key.buf, PyBytes_AS_STRING(bound), min(key.len, size))
    if order == 0:
        return -1 if key.len < size else key.len > size
    return order
