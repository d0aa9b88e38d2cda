"""Random queries over random tables give what DuckDB gives: in batches of any size, on one slice or two, rules or none.

A few hundred run always. `ENGINES_QUERIES=100000 pytest tests/sql/test_differential.py` runs that many; ENGINES_SEED
is where the seeds begin. A failure names its seed and number and shows both texts, made smaller as long as they fail.
"""

import os
import random
from dataclasses import replace

import pytest

from engines.sql import run
from engines.sql.dialect import REDSHIFT
from engines.sql.engine import SQL, MemoryCatalog
from engines.sql.expressions import fold
from engines.sql.lower import lower
from engines.sql.rewrite import RULES, rewrite
from engines.sql.sources import ArrowSource
from tests.sql import agreement
from tests.sql.generated import Queries
from tests.sql.generatednodes import OURS, THEIRS, shrunken
from tests.sql.generatedtables import tables

duckdb = pytest.importorskip("duckdb")

QUERIES = int(os.environ.get("ENGINES_QUERIES", "600"))
FIRST = int(os.environ.get("ENGINES_SEED", "1"))
EACH = 60  # queries over the same tables
LARGE = 7  # every seventh seed has a table of many batches


class Varied(SQL):
    """An engine with some of the rewrite rules."""

    rules = RULES

    def program(self, query):
        functions = self.dialect.functions
        better = rewrite(query, self.source, rules=self.rules, folding=lambda one: fold(one, functions))
        return lower(better, functions)


class World:
    """What one seed makes: tables, an engine of ours in some variant, DuckDB, queries."""

    def __init__(self, seed):
        self.seed = seed
        rng = random.Random(seed)
        self.large = seed % LARGE == 0
        self.tables = tables(rng, large=self.large)
        rows = rng.choice([3, 64, 65_536]) if not self.large else rng.choice([4000, 65_536])
        vector = rng.choice([3, 64, 65_536]) if not self.large else rng.choice([1000, 65_536])
        self.variant = f"partitions of {rows} rows, vectors of {vector}, {rng.choice(['all', 'no', 'some'])} rules"
        catalog = MemoryCatalog({table.name: ArrowSource(table.name, table.arrow, rows=rows) for table in self.tables})
        self.engine = Varied(catalog, threads=rng.choice([1, 2]), vector=vector)
        if "no rules" in self.variant and not self.large:
            self.engine.rules = ()
        elif "some rules" in self.variant:
            self.engine.rules = [rule for rule in RULES if rng.random() < 0.7 or self.large]
        self.peer = duckdb.connect()
        self.peer.execute("SET threads = 1; SET order_by_non_integer_literal = true")
        # With this rule DuckDB 2.0.1 contradicts its own other plans, over outer joins whose condition is never true:
        # LIMIT 11 gives 25 rows, HAVING SUM(x) < 5 gives a sum of 34, EXISTS (...) is false where there are rows
        self.peer.execute("SET disabled_optimizers = 'statistics_propagation'")
        for table in self.tables:
            self.peer.register("given", table.arrow)
            kinds = ", ".join(f"CAST({name} AS {kind.sql}) AS {name}" for name, kind in table.columns)
            self.peer.execute(f"CREATE TABLE {table.name} AS SELECT {kinds} FROM given")
            self.peer.unregister("given")
        self.queries = Queries(rng, self.tables)
        self.rng = rng

    def close(self):
        self.engine.runner.close()
        self.peer.close()

    def draw(self):
        return self.queries.failing() if self.rng.random() < 0.06 else self.queries.statement()

    def check(self, query):
        return agreement.check(self.engine, self.peer, query)

    def told(self, number, query, problem):
        """The disagreement with all that is needed to see it again."""

        def fails(candidate):
            candidate = replace(candidate, outputs=query.outputs, sorted=query.sorted)
            try:
                self.check(candidate)
            except agreement.Disagreement as found:
                return str(found)[:18] == str(problem)[:18] and "theirs fails" not in str(found)
            except Exception as error:  # noqa: BLE001 - an engine that breaks is a failure, too
                return type(error) is type(problem)
            return False

        small = shrunken(query, fails, most=15 if self.large else 400)
        schema = "\n".join(
            f"{table.name} ({', '.join(f'{name} {kind.sql}' for name, kind in table.columns)}) {table.rows} rows"
            for table in self.tables
        )
        return (
            f"seed {self.seed}, query {number}; {self.variant}, {self.engine.runner.threads} threads\n{problem}\n"
            f"ours, smaller:   {small.text(OURS)}\ntheirs, smaller: {small.text(THEIRS)}\n"
            f"ours:   {query.text(OURS)}\ntheirs: {query.text(THEIRS)}\n{schema}"
        )


def differences(seed, count=EACH):
    """What the queries of one seed have wrong."""
    world = World(seed)
    try:
        for number in range(count):
            query = world.draw()
            try:
                world.check(query)
            except Exception as problem:  # noqa: BLE001 - whatever it is, it is told with its query
                yield world.told(number, query, problem)
    finally:
        world.close()


@pytest.mark.parametrize("seed", range(FIRST, FIRST + max(QUERIES // EACH, 1)))
def test_random_queries_give_what_duckdb_gives(seed, monkeypatch):
    monkeypatch.setattr(run, "ALONE", 0)
    assert next(differences(seed), None) is None


def test_the_dialect_of_the_generator_is_ours():
    assert REDSHIFT.rules["nulls"] == "large"
