"""Projections: grammar, mistakes, what is picked by example, and random paths of random items against a model."""

from copy import deepcopy
from decimal import Decimal

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from models import updates as model

from engines.errors import Invalid, QueryError
from engines.kv.expressions import Placeholders
from engines.kv.projections import compile_projection, parse_projection
from engines.kv.values import to_dynamodb_json

ITEM = {"a": {"b": [2, 4, {"x": "hi", "y": "yo"}], "c": 5}, "b": "hello", "a.b": {1}, "e": {}, "n": None}


def projection(text, names=None):
    placeholders = Placeholders(names)
    compiled = compile_projection(text, placeholders)
    placeholders.done()
    return compiled


# --- grammar ---


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("a,", 3, "leave out the last comma"),
        (",a", 1, "expected the name of an attribute, found ','"),
        ("a,,b", 3, "expected the name of an attribute, found ','"),
        ("a b", 3, "a comma is missing here"),
        ("a = :v", 3, "expected a comma or the end"),
        ("a + b", 3, "expected a comma or the end"),
        ("(a)", 1, "expected the name"),
        (":a", 1, "write #a, with names"),
        ("*", 1, "leave the projection out"),
        ("a.", 3, "name of an attribute, but the expression ends here"),
        ("a.[0]", 3, "name of an attribute"),
        ("a[b]", 3, "indexed with a number"),
        ("a[0", 4, r"expected '\]'"),
        ("contains(a)", 9, "expected a comma"),
    ],
)
def test_a_mistake_of_grammar_is_shown_where_it_is(text, column, says):
    with pytest.raises(QueryError, match=says) as caught:
        parse_projection(text)
    assert caught.value.column == column


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "can not be empty"),
        ("a, total", "'total' is a reserved word"),
        ("a" + ".b" * 33, "at most 32 levels"),
        (", ".join(f"attribute_{i}" for i in range(400)), "at most 4,096 bytes"),
        ("a, a", "two document paths overlap, a and a"),
        ("a.b, c, a", "overlap, a.b and a"),
        ("a, a.b[2].c", r"overlap, a and a.b\[2\].c"),
        ("a[1], a[1]", r"overlap, a\[1\] and a\[1\]"),
        ("a.b, a[1]", r"two document paths conflict, a.b and a\[1\]"),
        ("a.b[1], a.b.c", r"conflict, a.b\[1\] and a.b.c"),
        ("#b, b", "overlap, b and b"),
        ("#x", "names has no '#x'"),
        ("a", "no expression uses #b"),
    ],
)
def test_what_is_grammatical_but_not_allowed_is_invalid(text, says):
    with pytest.raises(Invalid, match=says):
        projection(text, {"#b": "b"})


def test_a_text_is_compiled_once_for_the_same_names():
    assert parse_projection("cached, once") is parse_projection("cached, once")
    assert projection("#a, b", {"#a": "x"}) is projection("#a, b", {"#a": "x"})
    assert projection("#a, b", {"#a": "y"}).names == ("y", "b")


@settings(max_examples=600)
@given(
    st.lists(
        st.sampled_from(["a", "#n", ":v", ".", ",", "[", "]", "1", " ", "=", "é", ", b", "a.b[0]"]), max_size=9
    ).map("".join)
    | st.text(max_size=8)
)
def test_any_text_is_a_projection_or_a_clear_error(text):
    try:
        names = dict.fromkeys((word for path in parse_projection(text) for word in path.parts if word == "#n"), "a")
        picked = projection(text, names).pick({"a": [1, {"b": 2}], "b": {"a": 3}})
    except (QueryError, Invalid):
        return
    assert picked.keys() <= {"a", "b"}


# --- what is picked ---


@pytest.mark.parametrize(
    ("text", "picked"),
    [
        ("b", {"b": "hello"}),
        ("b, x, n, e", {"b": "hello", "n": None, "e": {}}),
        ("x", {}),
        ("a.b", {"a": {"b": ITEM["a"]["b"]}}),
        ("a.b[0]", {"a": {"b": [2]}}),
        ("a.b[2].y", {"a": {"b": [{"y": "yo"}]}}),
        ("a.b[1], a.b[0]", {"a": {"b": [2, 4]}}),
        ("a.b[2].x, a.b[0]", {"a": {"b": [2, {"x": "hi"}]}}),
        ("a.b[0], a.c, b", {"a": {"b": [2], "c": 5}, "b": "hello"}),
        ("a.x, a.b[0], x, a.b[3].x", {"a": {"b": [2]}}),
        ("a.b[3], a.b[99999999999999999999]", {}),
        ("a.x.y", {}),
        ("a[0]", {}),
        ("a.b.x", {}),
        ("a.b[0].x", {}),
        ("b[0]", {}),
        ("e.x", {}),
        ("n.x", {}),
    ],
)
def test_chosen_parts_stay_where_they_were(text, picked):
    before = deepcopy(ITEM)
    assert projection(text).pick(ITEM) == picked
    assert before == ITEM


def test_a_name_with_a_dot_is_one_attribute():
    assert projection("#d, a.c", {"#d": "a.b"}).pick(ITEM) == {"a.b": {1}, "a": {"c": 5}}


def test_a_projection_tells_which_attributes_it_needs():
    nested, plain = projection("a.b[1], c, a.d"), projection("c, #a", {"#a": "a"})
    assert (nested.names, nested.plain) == (("a", "c"), False)
    assert (plain.names, plain.plain) == (("c", "a"), True)


# --- against the model ---

names = st.sampled_from(["a", "b", "c"])
leaves = st.sampled_from([0, Decimal("0.5"), "", b"x", True, None, {1}, {"a"}, [], {}])
inner = leaves | st.lists(leaves, max_size=3) | st.dictionaries(names, leaves, max_size=3)
items = st.dictionaries(names, inner | st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=3))
steps = st.sampled_from(["a", "b", "c", 0, 1, 2, 3, 4])


def places(value, here=()):
    """Every path into a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, deeper in inside:
        yield (*here, part)
        yield from places(deeper, (*here, part))


@st.composite
def cases(draw):
    """An item and some paths: most are there, some end beside something, few clash."""
    item = draw(items)
    there = st.sampled_from(sorted(places(item), key=str) or [("a",)])
    beside = st.tuples(there, steps).map(lambda made: (*made[0], made[1]))
    chosen = []
    for path in draw(st.lists(st.one_of(there, there, beside), min_size=1, max_size=5)):
        if not any(model.clash(path, other) for other in chosen) or draw(st.integers(0, 9)) == 0:
            chosen.append(path)
    return item, chosen


def written(path):
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]


@settings(max_examples=600)
@given(cases())
@example(({"a": [{"b": 1}, {}, {"b": 2}]}, [("a", 2, "b"), ("a", 1, "b"), ("a", 0)]))
@example(({}, [("a",), ("a", "b"), ("a", 0)]))
def test_projections_pick_what_the_model_picks(case):
    item, chosen = case
    wrong = {reason for i, path in enumerate(chosen) for other in chosen[:i] for reason in model.clash(path, other)}
    text = ", ".join(map(written, chosen))
    if wrong:
        with pytest.raises(Invalid, match="|".join(f"two document paths {reason}" for reason in sorted(wrong))):
            projection(text)
        event("refused")
        return
    picked = projection(text).pick(item)
    event("picked" if picked else "nothing there")
    assert to_dynamodb_json(picked) == model.projected(to_dynamodb_json(item), chosen)
