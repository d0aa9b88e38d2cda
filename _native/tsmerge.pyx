"""Rows of a batch sorted by series, rows found again in blocks, bytes of blocks gathered.

    group       stable, by series: a counting sort. Rows come in order of time nearly always, and are then sorted
    settle      else: each series by time, by merging its rising runs
    locate      for each (series, time) the place of that row among sorted rows: two binary searches
    gather      bytes from many addresses into one array

Addresses come from parts, whose owner keeps their memory alive; the caller holds the part while this runs. Nothing is
allocated here.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy


def group(
    const int32_t[::1] series not None, const int64_t[::1] times not None, int64_t[::1] counts not None,
    int64_t[::1] order not None,
):
    """Sort rows by series, stably. -> 0 as they were in order already, 1 times rise in each series, 2 they do not.

    counts: one more than there are series; afterwards where each series begins in the order, and the end.
    """
    cdef Py_ssize_t rows = series.shape[0], room = counts.shape[0] - 1
    if times.shape[0] != rows or order.shape[0] != rows or room < 0:
        raise ValueError("series, times and order are of one length, counts has a place more than there are series")
    if rows == 0:
        counts[:] = 0
        return 0
    cdef int verdict
    with nogil:
        verdict = grouped(&series[0], &times[0], rows, &counts[0], room, &order[0])
    if verdict < 0:
        raise ValueError("a series has a number that is too large")
    return verdict


cdef int grouped(
    const int32_t* series, const int64_t* times, Py_ssize_t rows, int64_t* counts, Py_ssize_t room, int64_t* order
) noexcept nogil:
    cdef Py_ssize_t i
    cdef int64_t total = 0, number, place
    cdef int verdict = 0
    for i in range(room + 1):
        counts[i] = 0
    for i in range(rows):
        if series[i] < 0 or series[i] >= room:
            return -1
        counts[series[i]] += 1
    for i in range(room):
        number = counts[i]
        counts[i] = total
        total += number
    counts[room] = total
    for i in range(rows):
        number = series[i]
        place = counts[number]
        order[place] = i
        counts[number] = place + 1
        if place != i:
            verdict = 1
    for i in range(room, 0, -1):
        counts[i] = counts[i - 1]
    counts[0] = 0
    for i in range(room):
        for place in range(counts[i] + 1, counts[i + 1]):
            if times[order[place]] <= times[order[place - 1]]:
                return 2
    return verdict


def settle(
    const int64_t[::1] times not None, const int64_t[::1] counts not None, int64_t[::1] order not None,
    int64_t[::1] scratch not None,
):
    """After group: sort each series by time as well, stably. -> whether a series has two rows of one time.

    scratch: three times as long as the order.
    """
    cdef Py_ssize_t rows = order.shape[0], series = counts.shape[0] - 1, i
    if times.shape[0] != rows or scratch.shape[0] < 3 * rows or series < 0 or counts[series] != rows or counts[0] != 0:
        raise ValueError("times and order are of one length, scratch is three times as long, counts is of group()")
    for i in range(rows):
        if order[i] < 0 or order[i] >= rows:
            raise ValueError("the order is not of these rows")
    for i in range(series):
        if counts[i] > counts[i + 1]:
            raise ValueError("counts do not rise")
    if rows == 0:
        return False
    cdef bint repeats = False
    with nogil:
        for i in range(series):
            if counts[i + 1] - counts[i] > 1:
                repeats |= merge_runs(
                    &times[0], &order[counts[i]], counts[i + 1] - counts[i], &scratch[0], &scratch[rows],
                    &scratch[2 * rows],
                )
    return repeats


cdef bint merge_runs(
    const int64_t* times, int64_t* order, Py_ssize_t rows, int64_t* keys, int64_t* more_keys, int64_t* more
) noexcept nogil:
    """A merge sort of natural runs (Knuth, volume 3, 5.2.4, algorithm N): rows that come nearly in order are few runs.

    keys, more_keys and more have room for as many. -> whether two times are the same.
    """
    cdef Py_ssize_t i, left, right, middle, end, at, runs = 2
    cdef int64_t* swapped
    cdef int64_t* from_order = order
    cdef bint same = False
    for i in range(rows):
        keys[i] = times[order[i]]
    while runs > 1:
        runs = 0
        at = 0
        while at < rows:  # a run and the next become one
            left = at
            middle = left + 1
            while middle < rows and keys[middle] >= keys[middle - 1]:
                middle += 1
            end = middle
            if middle < rows:
                end = middle + 1
                while end < rows and keys[end] >= keys[end - 1]:
                    end += 1
            right = middle
            while at < end:
                if right >= end or (left < middle and keys[left] <= keys[right]):
                    more_keys[at] = keys[left]
                    more[at] = from_order[left]
                    left += 1
                else:
                    more_keys[at] = keys[right]
                    more[at] = from_order[right]
                    right += 1
                at += 1
            runs += 1
        swapped = keys
        keys = more_keys
        more_keys = swapped
        swapped = from_order
        from_order = more
        more = swapped
    if from_order != order:
        memcpy(order, from_order, rows * sizeof(int64_t))
    for i in range(1, rows):
        if keys[i] == keys[i - 1]:
            same = True
    return same


def locate(
    const int32_t[::1] series not None, const int64_t[::1] starts not None, const int64_t[::1] times not None,
    const int32_t[::1] wanted not None, const int64_t[::1] moments not None, int64_t[::1] places not None,
):
    """places[i]: where among sorted rows the last row of series wanted[i] at or before moments[i] is; -1 for none.

    series rises; times[starts[s]:starts[s + 1]] are those of series[s], and rise. -> how many were found.
    """
    cdef Py_ssize_t n = wanted.shape[0], known = series.shape[0], i, low, high, middle, s
    cdef int64_t begin, end
    cdef Py_ssize_t found = 0
    if starts.shape[0] != known + 1 or moments.shape[0] != n or places.shape[0] != n:
        raise ValueError("starts has a place more than series, and moments and places are as long as wanted")
    for i in range(known):
        if starts[i] < 0 or starts[i] > starts[i + 1] or starts[i + 1] > times.shape[0]:
            raise ValueError("starts do not rise, or lead beyond the times")
    with nogil:
        s = 0
        for i in range(n):
            places[i] = -1
            if s >= known or series[s] != wanted[i]:  # rows of one series mostly come together
                low, high = 0, known
                while low < high:
                    middle = (low + high) >> 1
                    if series[middle] < wanted[i]:
                        low = middle + 1
                    else:
                        high = middle
                s = low
                if s >= known or series[s] != wanted[i]:
                    continue
            begin = starts[s]
            end = starts[s + 1]
            low, high = begin, end
            while low < high:
                middle = (low + high) >> 1
                if times[middle] <= moments[i]:
                    low = middle + 1
                else:
                    high = middle
            if low > begin:
                places[i] = low - 1
                found += 1
    return found


def gather(
    const uint64_t[::1] addresses not None, const int64_t[::1] lengths not None, const int64_t[::1] offsets not None,
    uint8_t[::1] out not None,
):
    """Copy lengths[i] bytes from addresses[i] to out[offsets[i]]; nothing where the length is 0."""
    cdef Py_ssize_t n = addresses.shape[0], room = out.shape[0], i
    if lengths.shape[0] != n or offsets.shape[0] != n:
        raise ValueError("addresses, lengths and offsets are of one length")
    for i in range(n):
        if lengths[i] < 0 or offsets[i] < 0 or offsets[i] > room or lengths[i] > room - offsets[i]:
            raise ValueError("a block does not fit where it is to go")
    with nogil:
        for i in range(n):
            if lengths[i]:
                memcpy(&out[offsets[i]], <const void*><size_t>addresses[i], <size_t>lengths[i])
