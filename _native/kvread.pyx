"""A point read in one call: encode the key, take the lock, get, decode, let go.

Each Python frame on this way costs 50 to 100 ns, as much as a tenth of the whole read: so the frames are here, in one
compiled function. What it calls is handed in: the codecs, the lock, and the tree whose open transaction has the data.

    get(key tuple) = decode(tree.transaction.get(encode(key), None, db)), None where there is no item or it has expired

The view of the item that LMDB hands out dies with the next write: it is decoded before the lock is let go.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    HAS_EXPIRY = 1      # bit 0 of an item's head, see kvitem.pyx
    HEAD_BYTES = 4
    EXPIRES_BYTES = 8
    MICROSECONDS = 1_000_000


@cython.final
@cython.auto_pickle(False)
cdef class PointReader:
    """Reads single items of one table. get() may be called from any thread."""

    cdef object encode, decode, acquire, release, tree, keyspace, now, shorten
    cdef Py_ssize_t longest

    def __init__(self, encode, decode, lock, tree, keyspace, now, shorten, Py_ssize_t longest):
        """encode and decode: methods of the codecs. now: the clock's, or None in a table without time to live.

        shorten(key): the tree's key for an encoded key of more than `longest` bytes. keyspace: its .db is LMDB's handle.
        """
        self.encode, self.decode, self.acquire, self.release = encode, decode, lock.acquire, lock.release
        self.tree, self.keyspace, self.now, self.shorten, self.longest = tree, keyspace, now, shorten, longest

    def get(self, tuple key not None):
        """The item with this key, or None. ValueError if the key is wrong, or the bytes found are no item."""
        cdef bytes encoded = self.encode(key)
        if PyBytes_GET_SIZE(encoded) > self.longest:
            encoded = self.shorten(encoded)
        self.acquire()
        try:
            found = self.tree.transaction.get(encoded, None, self.keyspace.db)
            if found is None or (self.now is not None and self.expired(found)):
                return None
            return self.decode(found)
        finally:
            self.release()

    cdef bint expired(self, image) except -1:
        cdef Py_buffer view
        cdef uint32_t head
        cdef uint64_t expires
        PyObject_GetBuffer(image, &view, PyBUF_SIMPLE)
        try:
            if view.len < HEAD_BYTES + EXPIRES_BYTES:
                return False
            memcpy(&head, view.buf, HEAD_BYTES)
            if not head & HAS_EXPIRY:
                return False
            memcpy(&expires, <uint8_t*>view.buf + HEAD_BYTES, EXPIRES_BYTES)
        finally:
            PyBuffer_Release(&view)
        return expires <= <uint64_t>self.now() // MICROSECONDS
