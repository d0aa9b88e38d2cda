"""CREATE: tables, views, schemas, external tables, policies; and names of types, which ALTER reads too.

    CREATE TABLE t (id INT NOT NULL, name VARCHAR(20) DEFAULT 'none' ENCODE zstd) DISTKEY(id) SORTKEY(id, name)
    CREATE EXTERNAL TABLE t (id INT) PARTITIONED BY (year INT) STORED AS PARQUET LOCATION 'files/'

Expressions and queries stay text: whoever carries the statement out binds them.
"""

from engines.errors import nearest
from engines.sql import types
from engines.sql.types import Type
from engines.warehouse.statements.reader import Reader, dotted
from engines.warehouse.statements.records import (
    ColumnDefinition,
    CreateExternalTable,
    CreatePolicy,
    CreateSchema,
    CreateTable,
    CreateView,
    Record,
)

TYPES: dict[str, Type] = {
    "SMALLINT": types.SMALLINT, "INT2": types.SMALLINT, "INTEGER": types.INTEGER, "INT": types.INTEGER,
    "INT4": types.INTEGER, "BIGINT": types.BIGINT, "INT8": types.BIGINT, "REAL": types.REAL, "FLOAT4": types.REAL,
    "DOUBLE PRECISION": types.DOUBLE, "DOUBLE": types.DOUBLE, "FLOAT8": types.DOUBLE, "FLOAT": types.DOUBLE,
    "BOOLEAN": types.BOOLEAN, "BOOL": types.BOOLEAN, "DATE": types.DATE, "TIME": types.TIME,
    "TIMESTAMP": types.TIMESTAMP, "TIMESTAMPTZ": types.TIMESTAMPTZ, "DATETIME": types.TIMESTAMP,
    "TIMESTAMP WITHOUT TIME ZONE": types.TIMESTAMP, "TIMESTAMP WITH TIME ZONE": types.TIMESTAMPTZ,
    "TIME WITHOUT TIME ZONE": types.TIME, "TEXT": types.varchar(256), "SUPER": types.VARCHAR, "STRING": types.VARCHAR,
}  # fmt: skip
SIZED = {
    "DECIMAL": "decimal", "NUMERIC": "decimal", "CHAR": "char", "CHARACTER": "char", "NCHAR": "char", "BPCHAR": "char",
    "VARCHAR": "varchar", "CHARACTER VARYING": "varchar", "NVARCHAR": "varchar",
    "VARBYTE": "varbyte", "VARBINARY": "varbyte", "BINARY VARYING": "varbyte", "BINARY": "varbyte",
}  # fmt: skip
LENGTHS = {"char": 1, "varchar": 256, "varbyte": 64_000}


def create(reader: Reader) -> Record:
    """What stands behind CREATE."""
    replace = reader.takes("OR", "REPLACE")
    if reader.takes("EXTERNAL", "TABLE"):
        return _external(reader)
    if reader.takes("EXTERNAL", "SCHEMA") or reader.takes("SCHEMA"):
        name = CreateSchema(if_not_exists=says_if_not_exists(reader), name=reader.identifier("the name of a schema"))
        reader.skip()  # the rest names AWS resources: catalogue, role, region
        return name
    if reader.takes("RLS", "POLICY"):
        return _policy(reader)
    materialized = reader.takes("MATERIALIZED")
    if materialized or reader.sees("VIEW"):
        reader.take("VIEW")
        view = dotted(reader.name("the name of a view"))
        columns = tuple(reader.names()) if reader.sees("(") else ()
        while materialized and not reader.sees("AS"):  # BACKUP, DISTSTYLE, AUTO REFRESH: how the service keeps it
            reader.at += 1
        reader.take("AS")
        query = reader.rest()
        return CreateView(view, _without(query, "WITH NO SCHEMA BINDING"), columns, replace, materialized)
    temporary = any(reader.takes(word) for word in ("TEMP", "TEMPORARY", "LOCAL"))
    temporary = reader.takes("TEMP") or reader.takes("TEMPORARY") or temporary
    if any(reader.sees(word) for word in ("USER", "ROLE", "GROUP")):
        raise reader.error("users are not created: a user is a name that is given to session(user) and in GRANT")
    reader.take("TABLE")
    return _table(reader, temporary=temporary)


def _without(query: str, tail: str) -> str:
    return query[: -len(tail)] if query.upper().rstrip().endswith(tail) else query


def says_if_not_exists(reader: Reader) -> bool:
    """Whether the words are there."""
    return reader.takes("IF", "NOT", "EXISTS")


def _table(reader: Reader, *, temporary: bool) -> CreateTable:
    if_not_exists = says_if_not_exists(reader)
    name = dotted(reader.name())
    columns: list[ColumnDefinition] = []
    keys: dict[str, str] = {}
    like, named = None, False
    if reader.takes("("):
        if reader.takes("LIKE"):
            like = dotted(reader.name())
            _ = reader.takes("INCLUDING", "DEFAULTS") or reader.takes("EXCLUDING", "DEFAULTS")
        elif not (named := _bare_names(reader, columns)):
            _elements(reader, columns, keys)
        reader.take(")")
    style, distkey = "auto", keys.get("distkey")
    sortkey: tuple[str, ...] = (keys["sortkey"],) if "sortkey" in keys else ()
    interleaved, query = False, None
    while reader.token is not None:
        if reader.takes("DISTSTYLE"):
            style = reader.word("AUTO", "EVEN", "KEY", "ALL").lower()
        elif reader.takes("DISTKEY"):
            (distkey,) = reader.names()
        elif reader.takes("COMPOUND") or reader.takes("INTERLEAVED") or reader.sees("SORTKEY"):
            interleaved = reader.before == "INTERLEAVED"
            reader.take("SORTKEY")
            if not reader.takes("AUTO"):
                sortkey = tuple(reader.names())
        elif reader.takes("ENCODE", "AUTO") or reader.takes("BACKUP", "YES") or reader.takes("BACKUP", "NO"):
            continue
        elif reader.takes("AS"):
            query = reader.rest()
        else:
            raise reader.expected("DISTSTYLE, DISTKEY, SORTKEY, ENCODE AUTO or AS")
    if named and query is None:
        raise reader.error(f"column {columns[0].name!r} has no type: only those of CREATE TABLE ... AS need none")
    if distkey is not None:
        style = "key" if style == "auto" else style
    if (style == "key") != (distkey is not None):
        raise reader.error("DISTSTYLE KEY goes with DISTKEY(column), and no other style does")
    if not columns and like is None and query is None:
        raise reader.error("a table has columns: CREATE TABLE name (column type, ...), LIKE or AS SELECT")
    definitions = tuple(columns)
    return CreateTable(
        name, definitions, style, distkey, sortkey, interleaved, if_not_exists, temporary, like, query
    )  # fmt: skip


def _bare_names(reader: Reader, columns: list[ColumnDefinition]) -> bool:
    """The names in CREATE TABLE t (a, b) AS SELECT. False, and nothing is read, where types follow."""
    start = reader.at
    reader.identifier("the name of a column")
    bare = reader.sees(",") or reader.sees(")")
    reader.at = start
    while bare:
        position = reader.position
        columns.append(ColumnDefinition(reader.identifier("the name of a column"), types.VARCHAR, position=position))
        if not reader.takes(","):
            break
    return bare


def _elements(reader: Reader, columns: list[ColumnDefinition], keys: dict[str, str]) -> None:
    while True:
        if any(reader.sees(word) for word in ("PRIMARY", "UNIQUE", "FOREIGN", "CONSTRAINT")):
            _constraint(reader)
        else:
            columns.append(column(reader, keys))
        if not reader.takes(","):
            return


def _constraint(reader: Reader) -> None:
    """Keys are information only, as in the service: nothing enforces them."""
    if reader.takes("CONSTRAINT"):
        reader.identifier()
    if reader.takes("FOREIGN", "KEY"):
        reader.names()
        _references(reader)
    else:
        if not reader.takes("PRIMARY", "KEY"):
            reader.take("UNIQUE")
        reader.names()


def _references(reader: Reader) -> None:
    reader.take("REFERENCES")
    reader.name()
    if reader.sees("("):
        reader.names()


def column(reader: Reader, keys: dict[str, str]) -> ColumnDefinition:
    """A column with its attributes. keys: takes DISTKEY and SORTKEY that stand with it."""
    position = reader.position
    name = reader.identifier("the name of a column")
    kind = read_type(reader)
    nullable, default, identity, encode = True, None, None, None
    while reader.token is not None and reader.token.text not in {",", ")"}:
        if reader.takes("NOT", "NULL"):
            nullable = False
        elif reader.takes("NULL") or reader.takes("UNIQUE") or reader.takes("COLLATE", "CASE_SENSITIVE"):
            continue
        elif reader.takes("PRIMARY", "KEY"):
            nullable = False
        elif reader.takes("DEFAULT"):
            default = reader.expression("NOT", "ENCODE", "DISTKEY", "SORTKEY", "UNIQUE", "PRIMARY", "REFERENCES")
        elif reader.takes("GENERATED", "BY", "DEFAULT", "AS", "IDENTITY") or reader.takes("IDENTITY"):
            identity = _identity(reader)
        elif reader.takes("ENCODE"):
            encode = reader.identifier("an encoding").lower()
        elif reader.takes("DISTKEY") or reader.takes("SORTKEY"):
            key = reader.before
            if key.lower() in keys:
                raise reader.error(f"{key} is said of two columns: write {key}(column, ...) behind the columns")
            keys[key.lower()] = name
        elif reader.sees("REFERENCES"):
            _references(reader)
        else:
            raise reader.expected("NOT NULL, DEFAULT, IDENTITY, ENCODE, DISTKEY, SORTKEY or the next column")
    return ColumnDefinition(name, kind, nullable, default, identity, encode, position)


def _identity(reader: Reader) -> tuple[int, int]:
    reader.take("(")
    seed = _signed(reader)
    reader.take(",")
    at = reader.position
    step = _signed(reader)
    if not step:
        raise reader.error("the step of an IDENTITY is not 0", at)
    reader.take(")")
    return seed, step


def _signed(reader: Reader) -> int:
    return -reader.number() if reader.takes("-") else reader.number()


def _external(reader: Reader) -> CreateExternalTable:
    if_not_exists = says_if_not_exists(reader)
    name = dotted(reader.name())
    columns: list[ColumnDefinition] = []
    partitions: list[ColumnDefinition] = []
    reader.take("(")
    _elements(reader, columns, {})
    reader.take(")")
    location, form, properties = None, None, {}
    while reader.token is not None:
        if reader.takes("PARTITIONED", "BY"):
            reader.take("(")
            _elements(reader, partitions, {})
            reader.take(")")
        elif reader.takes("STORED", "AS") or reader.takes("FORMAT", "AS") or reader.takes("FORMAT"):
            form = reader.identifier("PARQUET, ORC, TEXTFILE or JSON")
        elif reader.takes("LOCATION"):
            location = reader.string("the folder or file")
        elif reader.takes("ROW", "FORMAT", "DELIMITED"):
            continue
        elif reader.takes("FIELDS", "TERMINATED", "BY"):
            properties["delimiter"] = reader.string()
        elif reader.takes("LINES", "TERMINATED", "BY"):
            reader.string()
        elif reader.takes("ROW", "FORMAT", "SERDE"):
            form = "json" if "json" in reader.string().lower() else form
        elif reader.takes("TABLE", "PROPERTIES") or reader.takes("TBLPROPERTIES"):
            properties |= _properties(reader)
        else:
            raise reader.expected("PARTITIONED BY, STORED AS, ROW FORMAT, LOCATION or TABLE PROPERTIES")
    if location is None:
        raise reader.expected("LOCATION")
    return CreateExternalTable(
        name, location, tuple(columns), tuple(partitions), form, properties, if_not_exists
    )  # fmt: skip


def _properties(reader: Reader) -> dict[str, str]:
    found = {}
    reader.take("(")
    while True:
        key = reader.string()
        reader.take("=")
        found[key] = reader.string()
        if not reader.takes(","):
            break
    reader.take(")")
    return found


def _policy(reader: Reader) -> CreatePolicy:
    name = reader.identifier("the name of a policy")
    columns: list[ColumnDefinition] = []
    if reader.takes("WITH"):
        reader.take("(")
        _elements(reader, columns, {})
        reader.take(")")
        if reader.takes("AS"):
            reader.identifier()
    reader.take("USING")
    reader.take("(")
    using = reader.expression()
    reader.take(")")
    return CreatePolicy(name, tuple(columns), using)


def read_type(reader: Reader) -> Type:
    """A type by any of its names, with length or precision and scale."""
    at = reader.position
    for words in sorted([*TYPES, *SIZED], key=lambda name: -len(name.split())):
        if reader.takes(*words.split()):
            break
    else:
        hint = nearest(reader.token.text.upper(), [*TYPES, *SIZED]) if reader.token else ""
        raise reader.expected(f"a type (INTEGER, DECIMAL(12, 2), VARCHAR(100), DATE, TIMESTAMP ...){hint}")
    if words in TYPES:
        return TYPES[words]
    kind = SIZED[words]
    sizes: list[int] = []
    if reader.takes("("):
        sizes.append(types.LONGEST_TEXT if reader.takes("MAX") else reader.number())
        if kind == "decimal" and reader.takes(","):
            sizes.append(reader.number())
        reader.take(")")
    if kind == "decimal":
        precision, scale = (*sizes, 0)[:2] if sizes else (18, 0)
        if not 1 <= precision <= types.MOST_DIGITS or not 0 <= scale <= precision:
            raise reader.error(f"DECIMAL has 1 to {types.MOST_DIGITS} digits and a scale of 0 to its digits", at)
        return types.decimal(precision, scale)
    length = sizes[0] if sizes else LENGTHS[kind]
    most = 4096 if kind == "char" else 1_024_000 if kind == "varbyte" else types.LONGEST_TEXT
    if not 1 <= length <= most:
        raise reader.error(f"{words} has a length of 1 to {most:,} bytes, got {length:,}", at)
    return Type(kind, length=length)
