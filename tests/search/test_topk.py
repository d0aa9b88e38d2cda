"""Ranked search: against brute force, against the evaluator of trees, with filters, deletions, several segments."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from models.search_index import Texts, ranked
from search.texts import random_texts, segment_of, words

from engines.search import topk, windows
from engines.search.columns import bitset, flags_of

SEARCHES = {"either": (topk.search_or, topk.count_or), "every": (topk.search_and, topk.count_and)}


@pytest.fixture(scope="module")
def corpus():
    """Texts in one segment and in two, and the model of them. Long enough for several blocks and windows."""
    texts = random_texts(7, 9000, longest=12)
    cut = 2500
    return Texts(texts), [segment_of(texts)], [segment_of(texts[:cut]), segment_of(texts[cut:])], cut


def asked(seed, count):
    chooser = random.Random(seed)
    known = words(100)
    return [chooser.choices(known, k=chooser.randint(1, 5)) for _ in range(count)]


def one_numbering(top, cut):
    return [(score, number * cut + doc) for score, number, doc in top.hits_list()]


def same_hits(found, wanted):
    assert len(found) == len(wanted)
    for (score, _), (_, right) in zip(found, wanted, strict=True):
        assert score == pytest.approx(right, rel=1e-5)


@pytest.mark.parametrize("way", SEARCHES)
def test_the_best_are_those_of_brute_force(corpus, way):
    model, one, two, cut = corpus
    search, count = SEARCHES[way]
    for query in asked(1, 25):
        scores = getattr(model, way)(query)
        for segments in (one, two):
            clauses = topk.weigh(segments, "text", query)
            for k, track in ((1, 0), (10, -1), (300, 20)):
                top = search(segments, clauses, k, track=track)
                found = one_numbering(top, cut if segments is two else 0)
                same_hits(found, ranked(scores, k))
                assert all(scores[doc] == pytest.approx(score, rel=1e-5) for score, doc in found)
                if track < 0:
                    assert (top.total, top.exact) == (len(scores), True)
                elif top.exact:
                    assert top.total == len(scores) or track == 0
            assert count(segments, clauses) == len(scores)


def test_every_way_gives_the_same_bits_and_the_same_order(corpus):
    _, one, two, _ = corpus
    for query in asked(2, 40):
        for segments in (one, two):
            clauses = tuple(topk.weigh(segments, "text", query))
            tree = windows.search(segments, windows.Leaf(clauses), 50)
            fast = topk.search_or(segments, clauses, 50)
            assert fast.hits_list() == tree.hits_list()
            leaves = tuple(windows.Leaf((clause,)) for clause in clauses)
            tree = windows.search(segments, windows.All(must=leaves), 50)
            assert topk.search_and(segments, clauses, 50, track=-1).hits_list() == tree.hits_list()
            assert topk.search_and(segments, clauses, 50).hits_list() == tree.hits_list()


def test_phrases_are_found_where_they_stand(corpus):
    model, one, two, cut = corpus
    chooser = random.Random(3)
    for _ in range(15):
        text = chooser.choice([text for text in model.texts if len(text) > 3])
        start = chooser.randrange(len(text) - 2)
        query = text[start : start + chooser.choice((1, 2, 3))]
        scores = model.phrase(query)
        for segments in (one, two):
            phrase = topk.phrase(topk.weigh(segments, "text", query))
            for track in (0, -1):
                top = topk.search_phrase(segments, phrase, 10, track=track)
                same_hits(one_numbering(top, cut if segments is two else 0), ranked(scores, 10))
            assert topk.count_phrase(segments, phrase) == len(scores) == top.total
            assert windows.search(segments, windows.Words(phrase), 10).hits_list() == top.hits_list()


def test_a_sloppy_phrase_is_worth_less_the_farther_its_words_are():
    texts = [[b"a", b"b", b"x"], [b"a", b"x", b"b"], [b"b", b"a", b"x"], [b"x", b"x", b"a"], [b"a", b"x", b"x", b"b"]]
    segments = [segment_of(texts)]
    for slop, found in ((0, [0]), (1, [0, 1]), (2, [0, 1, 2, 4])):
        phrase = topk.phrase(topk.weigh(segments, "text", [b"a", b"b"]), slop=slop)
        hits = topk.search_phrase(segments, phrase, 10).hits_list()
        assert sorted(doc for _, _, doc in hits) == found
        assert hits[0][2] == 0


def test_a_word_that_stands_twice_in_a_sloppy_phrase_needs_two_positions():
    segments = [segment_of([[b"a", b"x"], [b"a", b"a"], [b"a", b"x", b"a"]])]
    phrase = topk.phrase(topk.weigh(segments, "text", [b"a", b"a"]), slop=1)
    assert sorted(doc for _, _, doc in topk.search_phrase(segments, phrase, 10).hits_list()) == [1, 2]


def test_any_word_of_a_slot_may_stand_there():
    segments = [segment_of([[b"new", b"york"], [b"new", b"yorks"], [b"new", b"jersey"], [b"york", b"new"]])]
    new, york, yorks = topk.weigh(segments, "text", [b"new", b"york", b"yorks"])
    phrase = topk.Phrase(((0, (new,)), (1, (york, yorks))), 1.0)
    assert sorted(doc for _, _, doc in topk.search_phrase(segments, phrase, 10).hits_list()) == [0, 1]


@pytest.mark.parametrize("way", SEARCHES)
def test_deleted_documents_and_those_outside_of_the_filter_are_no_hits(corpus, way):
    model, one, _, _ = corpus
    search, count = SEARCHES[way]
    chooser = np.random.default_rng(5)
    chosen = chooser.random(one[0].docs) < 0.1
    gone = set(chooser.choice(one[0].docs, 2000, replace=False).tolist())
    segments = [one[0].deleted(gone)]
    filters = [bitset(one[0].docs, chosen)]
    for query in asked(6, 15):
        scores = {doc: s for doc, s in getattr(model, way)(query).items() if chosen[doc] and doc not in gone}
        clauses = topk.weigh(segments, "text", query)
        top = search(segments, clauses, 20, filters=filters, track=-1)
        same_hits(one_numbering(top, 0), ranked(scores, 20))
        assert top.total == len(scores) == count(segments, clauses, filters=filters)
        assert {doc for _, doc in one_numbering(search(segments, clauses, 20, filters=filters), 0)} <= set(scores)


def test_pages_follow_each_other_without_gap_or_repetition(corpus):
    _, _, two, _ = corpus
    clauses = topk.weigh(two, "text", [b"w1", b"w5"])
    whole = topk.search_or(two, clauses, 70).hits_list()
    pages, after = [], None
    for _ in range(7):
        page = topk.search_or(two, clauses, 10, after=after).hits_list()
        pages += page
        after = page[-1]
    assert pages == whole


def test_no_clause_is_left_out_whatever_their_number():
    segments = [segment_of([[word] for word in words(3000)])]
    clauses = topk.weigh(segments, "text", words(3000))
    assert topk.search_or(segments, clauses, 10, track=-1).total == 3000
    assert topk.count_or(segments, clauses) == 3000


def test_equal_scores_are_ordered_by_segment_and_document():
    segments = [segment_of([[b"a", b"b"]] * 300), segment_of([[b"a", b"b"]] * 300)]
    clauses = topk.weigh(segments, "text", [b"a", b"b"])
    for search in (topk.search_or, topk.search_and):
        found = [(number, doc) for _, number, doc in search(segments, clauses, 400).hits_list()]
        assert found == [(0, doc) for doc in range(300)] + [(1, doc) for doc in range(100)]


def test_threads_share_segments(corpus):
    _, one, _, _ = corpus
    queries = asked(8, 60)

    def run(query):
        return topk.search_or(one, topk.weigh(one, "text", query), 10).hits_list()

    alone = [run(query) for query in queries]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, queries)) == alone


def test_trees_match_as_booleans_do(corpus):
    model, one, _, _ = corpus
    a, b, c, d = (set(model.either([word])) for word in (b"w1", b"w2", b"w3", b"w4"))
    leaves = [windows.Leaf((clause,)) for clause in topk.weigh(one, "text", [b"w1", b"w2", b"w3", b"w4"])]
    for tree, wanted in (
        (windows.All(must=(leaves[0],), must_not=(leaves[1],)), a - b),
        (windows.All(should=tuple(leaves[:3]), minimum=2), (a & b) | (a & c) | (b & c)),
        (windows.All(must=(leaves[0],), should=(leaves[1],)), a),
        (windows.All(should=(leaves[0],), filtered=(leaves[3],), minimum=1), a & d),
        (windows.All(must_not=(leaves[0],)), set(range(len(model.texts))) - a),
        (windows.Best((leaves[0], windows.Scaled(leaves[1], constant=2.0)), 0.3), a | b),
        (windows.All(filtered=(windows.Every(),), must_not=(windows.Matching([bitset(9000, np.array([5]))]),)),
         set(range(len(model.texts))) - {5}),
    ):  # fmt: skip
        top = windows.search(one, tree, 10_000)
        assert {doc for _, _, doc in top.hits_list()} == wanted
        assert (top.total, top.exact) == (len(wanted), True)


def test_a_phrase_needs_positions():
    segments = [segment_of([[b"a", b"b"]], frequencies=False)]
    phrase = topk.phrase(topk.weigh(segments, "text", [b"a", b"b"]))
    with pytest.raises(ValueError, match="without positions"):
        topk.search_phrase(segments, phrase, 10)


def test_matching_documents_come_as_bits(corpus):
    model, one, _, _ = corpus
    bits = bitset(one[0].docs)
    topk.context(one[0], topk.weigh(one, "text", [b"w3", b"w9"]), 0).matches(bits)
    assert set(np.flatnonzero(flags_of(bits, one[0].docs)).tolist()) == set(model.either([b"w3", b"w9"]))


def test_the_ranking_is_that_of_tantivy(corpus):
    tantivy = pytest.importorskip("tantivy")
    model, one, _, _ = corpus
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", tokenizer_name="whitespace", index_option="position")
    builder.add_unsigned_field("doc", stored=True)
    index = tantivy.Index(builder.build())
    writer = index.writer(num_threads=1)
    for doc, text in enumerate(model.texts):
        if text:
            writer.add_document(tantivy.Document(text=b" ".join(text).decode(), doc=doc))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()
    for query in asked(9, 30):
        parsed = tantivy.Query.boolean_query([
            (tantivy.Occur.Should, tantivy.Query.term_query(index.schema, "text", word.decode())) for word in query
        ])  # fmt: skip
        theirs = [score / 2.2 for score, _ in searcher.search(parsed, 10, count=False).hits]
        ours = topk.search_or(one, topk.weigh(one, "text", query), 10).hits_list()
        assert [score for score, _, _ in ours] == pytest.approx(theirs, rel=1e-5)
