"""Random conditions: comparisons, three-valued logic, IN, BETWEEN, LIKE, IS."""

from tests.sql.generatednodes import aligned, fitting, listed, node, piece, quoted

COMPARISONS = ("=", "<>", "<", "<=", ">", ">=", "=", "<")


class Conditions:
    """What Expressions says about truth."""

    def bool(self, depth):  # noqa: C901, PLR0912 - one form after the other
        rng = self.rng
        if depth <= 0:
            found = self.column("bool")
            if found is not None and rng.random() < 0.3:
                return found
            return self.comparison(0)
        if self.queries is not None and rng.random() < 0.15:
            return self.queries.condition(self)
        form = rng.randrange(19)
        if form >= 16:
            return self.further_bool(depth)
        if form < 4:
            return self.comparison(depth)
        if form == 4:
            return node("bool", "({} AND {})", self.bool(depth - 1), self.bool(depth - 1))
        if form == 5:
            return node("bool", "({} OR {})", self.bool(depth - 1), self.bool(depth - 1))
        if form == 6:
            return node("bool", "(NOT {})", self.bool(depth - 1))
        if form == 7:
            return node("bool", f"({{}} IS {rng.choice(['', 'NOT '])}NULL)", self.any(depth - 1))
        if form == 8:
            return self.in_list(depth)
        if form == 9:
            a = self.any(depth - 1, ("int", "date", "str", "ts"))
            make = getattr(self, a.kind)
            return node("bool", f"({{}} {rng.choice(['', 'NOT '])}BETWEEN {{}} AND {{}})", a, make(0), make(0))
        if form in {10, 11}:
            return self.like(depth)
        if form == 12:
            kind = self.kind(("int", "str", "date", "dbl", "wild"))
            make = getattr(self, kind)
            return node("bool", f"({{}} IS {rng.choice(['', 'NOT '])}DISTINCT FROM {{}})", make(depth - 1), make(0))
        if form == 13:
            return node(
                "bool", f"({{}} IS {rng.choice(['', 'NOT '])}{rng.choice(['TRUE', 'FALSE'])})", self.bool(depth - 1)
            )
        if form == 14:
            return node(
                "bool", rng.choice(["TRUE", "FALSE", "CAST(NULL AS BOOLEAN)", "({} = {})"]), self.int(0), self.int(0)
            )
        return self._choice(depth, "bool")

    def comparison(self, depth):
        rng = self.rng
        operator = rng.choice(COMPARISONS)
        form = rng.randrange(6)
        if form == 0:
            a = self.number(depth - 1)
            b = self.number(depth - 1)
            if not fitting(a, b) or ("dec" in {a.kind, b.kind} and {"real", "dbl"} & {a.kind, b.kind}):
                b = a
            return node("bool", f"({{}} {operator} {{}})", *aligned(a, b))
        kind = self.kind(("int", "str", "date", "ts", "dec", "dbl", "wild"))
        make = getattr(self, kind)
        a, b = make(depth - 1), make(0)
        if kind == "dec" and not fitting(a, b):
            b = a
        return node("bool", f"({{}} {operator} {{}})", *aligned(a, b))

    def in_list(self, depth):
        rng = self.rng
        kind = self.kind(("int", "str", "date"))
        value = getattr(self, kind)(depth - 1)
        bare = type(self)(rng, [])
        items = [getattr(bare, kind)(0) for _ in range(rng.choice([1, 2, 3, 5, 60]))]
        if rng.random() < 0.2:
            items.append(piece("NULL"))
        if rng.random() < 0.2:
            items.append(getattr(self, kind)(0))
        return node("bool", f"({{}} {rng.choice(['', 'NOT '])}IN ({{}}))", value, listed(items))

    def like(self, depth):
        rng = self.rng
        pieces = [
            rng.choice(["%", "%", "_", "a", "b", "ab", "A", "ä", "日", "o", "-", "1"]) for _ in range(rng.randint(1, 4))
        ]
        operator = rng.choice(["LIKE", "LIKE", "NOT LIKE", "ILIKE"])
        escape = ""
        if rng.random() < 0.15:
            pieces.insert(rng.randint(0, len(pieces)), rng.choice(["#%", "#_", "##"]))
            escape = " ESCAPE '#'"
        return node("bool", f"({{}} {operator} {quoted(''.join(pieces))}{escape})", self.str(depth - 1))
