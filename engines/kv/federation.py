"""A key-value table as a table of SQL: `warehouse.attach("orders", orders)` joins items with anything else.

The partition key in WHERE is looked up; every other condition reads all items, as in the service (where federated
queries cost read capacity too). Each query sees the table as it is when it runs, page by page: not one moment of it.
"""

import decimal
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engines.sql.documents import Document, DocumentsSource
from engines.sql.source import Predicate
from engines.sql.types import Type

if TYPE_CHECKING:
    from engines.kv.table import Table


def table_source(table: "Table", columns: Mapping[str, Type] | None = None) -> DocumentsSource:
    """The table's items as rows; columns: name -> Type, where the first items should not decide."""
    source = DocumentsSource(
        table.name,
        lambda: table.scan().all(),
        lookup=lambda predicates: _looked_up(table, source, predicates),
        columns=columns,
    )
    return source


def _looked_up(table: "Table", source: DocumentsSource, predicates: Sequence[Predicate]) -> Iterable[Document] | None:
    name = table.key[0].partition(":")[0]
    kinds = {field.name: field.type for field in source.schema()}
    for predicate in predicates:
        if predicate.column == name and predicate.op == "=" and predicate.value is not None:
            value = _item_value(predicate.value, kinds[name])
            return table.query("#key = :key", names={"#key": name}, values={":key": value}).all()
    return None


def _item_value(value: Any, kind: Type) -> Any:  # noqa: ANN401 - an engine value in, an item's value out
    if kind.decimal:
        return decimal.Decimal(value).scaleb(-kind.scale)
    return value.decode() if kind.text else value
