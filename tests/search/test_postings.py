"""Posting lists: written, read, merged, and read out of hostile bytes."""

import contextlib
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.texts import random_texts, segment_of

from engines._native.searchinvert import IdTable, id_table, invert, norm_lengths, norms, sort_terms
from engines._native.searchpostings import FieldReader, FieldWriter
from engines._native.searchtopk import Context, Factors, Field, Top

NONE = 0xFFFFFFFF


def write(docs, lists, *, norm=None, positions=True, frequencies=True):
    """A blob with the sections of one field: lists = {term: {document: [positions]}}."""
    terms = list(lists)
    offsets = np.cumsum([0, *map(len, terms)]).astype(np.int64)
    starts = np.cumsum([0, *(len(lists[term]) for term in terms)]).astype(np.int64)
    listed = np.array([doc for term in terms for doc in lists[term]], np.uint32)
    often = np.array([len(where) for term in terms for where in lists[term].values()], np.uint32)
    places = np.array([place for term in terms for where in lists[term].values() for place in where], np.uint32)
    writer = FieldWriter(docs, norm, frequencies, positions)
    heap = b"".join(terms)
    writer.add(heap, offsets, sort_terms(heap, offsets), starts, listed, often, places if positions else None)
    return sections(writer.finish())


def sections(parts):
    blob, places = b"", []
    for part in parts:
        blob += bytes(-len(blob) % 64)
        places.append((len(blob), len(part)))
        blob += part
    return blob, places


def reader_of(blob, places, docs, *, positions=True, frequencies=True):
    return FieldReader(blob, docs, None, frequencies, places[2] if positions else None, places[0], places[1])


def all_lists(blob, places, docs):
    from engines._native.searchterms import Dictionary  # noqa: PLC0415 -- only here

    terms, reader = Dictionary(blob, *places[0], places[1]), reader_of(blob, places, docs)
    found = {}
    for term in terms.slice(0, len(terms)):
        entry = terms.find(term)
        listed, often = reader.decode(*entry)
        flat = reader.decode_positions(*entry).tolist()
        found[term] = {}
        for doc, frequency in zip(listed.tolist(), often.tolist(), strict=True):
            found[term][doc], flat = flat[:frequency], flat[frequency:]
    return found


def random_list(chooser, docs, df):
    return {
        doc: sorted(chooser.randrange(chooser.choice((8, 300, 1 << 20))) for _ in range(chooser.choice((1, 1, 2, 9))))
        for doc in sorted(chooser.sample(range(docs), df))
    }


@pytest.mark.parametrize("df", [1, 2, 127, 128, 129, 130, 131, 132, 255, 256, 257, 1000])
@pytest.mark.parametrize("docs", [1100, 1 << 20, (1 << 31) - 1])
def test_lists_of_all_lengths_and_densities_are_read_as_written(df, docs):
    lists = {b"t": random_list(random.Random(df), docs, df), b"u": {0: [0], docs - 1: [5, 5]}}
    blob, places = write(docs, lists)
    assert all_lists(blob, places, docs) == lists


def test_a_dense_list_is_kept_as_bits_and_takes_hardly_any_room():
    blob, places = write(100_000, {b"t": {doc: [0] for doc in range(0, 100_000, 2)}})
    assert places[1][1] < 100_000 / 4  # 32 bytes of bits and 24 of a header for each 128 documents
    assert len(all_lists(blob, places, 100_000)[b"t"]) == 50_000


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(
    st.binary(max_size=5),
    st.dictionaries(st.integers(0, 400), st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4), min_size=1),
    max_size=20,
))  # fmt: skip
def test_whatever_is_written_is_read(lists):
    ordered = {t: {doc: sorted(where) for doc, where in sorted(docs.items())} for t, docs in sorted(lists.items())}
    blob, places = write(401, ordered)
    assert all_lists(blob, places, 401) == ordered


def test_a_merge_is_what_writing_everything_at_once_gives():
    chooser = random.Random(3)
    sources, maps, wanted, base = [], [], {}, 0
    for number in range(4):
        docs = 700
        lists = {b"t%d" % i: random_list(chooser, docs, chooser.randint(1, 600)) for i in range(number, 12)}
        live = sorted(chooser.sample(range(docs), 500))
        mapped = np.full(docs, NONE, np.uint32)
        mapped[live] = np.arange(base, base + 500)
        blob, places = write(docs, lists)
        sources.append(reader_of(blob, places, docs))
        maps.append(mapped)
        for term, where in lists.items():
            kept = {int(mapped[doc]): w for doc, w in where.items() if mapped[doc] != NONE}
            if kept:
                wanted.setdefault(term, {}).update(kept)
        base += 500
    writer = FieldWriter(base, None, True, True)
    writer.merge(sources, maps)
    merged = sections(writer.finish())
    assert all_lists(*merged, base) == dict(sorted(wanted.items()))
    assert merged == write(base, wanted)


@pytest.mark.parametrize(
    ("listed", "places"), [([3, 3], [0, 0]), ([3, 2], [0, 0]), ([3, 500], [0, 0]), ([3, 4], [0]), ([3, 4], [0, 0, 0])]
)
def test_postings_that_do_not_ascend_or_fit_are_refused(listed, places):
    writer = FieldWriter(500, None, True, True)
    with pytest.raises(ValueError, match="ascend"):
        writer.add(
            b"t", np.array([0, 1]), np.zeros(1, np.uint32), np.array([0, 2]), np.array(listed, np.uint32),
            np.ones(2, np.uint32), np.array(places, np.uint32),
        )  # fmt: skip


def test_tokens_are_sorted_by_term_and_none_is_lost():
    chooser = np.random.default_rng(1)
    terms, docs = (
        chooser.integers(0, 50, 5000, dtype=np.uint32),
        np.sort(chooser.integers(0, 300, 5000, dtype=np.uint32)),
    )
    places = np.arange(5000, dtype=np.uint32)
    starts, listed, often, where = invert(terms, docs, places, 50)
    at = 0
    for term in range(50):
        mine = docs[terms == term]
        assert listed[starts[term] : starts[term + 1]].tolist() == sorted(set(mine.tolist()))
        assert often[starts[term] : starts[term + 1]].sum() == len(mine)
        assert where[at : at + len(mine)].tolist() == places[terms == term].tolist()
        at += len(mine)
    with pytest.raises(ValueError, match="document by document"):
        invert(terms, docs[::-1].copy(), places, 50)
    with pytest.raises(ValueError, match="below their count"):
        invert(terms, docs, places, 49)


def test_norms_are_those_of_lucene():
    lengths = norm_lengths()
    assert lengths[:40].tolist() == list(range(40))
    assert lengths[40:48].tolist() == [40, 42, 44, 46, 48, 50, 52, 54]
    assert (np.diff(lengths) > 0).all()
    assert norms(lengths[lengths < 2**31].astype(np.uint32)).tolist() == list(range(int((lengths < 2**31).sum())))
    some = np.arange(3000, dtype=np.uint32)
    assert (lengths[norms(some)] <= some).all()


def test_ids_are_found():
    ids = [b"", *(b"id-%d" % i for i in range(999))]
    offsets = np.cumsum([0, *map(len, ids)]).astype(np.uint32)
    heap = b"".join(ids)
    table = IdTable(heap, offsets, id_table(heap, offsets))
    assert table.find_many(ids).tolist() == list(range(1000))
    assert table.find(b"id-999") == -1
    assert table.id_of(7) == b"id-6"
    with pytest.raises(ValueError, match="twice"):
        id_table(b"aa", np.array([0, 1, 2], np.uint32))
    hostile = IdTable(
        heap, np.random.default_rng(1).integers(0, 2**32, 1001, dtype=np.uint32), np.full(8, 77, np.uint32)
    )
    assert hostile.find_many(ids).tolist() == [-1] * 1000


def ask_everything(field, reader, entries, docs):
    """All that can be done with lists; a ValueError is an answer, too."""
    factors = Factors(np.ones(256, np.float32))
    for entry in entries:
        for decode in (reader.decode, reader.decode_positions):
            with contextlib.suppress(ValueError):
                decode(*entry)
    for ask in (
        lambda c: c.top_or(Top(10), 0),
        lambda c: c.top_or(Top(10), 0, -1),
        lambda c: c.top_and(Top(10), 0),
        lambda c: c.count_or(),
        lambda c: c.count_and(),
        lambda c: c.fill(0, np.zeros(8192), np.zeros(128, np.uint64)),
    ):
        with contextlib.suppress(ValueError):
            made = Context(docs)
            for entry in entries:
                made.add(field, *entry, 1.0, factors)
            ask(made)
    for slop in (0, 2):
        with contextlib.suppress(ValueError):
            made = Context(docs)
            for place, entry in enumerate(entries):
                made.add_slot(place)
                made.add(field, *entry, 1.0, factors)
            made.top_phrase(Top(10), 0, 1.0, slop)


def test_hostile_bytes_are_refused_or_give_other_documents_but_no_crash():
    texts = random_texts(3, 1500, vocabulary=12, longest=20)
    segment = segment_of(texts)
    whole, docs = segment.container.data.tobytes(), len(texts)
    entries = [segment.terms("text").find(b"w%d" % i) for i in (0, 3, 11)]
    where, norm = segment.container.place("text/positions"), segment.field("text").norms
    chooser = random.Random(5)
    for _ in range(300):
        data = bytearray(whole)
        for _, start, size in [*entries, (0, *where)]:
            for _ in range(chooser.choice((0, 1, 5))):
                near = min(chooser.choice((32 + 24 * 4, size)), size)  # mostly heads and headers
                data[start + chooser.randrange(near)] = chooser.choice((0, 255, chooser.randrange(256)))
        blob = bytes(data)
        ask_everything(Field(blob, docs, norm, True, where), FieldReader(blob, docs, norm, True, where), entries, docs)
