"""Keys of the cache's table: their hashes, whether two are equal, and what simple values weigh.

Keys are nearly always str or bytes: those are compared here. All others are Python's matter, and its code may do
anything, so that whoever compares them has to be prepared (cacheentries.pxd).
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from cacheindex cimport index_tag

cdef extern from *:
    """
    #include <string.h>

    /* 1 equal, 0 not, 2 ask Python */
    static inline int same_key(PyObject* a, PyObject* b) {
        if (PyUnicode_CheckExact(a) && PyUnicode_CheckExact(b)) {
            Py_ssize_t length = PyUnicode_GET_LENGTH(a);
            return length == PyUnicode_GET_LENGTH(b) && PyUnicode_KIND(a) == PyUnicode_KIND(b)
                && memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b), length * PyUnicode_KIND(a)) == 0;
        }
        if (PyBytes_CheckExact(a) && PyBytes_CheckExact(b))
            return PyBytes_GET_SIZE(a) == PyBytes_GET_SIZE(b)
                && memcmp(PyBytes_AS_STRING(a), PyBytes_AS_STRING(b), PyBytes_GET_SIZE(a)) == 0;
        if ((PyUnicode_CheckExact(a) && PyBytes_CheckExact(b)) || (PyBytes_CheckExact(a) && PyUnicode_CheckExact(b)))
            return 0;  /* their hashes are equal, and python -b would warn */
        return 2;
    }

    static inline Py_hash_t key_hash(PyObject* key) {
        if (PyUnicode_CheckExact(key) && ((PyASCIIObject*)key)->hash != -1)
            return ((PyASCIIObject*)key)->hash;
        return PyObject_Hash(key);
    }

    /* Bytes that a str, bytes, float or int takes; -1 for all else */
    static inline long long simple_size(PyObject* value) {
        if (PyUnicode_CheckExact(value))
            return (PyUnicode_IS_COMPACT_ASCII(value) ? 49 : 73) + PyUnicode_GET_LENGTH(value) * PyUnicode_KIND(value);
        if (PyBytes_CheckExact(value))
            return 33 + PyBytes_GET_SIZE(value);
        return PyFloat_CheckExact(value) ? 24 : -1;
    }
    """
    int64_t simple_size(PyObject*)
    int same_key(PyObject*, PyObject*)                 # 1 equal, 0 not, 2 ask Python
    Py_hash_t key_hash(object) except -1


cdef inline uint32_t tag_of(object key) except? 0:
    """The key's place in the index. May run its __hash__."""
    return index_tag(<uint64_t>key_hash(key))
