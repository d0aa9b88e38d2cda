"""Random groups, aggregates and windows."""

from dataclasses import replace

from tests.sql.generatedexpressions import Expressions
from tests.sql.generatednodes import NOTHING, listed, node, optional, piece, selected

KEYS = ("int", "int", "str", "date", "bool", "dec", "ts")
SORTABLE = (*KEYS, "dbl", "wild", "real", "gap")
AGGREGATES = (
    "count",
    "count",
    "sum",
    "sum",
    "least",
    "least",
    "avg",
    "bool",
    "listagg",
    "inexact",
    "median",
    "bits",
    "disc",
)


class Groups:
    """What Queries says about groups and windows."""

    def grouped(self, relation, depth, *, top=False, kinds=None):
        rng = self.rng
        found, columns, rows = relation
        scope = Expressions(rng, columns)
        where = self.where(columns, rows, depth)
        keys = []
        for _ in range(rng.choice([0, 1, 1, 2, 2, 3])):
            one = scope.any(rng.choice([0, 0, 1, 2]), KEYS)
            keys.append(one if rng.random() < 0.85 else scope.wild(0))
        by = NOTHING
        given = [
            (node(one.kind, "{}", one, width=one.width, scale=one.scale, most=one.most, dyadic=one.dyadic))
            for one in keys
        ]
        if keys:
            form = rng.random()
            names = listed(keys)
            if form < 0.1 and kinds is None:
                return self._sets(found, where, columns, rows)
            if form < 0.25 and kinds is None:
                by = piece(" GROUP BY " + ", ".join(str(i + 1) for i in range(len(keys))))
            elif all(one.parts or not one.ours.lstrip("-(")[0].isdigit() for one in keys):
                by = piece(" GROUP BY {}", names)
            else:
                keys, given = [], []
        if kinds is not None:
            outputs = [self.aggregate(scope, rows, kind) for kind in kinds]
        else:
            outputs = [*given, *(self.aggregate(scope, rows, None, top=top) for _ in range(rng.randint(1, 3)))]
            if rng.random() < 0.15:
                outputs.append(self.ranked(scope, rows, keys if " GROUP BY {}" in by.ours else []))
            if keys and rng.random() < 0.2 and not by.ours[-1].isdigit():
                outputs = outputs[len(given) :] or outputs
        having = NOTHING
        if rng.random() < 0.2:
            inner = self.aggregate(scope, rows, "int")
            having = optional(f" HAVING {{}} {rng.choice(['<', '>', '>=', '<>'])} {rng.choice(['0', '1', '5'])}", inner)
        return selected("", outputs, found, where, by, having)

    def _sets(self, found, where, columns, rows):
        """GROUPING SETS, ROLLUP, CUBE over columns."""
        rng = self.rng
        usable = [one for one in columns if one.kind in KEYS]
        if not usable:
            usable = columns
        keys = rng.sample(usable, min(len(usable), rng.randint(1, 3)))
        form = rng.randrange(4)
        if form < 2:
            by = piece(" GROUP BY " + ("ROLLUP", "CUBE")[form] + " ({})", listed(keys))
        elif form == 2:  # the sets of each, crossed
            name = rng.choice(["ROLLUP ({})", "CUBE ({})", "GROUPING SETS ({}, ())"])
            rest = rng.choice(["{}", "ROLLUP ({})"])
            parts = [piece(name, keys[0]), *([piece(rest, listed(keys[1:]))] if keys[1:] else [])]
            by = piece(" GROUP BY {}", listed(parts))
        else:
            sets = [rng.sample(keys, rng.randint(0, len(keys))) for _ in range(rng.randint(1, 3))] + [keys]
            by = piece(
                " GROUP BY GROUPING SETS ({})",
                listed([piece("({})", listed(one)) if one else piece("()") for one in sets]),
            )
        outputs = [*keys, self.aggregate(Expressions(rng, columns), rows, None)]
        if rng.random() < 0.6:
            outputs.append(node("int", "CAST(GROUPING({}) AS BIGINT)", listed(keys), width=8, most=8))
        return selected("", outputs, found, where, by)

    def aggregate(self, scope, rows, kind, *, top=False):  # noqa: C901 - one kind after the other
        """An aggregate of this kind, or of any."""
        rng = self.rng
        rows = max(rows, 1)
        filtered = piece(" FILTER (WHERE {})", scope.bool(1)) if rng.random() < 0.15 else NOTHING
        if kind is None:
            kind = rng.choice(AGGREGATES)
        if kind == "count" or (kind == "int" and rng.random() < 0.5):
            form = rng.randrange(3)
            if form == 0:
                return node("int", "COUNT(*){}", filtered, width=8, most=10**9)
            argument = scope.any(1, SORTABLE)
            return node(
                "int", f"COUNT({'DISTINCT ' if form == 1 else ''}{{}}){{}}", argument, filtered, width=8, most=10**9
            )
        if kind in {"int", "sum"}:
            return self._sum(scope, rows, filtered, whole=kind == "int")
        if kind == "avg" and top:
            a = scope.number(1, ("int", "dbl", "dec", "real"))
            if a.most > 10**20:
                return node("int", "COUNT(*)", width=8, most=10**9)
            return node("dbl", "AVG({}){}", a, filtered, exact=False)
        if kind == "inexact" and top:
            name = rng.choice(["STDDEV_SAMP", "STDDEV_POP", "VAR_SAMP", "VAR_POP"])
            return node(
                "dbl", name + "(CAST({} AS DOUBLE PRECISION)){}", as_limited(scope.int(1)), filtered, exact=False
            )
        if kind == "median":
            a = as_limited(scope.int(1))
            form = rng.choice(
                [
                    "MEDIAN({})",
                    "PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY {})",
                    "PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY {})",
                ]
            )
            return node("dbl", form, a, dyadic=False, exact=top is False or True)
        if kind == "listagg":
            a = scope.str(1)
            down, only = rng.choice(["", " DESC"]), rng.choice(["", "", "DISTINCT "])
            ours = f"LISTAGG({only}{{0}}, ',') WITHIN GROUP (ORDER BY {{0}}{down})"
            return node("str", ours, a, theirs=f"STRING_AGG({only}{{0}}, ',' ORDER BY {{0}}{down})")
        if kind == "bits":
            a = scope.int(1)
            name = rng.choice(["BIT_AND({}){}", "BIT_OR({}){}"])
            return node("int", name, a, filtered, width=a.width, most=min(2 * a.most + 1, 2 ** (8 * a.width - 1)))
        if kind == "disc":
            a = scope.any(1, ("int", "date", "ts", "dbl"))
            place, down = rng.choice([0, 0.25, 0.5, 1]), rng.choice(["", " DESC"])
            name = f"PERCENTILE_DISC({place}) WITHIN GROUP (ORDER BY {{}}{down})"
            return node(a.kind, name, a, width=a.width, scale=a.scale, most=a.most, dyadic=a.dyadic)
        if kind == "bool":
            return node("bool", rng.choice(["BOOL_AND", "BOOL_OR"]) + "({}){}", scope.bool(1), filtered)
        wanted = (
            kind
            if kind in {"str", "dec", "date", "ts", "dbl", "real", "gap"}
            else rng.choice(["int", "str", "date", "dec", "ts", "dbl", "wild", "gap"])
        )
        a = getattr(scope, wanted)(1)
        return node(
            a.kind,
            rng.choice(["MIN", "MAX"]) + "({}){}",
            a,
            filtered,
            width=a.width,
            scale=a.scale,
            most=a.most,
            dyadic=a.dyadic,
        )

    def _sum(self, scope, rows, filtered, *, whole):
        rng = self.rng
        a = scope.int(1) if whole else scope.number(1)
        rows = max(rows, 1)
        distinct = "DISTINCT " if rng.random() < 0.1 else ""
        if a.kind == "int":
            if a.width < 8:
                return node(
                    "int",
                    f"SUM({distinct}{{}}){{}}",
                    a,
                    filtered,
                    theirs=f"CAST(SUM({distinct}{{}}){{}} AS BIGINT)",
                    width=8,
                    most=a.most * rows,
                )
            if whole:
                return node("int", "MAX({}){}", a, filtered, width=a.width, most=a.most)
            return node(
                "dec",
                f"SUM({distinct}{{}}){{}}",
                a,
                filtered,
                theirs=f"CAST(SUM({distinct}CAST({{}} AS HUGEINT)){{}} AS DECIMAL(38,0))",
                most=a.most * rows,
            )
        if a.kind == "dec":
            if a.most * rows * 10**a.scale >= 10**37:
                return node("dec", "MAX({}){}", a, filtered, scale=a.scale, most=a.most)
            theirs = f"SUM({distinct}CAST({{}} AS DECIMAL(38,{a.scale}))){{}}"
            return node(
                "dec", f"SUM({distinct}{{}}){{}}", a, filtered, theirs=theirs, scale=a.scale, most=a.most * rows
            )
        if not a.dyadic or a.most * rows > 2**48:
            return node(a.kind, "MIN({}){}", a, filtered, most=a.most, dyadic=a.dyadic)
        return node("dbl", f"SUM({distinct}{{}}){{}}", a, filtered, most=a.most * rows)

    def windowed(self, relation, depth, *, top=False):
        """Window functions; what depends on the order of rows has an order that only equal rows share."""
        rng = self.rng
        found, columns, rows = relation
        scope = Expressions(rng, columns)
        where = self.where(columns, rows, depth)
        whole = [one for one in columns if one.exact]
        outputs = [rng.choice(whole) for _ in range(rng.randint(1, 2))]
        total = rng.random() < 0.6  # one of them: which of two equal rows comes first is anybody's choice
        for _ in range(rng.randint(1, 2)):
            partition = rng.choice(["", "PARTITION BY {} "])
            by = (
                listed([scope.any(rng.choice([0, 0, 1]), KEYS) for _ in range(rng.randint(1, 2))])
                if partition
                else NOTHING
            )
            keys = [
                self.key(one, scope)[0]
                for one in (rng.sample(whole, len(whole)) if total else [scope.any(1, SORTABLE)])
            ]
            order = listed(keys)
            start = partition + ("ORDER BY {}" if partition else "{}ORDER BY {}")
            outputs.append(self.window(scope, rows, start, by, order, total=total, top=top))
            total = False
        if rng.random() < 0.1:
            chosen = node("int", "RANK() OVER (ORDER BY {})", self.key(scope.any(1, SORTABLE))[0])
            return selected("", outputs, found, where, optional(f" QUALIFY {{}} <= {rng.randint(1, 5)}", chosen))
        return selected("", outputs, found, where, NOTHING)

    def ranked(self, scope, rows, keys):
        """A window over groups."""
        rng = self.rng
        by = piece("PARTITION BY {} ", rng.choice(keys)) if keys and rng.random() < 0.5 else NOTHING
        kind = rng.choice(["int", "str", "date"])
        if rng.random() < 0.5:
            order = self.key(self.aggregate(scope, rows, kind))[0]
            return node("int", "RANK() OVER ({}ORDER BY {})", by, order, width=8, most=10**6)
        a = as_limited(self.aggregate(scope, rows, "int"))
        theirs = "CAST(SUM(CAST({} AS HUGEINT)) OVER ({}) AS DECIMAL(38,0))"
        return node("dec", "SUM({}) OVER ({})", a, by, theirs=theirs, most=10**10)

    def window(self, scope, rows, over, by, order, *, total, top):  # noqa: C901 - one form after the other
        rng = self.rng
        if rng.random() < 0.15:
            return self.whole_window(scope, rows, by)
        if total:
            form = rng.randrange(7)
            whole = {"width": 8, "most": 10**6}
            if form == 0:
                return node("int", f"ROW_NUMBER() OVER ({over})", by, order, **whole)
            if form == 1:
                return node("int", f"NTILE({rng.randint(1, 7)}) OVER ({over})", by, order, **whole)
            a = scope.any(1, SORTABLE)
            more = {"width": a.width, "scale": a.scale, "most": a.most, "dyadic": a.dyadic}
            if form == 2:
                name, skip = rng.choice(["LAG", "LEAD"]), rng.choice(["", "", " IGNORE NULLS"])
                places = rng.choice(["", ", 1", ", 2", ", 0"])
                theirs = f"{name}({{}}{places}{skip}) OVER ({over})"
                return node(a.kind, f"{name}({{}}{places}){skip} OVER ({over})", a, by, order, theirs=theirs, **more)
            frame = self.frame(rng.choice(["ROWS", "ROWS", "GROUPS"]))
            if form == 3:
                name, skip = (
                    rng.choice(["FIRST_VALUE({}", "LAST_VALUE({}", "NTH_VALUE({}, 2"]),
                    rng.choice(["", " IGNORE NULLS"]),
                )
                theirs = f"{name}{skip}) OVER ({over}{frame})"
                return node(a.kind, f"{name}){skip} OVER ({over}{frame})", a, by, order, theirs=theirs, **more)
            return self._over(scope, rows, over + frame, by, order, top=top)
        form = rng.randrange(7)
        if form == 6:
            a = scope.any(1, ("date", "ts"))
            bounds = sorted((rng.randint(-40, 40), rng.randint(-40, 40)))
            shown = [f"INTERVAL '{abs(n)} day' {'PRECEDING' if n < 0 else 'FOLLOWING'}" for n in bounds]
            down = rng.choice(["", " DESC"])
            kept = f"ORDER BY {{}}{down} RANGE BETWEEN {shown[0]} AND {shown[1]}"
            # NULLs stand among themselves: where, both are told
            key = piece("{}", a)
            over = over.replace("ORDER BY {}", kept)
            return node("int", f"COUNT({{}}) OVER ({over})", scope.int(0), by, key, width=8, most=10**6)
        if form == 5 and " DESC" not in order.text(0):
            a = as_limited(scope.int(1))
            least, most = sorted((rng.randint(-9, 9), rng.randint(-9, 9)))
            bounds = [f"{abs(n)} {'PRECEDING' if n < 0 else 'FOLLOWING'}" for n in (least, most)]
            over = over.replace("ORDER BY {}", f"ORDER BY {{}} RANGE BETWEEN {bounds[0]} AND {bounds[1]}")
            return node("int", f"COUNT({{}}) OVER ({over})", scope.int(0), by, a, width=8, most=10**6)
        if form < 2:
            name = rng.choice(["RANK()", "DENSE_RANK()"])
            return node("int", f"{name} OVER ({over})", by, order, width=8, most=10**6)
        if form == 2 and top:
            name = rng.choice(["PERCENT_RANK()", "CUME_DIST()"])
            return node("dbl", f"{name} OVER ({over})", by, order, exact=False)
        return self._over(scope, rows, over + rng.choice(["", self.frame("RANGE")]), by, order, top=top)

    def whole_window(self, scope, rows, by):
        """An aggregate over all rows of a partition that has no order."""
        rng = self.rng
        over = " OVER (PARTITION BY {})" if by is not NOTHING else " OVER ({})"
        form = rng.randrange(4)
        if form == 1 and rows > 2000:  # every row would have a text of all rows
            form = 2
        if form == 0:
            return node("dbl", "MEDIAN({})" + over, as_limited(scope.int(1)), by)
        if form == 1:
            theirs = "STRING_AGG({0}, ',' ORDER BY {0})" + over.replace("{}", "{1}")
            ours = "LISTAGG({0}, ',') WITHIN GROUP (ORDER BY {0})" + over.replace("{}", "{1}")
            return node("str", ours, scope.str(1), by, theirs=theirs)
        if form == 2:
            name = rng.choice(["COUNT", "MIN", "MAX"])
            a = scope.int(1)
            distinct = rng.choice(["", "DISTINCT "])
            return node("int", f"{name}({distinct}{{}})" + over, a, by, width=8, most=max(a.most, 10**6))
        a = scope.any(1, ("date", "str", "gap", "dec"))
        more = {"width": a.width, "scale": a.scale, "most": a.most}
        return node(a.kind, rng.choice(["MIN", "MAX"]) + "({})" + over, a, by, **more)

    def _over(self, scope, rows, over, by, order, *, top):
        """An aggregate over a window."""
        while True:
            found = self.aggregate(scope, rows, self.rng.choice(["count", "sum", "least", "avg", "int"]), top=top)
            if "DISTINCT" not in found.ours:
                break
        ours, theirs = found.ours, found.theirs
        suffix = f" OVER ({over})"
        if theirs.startswith("CAST("):
            head, _, tail = theirs.rpartition(" AS ")
            theirs = f"{head}{suffix} AS {tail}"
        else:
            theirs += suffix
        return replace(found, ours=ours + suffix, theirs=theirs, parts=(*found.parts, by, order))

    def frame(self, unit):
        rng = self.rng
        starts = ["UNBOUNDED PRECEDING", "CURRENT ROW"]
        ends = ["CURRENT ROW", "UNBOUNDED FOLLOWING"]
        if unit != "RANGE":
            a, b = sorted(rng.sample(range(-3, 4), 2))
            places = [f"{-n} PRECEDING" if n < 0 else "CURRENT ROW" if n == 0 else f"{n} FOLLOWING" for n in (a, b)]
            starts.append(places[0])
            if rng.random() < 0.4:
                return f" {unit} BETWEEN {places[0]} AND {places[1]}"
        start, end = rng.choice(starts), rng.choice(ends)
        if "FOLLOWING" in start:
            end = "UNBOUNDED FOLLOWING"
        return f" {unit} BETWEEN {start} AND {end}"


def as_limited(one):
    return node("int", "({} % 10000)", one, theirs="({} % CAST(10000 AS INTEGER))", width=max(one.width, 4), most=9999)
