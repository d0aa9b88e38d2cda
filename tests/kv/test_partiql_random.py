"""PartiQL: random WHEREs find what Table.scan finds with the same condition as a filter of the engine's own."""

# ruff: noqa: S608 - statements are put together from parts of the tests' own

from decimal import Decimal

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from engines import kv
from engines.clock import ManualClock
from engines.errors import Invalid

PATHS = [("total",), ("order",), ("customer",), ("status",), ('we"ird name',), ("doc", "a"), ("doc", "l", 1), ("tags",)]
VALUES = st.sampled_from(
    [
        "",
        "a",
        "b",
        "it's",
        0,
        1,
        2,
        Decimal("1.5"),
        -1,
        True,
        False,
        None,
        {"a"},
        {1, 2},
        [1, "a"],
        {"a": 1, "b": [None]},
    ]
)
SCALARS = st.sampled_from(["", "a", "b", "it's", 0, 1, 2, Decimal("1.5"), -1])
OPERANDS = st.tuples(st.just("path"), st.sampled_from(PATHS)) | st.tuples(st.just("value"), VALUES)
PATH = st.tuples(st.just("path"), st.sampled_from(PATHS))
SIZE = st.tuples(st.just("size"), st.sampled_from(PATHS))
SCALAR = st.tuples(st.just("value"), SCALARS)

LEAVES = (
    st.tuples(st.sampled_from(["=", "<>"]), OPERANDS | SIZE, OPERANDS)
    | st.tuples(st.sampled_from(["<", "<=", ">", ">="]), PATH | SCALAR | SIZE, PATH | SCALAR)
    | st.tuples(st.just("BETWEEN"), PATH, SCALAR, SCALAR)
    | st.lists(OPERANDS, min_size=1, max_size=3).flatmap(lambda o: PATH.map(lambda path: ("IN", path, *o)))
    | st.tuples(st.sampled_from(["attribute_exists", "attribute_not_exists"]), PATH)
    | st.tuples(st.just("attribute_type"), PATH, st.sampled_from(["S", "N", "BOOL", "NULL", "M", "L", "SS", "NS"]))
    | st.tuples(st.just("contains"), PATH, OPERANDS)
    | st.tuples(st.just("begins_with"), PATH, st.tuples(st.just("value"), st.sampled_from(["", "a", "it"])))
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: (
        st.tuples(st.just("NOT"), inner)
        | st.tuples(st.sampled_from(["AND", "OR"]), inner, inner)
        | st.tuples(st.just("AND"), inner, inner, inner)
    ),
    max_leaves=5,
)
CUSTOMERS = st.sampled_from(["a", "b", "c", "it's"])
KEYS = (
    st.tuples(st.just("="), st.just(("path", ("customer",))), st.tuples(st.just("value"), CUSTOMERS))
    | st.tuples(st.just("="), st.tuples(st.just("value"), CUSTOMERS), st.just(("path", ("customer",))))
    | st.lists(CUSTOMERS, min_size=1, max_size=3).map(
        lambda names: ("IN", ("path", ("customer",)), *(("value", name) for name in names))
    )
)
NUMBERS = st.tuples(st.just("value"), st.integers(-1, 5) | st.just(Decimal("1.5")))
SORTS = st.tuples(st.sampled_from(["=", "<", "<=", ">", ">="]), st.just(("path", ("order",))), NUMBERS) | st.tuples(
    st.just("BETWEEN"), st.just(("path", ("order",))), NUMBERS, NUMBERS
)
WHERES = CONDITIONS | st.lists(KEYS | SORTS | SORTS | CONDITIONS, min_size=1, max_size=4).map(
    lambda parts: ("AND", *parts) if len(parts) > 1 else parts[0]
)


class Written:
    """A condition in PartiQL, some values as parameters."""

    def __init__(self, flags):
        self.parameters, self.flags = [], flags

    def path(self, parts):
        text = "".join(f"[{part}]" if isinstance(part, int) else '."' + part.replace('"', '""') + '"' for part in parts)
        return text[1:]

    def value(self, value):
        if self.flags.draw(st.integers(0, 3)) == 0:
            self.parameters.append(value)
            return "?"
        match value:
            case str():
                text = self.text(value)
            case None:
                text = "NULL"
            case bool():
                text = str(value).upper()
            case set():
                text = f"<<{', '.join(map(self.value, value))}>>"
            case list():
                text = f"[{', '.join(map(self.value, value))}]"
            case dict():
                text = f"{{{', '.join(f'{self.text(name)}: {self.value(part)}' for name, part in value.items())}}}"
            case _:
                text = str(value)
        return text

    def text(self, text):
        return "'" + text.replace("'", "''") + "'"

    def operand(self, operand):
        kind, what = operand
        if kind == "value":
            return self.value(what)
        return self.path(what) if kind == "path" else f"SIZE({self.path(what)})"

    def condition(self, condition):  # noqa: PLR0911 - one for each kind
        sign, *rest = condition
        if sign == "NOT":
            return f"NOT ({self.condition(rest[0])})"
        if sign in ("AND", "OR"):
            return f" {sign} ".join(f"({self.condition(part)})" for part in rest)
        first = self.operand(rest[0])
        if sign in ("attribute_exists", "attribute_not_exists"):
            return f"{first} IS {'NOT ' if sign == 'attribute_exists' else ''}MISSING"
        if sign == "attribute_type":
            return f"{first} IS {rest[1]}"
        if sign == "BETWEEN":
            return f"{first} BETWEEN {self.operand(rest[1])} AND {self.operand(rest[2])}"
        if sign == "IN":
            return f"{first} IN [{', '.join(map(self.operand, rest[1:]))}]"
        if sign in ("contains", "begins_with"):
            return f"{sign}({first}, {self.operand(rest[1])})"
        return f"{first} {sign} {self.operand(rest[1])}"


class Filter:
    """The same as an expression."""

    def __init__(self):
        self.names, self.values = {}, {}

    def operand(self, operand):
        kind, what = operand
        if kind == "value":
            name = f":v{len(self.values)}"
            self.values[name] = what
            return name
        parts = []
        for part in what:
            if isinstance(part, int):
                parts.append(f"[{part}]")
            else:
                known = {name: placeholder for placeholder, name in self.names.items()}
                name = known.get(part, f"#n{len(self.names)}")
                self.names[name] = part
                parts.append("." + name)
        path = "".join(parts)[1:]
        return path if kind == "path" else f"size({path})"

    def condition(self, condition):
        sign, *rest = condition
        if sign == "NOT":
            return f"NOT ({self.condition(rest[0])})"
        if sign in ("AND", "OR"):
            return f" {sign} ".join(f"({self.condition(part)})" for part in rest)
        if sign == "attribute_type":
            rest[1] = ("value", rest[1])
        first, *others = map(self.operand, rest)
        if sign == "BETWEEN":
            return f"{first} BETWEEN {others[0]} AND {others[1]}"
        if sign == "IN":
            return f"{first} IN ({', '.join(others)})"
        if sign[0].isalpha():
            return f"{sign}({', '.join([first, *others])})"
        return f"{first} {sign} {others[0]}"


@pytest.fixture(scope="module")
def assorted():
    values = ["", "a", "it's", 0, 1, Decimal("1.5"), True, None, {"a"}, {1, 2}, [1, "a"], {"a": 1, "b": [None]}]
    with kv.Store(clock=ManualClock()) as store:
        table = store.create_table("assorted", ("customer:S", "order:N"))
        count = 0
        for customer in ("a", "b", "it's", "z"):
            for order in (-1, 0, 1, Decimal("1.5"), 2, 4):
                count += 1
                item = {"customer": customer, "order": order, "total": values[count % len(values)]}
                if count % 3:
                    item["status"] = values[count * 5 % len(values)]
                if count % 4:
                    item['we"ird name'] = values[count * 7 % len(values)]
                if count % 5:
                    item["doc"] = {"a": values[count * 3 % len(values)], "l": [1, values[count % 7]]}
                if count % 2:
                    item["tags"] = {"a", "b"} if count % 3 else {0, 1}
                table.put(item)
        yield store


def outcome(read):
    """The keys that are found, in order, or what was said against it."""
    try:
        return [(item["customer"], item["order"]) for item in read()]
    except Invalid as error:
        return str(error)


@settings(max_examples=400)
@given(where=WHERES, limit=st.none() | st.integers(1, 9), data=st.data())
def test_a_where_finds_what_the_same_filter_finds(assorted, where, limit, data):
    written, filter_ = Written(data), Filter()
    text = f"SELECT * FROM assorted WHERE {written.condition(where)}"
    condition = filter_.condition(where)
    table = assorted.table("assorted")
    expected = outcome(
        lambda: table.scan(filter=condition, names=filter_.names or None, values=filter_.values or None).items
    )
    found = outcome(lambda: assorted.execute(text, written.parameters, limit=limit).all())
    if isinstance(expected, str):
        event("invalid")
        assert isinstance(found, str)
        assert "#_" not in found
        return
    if isinstance(found, str):  # a key that no item can have: a query refuses what a filter never finds
        event("no key")
        assert found.startswith(("the partition key ", "the sort key ", "the key customer is of type S"))
        assert expected == [] or where[0] in ("AND", "OR", "IN")
        return
    assert found == expected
    plan = assorted.explain_statement(text, written.parameters)
    event(plan.name)
    assert plan.counters["items_returned"] == len(found)
