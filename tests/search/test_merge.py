"""Merging: what writing the live documents anew would give."""

import numpy as np
import pytest
from search.texts import random_texts, segment_of, tokens

from engines.search.merge import NONE, merge
from engines.search.segment import Segment, SegmentWriter


def columned(texts, prices, tags):
    heap, offsets, terms, docs, positions, lengths = tokens(texts)
    writer = SegmentWriter(len(texts))
    writer.add_tokens("text", heap, offsets, terms, docs, positions=positions, lengths=lengths)
    heap, offsets, terms, docs, _, _ = tokens([sorted(set(some)) for some in tags])
    writer.add_tokens("tag", heap, offsets, terms, docs, frequencies=False)
    ordered = sorted({tag for some in tags for tag in some})
    flat = np.array([ordered.index(tag) for some in tags for tag in sorted(set(some))], np.uint32)
    writer.add_column("tag", "ordinal", flat, offsets=np.cumsum([0, *(len(set(some)) for some in tags)]))
    present = np.array([price is not None for price in prices])
    writer.add_column("price", "long", np.array([price or 0 for price in prices]), present=present)
    writer.add_ids([b"%d" % doc for doc in range(len(texts))])
    writer.add_sources([b" ".join(text) for text in texts])
    return Segment(b"".join(map(bytes, writer.finish())))


def test_a_merge_holds_the_live_documents_in_their_order():
    chooser = np.random.default_rng(1)
    segments, texts, prices, tags = [], [], [], []
    for seed in range(3):
        some = random_texts(seed, 500, vocabulary=40)
        cost = [None if chooser.random() < 0.2 else int(chooser.integers(-5, 1000)) for _ in some]
        named = [[b"t%d" % i for i in chooser.integers(seed, 9 + seed, chooser.integers(0, 3))] for _ in some]
        gone = set(chooser.choice(500, 100 * seed, replace=False).tolist())
        segments.append(columned(some, cost, named).deleted(gone))
        live = [doc for doc in range(500) if doc not in gone]
        texts += [some[doc] for doc in live]
        prices += [cost[doc] for doc in live]
        tags += [named[doc] for doc in live]
    # ids are unique in an index; here each segment counts its own
    parts, maps = merge([segments[0]])
    alone = Segment(b"".join(map(bytes, parts)))
    assert [alone.id_of(doc) for doc in range(500)] == [b"%d" % doc for doc in range(500)]
    with pytest.raises(ValueError, match="twice"):
        merge(segments)
    for segment in segments:
        segment.container._sections.pop("ids/heap")
    parts, maps = merge(segments)
    merged, anew = Segment(b"".join(map(bytes, parts))), columned(texts, prices, tags)
    assert merged.docs == len(texts) == sum(int((mapped != NONE).sum()) for mapped in maps)
    for field in ("text", "tag"):
        assert merged.terms(field).slice(0, len(merged.terms(field))) == anew.terms(field).slice(
            0, len(anew.terms(field))
        )
        for section in ("terms", "lists"):
            assert (
                merged.container.bytes(f"{field}/{section}").tobytes()
                == anew.container.bytes(f"{field}/{section}").tobytes()
            )
    assert merged.container.bytes("text/positions").tobytes() == anew.container.bytes("text/positions").tobytes()
    assert merged.column("price").values.tolist() == anew.column("price").values.tolist()
    assert merged.column("price").has.tolist() == anew.column("price").has.tolist()
    assert merged.column("tag").values.tolist() == anew.column("tag").values.tolist()
    assert merged.column("tag").offsets.tolist() == anew.column("tag").offsets.tolist()
    assert [merged.source(doc) for doc in range(merged.docs)] == [b" ".join(text) for text in texts]
    assert merged.field("text").docs == anew.field("text").docs
    merged.verify()


def test_fields_that_keep_other_things_do_not_merge():
    with pytest.raises(Exception, match="some segments only"):
        merge([segment_of([[b"a"]]), segment_of([[b"a"]], frequencies=False)])
