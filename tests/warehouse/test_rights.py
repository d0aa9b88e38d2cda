"""Users, grants, policies: who sees what, and that nothing leaks around it."""

# ruff: noqa: E501 - a statement stands on a line

import pytest
from warehouse.asking import ask, one, refused

from engines.errors import AlreadyExists, Denied, EngineError, Invalid, NotFound, QueryError
from engines.warehouse.warehouse import Warehouse

SECRETS = ("eve", "s3cret", "4242", "t0ld")  # of rows and columns that bob must not see


@pytest.fixture
def wh():
    with Warehouse() as warehouse:
        warehouse.sql(
            "CREATE TABLE sales (id INT, seller VARCHAR(20), price INT, ssn VARCHAR(20)); "
            "INSERT INTO sales VALUES (1, 'bob', 10, '111'), (2, 'eve', 20, 't0ld'), (3, 'bob', 30, '333'), (4, 'eve', 4242, 's3cret');"
            "CREATE TABLE hidden AS SELECT 's3cret' AS x; "
            "GRANT SELECT (id, seller, price) ON sales TO bob; "
            "CREATE RLS POLICY mine WITH (seller VARCHAR(20)) USING (seller = current_user); "
            "ATTACH RLS POLICY mine ON sales TO ROLE bob; ALTER TABLE sales ROW LEVEL SECURITY ON"
        )
        yield warehouse


@pytest.fixture
def bob(wh):
    with wh.session(user="Bob") as session:
        yield session


MINE = [(1, "bob", 10), (3, "bob", 30)]


def test_a_user_sees_the_rows_and_columns_that_are_his_and_the_owner_sees_all(wh, bob):
    assert ask(bob, "SELECT * FROM sales ORDER BY id") == MINE
    assert ask(bob, "SELECT count(*), max(price) FROM sales") == [(2, 30)]
    assert one(wh, "SELECT count(*) FROM sales") == 4
    assert ask(bob, "SELECT current_user") == [("bob",)]
    with wh.session(user="carol") as carol:
        refused(carol, "SELECT * FROM sales", Denied, "carol may not read 'sales': GRANT SELECT ON sales TO carol")
        wh.sql("GRANT SELECT ON sales TO carol")
        assert ask(carol, "SELECT * FROM sales") == []  # no policy is hers


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM (SELECT * FROM sales) q",
        "WITH q AS (SELECT * FROM sales) SELECT * FROM q",
        "SELECT s.id, s.seller, s.price FROM sales s JOIN sales r ON s.id = r.id",
        "SELECT id, seller, price FROM sales WHERE id IN (SELECT id FROM sales)",
        "SELECT s.* FROM sales s WHERE EXISTS (SELECT 1 FROM sales r WHERE r.id = s.id AND r.price < 5000)",
        "SELECT * FROM sales UNION SELECT * FROM sales",
        "SELECT id, seller, price FROM (SELECT s.*, (SELECT max(price) FROM sales) AS m FROM sales s) WHERE m = 30",
        "SELECT id, min(seller) OVER (), price FROM sales",
        "SELECT * FROM sales s WHERE NOT EXISTS (SELECT 1 FROM sales r WHERE r.seller <> 'bob')",
        "SELECT * FROM sales WHERE seller >= 'a' OR 1 = 1",
        "SELECT * FROM public.sales",
        "SELECT * FROM sales -- WHERE",
    ],
)
def test_no_query_sees_more(bob, query):
    assert sorted(ask(bob, query)) == MINE


@pytest.mark.parametrize(
    "query",
    [
        "SELECT ssn FROM sales", "SELECT s.ssn FROM sales s", "SELECT id FROM sales WHERE ssn = '111'", "SELECT id FROM sales ORDER BY ssn",
        "SELECT count(*) FROM sales GROUP BY ssn", "SELECT s.id FROM sales s JOIN sales r ON s.ssn = r.ssn", "SELECT sales.ssn FROM sales",
    ],
)  # fmt: skip
def test_a_column_that_was_not_granted_is_not_there(bob, query):
    error = refused(bob, query, QueryError, "no column 'ssn'")
    assert "mean" not in str(error)


POLICIES = [
    "seller = current_user",
    "length(seller) = 3 AND seller <> 'eve'",
    "seller LIKE 'b%'",
    "md5(seller) = md5('bob') -- not eve",
    "id IN (SELECT id FROM allowed WHERE who = current_user)",
    "price < (SELECT 100 - max(id) FROM allowed) AND NOT id IN (SELECT 2)",
]


@pytest.mark.parametrize("policy", POLICIES)
def test_errors_of_rows_that_are_not_his_tell_a_user_nothing(wh, bob, policy):
    wh.sql(
        "CREATE TABLE allowed (id INT, who VARCHAR(9)); INSERT INTO allowed VALUES (1, 'bob'), (3, 'bob'), (2, 'eve')"
    )
    wh.sql("DETACH RLS POLICY mine ON sales FROM bob")
    wh.sql(f"CREATE RLS POLICY other WITH (id INT, seller VARCHAR(20), price INT) USING ({policy}\n)")
    wh.sql("ATTACH RLS POLICY other ON sales TO PUBLIC")
    assert ask(bob, "SELECT * FROM sales ORDER BY id") == MINE
    for query in (
        "SELECT id FROM sales WHERE 1 / (price - 4242) < 5",
        "SELECT id FROM sales WHERE 1 / (price - 20) < 5 AND price <> 20",
        "SELECT id FROM sales WHERE CAST(replace(seller, 'bob', '1') AS INT) = 1",
        "SELECT id FROM sales WHERE price < 10000 AND CAST(replace(seller, 'bob', '1') AS INT) = 1",
        "SELECT s.id FROM sales s JOIN (SELECT 1 AS one) q ON one / (s.price - 4242) < 5",
        "SELECT s.id FROM sales s LEFT JOIN (SELECT 1 AS one) q ON one / (s.price - 20) > 5",
        "SELECT s.id FROM sales s, sales r WHERE s.id = r.id AND 1 / (r.price - 4242) < 5",
        "SELECT id FROM (SELECT id, sum(1 / (price - 4242)) AS x FROM sales GROUP BY id) WHERE x < 5",
        "SELECT id FROM sales WHERE price IN (SELECT price FROM sales WHERE 1 / (price - 4242) < 5)",
    ):
        assert ask(bob, f"{query} ORDER BY 1") == [(1,), (3,)], query


def test_errors_below_a_granted_view_tell_a_user_nothing(wh, bob):
    wh.sql("CREATE TABLE allowed AS SELECT 1 AS id UNION ALL SELECT 3")
    wh.sql(
        "CREATE VIEW v AS SELECT s.id, seller, price FROM sales s JOIN allowed a ON s.id = a.id; GRANT SELECT ON v TO bob"
    )
    assert sorted(ask(bob, "SELECT * FROM v")) == MINE
    assert sorted(ask(bob, "SELECT id FROM v WHERE 1 / (price - 4242) < 5")) == [(1,), (3,)]
    assert sorted(ask(bob, "SELECT id FROM v WHERE CAST(replace(seller, 'bob', '1') AS INT) = 1")) == [(1,), (3,)]


def test_a_temporary_table_cannot_stand_in_for_what_a_policy_or_view_reads(wh, bob):
    wh.sql(
        "CREATE TABLE allowed (who VARCHAR(9)); GRANT SELECT ON hidden TO bob; ALTER TABLE hidden ROW LEVEL SECURITY ON"
    )
    wh.sql(
        "CREATE RLS POLICY listed USING (current_user IN (SELECT who FROM allowed)); ATTACH RLS POLICY listed ON hidden TO bob"
    )
    wh.sql("CREATE VIEW v AS SELECT x FROM hidden, allowed; GRANT SELECT ON v TO bob")
    assert ask(bob, "SELECT x FROM hidden") == []
    bob.sql("CREATE TEMP TABLE allowed AS SELECT 'bob' AS who")
    bob.sql("CREATE TEMP TABLE current_user AS SELECT 'eve' AS who")
    assert ask(bob, "SELECT x FROM hidden UNION ALL SELECT x FROM v") == []
    assert ask(bob, "SELECT * FROM allowed") == [("bob",)]
    bob.sql("CREATE TEMP TABLE sales (seller VARCHAR(20)); DROP TABLE sales")
    assert sorted(ask(bob, "SELECT * FROM sales")) == MINE


def test_copies_of_a_user_hold_only_what_he_sees(wh, bob):
    bob.sql("CREATE TEMP TABLE mine AS SELECT * FROM sales")
    assert sorted(ask(bob, "SELECT * FROM mine")) == MINE
    bob.sql(
        "INSERT INTO mine SELECT * FROM sales; DELETE FROM mine USING sales WHERE mine.id = sales.id AND sales.price = 30"
    )
    assert ask(bob, "SELECT * FROM mine") == [MINE[0]] * 2
    bob.sql("UPDATE mine SET price = s.price FROM (SELECT max(price) AS price FROM sales) s")
    assert ask(bob, "SELECT DISTINCT price FROM mine") == [(30,)]
    for text in (
        "CREATE TEMP TABLE x (LIKE hidden)",
        "CREATE TEMP TABLE x AS SELECT * FROM hidden",
        "INSERT INTO mine SELECT 1, x, 1 FROM hidden",
    ):
        refused(bob, text, Denied, "bob may not read 'hidden'")
    refused(bob, "CREATE TEMP TABLE x (LIKE sales)", Denied, "bob may read 'sales', but not how it is made")


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO sales VALUES (1, 'bob', 1, 'x')", "UPDATE sales SET price = 1", "DELETE FROM sales", "TRUNCATE sales", "DROP TABLE sales",
        "ALTER TABLE sales ROW LEVEL SECURITY OFF", "ALTER TABLE sales ADD COLUMN x INT", "GRANT SELECT ON sales TO bob",
        "GRANT SELECT ON hidden TO bob", "REVOKE SELECT ON sales FROM bob", "DETACH RLS POLICY mine ON sales FROM bob", "DROP RLS POLICY mine",
        "CREATE RLS POLICY x USING (true)", "VACUUM", "ANALYZE sales", "CREATE TABLE x (a INT)", "CREATE VIEW x AS SELECT 1 AS a",
        "CREATE MATERIALIZED VIEW x AS SELECT 1 AS a", "CREATE SCHEMA x", "MERGE INTO sales USING hidden ON true WHEN MATCHED THEN DELETE",
    ],
)  # fmt: skip
def test_a_user_changes_nothing(bob, text):
    refused(bob, text, Denied, "bob may only read")
    with pytest.raises(Denied, match="bob may only read"):
        bob.append("sales", [(1, "bob", 1, "x")])


@pytest.mark.parametrize(
    "name",
    [
        "stv_blocklist",
        "pg_catalog.stv_blocklist",
        "svv_table_info",
        "svv_views",
        "svv_rls_policy",
        "svv_snapshots",
        "svv_external_tables",
    ],
)
def test_tables_that_tell_of_all_tables_are_the_owners(wh, bob, name):
    assert wh.sql(f"SELECT * FROM {name}") is not None
    refused(bob, f"SELECT * FROM {name}", Denied, "it tells of every table")


def test_nothing_that_a_user_can_ask_shows_a_secret(wh, bob):
    wh.sql("CREATE VIEW v AS SELECT 's3cret' AS x; CREATE RLS POLICY told USING ('s3cret' <> 'eve')")
    said = []
    for text in (
        *(f"SELECT * FROM {name}" for name in (
            "stl_query", "svl_query_summary", "stl_load_errors", "stv_slices", "pg_table_def", "information_schema.tables",
            "information_schema.columns", "hidden", "hiden", "v", "sales",
        )),
        "SHOW TABLES", "SHOW COLUMNS FROM sales", "SHOW COLUMNS FROM hidden", "SHOW TABLE sales", "SHOW SCHEMAS",
        "ANALYZE COMPRESSION sales", "ANALYZE COMPRESSION hidden", "ANALYZE COMPRESSION", "EXPLAIN SELECT * FROM sales",
        "EXPLAIN ANALYZE SELECT * FROM sales", "EXPLAIN SELECT * FROM hidden", "SELECT * FROM stl_query",
    ):  # fmt: skip
        try:
            said.append(str(ask(bob, text)))
        except EngineError as error:
            said.append(str(error))
    told = "\n".join(said)
    assert [secret for secret in SECRETS if secret in told] == []
    assert "ssn" not in told
    assert ask(bob, "SHOW TABLES") == [("sales", "table")]
    assert ask(bob, "SELECT table_name FROM information_schema.tables") == [("sales",)]
    assert ask(bob, "SELECT column_name FROM information_schema.columns") == [("id",), ("seller",), ("price",)]
    assert {user for (user,) in ask(bob, "SELECT user_name FROM stl_query")} == {"bob"}
    assert "did you mean" not in str(refused(bob, "SELECT * FROM hiden", QueryError, "there is no table 'hiden'"))


def test_plans_and_answers_that_are_kept_are_not_those_of_somebody_else():
    with Warehouse(result_cache=True) as wh:
        wh.sql(
            "CREATE TABLE t AS SELECT 1 AS a, 'bob' AS who UNION ALL SELECT 2, 'eve'; GRANT SELECT ON t TO bob; GRANT SELECT ON t TO eve"
        )
        wh.sql(
            "CREATE RLS POLICY mine WITH (who VARCHAR(3)) USING (who = current_user); ATTACH RLS POLICY mine ON t TO PUBLIC"
        )
        with wh.session(user="bob") as bob, wh.session(user="eve") as eve:
            query = "SELECT a FROM t ORDER BY a"
            for _ in range(2):
                assert [ask(who, query) for who in (wh, bob, eve)] == [[(1,), (2,)]] * 3
            wh.sql("ALTER TABLE t ROW LEVEL SECURITY ON")
            for _ in range(2):
                assert [ask(who, query) for who in (wh, bob, eve)] == [[(1,), (2,)], [(1,)], [(2,)]]
            wh.sql("REVOKE SELECT ON t FROM bob")
            refused(bob, query, Denied, "bob may not read 't'")
            wh.sql("GRANT SELECT (who) ON t TO bob")
            refused(bob, query, QueryError, "no column 'a'")


def test_a_kept_answer_knows_views_and_columns():
    with Warehouse(result_cache=True) as wh:
        wh.sql("CREATE TABLE t AS SELECT 1 AS a UNION ALL SELECT 2; CREATE VIEW v AS SELECT a FROM t WHERE a > 1")
        assert ask(wh, "SELECT * FROM v") == [(2,)]
        wh.sql("CREATE OR REPLACE VIEW v AS SELECT a FROM t WHERE a < 2")
        assert ask(wh, "SELECT * FROM v") == [(1,)]
        assert wh.sql("SELECT * FROM t").names == ["a"]
        wh.sql("ALTER TABLE t ADD COLUMN b INT DEFAULT 5")
        assert ask(wh, "SELECT * FROM t ORDER BY a") == [(1, 5), (2, 5)]
        wh.sql("ALTER TABLE t RENAME COLUMN b TO c")
        assert wh.sql("SELECT * FROM t ORDER BY a").names == ["a", "c"]
        assert wh.results.hits == 0
        wh.sql("SELECT * FROM t ORDER BY a")
        assert wh.results.hits == 1


# ---- rules over time ---------------------------------------------------------------------------------------------


def test_grants_add_up_and_revokes_take_away(wh):
    with wh.session(user="carol") as carol:

        def seen():
            return carol.sql("SELECT * FROM hidden2").names

        wh.sql("CREATE TABLE hidden2 AS SELECT 1 AS a, 2 AS b, 3 AS c; GRANT SELECT (b) ON hidden2 TO carol")
        assert seen() == ["b"]
        wh.sql("GRANT SELECT (a) ON hidden2 TO PUBLIC")
        assert seen() == ["a", "b"]
        wh.sql("GRANT SELECT ON hidden2 TO carol")
        assert seen() == ["a", "b", "c"]
        wh.sql("GRANT SELECT (a) ON hidden2 TO carol")
        assert seen() == ["a", "b", "c"]
        wh.sql("REVOKE SELECT (b) ON hidden2 FROM carol")
        assert seen() == ["a", "c"]
        wh.sql("REVOKE SELECT ON hidden2 FROM PUBLIC; REVOKE SELECT (a, c) ON hidden2 FROM carol")
        refused(carol, "SELECT * FROM hidden2", Denied, "carol may not read")
        refused(wh, "REVOKE SELECT ON hidden2 FROM carol", NotFound, "carol has no SELECT on 'hidden2'")


def test_a_grant_goes_with_its_column_and_not_with_its_name(wh, bob):
    wh.sql("ALTER TABLE sales RENAME COLUMN id TO number; ALTER TABLE sales RENAME COLUMN ssn TO id")
    assert bob.sql("SELECT * FROM sales").names == ["number", "seller", "price"]
    wh.sql("ALTER TABLE sales DROP COLUMN price; ALTER TABLE sales ADD COLUMN price INT DEFAULT 4242")
    assert bob.sql("SELECT * FROM sales").names == ["number", "seller"]
    wh.sql("CREATE TABLE n AS SELECT 1 AS a, 2 AS b; GRANT SELECT (a) ON n TO bob; ALTER TABLE n DROP COLUMN a")
    refused(bob, "SELECT * FROM n", Denied, "bob may not read 'n'")
    for change in ("RENAME COLUMN seller TO x", "DROP COLUMN seller"):
        refused(
            wh,
            f"ALTER TABLE sales {change}",
            Invalid,
            "policy 'mine' reads column 'seller' of 'sales': DETACH it first",
        )


def test_rights_end_with_their_table(wh, bob):
    wh.sql("DROP TABLE sales; CREATE TABLE sales AS SELECT 's3cret' AS id")
    refused(bob, "SELECT * FROM sales", Denied, "bob may not read 'sales'")


def test_policies_are_all_to_be_fulfilled_and_off_means_off(wh, bob):
    wh.sql("CREATE RLS POLICY dear WITH (price INT) USING (price > 10); ATTACH RLS POLICY dear ON sales TO PUBLIC")
    assert ask(bob, "SELECT id FROM sales") == [(3,)]
    wh.sql("DETACH RLS POLICY mine ON sales FROM bob")
    assert ask(bob, "SELECT id FROM sales ORDER BY id") == [(2,), (3,), (4,)]
    wh.sql("DETACH RLS POLICY dear ON sales FROM PUBLIC")
    assert ask(bob, "SELECT id FROM sales") == []
    wh.sql("ALTER TABLE sales ROW LEVEL SECURITY OFF")
    assert len(ask(bob, "SELECT id FROM sales")) == 4


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("GRANT SELECT ON sale TO bob", NotFound, "there is no table 'sale'; did you mean 'sales'?"),
        ("GRANT SELECT (prize) ON sales TO bob", NotFound, "no column 'prize'; did you mean 'price'?"),
        ("CREATE RLS POLICY mine USING (true)", AlreadyExists, "there is a policy 'mine' already"),
        ("CREATE RLS POLICY x USING (nothing = 1)", QueryError, "there is no column 'nothing'"),
        ("CREATE RLS POLICY x WITH (a INT) USING (a + 1)", QueryError, "BOOLEAN"),
        ("ATTACH RLS POLICY mien ON sales TO bob", NotFound, "did you mean 'mine'?"),
        (
            "ATTACH RLS POLICY mine ON hidden TO bob",
            Invalid,
            "policy 'mine' needs seller, which 'hidden' does not have",
        ),
        ("ATTACH RLS POLICY mine ON sales TO bob", AlreadyExists, "is attached to 'sales' for bob already"),
        ("DETACH RLS POLICY mine ON sales FROM eve", NotFound, "is not attached to 'sales' for eve"),
        ("DROP RLS POLICY mine", Invalid, "is attached to sales: DETACH it first"),
        ("DROP RLS POLICY x", NotFound, "there is no policy 'x'"),
    ],
)
def test_rules_that_make_no_sense_are_refused(wh, text, kind, says):
    refused(wh, text, kind, says)
    with pytest.raises(Invalid, match="'admin' is the name of the owner"):
        wh.session(user="admin")


def test_rights_are_stored_and_come_back_with_a_snapshot(tmp_path):
    with Warehouse(tmp_path / "a") as wh:
        wh.sql("CREATE TABLE t AS SELECT 1 AS a, 'bob' AS who UNION ALL SELECT 2, 'eve'; GRANT SELECT (a) ON t TO bob")
        wh.sql(
            "CREATE RLS POLICY mine WITH (who VARCHAR(3)) USING (who = current_user); ATTACH RLS POLICY mine ON t TO bob"
        )
        wh.sql("ALTER TABLE t ROW LEVEL SECURITY ON")
        wh.snapshot("s")
        wh.sql("REVOKE SELECT ON t FROM bob")
    for place in ("a", "b"):
        if place == "b":
            Warehouse.restore(tmp_path / "a", "s", tmp_path / "b").close()
        with Warehouse(tmp_path / place) as wh, wh.session(user="bob") as bob:
            if place == "a":
                refused(bob, "SELECT * FROM t", Denied, "bob may not read 't'")
            else:
                assert ask(bob, "SELECT * FROM t") == [(1,)]


def test_a_user_neither_reads_nor_writes_files(wh, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("1\n")
    with wh.session(user="bob") as bob:
        bob.sql("CREATE TEMP TABLE mine (a INT)")
        refused(bob, f"COPY mine FROM '{file}' CSV", Denied, "bob may not COPY")
        refused(bob, f"UNLOAD ('SELECT 1 AS a') TO '{tmp_path}/out/'", Denied, "bob may not UNLOAD")
        assert ask(bob, "SELECT * FROM mine") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]
