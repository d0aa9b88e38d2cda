"""Window functions over frames that slide: each row's frame is rows low[i] .. high[i]-1 of the sorted order.

From row to row both ends of a frame only move forward, also from one partition to the next; so every kernel here looks
at a row a constant number of times, however wide the frames are.

Sums and moments are cut at a pivot ("two stacks"): sums of the rows from k to the pivot are kept for every k, and the
rows behind the pivot are added to one running sum. A frame is the sum of two parts; nothing is ever subtracted, so
nothing cancels, as it does with prefix sums of doubles. When a frame has left the pivot behind, its end is the next.

    rows     . . . . [low . . . . | . . . high) . . .
                      suffix[low]   running               pivot = |

Sums are compensated (Neumaier 1974): their error does not grow with the number of rows. Variances combine counts, means
and sums of squared differences (Chan, Golub, LeVeque 1979). Minima keep a queue of candidates that only grows upwards
(Lemire 2006); they are given as places, so that the kernel knows no types but words in the order of the values
(sortkeys.pyx).

Not multiversion: each step depends on the one before.
Invariants: low and high never fall; 0 <= low[i] <= high[i] <= n. The wrappers check it.
"""

from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

ctypedef fused Key:
    int64_t
    double


cdef bint ends_are_sound(const int32_t* low, const int32_t* high, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef int32_t low_before = 0, high_before = 0
    for i in range(n):
        if low[i] < low_before or high[i] < high_before or low[i] > high[i] or high[i] > n:
            return False
        low_before = low[i]
        high_before = high[i]
    return True


cdef struct Sum:
    double total
    double lost


cdef inline Sum plus(Sum sum, double value) noexcept nogil:
    cdef double total = sum.total + value
    if fabs(sum.total) >= fabs(value):
        sum.lost += (sum.total - total) + value
    else:
        sum.lost += (value - total) + sum.total
    sum.total = total
    return sum


def sliding_sums(
    const double[::1] values not None, const uint8_t[::1] valid, const int32_t[::1] low not None,
    const int32_t[::1] high not None, double[:, ::1] room not None, double[::1] out not None,
):
    """out[i]: sum of the valid values of the frame, 0 for none. room: 2 doubles a row."""
    cdef Py_ssize_t n = values.shape[0], i, k, pivot = 0, reached = 0
    if low.shape[0] != n or high.shape[0] != n or out.shape[0] != n or room.shape[0] < n or room.shape[1] != 2:
        raise ValueError("values, low, high, room and out have different lengths")
    if valid is not None and valid.shape[0] != n:
        raise ValueError("values and valid have different lengths")
    if n == 0:
        return
    if not ends_are_sound(&low[0], &high[0], n):
        raise ValueError("the ends of frames must not fall")
    cdef Sum left, right
    right.total = right.lost = 0
    with nogil:
        for i in range(n):
            if low[i] >= high[i]:
                out[i] = 0
                continue
            if low[i] >= pivot:
                pivot = reached = high[i]
                left.total = left.lost = right.total = right.lost = 0
                for k in range(pivot - 1, low[i] - 1, -1):
                    if valid is None or valid[k]:
                        left = plus(left, values[k])
                    room[k, 0] = left.total
                    room[k, 1] = left.lost
            while reached < high[i]:
                if valid is None or valid[reached]:
                    right = plus(right, values[reached])
                reached += 1
            left.total = room[low[i], 0]
            left.lost = room[low[i], 1] + right.lost
            left = plus(left, right.total)
            if left.total - left.total == 0:  # finite: else what was lost is no number
                out[i] = left.total + left.lost
            else:
                out[i] = left.total


cdef struct Moments:
    double count
    double mean
    double squares  # sum of squared differences from the mean


cdef inline Moments with_value(Moments moments, double value) noexcept nogil:
    cdef double distance = value - moments.mean
    moments.count += 1
    moments.mean += distance / moments.count
    moments.squares += distance * (value - moments.mean)
    return moments


cdef inline Moments together(Moments a, Moments b) noexcept nogil:
    cdef double distance = b.mean - a.mean, count = a.count + b.count
    if b.count == 0:
        return a
    if a.count == 0:
        return b
    a.mean += distance * b.count / count
    a.squares += b.squares + distance * distance * a.count * b.count / count
    a.count = count
    return a


def sliding_squares(
    const double[::1] values not None, const uint8_t[::1] valid, const int32_t[::1] low not None,
    const int32_t[::1] high not None, double[:, ::1] room not None, double[::1] out not None,
):
    """out[i]: the sum of squared differences from the mean, of the frame's valid values. room: 3 doubles a row."""
    cdef Py_ssize_t n = values.shape[0], i, k, pivot = 0, reached = 0
    if low.shape[0] != n or high.shape[0] != n or out.shape[0] != n or room.shape[0] < n or room.shape[1] != 3:
        raise ValueError("values, low, high, room and out have different lengths")
    if valid is not None and valid.shape[0] != n:
        raise ValueError("values and valid have different lengths")
    if n == 0:
        return
    if not ends_are_sound(&low[0], &high[0], n):
        raise ValueError("the ends of frames must not fall")
    cdef Moments left, right, none
    none.count = none.mean = none.squares = 0
    right = none
    with nogil:
        for i in range(n):
            if low[i] >= high[i]:
                out[i] = 0
                continue
            if low[i] >= pivot:
                pivot = reached = high[i]
                left = right = none
                for k in range(pivot - 1, low[i] - 1, -1):
                    if valid is None or valid[k]:
                        left = with_value(left, values[k])
                    room[k, 0] = left.count
                    room[k, 1] = left.mean
                    room[k, 2] = left.squares
            while reached < high[i]:
                if valid is None or valid[reached]:
                    right = with_value(right, values[reached])
                reached += 1
            left.count = room[low[i], 0]
            left.mean = room[low[i], 1]
            left.squares = room[low[i], 2]
            out[i] = together(left, right).squares


def sliding_least(
    const uint64_t[::1] words not None, const uint8_t[::1] valid, const int32_t[::1] low not None,
    const int32_t[::1] high not None, int32_t[::1] room not None, int32_t[::1] out not None,
):
    """out[i]: the place of the first least valid word of the frame, -1 where there is none. room: one number a row."""
    cdef Py_ssize_t n = words.shape[0], i, reached = 0, head = 0, tail = 0
    if low.shape[0] != n or high.shape[0] != n or out.shape[0] != n or room.shape[0] < n:
        raise ValueError("words, low, high, room and out have different lengths")
    if valid is not None and valid.shape[0] != n:
        raise ValueError("words and valid have different lengths")
    if n == 0:
        return
    if not ends_are_sound(&low[0], &high[0], n):
        raise ValueError("the ends of frames must not fall")
    with nogil:
        for i in range(n):
            while reached < high[i]:
                if valid is None or valid[reached]:
                    while tail > head and words[room[tail - 1]] > words[reached]:
                        tail -= 1
                    room[tail] = <int32_t>reached
                    tail += 1
                reached += 1
            while head < tail and room[head] < low[i]:
                head += 1
            out[i] = room[head] if head < tail and low[i] < high[i] else -1


def range_ends(
    const Key[::1] keys not None, const Key[::1] targets not None, const int32_t[::1] first not None,
    const int32_t[::1] last not None, bint after, int32_t[::1] out not None,
):
    """out[i]: the first place of first[i] .. last[i]-1 whose key is at least targets[i], or above it with `after`.

    keys and targets do not fall within one pair of first and last; last[i] where there is no such place.
    """
    cdef Py_ssize_t n = keys.shape[0], i
    cdef int32_t at = 0
    if targets.shape[0] != n or first.shape[0] != n or last.shape[0] != n or out.shape[0] != n:
        raise ValueError("keys, targets, first, last and out have different lengths")
    with nogil:
        for i in range(n):
            if first[i] < 0 or last[i] > n:
                with gil:
                    raise ValueError("a range leads out of the rows")
            if at < first[i]:
                at = first[i]
            if after:
                while at < last[i] and keys[at] <= targets[i]:
                    at += 1
            else:
                while at < last[i] and keys[at] < targets[i]:
                    at += 1
            out[i] = at if at < last[i] else last[i]
