"""Rows that COPY could not load, as stl_load_errors lists them, and how many are too many.

A row is rejected for the first of its fields that does not fit. COPY goes on until more rows than MAXERROR are
rejected; then it fails, and the table is as it was. The list stays with whoever passed it in either case.
"""

from dataclasses import dataclass
from typing import Final

from engines.errors import Invalid

SHOWN: Final = 1024  # characters that are kept of a line or a value, as in the service

DELIMITER_MISSING: Final = 1201
TOO_MANY: Final = 1202
TOO_FEW: Final = 1203
OUT_OF_RANGE: Final = 1204
BAD_DATE: Final = 1205
BAD_TIMESTAMP: Final = 1206
BAD_DIGIT: Final = 1207
BAD_FLOAT: Final = 1208
BAD_DECIMAL: Final = 1209
BAD_BOOLEAN: Final = 1210
NO_DATA: Final = 1211
NOT_NULL: Final = 1213
BAD_LINE: Final = 1216
BAD_BYTES: Final = 1220
INTEGER_OVERFLOW: Final = 1222
BAD_TYPE: Final = 1223
BAD_JSON: Final = 1224


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a field does not fit: the service's code and a sentence."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class LoadError:
    """One rejected row: where it stands, which field of it was wrong, and why.

    line: from 1, counted in lines of the file; of Parquet and ORC the row. column, type: "" where the whole line is
    wrong. raw_line, raw_value: their first 1,024 characters. code: as in the service's list of load errors.
    """

    file: str
    line: int
    column: str
    type: str
    raw_line: str
    raw_value: str
    code: int
    reason: str

    @property
    def headed(self) -> bool:
        """Whether the field holds the name of its column, as in a line of headers."""
        return self.line == 1 and self.raw_value.strip().lower() == self.column.lower() != ""

    def __str__(self) -> str:
        where = f", column {self.column!r}" if self.column else ""
        return f"{self.file!r}, line {self.line:,}{where}: {self.reason} (code {self.code})"


class Rejected:
    """Collects LoadErrors. limit: MAXERROR; None = any number."""

    def __init__(self, table: str, limit: int | None, errors: list[LoadError]) -> None:
        self.table = table
        self.limit = limit
        self.errors = errors
        self.count = 0

    def add(self, error: LoadError) -> None:
        """Invalid, code "load-failed", if that is one too many."""
        self.errors.append(error)
        self.count += 1
        if self.limit is not None and self.count > self.limit:
            many = "" if self.count == 1 else f"; {self.count:,} rows were rejected, MAXERROR is {self.limit:,}"
            if self.errors[-self.count].headed:
                many += "; the first line seems to name the columns: IGNOREHEADER 1 leaves it out"
            raise Invalid(
                f"COPY into {self.table!r} loaded nothing: {error}{many}",
                code="load-failed",
                file=error.file,
                line=error.line,
                column=error.column,
                error=error,
                rejected=self.count,
            )


def shown(text: str) -> str:
    """What is kept of a line or a value; bytes that are no UTF-8 as question marks."""
    return text[:SHOWN].rstrip("\r\n").encode(errors="replace").decode()
