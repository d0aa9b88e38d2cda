"""PartiQL against the plain model, on random expressions and queries; and texts that nobody meant as PartiQL."""

# ruff: noqa: S608 - texts are made of parts on purpose

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engines.errors import EngineError, QueryError
from engines.ledger import partiql
from engines.ledger.partiql import MISSING, evaluate, nodes
from engines.ledger.partiql.functions import Context
from engines.ledger.partiql.parser import parsed
from engines.ledger.partiql.plan import Known
from engines.ledger.partiql.sources import Row
from tests.models import ledger_partiql as model

LETTERS = st.text("ab%_'", max_size=4)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0, 2.5]), LETTERS, st.just(model.MISSING)
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.sampled_from([0.5, 1.0]), st.text("ab", max_size=2)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)
FIELD = st.sampled_from("abc")
LEAVES = st.one_of(
    st.tuples(st.just("value"), SCALARS),
    st.tuples(st.just("field"), st.just(("variable", "t")), FIELD),
    st.just(("variable", "t")),
)
BINARY = st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "||", "AND", "OR"])
TYPES = st.sampled_from(["NULL", "MISSING", "BOOL", "INT", "FLOAT", "STRING", "STRUCT", "LIST"])


def _deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.tuples(BINARY, inner, inner),
        st.tuples(BINARY, inner, inner),
        st.tuples(st.just("not"), inner),
        st.tuples(st.just("field"), st.tuples(st.just("field"), st.just(("variable", "t")), FIELD), FIELD),
        st.tuples(
            st.just("element"), st.tuples(st.just("field"), st.just(("variable", "t")), FIELD), st.integers(0, 2)
        ),
        st.tuples(st.just("in"), inner, st.lists(inner, min_size=1, max_size=3)),
        st.tuples(st.just("between"), inner, inner, inner),
        st.tuples(st.just("is"), inner, TYPES),
        st.tuples(st.just("like"), inner, LETTERS),
        st.tuples(st.just("case"), inner, inner, inner),
        st.tuples(st.just("struct"), st.lists(st.tuples(FIELD, inner), max_size=2, unique_by=lambda field: field[0])),
        st.tuples(st.just("list"), st.lists(inner, max_size=3)),
        st.tuples(st.just("coalesce"), inner, inner),
        st.tuples(st.just("nullif"), inner, inner),
        st.tuples(st.just("size"), inner),
    )


EXPRESSIONS = st.recursive(LEAVES, _deeper, max_leaves=8)


def ours(value: Any) -> Any:
    """The model's value as the engine shows it, types told apart."""
    if value is model.MISSING:
        return MISSING
    if isinstance(value, list):
        return [ours(each) for each in value]
    if isinstance(value, dict):
        return {name: ours(each) for name, each in value.items()}
    return (type(value), value)


def typed(value: Any) -> Any:
    if isinstance(value, list):
        return [typed(each) for each in value]
    if isinstance(value, dict):
        return {name: typed(each) for name, each in value.items()}
    return value if value is MISSING else (type(value), value)


@given(EXPRESSIONS, DOCUMENTS)
@example(("AND", ("value", model.MISSING), ("value", True)), {})  # was MISSING
@example(("in", ("value", 1), [("value", 1)]), {})  # one option in parentheses was no list
def test_an_expression_is_worth_what_the_model_says(node: tuple[Any, ...], document: dict[str, Any]) -> None:
    found = partiql.run(model.text(node), {"t": document})
    assert typed(found) == ours(model.meaning(node, {"t": document}))


@given(EXPRESSIONS, EXPRESSIONS, st.lists(DOCUMENTS, max_size=5))
def test_a_query_gives_what_a_comprehension_gives(
    wanted: tuple[Any, ...], condition: tuple[Any, ...], documents: list[dict[str, Any]]
) -> None:
    found = partiql.run(
        f"SELECT VALUE {model.text(wanted)} FROM T AS t WHERE {model.text(condition)}", {"T": documents}
    )
    kept = [each for each in documents if model.meaning(condition, {"t": each}) is True]
    values = [model.meaning(wanted, {"t": each}) for each in kept]
    assert typed(found) == [ours(value) for value in values if value is not model.MISSING]


@given(st.lists(DOCUMENTS, max_size=4), st.lists(DOCUMENTS, max_size=4), EXPRESSIONS, FIELD, FIELD)
def test_a_join_is_two_loops_and_a_condition(
    left: list[dict[str, Any]], right: list[dict[str, Any]], extra: tuple[Any, ...], one: str, other: str
) -> None:
    condition = ("AND", ("=", ("field", ("variable", "t"), one), ("field", ("variable", "u"), other)), extra)
    pairs = [
        [t, u] for t in left for u in right if model.meaning(condition, {"t": t, "u": u}) is True
    ]  # the same whether the condition stands behind ON or WHERE
    for shape in ("A AS t JOIN B AS u ON {}", "A AS t, B AS u WHERE {}"):
        found = partiql.run(f"SELECT VALUE [t, u] FROM {shape.format(model.text(condition))}", {"A": left, "B": right})
        assert typed(found) == typed(pairs)


class Index:
    """Tables that give what they are asked for and nothing else."""

    def __init__(self, tables: dict[str, list[Any]]) -> None:
        self.tables = tables

    def has(self, table: str) -> bool:
        return table in self.tables

    def rows(self, source: nodes.Source, equal: Sequence[Known], _: tuple[Any, Any]) -> Iterable[Row]:
        assert isinstance(source, nodes.TableSource)
        for number, document in enumerate(self.tables[source.name]):
            if all(typed(self.at(document, path)) == typed(value) for path, value in equal):
                yield str(number), document

    def at(self, value: Any, path: Sequence[Any]) -> Any:
        for step in path:
            value = value.get(step, MISSING) if isinstance(value, dict) else MISSING
        return value


NAMES = st.sampled_from(["t", "u", "A", "B"])  # variables, some called like tables
TERMS = st.one_of(st.sampled_from(["1", "2", "NULL", "a"]), st.tuples(NAMES, FIELD).map(".".join))
EQUALITIES = st.lists(st.tuples(TERMS, TERMS).map(" = ".join), min_size=1, max_size=3).map(" AND ".join)
INTEGERS = st.lists(st.dictionaries(FIELD, st.integers(1, 2) | st.none(), max_size=3), max_size=3)


@st.composite
def queries(draw: st.DrawFn, depth: int = 2) -> str:
    names = draw(st.lists(NAMES, min_size=1, max_size=2, unique=True))
    text = " ".join(
        f"{draw(st.sampled_from([',', 'LEFT JOIN', 'JOIN'])) if number else ''} {draw(st.sampled_from('AB'))} AS {name}"
        for number, name in enumerate(names)
    )
    if "JOIN" in text:
        text += f" ON HINTED({draw(EQUALITIES)})"
    text += f" WHERE HINTED({draw(EQUALITIES)})"
    if depth and draw(st.booleans()):
        text += f" AND EXISTS(SELECT * FROM {draw(queries(depth=depth - 1))})"
    return text


@given(queries(), INTEGERS, INTEGERS)
def test_an_index_gives_what_looking_at_every_row_gives(query: str, one: list[Any], other: list[Any]) -> None:
    tables = {"A": one, "B": other}
    names = ", ".join(dict.fromkeys(re.findall(r"AS (\w)", query.split("WHERE", maxsplit=1)[0])))
    found = parsed(f"SELECT {names} FROM {query}".replace("HINTED(", "("))
    hinted = list(evaluate.select(found, evaluate.new_scope(found, Index(tables), [], Context())))
    assert hinted == partiql.run(f"SELECT {names} FROM {query}".replace("HINTED(", "(FALSE OR "), tables)


@given(LETTERS, st.text("ab%_", max_size=8))
def test_like_is_what_trying_every_split_finds(text: str, pattern: str) -> None:
    assert partiql.run("? LIKE ?", {}, [text, pattern]) is model.like(text, pattern)


def test_like_takes_no_time_for_a_pattern_of_many_percent_signs() -> None:
    assert partiql.run("? LIKE ?", {}, ["a" * 2_000, "%a" * 40 + "%b"]) is False  # trying every split would never end


# -- texts from anywhere

WORDS = """SELECT VALUE FROM WHERE AS BY AT T t a.b ( ) [ ] { } << >> , . ? * + - / % || = <> < <= > >= AND OR NOT IN
BETWEEN LIKE IS NULL MISSING CASE WHEN THEN ELSE END INSERT INTO UPDATE DELETE SET REMOVE CREATE TABLE INDEX ON DROP
UNDROP JOIN LEFT COUNT( SUM( CAST( AS INT) EXTRACT( YEAR TRIM( SUBSTRING( EXISTS( history( _ql_committed_T
information_schema.user_tables 'x' "q" 1 2.5 1e999 `2024` ` ' " ; : @ DISTINCT TRUE FALSE DATE_ADD( UTCNOW() -- /* */
""".split()  # noqa: SIM905 - readable
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)


def error_of(text: str) -> QueryError | None:
    try:
        partiql.parse(text)
    except QueryError as error:
        return error
    return None


@given(st.one_of(SENTENCES, st.text(max_size=60), SENTENCES.map(lambda text: "SELECT " + text)))
def test_whatever_is_no_statement_is_a_query_error_with_its_place(text: str) -> None:
    error = error_of(text)
    if error is not None:
        assert 1 <= error.line <= text.count("\n") + 1
        assert error.column >= 1


@given(st.one_of(SENTENCES, SENTENCES.map(lambda text: "SELECT VALUE " + text)), JSON)
def test_whatever_parses_runs_or_says_why_not(text: str, value: Any) -> None:
    parameters = [value] * 3
    try:
        statement = partiql.parse(text)
        found = partiql.run(text, {"T": [{"a": {"b": 1}}], "t": value}, (parameters * 10)[: statement.parameters])
    except EngineError:
        return
    assert not (isinstance(found, float) and not math.isfinite(found))


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "1" + ")" * 10_000,
        "[" * 10_000,
        "{'a':" * 10_000,
        "NOT " * 10_000 + "TRUE",
        "- " * 10_000 + "1",
        "CASE WHEN TRUE THEN " * 10_000,
        "SIZE(" * 10_000,
        "(SELECT VALUE x FROM " * 10_000,
        "EXISTS(SELECT VALUE x FROM T AS x WHERE " * 10_000,
        "1" + " + 1" * 10_000,
        "a" + ".a" * 10_000,
        "a" + "[0]" * 10_000,
        "1 IN (" * 10_000,
        "'a'" + " || 'a'" * 10_000,
    ],
    ids=lambda text: text[:12],
)
def test_ten_thousand_levels_are_a_query_error_not_the_end_of_the_stack(text: str) -> None:
    with pytest.raises(QueryError, match=r"deep: take it apart"):
        partiql.parse(text)


def test_long_texts_that_mean_nothing_end_soon() -> None:
    for part in ("/*a", "'", '"', "`", "/", "SELECT ", "a,", "--"):
        assert error_of(part * (200_000 // len(part)) + "'") is not None


def test_a_statement_has_an_end() -> None:
    with pytest.raises(QueryError, match="at most 1,048,576 characters"):
        partiql.parse(" " * (1 << 20) + "1")


def test_a_hundred_sources_are_read_and_no_more() -> None:
    text = "SELECT 1 AS one FROM " + ", ".join(f"<<1>> AS a{number}" for number in range(100))
    assert partiql.run(text) == [{"one": 1}]
    with pytest.raises(QueryError, match="at most 100 sources"):
        partiql.parse(text + ", <<1>> AS b")


def test_twenty_selects_stand_inside_each_other_and_no_more() -> None:
    def nested(levels: int) -> str:
        return "SELECT VALUE x FROM (" * (levels - 1) + "SELECT VALUE 1" + ") AS x" * (levels - 1)

    assert partiql.run(nested(20)) == [1]
    with pytest.raises(QueryError, match="SELECT stands inside SELECT more than 20 deep"):
        partiql.parse(nested(21))


def test_a_long_chain_of_and_or_or_is_not_deep() -> None:
    text = "SELECT VALUE t FROM <<5, 4999>> AS t WHERE " + " OR ".join(f"t = {i}" for i in range(0, 10_000, 2))
    assert partiql.run(text) == []
    assert partiql.run(text.replace("t = 0", "t = 5")) == [5]
    assert partiql.run(" AND ".join(["TRUE"] * 3_000 + ["FALSE"])) is False
