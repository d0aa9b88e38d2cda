"""Tiles as bytes: there and back, every byte flipped, every end cut off, lies in the header."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from timeseries import test_merge
from timeseries.test_merge import checked, laid_over, many, rows_of, several, type_of

from engines.errors import Corrupted, EngineError
from engines.storage.blobs import Blobs
from engines.timeseries import merge, tile

SMALL = merge.encoded_part(many(0, 40))


def blob_of(part):
    return b"".join(tile.write_tile(part, table=1, tile=0))


@given(several)
def test_a_part_comes_back_from_its_bytes(parts):
    made = merge.encoded_part(rows_of(parts[0]))
    data = tile.packed(made)
    back = tile.unpacked(memoryview(data), "here")
    assert checked([back]) == laid_over(parts[:1])
    assert (back.low, back.high, back.rows) == (made.low, made.high, made.rows)
    for name in tile.FIELDS:
        assert back.blocks[name].tolist() == made.blocks[name].tolist()
    assert tile.packed(back) == data


def test_a_tile_lies_in_a_blob_and_is_read_where_it_lies(tmp_path):
    blobs = Blobs(str(tmp_path / "blobs"))
    part = merge.encoded_part(many(0, 3_000))
    stored = tile.store(blobs, part, table=3, tile=0, generation=7, tier="magnetic")
    back = tile.read(blobs, stored)
    assert checked([back]) == checked([part])
    assert (back.tier, back.blob, back.generation) == ("magnetic", stored.digest, 7)
    assert (stored.rows, stored.points, stored.low, stored.high) == (9_000, 9_000, 0, 2_999)


def test_every_flipped_byte_is_named_with_its_place(tmp_path):
    blobs = Blobs(str(tmp_path / "blobs"))
    stored = tile.store(blobs, SMALL, table=3, tile=0, generation=7, tier="memory")
    file = tmp_path / "blobs" / stored.digest[:2] / stored.digest[2:]
    data = file.read_bytes()
    assert tile.damage(memoryview(data)) is None
    for at in range(len(data)):
        file.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        with pytest.raises(Corrupted) as caught:
            tile.read(Blobs(str(tmp_path / "blobs")), stored)
        assert caught.value.file == str(file)
        assert caught.value.offset <= at


def test_a_missing_blob_is_named():
    blobs = Blobs(None)
    stored = tile.store(blobs, SMALL, table=3, tile=0, generation=7, tier="memory")
    blobs.delete(stored.digest)
    with pytest.raises(Corrupted, match="is missing"):
        tile.read(blobs, stored)


def tried(data):
    """Whatever the bytes are: rows of whatever values, or Corrupted."""
    try:
        part = tile.unpacked(memoryview(data), "here")
        merge.rows_of(part, type_of)
    except EngineError:
        return


def test_bytes_that_nobody_wrote_lead_nowhere():
    data = tile.packed(SMALL)
    for at in range(len(data)):
        for bit in range(8):
            tried(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
    for end in range(len(data)):
        with pytest.raises(Corrupted):
            tile.unpacked(memoryview(data[:end]), "here")


@pytest.mark.parametrize("field", range(3, 9))
def test_a_header_that_lies_is_corrupted(field):
    data = tile.packed(SMALL)
    fields = list(tile.HEADER.unpack_from(data))
    for value in (0, 1, fields[field] + 1, 2**31, 2**32 - 1):
        if value == fields[field] or field == 8:  # rows are only counted
            continue
        fields_now = [*fields[:field], value, *fields[field + 1 :]]
        try:
            header = tile.HEADER.pack(*fields_now)
        except struct.error:
            continue
        with pytest.raises(Corrupted):
            tile.unpacked(memoryview(header + data[tile.HEADER.size :]), "here")


@given(st.binary(max_size=300))
def test_noise_is_corrupted(noise):
    with pytest.raises(Corrupted):
        tile.unpacked(memoryview(noise), "here")
    with pytest.raises(Corrupted):
        tile.open_tile(memoryview(noise), "0" * 64, "here")


def test_a_directory_out_of_order_is_corrupted():
    for change in ("series", "columns", "rows"):
        blocks = SMALL.blocks.copy()
        series, columns = SMALL.series.copy(), SMALL.columns.copy()
        if change == "series":
            series = series[::-1].copy()
        elif change == "columns":
            columns[0], columns[1] = columns[1], columns[0]
        else:
            blocks["rows"][1] = 39
        wrong = type(SMALL)(
            SMALL.low, SMALL.high, SMALL.rows, 0, series, SMALL.starts, columns, SMALL.firsts, blocks, SMALL.owner
        )
        with pytest.raises(Corrupted):
            tile.unpacked(memoryview(tile.packed(wrong)), "here")


def test_summaries_are_small():
    random = np.random.default_rng(1)
    steps = np.cumsum(random.standard_normal((100, 8_192)), axis=1).astype(np.int64)
    rows = merge.Rows(
        np.repeat(np.arange(100, dtype=np.int32), 8_192),
        np.tile(np.arange(8_192) * 10**10, 100),
        {3: test_merge.Column("bigint", steps.reshape(-1))},
    )
    part = merge.encoded_part(rows)
    payload = int(part.blocks["length"].sum())
    assert len(blob_of(part)) - payload < 0.04 * part.rows
