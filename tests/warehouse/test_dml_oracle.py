"""Random changes, with DuckDB as the judge: the same statements there, then the same rows.

the warehouse alone also vacuums, changes keys, fails and is opened again: none of it may change a row
a second session, and a second connection of DuckDB, watch: they see what was committed, at every step
"""

# ruff: noqa: E501 - a statement stands on a line

import random

import pytest
from models.changes import Changes, Shape
from warehouse.asking import ask, rows_of

from engines.errors import EngineError
from engines.warehouse.warehouse import Warehouse

duckdb = pytest.importorskip("duckdb", reason="DuckDB is the judge")
pa = pytest.importorskip("pyarrow", reason="rows come by Arrow")

COLUMNS = {"k": "int", "n": "int", "s": "text", "d": "date", "x": "decimal", "f": "bool"}
ATTRIBUTES = (
    "", "DISTSTYLE EVEN", "DISTSTYLE ALL", "DISTKEY(k)", "DISTKEY(k) SORTKEY(k)", "SORTKEY(n, k)", "DISTKEY(s) SORTKEY(s)",
    "INTERLEAVED SORTKEY(k, n)", "DISTSTYLE EVEN SORTKEY(d)",
)  # fmt: skip
LAYOUTS = (
    "VACUUM", "VACUUM SORT ONLY {}", "VACUUM DELETE ONLY {}", "VACUUM REINDEX {}", "ANALYZE {}", "ALTER TABLE {} ALTER DISTSTYLE EVEN",
    "ALTER TABLE {} ALTER DISTKEY k", "ALTER TABLE {} ALTER SORTKEY (k)", "ALTER TABLE {} ALTER SORTKEY NONE",
    "ALTER TABLE {} ALTER DISTSTYLE ALL", "ALTER TABLE {} ALTER COLUMN s ENCODE zstd", "ALTER TABLE {} ALTER COLUMN k ENCODE delta",
)  # fmt: skip
WRONG = (
    "INSERT INTO {} (k, s) VALUES (1, 'ok'), (2, 'more than twenty letters')", "UPDATE {} SET n = 1 / (n - n)",
    "INSERT INTO {} (k) SELECT 9999999999", "DELETE FROM {} WHERE nothing = 1", "UPDATE {} SET s = repeat('x', 21)",
)  # fmt: skip


class Pair:
    """A warehouse and DuckDB, side by side."""

    def __init__(self, seed, path, *, tables, keys, slices):
        self.seed = seed
        self.path = path
        self.rng = random.Random(seed)
        shapes = [Shape(name, dict(COLUMNS)) for name in tables]
        self.changes = Changes(self.rng, shapes, keys)
        self.slices = slices
        self.duck = duckdb.connect()
        self.log = []
        self.begun = False
        self.open()
        for name in tables:
            text = self.changes.create(name)
            self.log.append(f"{text} {self.rng.choice(ATTRIBUTES)}")
            self.warehouse.sql(self.log[-1])
            self.duck.execute(text)

    def open(self):
        self.warehouse = Warehouse(self.path, slices=self.slices)
        self.watcher = self.warehouse.session()

    def load(self, name, rows):
        """Rows by append(), or by DuckDB's own reading of Arrow."""
        rng, keys = self.rng, self.changes.keys
        columns = {
            "k": pa.array([rng.randrange(-keys, keys) for _ in range(rows)], pa.int32()),
            "n": pa.array([None if rng.random() < 0.1 else rng.randrange(1000) for _ in range(rows)], pa.int32()),
            "s": pa.array([rng.choice(("a", "bb", None, "ccc", "zz")) for _ in range(rows)]),
        }
        loaded = pa.table(columns)
        self.log.append(f"{rows} rows into {name}")
        assert self.warehouse.append(name, loaded) == rows
        self.duck.register("loaded", loaded)
        self.duck.execute(f"INSERT INTO {name} (k, n, s) SELECT k, n, s FROM loaded")
        self.duck.unregister("loaded")

    def both(self, text):
        self.log.append(text)
        count = self.duck.execute(text).fetchone()
        answer = self.warehouse.sql(text)
        if not text.startswith(("ALTER", "TRUNCATE")):
            assert answer.columns["rows"][0] == count[0], self.told()

    def alone(self, text):
        self.log.append(f"-- the warehouse alone: {text}")
        self.warehouse.sql(text)

    def fails(self, text):
        self.log.append(f"-- the warehouse alone, in vain: {text}")
        try:
            self.warehouse.sql(text)
        except EngineError:
            return
        assert text.startswith("UPDATE"), self.told()  # of no rows, or of NULLs alone
        raise AssertionError(self.told())

    def told(self):
        return f"seed {self.seed}:\n" + ";\n".join(self.log)

    def same(self, text, ours=None, theirs=None):
        """Both give the same rows."""
        found = ask(ours or self.warehouse, text)
        expected = (theirs or self.duck).execute(text).fetchall()
        assert found == expected, f"{text}\n{self.told()}"

    def same_table(self, name, *, whole):
        shape = self.changes.shapes[name]
        if whole:
            every = ", ".join(f"{number} NULLS LAST" for number in range(1, len(shape.columns) + 1))
            self.same(f"SELECT * FROM {name} ORDER BY {every}")
            return
        sums = ", ".join(
            f"sum({one})" if kind in {"int", "decimal"} else f"count({one}), min({one}), max({one})"
            for one, kind in shape.columns.items()
            if kind != "bool"
        )
        self.same(f"SELECT k % 61 AS g, count(*), {sums} FROM {name} GROUP BY 1 ORDER BY 1 NULLS LAST")

    def step(self, *, whole):
        """One change of one table, and a look at it."""
        rng, changes = self.rng, self.changes
        name = rng.choice(list(changes.shapes))
        shape = changes.shapes[name]
        kind = rng.random()
        added = any(one.startswith("added") for one in shape.columns)
        if kind < 0.08 and not self.begun:
            self.log.append("BEGIN")
            self.duck.execute("BEGIN")
            self.warehouse.sql("BEGIN")
            self.begun = True
        elif kind < 0.25 and self.begun:
            self.end(rng.choice(["COMMIT", "ROLLBACK"]))
        elif kind < 0.15 and not self.begun:
            self.alone(rng.choice(LAYOUTS).format(name))
        elif kind < 0.2 and not self.begun:
            choices = (
                [changes.add_column] if not added else [changes.add_column, changes.drop_column, changes.rename_column]
            )
            self.both(rng.choice(choices)(shape))
        elif kind < 0.23 and not self.begun and self.path is not None:
            self.log.append("-- opened again")
            self.warehouse.close()
            self.open()
        elif kind < 0.3:
            self.fails_somehow(name)
        elif kind < 0.32:
            self.both(f"TRUNCATE {name}")
            self.load(name, rng.randrange(1, 300))
        else:
            self.both(changes.statement(name))
        self.same_table(name, whole=whole)
        self.same(f"SELECT count(*), sum(k), count(s) FROM {name} WHERE {changes.condition(shape)}")
        if self.begun:
            self.same(f"SELECT count(*), sum(n) FROM {name}", self.watcher, self.duck.cursor())

    def fails_somehow(self, name):
        text = self.rng.choice(WRONG).format(name)
        if "n - n" in text and not ask(self.warehouse, f"SELECT 1 FROM {name} WHERE n IS NOT NULL LIMIT 1"):
            return
        if "repeat" in text and not ask(self.warehouse, f"SELECT 1 FROM {name} LIMIT 1"):
            return
        self.fails(text)

    def end(self, how):
        self.log.append(how)
        self.duck.execute(how)
        self.warehouse.sql(how)
        self.begun = False

    def run(self, steps, *, whole):
        try:
            for _ in range(steps):
                self.step(whole=whole)
            if self.begun:
                self.end("COMMIT")
            for name in self.changes.shapes:
                self.same_table(name, whole=True)
            report = self.warehouse.verify()
            assert report.ok, f"{report}\n{self.told()}"
            self.warehouse.close()
            self.open()
            for name in self.changes.shapes:
                self.same_table(name, whole=True)
        except EngineError as error:
            raise AssertionError(self.told()) from error
        finally:
            self.warehouse.close()
            self.duck.close()


@pytest.mark.parametrize("seed", range(1001, 1008))
def test_small_tables_go_the_way_of_duckdb(seed, tmp_path):
    pair = Pair(seed, tmp_path, tables=("t", "u", "w"), keys=20, slices=1 + seed % 4)
    for name in ("t", "u", "w"):
        pair.load(name, 40)
    pair.run(50, whole=True)


@pytest.mark.parametrize("seed", range(100, 103))
def test_tables_of_many_row_groups_go_the_way_of_duckdb(seed, tmp_path):
    pair = Pair(seed, tmp_path, tables=("t", "u"), keys=200_000, slices=1 + seed % 3)
    pair.load("t", 150_000)
    pair.load("u", 9_000)
    pair.run(16, whole=False)


def test_the_judge_would_notice(tmp_path):
    pair = Pair(0, tmp_path, tables=("t",), keys=20, slices=2)
    pair.load("t", 10)
    pair.alone("DELETE FROM t WHERE k = (SELECT min(k) FROM t)")
    with pytest.raises(AssertionError, match="seed 0"):
        pair.same_table("t", whole=True)
    with pytest.raises(AssertionError, match="seed 0"):
        pair.same_table("t", whole=False)
    assert rows_of(pair.watcher.sql("SELECT count(*) FROM t")) != [(10,)]
    pair.warehouse.close()
