"""Warehouses: columns on disk, SQL over them. Ours, DuckDB in a file of its own, Polars in memory.

    open(folder, threads)   load(files): tables from Parquet, on disk when it returns   query(sql) -> rows
    insert(row): one statement, on disk   size(): bytes on disk   close()

Rows come back as lists of Python tuples: no lazy result escapes the clock.
"""

import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

import tpch

with suppress(ImportError):
    import duckdb
with suppress(ImportError):
    import polars as pl


def size_of(path):
    """Bytes of a file, or of all files below a folder."""
    path = Path(path)
    return (
        path.stat().st_size
        if path.is_file()
        else sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    )


class Ours:
    def open(self, folder, threads=1):
        from engines.warehouse import Warehouse  # noqa: PLC0415 - an engine that is not built must not end its peers' benches

        self.folder = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.warehouse = Warehouse(folder, nodes=1, slices=threads)

    def load(self, files):
        for name, file in files.items():
            self.warehouse.sql(tpch.redshift(name))
            self.warehouse.sql(f"COPY {name} FROM '{file}' FORMAT AS PARQUET")

    def query(self, sql):
        return list(map(tuple, self.warehouse.sql(sql).rows()))

    def execute(self, sql):
        self.warehouse.sql(sql)

    def size(self):
        return size_of(self.folder)

    def close(self):
        self.warehouse.close()


class DuckDB:
    def open(self, folder, threads=1):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "tpch.duckdb"
        self.connection = duckdb.connect(str(self.file))
        self.connection.execute(f"SET threads = {threads}")

    def load(self, files):
        for name, file in files.items():
            self.connection.execute(tpch.standard(name))
            self.connection.execute(f"INSERT INTO {name} SELECT * FROM '{file}'")  # noqa: S608 - our own names
        self.connection.execute("CHECKPOINT")

    def query(self, sql):
        return self.connection.execute(sql).fetchall()

    def execute(self, sql):
        self.connection.execute(sql)

    def size(self):
        return size_of(self.file)

    def close(self):
        self.connection.close()


class Polars:
    """Lazy frames over tables in memory; the two queries that scan, as its own expressions."""

    def open(self, folder, threads=1):
        del folder, threads

    def load(self, files):
        """Decimals become floats: Polars multiplies those faster, and its decimals lose places."""
        decimals = pl.selectors.decimal()
        frame = pl.read_parquet(files["lineitem"])
        self.lineitem = frame.with_columns(decimals.cast(pl.Float64)).rechunk()

    def query(self, number):
        return tpch.POLARS[number](pl, self.lineitem.lazy()).collect().rows()

    def close(self):
        del self.lineitem


class Sqlite:
    """What a beginner would use for everything."""

    def open(self, folder, threads=1):
        del threads
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "tpch.sqlite"
        self.connection = sqlite3.connect(self.file)

    def load(self, files):
        import pyarrow.parquet  # noqa: PLC0415 - only here

        for name, file in files.items():
            table = pyarrow.parquet.read_table(file)
            self.connection.execute(f"CREATE TABLE {name} ({', '.join(table.column_names)})")
            marks = ", ".join("?" * table.num_columns)
            plain = [
                [float(value) if kind == "decimal" else str(value) if kind == "date" else value for value in column]
                for kind, column in ((_kind(field.type), table[field.name].to_pylist()) for field in table.schema)
            ]
            self.connection.executemany(f"INSERT INTO {name} VALUES ({marks})", zip(*plain, strict=True))  # noqa: S608 - our own names
        self.connection.commit()

    def query(self, sql):
        return self.connection.execute(sql).fetchall()

    def close(self):
        self.connection.close()


def _kind(arrow):
    return "decimal" if "decimal" in str(arrow) else "date" if "date" in str(arrow) else ""


WAREHOUSES = {"engines": Ours, "duckdb": DuckDB}
SCANNERS = {"engines": Ours, "duckdb": DuckDB, "polars": Polars, "sqlite": Sqlite}


def removed(folder):
    shutil.rmtree(folder, ignore_errors=True)
