"""Expressions: grammar, mistakes, placeholders, key conditions, and conditions against a model on typed JSON."""

from decimal import Decimal

import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from models import conditions as model

from engines._native.kvitem import ItemCodec
from engines.errors import Invalid, QueryError
from engines.kv.expressions import KeyRange, Placeholders, compile_condition, compile_key_condition
from engines.kv.reserved import RESERVED
from engines.kv.syntax import Call, Compare, Joined, Not, Path, Value, parse_condition
from engines.kv.values import to_dynamodb_json, to_typed


def condition(text, names=None, values=None):
    """What tells whether an item passes, for a request with this one expression."""
    placeholders = Placeholders(names, values)
    holds = compile_condition(text, placeholders)
    placeholders.done()
    return holds


# --- grammar ---


def test_and_binds_more_tightly_than_or_and_not_more_than_both():
    assert str(parse_condition("NOT a = :a AND b = :b OR c = :c")) == "(NOT a = :a AND b = :b) OR c = :c"
    assert str(parse_condition("a = :a OR b = :b AND NOT (c = :c OR d = :d)")) == (
        "a = :a OR (b = :b AND NOT (c = :c OR d = :d))"
    )
    assert parse_condition("a = :a AND b BETWEEN :b AND :c AND d = :d") == parse_condition(
        "a = :a and (b between :b and :c) And d = :d"
    )


def test_the_tree_is_plain_data():
    assert parse_condition("a.#b[1] = :v AND NOT attribute_exists(c)") == Joined(
        "AND",
        (
            Compare("=", Path(("a", "#b", 1), 0), Value(":v", 0), 0),
            Not(Call("attribute_exists", (Path(("c",), 0),), 0), 0),
        ),
        0,
    )


def test_a_text_is_parsed_once():
    assert parse_condition("cached = :once") is parse_condition("cached = :once")


def test_long_chains_are_no_deep_trees():
    text = " OR ".join(["a = :a"] * 140)
    assert condition(text, values={":a": 1})({"a": 1})


def test_there_are_573_reserved_words():
    assert len(RESERVED) == 573
    assert {"order", "status", "total", "name", "data", "count", "year", "size", "ttl"} <= RESERVED


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("a = ", 5, "the expression ends here"),
        ("a == :v", 4, "equal is written with one ="),
        ("a != :v", 3, "not equal is written <>"),
        ("a = 'x'", 5, "placeholder like :name"),
        ('a = "x"', 5, "placeholder like :name"),
        ("a = 5", 5, "placeholder like :n"),
        ("a = :v && b = :v", 8, "write AND"),
        ("a = :v | b = :v", 8, "write OR"),
        ("a = :v; b = :v", 7, "no character ';'"),
        ("a = : v", 5, "value placeholder"),
        ("# = :v", 1, "name placeholder"),
        ("a", 2, "compare it: a = :value"),
        ("size(a)", 8, r"size\(a\) alone is no condition"),
        (":v", 3, ":v alone is no condition"),
        ("a AND b = :v", 3, "a is none"),
        ("b = :v AND a", 13, "a alone is no condition"),
        ("a = b = :v", 7, "a = b is a condition"),
        ("a < attribute_exists(b)", 3, "is a condition"),
        ("a IN (:v, contains(b, :v))", 3, "is a condition"),
        ("a BETWEEN :v, :w", 13, "expected 'AND', found ','"),
        ("a IN :v", 6, r"expected '\('"),
        ("a IN ()", 7, r"found '\)'"),
        ("(a = :v", 8, r"expected '\)', but the expression ends here"),
        ("a = :v)", 7, "should end here"),
        ("a = :v b = :v", 8, "should end here"),
        ("begin_with(a, :v)", 1, "did you mean 'begins_with'"),
        ("Contains(a, :v)", 1, "did you mean 'contains'"),
        ("contains(a)", 1, "takes 2 arguments, got 1"),
        ("attribute_exists(a, b)", 1, "takes 1 argument, got 2"),
        ("a[x] = :v", 3, "indexed with a number"),
        ("a[-1] = :v", 3, "indexed with a number"),
        ("a. = :v", 4, "name of an attribute"),
        ("a.:v = :v", 3, "name of an attribute"),
        ("NOT", 4, "the expression ends here"),
        ("a = :v\nAND\n  b == :v", 6, "one ="),
    ],
)
def test_a_mistake_of_grammar_is_shown_where_it_is(text, column, says):
    with pytest.raises(QueryError, match=says) as caught:
        parse_condition(text)
    assert caught.value.column == column
    assert "^" in str(caught.value)


def test_a_mistake_in_the_third_line_is_shown_there():
    with pytest.raises(QueryError) as caught:
        parse_condition("a = :v\nAND\n  b == :v")
    assert (caught.value.line, caught.value.column) == (3, 6)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("total > :t", r"'total' is a reserved word, .* write #total .* names=\{'#total': 'total'\}"),
        ("a.Status = :t", "'Status' is a reserved word"),
        ("a = and", "'and' is a reserved word"),
        ("", "can not be empty"),
        (" \n", "can not be empty"),
        ("a" * 4097, "at most 4,096 bytes"),
        ("é" * 2049, "at most 4,096 bytes"),
        ("((a = :v))", r"parentheses around \(a = :v\) are doubled"),
        ("b = :v AND ((a = :v OR c = :v))", "are doubled"),
        ("NOT " * 101 + "a = :v", "at most 100 parentheses"),
        ("NOT (" * 60 + "a = :v" + ")" * 60, "at most 100 parentheses"),
        (" OR ".join(["a = :v"] * 151), "at most 300 operators"),
        ("a IN (" + ", ".join([":v"] * 101) + ")", "at most 100 values, got 101"),
        ("attribute_exists(:v)", "first argument of attribute_exists is an attribute, got :v"),
        ("size(:v) > :w", "first argument of size"),
        ("begins_with(:v, a)", "first argument of begins_with"),
        ("contains(a, contains(b, c))", "can not be an argument"),
        ("a" + ".b" * 33 + " = :v", "at most 32 levels"),
    ],
)
def test_what_is_grammatical_but_not_allowed_is_invalid(text, says):
    with pytest.raises(Invalid, match=says):
        parse_condition(text)


def test_parentheses_that_group_are_not_doubled():
    assert parse_condition("((a = :a) OR (b = :b)) AND (NOT (c = :c))")


PIECES = ["a", "b", "#n", ":v", ".", ",", "(", ")", "[", "]", "1", "=", "<", "<>", "'", "\n", "é", " "]
PIECES += [" AND ", " OR ", " NOT ", " IN ", " BETWEEN ", "size(", "contains(", "a = :v", "b < :w"]


@settings(max_examples=1000)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text_is_a_condition_or_a_clear_error(text):
    try:
        tree = parse_condition(text)
    except (QueryError, Invalid):
        return
    assert parse_condition(str(tree)) == tree


# --- placeholders ---


@pytest.mark.parametrize(
    ("names", "values", "says"),
    [
        ({}, {}, "values has no ':v'"),
        ({}, {":v": 1, ":w": 2}, "no expression uses :w"),
        ({"#x": "x"}, {":v": 1}, "no expression uses #x"),
        ({"x": "x"}, {":v": 1}, "a key of names is '#'"),
        ({}, {"v": 1}, "a key of values is ':'"),
        ({}, {":": 1}, "a key of values"),
        ({}, {5: 1}, "a key of values"),
        ({}, [1], "values is a dict"),
        ({}, {":v": 1.5}, r"value ':v' is the float 1.5.*Decimal\('1.5'\)"),
        ({}, {":v": {"x": [set()]}}, r"value ':v.x\[0\]' is an empty set"),
        ({}, {":v": 10**38 + 1}, "value ':v' has more than 38"),
        ({}, {":v": Decimal("NaN")}, "value ':v' must be a finite number"),
        ({}, {":vv": 1}, "no ':v'; did you mean ':vv'"),
    ],
)
def test_placeholders_must_be_there_used_and_storable(names, values, says):
    with pytest.raises(Invalid, match=says):
        condition("a = :v", names, values)


def test_names_stand_for_attributes_with_any_name():
    holds = condition("#a.#b = :v", {"#a": "x.y", "#b": "é z"}, {":v": 1})
    assert holds({"x.y": {"é z": 1}})
    assert not holds({"x": {"y": {"é z": 1}}})
    for bad in ("", None, 5):
        with pytest.raises(Invalid, match=r"names\['#a'\] must be an attribute's name"):
            condition("attribute_exists(#a)", {"#a": bad})
    with pytest.raises(Invalid, match="names has no '#b'"):
        condition("attribute_exists(#b)", {"#a": "x"})


def test_expressions_of_one_request_share_their_placeholders():
    shared = Placeholders({"#a": "a"}, {":v": 1, ":w": 2})
    holds = compile_condition("#a = :v", shared)
    with pytest.raises(Invalid, match=":w"):
        shared.done()
    asked = compile_key_condition("id = :w", shared, "id", None)
    shared.done()
    assert holds({"a": 1})
    assert asked.partition == 2


# --- conditions ---


@pytest.mark.parametrize(
    ("text", "values", "says"),
    [
        ("a = a", {}, "compares a with itself"),
        (":v = :v", {":v": 1}, "with itself"),
        ("a < :v", {":v": {}}, "< compares strings, numbers or bytes, and :v is of type M"),
        (":v >= a", {":v": True}, "of type BOOL"),
        ("a BETWEEN :v AND :w", {":v": {1}, ":w": {2}}, "of type NS"),
        ("a BETWEEN :v AND :w", {":v": 2, ":w": 1}, "swap them"),
        ("a BETWEEN :v AND :w", {":v": "1", ":w": 2}, "must be of one type, got S and N"),
        ("begins_with(a, :v)", {":v": 1}, "begins_with takes a string or bytes"),
        ("attribute_type(a, :v)", {":v": "STRING"}, "one of S, N, B"),
        ("attribute_type(a, b)", {}, "attribute_type takes a :value"),
        ("contains(a, a)", {}, "contains itself"),
    ],
)
def test_what_could_never_hold_is_refused_before_reading(text, values, says):
    with pytest.raises(Invalid, match=says):
        condition(text, values=values)


def test_names_that_mean_the_same_attribute_are_compared_with_itself():
    with pytest.raises(Invalid, match="with itself"):
        condition("#x = a", {"#x": "a"})


def test_a_missing_attribute_is_unequal_to_everything():
    for text in ("a = b", "a < b", "a >= b", "NOT a <> b", "a IN (b, c)", "contains(a, b)", "begins_with(a, b)"):
        assert not condition(text)({})
        assert not condition(text)(None)
    assert condition("a <> b")({})
    assert condition("a <> b")(None)
    assert condition("attribute_not_exists(a)")(None)
    assert condition("attribute_not_exists(a) OR a < :v", values={":v": 5})({"a": 4})


def test_true_is_not_one_at_any_depth():
    holds = condition("a = :v", values={":v": 1})
    assert holds({"a": 1})
    assert holds({"a": Decimal("1.0")})
    assert not holds({"a": True})
    deep = condition("a = :v", values={":v": [{"x": 1}]})
    assert deep({"a": [{"x": 1}]})
    assert not deep({"a": [{"x": True}]})
    assert not condition("contains(a, :v)", values={":v": True})({"a": {1}})
    assert not condition("contains(a, :v)", values={":v": True})({"a": [1]})


def test_strings_are_ordered_by_code_point():
    holds = condition("a < :v", values={":v": "\U0001f600"})
    assert holds({"a": "\uffee"})


def test_numbers_are_exact_to_38_digits():
    big = Decimal("1234567890123456789012345678901234567.8")
    holds = condition("a > :v", values={":v": big})
    assert holds({"a": Decimal("1234567890123456789012345678901234567.9")})
    assert not holds({"a": big})


names = st.sampled_from(["a", "b", "c"])
scalars = st.sampled_from(
    [
        "",
        "a",
        "ab",
        "b",
        "\uffee",
        "\U0001f600",
        0,
        1,
        2,
        -1,
        Decimal("0.5"),
        10**20,
        b"",
        b"a",
        b"ab",
        True,
        False,
        None,
    ]
)
sets = st.sampled_from([{1}, {1, Decimal("0.5")}, {"a"}, {"a", "ab"}, {b"a"}])
values = st.recursive(
    scalars | sets,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
items = st.dictionaries(names, values, max_size=3)
paths = st.lists(names | st.integers(0, 2), max_size=2).flatmap(lambda rest: names.map(lambda name: (name, *rest)))
operands = st.one_of(
    paths.map(lambda path: ("path", path)),
    values.map(lambda value: ("value", value)),
    paths.map(lambda path: ("size", path)),
)
path_operands = paths.map(lambda path: ("path", path))
comparisons = st.one_of(
    st.tuples(st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), operands, operands),
    st.tuples(st.just("BETWEEN"), operands, operands, operands),
    st.tuples(st.just("IN"), operands, operands, operands),
    st.tuples(st.sampled_from(["attribute_exists", "attribute_not_exists"]), path_operands),
    st.tuples(st.sampled_from(["begins_with", "contains"]), path_operands, operands),
    st.tuples(
        st.just("attribute_type"),
        path_operands,
        st.sampled_from(["S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"]).map(lambda kind: ("value", kind)),
    ),
)
trees = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(st.just("NOT"), inner),
        st.tuples(st.sampled_from(["AND", "OR"]), inner, inner),
    ),
    max_leaves=4,
)


def written(tree, constants):
    """The condition as text; constants collects what its :values stand for."""

    def operand(which):
        kind, what = which
        if kind == "value":
            constants[f":v{len(constants)}"] = what
            return f":v{len(constants) - 1}"
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in what)[1:]
        return f"size({path})" if kind == "size" else path

    sign, *rest = tree
    if sign == "NOT":
        return f"NOT ({written(rest[0], constants)})"
    if sign in ("AND", "OR"):
        return f"({written(rest[0], constants)}) {sign} ({written(rest[1], constants)})"
    shown = [operand(which) for which in rest]
    if sign == "BETWEEN":
        return f"{shown[0]} BETWEEN {shown[1]} AND {shown[2]}"
    if sign == "IN":
        return f"{shown[0]} IN ({', '.join(shown[1:])})"
    return (
        f"{shown[0]} {sign} {shown[1]}" if sign in ("=", "<>", "<", "<=", ">", ">=") else f"{sign}({', '.join(shown)})"
    )


def typed(tree):
    sign, *rest = tree
    if sign in ("NOT", "AND", "OR"):
        return (sign, *map(typed, rest))
    return (sign, *((kind, to_typed(what) if kind == "value" else what) for kind, what in rest))


@settings(max_examples=500)
@given(trees, st.lists(items, min_size=1, max_size=4))
@example(("<>", ("path", ("a",)), ("path", ("b",))), [{}])
@example(("contains", ("path", ("a",)), ("value", True)), [{"a": {1}}])
def test_conditions_hold_exactly_when_the_model_says_so(tree, rows):
    constants = {}
    text = written(tree, constants)
    try:
        holds = condition(text, values=constants)
    except Invalid:  # constants that could never hold
        reject()
    codec = ItemCodec([])
    for row in rows:
        stored = codec.decode(codec.encode(row))
        assert holds(stored) == model.holds(to_dynamodb_json(row), typed(tree))
    assert condition(str(parse_condition(text)), values=constants)(stored) == holds(stored)


# --- key conditions ---

KEYS = {":p": "ann", ":a": 1, ":b": 5}


def asked(text, *, names=None, sort="sk"):
    placeholders = Placeholders(names, {name: value for name, value in KEYS.items() if name in text})
    found = compile_key_condition(text, placeholders, "pk", sort)
    placeholders.done()
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("pk = :p", KeyRange("ann")),
        ("pk = :p AND sk = :a", KeyRange("ann", "=", 1, 1)),
        ("sk < :a AND pk = :p", KeyRange("ann", "<", None, 1)),
        ("pk = :p and sk <= :a", KeyRange("ann", "<=", None, 1)),
        ("(pk = :p) AND (sk > :a)", KeyRange("ann", ">", 1, None)),
        ("pk = :p AND sk >= :a", KeyRange("ann", ">=", 1, None)),
        ("pk = :p AND sk BETWEEN :a AND :b", KeyRange("ann", "BETWEEN", 1, 5)),
        ("begins_with(sk, :p) AND pk = :p", KeyRange("ann", "begins_with", "ann", None)),
    ],
)
def test_a_key_condition_is_one_partition_and_a_stretch_of_it(text, found):
    assert asked(text) == found


def test_keys_can_be_named_by_placeholders():
    assert asked("#p = :p AND #s > :a", names={"#p": "pk", "#s": "sk"}) == KeyRange("ann", ">", 1, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sk = :a", "must say pk = :value"),
        ("pk > :p", "must say pk = :value"),
        ("pk = :p OR pk = :p", "can not say pk = :p OR pk = :p"),
        ("NOT pk = :p", "can not say NOT"),
        ("pk = :p AND sk <> :a", "can not say sk <> :a"),
        ("pk = :p AND sk IN (:a, :b)", "can not say sk IN"),
        ("pk = :p AND contains(sk, :p)", "can not say contains"),
        ("pk = :p AND sk = pk", "can not say sk = pk"),
        (":p = pk", "can not say :p = pk"),
        ("pk = :p AND color = :a", "color is not a key here, the keys are 'pk' and 'sk'"),
        ("pk.x = :p", "pk.x is not a key"),
        ("pk = :p AND pk = :p", "'pk' once"),
        ("pk = :p AND sk >= :a AND sk <= :b", "for two bounds write BETWEEN"),
        ("pk = :p AND sk BETWEEN :b AND :a", "swap them"),
        ("pk = :p AND sk BETWEEN :p AND :a", "of one type"),
        ("pk = :p AND begins_with(sk, :a)", "string or bytes"),
        ("pk = :p AND (sk = :a OR sk = :b)", "can not say sk = :a OR sk = :b"),
    ],
)
def test_what_is_no_key_condition_says_what_to_write(text, says):
    with pytest.raises(Invalid, match=says):
        asked(text)


def test_without_a_sort_key_there_is_only_the_partition():
    assert asked("pk = :p", sort=None) == KeyRange("ann")
    with pytest.raises(Invalid, match="'pk', which has no sort key"):
        asked("pk = :p AND sk = :a", sort=None)
