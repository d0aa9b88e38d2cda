"""Words that stand for many, over several segments."""

import numpy as np
from models.search_index import distance
from search.texts import segment_of

from engines.search.expansion import accepted, beginning, neighbours

WORDS = [b"john", b"jon", b"johan", b"jhon", b"bohn", b"joan", b"zoo", "jöhn".encode()]


def spread(count):
    return [segment_of([[word] for word in WORDS[i::count]]) for i in range(count)]


def test_the_nearest_come_first_wherever_they_are():
    for segments in (spread(1), spread(3)):
        found = neighbours(segments, "text", "john", edits=2)
        far = {word: distance("john", word.decode()) for word in WORDS}
        assert {one.term: one.distance for one in found} == {word: d for word, d in far.items() if d <= 2}
        assert [one.boost for one in found] == sorted((one.boost for one in found), reverse=True)
        assert (found[0].term, found[0].boost) == (b"john", 1.0)
        assert neighbours(segments, "text", "john", edits=2, most=3) == found[:3]
        kept = neighbours(segments, "text", "john", edits=2, prefix_length=2)
        assert [one.term for one in kept] == [one.term for one in found if one.term.startswith(b"jo")]


def test_beginnings_and_automata_are_answered_from_all_segments():
    moves = np.full((2, 256), -1, np.int32)
    moves[0, ord("z")] = 1
    moves[1] = 1
    for segments in (spread(1), spread(3)):
        assert beginning(segments, "text", b"jo") == [b"joan", b"johan", b"john", b"jon"]
        assert beginning(segments, "text", b"jo", most=2) == [b"joan", b"johan"]
        assert accepted(segments, "text", moves, np.array([0, 1], np.uint8)) == [b"zoo"]
        assert beginning(segments, "other", b"") == []
