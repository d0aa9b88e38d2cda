"""Random queries over random tables, in two texts that mean the same: ours, by Redshift's rules, and DuckDB's.

A query is a tree (generatednodes.py) over tables (generatedtables.py) with expressions (generatedexpressions.py). All
that is random comes from one random.Random. Where the two differ on purpose, DuckDB's text is translated:

    ours (Redshift)                                     DuckDB's text
    7 / 2 = 3                                           7 // 2
    a literal is INTEGER; SMALLINT + 1 is INTEGER       CAST(1 AS INTEGER); there a literal takes the column's width
    decimal + - * % widen to 38 digits                  both sides CAST to DECIMAL(38, s)
    decimal / decimal is DECIMAL                        DOUBLE / DOUBLE, compared within the decimal's digits
    AVG(decimal) is DECIMAL with 6 digits or more       DOUBLE, compared within the decimal's digits
    ROUND(decimal, n) keeps the scale: '1.50'           CAST to DECIMAL(38, s), whose text has as many places
    the common type of decimals keeps every digit       CAST to DECIMAL(38, s) of one s
    REAL with a number is DOUBLE                        CAST to DOUBLE
    x / 0 is an error, for DOUBLE too                   NULLIF(x, 0) in both; on purpose in `failing` only
    SUM(SMALLINT, INTEGER) is BIGINT                    CAST(SUM(x) AS BIGINT)
    SUM(BIGINT) is DECIMAL(38, 0)                       SUM over CAST(x AS HUGEINT): above a join on an inequality
                                                        SUM(BIGINT) wraps at 64 bits there (duckdb 2.0.1)
    ORDER BY: NULL is larger than everything            NULLS LAST ascending, NULLS FIRST descending, said
    DATE + INTERVAL of days or months is DATE           CAST(... AS DATE)
    a row with a NULL in it equals nothing              rows are compared value by value
    CONCAT(a, NULL) is NULL                             a || NULL
    NVL, NVL2, DATEADD, LEN, LISTAGG ... WITHIN GROUP   COALESCE, CASE, + n * INTERVAL, LENGTH, STRING_AGG

Left out, since they differ and no text makes them alike: DATEDIFF(week), ADD_MONTHS (which keeps the end of a month),
DOUBLE as text, backslashes in patterns, text -> number with an exponent or a point.
"""

from dataclasses import replace

from tests.sql.generatedexpressions import SQL, Expressions
from tests.sql.generatedgroups import SORTABLE, Groups
from tests.sql.generatednodes import NOTHING, aligned, fitting, listed, node, optional, piece, quoted, selected
from tests.sql.generatedsubqueries import Subqueries, qualified, seen
from tests.sql.generatedtables import WORDS

MANY = 20_000  # rows that a relation may have, unless its tables have more


class Queries(Groups, Subqueries):
    """Makes queries over the tables."""

    def __init__(self, rng, tables):
        self.rng = rng
        self.small = [table for table in tables if table.rows < 1000]
        self.large = [table for table in tables if table.rows >= 1000]
        self.number = 0
        self.withs = []  # (name, outputs, rows) of WITH queries in sight

    def name(self, letter):
        self.number += 1
        return f"{letter}{self.number}"

    # ---- relations: (node, columns, rows)

    def table(self, table):
        alias = self.name("a")
        columns = [
            node(
                kind.name,
                f"{alias}.{name}",
                width=kind.width,
                scale=kind.scale,
                most=-(-kind.most // 10**kind.scale) if kind.name == "dec" else kind.most,
                dyadic=kind.name != "wild",
            )
            for name, kind in table.columns
        ]
        return node("from", f"{table.name} AS {alias}"), columns, table.rows

    def source(self, depth):
        """A table, a query, VALUES, or a WITH query."""
        rng = self.rng
        chance = rng.random()
        if self.withs and chance < 0.5:
            name, outputs, rows = rng.choice(self.withs)
            alias = self.name("w")
            return node("from", f"{name} AS {alias}"), seen(outputs, alias), rows
        if depth > 0 and chance < 0.2:
            inner = self.query(depth - 1)
            alias = self.name("q")
            return node("from", f"({{}}) AS {alias}", inner), seen(inner.outputs, alias), self.rows
        if chance < 0.27:
            return self.values()
        return self.table(rng.choice(self.small))

    def values(self):
        bare = Expressions(self.rng, [])
        kinds = self.rng.choices(("int", "str", "date", "dec"), k=self.rng.randint(1, 3))
        count = self.rng.randint(1, 5)
        rows, most = [], [0] * len(kinds)
        for n in range(count):
            cells = [getattr(bare, kind)(0) for kind in kinds]
            if n and self.rng.random() < 0.3:
                cells[0] = piece("NULL")
            rows.append(piece("({})", listed(cells)))
        del most
        alias = self.name("v")
        outputs = [node(kind, "c", width=8, scale=4 if kind == "dec" else 0, most=100_000) for kind in kinds]
        names = ", ".join(f"c{i}" for i in range(len(kinds)))
        return node("from", f"(VALUES {{}}) AS {alias}({names})", listed(rows)), seen(outputs, alias), count

    def relation(self, depth, joins=None):
        """A FROM clause: sources, joined."""
        rng = self.rng
        found, columns, rows = self.source(depth)
        for _ in range(rng.choice([0, 0, 1, 1, 2, 3]) if joins is None else joins):
            right, more, count = self.source(depth - 1)
            if rows * count > MANY:
                break
            first = not any(part.kind == "from" for part in found.parts)
            found, columns = self.join(found, columns, right, more)
            rows = rows * count + rows + count
            if first and any(word in found.ours for word in (", ", "USING", "NATURAL")):
                break
        return found, columns, rows

    def join(self, left, columns, right, more):
        rng = self.rng
        form = rng.random()
        first = not any(part.kind == "from" for part in left.parts)
        if form < 0.04 and qualified(columns):
            return self.lateral(left, columns)
        if form < 0.1:
            return node("from", "{}, {}" if first and form < 0.07 else "{} CROSS JOIN {}", left, right), columns + more
        kind = rng.choice(["JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        bases = [one.ours.split(".")[0] for one in (*columns, *more)]
        tables = all(base[0] == "a" for base in bases) and len(set(bases)) == 2
        if tables and first and form < 0.2:
            shared = [one for one in columns if one.ours.endswith(".k")]
            other = [one for one in more if one.ours.endswith(".k")]
            if shared and other:
                merged = node("int", "k", width=4, most=max(shared[0].most, other[0].most))
                kept = [one for one in columns + more if not one.ours.endswith(".k")]
                names = [[one.ours.rpartition(".")[2] for one in side] for side in (columns, more)]
                if set(names[0]) & set(names[1]) == {"k", "u"} and rng.random() < 0.5:
                    both = [one for one in columns + more if one.ours.endswith(".u")]
                    merged = [merged, node("int", "u", width=8, most=max(one.most for one in both))]
                    kept = [one for one in kept if one not in both]
                    text = rng.choice([f"{{}} NATURAL {kind} {{}}", f"{{}} {kind} {{}} USING (k, u)"])
                    return node("from", text, left, right), [*merged, *kept]
                return node("from", f"{{}} {kind} {{}} USING (k)", left, right), [merged, *kept]
        equal = self.equality(columns, more)
        if form > 0.9 and kind in {"JOIN", "LEFT JOIN", "RIGHT JOIN"}:
            condition = self.pair(columns, more)  # without an equality
        elif equal is None:
            condition = self.pair(columns, more) if kind != "FULL JOIN" else node("bool", "TRUE")
            kind = "CROSS JOIN" if condition.ours == "TRUE" else kind
        else:
            condition = equal
        if kind == "CROSS JOIN":
            return node("from", "{} CROSS JOIN {}", left, right), columns + more
        if form < 0.5 and kind != "FULL JOIN":
            both = Expressions(rng, columns + more)
            condition = node("bool", "({} AND {})", condition, both.bool(1))
        return node("from", f"{{}} {kind} {{}} ON {{}}", left, right, condition), columns + more

    def equality(self, left, right):
        """Conditions left.x = right.y that a join can be hashed by; None if no kinds agree."""
        rng = self.rng
        pairs = [(a, b) for a in left for b in right if a.kind == b.kind and (a.kind != "dec" or fitting(a, b))]
        keyed = [(a, b) for a, b in pairs if a.kind == "int" and a.most < 1000 and b.most < 1000]
        if not pairs:
            return None
        chosen = [rng.choice(keyed or pairs)]
        if rng.random() < 0.25:
            chosen.append(rng.choice(pairs))
        terms = [self._equal(a, b) for a, b in chosen]
        return terms[0] if len(terms) == 1 else node("bool", "({} AND {})", *terms)

    def _equal(self, a, b):
        if self.rng.random() < 0.15 and a.kind == "int" and a.most < 10**6:
            return (
                node("bool", "({} + 1 = {})", a, b, theirs="({} + CAST(1 AS INTEGER) = {})")
                if a.width > 2
                else node("bool", "({} = {})", a, b)
            )
        return node("bool", "({} = {})" if self.rng.random() < 0.9 else "({1} = {0})", *aligned(a, b))

    def pair(self, left, right):
        """A condition on both sides that is no equality."""
        pairs = [(a, b) for a in left for b in right if a.kind == b.kind and (a.kind != "dec" or fitting(a, b))]
        if not pairs:
            return node("bool", "TRUE")
        a, b = aligned(*self.rng.choice(pairs))
        return node("bool", f"({{}} {self.rng.choice(['<', '>', '<=', '>=', '<>'])} {{}})", a, b)

    # ---- whole queries

    def statement(self):
        """A query of any kind, whose `outputs` say what may be compared how, and `sorted` how its rows are ordered."""
        self.number = 0
        self.withs = []
        if self.large and self.rng.random() < 0.7:
            return self.over_large()
        if self.rng.random() < 0.15:
            return self.with_queries()
        return self.ordered(self.query(2, top=True))

    def query(self, depth, *, top=False, kinds=None):
        """SELECT or a set operation; its outputs exact unless it is the outermost."""
        rng = self.rng
        form = rng.random()
        self.rows = MANY
        if form < 0.12 and depth > 0:
            return self.set_operation(depth)
        relation = self.relation(depth)
        if form < 0.42:
            found = self.grouped(relation, depth, top=top, kinds=kinds)
        elif form < 0.57:
            found = self.windowed(relation, depth, top=top)
        else:
            found = self.plain(relation, depth, top=top, kinds=kinds)
        self.rows = max(relation[2], 1)
        if not top and rng.random() < 0.15:
            found = self.limited(found)
        return found

    def where(self, columns, rows, depth):
        if self.rng.random() < 0.4:
            return NOTHING
        queries = self if depth > 0 and rows < 2000 else None
        return optional(" WHERE {}", Expressions(self.rng, columns, queries).bool(2))

    def plain(self, relation, depth, *, top=False, kinds=None):
        found, columns, rows = relation
        rng = self.rng
        queries = self if depth > 0 and rows < 2000 else None
        scope = Expressions(rng, columns, queries)
        if kinds is not None:
            outputs = [getattr(scope, kind)(2) for kind in kinds]
        else:
            outputs = [scope.any(2, SORTABLE) for _ in range(rng.randint(1, 4))]
            if top and rng.random() < 0.25:
                outputs.append(scope.inexact(2))
        if top and rng.random() < 0.04:
            where = self.where(columns, rows, depth)
            return node("query", "SELECT * FROM {}{}", found, where, outputs=tuple(columns))
        distinct = " DISTINCT" if rng.random() < 0.12 and all(one.exact for one in outputs) else ""
        return selected(distinct, outputs, found, self.where(columns, rows, depth), NOTHING)

    def set_operation(self, depth):
        rng = self.rng
        kinds = rng.choices(("int", "str", "date", "bool", "ts", "dbl", "real", "gap"), k=rng.randint(1, 3))
        first = self.side(depth, kinds)
        for _ in range(rng.choice([1, 1, 2])):
            operator = rng.choice(
                ["UNION", "UNION ALL", "UNION ALL", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"]
            )
            second = self.side(depth, kinds)
            both = zip(first.outputs, second.outputs, strict=True)
            outputs = tuple(
                replace(a, width=max(a.width, b.width), most=max(a.most, b.most), dyadic=a.dyadic and b.dyadic)
                for a, b in both
            )
            first = node("query", f"({{}}) {operator} ({{}})", first, second, outputs=outputs)
        names = ", ".join(f"c{i}" for i in range(len(kinds)))
        found = node("query", f"SELECT {names} FROM ({{}}) AS {self.name('s')}({names})", first, outputs=first.outputs)
        self.rows = MANY
        return found

    def side(self, depth, kinds):
        relation = self.relation(depth - 1, joins=self.rng.choice([0, 0, 1]))
        return self.plain(relation, depth - 1, kinds=kinds)

    def with_queries(self):
        rng = self.rng
        if rng.random() < 0.25:
            return self.recursive()
        pieces = []
        for _ in range(rng.randint(1, 2)):
            inner = self.query(1)
            name = self.name("cte")
            pieces.append(node("piece", f"{name} AS ({{}})", inner))
            self.withs.append((name, inner.outputs, min(self.rows, 400)))
        outer = self.ordered(self.query(1, top=True))
        return node("query", "WITH {} {}", listed(pieces), outer, outputs=outer.outputs, sorted=outer.sorted)

    def recursive(self):
        """Numbers, or a walk along k -> u."""
        rng = self.rng
        table = rng.choice(self.small)
        integer = node("int", "n", width=4, most=100)
        if rng.random() < 0.5:
            step = rng.randint(1, 4)
            first = "SELECT CAST(1 AS BIGINT)"
            more = f"SELECT CAST(n + {step} AS BIGINT) FROM r WHERE n < {rng.randint(0, 60)}"
            last = f"SELECT r.n, COUNT(t.u) FROM r LEFT JOIN {table.name} AS t ON t.k = r.n GROUP BY 1"
            text = f"WITH RECURSIVE r(n) AS ({first} UNION ALL {more}) {last}"
        else:
            first = f"SELECT CAST(u AS BIGINT), CAST(0 AS INTEGER) FROM {table.name} WHERE u < 3"
            more = f"SELECT CAST(t.k AS BIGINT), CAST(m + 1 AS INTEGER) FROM {table.name} AS t JOIN r ON t.u = r.n"
            text = f"WITH RECURSIVE r(n, m) AS ({first} UNION {more} WHERE m < 5) SELECT n, m FROM r"
        return node("query", text, outputs=(integer, integer))

    # ---- order

    def key(self, one, scope=None, text="{}"):
        """A sort key of a node: with directions in both texts."""
        del scope
        down = self.rng.random() < 0.4
        nulls = self.rng.choice(["", "", " NULLS FIRST", " NULLS LAST"])
        way = self.rng.choice(["", " ASC"]) if not down else " DESC"
        said = nulls or (" NULLS FIRST" if down else " NULLS LAST")
        constant = one.ours.strip("()-").isdigit() and text == "{}"
        inner = piece("CAST({} AS INTEGER)", one) if constant else one
        return piece(f"{text}{way}{nulls}", inner, theirs=f"{text}{way}{said}"), down

    def ordered(self, query):
        """With ORDER BY positions or aliases, and LIMIT if that leaves no choice."""
        rng = self.rng
        if rng.random() < 0.45:
            return query
        exact = [i for i, one in enumerate(query.outputs) if one.exact]
        if not exact:
            return query
        chosen = rng.sample(exact, rng.randint(1, len(exact)))
        total = len(chosen) == len(query.outputs)
        named = rng.random() < 0.5 and not query.ours.startswith("SELECT *")
        keys = [self.key(query.outputs[i], text=f"c{i}" if named else str(i + 1))[0] for i in chosen]
        limit = NOTHING
        if total and rng.random() < 0.6:
            limit = piece(
                rng.choice(
                    [
                        f" LIMIT {rng.randint(0, 12)}",
                        f" LIMIT {rng.randint(1, 12)} OFFSET {rng.randint(0, 5)}",
                        f" OFFSET {rng.randint(0, 9)}",
                    ]
                )
            )
        return node(
            "query", "{} ORDER BY {}{}", query, listed(keys), limit, outputs=query.outputs, sorted=tuple(chosen)
        )

    def limited(self, query):
        """Ordered by all columns and limited: for inside."""
        keys = [self.key(one, text=str(i + 1))[0] for i, one in enumerate(query.outputs)]
        return node(
            "query", f"{{}} ORDER BY {{}} LIMIT {self.rng.randint(0, 20)}", query, listed(keys), outputs=query.outputs
        )

    # ---- large tables, and failures

    def over_large(self):
        """Something over a table of several batches: few rows come out, or all of them."""
        rng = self.rng
        self.withs = []
        found, columns, rows = self.table(rng.choice(self.large))
        if rng.random() < 0.5:
            other = rng.choice(self.small + self.large)
            right, more, count = self.table(other)
            keys = [next(one for one in side if one.ours.endswith(".u")) for side in (columns, more)]
            if count < 1000 and rng.random() < 0.5:
                keys[0] = next(one for one in columns if one.ours.endswith(".k"))
            kind = rng.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
            found = node("from", f"{{}} {kind} {{}} ON {{}} = {{}}", found, right, *keys)
            columns, rows = columns + more, rows + count
        relation = (found, columns, rows)
        form = rng.random()
        if form < 0.6:
            return self.ordered(self.grouped(relation, 0, top=True))
        query = self.plain(relation, 0, top=True) if form < 0.85 else self.windowed(relation, 0, top=True)
        if all(one.exact for one in query.outputs) and rng.random() < 0.7:
            return replace(self.limited(query), sorted=tuple(range(len(query.outputs))))
        return self.ordered(query)

    def failing(self):
        """An expression over every row of one table that has no value for some rows: overflow, x / 0, a bad cast."""
        rng = self.rng
        self.number = 0
        found, columns, _ = self.table(rng.choice(self.small))
        scope = Expressions(rng, columns)
        form = rng.randrange(5)
        if form == 0:
            value = node("int", rng.choice(["({} / {})", "({} % {})"]), scope.int(0), scope.int(0))
            value = replace(value, theirs=value.ours.replace("/", "//"))
        elif form == 1:
            a, b = scope.int(0), scope.int(0)
            value = node("int", f"({{}} {rng.choice('+-*')} {{}})", a, b)
        elif form == 2:
            value = node("int", f"CAST({{}} AS {SQL[rng.choice([2, 4])]})", scope.number(0, ("int", "dec", "dbl")))
        elif form == 3:
            value = node(
                "int",
                f"CAST({{}} AS {rng.choice(['INTEGER', 'BIGINT', 'SMALLINT', 'DATE'])})",
                scope.column("str", "numeral") or node("str", quoted(rng.choice(WORDS))),
            )
        else:
            value = node("dec", "CAST({} AS DECIMAL(6,2))", scope.number(0, ("int", "dec")))
        return selected("", [value], found, NOTHING, NOTHING)
