"""A storage with one table, for tests of COPY."""

import pytest

from engines.errors import Invalid
from engines.sql import types
from engines.sql.engine import SQL, MemoryCatalog
from engines.warehouse.catalog import ColumnDefinition
from engines.warehouse.load import load
from engines.warehouse.statements.grammar import read
from engines.warehouse.statements.reader import split
from engines.warehouse.storage import Storage

COLUMNS = {
    "id": types.INTEGER,
    "name": types.varchar(20),
    "price": types.decimal(8, 2),
    "day": types.DATE,
    "at": types.TIMESTAMP,
    "x": types.DOUBLE,
    "yes": types.BOOLEAN,
}


class House:
    """A storage with one table, and the rows in it."""

    def __init__(self, columns=COLUMNS, *, nullable=True, **options):
        self.storage = Storage(**options)
        self.nullable = nullable
        with self.storage.begin() as tx:
            tx.create_table("t", [self.defined(name, kind) for name, kind in columns.items()])

    def defined(self, name, kind):
        return kind if isinstance(kind, ColumnDefinition) else ColumnDefinition(name, kind, nullable=self.nullable)

    def copy(self, source, how="", *, columns="", **options):
        """Runs COPY; the errors that it leaves, if it fails, are in self.errors."""
        text = f"COPY t {columns} FROM '{source}' {how}"
        (tokens,) = split(text)
        self.errors = []
        with self.storage.begin() as tx:
            return load(tx, "t", read(text, tokens), errors=self.errors, progress=False, **options)

    def fails(self, source, how, match, kind=Invalid, **options):
        """COPY fails and has loaded nothing."""
        before = self.rows()
        commits = self.storage.stats()["commits"]
        with pytest.raises(kind, match=match) as caught:
            self.copy(source, how, **options)
        assert self.rows() == before
        assert self.storage.stats()["commits"] == commits
        return caught.value

    def rows(self, columns="*"):
        table = self.storage.table("t")
        found = SQL(MemoryCatalog({"t": table})).query(f"SELECT {columns} FROM t")
        return [tuple(row) for row in found.rows()]
