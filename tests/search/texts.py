"""Segments from lists of words, for tests."""

import random

import numpy as np

from engines.search.segment import Segment, SegmentWriter


def words(count):
    return [b"w%d" % i for i in range(count)]


def random_texts(seed, count, *, vocabulary=100, longest=30):
    """Texts of Zipf's words; some are empty."""
    chooser = random.Random(seed)
    known = words(vocabulary)
    weights = [1 / (i + 1) for i in range(vocabulary)]
    return [chooser.choices(known, weights, k=chooser.randint(0, longest)) for _ in range(count)]


def tokens(texts):
    """heap, offsets, terms, docs, positions, lengths: as a buffer holds them."""
    numbers, where = {}, []
    for doc, text in enumerate(texts):
        for position, word in enumerate(text):
            where.append((numbers.setdefault(word, len(numbers)), doc, position))
    offsets = np.zeros(len(numbers) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, numbers), np.int64, len(numbers)), out=offsets[1:])
    arrays = np.array(where, np.uint32).reshape(-1, 3).T
    lengths = np.fromiter(map(len, texts), np.uint32, len(texts))
    return b"".join(numbers), offsets, *map(np.ascontiguousarray, arrays), lengths


def written(texts, **options):
    heap, offsets, terms, docs, positions, lengths = tokens(texts)
    writer = SegmentWriter(len(texts))
    writer.add_tokens("text", heap, offsets, terms, docs, positions=positions, lengths=lengths, **options)
    writer.add_ids([b"id-%d" % doc for doc in range(len(texts))])
    writer.add_sources([b" ".join(text) for text in texts])
    return b"".join(map(bytes, writer.finish()))


def segment_of(texts, **options):
    return Segment(written(texts, **options))
