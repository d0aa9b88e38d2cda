"""External tables: files that lie somewhere. What the catalogue keeps of them, and the source that reads them.

    CREATE EXTERNAL TABLE spectrum.sales (id INT, total DECIMAL(8,2)) PARTITIONED BY (year INT)
        STORED AS PARQUET LOCATION '/data/sales'                           ──> catalog.ExternalTable ──> DatasetSource

Folders like year=2024 are partitions as soon as they are there: nothing has to be added to the catalogue (the service
asks for ALTER TABLE ADD PARTITION). With ADD PARTITION any folder becomes one, whatever its name says; from then on the
table has those that were added and no others.

    STORED AS PARQUET, ORC     as they are
              TEXTFILE         fields without quotes, delimiter | or FIELDS TERMINATED BY
              CSV              quotes; delimiter , or FIELDS TERMINATED BY
              JSON             an object a line
    TABLE PROPERTIES           'skip.header.line.count', 'serialization.null.format', 'delimiter', 'quote', 'escape'

Whether files are there is found out when the table is read. With declared columns none at all is a table without rows.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from engines.errors import AlreadyExists, Invalid, NotFound, listed, nearest
from engines.sql.datasets import DatasetSource
from engines.sql.source import Field, Schema
from engines.sql.types import Type
from engines.warehouse.catalog import ExternalTable
from engines.warehouse.loading.options import one_character, unescaped
from engines.warehouse.loading.places import local
from engines.warehouse.statements.records import AlterPartitions, CreateExternalTable

FORMATS: Final = {
    "parquet": "parquet",
    "orc": "orc",
    "textfile": "text",
    "text": "text",
    "csv": "csv",
    "json": "json",
    "jsonfile": "json",
}
PROPERTIES: Final = {
    "skip.header.line.count": "header",
    "serialization.null.format": "null",
    "field.delim": "delimiter",
    "separatorchar": "delimiter",
    "quotechar": "quote",
    "escapechar": "escape",
    "delimiter": "delimiter",
    "quote": "quote",
    "escape": "escape",
    "header": "header",
    "null": "null",
}
IGNORED: Final = frozenset({"numrows", "compression_type", "write.parallel", "write.maxfilesize.mb", "classification"})


def define(record: CreateExternalTable) -> ExternalTable:
    """What CREATE EXTERNAL TABLE says, for the catalogue."""
    columns = [(one.name, one.type) for one in record.columns]
    partitions = [(one.name, one.type) for one in record.partitions]
    return external_table(
        record.location,
        format=record.format,
        columns=columns,
        partitions=partitions,
        options=record.properties,
        partitioning="hive" if partitions else "none",
    )


def external_table(
    location: str | os.PathLike[str],
    *,
    format: str | None = None,
    columns: Sequence[tuple[str, Type]] | None = None,
    partitions: Sequence[tuple[str, Type]] | None = None,
    partitioning: str | None = "hive",
    options: Mapping[str, Any] | None = None,
) -> ExternalTable:
    """Files as the catalogue knows them. format: None = by the suffix; columns, partitions: None = as the files say.

    partitioning: hive or none. options: of text, see the module's text. Invalid for what makes no sense.
    """
    path = local(os.fspath(location))
    if not path:
        raise Invalid("an external table lies somewhere: LOCATION is empty")
    partitioning = partitioning or "none"
    if partitioning not in ("hive", "none"):
        raise Invalid(f"partitioning is hive or none, got {partitioning!r}")
    form = "" if format is None else FORMATS.get(format.lower())
    if form is None:
        raise Invalid(f"files are stored as {listed(FORMATS)}, not as {format!r}{nearest(str(format), FORMATS)}")
    names = [name.lower() for name, _ in (*(columns or ()), *(partitions or ()))]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise AlreadyExists(f"a table has no two columns of one name, got {listed(twice)} more than once")
    return ExternalTable(
        path,
        form,
        partitioning,
        None if columns is None else tuple(columns),
        _options(options or {}),
        None if partitions is None else tuple(partitions),
    )


def _options(given: Mapping[str, Any]) -> dict[str, str]:
    """TABLE PROPERTIES as options of the reader."""
    found: dict[str, str] = {}
    for key, value in given.items():
        lower = key.lower()
        if lower in IGNORED:
            continue
        if lower not in PROPERTIES:
            raise Invalid(f"there is no table property {key!r}{nearest(lower, PROPERTIES)}")
        name, text = PROPERTIES[lower], str(value)
        if name == "header" and not text.isdecimal():
            raise Invalid(f"{key} is a number of lines, got {text!r}")
        if name in {"delimiter", "quote", "escape"} and text:
            text = one_character(text, key)
        found[name] = unescaped(text) if name == "null" else text
    return found


def source(name: str, table: ExternalTable) -> DatasetSource:
    """What reads an external table. NotFound without files, where they would have to say the columns."""
    columns = None if table.columns is None else _fields(table.columns)
    partitions = None if table.partitions is None else _fields(table.partitions)
    if table.partitioning == "none":
        partitions = ()
    form = table.format or None
    options: dict[str, Any] = dict(table.options)
    if form == "text":
        form, options = "csv", {"delimiter": "|", "quote": "", "null": "\\N", "header": 0, **options}
    elif form == "csv" and columns is not None:
        options = {"header": 0, **options}
    if "header" in options:
        options["header"] = int(options["header"])
    location: str | list[str] = table.location
    keys = None
    if table.partitioning == "listed":
        named = [field.name for field in partitions or ()]
        keys = {place: tuple(zip(named, values, strict=True)) for place, values in table.places}
        location = list(keys)
    return DatasetSource(
        name, location, format=form, columns=columns, partitions=partitions, options=options, keys=keys
    )


def _fields(columns: Sequence[tuple[str, Type]]) -> Schema:
    return tuple(Field(name, type) for name, type in columns)


# ---- partitions --------------------------------------------------------------------------------------------------


def add_partition(
    table: ExternalTable, values: Mapping[str, str | None], location: str | None, *, if_not_exists: bool = False
) -> ExternalTable:
    """ALTER TABLE ADD PARTITION: the files at a location have these values. location None: the folder of that name."""
    key = _key(table, values)
    if any(held == key for _, held in table.places):
        if if_not_exists:
            return table
        raise AlreadyExists(f"the table has this partition already: {_shown(values)}")
    names = [name for name, _ in table.partitions or ()]
    folder = "/".join(f"{name}={value}" for name, value in zip(names, key, strict=True))
    path = local(location) if location is not None else os.path.join(table.location, folder)
    return msgspec.structs.replace(table, partitioning="listed", places=(*table.places, (path, key)))


def drop_partition(table: ExternalTable, values: Mapping[str, str | None]) -> ExternalTable:
    """ALTER TABLE DROP PARTITION: its files stay where they are."""
    key = _key(table, values)
    left = tuple(place for place in table.places if place[1] != key)
    if len(left) == len(table.places):
        where = "; folders of hive come and go by themselves" if table.partitioning == "hive" else ""
        raise NotFound(f"the table has no partition {_shown(values)}{where}")
    return msgspec.structs.replace(table, places=left)


def altered(table: ExternalTable, record: AlterPartitions) -> ExternalTable:
    """The table after ALTER TABLE ... ADD or DROP PARTITION. AlreadyExists, NotFound, Invalid as these say."""
    for values, location in record.partitions:
        if record.add:
            table = add_partition(table, values, location, if_not_exists=record.if_not_exists)
        else:
            table = drop_partition(table, values)
    return table


def _key(table: ExternalTable, values: Mapping[str, str | None]) -> tuple[str | None, ...]:
    names = [name for name, _ in table.partitions or ()]
    if not names:
        raise Invalid("the table has no partitions: create it with PARTITIONED BY")
    given = {name.lower(): value for name, value in values.items()}
    if set(given) != {name.lower() for name in names}:
        raise Invalid(f"a partition has a value for each of {listed(names)}, got {listed(values) or 'none'}")
    return tuple(given[name.lower()] for name in names)


def _shown(values: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
