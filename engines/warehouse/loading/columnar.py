"""Parquet and ORC: columns as they are, cast where their types differ and all values fit.

Columns are found by their names, without regard to case; a file in which no name fits is taken by position if it has as
many columns as are wanted (the service always goes by position). A column that the file lacks is an error, or NULL with
FILLRECORD. What does not fit stops COPY with file, row and column: MAXERROR is for text, as in the service.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from engines.errors import Invalid, listed, nearest
from engines.sql.arrow import type_of_arrow
from engines.sql.column import VECTOR, Batch, Column, Maker, nulls
from engines.sql.datasets import converted, fits
from engines.sql.fileformats import Group, Reader, reader_of, unreadable
from engines.sql.source import Field
from engines.warehouse.loading.rejected import (
    BAD_TYPE,
    NOT_NULL,
    OUT_OF_RANGE,
    SHOWN,
    TOO_FEW,
    LoadError,
    Rejected,
)

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(slots=True)
class Columnar:
    """One file. row: the number of the next one; advance: told the bytes of each row group that was read."""

    path: str
    targets: Sequence[Field]
    rejects: Rejected
    fill: bool = False
    row: int = 1

    def batches(self, format: str, size: int, advance: Callable[[int], None]) -> Iterator[Batch]:
        """All rows."""
        reader = reader_of(format, None, {})
        try:
            physical = list(reader.schema(self.path).names)
            groups = reader.groups(self.path, size)
        except Exception as error:  # pyarrow has many kinds
            raise unreadable(self.path, reader, error) from error
        found = self._matched(physical)
        wanted = list(dict.fromkeys(name for name in found.values() if name is not None)) or physical[:1]
        for group in groups:
            for record in self._records(reader, group, wanted):
                for start in range(0, record.num_rows, VECTOR):
                    piece = record.slice(start, VECTOR)
                    yield Batch(self._columns(piece, found), piece.num_rows)
                    self.row += piece.num_rows
            advance(group.bytes)

    def _records(self, reader: Reader, group: Group, wanted: Sequence[str]) -> "Iterator[pa.RecordBatch]":
        try:
            yield from reader.batches(self.path, group, wanted)
        except Exception as error:  # pyarrow has many kinds
            raise unreadable(self.path, reader, error) from error

    def _matched(self, physical: Sequence[str]) -> dict[str, str | None]:
        """The file's name of each column; None for one that it lacks."""
        lower = {name.lower(): name for name in reversed(physical)}
        names = [target.name for target in self.targets]
        found = {name: name if name in physical else lower.get(name.lower()) for name in names}
        missing = [name for name, place in found.items() if place is None]
        if missing and len(missing) == len(names) == len(physical):
            return dict(zip(names, physical, strict=True))
        if missing and not self.fill:
            name = missing[0]
            reason = (
                f"the file has no column {name!r}{nearest(name, physical)}; it has {listed(physical)}: "
                "name the columns that it has behind the table's name, or say FILLRECORD"
            )
            self._fail(LoadError(self.path, 0, name, "", "", "", TOO_FEW, reason))
        return found

    def _columns(self, record: "pa.RecordBatch", found: dict[str, str | None]) -> dict[str, Column | Maker]:
        made: dict[str, Column | Maker] = {}
        for target in self.targets:
            name = found[target.name]
            if name is None:
                made[target.name] = nulls(target.type, record.num_rows)
                continue
            array = record.column(record.schema.names.index(name))
            try:
                made[target.name] = converted(array, target, self.path)
            except Invalid as error:
                self._refuse(array, target, str(error))
            if not target.nullable and array.null_count:
                row = self.row + array.is_null().index(value=True).as_py()
                reason = "missing data for a NOT NULL column"
                self._fail(LoadError(self.path, row, target.name, str(target.type), "", "", NOT_NULL, reason))
        return made

    def _refuse(self, array: "pa.Array", target: Field, reason: str) -> NoReturn:
        """Say which value it is: the first that cannot be converted alone."""
        start, stop = 0, len(array)
        while stop - start > 1:
            middle = (start + stop) // 2
            try:
                converted(array.slice(start, middle - start), target, self.path)
            except Invalid:
                stop = middle
            else:
                start = middle
        try:
            value = str(array[start].as_py())[:SHOWN] if len(array) else ""
        except (ValueError, OverflowError):  # a moment that Python does not have
            value = ""
        code = OUT_OF_RANGE if fits(type_of_arrow(array.type), target.type) else BAD_TYPE
        self._fail(LoadError(self.path, self.row + start, target.name, str(target.type), "", value, code, reason))

    def _fail(self, error: LoadError) -> NoReturn:
        """MAXERROR does not count here."""
        self.rejects.limit = 0
        self.rejects.add(error)
        raise AssertionError(error)  # add() has raised
