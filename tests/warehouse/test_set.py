"""SET and RESET: what is so anyway is accepted, what is not is refused with what to do instead."""

import pytest
from warehouse.asking import ask

from engines.errors import QueryError
from engines.warehouse.warehouse import Warehouse


@pytest.fixture
def wh(tmp_path):
    with Warehouse(tmp_path) as found:
        yield found


@pytest.mark.parametrize(
    "text",
    [
        "SET query_group TO 'reports'",
        "SET SESSION application_name = nightly",
        "SET timezone TO 'UTC'",
        "SET search_path TO '$user', public",
        "SET search_path = public",
        "SET datestyle TO ISO, MDY",
        "SET statement_timeout TO 0",
        "RESET query_group",
        "RESET ALL",
    ],
)
def test_what_changes_no_answer_is_accepted(wh, text):
    assert ask(wh, text) == [("SET", 0)]
    assert wh.sql("SELECT 1").rows()[0][0] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SET search_path TO sales, public", "write schema.table"),
        ("SET timezone TO 'Europe/Berlin'", "AT TIME ZONE"),
        ("SET statement_timeout TO 5000", "pass timeout="),
        ("SET datestyle TO German", "to_date"),
        ("SET quary_group TO x", "no parameter 'quary_group'.*did you mean 'query_group'"),
        ("SET TIME ZONE 'UTC'", "write SET timezone"),
        ("SET query_group", "expected =, and the text ends"),
        ("SET query_group TO", "expected a value"),
        ("RESET x", "no parameter 'x'"),
    ],
)
def test_what_would_change_answers_is_refused_with_what_to_do(wh, text, said):
    with pytest.raises(QueryError, match=f"(?s){said}"):
        wh.sql(text)
