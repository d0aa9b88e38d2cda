"""Random subqueries: scalar, EXISTS, IN, ANY and ALL, LATERAL; most of them look at the query around them."""

from dataclasses import replace

from tests.sql.generatedexpressions import Expressions
from tests.sql.generatednodes import NOTHING, listed, node, optional, piece


class Subqueries:
    """What Queries says about subqueries."""

    depth = 0  # of subqueries that a subquery is being made in

    def _inner(self, outer):
        """A relation, a WHERE that may look outside, the columns."""
        rng = self.rng
        found, columns, rows = self.relation(0, joins=rng.choice([0, 0, 0, 1]))
        terms = []
        deeper = self if self.depth < 1 and rng.random() < 0.25 else None
        if rng.random() < 0.65 and outer:
            equal = self.equality(columns, outer) if rng.random() < 0.7 else self.pair(columns, outer)
            terms.append(equal if equal is not None else node("bool", "TRUE"))
        if rng.random() < 0.4 or not terms:
            self.depth += 1
            terms.append(Expressions(rng, columns + (outer[:3] if rng.random() < 0.2 else []), deeper).bool(1))
            self.depth -= 1
        where = optional(" WHERE {}", listed(terms, " AND ")) if rng.random() < 0.9 else NOTHING
        return found, columns, rows, where

    def scalar(self, scope, kind):
        """(SELECT aggregate ...)"""
        rng = self.rng
        found, columns, rows, where = self._inner(qualified(scope.columns))
        value = self.aggregate(Expressions(rng, columns), rows, kind)
        if value.kind != kind:
            return None
        inner = node("query", "SELECT {} FROM {}{}", value, found, where, outputs=(value,))
        return node(kind, "({})", inner, width=value.width, scale=value.scale, most=value.most, dyadic=value.dyadic)

    def condition(self, scope):
        """EXISTS, IN, ANY, ALL."""
        rng = self.rng
        several = rng.random() < 0.08  # correlated, these are unknown to DuckDB
        found, columns, rows, where = self._inner([] if several else qualified(scope.columns))
        form = 2 if several else rng.randrange(4)
        if form == 0:
            what = rng.choice([piece("1"), piece("*"), columns[0]])
            return node(
                "bool",
                rng.choice(["EXISTS", "NOT EXISTS"]) + " ({})",
                node("query", "SELECT {} FROM {}{}", what, found, where),
            )
        kind = rng.choice(["int", "int", "str", "date"])
        value = getattr(Expressions(rng, scope.columns), kind)(1)
        item = getattr(Expressions(rng, columns), kind)(1)
        grouped = rng.random() < 0.1
        if form == 1 and rng.random() < 0.3 and not grouped:
            item = self.aggregate(Expressions(rng, columns), rows, kind)
        if item.kind != kind:
            item = getattr(Expressions(rng, []), kind)(0)
        inner = node("query", "SELECT {} FROM {}{}", item, found, where, outputs=(item,))
        if grouped:
            inner = node("query", "SELECT {} FROM {}{} GROUP BY {} HAVING COUNT(*) > 1", item, found, where, item)
            if not item.parts and item.ours[0] in "-(0123456789":
                inner = node("query", "SELECT {} FROM {}{} ORDER BY 1 DESC NULLS LAST LIMIT 3", item, found, where)
        if form == 3:
            operator, many = rng.choice(["=", "<>", "<", ">", "<=", ">="]), rng.choice(["ANY", "ALL"])
            return node("bool", f"({{}} {operator} {many} ({{}}))", value, inner)
        if several:
            more = [Expressions(rng, side).int(0) for side in (scope.columns, columns)]
            inner = node("query", "SELECT {}, {} FROM {}{}", item, more[1], found, where, outputs=(item, item))
            return node("bool", f"(({{}}, {{}}) {rng.choice(['', 'NOT '])}IN ({{}}))", value, more[0], inner)
        return node("bool", f"({{}} {rng.choice(['', 'NOT '])}IN ({{}}))", value, inner)

    def lateral(self, left, columns):
        """A subquery in FROM that sees what stands on its left."""
        found, inner, rows, where = self._inner(qualified(columns))
        value = self.aggregate(Expressions(self.rng, inner), rows, self.rng.choice(["int", "str", "date"]))
        alias = self.name("l")
        query = node("query", "SELECT {} AS c0 FROM {}{}", value, found, where, outputs=(value,))
        text = f"{{}} CROSS JOIN LATERAL ({{}}) AS {alias}"
        return node("from", text, left, query), columns + seen([value], alias)


def seen(outputs, alias):
    """The columns c0, c1, ... of a query under an alias."""
    return [replace(one, ours=f"{alias}.c{i}", theirs=f"{alias}.c{i}", parts=()) for i, one in enumerate(outputs)]


def qualified(columns):
    """Without what USING merged: inside, its bare name might mean something else."""
    return [one for one in columns if "." in one.ours]
