"""Single-measure records in SQL: rows, the idiom of such tables, folds, tables of both kinds of records."""

import pytest
from timeseries.asking import NOW, SECOND, rows_of, store

MINUTE = 60 * SECOND


def records(rows):
    """In the service's shape: host, measure, value, second."""
    kinds = {float: "DOUBLE", int: "BIGINT", str: "VARCHAR", bool: "BOOLEAN"}
    return [
        {
            "Dimensions": [{"Name": "host", "Value": host}],
            "MeasureName": name,
            "MeasureValue": str(value).lower() if isinstance(value, bool) else str(value),
            "MeasureValueType": kinds[type(value)],
            "Time": str(second),
            "TimeUnit": "SECONDS",
        }
        for host, name, value, second in rows
    ]


@pytest.fixture(scope="module")
def singles():
    db = store()
    table = db.create_table("m", memory="24h")
    rows = []
    for second in range(NOW - 300, NOW, 10):
        for host in ("a", "b"):
            rows.append((host, "cpu", float(second % 70), second))
            if second % 20 == 0:
                rows.append((host, "mem", float(second % 30) + (host == "b"), second))
            if second % 30 == 0:
                rows.append((host, "count", second, second))
    rows.append(("a", "state", "up", NOW - 300))
    rows.append(("b", "ok", True, NOW - 290))
    for start in range(0, len(rows), 50):
        table.write_records(records(rows[start : start + 50]))
    return db, rows


def test_single_measure_records_as_rows(singles):
    db, rows = singles
    names = ["double", "bigint", "varchar", "boolean"]
    columns = ", ".join(f"measure_value::{name}" for name in names)
    found = rows_of(db.sql(f"SELECT host, measure_name, time, {columns} FROM m"))
    wanted = [
        (host, name, second * SECOND, *(value if type(value) is kind else None for kind in (float, int, str, bool)))
        for host, name, value, second in rows
    ]
    assert sorted(found, key=repr) == sorted(wanted, key=repr)
    assert db.sql("SELECT * FROM m").names == ["host", "measure_name", "time", *(f"measure_value::{n}" for n in names)]
    assert rows_of(db.sql("SELECT count(*) FROM m")) == [(len(rows),)]


@pytest.mark.parametrize("name", ["cpu", "mem", "nothing"])
def test_the_idiom_of_single_measure_tables(singles, name):
    db, rows = singles
    values = {}
    for host, measure, value, _ in rows:
        values.setdefault(host, [])
        if measure == name:
            values[host].append(value)
    wanted = [(host, max(found, default=None), len(found)) for host, found in sorted(values.items())]
    case = f"CASE WHEN measure_name = '{name}' THEN measure_value::double END"
    asked = f"SELECT host, max({case}), count({case}) FROM m GROUP BY host ORDER BY host"
    assert rows_of(db.sql(asked)) == wanted
    assert db.explain(asked).find("Fold") is not None


def test_folds_over_single_measure_records(singles):
    db, rows = singles
    for where, names in (
        ("measure_name = 'cpu'", {"cpu"}),
        ("measure_name IN ('cpu', 'mem')", {"cpu", "mem"}),
        ("measure_name <> 'cpu'", {"mem", "count", "state", "ok"}),
        ("measure_name LIKE 'c%'", {"cpu", "count"}),
        ("true", {"cpu", "mem", "count", "state", "ok"}),
    ):
        asked = (
            "SELECT bin(time, 1m) AS b, count(*), count(measure_value::double), sum(measure_value::double), "
            f"min(measure_value::double), max(measure_value::bigint) FROM m WHERE {where} GROUP BY 1 ORDER BY 1"
        )
        groups = {}
        for _, name, value, second in rows:
            if name in names:
                groups.setdefault(second * SECOND // MINUTE * MINUTE, []).append(value)
        wanted = []
        for key, found in sorted(groups.items()):
            doubles = [value for value in found if type(value) is float]
            whole = [value for value in found if type(value) is int]
            total = sum(doubles) if doubles else None
            least = min(doubles, default=None)
            wanted.append((key, len(found), len(doubles), pytest.approx(total), least, max(whole, default=None)))
        assert rows_of(db.sql(asked)) == wanted, where


def test_a_table_of_both_kinds_of_records():
    db = store()
    table = db.create_table("m", memory="24h")
    table.write_records(records([("a", "cpu", 1.0, NOW - 5), ("a", "mem", 3.0, NOW - 5)]))
    table.write([(NOW - 4) * SECOND], {"host": "a"}, {"load": [7.0]}, measure_name="multi")
    assert rows_of(db.sql("SELECT measure_name, load, measure_value::double FROM m ORDER BY 1")) == [
        ("cpu", None, 1.0),
        ("mem", None, 3.0),
        ("multi", 7.0, None),
    ]
    assert rows_of(db.sql("SELECT count(*), max(load), sum(measure_value::double) FROM m")) == [(3, 7.0, 4.0)]
    assert rows_of(db.sql("SELECT host, load FROM m WHERE load > 1")) == [("a", 7.0)]
    newest = [(row["measure_name"], row["load"], row["measure_value::double"]) for row in table.last().to_dicts()]
    assert newest == [("cpu", None, 1.0), ("mem", None, 3.0), ("multi", 7.0, None)]
    assert rows_of(db.sql("SHOW MEASURES FROM m")) == [
        ("cpu", "double", ["host"]),
        ("mem", "double", ["host"]),
        ("multi", "multi", ["host"]),
    ]


def test_the_newest_time_of_one_measure_is_not_that_of_another():
    db = store()
    db.create_table("m").write_records(
        records([("a", "cpu", 1.0, NOW - 1), ("a", "mem", 2.0, NOW - 5), ("a", "cpu", 3.0, NOW - 9)])
    )
    text = "SELECT min(time), max(time), count(*) FROM m"
    assert rows_of(db.sql(f"{text} WHERE measure_name = 'mem'")) == [((NOW - 5) * SECOND, (NOW - 5) * SECOND, 1)]
    assert rows_of(db.sql(text)) == [((NOW - 9) * SECOND, (NOW - 1) * SECOND, 3)]
