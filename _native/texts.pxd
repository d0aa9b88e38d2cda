"""The UTF-8 bytes of a str, straight from its memory where it is ASCII."""


cdef extern from "Python.h":
    bint is_text "PyUnicode_Check"(object)
    bint is_exact_text "PyUnicode_CheckExact"(object)
    bint is_ascii_text "PyUnicode_IS_COMPACT_ASCII"(object)
    Py_ssize_t text_length "PyUnicode_GET_LENGTH"(object)
    void* text_data "PyUnicode_DATA"(object)
    const char* utf8_or_raise "PyUnicode_AsUTF8AndSize"(object, Py_ssize_t*) except? NULL


cdef inline const char* text_bytes(object text, Py_ssize_t* size) except? NULL:
    """NULL, without an exception, where the text has an unpaired surrogate. Valid as long as the str lives."""
    if is_ascii_text(text):
        size[0] = text_length(text)
        return <const char*>text_data(text)
    try:
        return utf8_or_raise(text, size)
    except UnicodeEncodeError:
        return NULL


cdef extern from "Python.h":
    object new_ascii_text "PyUnicode_New"(Py_ssize_t, Py_UCS4)
