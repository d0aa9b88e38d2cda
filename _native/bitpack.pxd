"""Bit-packing of whole numbers: see bitpack.h."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t


cdef extern from "bitpack.h":
    enum:
        RUN
    int bitpack_unpack8(const uint32_t* packed, uint8_t* out, int64_t runs, int width) noexcept nogil
    int bitpack_unpack16(const uint32_t* packed, uint16_t* out, int64_t runs, int width) noexcept nogil
    int bitpack_unpack32(const uint32_t* packed, uint32_t* out, int64_t runs, int width) noexcept nogil
    int bitpack_pack(const uint32_t* values, uint32_t* packed, int64_t runs, int width) noexcept nogil
