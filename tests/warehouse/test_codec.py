"""Blocks: every encoding gives back what it was given, and damage is named or harmless."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from warehouse.columns import TYPES, bits, column_of, columns, values_of

from engines.errors import Corrupted
from engines.sql.column import Column
from engines.sql.types import BIGINT, BOOLEAN, DATE, DOUBLE, VARCHAR, decimal
from engines.warehouse.blocks import NAMES, encode
from engines.warehouse.codec import HEADER, Block, Encoding


def decoded(made, type):
    block = Block(made.data)
    assert (block.rows, block.nulls, block.encoding) == (made.rows, made.nulls, made.encoding)
    return values_of(block.decode(type, made.low, made.high), made.rows)


@settings(max_examples=300)
@given(columns(), st.sampled_from(NAMES))
def test_every_encoding_gives_back_what_it_was_given(drawn, wanted):
    type, values, column = drawn
    made = encode(column, len(values), wanted)
    assert decoded(made, type) == [bits(value) for value in values]
    assert made.nulls == values.count(None)


@settings(max_examples=150)
@given(columns())
def test_a_zone_map_holds_every_value(drawn):
    _, values, column = drawn
    made = encode(column, len(values))
    for value in values:
        if value is None or value != value:  # noqa: PLR0124 - NaN is above everything: high is then unknown
            assert value is None or made.high is None
        else:
            assert made.low <= value
            assert made.high is None or value <= made.high


@pytest.mark.parametrize("rows", [1, 1023, 1024, 1025, 65_536])
@pytest.mark.parametrize("wanted", NAMES)
def test_blocks_of_all_lengths(rows, wanted):
    rng = np.random.default_rng(rows)
    kinds = {
        "same": np.full(rows, 7),
        "small": rng.integers(-3, 100, rows),
        "sorted": np.sort(rng.integers(0, 2**40, rows)),
        "runs": np.repeat(rng.integers(0, 9, rows), 50)[:rows],
        "any": rng.integers(-(2**63), 2**63 - 1, rows),
        "units": 10_000 * rng.integers(-99, 1000, rows) + 1,
        "few": rng.choice(rng.integers(-(2**60), 2**60, 50), rows),
    }
    for name, values in kinds.items():
        made = encode(Column(BIGINT, values.astype(np.int64)), rows, wanted)
        assert decoded(made, BIGINT) == values.tolist(), name
        words = [b"%d" % value for value in values.tolist()]
        made = encode(column_of(VARCHAR, words), rows, wanted)
        assert decoded(made, VARCHAR) == words, name
        halves = values.astype(np.float64) / 4
        made = encode(Column(DOUBLE, halves), rows, wanted)
        assert decoded(made, DOUBLE) == [bits(value) for value in halves.tolist()], name


def encoding_of(type, values, wanted="auto"):
    return encode(column_of(type, values), len(values), wanted).encoding


def test_auto_takes_what_suits_the_values():
    rng = np.random.default_rng(1)
    assert encoding_of(BIGINT, list(range(0, 60_000, 3))) is Encoding.DELTA
    assert encoding_of(BIGINT, rng.integers(0, 5000, 20_000).tolist()) is Encoding.BITPACK
    assert encoding_of(BIGINT, [3] * 9000 + [900_000] * 9000) is Encoding.RUNLENGTH
    assert encoding_of(BIGINT, (rng.integers(0, 900, 20_000) * 86_400).tolist()) is Encoding.SCALED
    assert encoding_of(BIGINT, rng.choice(rng.integers(0, 2**50, 90), 20_000).tolist()) is Encoding.BYTEDICT
    assert encoding_of(VARCHAR, [b"north", b"south"] * 5000) is Encoding.BYTEDICT
    assert encoding_of(VARCHAR, [b"a text of its own, %d" % n for n in range(10_000)]) is Encoding.TEXT
    assert encoding_of(DOUBLE, [n / 100 for n in range(10_000)]) is Encoding.SCALED
    assert encoding_of(decimal(38, 0), [10**30 + n for n in range(1000)]) is Encoding.WIDE


def test_one_word_more_than_a_dictionary_holds_makes_plain_text():
    words = [b"%d" % number for number in range(65_536)]
    assert encoding_of(VARCHAR, words, "bytedict") is Encoding.BYTEDICT
    assert decoded(encode(column_of(VARCHAR, words), len(words), "bytedict"), VARCHAR) == words


@pytest.mark.parametrize("type", TYPES, ids=str)
def test_a_block_of_nulls_only(type):
    made = encode(column_of(type, [None] * 70), 70)
    assert decoded(made, type) == [None] * 70
    assert (made.low, made.high) == (None, None)
    assert len(made.data) < 80


def test_a_constant_stays_one():
    for type, value in ((BIGINT, 5), (VARCHAR, b"word"), (DATE, 11_000)):
        made = encode(column_of(type, [value] * 5000), 5000)
        column = Block(made.data).decode(type)
        assert column.constant
        assert len(made.data) < 120


def test_the_sketch_counts_distinct_values():
    from engines.warehouse.statistics import estimate  # noqa: PLC0415

    for distinct in (1, 50, 3000, 60_000):
        numbers = encode(Column(BIGINT, np.arange(60_000) % distinct), 60_000)
        assert abs(estimate(numbers.sketch) - distinct) <= max(1, 0.1 * distinct)
        words = encode(column_of(VARCHAR, [b"w%d" % (n % distinct) for n in range(60_000)]), 60_000)
        assert abs(estimate(words.sketch) - distinct) <= max(1, 0.1 * distinct)


# -- damage


SAMPLES = [
    (BIGINT, list(range(0, 900, 3)), "delta"),
    (BIGINT, [5, 9] * 80, "bitpack"),
    (BIGINT, [5, None] * 80, "raw"),
    (BIGINT, [1] * 70 + [2] * 50, "runlength"),
    (BIGINT, [10**12, 5, 10**15] * 40, "bytedict"),
    (BIGINT, [86_400 * n for n in (5, 9, 1, 400) * 60], "auto"),
    (BIGINT, [7, 2**62, 9], "zstd"),
    (BOOLEAN, [0, 1, None, 1] * 30, "auto"),
    (DOUBLE, [0.25, 1.5, None] * 30, "auto"),
    (DOUBLE, [1 / 3, 2 / 7, 1e300] * 30, "zstd"),
    (DOUBLE, [1 / 3, 2 / 7] * 30, "bytedict"),
    (DOUBLE, [1 / 3] * 30 + [0.5], "runlength"),
    (DOUBLE, [1 / 3, 2 / 7] * 30, "raw"),
    (VARCHAR, [b"north", b"", None, b"south"] * 30, "bytedict"),
    (VARCHAR, [b"north", b"", None, b"south"] * 30, "zstd"),
    (VARCHAR, [b"north", b"", None, b"south"] * 30, "text"),
    (decimal(38, 0), [10**30, -5, None] * 20, "auto"),
    (VARCHAR, [None] * 9, "auto"),
]


def seen(data, type):
    """What a reader makes of these bytes; None = it says that they are damaged."""
    try:
        block = Block(data)
        return values_of(block.decode(type), block.rows)
    except Corrupted:
        return None


@pytest.mark.parametrize(("type", "values", "wanted"), SAMPLES, ids=[f"{s[0]} {s[2]}" for s in SAMPLES])
def test_every_flipped_byte_and_every_cut_of_a_block_is_named(type, values, wanted):
    data = encode(column_of(type, values), len(values), wanted).data
    for at in range(len(data)):
        assert seen(data[:at], type) is None
        assert seen(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :], type) is None
    assert seen(data + b"\0", type) is None


@pytest.mark.parametrize(("type", "values", "wanted"), SAMPLES, ids=[f"{s[0]} {s[2]}" for s in SAMPLES])
def test_hostile_bytes_under_a_true_checksum_never_reach_beyond_the_block(type, values, wanted):
    """Wrong values or Corrupted, never anything else: the right number of rows, codes that have words."""
    data = encode(column_of(type, values), len(values), wanted).data
    for at in [*range(5, 28), *range(HEADER.size, len(data))]:
        for flip in (1 << at % 8, 0xFF, 0x80):
            seen(signed(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]), type)
    for cut in range(HEADER.size, len(data)):
        head = bytearray(data[:cut])
        head[20:24] = max(int.from_bytes(data[20:24], "little") - (len(data) - cut), 0).to_bytes(4, "little")
        if not data[6] & 2:
            head[16:20] = head[20:24]
        seen(signed(bytes(head)), type)


@settings(max_examples=300)
@given(st.sampled_from(SAMPLES), st.data())
def test_random_payloads_never_crash_a_reader(sample, data):
    type, values, wanted = sample
    block = bytearray(encode(column_of(type, values), len(values), wanted).data)
    block[6] &= 1  # not compressed: the bytes below are then read as they are
    block = block[: HEADER.size + (-(-len(values) // 8) + 7 & ~7 if block[6] else 0)]
    block[5] = data.draw(st.sampled_from(list(Encoding)))
    payload = data.draw(st.lists(st.one_of(st.binary(max_size=30), headers), max_size=4).map(b"".join))
    block[16:24] = len(payload).to_bytes(4, "little") * 2
    seen(signed(bytes(block) + payload), type)


headers = st.builds(
    lambda width, packed, count, base: bytes([width, packed, 0, 0]) + count.to_bytes(4, "little") + base,
    st.integers(0, 65),
    st.integers(0, 1),
    st.sampled_from([0, 1, 2, 9, 90, 120, 160, 300, 65_536, 2**32 - 1]),
    st.one_of(st.just(bytes(8)), st.binary(min_size=8, max_size=8)),
)


def test_lengths_of_texts_that_add_up_to_little_only_modulo_2_to_the_64th():
    third = (2**64 + 2) // 3
    together = bytes([0, 0, 0, 0]) + (3).to_bytes(4, "little") + third.to_bytes(8, "little")
    alone = bytes([64, 0, 0, 0]) + (3).to_bytes(4, "little") + bytes(8) + third.to_bytes(8, "little") * 3
    for lengths in (together, alone):
        payload = lengths + b"12345678"
        size = len(payload).to_bytes(4, "little")
        head = b"EHB1" + bytes([3, Encoding.TEXT, 0, 0]) + (3).to_bytes(4, "little") + bytes(4) + size * 2 + bytes(8)
        assert seen(signed(head + payload), VARCHAR) is None


def signed(data):
    """The block with its checksum made true."""
    import google_crc32c  # noqa: PLC0415

    at = HEADER.size - 4
    crc = google_crc32c.value(data[:at] + data[HEADER.size :])
    return data[:at] + crc.to_bytes(4, "little") + data[HEADER.size :]


@given(st.binary(max_size=80))
@example(b"")
@example(b"EHB1" + bytes(60))
def test_any_bytes_are_a_block_or_named_as_none(data):
    with pytest.raises(Corrupted):
        Block(data)


def test_a_block_is_no_other_type():
    data = encode(column_of(BIGINT, [1, 2]), 2).data
    with pytest.raises(Corrupted, match="whole"):
        Block(data).decode(VARCHAR)
