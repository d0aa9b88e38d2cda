"""The grammar of the warehouse's statements: tokens in, a record out; None for what the SQL front answers itself.

CREATE COPY UNLOAD SET RESET                                    creategrammar.py, copygrammar.py, setgrammar.py
DROP ALTER TRUNCATE VACUUM ANALYZE REFRESH GRANT REVOKE ATTACH DETACH SHOW BEGIN COMMIT ROLLBACK
INSERT UPDATE DELETE MERGE                                      not here: the SQL parser reads them, see dml.py
SELECT WITH VALUES EXPLAIN (                                    not ours
"""

from collections.abc import Callable, Sequence

from sqlglot.tokens import Token

from engines.errors import nearest
from engines.warehouse.statements.copygrammar import read_copy, read_unload
from engines.warehouse.statements.creategrammar import column, create, read_type, says_if_not_exists
from engines.warehouse.statements.reader import Reader, dotted
from engines.warehouse.statements.records import (
    Alter,
    AlterPartitions,
    Analyze,
    AttachPolicy,
    ColumnDefinition,
    Control,
    Drop,
    Grant,
    Record,
    Refresh,
    Show,
    Truncate,
    Vacuum,
)
from engines.warehouse.statements.setgrammar import read_reset, read_set

QUERIES = ("SELECT", "WITH", "VALUES", "EXPLAIN", "(")


def read(text: str, tokens: Sequence[Token]) -> Record | None:
    """The statement's record; None if it is a query. QueryError if it is neither, or not well made."""
    reader = Reader(text, tokens)
    if any(reader.sees(word) for word in QUERIES):
        return None
    first = reader.token
    word = first.text.upper() if first else ""
    if word not in READERS:
        raise reader.error(f"{word!r} begins no statement", suggestion=nearest(word, [*READERS, *QUERIES]).lstrip("; "))
    reader.at += 1
    record = READERS[word](reader)
    reader.end()
    return record


def _drop(reader: Reader) -> Drop:
    kinds = {"TABLE": "table", "VIEW": "view", "SCHEMA": "schema", "RLS POLICY": "policy", "MATERIALIZED VIEW": "view"}
    kind = reader.choose(kinds, "what to drop")
    if_exists = reader.takes("IF", "EXISTS")
    names = [dotted(reader.name())]
    while reader.takes(","):
        names.append(dotted(reader.name()))
    cascade = reader.takes("CASCADE")
    _ = reader.takes("RESTRICT")
    return Drop(kind, tuple(names), if_exists, cascade)


def _alter(reader: Reader) -> Alter | AlterPartitions:
    reader.take("TABLE")
    name = dotted(reader.name())
    for words, add in ((("ADD",), True), (("DROP",), False)):
        if any(reader.sees(*words, *more, "PARTITION") for more in ((), ("IF", "NOT", "EXISTS"), ("IF", "EXISTS"))):
            reader.take(*words)
            return _partitions(reader, name, add=add)
    if reader.takes("ADD"):
        _ = reader.takes("COLUMN")
        return Alter(name, "add", column(reader, {}))
    if reader.takes("DROP"):
        _ = reader.takes("COLUMN")
        old = reader.identifier("the name of a column")
        _ = reader.takes("CASCADE") or reader.takes("RESTRICT")
        return Alter(name, "drop", old=old)
    if reader.takes("RENAME", "TO"):
        return Alter(name, "rename", new=reader.identifier("the new name"))
    if reader.takes("RENAME"):
        _ = reader.takes("COLUMN")
        old = reader.identifier("the name of a column")
        reader.take("TO")
        return Alter(name, "rename column", old=old, new=reader.identifier("the new name"))
    if reader.takes("APPEND", "FROM"):
        return Alter(name, "append", old=dotted(reader.name()))
    if reader.takes("OWNER", "TO"):
        return Alter(name, "owner", new=reader.identifier("a user"))
    if reader.takes("ROW", "LEVEL", "SECURITY"):
        return Alter(name, "row level security", new=reader.word("ON", "OFF").lower())
    return _alter_keys(reader, name)


def _partitions(reader: Reader, name: str, *, add: bool) -> AlterPartitions:
    if_exists = says_if_not_exists(reader) if add else reader.takes("IF", "EXISTS")
    found: list[tuple[dict[str, str | None], str | None]] = []
    while reader.takes("PARTITION"):
        values: dict[str, str | None] = {}
        reader.take("(")
        while True:
            column = reader.identifier("the name of a column")
            reader.take("=")
            values[column] = _partition_value(reader)
            if not reader.takes(","):
                break
        reader.take(")")
        found.append((values, reader.string("a folder") if add and reader.takes("LOCATION") else None))
        _ = reader.takes(",")
    if not found:
        raise reader.expected("PARTITION")
    return AlterPartitions(name, add, tuple(found), if_exists)


def _partition_value(reader: Reader) -> str | None:
    if reader.takes("NULL"):
        return None
    if reader.token is not None and reader.token.token_type.name == "STRING":
        return reader.string()
    sign = "-" if reader.takes("-") else ""
    return f"{sign}{reader.number('a value')}"


def _alter_keys(reader: Reader, name: str) -> Alter:
    reader.take("ALTER")
    if reader.takes("DISTSTYLE"):
        style = reader.word("ALL", "EVEN", "AUTO", "KEY").lower()
        if style == "key":
            reader.take("DISTKEY")
            return Alter(name, "distkey", new=reader.identifier("the name of a column"))
        return Alter(name, "diststyle", new=style)
    if reader.takes("DISTKEY"):
        return Alter(name, "distkey", new=reader.identifier("the name of a column"))
    _ = reader.takes("COMPOUND")
    if reader.takes("SORTKEY"):
        names = () if reader.takes("AUTO") or reader.takes("NONE") else tuple(reader.names())
        return Alter(name, "sortkey", names=names)
    _ = reader.takes("COLUMN")
    old = reader.identifier("the name of a column")
    if reader.takes("TYPE"):
        return Alter(name, "type", ColumnDefinition(old, read_type(reader)), old=old)
    reader.take("ENCODE")
    return Alter(name, "encode", old=old, new=reader.identifier("an encoding"))


def _truncate(reader: Reader) -> Truncate:
    _ = reader.takes("TABLE")
    return Truncate(dotted(reader.name()))


def _vacuum(reader: Reader) -> Vacuum:
    modes = {"FULL": "full", "SORT ONLY": "sort only", "DELETE ONLY": "delete only", "REINDEX": "reindex"}
    mode = next((value for words, value in modes.items() if reader.takes(*words.split())), "full")
    name = dotted(reader.name()) if reader.token is not None and not reader.sees("TO") else None
    if reader.takes("TO"):
        reader.number()
        reader.take("PERCENT")
    _ = reader.takes("BOOST")
    return Vacuum(mode, name)  # type: ignore[arg-type] # one of the values above


def _analyze(reader: Reader) -> Analyze:
    compression = reader.takes("COMPRESSION")
    name = dotted(reader.name()) if reader.token is not None else None
    if reader.sees("("):
        reader.names()
    if reader.takes("COMPROWS"):
        reader.number()
    _ = reader.takes("PREDICATE", "COLUMNS") or reader.takes("ALL", "COLUMNS")
    return Analyze(name, compression)


def _refresh(reader: Reader) -> Refresh:
    reader.take("MATERIALIZED", "VIEW")
    return Refresh(dotted(reader.name()))


def _grant(reader: Reader, *, give: bool) -> Grant:
    if not reader.takes("SELECT"):
        raise reader.expected("SELECT (a session with a user only reads, so nothing else is granted)")
    columns = tuple(reader.names()) if reader.sees("(") else ()
    reader.take("ON")
    _ = reader.takes("TABLE")
    name = dotted(reader.name())
    reader.take("TO" if give else "FROM")
    _ = reader.takes("ROLE") or reader.takes("USER")
    return Grant(give, name, reader.identifier("a user"), columns)


def _attach(reader: Reader, *, attach: bool) -> AttachPolicy:
    reader.take("RLS", "POLICY")
    policy = reader.identifier("the name of a policy")
    reader.take("ON")
    _ = reader.takes("TABLE")
    table = dotted(reader.name())
    reader.take("TO" if attach else "FROM")
    _ = reader.takes("ROLE") or reader.takes("USER")
    return AttachPolicy(attach, policy, table, reader.identifier("a user, or PUBLIC"))


def _show(reader: Reader) -> Show:
    what = reader.word("TABLES", "COLUMNS", "SCHEMAS", "TABLE").lower()
    _ = reader.takes("FROM") and (reader.takes("TABLE") or reader.takes("SCHEMA"))
    name = dotted(reader.name()) if reader.token is not None else ""
    if what in {"columns", "table"} and not name:
        raise reader.expected("the name of a table")
    return Show(what, name)  # type: ignore[arg-type] # one of the words above


def _control(action: str) -> Callable[[Reader], Control]:
    def read_control(reader: Reader) -> Control:
        _ = reader.takes("TRANSACTION") or reader.takes("WORK")
        if action == "begin" and reader.takes("ISOLATION", "LEVEL"):
            reader.word("SERIALIZABLE", "SNAPSHOT")
        return Control(action)  # type: ignore[arg-type] # of the table below

    return read_control


READERS: dict[str, Callable[[Reader], Record]] = {
    "CREATE": create,
    "DROP": _drop,
    "ALTER": _alter,
    "TRUNCATE": _truncate,
    "VACUUM": _vacuum,
    "ANALYZE": _analyze,
    "ANALYSE": _analyze,
    "COPY": read_copy,
    "UNLOAD": read_unload,
    "REFRESH": _refresh,
    "GRANT": lambda reader: _grant(reader, give=True),
    "REVOKE": lambda reader: _grant(reader, give=False),
    "ATTACH": lambda reader: _attach(reader, attach=True),
    "DETACH": lambda reader: _attach(reader, attach=False),
    "SHOW": _show,
    "SET": read_set,
    "RESET": read_reset,
    "BEGIN": _control("begin"),
    "START": _control("begin"),
    "COMMIT": _control("commit"),
    "END": _control("commit"),
    "ROLLBACK": _control("rollback"),
    "ABORT": _control("rollback"),
}
