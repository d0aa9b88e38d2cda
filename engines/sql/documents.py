"""Documents as a table: items of a key-value store, documents of a ledger, anything that gives dictionaries.

A table has columns with types and documents have fields with values, so somebody has to say which: the caller with
`columns`, or the first 1,000 documents:

    all of a field's values are    bool     int       int, Decimal      float    str, bytes, date, datetime    else
    the column is                  BOOLEAN  BIGINT    DECIMAL(38, s)    DOUBLE   VARCHAR ... TIMESTAMPTZ       JSON text

A field that is absent is NULL. A document further on whose value does not fit is an error that names the field and says
how to go on: a column of guesses would be worse.
"""

import datetime as dt
import decimal
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from engines.errors import Invalid
from engines.sql import types
from engines.sql.column import VECTOR, Batch, Column, Maker
from engines.sql.source import Field, Partition, Placement, Predicate, Scanned, Schema, Statistics, Support
from engines.sql.types import Type
from engines.sql.values import column_of

SAMPLE: Final = 1000  # documents that decide on the columns
Document = Mapping[str, Any]
SIMPLE: Final[dict[type, Type]] = {
    bool: types.BOOLEAN,
    float: types.DOUBLE,
    str: types.VARCHAR,
    bytes: types.VARBYTE,
    dt.date: types.DATE,
    dt.datetime: types.TIMESTAMPTZ,
    dt.time: types.TIME,
}


class DocumentsSource:
    """A TableSource over documents.

    documents() gives all of them, of one consistent state, each time it is called. lookup(predicates) may give fewer:
    those that an index finds, or None if it finds nothing better than reading all. columns: name -> Type, where the
    first documents should not decide.
    """

    placement: Placement | None = None

    def __init__(
        self,
        name: str,
        documents: Callable[[], Iterable[Document]],
        *,
        lookup: Callable[[Sequence[Predicate]], Iterable[Document] | None] | None = None,
        columns: Mapping[str, Type] | None = None,
        version: Callable[[], Hashable] | None = None,
    ) -> None:
        self.name = name
        self._documents = documents
        self._lookup = lookup
        self._version = version or itertools.count().__next__
        if columns is None:
            columns = inferred(itertools.islice(documents(), SAMPLE))
        self._schema = tuple(Field(column, kind) for column, kind in columns.items())
        if not self._schema:
            raise Invalid(f"{name} holds no documents yet, so its columns are unknown: pass columns={{name: type}}")

    def schema(self) -> Schema:
        return self._schema

    def version(self) -> Hashable:
        return self._version()

    def statistics(self) -> Statistics:
        return Statistics()

    def support(self, predicate: Predicate) -> Support:
        return Support.PRUNE if self._lookup is not None and predicate.op == "=" else Support.NONE

    def partitions(self, predicates: Sequence[Predicate], scanned: Scanned) -> Sequence[Partition]:
        scanned.blocks_total += 1
        found = self._lookup(predicates) if self._lookup is not None else None
        documents = iter(self._documents() if found is None else found)
        partitions: list[Partition] = []
        while some := list(itertools.islice(documents, VECTOR)):
            partitions.append(Partition(str(len(partitions)), len(some), origin=some))
        return partitions

    def scan(
        self, partition: Partition, columns: Sequence[str], predicates: Sequence[Predicate], scanned: Scanned
    ) -> Iterator[Batch]:
        del predicates
        scanned.rows_scanned += partition.rows
        scanned.blocks_decoded += 1
        kinds = {field.name: field.type for field in self._schema}
        made: dict[str, Column | Maker] = {name: self._column(name, kinds[name], partition.origin) for name in columns}
        yield Batch(made, partition.rows)

    def _column(self, name: str, kind: Type, documents: Sequence[Document]) -> Column:
        values = [document.get(name) for document in documents]
        if kind.text:
            values = [value if value is None or isinstance(value, str) else as_json(value) for value in values]
        try:
            return column_of(values, kind)
        except Invalid as error:
            raise Invalid(
                f"{name!r} of {self.name} is {kind} by its first documents, and {error}: pass columns= with the type "
                "that holds them all, VARCHAR for text of any value"
            ) from error


def inferred(documents: Iterable[Document]) -> dict[str, Type]:
    """The columns of some documents, in the order in which their fields are met."""
    seen: dict[str, set[type]] = {}
    scales: dict[str, int] = {}
    for document in documents:
        for name, value in document.items():
            kinds = seen.setdefault(name, set())
            if value is not None:
                kinds.add(type(value))
            if isinstance(value, decimal.Decimal) and value.is_finite():
                scales[name] = max(scales.get(name, 0), -int(value.as_tuple().exponent))
    return {name: _type_of(kinds, scales.get(name, 0)) for name, kinds in seen.items()}


def _type_of(kinds: set[type], scale: int) -> Type:
    if kinds == {int}:
        return types.BIGINT
    if kinds and kinds <= {int, decimal.Decimal} and scale <= types.MOST_DIGITS // 2:
        return types.decimal(types.MOST_DIGITS, scale)
    if kinds == {int, float}:
        return types.DOUBLE
    return SIMPLE.get(next(iter(kinds)), types.VARCHAR) if len(kinds) == 1 else types.VARCHAR


def as_json(value: Any) -> str:  # noqa: ANN401 - any value of a document
    """Any value as JSON text; what JSON does not know (sets, bytes, exact numbers) as a list or text."""
    return _ENCODER.encode(_ordered(value)).decode()


def _ordered(value: Any) -> Any:  # noqa: ANN401 - see above
    """Sets as sorted lists, at any depth: the order in which a set comes differs from process to process."""
    if isinstance(value, dict):
        return {key: _ordered(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_ordered(inner) for inner in value]
    return sorted(value) if isinstance(value, set | frozenset) else value


_ENCODER: Final = msgspec.json.Encoder(enc_hook=str, decimal_format="number")
