"""Groups of 128 whole numbers, packed: see searchpack.h."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from "searchpack.h":
    enum:
        GROUP
    const uint32_t NONE "NO_DOCUMENT"  # no document; also: the one before the first
    int bit_width(uint32_t value) noexcept nogil
    int ones(uint64_t word) noexcept nogil
    int lowest(uint64_t word) noexcept nogil
    int pack_rows(int count, int width) noexcept nogil
    void pack_group(const uint32_t* values, int count, int width, uint8_t* to) noexcept nogil
    void unpack_group(const uint8_t* source, uint32_t* to, int width) noexcept nogil
    void unpack_ascending(const uint8_t* source, uint32_t* to, int width, uint32_t before) noexcept nogil
    uint32_t packed_at(const uint8_t* source, int i, int width) noexcept nogil
    int first_at_least(const uint32_t* values, int at, int count, uint32_t wanted) noexcept nogil
