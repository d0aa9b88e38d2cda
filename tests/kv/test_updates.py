"""Updates: grammar, mistakes, rules by example, and random updates of random items against a model on typed JSON."""

import decimal
import re
from copy import deepcopy
from decimal import Decimal

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from models import updates as model
from models.items import shown

from engines._native.kvitem import ItemCodec
from engines.errors import Invalid, QueryError
from engines.kv.expressions import Placeholders
from engines.kv.syntax import Call, Path, Value
from engines.kv.updates import compile_update
from engines.kv.updatesyntax import Action, Arithmetic, parse_update
from engines.kv.values import from_dynamodb_json, to_dynamodb_json, to_typed

KEY = {"id": 1}


def update(text, *, names=None, values=None):
    placeholders = Placeholders(names, values)
    compiled = compile_update(text, placeholders, ("id",))
    placeholders.done()
    return compiled


def after(text, item, *, names=None, **values):
    """The item as the update leaves it; values are written without their colon. The old one must stay as it was."""
    before = deepcopy(item)
    new = update(text, names=names, values={f":{name}": value for name, value in values.items()}).apply(item, KEY)
    assert shown(item) == shown(before)
    return new


# --- grammar ---


def test_the_tree_is_plain_data():
    tree = parse_update("set a.#b[1] = if_not_exists(#c, :v) - :w remove d ADD e :v")
    assert tree.actions == (
        Action(
            "SET",
            Path(("a", "#b", 1), 0),
            Arithmetic("-", Call("if_not_exists", (Path(("#c",), 0), Value(":v", 0)), 0), Value(":w", 0), 0),
        ),
        Action("REMOVE", Path(("d",), 0), None),
        Action("ADD", Path(("e",), 0), Value(":v", 0)),
    )
    assert tree.names == ("#b", "#c")
    assert tree.values == (":v", ":w")
    assert str(tree) == "SET a.#b[1] = if_not_exists(#c, :v) - :w REMOVE d ADD e :v"


def test_a_text_is_parsed_once():
    assert parse_update("SET cached = :once") is parse_update("SET cached = :once")


@pytest.mark.parametrize("text", ["SET a = (b + :v)", "SET a = (b) + (:v)", "SET a = ((b) + (:v))", "sEt a=b+:v"])
def test_a_right_side_and_its_operands_may_have_parentheses(text):
    assert parse_update(text) == parse_update("SET a = b + :v")


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("SET a += :v", 7, r"write SET a = a \+ :value"),
        ("SET a -= :v", 7, r"write SET a = a - :value"),
        ("a += :v", 1, r"write SET a = a \+ :value"),
        ("a = :v", 1, "begins with SET, REMOVE, ADD or DELETE(.|\n)*write SET a = :v"),
        ("a.b[1] = :v", 1, "write SET a.b"),
        ("UPDATE a = :v", 1, "begins with SET"),
        ("REMOV a", 1, "did you mean 'REMOVE'"),
        ("= :v", 1, "begins with SET"),
        ("SET", 4, "expected the name of an attribute, but the expression ends here"),
        ("SET a", 6, "expected '=' after SET a, but the expression ends here"),
        ("SET a :v", 7, "write SET a = :v, or ADD a :v"),
        ("SET a == :v", 8, "one ="),
        ("SET a =", 8, "the expression ends here"),
        ("SET a = :v b = :w", 12, "is a comma missing between a = :v and b?"),
        ("SET a = :v, ", 13, "leave out the last comma"),
        ("SET a = :v, REMOVE b", 13, "leave out the comma before REMOVE"),
        ("SET remove = :v", 5, "an attribute of that name is written #remove"),
        ("SET a = set", 9, "begins a clause"),
        ("SET a = b + :c - :d", 16, r"at most one \+ or -"),
        ("SET a = (b + :c) - :d", 18, r"at most one \+ or -"),
        ("SET a = b + (:c - :d)", 17, r"expected '\)', found '-'"),
        ("SET a = b * :c", 11, "only add and subtract"),
        ("SET a = b / :c", 11, "only add and subtract"),
        ("SET a = 5", 9, "placeholder like :n"),
        ("SET a = -:v", 9, "sign into the :value"),
        ("SET a = 'x'", 9, "placeholder like :name"),
        ("SET :a = b", 5, ":a is a constant"),
        ("SET (a = :v)", 5, "name of an attribute"),
        ("SET if_not_exists(a, :v) = a", 18, "stands on the right"),
        ("SET a = if_not_exist(a, :v)", 9, "did you mean 'if_not_exists'"),
        ("SET a = LIST_APPEND(a, :v)", 9, "did you mean 'list_append'"),
        ("SET a = list_append(a)", 9, "takes 2 arguments, got 1"),
        ("SET a = list_append(a, :v, :w)", 9, "takes 2 arguments, got 3"),
        ("SET a = if_not_exists(a, :v + :w)", 29, r"expected ',' or '\)', found '\+'"),
        ("SET a = (b", 11, r"expected '\)'"),
        ("SET a[:v] = :w", 7, "indexed with a number"),
        ("REMOVE a b", 10, "is a comma missing"),
        ("REMOVE a :v", 10, "write DELETE path :set"),
        ("REMOVE a = b", 10, "REMOVE takes paths alone"),
        ("ADD a = :v", 7, "write ADD a :value"),
        ("ADD a b", 7, "ADD a needs a :value"),
        ("ADD a", 6, "ADD a needs a :value, but"),
        ("DELETE a if_not_exists(b, :v)", 10, "DELETE a needs a :value"),
        ("DELETE a :v :w", 13, "expected a comma, another clause or the end"),
    ],
)
def test_a_mistake_of_grammar_is_shown_where_it_is(text, column, says):
    with pytest.raises(QueryError, match=says) as caught:
        parse_update(text)
    assert caught.value.column == column
    assert "^" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "can not be empty"),
        ("SET a = :v SET b = :v", "SET once"),
        ("REMOVE a SET b = :v remove c", "REMOVE once"),
        ("SET total = :v", r"'total' is a reserved word"),
        ("REMOVE a.Status", r"'Status' is a reserved word"),
        ("SET a = size(b)", "size is a function of conditions"),
        ("SET a = if_not_exists(:v, :w)", "first argument of if_not_exists is an attribute, got :v"),
        ("SET a = if_not_exists(if_not_exists(a, :v), :w)", "first argument of if_not_exists"),
        ("SET a = list_append(list_append(a, :v), :w)", "list_append can not be an argument of list_append"),
        ("SET a = if_not_exists(b, list_append(a, :v))", "list_append can not be an argument of if_not_exists"),
        ("SET a = list_append(a, :v) + :w", r"\+ takes numbers, and list_append\(a, :v\) is a list"),
        ("SET a = ((b))", "doubled"),
        ("SET a = ((b + :v))", "doubled"),
        ("SET a = ((b)) + :v", "doubled"),
        ("SET " + ", ".join(["a = a"] * 600), "at most 4,096 bytes"),
        ("SET " + ",".join(f"a{i}=b+c" for i in range(301)), "at most 300 operators"),
        ("SET a = " + "if_not_exists(b, " * 101 + "c" + ")" * 101, "at most 100 .* inside each other"),
        ("SET a = " + "(" * 101 + "b" + ")" * 101, "at most 100 .* inside each other"),
        ("REMOVE a" + ".b" * 33, "at most 32 levels"),
    ],
)
def test_what_is_grammatical_but_not_allowed_is_invalid(text, says):
    with pytest.raises(Invalid, match=says):
        parse_update(text)


PIECES = ["a", "b", "#n", ":v", ":w", ".", ",", "(", ")", "[", "]", "1", "=", "+", "-", "'", "\n", "é", " ", "*"]
PIECES += [
    "SET ",
    " REMOVE ",
    " ADD ",
    " DELETE ",
    "a = :v",
    "if_not_exists(",
    "list_append(",
    "size(",
    "b[0] :w",
    ", c",
]


@settings(max_examples=600)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=8))
@example("SET a=" + "(" * 2000)
@example("SET a=" + "if_not_exists(a," * 250)
def test_any_text_is_an_update_or_a_clear_error(text):
    try:
        tree = parse_update(text)
    except (QueryError, Invalid):
        return
    assert parse_update(str(tree)) == tree
    try:
        changed = update(
            text,
            names=dict.fromkeys(tree.names, "n"),
            values=dict.fromkeys(tree.values, 5),
        ).apply({"id": 1, "a": [1], "b": {"a": 1}}, KEY)
    except Invalid:
        return
    assert changed["id"] == 1


# --- what is refused before an item is read ---


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SET a = :v, a = :v", "two document paths overlap, a and a"),
        ("SET a = :v REMOVE a.b", "overlap, a and a.b"),
        ("SET a.b[2] = :v REMOVE a.b", r"overlap, a.b\[2\] and a.b"),
        ("SET a[1] = :v, a[1].c = :v", "overlap"),
        ("SET #x = :v REMOVE a", "overlap, a and a"),
        ("SET a.#x = :v REMOVE a.a.b", "overlap, a.a and a.a.b"),
        ("SET a.b = :v REMOVE a[0]", r"two document paths conflict, a.b and a\[0\]"),
        ("SET a[0][1] = :v, b = :v, a[0].c = :v", r"conflict, a\[0\]\[1\] and a\[0\].c"),
        ("SET id = :v", "'id' is part of the key"),
        ("REMOVE id.x", "'id' is part of the key"),
        ("ADD sort :v", "'sort' is part of the key"),
        ("DELETE #k :s", "'id' is part of the key"),
        ("SET a = b + :s", r"\+ takes numbers, and :s is of type NS"),
        ("SET a = :t - b", "- takes numbers, and :t is of type S"),
        ("SET a = list_append(:v, a)", "list_append takes lists, and :v is of type N"),
        ("ADD a :t", "ADD takes a number or a set, and :t is of type S"),
        ("ADD a :l", "ADD takes a number or a set, and :l is of type L"),
        ("DELETE a :v", "DELETE takes a set, and :v is of type N"),
        ("SET a = :missing", "values has no ':missing'"),
        ("SET #missing = :v", "names has no '#missing'"),
    ],
)
def test_what_could_never_be_is_refused_before_reading(text, says):
    placeholders = Placeholders({"#x": "a", "#k": "id"}, {":v": 1, ":s": {1}, ":t": "x", ":l": []})
    with pytest.raises(Invalid, match=says):
        compile_update(text, placeholders, ("id", "sort"))


def test_names_may_be_other_ones_in_the_next_call():
    item = {"a": 1, "b": 2}
    assert after("SET #n = :v REMOVE b", item, names={"#n": "a"}, v=3) == {"a": 3}
    assert after("SET #n = :v REMOVE b", item, names={"#n": "x.y"}, v=3) == {"a": 1, "x.y": 3}
    with pytest.raises(Invalid, match="overlap"):
        after("SET #n = :v REMOVE b", item, names={"#n": "b"}, v=3)


def test_the_key_is_that_of_the_table_asked():
    assert compile_update("REMOVE b", Placeholders(), ("a",)).apply({"a": 1, "b": 2}, {}) == {"a": 1}
    with pytest.raises(Invalid, match="part of the key"):
        compile_update("REMOVE b", Placeholders(), ("b",))


# --- SET and REMOVE ---


def test_right_sides_see_the_old_item():
    assert after("SET a = b, b = a REMOVE c ADD d :n", {"a": 1, "b": 2, "c": 3}, n=4) == {"a": 2, "b": 1, "d": 4}
    assert after("REMOVE a SET b = a", {"a": 1}) == {"b": 1}
    with pytest.raises(Invalid, match="refers to x, an attribute that does not exist"):
        after("SET x = :v, y = x", {}, v=1)


@pytest.mark.parametrize("text", ["SET a = b", "SET a = c.x + :v", "SET a = c.b[1]", "SET a = if_not_exists(b, d)"])
def test_a_path_that_is_not_there_can_not_be_read(text):
    with pytest.raises(Invalid, match="attribute that does not exist in the item: write if_not_exists"):
        after(text, {"c": {"b": [1]}}, **({"v": 1} if ":v" in text else {}))


def test_if_not_exists_takes_what_is_there_or_else_its_default():
    assert after("SET n = if_not_exists(n, :zero) + :d", {}, zero=0, d=1) == {"n": 1}
    assert after("SET n = if_not_exists(n, :zero) + :d", {"n": 5}, zero=0, d=1) == {"n": 6}
    assert after("SET a = if_not_exists(b, if_not_exists(c, :v))", {"c": None}, v=1) == {"a": None, "c": None}
    assert after("SET a = if_not_exists(a.b[1], :v)", {"a": {"b": [0]}}, v=1) == {"a": 1}


def test_lists_are_appended_at_either_end():
    item = {"a": [1], "b": "x"}
    assert after("SET a = list_append(a, :l)", item, l=[2, [3]]) == {"a": [1, 2, [3]], "b": "x"}
    assert after("SET a = list_append(:l, a)", item, l=[0]) == {"a": [0, 1], "b": "x"}
    assert after("SET c = list_append(if_not_exists(c, :e), :l)", {}, e=[], l=[1]) == {"c": [1]}
    for text in ("SET a = list_append(b, :l)", "SET a = list_append(:l, b)"):
        with pytest.raises(Invalid, match="list_append takes lists, and b is of type S"):
            after(text, item, l=[])


def test_parts_are_set_inside_maps_and_lists():
    item = {"a": {"c": [1, {"x": 2}], "d": 3}}
    assert after("SET a.c[1].x = :v, a.e = :v", item, v=9) == {"a": {"c": [1, {"x": 9}], "d": 3, "e": 9}}
    new = after("SET a.e = :v", item, v=9)
    assert new["a"]["c"] is item["a"]["c"]  # unchanged parts are shared


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("x.y", "x should be a map, and there is none"),
        ("s.y", "s should be a map, and it is of type S"),
        ("l.y", "l should be a map, and it is of type L"),
        ("x[0]", "x should be a list, and there is none"),
        ("m[0]", "m should be a list, and it is of type M"),
        ("l[1].y", r"l\[1\] should be a map, and there is none"),
        ("m.m.y", "m.m should be a map, and there is none"),
    ],
)
def test_what_is_around_a_path_must_be_there(path, says):
    for text in (f"SET {path} = :v", f"REMOVE {path}", f"ADD {path} :v", f"DELETE {path} :v"):
        with pytest.raises(Invalid, match=f"document path is invalid for update: {says}"):
            after(text, {"s": "x", "l": [1], "m": {}}, **({"v": {1}} if ":v" in text else {}))


def test_past_the_end_of_a_list_is_appended_in_the_order_of_indexes():
    item = {"l": ["a"]}
    assert after("SET l[84] = :a, l[37] = :b, l[0] = :c, l[50] = :d", item, a=1, b=2, c=3, d=4) == {"l": [3, 2, 4, 1]}
    assert after("SET l[9] = :v", {"l": []}, v=1) == {"l": [1]}
    assert after("ADD l[9] :n, l[7] :s", item, n=1, s={2}) == {"l": ["a", {2}, 1]}


def test_indexes_are_those_of_the_old_list():
    item = {"l": [0, 1, 2, 3, 4, 5]}
    assert after("REMOVE l[1], l[0], l[4]", item) == {"l": [2, 3, 5]}
    assert after("REMOVE l[1] SET l[3] = :v, l[9] = :w", item, v=17, w=18) == {"l": [0, 2, 17, 4, 5, 18]}
    assert after("REMOVE l[0] SET l[1] = l[0]", {"l": [7, 8]}) == {"l": [7]}


def test_removing_what_is_not_there_does_nothing():
    item = {"a": {"x": 3}, "l": [1]}
    assert after("REMOVE a.y, l[7], c", item) == item
    assert after("REMOVE a.x, l[0]", item) == {"a": {}, "l": []}


def test_without_an_item_only_set_and_add_make_one():
    assert after("SET a = :v", None, v=1) == {"id": 1, "a": 1}
    assert after("ADD a :v REMOVE b", None, v=1) == {"id": 1, "a": 1}
    assert after("REMOVE a, b.c DELETE d :s, e.f :s", None, s={1}) is None
    with pytest.raises(Invalid, match="invalid for update"):
        after("SET a.b = :v", None, v=1)
    assert KEY == {"id": 1}


# --- ADD and DELETE ---


def test_add_counts_and_collects():
    assert after("ADD n :n, s :s, m.x :n", {"m": {}}, n=2, s={"a"}) == {"m": {"x": 2}, "n": 2, "s": {"a"}}
    assert after("ADD n :n, s :s", {"n": 1, "s": {"b"}}, n=-2, s={"a"}) == {"n": -1, "s": {"a", "b"}}
    assert after("ADD s :s", {"s": {1}}, s={Decimal("1.0"), 2}) == {"s": {1, 2}}
    for old, value in (("x", 1), ({1}, {"a"}), ([1], {1}), ({1}, 1), (True, 1)):
        with pytest.raises(Invalid, match="ADD adds a number to a number or a set to one of its type, and a is"):
            after("ADD a :v", {"a": old}, v=value)


def test_delete_takes_elements_and_the_attribute_with_the_last():
    item = {"s": {"a", "b"}, "l": [{1}, 2], "m": {"s": {b"a"}}}
    assert after("DELETE s :s", item, s={"a", "c"}) == item | {"s": {"b"}}
    assert after("DELETE s :s, l[0] :n, m.s :b", item, s={"a", "b"}, n={1}, b={b"a"}) == {"l": [2], "m": {}}
    assert after("DELETE x :s", item, s={"a"}) == item
    for old, value in (("a", {"a"}), ({1}, {"a"}), (["a"], {"a"})):
        with pytest.raises(Invalid, match="DELETE takes elements from a set of their type, and a is"):
            after("DELETE a :v", {"a": old}, v=value)


# --- numbers ---

NINES = 10**38 - 1


@pytest.mark.parametrize(
    ("a", "sign", "b", "result"),
    [
        (1, "+", 2, 3),
        (1, "-", Decimal("0.5"), Decimal("0.5")),
        (Decimal("0.5"), "+", Decimal("0.5"), 1),
        (Decimal("0.1"), "+", Decimal("0.2"), Decimal("0.3")),
        (Decimal("1.5"), "-", Decimal("1.5"), 0),
        (NINES, "+", 1, Decimal("1E38")),
        (Decimal("1E38"), "-", 1, NINES),
        (-NINES, "-", 1, Decimal("-1E38")),
        (NINES, "-", NINES, 0),
        (Decimal("1E-130"), "+", Decimal("1E-130"), Decimal("2E-130")),
        (Decimal("1E125"), "+", Decimal("1E125"), Decimal("2E125")),
        (10**37, "+", Decimal("0.1"), None),  # 39 digits
        (10**36, "+", Decimal("0.1"), Decimal(f"{10**36}.1")),
        (NINES, "+", 2, None),
        (1, "+", Decimal("1E-130"), None),
        (Decimal("9E125"), "+", Decimal("1E125"), None),
        (Decimal("1.1E-130"), "-", Decimal("1E-130"), None),
    ],
)
def test_sums_are_exact_and_in_the_form_of_the_store_or_invalid(a, sign, b, result):
    texts = [(f"SET n = n {sign} :b", {"b": b}), (f"SET n = :a {sign} :b", {"a": a, "b": b})]
    texts += [("ADD n :b", {"b": b if sign == "+" else -b})]
    with decimal.localcontext(prec=3):  # the program's own is of no account
        for text, values in texts:
            if result is None:
                with pytest.raises(Invalid, match=r"38 significant digits.*nothing is rounded"):
                    after(text, {"n": a}, **values)
            else:
                assert shown(after(text, {"n": a}, **values)) == {"n": repr(result)}


def test_a_boolean_is_no_number():
    with pytest.raises(Invalid, match=r"\+ takes numbers, and a is of type BOOL"):
        after("SET n = a + :one", {"a": True}, one=1)


# --- what was touched ---


def test_touched_are_the_named_parts_in_their_places():
    change = update("SET a.b = :v, a.c[1] = :v, l[9] = :v REMOVE l[0], gone ADD n :v", values={":v": 7})
    old = {"id": 1, "a": {"b": 1, "c": [1, 2], "d": 0}, "l": [5, 6], "n": 1, "x": 0}
    assert change.touched(old) == {"a": {"b": 1, "c": [2]}, "l": [5], "n": 1}
    new = change.apply(old, KEY)
    assert change.touched(new) == {"a": {"b": 7, "c": [7]}, "l": [6], "n": 8}
    assert change.touched(None) == change.touched({"id": 1}) == {}


# --- against the model ---

names = st.sampled_from(["a", "b", "c"])
numbers = st.sampled_from(
    [0, 1, -2, 10**38 - 1, 10**37, Decimal("0.5"), Decimal("1E-130"), Decimal("9.99E125"), Decimal("1E38")]
)
sets = st.sampled_from([{1}, {1, 2, Decimal("0.5")}, {"a"}, {"a", "b"}, {b"a"}, {b"a", b"b"}])
leaves = numbers | sets | st.sampled_from(["", "x", b"x", True, None])
shallow = leaves | st.lists(leaves, max_size=3) | st.dictionaries(names, leaves, max_size=3)
values = leaves | st.lists(shallow, max_size=4) | st.dictionaries(names, shallow, max_size=3)
items = st.dictionaries(names, values, max_size=3)


def places(value, here=()):
    """Every path into a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, inner in inside:
        yield (*here, part)
        yield from places(inner, (*here, part))


def paths_into(item):
    """Paths that are there, that end just beside something, or that are made up."""
    there = st.sampled_from(sorted(places(item), key=str) or [("a",)])
    steps = st.sampled_from(["a", "b", "c", 0, 1, 2, 3, 4])
    beside = st.tuples(there, steps).map(lambda made: (*made[0], made[1]))
    replaced = st.tuples(there, steps).map(lambda made: (*made[0][:-1], made[1]) if made[0][1:] else made[0])
    return st.one_of(there, there, there, replaced, beside, names.map(lambda name: (name,)))


def rights(paths, item):
    counted = [path for path in places(item) if type(model.value_at(to_dynamodb_json(item), path).get("N")) is str]
    number = st.sampled_from([("path", path) for path in counted] + [("value", 5), ("value", Decimal("0.5"))])
    lists = st.sampled_from([("value", []), ("value", [1, "x"])])
    flat = paths.map(lambda path: ("path", path)) | values.map(lambda value: ("value", value))
    default = st.tuples(st.just("if_not_exists"), paths, flat | number | lists)
    flat = st.one_of(flat, default, st.tuples(st.just("if_not_exists"), paths, default))
    return st.one_of(
        flat,
        st.tuples(st.sampled_from(["+", "-"]), number, st.one_of(number, number, flat)),
        st.tuples(st.just("list_append"), flat | lists, lists),
        st.tuples(st.sampled_from(["+", "-", "list_append"]), flat, flat),
    )


@st.composite
def cases(draw):
    """An item, or none, and what to do with it: a few actions, which seldom overlap."""
    item = draw(items)
    paths = paths_into(item)
    set_right = rights(paths, item)
    rest = {"SET": set_right, "REMOVE": st.none(), "ADD": numbers | sets | leaves, "DELETE": sets | sets | leaves}
    actions = []
    for clause in draw(st.permutations(list(rest))):
        for path in draw(st.lists(paths, max_size=2)):
            apart = not any(model.clash(path, other) for _, other, _ in actions)
            if apart or draw(st.integers(0, 9)) == 0:
                actions.append((clause, path, draw(rest[clause])))
    actions = actions or [("REMOVE", ("a",), None)]
    return draw(st.sampled_from([item, item, item, item, None])), actions


class Writer:
    """Actions as text; what its placeholders stand for is collected."""

    def __init__(self):
        self.names, self.values = {}, {}

    def path(self, path):
        text = ""
        for i, part in enumerate(path):
            if isinstance(part, int):
                text += f"[{part}]"
            elif (i + len(path) + len(self.values)) % 3:  # some of them
                text += f".{part}"
            else:
                self.names[f"#{part}"] = part
                text += f".#{part}"
        return text[1:]

    def value(self, value):
        self.values[f":v{len(self.values)}"] = value
        return f":v{len(self.values) - 1}"

    def right(self, right):
        kind, *rest = right
        if kind in ("path", "value"):
            return self.path(rest[0]) if kind == "path" else self.value(rest[0])
        if kind == "if_not_exists":
            return f"if_not_exists({self.path(rest[0])}, {self.right(rest[1])})"
        a, b = map(self.right, rest)
        return f"list_append({a}, {b})" if kind == "list_append" else f"{a} {kind} {b}"

    def update(self, actions):
        clauses = {}
        for clause, path, right in actions:
            written = self.path(path)
            if clause == "SET":
                written += f" = {self.right(right)}"
            elif clause != "REMOVE":
                written += f" {self.value(right)}"
            clauses.setdefault(clause, []).append(written)
        return " ".join(f"{clause} {', '.join(parts)}" for clause, parts in clauses.items())


def typed_right(right):
    kind, *rest = right
    if kind == "value":
        return (kind, to_typed(rest[0]))
    if kind == "path":
        return right
    return (kind, *(part if kind == "if_not_exists" and i == 0 else typed_right(part) for i, part in enumerate(rest)))


def typed(action):
    clause, path, right = action
    if clause == "SET":
        return (clause, path, typed_right(right))
    return (clause, path, None if clause == "REMOVE" else to_typed(right))


REASONS = {
    "overlap": "paths overlap",
    "conflict": "paths conflict",
    "key": "part of the key",
    "type": "is of type|, not [A-Z]",
    "missing": "does not exist in the item",
    "path": "invalid for update",
    "number": "no number that can be stored",
}


def foreseen(old, actions):
    """What the model says of an update: the new item, and no reasons, or the reasons to refuse it."""
    try:
        model.check(actions, ("id",))
        return model.apply(old, to_dynamodb_json(KEY), actions), set()
    except model.Refused as refused:
        return None, refused.reasons


@settings(max_examples=600)
@given(cases())
def test_updates_do_what_the_model_does_and_fail_where_it_fails(case):
    old, actions = case
    old = None if old is None else KEY | from_dynamodb_json(to_dynamodb_json(old))
    before = deepcopy(old)
    writer = Writer()
    text = writer.update(actions)
    wanted, reasons = foreseen(None if old is None else to_dynamodb_json(old), [typed(action) for action in actions])
    if reasons:
        with pytest.raises(Invalid) as caught:
            update(text, names=writer.names, values=writer.values).apply(old, KEY)
        found = {reason for reason, says in REASONS.items() if re.search(says, str(caught.value))}
        event(f"refused: {min(found)}")
        assert found & reasons, (text, caught.value, reasons)
        return
    change = update(text, names=writer.names, values=writer.values)
    new = change.apply(old, KEY)
    event("done" if new != old else "done, the same")
    assert (None if new is None else to_dynamodb_json(new)) == wanted
    for item in (old, new):
        picked = model.projected(to_dynamodb_json(item or {}), [path for _, path, _ in actions])
        assert to_dynamodb_json(change.touched(item)) == picked
    if new is not None:
        codec = ItemCodec([])
        assert shown(codec.decode(codec.encode(new))) == shown(new)  # numbers have the form the store gives back
    assert shown(old) == shown(before)
    assert parse_update(str(parse_update(text))) == parse_update(text)
