"""Plain Python, reading blocks from the drawing, finds what the kernels find."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import Invalid
from engines.timeseries import anatomy, codec


def block_of(type, data, valid=None):
    encoded = codec.encode(type, data, np.array([0, len(data)]), valid)
    return encoded, codec.placed(encoded)[0]


def check(type, data, valid=None):
    data = np.asarray(data)
    encoded, block = block_of(type, data, valid)
    values = anatomy.of(block).values
    expected = data if valid is None else data[valid != 0]
    np.testing.assert_array_equal(np.array(values, data.dtype).view(np.uint64), expected.view(np.uint64))
    return encoded


@given(st.integers(0, 64), st.integers(1, 1024), st.booleans(), st.integers(0, 2**32))
def test_whole_numbers_of_every_width(width, rows, rising, seed):
    data = np.random.default_rng(seed).integers(0, 1 << width, rows, np.uint64)
    check("bigint", (np.cumsum(data, dtype=np.uint64) if rising else data).view(np.int64))


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 500, 1024])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_doubles(rows, share):
    r = np.random.default_rng(rows)
    valid = (r.random(rows) < share).astype(np.uint8)
    if not valid.any():
        return
    walk = np.cumsum(r.integers(-3, 4, rows)) / 100
    for data in (
        walk,
        r.normal(size=rows),
        r.integers(0, 9, rows) / 1.8,
        np.where(r.random(rows) < 0.05, np.nan, walk),
    ):
        check("double", data, valid)


def test_times():
    times = np.arange(1000) * 10**9
    check("timestamp", times)
    times[500:] += 7
    check("timestamp", times)
    check("timestamp", np.cumsum(np.random.default_rng(1).integers(1, 10**10, 1000)))


def test_the_way_of_a_value():
    data = np.cumsum(np.random.default_rng(1).integers(-3, 4, 1000)) / 100 + 20
    _, block = block_of("double", data)
    parts = anatomy.of(block)
    assert parts.way(64).endswith(f"the start of lane 1, {parts.start_bits} bits")
    assert parts.way(70).startswith(
        f"{data[70]!r}".removeprefix("np.float64(").rstrip(")") + f" -> {round(data[70] * 100)} -> "
    )
    assert "in lane 1, position 6" in parts.way(70)
    assert str(parts).startswith("delta of double: 1,000 rows, 1,000 values")
    with pytest.raises(Invalid):
        parts.way(1000)
    _, block = block_of("boolean", np.array([0, 1], np.uint8))
    with pytest.raises(Invalid):
        anatomy.of(block)


def test_the_layout_is_what_was_written_in_earlier_versions():
    r = np.random.default_rng(123)
    walk = np.cumsum(r.integers(-3, 4, 1000)) / 10
    digest = hashlib.sha256()
    for type, data in (
        ("double", walk),
        ("double", np.where(np.arange(1000) % 50 == 7, np.pi, walk)),
        ("double", r.integers(0, 30, 700) / 1.75),
        ("bigint", np.cumsum(r.integers(0, 1 << 40, 1000))),
        ("timestamp", np.arange(100) * 1000 + (np.arange(100) > 50) * 77),
    ):
        encoded, _ = block_of(type, data, (np.arange(len(data)) % 9 > 0).astype(np.uint8))
        digest.update(encoded.payload)
        for field in ("length", "rows", "present", "codec", "flags", "more"):
            digest.update(encoded.blocks[field].tobytes())
    assert digest.hexdigest() == "419d54068e69e8a7bfddb8aaf9e5457d3daf1ee91725e598e9ae0dc37f39e7ed"
