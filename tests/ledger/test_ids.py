"""Ids as texts: in the order of their bytes, one text for each, and no other text is taken."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.clock import ManualClock
from engines.errors import Corrupted, Invalid
from engines.ledger import ids

raws = st.binary(min_size=16, max_size=16)


@given(raws, raws)
def test_ids_and_their_texts_have_one_order(first, second):
    assert ids.parse(ids.show(first)) == first
    assert len(ids.show(first)) == 22
    assert (first < second) == (ids.show(first) < ids.show(second))


@given(st.text(max_size=30))
def test_other_texts_are_none(text):
    raw = ids.parse(text)
    assert raw is None or ids.show(raw) == text


@pytest.mark.parametrize("wrong", ["", "0" * 21, "0" * 23, "z" * 22, "é" * 22, "0" * 21 + "-", None, 5, b"0" * 22])
def test_what_is_no_id_is_refused_with_what_one_is(wrong):
    assert ids.parse(wrong) is None
    with pytest.raises(Invalid, match="22 letters and digits"):
        ids.parse_or_raise(wrong)


def test_the_largest_id():
    assert ids.parse(ids.show(b"\xff" * 16)) == b"\xff" * 16
    assert ids.show(bytes(16)) == "0" * 22


def test_ids_sort_by_time_and_those_of_one_transaction_by_number():
    clock = ManualClock(10**15)
    early = ids.new_transaction_id(clock)
    clock.advance(0.001)
    late = ids.new_transaction_id(clock)
    assert early < late
    made = ids.document_ids(early, 1, 300)
    found = [made[at : at + 16] for at in range(0, len(made), 16)]
    assert found == sorted(set(found))
    assert all(early < document < late for document in found)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_book_are_corrupted(data):
    with pytest.raises(Corrupted):
        ids.read_identity(data, "BOOK")


def test_every_changed_byte_of_a_book_is_noticed():
    text = ids.identity_text(("dmv", ids.show(os.urandom(16))))
    assert ids.read_identity(text, "BOOK")[0] == "dmv"
    for at in range(len(text)):
        with pytest.raises(Corrupted):
            ids.read_identity(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :], "BOOK")
