"""Names of types: INT4, NUMERIC(10, 2), BPCHAR, "CHARACTER VARYING"(20), TIMESTAMPTZ, ... -> Type."""

from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp
from sqlglot.errors import SqlglotError

from engines.errors import EngineError, Invalid, nearest
from engines.sql.grammar import grammar
from engines.sql.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    INTERVAL,
    LONGEST_TEXT,
    MOST_DIGITS,
    REAL,
    SMALLINT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    VARCHAR,
    Type,
    array,
    decimal,
)

if TYPE_CHECKING:
    from engines.sql.binder.binding import Binder, Node

_T: Final = exp.DType
PLAIN: Final[dict[Any, Type]] = {
    _T.BOOLEAN: BOOLEAN,
    _T.TINYINT: SMALLINT,
    _T.SMALLINT: SMALLINT,
    _T.INT: INTEGER,
    _T.BIGINT: BIGINT,
    _T.FLOAT: REAL,
    _T.DOUBLE: DOUBLE,
    _T.DATE: DATE,
    _T.TIME: TIME,
    _T.TIMESTAMP: TIMESTAMP,
    _T.TIMESTAMPNTZ: TIMESTAMP,
    _T.DATETIME: TIMESTAMP,
    _T.TIMESTAMPTZ: TIMESTAMPTZ,
    _T.TIMESTAMPLTZ: TIMESTAMPTZ,
    _T.INTERVAL: INTERVAL,
    _T.SUPER: VARCHAR,  # JSON as text
    _T.JSON: VARCHAR,
    _T.UUID: Type("varchar", length=36),
}
LENGTHS: Final[dict[Any, str]] = {
    _T.CHAR: "char",
    _T.NCHAR: "char",
    _T.BPCHAR: "char",
    _T.VARCHAR: "varchar",
    _T.NVARCHAR: "varchar",
    _T.TEXT: "varchar",
    _T.VARBINARY: "varbyte",
    _T.BINARY: "varbyte",
}
REFUSED: Final[dict[Any, str]] = {
    _T.TIMETZ: "use TIME, or TIMESTAMPTZ",
    _T.HLLSKETCH: "use APPROXIMATE COUNT(DISTINCT ...)",
    _T.GEOMETRY: "keep it as VARCHAR or VARBYTE",
    _T.GEOGRAPHY: "keep it as VARCHAR or VARBYTE",
}
DEFAULT_CHAR: Final = 1
KNOWN: Final = (
    "BOOLEAN",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "DECIMAL",
    "REAL",
    "DOUBLE",
    "CHAR",
    "VARCHAR",
    "TEXT",
    "VARBYTE",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
)


def bind_type(node: "Node", binder: "Binder | None" = None) -> Type:
    """The type that a DataType node, or a text like "numeric(10, 2)", names.

    QueryError at the node if there is a binder, else Invalid: for names that are no type, lengths out of bounds.
    """
    if isinstance(node, str):
        try:
            node = exp.DataType.build(node, dialect=grammar("redshift"))
        except SqlglotError as error:
            raise Invalid(f"{node!r} is no type{nearest(node, KNOWN)}") from error
    if isinstance(node, exp.PseudoType) or not isinstance(node, exp.DataType):
        raise _wrong(node, binder, f"{node.name or node.sql()!r} is no type{nearest(node.name, KNOWN)}")
    kind = node.this
    if binder is not None:
        own = binder.dialect.types.get(node.sql().lower())
        if own is not None:
            return own
    if kind in PLAIN:
        if kind in {_T.FLOAT, _T.DOUBLE} and node.expressions:  # the tokenizer calls FLOAT a DOUBLE
            return REAL if _number(node, 0, binder, 1, 53, "FLOAT") <= 24 else DOUBLE
        return PLAIN[kind]
    if kind in {_T.DECIMAL, _T.BIGDECIMAL}:
        precision = _number(node, 0, binder, 1, MOST_DIGITS, "the precision of DECIMAL") if node.expressions else 18
        scale = _number(node, 1, binder, 0, precision, "the scale of DECIMAL") if len(node.expressions) > 1 else 0
        return decimal(precision, scale)
    if kind in LENGTHS:
        return _sized(node, LENGTHS[kind], binder)
    if kind in {_T.ARRAY, _T.LIST} and node.expressions:
        return array(bind_type(node.expressions[0], binder))
    if kind is _T.STRUCT and node.expressions:
        return Type("row", fields=tuple((one.name, bind_type(one.args["kind"], binder)) for one in node.expressions))
    remedy = f": {REFUSED[kind]}" if kind in REFUSED else nearest(node.sql(), KNOWN)
    raise _wrong(node, binder, f"the type {node.sql(dialect='redshift')} is not supported{remedy}")


def _wrong(node: "Node", binder: "Binder | None", message: str) -> EngineError:
    return Invalid(message) if binder is None else binder.error(message, node)


def _sized(node: "Node", kind: str, binder: "Binder | None") -> Type:
    if not node.expressions:
        return Type(kind, length=DEFAULT_CHAR) if node.this in {_T.CHAR, _T.NCHAR} else Type(kind)
    if node.expressions[0].name.upper() == "MAX":
        return Type(kind, length=LONGEST_TEXT)
    return Type(kind, length=_number(node, 0, binder, 1, LONGEST_TEXT, f"the length of {kind.upper()}"))


def _number(  # noqa: PLR0917 - bounds are clearest as they stand in the calls
    node: "Node", at: int, binder: "Binder | None", low: int, high: int, what: str
) -> int:
    text = node.expressions[at].name
    if not text.isdigit() or not low <= int(text) <= high:
        raise _wrong(
            node, binder, f"{what} is a number from {low} to {high:,}, not {text or node.expressions[at].sql()}"
        )
    return int(text)
