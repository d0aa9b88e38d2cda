"""Numbers as up to 38 decimal digits: what keys and items make of int and Decimal, exactly and in one form.

    value = 0.d1 d2 ... dn * 10**exponent, negated if negative; d1 and dn are not 0; zero has no digits

So 1, 1.00 and 1E0 are one Number, and so are 0 and -0. The range is DynamoDB's: 1E-130 to 9.99...E+125. A Decimal is
read from its text: at 38 digits that is three times faster than as_tuple().

Order-preserving bytes (keys), at most 22 of them; digits go in pairs, d = pair << 1 | another pair follows:

    zero 80 | positive 81 e d d ... | negative 7F and then the bytes of the positive number inverted
    e = 128 + exponent in pairs; the last-pair bit makes each encoding end by itself, and a prefix sort first
"""

from cpython.long cimport PyLong_FromLongLong
from cpython.object cimport PyObject_Str
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL
    long long PyLong_AsLongLongAndOverflow(object, int*) except? -1
    object PyLong_FromString(const char*, char**, int)
    object PyNumber_ToBase(object, int)
    bint PyLong_Check(object)


cdef enum:
    MAX_DIGITS = 38
    KEY_NUMBER_BYTES = 22
    # what is wrong with a number
    FINE = 0
    TOO_PRECISE = 1
    TOO_LARGE = 2
    TOO_SMALL = 3
    NOT_FINITE = 4
    HALF_DIGITS = 19


cdef struct Number:
    bint negative
    int count  # of digits
    int exponent
    uint8_t digits[MAX_DIGITS]  # 0..9


cdef inline void number_from_int64(Number* number, int64_t value) noexcept nogil:
    cdef uint64_t rest = <uint64_t>value if value >= 0 else 0 - <uint64_t>value
    cdef uint8_t reversed_digits[20]
    cdef int length = 0, i
    number.negative = value < 0
    while rest:
        reversed_digits[length] = rest % 10
        rest //= 10
        length += 1
    number.exponent = length
    for i in range(length):
        number.digits[i] = reversed_digits[length - 1 - i]
    while length and number.digits[length - 1] == 0:
        length -= 1
    number.count = length


cdef inline int number_from_text(Number* number, const char* text, Py_ssize_t size) noexcept nogil:
    """Reads what str(int) and str(Decimal) write: -12.50, 1E+7, NaN, -Infinity."""
    cdef Py_ssize_t i = 0, length = 0, scale = 0
    cdef int64_t power = 0
    cdef bint point = False, down = False
    cdef char c
    memset(number, 0, sizeof(Number))
    if size and text[0] == c"-":
        number.negative = True
        i = 1
    if i < size and not c"0" <= text[i] <= c"9":
        return NOT_FINITE
    while i < size and text[i] != c"E":
        c = text[i]
        i += 1
        if c == c".":
            point = True
            continue
        scale += point
        if c == c"0" and length == 0:
            continue
        length += 1  # zeros are only counted: the digits were set to 0
        if c != c"0":
            if length > MAX_DIGITS:
                return TOO_PRECISE
            number.digits[length - 1] = c - c"0"
            number.count = length
    if number.count == 0:
        number.negative = False
        return FINE
    if i < size:
        down = text[i + 1] == c"-"
        for i in range(i + 2, size):
            power = power * 10 + (text[i] - c"0")  # a Decimal's exponent has at most 19 digits
    power = (0 - power if down else power) + length - scale
    if power > 126:
        return TOO_LARGE
    if power < -129:
        return TOO_SMALL
    number.exponent = power
    return FINE


cdef inline int number_from_object(Number* number, object value, type decimal) except -1:
    """An int or Decimal (or a subclass, whose own methods are not called) as a Number, or what is wrong with it."""
    cdef int overflow = 0
    cdef Py_ssize_t size
    cdef long long small
    cdef const char* data
    if PyLong_Check(value):
        small = PyLong_AsLongLongAndOverflow(value, &overflow)
        if not overflow:
            number_from_int64(number, small)
            return FINE
        try:
            text = PyNumber_ToBase(value, 10)
        except ValueError:  # more than 4,300 digits
            return TOO_LARGE
    elif type(value) is decimal:
        text = PyObject_Str(value)
    else:
        text = decimal.__str__(value)
    data = PyUnicode_AsUTF8AndSize(text, &size)
    return number_from_text(number, data, size)


cdef inline str number_problem(int problem, object value):
    """The end of a sentence that says what is wrong with this number and what to do."""
    if problem == NOT_FINITE:
        return f"must be a finite number, got {value}; leave the attribute out, or store None"
    if problem == TOO_PRECISE:
        return f"has more than {MAX_DIGITS} significant digits: round it first, or store it as a string"
    if problem == TOO_LARGE:
        return "is a number beyond 9.99E+125, the largest magnitude: store it as a string"
    return f"is {value}, closer to 0 than 1E-130, the smallest magnitude: round it to 0, or store it as a string"


cdef inline str number_advice(object value):
    """The end of a sentence on a value that is no int or Decimal: how to write the number that it is, or nothing."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if getattr(value, "ndim", 0):
        return "; write its .tolist()"
    if kind == "f" and not isinstance(value, float):
        return "; write Decimal(str(...))"
    if isinstance(value, float):
        return f": write Decimal({str(value)!r})"
    if kind == "b":
        return "; write bool(...)"
    return "; write int(...)" if hasattr(value, "__index__") else ""


cdef inline str type_name(object value):
    """As an error names it: int64 alone would be nobody's, and bool the wrong one."""
    kind = type(value)
    return f"numpy.{kind.__name__}" if kind.__module__ == "numpy" else kind.__name__


cdef inline object number_to_object(const Number* number, type decimal):
    """int where the value is whole and below 10**38, else Decimal."""
    cdef char text[64]
    cdef int i, at = 0, power = number.exponent - number.count
    cdef int64_t value = 0
    if number.count == 0:
        return 0
    if power >= 0 and number.exponent <= 18:
        for i in range(number.count):
            value = value * 10 + number.digits[i]
        for _ in range(power):
            value *= 10
        return PyLong_FromLongLong(0 - value if number.negative else value)
    if number.negative:
        text[0] = c"-"
        at = 1
    for i in range(number.count):
        text[at] = c"0" + number.digits[i]
        at += 1
    if power >= 0 and number.exponent <= MAX_DIGITS:
        memset(text + at, c"0", power)
        text[at + power] = 0
        return PyLong_FromString(text, NULL, 10)
    text[at] = c"E"
    text[at + 1] = c"-" if power < 0 else c"+"
    if power < 0:
        power = -power
    text[at + 2] = c"0" + power // 100
    text[at + 3] = c"0" + power // 10 % 10
    text[at + 4] = c"0" + power % 10
    return decimal(PyUnicode_DecodeASCII(text, at + 5, NULL))


cdef extern from *:
    """
    typedef unsigned __int128 decimals_wide;  /* 38 digits are 127 bits */
    #define DECIMALS_HALF 10000000000000000000ull  /* 10 ** 19 */
    """
    ctypedef unsigned long long wide "decimals_wide"
    const wide HALF "DECIMALS_HALF"


cdef inline int number_size(const Number* number) noexcept nogil:
    """Bytes by DynamoDB's rules: one, one more for every two digits, and one for a minus sign."""
    return 1 + (number.count + 1) // 2 + number.negative


cdef inline int small_number_size(int64_t value) noexcept nogil:
    cdef uint64_t rest = <uint64_t>value if value >= 0 else 0 - <uint64_t>value
    cdef int size = 1 + (value < 0)
    if rest:
        while rest % 10 == 0:
            rest //= 10
    while rest:
        rest //= 100
        size += 1
    return size


cdef inline bint fits_int64(const Number* number) noexcept nogil:
    return number.count == 0 or number.exponent >= number.count and (number.exponent <= 18 or (
        number.exponent == 19 and magnitude64(number) < (<uint64_t>1 << 63) + number.negative
    ))


cdef inline uint64_t magnitude64(const Number* number) noexcept nogil:
    """Of a whole number with at most 19 digits."""
    cdef uint64_t value = 0
    cdef int i
    for i in range(number.exponent):
        value = value * 10 + (number.digits[i] if i < number.count else 0)
    return value


cdef inline int64_t to_int64(const Number* number) noexcept nogil:
    cdef uint64_t value = 0 if number.count == 0 else magnitude64(number)
    return <int64_t>(0 - value if number.negative else value)


cdef inline int coefficient_bytes(const Number* number, uint8_t* out) noexcept nogil:
    """Writes the digits as a little-endian integer and returns its size, at most 16."""
    cdef wide value = 0
    cdef int i, size = 0
    for i in range(number.count):
        value = value * 10 + number.digits[i]
    while value:
        out[size] = <uint8_t>value
        value >>= 8
        size += 1
    return size


cdef inline bint number_from_coefficient(Number* number, const uint8_t* data, int size) noexcept nogil:
    """Sets count and digits; False where that is not what coefficient_bytes writes."""
    cdef wide value = 0
    cdef uint64_t rest
    cdef uint8_t digits[MAX_DIGITS]
    cdef int i, first = MAX_DIGITS
    if not 1 <= size <= 16:
        return False
    for i in range(size - 1, -1, -1):
        value = value << 8 | data[i]
    if value > <uint64_t>-1:  # two numbers of 64 bits divide faster than one of 128
        rest = <uint64_t>(value % HALF)
        value //= HALF
        if value >= HALF:
            return False
        while first > HALF_DIGITS:
            first -= 1
            digits[first] = rest % 10
            rest //= 10
    rest = <uint64_t>value
    while rest:
        first -= 1
        digits[first] = rest % 10
        rest //= 10
    number.count = MAX_DIGITS - first
    memcpy(number.digits, digits + first, number.count)
    return number.count > 0 and digits[MAX_DIGITS - 1] != 0


cdef inline Py_ssize_t put_key_number(uint8_t* out, const Number* number) noexcept nogil:
    """Writes at most KEY_NUMBER_BYTES and returns how many."""
    cdef int i, shift = number.exponent & 1, pair
    cdef Py_ssize_t size = 2
    cdef uint8_t inverted = 0xFF if number.negative else 0
    if number.count == 0:
        out[0] = 0x80
        return 1
    out[0] = 0x7F if number.negative else 0x81
    out[1] = <uint8_t>(128 + (number.exponent + shift) // 2) ^ inverted
    i = 0 - shift  # with an odd exponent the first pair is 0 and the first digit
    while i < number.count:
        pair = (number.digits[i] * 10 if i >= 0 else 0) + (number.digits[i + 1] if i + 1 < number.count else 0)
        i += 2
        out[size] = <uint8_t>(pair << 1 | (i < number.count)) ^ inverted
        size += 1
    return size


cdef inline Py_ssize_t get_key_number(Number* number, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """Reads what put_key_number wrote and returns how many bytes that was, or -1 where it is nothing of the kind."""
    cdef uint8_t inverted, byte
    cdef uint8_t digits[42]
    cdef int length = 0, first
    cdef Py_ssize_t at = 2
    if size >= 1 and data[0] == 0x80:
        number.negative, number.count, number.exponent = False, 0, 0
        return 1
    if size < 3 or (data[0] != 0x81 and data[0] != 0x7F):
        return -1
    number.negative = data[0] == 0x7F
    inverted = 0xFF if number.negative else 0
    byte = data[1] ^ inverted
    number.exponent = (byte - 128) * 2
    while True:
        if at >= size or at >= KEY_NUMBER_BYTES:
            return -1
        byte = data[at] ^ inverted
        at += 1
        if byte >> 1 > 99:
            return -1
        digits[length] = (byte >> 1) // 10
        digits[length + 1] = (byte >> 1) % 10
        length += 2
        if not byte & 1:
            break
    first = digits[0] == 0
    number.exponent -= first
    if digits[length - 1] == 0:
        length -= 1
    number.count = length - first
    if number.count < 1 or number.count > MAX_DIGITS or digits[first] == 0 or digits[length - 1] == 0:
        return -1  # not in the one form that put_key_number writes
    if number.exponent > 126 or number.exponent < -129:
        return -1
    memcpy(number.digits, digits + first, number.count)
    return at
