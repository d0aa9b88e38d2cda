"""What a statement says, as data: one record a kind. Expressions and queries in it are text (see reader.blanked)."""

from dataclasses import dataclass, field
from typing import Any, Literal

from engines.sql.types import Type


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """A column as CREATE TABLE or ALTER TABLE states it."""

    name: str
    type: Type
    nullable: bool = True
    default: str | None = None  # an expression
    identity: tuple[int, int] | None = None  # seed, step
    encode: str | None = None
    position: int = 0


@dataclass(frozen=True, slots=True)
class CreateTable:
    """query: CREATE TABLE ... AS; like: another table's columns. style: even, key, all, auto."""

    name: str
    columns: tuple[ColumnDefinition, ...] = ()
    style: str = "auto"
    distkey: str | None = None
    sortkey: tuple[str, ...] = ()
    interleaved: bool = False
    if_not_exists: bool = False
    temporary: bool = False
    like: str | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """DROP of some names of one kind."""

    kind: Literal["table", "view", "schema", "policy"]
    names: tuple[str, ...]
    if_exists: bool
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class Alter:
    """action: add, drop, rename column, rename, distkey, sortkey, append, encode, type, owner, row level security."""

    name: str
    action: str
    column: ColumnDefinition | None = None
    old: str = ""
    new: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Truncate:
    """TRUNCATE: all rows go, the table stays."""

    name: str


@dataclass(frozen=True, slots=True)
class Vacuum:
    """VACUUM: rows in order, deleted ones gone."""

    mode: Literal["full", "sort only", "delete only", "reindex"] = "full"
    name: str | None = None  # None: every table


@dataclass(frozen=True, slots=True)
class Analyze:
    """ANALYZE: statistics anew; with compression the sizes that each encoding would give."""

    name: str | None = None
    compression: bool = False


@dataclass(frozen=True, slots=True)
class Copy:
    """options: by Redshift's names, lower-case, values as their kind asks for."""

    name: str
    source: str
    columns: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unload:
    """UNLOAD of a query into files."""

    query: str
    to: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CreateView:
    """CREATE VIEW; materialized ones hold their rows."""

    name: str
    query: str
    columns: tuple[str, ...] = ()
    replace: bool = False
    materialized: bool = False


@dataclass(frozen=True, slots=True)
class Refresh:
    """REFRESH MATERIALIZED VIEW."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateExternalTable:
    """Files somewhere, as a table; nothing is loaded."""

    name: str
    location: str
    columns: tuple[ColumnDefinition, ...]
    partitions: tuple[ColumnDefinition, ...] = ()
    format: str | None = None
    properties: dict[str, str] = field(default_factory=dict)
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class AlterPartitions:
    """Partitions of an external table come (add) or go. partitions: values by column, and a location, or None."""

    name: str
    add: bool
    partitions: tuple[tuple[dict[str, str | None], str | None], ...]
    if_not_exists: bool = False  # IF EXISTS where they go


@dataclass(frozen=True, slots=True)
class CreateSchema:
    """CREATE SCHEMA: the part of a name before the dot."""

    name: str
    if_not_exists: bool


@dataclass(frozen=True, slots=True)
class Control:
    """BEGIN, COMMIT, ROLLBACK."""

    action: Literal["begin", "commit", "rollback"]


@dataclass(frozen=True, slots=True)
class Setting:
    """SET and RESET of a parameter: of one that changes nothing here."""

    name: str


@dataclass(frozen=True, slots=True)
class Grant:
    """SELECT on some columns, or all, for a user. give False: REVOKE."""

    give: bool
    name: str
    user: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CreatePolicy:
    """Row-level security: rows of a table with these columns are seen where `using` is true."""

    name: str
    columns: tuple[ColumnDefinition, ...]
    using: str


@dataclass(frozen=True, slots=True)
class AttachPolicy:
    """attach False: DETACH."""

    attach: bool
    policy: str
    table: str
    user: str


@dataclass(frozen=True, slots=True)
class Show:
    """SHOW TABLES, COLUMNS, SCHEMAS, or the statement that would create a table."""

    what: Literal["tables", "columns", "schemas", "table"]
    name: str = ""


Record = (
    CreateTable | Drop | Alter | Truncate | Vacuum | Analyze | Copy | Unload | CreateView | Refresh
    | CreateExternalTable | AlterPartitions | CreateSchema | Control | Setting | Grant | CreatePolicy
    | AttachPolicy | Show
)  # fmt: skip
