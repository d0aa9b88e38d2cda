"""What the rules of one rewriting share: the tables, the statistics, names for new columns, which rules are on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engines.sql.logical import Constant, Expression, Plan, Reference
from engines.sql.rewrite.estimates import Estimates
from engines.sql.rewrite.trees import mentioned
from engines.sql.source import TableSource
from engines.sql.types import Type

Folding = Callable[[Expression], Constant | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A change that keeps the meaning.

    kind: of an `expression`, parts first; of a whole `plan`; or of a `region` of joins, made by push_predicates.
    """

    name: str
    change: Callable[..., Any]  # (expression or plan, work) -> the same kind
    kind: Literal["expression", "plan", "region"] = "plan"


class Work:
    """One rewriting. Not shared between threads."""

    def __init__(
        self, source: Callable[[str], TableSource], *, rules: Sequence[Rule] = (), folding: Folding | None = None
    ) -> None:
        self.source = source
        self.folding = folding
        self.estimates = Estimates(source)
        self.enabled = {rule.name for rule in rules}
        self.simplifying = [rule.change for rule in rules if rule.kind == "expression"]
        self.needed: frozenset[str] = frozenset()  # ids that the plan in work is asked for
        self.shared: dict[str, Plan] = {}  # WITH queries that run once, by name
        self._made = 0
        self._mentions: dict[int, tuple[Expression, frozenset[str]]] = {}

    def fresh(self, name: str, type: Type) -> Reference:
        """A column id that nothing else in the statement has."""
        self._made += 1
        return Reference(f"{name}#r{self._made}", type=type)

    def label(self, name: str) -> str:
        self._made += 1
        return f"{name}#r{self._made}"

    def mentions(self, expression: Expression) -> frozenset[str]:
        """As `mentioned`, remembered for each expression object."""
        known = self._mentions.get(id(expression))
        if known is None:
            known = self._mentions[id(expression)] = expression, mentioned(expression)
        return known[1]
