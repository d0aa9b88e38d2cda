"""64-bit hashes that are the same for ever: they say on which slice a stored row lies.

    whole numbers    splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014)
    text             eight bytes at a time through the same finalizer, the length first, the rest padded with zeros
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy


cdef inline uint64_t splitmix64(uint64_t value) noexcept nogil:
    value += <uint64_t>0x9E3779B97F4A7C15
    value = (value ^ (value >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    value = (value ^ (value >> 27)) * <uint64_t>0x94D049BB133111EB
    return value ^ (value >> 31)


cdef inline uint64_t hash_bytes(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    cdef uint64_t hash = splitmix64(<uint64_t>size), word
    while size >= 8:
        memcpy(&word, data, 8)
        hash = splitmix64(hash ^ word)
        data += 8
        size -= 8
    if size:
        word = 0
        memcpy(&word, data, size)
        hash = splitmix64(hash ^ word)
    return hash
