"""The binder: one for each statement. It walks a syntax tree and gives expressions and plans of the logical plan.

    Binder.expression(node, scope)      looks up what binds this class of node: HANDLERS, filled by `binds`
    Binder.query(node, scope, ...)      a whole query, see queries.py

It resolves names and types by itself, in one walk that copies nothing: sqlglot is a grammar here, no more. Positions
come from the tokens: sqlglot leaves them on names, numbers and calls; `position` takes the nearest below a node.

Invariants: every id is made here, once in a statement; a Cast stands where types differ in kind; what is refused
raises QueryError with the place and the name of the construct, and nothing half done is left behind.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from sqlglot import exp

from engines.errors import QueryError, nearest
from engines.sql.binder.scopes import Column, Rows, Scope
from engines.sql.dialect import Dialect
from engines.sql.grammar import Node
from engines.sql.logical import Constant, Expression
from engines.sql.source import TableSource
from engines.sql.types import Type

Handler = Callable[["Binder", Any, Scope], Expression]
HANDLERS: Final[dict[type, Handler]] = {}


def binds(*classes: type) -> Callable[[Handler], Handler]:
    """Registers the function below for these classes of syntax nodes."""

    def register(handler: Handler) -> Handler:
        for one in classes:
            HANDLERS[one] = handler
        return handler

    return register


class View:
    """A query under a name. columns: names that replace its own, or none.

    catalog: where its own tables are found, if not where the view was: with the rights of the view's owner.
    """

    __slots__ = ("catalog", "columns", "text")

    def __init__(self, text: str, columns: Iterable[str] = (), catalog: "Catalog | None" = None) -> None:
        self.text = text
        self.columns = tuple(columns)
        self.catalog = catalog

    def __eq__(self, other: object) -> bool:
        return isinstance(other, View) and (self.text, self.columns) == (other.text, other.columns)

    def __hash__(self) -> int:
        return hash((self.text, self.columns))


class Catalog(Protocol):
    """Where tables are found."""

    def find(self, parts: tuple[str, ...]) -> TableSource | View | None:
        """By name, or schema and name, as written."""
        ...

    def names(self) -> Iterable[str]:
        """All of them, for suggestions."""
        ...


class Binder:
    """The state of one statement's binding. parameters: types of its parameters, by number from 1 and by name."""

    __slots__ = (
        "catalog",
        "counter",
        "dialect",
        "near",
        "parameters",
        "parse",
        "placed",
        "scalars",
        "seen",
        "tables",
        "text",
        "used",
        "views",
        "withs",
    )

    def __init__(
        self,
        text: str,
        catalog: Catalog,
        dialect: Dialect,
        parameters: Mapping[int | str, Type] | None = None,
        *,
        parse: Callable[[str], Any],
    ) -> None:
        self.text = text
        self.catalog = catalog
        self.dialect = dialect
        self.parameters = parameters or {}
        self.parse = parse  # a view's text -> syntax tree
        self.scalars = dialect.functions.scalars
        self.counter = 0
        self.near = 0  # the last place that was known
        self.placed = True  # False inside a view: its places are not those of the text
        self.tables: dict[str, None] = {}  # full names of what is read
        self.seen: dict[tuple[str, ...], Any] = {}  # what the plan depends on: name -> (its own name, schema), or View
        self.used: dict[int | str, Type] = {}  # parameters that the statement has
        self.withs: list[dict[str, Any]] = []  # WITH queries in scope, innermost last
        self.views: tuple[str, ...] = ()  # those that are being bound

    def begin(self) -> None:
        """Before each statement of a text; what was seen stays seen."""
        self.counter = 0
        self.tables = {}
        self.used = {}
        self.withs = []

    # ---- ids and places ------------------------------------------------------------------------------------------

    def id(self, name: str) -> str:
        """A new column id."""
        self.counter += 1
        return f"{name}#{self.counter}"

    def position(self, node: Node) -> int:
        """Where the node begins in the text, as far as is known; -1 if nothing below it has a place."""
        if not self.placed:
            return -1
        while isinstance(node, exp.Expr):
            meta = node._meta  # noqa: SLF001 - `meta` would make a dict for each node that has none
            if meta and "start" in meta:
                self.near = start = meta["start"]
                return start  # type: ignore[no-any-return]  # sqlglot's meta is untyped
            for below in node.args.values():
                if isinstance(below, exp.Expr):
                    break
                if isinstance(below, list) and below and isinstance(below[0], exp.Expr):
                    below = below[0]  # noqa: PLW2901 - the first of a list is the nearest
                    break
            else:
                return -1
            node = below
        return -1

    def error(self, message: str, node: Node = None, *, suggestion: str = "") -> QueryError:
        """A QueryError at that node, or at that place; at the nearest known one before if it has none."""
        position = node if isinstance(node, int) else self.position(node)
        if self.views:
            return QueryError(f"in view {self.views[-1]}: {message}", suggestion=suggestion)
        position = position if position >= 0 else self.near
        return QueryError(message, text=self.text, position=position, suggestion=suggestion)

    def unsupported(self, what: str, node: Node) -> QueryError:
        return self.error(f"{what} is not supported", node)

    # ---- expressions ---------------------------------------------------------------------------------------------

    def expression(self, node: Node, scope: Scope) -> Expression:
        handler = HANDLERS.get(type(node))
        if handler is None:
            raise self.unsupported(f"{type(node).__name__} (as in {written(node)!r})", node)
        return handler(self, node, scope)

    def condition(self, node: Node, scope: Scope, clause: str) -> Expression:
        """A BOOLEAN, in that clause."""
        before, scope.clause = scope.clause, clause
        bound = self.expression(node, scope)
        scope.clause = before
        return self.boolean(bound, node, clause)

    def boolean(self, bound: Expression, node: Node, what: str) -> Expression:
        if bound.type.kind == "boolean":
            return bound
        if bound.type.kind == "null":
            return Constant(None, type=BOOLEAN_TYPE, position=bound.position)
        raise self.error(f"{what} takes a condition (BOOLEAN), {written(node)} is {bound.type}", node)

    def missing_column(self, name: str, node: Node, scope: Scope) -> QueryError:
        known = list(dict.fromkeys(scope.visible()))
        guess = nearest(name, known)
        if not known:
            return self.error(f"there is no column {name!r}: no table is in sight here", node)
        return self.error(f"there is no column {name!r}", node, suggestion=guess.removeprefix("; "))


BOOLEAN_TYPE: Final = Type("boolean")


def written(node: Node) -> str:
    """The node as text, short, for errors."""
    try:
        text = node.sql(dialect="redshift") if isinstance(node, exp.Expr) else str(node)
    except Exception:  # noqa: BLE001 - a generator that stumbles must not hide the error that is being told
        text = type(node).__name__
    return text if len(text) <= 60 else text[:57] + "..."


__all__ = ["HANDLERS", "Binder", "Catalog", "Column", "Handler", "Node", "Rows", "Scope", "View", "binds", "written"]
