"""Frames and their checksum: against google_crc32c and a plain encoder, and on bytes that no encoder ever wrote."""

import random
import struct

import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines._native import frame

LOG_ID = 0xDEAD_BEEF_0123_4567
LENGTHS = range(131)


def plain(sequence, payload, *, time=7, lag=1, kind=0, log_id=LOG_ID):
    """A frame as the docstring draws it."""
    rest = struct.pack("<QQII", sequence, time, lag, kind)
    covered = struct.pack("<QI", log_id, len(payload)) + rest + payload
    encoded = struct.pack("<II", len(payload), google_crc32c.value(covered)) + rest + payload
    return encoded.ljust((len(encoded) + 7) & ~7, b"\0")


def payloads(count):
    return [bytes([i % 256]) * (i % 131) for i in range(count)]


def stream(count, first=1, **fields):
    return b"".join(plain(first + i, payload, **fields) for i, payload in enumerate(payloads(count)))


@pytest.mark.parametrize("portable", [False, True], ids=["instruction", "table"])
def test_the_checksum_is_crc32c_at_every_length_and_alignment(portable):
    data = random.Random(1).randbytes(200)  # noqa: S311 - the same bytes in each run
    for length in LENGTHS:
        for start in range(9):
            piece = data[start : start + length]
            assert frame.crc32c(memoryview(data)[start : start + length], portable=portable) == google_crc32c.value(
                piece
            )
    assert frame.crc32c(b"123456789", portable=portable) == 0xE3069283  # the check value of RFC 3720


@given(st.binary(max_size=300), st.binary(max_size=300), st.booleans())
def test_a_checksum_continues_where_another_ended(a, b, portable):
    assert frame.crc32c(b, frame.crc32c(a, portable=portable), portable=portable) == google_crc32c.value(a + b)


def test_a_checksum_needs_bytes():
    with pytest.raises(TypeError):
        frame.crc32c("text")
    with pytest.raises(TypeError):
        frame.crc32c(None)


def test_frames_of_every_length_are_encoded_as_drawn():
    buffer = frame.FrameBuffer(LOG_ID)
    for i, payload in enumerate(payloads(131), 1):
        buffer.append(i, 7, 1, 0, payload)
    assert len(buffer) == len(stream(131))
    assert buffer.peek() == stream(131)


@given(
    st.integers(1, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(0, 2**32 - 1), st.binary()
)
def test_the_header_gives_back_what_was_encoded(sequence, time, lag, kind, payload):
    buffer = frame.FrameBuffer(LOG_ID)
    buffer.append(sequence, time, lag, kind, payload)
    data = buffer.peek()
    saturated = min(lag, 2**32 - 1)
    assert data == plain(sequence, payload, time=time, lag=saturated, kind=kind)
    assert frame.header_at(data, 0) == (len(payload), sequence, time, saturated, kind)
    assert frame.scan(data, 0, sequence, LOG_ID)[2] == frame.END


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_a_payload_is_anything_with_bytes(kind):
    buffer = frame.FrameBuffer(LOG_ID)
    buffer.append(1, 7, 1, 0, kind(b"payload"))
    assert buffer.peek() == plain(1, b"payload")


def test_a_payload_that_is_no_buffer_or_has_gaps_leaves_the_buffer_as_it_was():
    buffer = frame.FrameBuffer(LOG_ID)
    for payload in ("text", None, 5, memoryview(b"abcdef")[::2]):
        with pytest.raises((TypeError, BufferError)):
            buffer.append(1, 7, 1, 0, payload)
    assert len(buffer) == 0


def test_written_frames_are_dropped_and_later_ones_stay():
    buffer = frame.FrameBuffer(LOG_ID)
    buffer.append(1, 7, 1, 0, b"one")
    taken = buffer.peek()
    buffer.append(2, 7, 1, 0, b"two")
    buffer.drop(len(taken))
    assert buffer.peek() == plain(2, b"two")
    buffer.drop(len(buffer))
    assert buffer.peek() == b""


def test_a_frame_that_was_not_taken_is_cut_off():
    buffer = frame.FrameBuffer(LOG_ID)
    buffer.append(1, 7, 1, 0, b"one")
    size = len(buffer)
    buffer.append(2, 7, 1, 0, b"two")
    buffer.cut(size)
    buffer.cut(size + 1000)  # nothing there
    assert buffer.peek() == plain(1, b"one")


def test_a_buffer_goes_on_after_a_huge_frame():
    buffer = frame.FrameBuffer(LOG_ID)
    huge = bytes(5 << 20)
    buffer.append(1, 7, 1, 0, huge)
    buffer.drop(len(buffer))  # gives the memory back
    for i, payload in enumerate(payloads(131), 1):
        buffer.append(i, 7, 1, 0, payload)
    assert buffer.peek() == stream(131)


@pytest.mark.parametrize("call", ["drop", "cut"])
def test_a_buffer_cannot_be_cut_outside_of_itself(call):
    buffer = frame.FrameBuffer(LOG_ID)
    buffer.append(1, 7, 1, 0, b"one")
    with pytest.raises(ValueError, match="must"):
        getattr(buffer, call)(-1)
    with pytest.raises(ValueError, match="within"):
        buffer.drop(len(buffer) + 1)
    assert buffer.peek() == plain(1, b"one")


def test_a_scan_finds_every_frame_and_the_end():
    data = stream(5000)
    positions, end, verdict = frame.scan(data, 0, 1, LOG_ID)
    assert (len(positions), end, verdict) == (5000, len(data), frame.END)
    assert positions.dtype == np.int64
    assert [frame.header_at(data, int(at))[1] for at in positions] == list(range(1, 5001))
    positions, end, verdict = frame.scan(b"-" * 64 + data, 64, 1, LOG_ID)
    assert (len(positions), end, verdict) == (5000, 64 + len(data), frame.END)


def test_a_scan_stops_at_zeros_and_says_so():
    data = stream(3)
    for zeros in (1, 31, 32, 4096):
        assert frame.scan(data + bytes(zeros), 0, 1, LOG_ID)[1:] == (len(data), frame.ZEROS)
    assert frame.scan(b"", 0, 1, LOG_ID)[1:] == (0, frame.END)


def test_a_scan_stops_at_the_wrong_sequence_and_at_frames_of_another_log():
    data = stream(3)
    assert frame.scan(data, 0, 2, LOG_ID)[1:] == (0, frame.BAD)
    assert frame.scan(data, 0, 1, LOG_ID + 1)[1:] == (0, frame.BAD)
    assert frame.scan(data + plain(3, b"again"), 0, 1, LOG_ID)[1:] == (len(data), frame.BAD)


def test_a_scan_finds_the_whole_frames_of_any_truncated_stream():
    data = stream(20)
    starts = [*frame.scan(data, 0, 1, LOG_ID)[0].tolist(), len(data)]
    for length in range(len(data)):
        positions, end, verdict = frame.scan(data[:length], 0, 1, LOG_ID)
        whole = sum(start <= length for start in starts[1:])
        assert (len(positions), end) == (whole, starts[whole])
        assert (verdict == frame.END) == (length == starts[whole])
        assert verdict != frame.BAD


def test_a_scan_notices_every_flipped_bit_but_those_of_the_padding():
    data = stream(12)
    starts = frame.scan(data, 0, 1, LOG_ID)[0].tolist()
    for index, start in enumerate(starts):
        used = frame.HEADER + frame.header_at(data, start)[0]
        for at in range(start, start + used):
            for bit in range(8):
                flipped = bytearray(data)
                flipped[at] ^= 1 << bit
                assert len(frame.scan(flipped, 0, 1, LOG_ID)[0]) == index


@given(st.binary(max_size=400), st.integers(0, 400), st.integers(0, 3))
def test_nothing_is_found_in_random_bytes_and_nothing_is_read_beyond_them(data, start, expected):
    if start > len(data):
        with pytest.raises(ValueError, match="within"):
            frame.scan(data, start, expected, LOG_ID)
    else:
        positions, end, verdict = frame.scan(data, start, expected, LOG_ID)
        assert (len(positions), end) == (0, start)
        assert (verdict == frame.END) == (start == len(data))
    assert frame.find_voucher(data, start, expected, LOG_ID) == -1
    assert frame.only_zeros(data, start) == (not any(data[start:]))


@given(st.data())
def test_a_scan_survives_any_header(data):
    """Headers that make sense in part: true lengths, huge ones, lengths that end just behind the buffer."""
    header = struct.pack(
        "<IIQQII",
        data.draw(st.sampled_from([0, 1, 8, 63, 64, 65, 2**30, 2**30 + 1, 2**31, 2**32 - 32, 2**32 - 1])),
        data.draw(st.integers(0, 2**32 - 1)),
        data.draw(st.sampled_from([0, 1, 2, 2**64 - 1])),
        0,
        data.draw(st.sampled_from([0, 1, 2**32 - 1])),
        0,
    )
    data = header + bytes(data.draw(st.integers(0, 80)))
    positions, end, verdict = frame.scan(data, 0, 1, LOG_ID)
    assert (len(positions), end) == (0, 0)
    assert verdict in (frame.ZEROS, frame.SHORT, frame.BAD)
    assert frame.find_voucher(data, 0, 1, LOG_ID) == -1


@pytest.mark.parametrize("call", [frame.find_voucher, frame.scan])
def test_a_negative_start_is_refused(call):
    with pytest.raises(ValueError, match="start"):
        call(b"abc", -1, 1, LOG_ID)
    with pytest.raises(ValueError, match="start"):
        frame.only_zeros(b"abc", -1)
    with pytest.raises(ValueError, match="header"):
        frame.header_at(bytes(100), -1)
    with pytest.raises(ValueError, match="header"):
        frame.header_at(bytes(100), 69)


def test_a_frame_vouches_for_what_was_durable_when_it_was_written():
    later = plain(10, b"x" * 40, lag=3)  # 7 was on disk
    for junk in (0, 8, 64):
        data = b"\xff" * junk + later
        for expected in range(12):
            assert frame.find_voucher(data, 0, expected, LOG_ID) == (junk if expected <= 7 else -1)


def test_a_voucher_is_looked_for_at_multiples_of_8_and_must_be_whole():
    good = plain(10, b"x" * 40, lag=1)
    assert frame.find_voucher(bytes(8) + good, 3, 1, LOG_ID) == 8
    assert frame.find_voucher(bytes(4) + good, 0, 1, LOG_ID) == -1
    assert frame.find_voucher(good, 0, 1, LOG_ID + 1) == -1
    for length in range(len(good)):
        assert frame.find_voucher(good[:length], 0, 1, LOG_ID) == -1
    for at in range(frame.HEADER + 40):
        broken = bytearray(good)
        broken[at] ^= 1
        assert frame.find_voucher(broken, 0, 1, LOG_ID) == -1


def test_a_payload_over_the_limit_is_refused_before_anything_is_taken():
    assert frame.MAX_PAYLOAD == 1 << 30
    buffer = frame.FrameBuffer(LOG_ID)
    too_long = np.zeros(frame.MAX_PAYLOAD + 1, np.uint8)  # untouched pages: costs no memory
    with pytest.raises(ValueError, match="at most"):
        buffer.append(1, 7, 1, 0, too_long)
    assert len(buffer) == 0


def test_frames_are_copied_into_memory_where_they_fit():
    buffer = frame.FrameBuffer(LOG_ID)
    buffer.append(1, 7, 1, 0, b"one")
    memory = bytearray(8 + len(buffer))
    assert buffer.copy_to(memory, 8) == len(buffer)
    assert memory == bytes(8) + plain(1, b"one")
    for offset in (-1, 9):
        with pytest.raises(ValueError, match="do not fit"):
            buffer.copy_to(memory, offset)
    with pytest.raises((BufferError, TypeError)):
        buffer.copy_to(bytes(100), 0)
