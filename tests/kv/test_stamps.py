"""Stamps: an item in the tree knows the frame that wrote it, and is the same item all the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines._native.kvitem import ItemCodec, item_expires, item_size
from engines._native.kvpoint import References
from engines._native.kvstamp import stamp, stamped_at, unchanged, unstamped

ITEMS = st.dictionaries(
    st.text(min_size=1, max_size=5), st.integers(-(10**37), 10**37) | st.text() | st.binary(), max_size=5
)
SEQUENCES = st.integers(1, 2**63)


def image_of(item):
    return ItemCodec([]).encode(item)


@given(ITEMS, SEQUENCES, st.sampled_from([0, 5, 2**40]))
def test_a_stamp_changes_nothing_that_is_read(item, sequence, expires):
    codec = ItemCodec([])
    image = codec.encode(item, expires)
    stamped = stamp(image, sequence)
    assert codec.decode(stamped) == codec.decode(image)
    assert item_size(stamped) == item_size(image)
    assert item_expires(stamped) == item_expires(image) == expires


@given(ITEMS, SEQUENCES)
def test_stamping_can_be_undone_and_asked(item, sequence):
    image = image_of(item)
    for view in (bytes, memoryview):
        assert unstamped(view(stamp(image, sequence))) == image
        assert stamped_at(view(stamp(image, sequence))) == sequence
        assert unstamped(view(image)) == image
        assert stamped_at(view(image)) == 0


@given(ITEMS, ITEMS, SEQUENCES, SEQUENCES)
def test_images_are_compared_without_their_stamps(one, other, first, second):
    a = image_of(one)
    b = image_of(other)
    assert unchanged(a, a)
    assert unchanged(stamp(a, first), a)
    assert unchanged(stamp(a, first), stamp(a, second))
    assert unchanged(a, b) == unchanged(stamp(a, first), b) == unchanged(a, stamp(b, second)) == (a == b)


def test_nothing_and_an_item_differ():
    assert unchanged(None, None)
    assert not unchanged(None, b"\0\0\0\0")
    assert not unchanged(b"\0\0\0\0", None)
    assert unchanged(b"", b"")


def test_what_is_too_short_for_an_item_is_refused():
    with pytest.raises(ValueError, match="at least its head of 4 bytes, got 3"):
        stamp(b"abc", 1)


def test_a_stamped_item_that_was_cut_off_is_damaged():
    with pytest.raises(ValueError, match="damaged"):
        ItemCodec([]).decode(b"\x02\0\0\0\0\0\0\0")


def test_references_remember_the_oldest_frame_that_is_named():
    references = References(7)
    assert references.since == 7
    references.note(12)
    references.note(9)
    references.note(30)
    assert references.oldest == 9
    references.forget()
    assert references.oldest == 2**63
