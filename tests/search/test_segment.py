"""Segments: what is written is read, flipped bytes are found, deleting changes nothing that is shared."""

import random

import numpy as np
import pytest
from search.texts import random_texts, segment_of, words, written

from engines.errors import Corrupted, NotFound
from engines.search.columns import bitset, flags_of
from engines.search.segment import Segment, SegmentWriter
from engines.search.sources import train


def column_of(kind, values, docs, **options):
    writer = SegmentWriter(docs)
    writer.add_column("c", kind, values, **options)
    return Segment(b"".join(map(bytes, writer.finish()))).column("c")


def test_postings_ids_and_sources_are_those_that_were_written():
    texts = random_texts(1, 600)
    segment = segment_of(texts)
    for word in words(100):
        found = segment.postings("text", word)
        having = [doc for doc, text in enumerate(texts) if word in text]
        assert found.docs.tolist() == having
        assert found.frequencies.tolist() == [texts[doc].count(word) for doc in having]
        wanted = [[i for i, other in enumerate(texts[doc]) if other == word] for doc in having]
        assert [places.tolist() for places in found.positions] == wanted
    assert segment.postings("text", b"nowhere").docs.tolist() == []
    for doc in range(600):
        assert segment.find(b"id-%d" % doc) == doc
        assert segment.id_of(doc) == b"id-%d" % doc
        assert segment.source(doc) == b" ".join(texts[doc])
    assert segment.field("text").docs == sum(1 for text in texts if text)
    assert segment.field("text").tokens == sum(map(len, texts))


def test_a_segment_without_documents_can_be_read():
    segment = segment_of([])
    assert (segment.docs, segment.live_docs, len(segment.terms("text"))) == (0, 0, 0)
    assert segment.find(b"x") == -1


def test_what_is_not_there_is_named():
    segment = segment_of([[b"a"]])
    with pytest.raises(NotFound, match="'txt'; did you mean 'text'"):
        segment.terms("txt")
    with pytest.raises(NotFound, match="no column"):
        segment.column("price")


@pytest.mark.parametrize(
    "values",
    [
        [0, 0, 0], [5, 5], [1, 2, 3], [-(2**63), 2**63 - 1], [2**40, 2**40 + 2**32 - 1], [-7, 2**31], list(range(5000)),
    ],
)  # fmt: skip
def test_whole_numbers_are_read_as_written(values):
    column = column_of("long", np.array(values), len(values))
    assert column.values.tolist() == values
    assert (column.presence, column.offsets) == (None, None)
    low, high = column.ranges
    assert (low.min(), high.max()) == (min(values), max(values))


def test_doubles_are_read_bit_for_bit():
    values = np.array([0.0, -0.0, np.nan, np.inf, 1e-320, 3.5])
    assert column_of("double", values, 6).values.tobytes() == values.tobytes()


def test_documents_without_a_value_and_with_several():
    present = np.array([True, False, True])
    column = column_of("ordinal", np.array([4, 0, 9]), 3, present=present)
    assert column.has.tolist() == present.tolist()
    assert [bound.tolist() for bound in column.ranges] == [[4], [9]]
    column = column_of("long", np.array([1, 2, 3]), 3, offsets=np.array([0, 2, 2, 3]))
    assert column.offsets.tolist() == [0, 2, 2, 3]
    assert column.has.tolist() == [True, False, True]


def test_bitsets_are_inverses():
    for docs in (0, 1, 63, 64, 65, 1000):
        flags = np.random.default_rng(docs).random(docs) < 0.5
        assert flags_of(bitset(docs, flags), docs).tolist() == flags.tolist()
        assert bitset(docs, np.flatnonzero(flags)).tolist() == bitset(docs, flags).tolist()


def test_deleting_leaves_the_older_view_as_it_was():
    segment = segment_of([[b"a"]] * 100)
    fewer = segment.deleted([3, 99])
    again = fewer.deleted([3, 50])
    assert (segment.live_docs, fewer.live_docs, again.live_docs) == (100, 98, 97)
    assert (segment.find(b"id-3"), fewer.find(b"id-3"), fewer.find(b"id-4")) == (3, -1, 4)
    assert again.terms("text") is segment.terms("text")


def test_documents_compressed_with_a_dictionary_are_read_with_it():
    texts = [b'{"name": "customer %d", "city": "Rome", "orders": %d}' % (i, i * 7) for i in range(2000)]
    for dictionary in (b"", train(texts[:1000])):
        writer = SegmentWriter(2000)
        writer.add_sources(texts, dictionary=dictionary)
        segment = Segment(b"".join(map(bytes, writer.finish())))
        assert [segment.source(doc) for doc in range(2000)] == texts
    assert train([b"a"]) == b""


def read_all(data):
    segment = Segment(data)
    segment.verify()


def test_every_flipped_byte_is_found():
    data = written(random_texts(2, 60, vocabulary=20))
    read_all(data)
    chooser = random.Random(1)
    places = {start + i for start, size in Segment(data).container.sections.values() for i in range(size)}
    end = max(places)
    for at in [*chooser.sample(sorted(places), 150), *range(end + 1, len(data)), *range(8)]:
        damaged = bytearray(data)
        damaged[at] ^= 1 << chooser.randrange(8)
        if at > end and at < len(data) - 32 and data[at] == 0:
            continue  # padding
        if len(data) - 16 <= at < len(data) - 12:
            continue  # how many documents there are: sections then have other lengths
        with pytest.raises(Corrupted):
            read_all(bytes(damaged))


def test_bytes_that_end_early_are_no_segment():
    data = written([[b"a"]] * 5)
    for size in (0, 7, 39, len(data) - 33, len(data) - 1):
        with pytest.raises(Corrupted, match="damaged"):
            Segment(data[:size])
