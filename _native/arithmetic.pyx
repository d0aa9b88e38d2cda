"""Whole-number arithmetic on columns: value = base + data, data of 1, 2, 4 or 8 bytes.

    combine   a + b, a - b, a * b   bounds prove that the result fits: no test in the loop
    scale     a * factor + offset   the same, with constants
    checked   a + b, a - b, a * b   on int64; stops at the first row that does not fit 64 bits
    divide, remainder, shrink       truncating or rounding half away from zero

The bases are folded in by computing modulo 2^32 or 2^64: whatever the steps in between do, a result that fits comes out
right. An out array of 4 bytes holds result - base and is computed in 32 bits: twice the lanes. A product of two
operands that fit 32 bits without a sign widens from 32 to 64 bits, which SIMD does in one instruction where a 64-bit
product takes three.

Data under NULLs is computed like any other and may wrap: nothing here fails on it. A zero divisor gives 0: who calls
has looked for zeros that count.
"""

from cpython.long cimport PyLong_AsUnsignedLongLongMask
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from dispatch cimport multiversion_int
from vectors cimport Vector, close_vector, closed, narrow, open_vector

cdef extern from *:
    """
    #include <stdint.h>
    static inline int engines_quotient(int64_t a, int64_t factor, int64_t b, int64_t *out) {
        int64_t small;
        *out = 0;
        if (b == 0) return 1;
        if (b > 0 && b < INT64_MAX / 2 && !__builtin_mul_overflow(a, factor, &small)) { /* nearly always: 64 bits */
            int64_t left = small % b;
            *out = small / b + (2 * left >= b) - (-2 * left >= b);
            return 1;
        }
        __int128 value = (__int128)a * factor, rest = value % b, size = b < 0 ? -(__int128)b : b;
        int negative = (value < 0) != (b < 0);
        value /= b;
        if (2 * (rest < 0 ? -rest : rest) >= size) value += negative ? -1 : 1;
        if (value < INT64_MIN || value > INT64_MAX) return 0;
        *out = (int64_t)value;
        return 1;
    }
    #define engines_add(a, b, out) __builtin_add_overflow(a, b, out)
    #define engines_sub(a, b, out) __builtin_sub_overflow(a, b, out)
    #define engines_mul(a, b, out) __builtin_mul_overflow(a, b, out)
    """
    bint quotient "engines_quotient"(int64_t a, int64_t factor, int64_t b, int64_t* out) noexcept nogil
    bint add_overflow "engines_add"(int64_t a, int64_t b, int64_t* out) noexcept nogil
    bint sub_overflow "engines_sub"(int64_t a, int64_t b, int64_t* out) noexcept nogil
    bint mul_overflow "engines_mul"(int64_t a, int64_t b, int64_t* out) noexcept nogil

ctypedef fused other:
    uint8_t
    uint16_t
    uint32_t
    int64_t

cdef enum:
    PLUS = 0
    MINUS = 1
    TIMES = 2

ADD, SUBTRACT, MULTIPLY = PLUS, MINUS, TIMES


# ---- unchecked ---------------------------------------------------------------------------------------------------


def combine(int operation, a, a_base, b, b_base, out, out_base, bint short=False):
    """out = (a + a_base) operation (b + b_base) - out_base; out of 4 bytes, or of 8 with out_base 0.

    short: both operands are known to lie in 0 .. 2^32 - 1.
    """
    cdef Vector first = closed(), second = closed(), target = closed()
    cdef uint64_t x = PyLong_AsUnsignedLongLongMask(a_base), y = PyLong_AsUnsignedLongLongMask(b_base)
    cdef uint64_t z = PyLong_AsUnsignedLongLongMask(out_base)
    try:
        open_vector(&first, a, 0)
        open_vector(&second, b, 0, first.n)
        open_vector(&target, out, 0, first.n, True)
        if target.width < 4:
            raise ValueError(f"results have 4 or 8 bytes, not {target.width}")
        with nogil:
            if first.width == 1:
                combine_width(operation, <const uint8_t*>first.data, x, &second, y, &target, z, short)
            elif first.width == 2:
                combine_width(operation, <const uint16_t*>first.data, x, &second, y, &target, z, short)
            elif first.width == 4:
                combine_width(operation, <const uint32_t*>first.data, x, &second, y, &target, z, short)
            else:
                combine_width(operation, <const int64_t*>first.data, x, &second, y, &target, z, short)
    finally:
        close_vector(&first)
        close_vector(&second)
        close_vector(&target)


cdef int combine_width(
    int operation, const narrow* a, uint64_t x, Vector* b, uint64_t y, Vector* out, uint64_t z, bint short
) noexcept nogil:
    if b.width == 1:
        return combine_out(operation, a, x, <const uint8_t*>b.data, y, out, z, short)
    if b.width == 2:
        return combine_out(operation, a, x, <const uint16_t*>b.data, y, out, z, short)
    if b.width == 4:
        return combine_out(operation, a, x, <const uint32_t*>b.data, y, out, z, short)
    return combine_out(operation, a, x, <const int64_t*>b.data, y, out, z, short)


cdef multiversion_int combine_out(
    int operation, const narrow* a, uint64_t x, const other* b, uint64_t y, Vector* out, uint64_t z, bint short
) noexcept nogil:
    cdef Py_ssize_t i, n = out.n
    cdef uint32_t* four = <uint32_t*>out.data
    cdef uint64_t* eight = <uint64_t*>out.data
    cdef uint32_t p = <uint32_t>x, q = <uint32_t>y, r = <uint32_t>z
    if out.width == 4:
        if operation == PLUS:
            r = p + q - r
            for i in range(n):
                four[i] = <uint32_t>a[i] + <uint32_t>b[i] + r
        elif operation == MINUS:
            r = p - q - r
            for i in range(n):
                four[i] = <uint32_t>a[i] - <uint32_t>b[i] + r
        else:
            for i in range(n):
                four[i] = (<uint32_t>a[i] + p) * (<uint32_t>b[i] + q) - r
    elif operation == PLUS:
        x += y
        for i in range(n):
            eight[i] = <uint64_t>a[i] + <uint64_t>b[i] + x
    elif operation == MINUS:
        x -= y
        for i in range(n):
            eight[i] = <uint64_t>a[i] - <uint64_t>b[i] + x
    elif short:
        for i in range(n):
            eight[i] = <uint64_t>(<uint32_t>a[i] + p) * <uint64_t>(<uint32_t>b[i] + q)
    else:
        for i in range(n):
            eight[i] = (<uint64_t>a[i] + x) * (<uint64_t>b[i] + y)
    return 0


def scale(a, factor, offset, out):
    """out = a * factor + offset, modulo the width of out, which is 4 or 8 bytes."""
    cdef Vector first = closed(), target = closed()
    cdef uint64_t x = PyLong_AsUnsignedLongLongMask(factor), y = PyLong_AsUnsignedLongLongMask(offset)
    try:
        open_vector(&first, a, 0)
        open_vector(&target, out, 0, first.n, True)
        if target.width < 4:
            raise ValueError(f"results have 4 or 8 bytes, not {target.width}")
        with nogil:
            if first.width == 1:
                scale_loop(<const uint8_t*>first.data, x, y, &target)
            elif first.width == 2:
                scale_loop(<const uint16_t*>first.data, x, y, &target)
            elif first.width == 4:
                scale_loop(<const uint32_t*>first.data, x, y, &target)
            else:
                scale_loop(<const int64_t*>first.data, x, y, &target)
    finally:
        close_vector(&first)
        close_vector(&target)


cdef multiversion_int scale_loop(const narrow* a, uint64_t x, uint64_t y, Vector* out) noexcept nogil:
    cdef Py_ssize_t i, n = out.n
    cdef uint32_t* four = <uint32_t*>out.data
    cdef uint64_t* eight = <uint64_t*>out.data
    cdef uint32_t p = <uint32_t>x, q = <uint32_t>y
    if out.width == 4:
        for i in range(n):
            four[i] = <uint32_t>a[i] * p + q
    elif x == 1:
        for i in range(n):
            eight[i] = <uint64_t>a[i] + y
    elif x >> 32 == 0 and sizeof(narrow) <= 4:
        for i in range(n):
            eight[i] = <uint64_t><uint32_t>a[i] * <uint64_t>p + y
    else:
        for i in range(n):
            eight[i] = <uint64_t>a[i] * x + y
    return 0


# ---- checked -----------------------------------------------------------------------------------------------------


def checked(int operation, a, b, out):
    """out = a operation b on int64. The first row whose result does not fit, or the number of rows.

    a or b may be one value that stands for all. Rows from the one returned on are not written.
    """
    cdef Vector first = closed(), second = closed(), target = closed()
    cdef Py_ssize_t n
    try:
        open_vector(&target, out, 8, -1, True)
        n = target.n
        open_operand(&first, a, n)
        open_operand(&second, b, n)
        with nogil:
            n = checked_loop(
                operation, <const int64_t*>first.data, first.n == n, <const int64_t*>second.data, second.n == n,
                <int64_t*>target.data, n,
            )
    finally:
        close_vector(&first)
        close_vector(&second)
        close_vector(&target)
    return n


cdef int open_operand(Vector* vector, object array, Py_ssize_t n) except -1:
    open_vector(vector, array, 8)
    if vector.n != n and vector.n != 1:
        raise ValueError(f"{vector.n} values for {n} results")
    return 0


cdef Py_ssize_t checked_loop(
    int operation, const int64_t* a, Py_ssize_t step_a, const int64_t* b, Py_ssize_t step_b, int64_t* out, Py_ssize_t n
) noexcept nogil:
    """Scalar: every row may be the last."""
    cdef Py_ssize_t i
    cdef int64_t value = 0
    for i in range(n):
        if operation == PLUS:
            if add_overflow(a[i * step_a], b[i * step_b], &value):
                return i
        elif operation == MINUS:
            if sub_overflow(a[i * step_a], b[i * step_b], &value):
                return i
        elif mul_overflow(a[i * step_a], b[i * step_b], &value):
            return i
        out[i] = value
    return n


# ---- division ----------------------------------------------------------------------------------------------------


def divide(a, int64_t factor, b, out):
    """out = a * factor / b, rounded half away from zero, through 128 bits. Returns as checked."""
    cdef Vector first = closed(), second = closed(), target = closed()
    cdef Py_ssize_t n, i
    cdef const int64_t* x
    cdef const int64_t* y
    cdef int64_t* z
    cdef Py_ssize_t step_x, step_y
    try:
        open_vector(&target, out, 8, -1, True)
        n = target.n
        open_operand(&first, a, n)
        open_operand(&second, b, n)
        x, y, z = <const int64_t*>first.data, <const int64_t*>second.data, <int64_t*>target.data
        step_x, step_y = first.n == n, second.n == n
        with nogil:
            for i in range(n):
                if not quotient(x[i * step_x], factor, y[i * step_y], &z[i]):
                    n = i
                    break
    finally:
        close_vector(&first)
        close_vector(&second)
        close_vector(&target)
    return n


def truncate(bint remainder, a, b, out):
    """out = a / b toward zero, or its remainder, which has the sign of a. -2^63 / -1 gives -2^63: who calls looks."""
    cdef Vector first = closed(), second = closed(), target = closed()
    cdef Py_ssize_t n, i
    cdef const int64_t* x
    cdef const int64_t* y
    cdef int64_t* z
    cdef int64_t divisor
    cdef Py_ssize_t step_x, step_y
    try:
        open_vector(&target, out, 8, -1, True)
        n = target.n
        open_operand(&first, a, n)
        open_operand(&second, b, n)
        x, y, z = <const int64_t*>first.data, <const int64_t*>second.data, <int64_t*>target.data
        step_x, step_y = first.n == n, second.n == n
        with nogil:
            for i in range(n):
                divisor = y[i * step_y]
                if divisor == 0:
                    z[i] = 0
                elif divisor == -1:  # the processor traps on -2^63 / -1
                    z[i] = 0 if remainder else <int64_t>(-<uint64_t>x[i * step_x])
                else:
                    z[i] = x[i * step_x] % divisor if remainder else x[i * step_x] // divisor
    finally:
        close_vector(&first)
        close_vector(&second)
        close_vector(&target)


def shrink(a, int64_t divisor, out):
    """out = a / divisor (above 0), rounded half away from zero: a decimal with fewer places."""
    cdef Vector first = closed(), target = closed()
    try:
        open_vector(&first, a, 8)
        open_vector(&target, out, 8, first.n, True)
        if divisor < 1:
            raise ValueError(f"the divisor is at least 1, not {divisor}")
        with nogil:
            shrink_loop(<const int64_t*>first.data, divisor, <int64_t*>target.data, first.n)
    finally:
        close_vector(&first)
        close_vector(&target)


cdef int shrink_loop(const int64_t* a, int64_t divisor, int64_t* out, Py_ssize_t n) noexcept nogil:
    """Scalar: no instruction set here divides 64 bits in lanes."""
    cdef Py_ssize_t i
    cdef int64_t value, rest, half = divisor // 2 + (divisor & 1)  # the smallest rest that rounds away
    for i in range(n):
        value = a[i] // divisor  # C's division: toward zero
        rest = a[i] % divisor
        value += rest >= half
        value -= -rest >= half
        out[i] = value
    return 0
