"""What an index may answer: the equalities of WHERE and ON that are about one source and known before it is read.

    FROM Vehicle AS v WHERE v.Owner.Id = ? AND v.Year > 2000      Vehicle is asked for (Owner, Id) = the parameter
    FROM A AS a JOIN B AS b ON b.x = a.y                          for each a, B is asked for (x) = a.y
    FROM Vehicle AS v BY id WHERE id = ?                          Vehicle is asked for IDENTITY = the parameter

They are hints: whoever answers may give more rows, the conditions are looked at all the same.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from engines.ledger.partiql.nodes import Binary, Expression, From, Literal, Name, Step, Subquery, children

Path = tuple[str | int, ...]
IDENTITY: Final[Path] = ()  # the path to a document's id


class Known(NamedTuple):
    """A value that a source's rows have at a path."""

    path: Path
    value: Any


def equalities(
    source: From, bound: AbstractSet[str], where: Expression | None, *, lonely: bool
) -> Iterator[tuple[Path, Expression]]:
    """Path and expression of each: what has to be equal to something that the names bound before tell.

    lonely: there is no other source, so a name alone is an attribute of this one.
    """
    conditions = [source.on] if source.on is not None else []
    if not source.outer and where is not None:
        conditions.append(where)
    for condition in conditions:
        for part in conjuncts(condition):
            if isinstance(part, Binary) and part.operator == "=":
                for side, other in ((part.left, part.right), (part.right, part.left)):
                    path = path_of(side, source, bound, lonely=lonely)
                    if path is not None and known(other, bound):
                        yield path, other
                        break


def conjuncts(condition: Expression) -> Iterator[Expression]:
    """The parts of a condition that all have to hold."""
    if isinstance(condition, Binary) and condition.operator == "AND":
        yield from conjuncts(condition.left)
        yield from conjuncts(condition.right)
    else:
        yield condition


def path_of(node: Expression, source: From, bound: AbstractSet[str], *, lonely: bool) -> Path | None:
    """The path from a source's row, if this is one."""
    steps: list[str | int] = []
    while isinstance(node, Step):
        if not isinstance(node.key, Literal) or not isinstance(node.key.value, str | int):
            return None
        steps.append(node.key.value)
        node = node.value
    if not isinstance(node, Name):
        return None
    if source.identity and not steps and node.name == source.identity:
        return IDENTITY
    if node.name == source.alias:
        return tuple(reversed(steps)) or None
    if not lonely or node.name in bound or node.name in (source.position, source.identity):
        return None
    return (node.name, *reversed(steps))


def known(node: Expression, bound: AbstractSet[str]) -> bool:
    """Whether an expression is made of parameters, literals and names that are bound already."""
    if isinstance(node, Subquery):
        return False
    if isinstance(node, Name):
        return node.name in bound
    return all(known(child, bound) for child in children(node))
