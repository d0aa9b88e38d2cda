"""A ledger's table as a table of SQL: its current documents, or its history, beside anything else in one SELECT."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engines.ledger.ledger import Ledger
    from engines.sql.documents import DocumentsSource
    from engines.sql.types import Type


def table_source(
    book: "Ledger", table: str, *, history: bool = False, columns: "Mapping[str, Type] | None" = None
) -> "DocumentsSource":
    """For warehouse.attach(): current documents, or with history one row a revision (id, version, time, data as JSON).

    columns: name -> Type, where the first documents should not decide. Redacted revisions are rows without data.
    """
    from engines.sql.documents import DocumentsSource  # noqa: PLC0415 - SQL is loaded by who asks for it

    if history:
        return DocumentsSource(f"history({table})", lambda: list(map(_revision, book.history(table))), columns=columns)
    quoted = table.replace('"', '""')
    text = f'SELECT * FROM "{quoted}"'  # noqa: S608 - quoted
    return DocumentsSource(table, lambda: list(book.execute(text)), columns=columns)


def _revision(row: dict[str, object]) -> dict[str, object]:
    """Metadata and data stand side by side in a revision; what metadata says becomes columns."""
    metadata = row.get("metadata")
    flat = dict(metadata) if isinstance(metadata, Mapping) else {}
    return flat | {name: value for name, value in row.items() if name != "metadata"}
