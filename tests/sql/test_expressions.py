"""Expressions over batches: against a model that computes one row after the other, in every layout of the columns."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import sql_expressions as model
from sql.mixed import batch as mixed_batch
from sql.mixed import engine_values

from engines.errors import QueryError
from engines.sql import expressions
from engines.sql.column import Batch, Column, Dictionary
from engines.sql.context import Context
from engines.sql.functions import standard
from engines.sql.functions.registry import Functions
from engines.sql.logical import Among, Bound, Call, Case, Cast, Constant, Reference
from engines.sql.types import BIGINT, BOOLEAN, DATE, DOUBLE, INTEGER, INTERVAL, SMALLINT, TIMESTAMP, VARCHAR, decimal
from engines.sql.values import engine_column

FUNCTIONS = standard()
CONTEXT = Context(text="SELECT expression")
NULL_FREE = {"is null", "is not null"}


def ref(id, type):
    return Reference(id=id, type=type)


def const(value, type=INTEGER):
    return Constant(value=value, type=type)


def call(function, *arguments, type=BOOLEAN, position=-1):
    return Call(function=function, arguments=arguments, type=type, position=position)


def evaluate(expression, batch, context=CONTEXT, functions=FUNCTIONS):
    (column,) = expressions.compile([expression], functions).run(batch, context)
    assert column.type.kind in {expression.type.kind, "null"}
    found = engine_values(column, batch.rows)
    if expression.type.whole and not column.wide and column.low is not None:
        assert all(column.low <= value <= column.high for value in found if value is not None)
    return found


def table(**columns):
    """A batch of (values, type) by name."""
    made = {name: engine_column(values, type) for name, (values, type) in columns.items()}
    return Batch(made, len(next(iter(columns.values()))[0]))


# ---- random expressions ------------------------------------------------------------------------------------------

D2, D4 = decimal(9, 2), decimal(18, 4)
TYPES = {
    "a": INTEGER,
    "b": SMALLINT,
    "d": D2,
    "e": D4,
    "f": DOUBLE,
    "s": VARCHAR,
    "t": VARCHAR,
    "p": BOOLEAN,
    "q": DATE,
}
SMALL = st.integers(-99, 99)
VALUES = {
    "a": SMALL,
    "b": st.integers(-3, 3),
    "d": SMALL,
    "e": st.integers(-99_999, 99_999),
    "f": st.sampled_from([0.0, -1.5, 2.25, 1e10, float("inf"), 0.285]),
    "s": st.sampled_from([b"", b"a", b"ab", b"b", "\u00fc".encode()]),
    "t": st.sampled_from([b"", b"a", b"abc", b"z"]),
    "p": st.integers(0, 1),
    "q": st.integers(8000, 9000),
}
ROWS = st.lists(st.tuples(*(st.none() | values for values in VALUES.values())), max_size=40)


def exact(draw, depth):
    """A whole number or a decimal."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        kind = draw(st.sampled_from("abde"))
        type = TYPES[kind]
        return ref(kind, type) if draw(st.booleans()) else const(draw(st.none() | VALUES[kind]), type)
    shape = draw(st.sampled_from(["+", "-", "*", "/", "%", "neg", "case", "coalesce", "nullif", "greatest", "cast"]))
    left = exact(draw, depth - 1)
    if shape == "neg":
        return call("neg", left, type=left.type)
    if shape == "cast":
        return Cast(argument=left, type=draw(st.sampled_from([BIGINT, INTEGER, D2, decimal(38, 6)])))
    right = exact(draw, depth - 1)
    if shape in {"+", "-", "*", "/", "%"}:
        if left.type.integer and right.type.integer:
            type = BIGINT
        elif shape == "*":
            type = decimal(38, left.type.scale + right.type.scale)
        elif shape == "/":
            type = decimal(38, 6)
        else:
            type = decimal(38, max(left.type.scale, right.type.scale))
        return call(shape, left, right, type=type)
    wider = BIGINT if left.type.integer and right.type.integer else decimal(38, max(left.type.scale, right.type.scale))
    sides = Cast(argument=left, type=wider), Cast(argument=right, type=wider)
    if shape == "case":
        return Case(branches=((truth(draw, depth - 1), sides[0]),), otherwise=sides[1], type=wider)
    return call(shape, *sides, type=wider)


def truth(draw, depth):
    """A condition."""
    shapes = ["compare", "words", "column", "in", "in words", "null", "distinct"]
    shape = draw(st.sampled_from([*shapes, *(["and", "or", "not", "case"] if depth else [])]))
    test = draw(st.sampled_from(["=", "<>", "<", "<=", ">", ">="]))
    match shape:
        case "compare":
            return call(test, exact(draw, max(depth - 1, 0)), exact(draw, max(depth - 1, 0)))
        case "words":
            words = [ref("s", VARCHAR), ref("t", VARCHAR), const(draw(VALUES["s"]), VARCHAR)]
            return call(test, draw(st.sampled_from(words)), draw(st.sampled_from(words)))
        case "column":
            return draw(st.sampled_from([ref("p", BOOLEAN), call(test, ref("q", DATE), const(8500, DATE))]))
        case "in":
            items = draw(st.lists(st.none() | SMALL, min_size=1, max_size=12))
            return Among(argument=ref("a", INTEGER), items=tuple(const(item) for item in items), type=BOOLEAN)
        case "in words":
            items = draw(st.lists(st.none() | VALUES["t"], min_size=1, max_size=3))
            items = tuple(const(item, VARCHAR) for item in items)
            return Among(argument=ref("s", VARCHAR), items=items, type=BOOLEAN)
        case "null":
            return call(draw(st.sampled_from(sorted(NULL_FREE))), exact(draw, max(depth - 1, 0)))
        case "distinct":
            name = draw(st.sampled_from(["is distinct from", "is not distinct from"]))
            return call(name, ref("s", VARCHAR), draw(st.sampled_from([ref("t", VARCHAR), const(None, VARCHAR)])))
        case "not":
            return call("not", truth(draw, depth - 1))
        case "case":
            branches = ((truth(draw, depth - 1), truth(draw, depth - 1)),)
            return Case(branches=branches, otherwise=const(None, BOOLEAN), type=BOOLEAN)
    return call(shape, *(truth(draw, depth - 1) for _ in range(draw(st.integers(2, 3)))))


@st.composite
def numbers(draw):
    return exact(draw, 3)


@st.composite
def conditions(draw):
    return truth(draw, 3)


def expected(expression, rows):
    """What the model gives for every row; Failed if it fails for any."""
    return [model.value(expression, dict(zip(TYPES, row, strict=True))) for row in rows]


def same(expression, rows, seed):
    batch = mixed_batch(rows, TYPES, random.Random(seed))
    try:
        want = expected(expression, rows)
    except model.Failed:
        with pytest.raises(QueryError):
            evaluate(expression, batch)
        return
    assert evaluate(expression, batch) == want


@settings(max_examples=400)
@given(numbers(), ROWS, st.integers(0, 5))
def test_numbers_are_those_of_the_model(expression, rows, seed):
    same(expression, rows, seed)


@settings(max_examples=400)
@given(conditions(), ROWS, st.integers(0, 5))
def test_three_valued_conditions_are_those_of_the_model(expression, rows, seed):
    same(expression, rows, seed)


@settings(max_examples=300)
@given(conditions(), ROWS, st.integers(0, 5), st.sampled_from([1, 40]))
def test_a_condition_finds_the_rows_where_it_is_true(expression, rows, seed, times):
    rows = rows * times
    try:
        want = [i for i, found in enumerate(expected(expression, rows)) if found == 1]
    except model.Failed:
        return
    compiled = expressions.condition(expression, FUNCTIONS)
    found = compiled.positions(mixed_batch(rows, TYPES, random.Random(seed)), CONTEXT)
    assert found is None or found.dtype == np.int32
    assert (list(range(len(rows))) if found is None else found.tolist()) == want


FLOAT_OPERATORS = ["+", "-", "*", "neg"]


@pytest.mark.parametrize("operator", FLOAT_OPERATORS)
def test_floats_are_ieee(operator):
    some = [0.0, -0.0, 1.5, -2.25, 1e308, 5e-324]
    rows = [(x, y) for x in some for y in some]
    batch = table(x=([x for x, _ in rows], DOUBLE), y=([y for _, y in rows], DOUBLE))
    sides = [ref("x", DOUBLE)] if operator == "neg" else [ref("x", DOUBLE), ref("y", DOUBLE)]
    expression = call(operator, *sides, type=DOUBLE)
    want = [model.value(expression, {"x": x, "y": y}) for x, y in rows]
    assert list(map(repr, evaluate(expression, batch))) == list(map(repr, want))


# ---- decimals ----------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.integers(1 - 10**18, 10**18 - 1), st.integers(1 - 10**18, 10**18 - 1)), min_size=1),
    st.sampled_from("+-*/%"),
    st.sampled_from([decimal(18, 0), decimal(18, 2), decimal(18, 18)]),
    st.sampled_from([decimal(18, 0), decimal(18, 5)]),
    st.integers(0, 3),
)
def test_decimals_of_any_size_are_exact_to_38_digits_or_an_error(rows, operator, left, right, seed):
    scale = {"*": left.scale + right.scale, "/": 6}.get(operator, max(left.scale, right.scale))
    expression = call(operator, ref("x", left), ref("y", right), type=decimal(38, scale))
    batch = mixed_batch(rows, {"x": left, "y": right}, random.Random(seed))
    try:
        want = [model.value(expression, {"x": x, "y": y}) for x, y in rows]
    except model.Failed:
        with pytest.raises(QueryError, match=r"division by zero|out of range"):
            evaluate(expression, batch)
        return
    assert evaluate(expression, batch) == want


def test_a_wide_result_that_fits_64_bits_is_held_in_64_bits():
    x = engine_column([10**20, -(10**20)], decimal(38, 0))
    expression = call("/", ref("x", decimal(38, 0)), const(10**10, decimal(11, 0)), type=decimal(38, 0))
    (column,) = expressions.compile([expression], FUNCTIONS).run(Batch({"x": x}, 2), CONTEXT)
    assert column.data.dtype == np.int64
    assert column.data.tolist() == [10**10, -(10**10)]


@pytest.mark.parametrize(
    ("type", "message"),
    [(SMALLINT, "smallint out of range"), (INTEGER, "integer out of range"), (BIGINT, "bigint out of range")],
)
def test_integers_out_of_range_are_an_error_at_the_operator(type, message):
    most = type.limits()[1]
    batch = table(x=([1, most], type))
    expression = call("+", ref("x", type), const(1, type), type=type, position=7)
    with pytest.raises(QueryError, match=message) as failure:
        evaluate(expression, batch, Context(text="SELECT x + 1"))
    assert failure.value.column == 8
    assert evaluate(expression, table(x=([1, None, most - 1], type))) == [2, None, most]


def test_decimals_out_of_range_are_an_error():
    type = decimal(38, 0)
    batch = table(x=([10**37, 5 * 10**37], type))
    with pytest.raises(QueryError, match="numeric value out of range"):
        evaluate(call("*", ref("x", type), const(2, BIGINT), type=type), batch)


def test_what_stands_under_a_null_overflows_nothing():
    x = Column(INTEGER, np.array([2**31 - 1, 5]), valid=np.array([0, 1], np.uint8))
    assert evaluate(call("+", ref("x", INTEGER), const(1), type=INTEGER), Batch({"x": x}, 2)) == [None, 6]
    zero = Column(INTEGER, np.array([0, 5]), valid=np.array([0, 1], np.uint8))
    assert evaluate(call("/", const(10), ref("x", INTEGER), type=INTEGER), Batch({"x": zero}, 2)) == [None, 2]


def test_bounds_that_are_unknown_are_found_and_not_trusted_too_far():
    x = Column(BIGINT, np.array([2**62, 3]))
    expression = call("*", ref("x", BIGINT), const(3, BIGINT), type=decimal(38, 0))
    assert evaluate(expression, Batch({"x": x}, 2)) == [3 * 2**62, 9]


@pytest.mark.parametrize("operator", ["/", "%"])
@pytest.mark.parametrize("type", [INTEGER, decimal(10, 2), DOUBLE])
def test_division_by_zero_is_an_error_of_every_type(operator, type):
    batch = table(x=([1, 2], type), y=([1, 0], type))
    with pytest.raises(QueryError, match="division by zero"):
        evaluate(call(operator, ref("x", type), ref("y", type), type=type), batch)
    with pytest.raises(QueryError, match="division by zero"):
        evaluate(call(operator, ref("x", type), const(0, type), type=type), batch)


# ---- what a row does not reach -----------------------------------------------------------------------------------

A, B = ref("a", INTEGER), ref("b", INTEGER)
QUOTIENT = call("/", A, B, type=INTEGER)
DIVISIBLE = call("<>", B, const(0))
HALVES = table(a=([10, 20, 30], INTEGER), b=([0, 5, None], INTEGER))


def test_case_computes_a_branch_for_the_rows_that_reach_it_only():
    guarded = Case(branches=((DIVISIBLE, QUOTIENT),), otherwise=const(-1), type=INTEGER)
    assert evaluate(guarded, HALVES) == [-1, 4, -1]
    second = Case(
        branches=((call("=", B, const(0)), const(0)), (DIVISIBLE, QUOTIENT)), otherwise=QUOTIENT, type=INTEGER
    )
    assert evaluate(second, HALVES) == [0, 4, None]


def test_and_or_coalesce_shield_what_stands_behind_them():
    big = call(">", QUOTIENT, const(3))
    assert evaluate(call("and", DIVISIBLE, big), HALVES) == [0, 1, None]
    assert evaluate(call("or", call("=", B, const(0)), big), HALVES) == [1, 1, None]
    first = call("nullif", B, const(5), type=INTEGER)
    shielded = call("coalesce", call("+", first, const(7), type=INTEGER), QUOTIENT, type=INTEGER)
    assert evaluate(shielded, table(a=([10, 20], INTEGER), b=([0, 5], INTEGER))) == [7, 4]


def test_a_where_divides_only_the_rows_that_are_left():
    condition = call("and", call(">", QUOTIENT, const(3)), DIVISIBLE)
    assert expressions.condition(condition, FUNCTIONS).positions(HALVES, CONTEXT).tolist() == [1]


def test_a_division_outside_of_any_guard_fails_at_its_place():
    expression = call("/", A, B, type=INTEGER, position=9)
    with pytest.raises(QueryError, match="division by zero") as failure:
        evaluate(expression, HALVES, Context(text="SELECT a / b"))
    assert failure.value.column == 10


# ---- programs ----------------------------------------------------------------------------------------------------


def counted():
    """A registry with a function that counts its calls."""
    functions = Functions()
    calls = []

    @functions.scalar("twice", "bigint -> bigint")
    def twice(columns, rows, type, context, position):
        calls.append(rows)
        return Column(type, columns[0].numbers() * 2)

    @functions.scalar("next", "bigint -> bigint", pure=False)
    def next(columns, rows, type, context, position):
        calls.append(rows)
        return Column(type, columns[0].numbers() + len(calls))

    return functions, calls


def test_an_expression_that_occurs_twice_is_computed_once():
    functions, calls = counted()
    twice = call("twice", ref("x", BIGINT), type=BIGINT)
    batch = table(x=([1, 2, 3], BIGINT))
    program = expressions.compile([twice, call("+", twice, const(1, BIGINT), type=BIGINT)], functions)
    assert [column.numbers().tolist() for column in program.run(batch, CONTEXT)] == [[2, 4, 6], [3, 5, 7]]
    assert calls == [3]


def test_what_is_known_for_all_rows_is_not_computed_again_in_a_branch():
    functions, calls = counted()
    twice = call("twice", ref("x", BIGINT), type=BIGINT)
    case = Case(branches=((call(">", twice, const(2, BIGINT)), twice),), otherwise=const(0, BIGINT), type=BIGINT)
    assert evaluate(case, table(x=([1, 2, 3], BIGINT)), functions=functions) == [0, 4, 6]
    assert calls == [3]


def test_every_call_of_a_function_that_is_not_pure_is_one_of_its_own():
    functions, _ = counted()
    one, other = (call("next", ref("x", BIGINT), type=BIGINT) for _ in range(2))
    found = expressions.compile([one, other], functions).run(table(x=([1], BIGINT)), CONTEXT)
    assert [column.numbers().tolist() for column in found] == [[2], [3]]


def test_constants_of_a_run_are_computed_once_a_run():
    functions, calls = counted()
    bound = Bound(name=1, type=BIGINT)
    program = expressions.compile([call("twice", bound, type=BIGINT)], functions)
    for value in (5, 6):
        context = Context(values={1: value})
        for _ in range(3):
            (column,) = program.run(table(x=([1, 2], BIGINT)), context)
            assert column.constant
            assert column.numbers().tolist() == [2 * value]
    assert calls == [1, 1]


def test_now_is_the_moment_of_the_run():
    now = Bound(name="$now", type=TIMESTAMP)
    assert evaluate(now, table(x=([1], BIGINT)), Context(values={"$now": 77})) == [77]


def test_a_column_of_a_plan_outside_is_a_constant_of_the_run():
    outer = call("+", ref("x", BIGINT), ref("outside", BIGINT), type=BIGINT)
    assert evaluate(outer, table(x=([1, 2], BIGINT)), Context(values={"outside": 10})) == [11, 12]


def test_a_function_that_is_not_there_is_an_error():
    with pytest.raises(QueryError, match="no function 'nowhere'"):
        expressions.compile([call("nowhere", ref("x", BIGINT))], FUNCTIONS)


def test_an_empty_batch_gives_empty_columns():
    batch = table(a=([], INTEGER), b=([], INTEGER))
    guarded = Case(branches=((DIVISIBLE, QUOTIENT),), otherwise=const(-1), type=INTEGER)
    for expression in (
        QUOTIENT,
        guarded,
        call("and", DIVISIBLE, call("=", A, B)),
        call("coalesce", A, B, type=INTEGER),
    ):
        assert evaluate(expression, batch) == []
    assert expressions.condition(DIVISIBLE, FUNCTIONS).positions(batch, CONTEXT) is None


# ---- conditions --------------------------------------------------------------------------------------------------


def test_ranges_outside_of_a_narrow_width_are_all_or_nothing():
    x = Column(BIGINT, np.array([0, 5, 255], np.uint8), base=1000, low=1000, high=1255)
    batch = Batch({"x": x}, 3)
    for test, value, want in [
        ("<", 300, []),
        (">", 300, [0, 1, 2]),
        ("<", 2**40, [0, 1, 2]),
        (">", -(2**70), [0, 1, 2]),
        ("=", 1005, [1]),
        ("<>", 1005, [0, 2]),
        ("<>", 5, [0, 1, 2]),
        ("=", 744, []),
        (">=", 1256, []),
    ]:
        condition = call(test, ref("x", BIGINT), const(value, BIGINT if abs(value) < 2**63 else decimal(38, 0)))
        found = expressions.condition(condition, FUNCTIONS).positions(batch, CONTEXT)
        assert ([0, 1, 2] if found is None else found.tolist()) == want, (test, value)
        assert [i for i, true in enumerate(evaluate(condition, batch)) if true] == want


def test_a_constant_with_more_places_than_the_column_lies_between_two_values():
    batch = table(x=([5, 6, 7], decimal(5, 2)))
    for test, want in [("<", [0, 1]), ("<=", [0, 1]), (">", [2]), (">=", [2]), ("=", []), ("<>", [0, 1, 2])]:
        condition = call(test, ref("x", decimal(5, 2)), const(65, decimal(5, 3)))
        found = expressions.condition(condition, FUNCTIONS).positions(batch, CONTEXT)
        assert ([0, 1, 2] if found is None else found.tolist()) == want, test


def test_conditions_of_constants_need_no_column():
    batch = table(x=([1, 2], BIGINT))
    true, false, null = (const(value, BOOLEAN) for value in (True, False, None))
    assert expressions.condition(true, FUNCTIONS).positions(batch, CONTEXT) is None
    assert expressions.condition(false, FUNCTIONS).positions(batch, CONTEXT).tolist() == []
    assert expressions.condition(null, FUNCTIONS).positions(batch, CONTEXT).tolist() == []
    both = call("and", true, call(">", ref("x", BIGINT), const(1, BIGINT)))
    assert expressions.condition(both, FUNCTIONS).positions(batch, CONTEXT).tolist() == [1]
    nothing = call(">", ref("x", BIGINT), const(None, BIGINT))
    assert expressions.condition(nothing, FUNCTIONS).positions(batch, CONTEXT).tolist() == []


def test_the_rows_of_a_filtered_batch_are_counted_from_its_own_first():
    batch = table(x=(list(range(100)), BIGINT)).take(np.arange(50, 100, dtype=np.int32))
    condition = call("=", ref("x", BIGINT), const(60, BIGINT))
    assert expressions.condition(condition, FUNCTIONS).positions(batch, CONTEXT).tolist() == [10]


# ---- coded text --------------------------------------------------------------------------------------------------


def coded(words, codes, valid=None):
    valid = None if valid is None else np.array(valid, np.uint8)
    return Column(VARCHAR, np.array(codes, np.uint8), valid=valid, words=Dictionary.of(words))


def test_a_function_of_coded_text_is_computed_once_for_each_word():
    functions = Functions()
    seen = []

    @functions.scalar("size", "text -> bigint")
    def size(columns, rows, type, context, position):
        seen.append(rows)
        return Column(type, np.diff(columns[0].data).astype(np.int64))

    s = coded([b"a", b"bb", b"ccc"], [0, 1, 2, 1] * 10)
    expression = call("+", call("size", ref("s", VARCHAR), type=BIGINT), const(1, BIGINT), type=BIGINT)
    for _ in range(2):  # the second time from what the dictionary keeps
        assert evaluate(expression, Batch({"s": s}, 40), functions=functions) == [2, 3, 4, 3] * 10
    assert seen == [3]


def test_coded_text_gives_coded_text_in_which_no_word_comes_twice():
    s = coded([b"ab", b"ac", b"xy"], [0, 1, 2, 2] * 3)
    first = call("substring", ref("s", VARCHAR), const(1), const(1), type=VARCHAR)
    (column,) = expressions.compile([first], FUNCTIONS).run(Batch({"s": s}, 12), CONTEXT)
    assert column.words is not None
    assert sorted(column.words.words()) == [b"a", b"x"]
    assert engine_values(column, 12) == [b"a", b"a", b"x", b"x"] * 3


def test_a_word_that_no_row_uses_makes_nothing_fail():
    s = coded([b"1", b"many", b"3"], [0, 2, 0, 2])
    assert evaluate(Cast(argument=ref("s", VARCHAR), type=INTEGER), Batch({"s": s}, 4)) == [1, 3, 1, 3]


def test_nulls_of_a_coded_column_stay_nulls_unless_the_expression_says_otherwise():
    s = coded([b"a", b"b"], [0, 1, 0], [1, 1, 0])
    batch = Batch({"s": s}, 3)
    assert evaluate(call("=", ref("s", VARCHAR), const(b"a", VARCHAR)), batch) == [1, 0, None]
    assert evaluate(call("coalesce", ref("s", VARCHAR), const(b"?", VARCHAR), type=VARCHAR), batch) == [
        b"a",
        b"b",
        b"?",
    ]
    assert evaluate(call("is null", ref("s", VARCHAR)), batch) == [0, 0, 1]


def test_256_words_and_a_null_need_codes_of_16_bits():
    words = [f"{i:03}".encode() for i in range(256)]
    s = coded(words, [*range(256), 7] * 2, [1] * 256 + [0] + [1] * 257)
    equal = call("=", ref("s", VARCHAR), const(b"007", VARCHAR))
    want = [int(i == 7) for i in range(256)]
    assert evaluate(equal, Batch({"s": s}, 514)) == [*want, None, *want, 1]


def test_case_of_constant_texts_is_coded():
    branches = (
        (call("<", A, const(15)), const(b"low", VARCHAR)),
        (call("<", A, const(25)), const(b"middle", VARCHAR)),
    )
    case = Case(branches=branches, otherwise=const(None, VARCHAR), type=VARCHAR)
    (column,) = expressions.compile([case], FUNCTIONS).run(HALVES, CONTEXT)
    assert column.words is not None
    assert engine_values(column, 3) == [b"low", b"middle", None]
    short = Case(branches=branches[:1], otherwise=const(b"high", VARCHAR), type=VARCHAR)
    assert evaluate(short, HALVES) == [b"low", b"high", b"high"]


def test_case_of_text_columns_takes_each_row_from_its_branch():
    s, plain = coded([b"x", b"yy"], [0, 1, 0]), engine_column([b"1", None, b"333"], VARCHAR)
    batch = Batch({"s": s, "t": plain, "a": engine_column([1, 2, 3], INTEGER)}, 3)
    case = Case(
        branches=((call("<", A, const(2)), ref("s", VARCHAR)), (call("<", A, const(3)), const(b"c", VARCHAR))),
        otherwise=ref("t", VARCHAR),
        type=VARCHAR,
    )
    assert evaluate(case, batch) == [b"x", b"c", b"333"]


# ---- intervals ---------------------------------------------------------------------------------------------------


def test_intervals_add_up_and_the_time_between_two_timestamps_is_one():
    day = 86_400_000_000
    one, other = const((1, day), INTERVAL), const((2, 5), INTERVAL)
    assert expressions.fold(call("+", one, other, type=INTERVAL)).value == (3, day + 5)
    assert expressions.fold(call("neg", one, type=INTERVAL)).value == (-1, -day)
    assert expressions.fold(call("*", one, const(3), type=INTERVAL)).value == (3, 3 * day)
    batch = table(x=([day, 3 * day, None], TIMESTAMP), y=([0, 4 * day, 0], TIMESTAMP))
    between = call("-", ref("x", TIMESTAMP), ref("y", TIMESTAMP), type=INTERVAL)
    assert evaluate(between, batch) == [day, -day, None]
    days = table(x=([5, 3], DATE), y=([1, 9], DATE))
    assert evaluate(call("-", ref("x", DATE), ref("y", DATE), type=INTEGER), days) == [4, -6]


# ---- folding -----------------------------------------------------------------------------------------------------


def test_fold_gives_constants_of_constants_only():
    three = expressions.fold(call("+", const(1), const(2), type=INTEGER))
    assert three == const(3)
    assert expressions.fold(call("=", const(b"a", VARCHAR), const(b"a", VARCHAR))).value is True
    assert expressions.fold(call("+", const(1), const(None), type=INTEGER)) == const(None)
    assert expressions.fold(call("/", const(1), const(0), type=INTEGER)) is None
    assert expressions.fold(call("+", const(1), Bound(name=1, type=INTEGER), type=INTEGER)) is None
    assert expressions.fold(call("+", const(1), A, type=INTEGER)) is None
    assert expressions.fold(call("nowhere", const(1), type=INTEGER)) is None
    assert expressions.fold(Cast(argument=const(b"2024-02-29", VARCHAR), type=DATE)) == const(19782, DATE)
