"""Random scalar expressions over the columns in sight, each with the text of both engines.

Nothing here can fail: divisors are NULLIF(x, 0), and `most`, the largest absolute value, is followed through every step
so that no result leaves its type. What fails on purpose is made in generated.py, where every row is computed for sure.
"""

from tests.sql.generatedconditions import Conditions
from tests.sql.generatedfunctions import Further
from tests.sql.generatednodes import aligned, fitting, node, quoted
from tests.sql.generatedtables import WORDS

LARGEST = {2: 2**15 - 1, 4: 2**31 - 1, 8: 2**63 - 1}
SQL = {2: "SMALLINT", 4: "INTEGER", 8: "BIGINT"}
NUMBERS = ("int", "dec", "real", "dbl")
EXACTLY_IN_DOUBLE = 2**50


def as_double(one):
    return node("dbl", "CAST({} AS DOUBLE PRECISION)", one, most=one.most, dyadic=one.kind != "dec", exact=one.exact)


class Expressions(Conditions, Further):
    """columns: nodes in sight. outer: those of the query around it. query: makes subqueries, None for none."""

    def __init__(self, rng, columns, queries=None):
        self.rng = rng
        self.columns = columns
        self.queries = queries

    # ---- choices

    def any(self, depth, kinds=None):
        """An exact expression of some kind."""
        return getattr(self, self.kind(kinds or ("int", "dec", "dbl", "date", "ts", "str", "bool")))(depth)

    def kind(self, kinds):
        """One of these kinds, rather one that a column in sight has."""
        found = [one.kind for one in self.columns if one.kind in kinds]
        return self.rng.choice(found) if found and self.rng.random() < 0.8 else self.rng.choice(kinds)

    def column(self, *kinds):
        """A column of one of these kinds; None if there is none."""
        found = [one for one in self.columns if one.kind in kinds]
        return self.rng.choice(found) if found else None

    def number(self, depth, kinds=("int", "int", "dec", "dbl", "real")):
        return getattr(self, self.kind(kinds))(depth)

    def _leaf(self, depth, kind):
        return depth <= 0 or self.rng.random() < 0.3 or (self.rng.random() < 0.3 and self.column(kind) is not None)

    def _choice(self, depth, kind):  # noqa: C901 - one form after the other
        """CASE, COALESCE and the like: over several of one kind."""
        make = getattr(self, kind)
        a, b = make(depth - 1), make(depth - 1)
        more = {
            "width": max(a.width, b.width),
            "scale": max(a.scale, b.scale),
            "most": max(a.most, b.most),
            "dyadic": a.dyadic and b.dyadic,
        }
        if kind == "dec":
            if not fitting(a, b):
                return a
            a, b = aligned(a, b)
        form = self.rng.randrange(8)
        if form == 0:
            return node(kind, "CASE WHEN {} THEN {} ELSE {} END", self.bool(depth - 1), a, b, **more)
        if form == 1:
            return node(kind, "CASE WHEN {} THEN {} WHEN {} THEN {} END", self.bool(0), a, self.bool(0), b, **more)
        if form == 2:
            return node(kind, "COALESCE({}, {})", a, b, **more)
        if form == 3:
            return node(kind, "NULLIF({}, {})", a, b, **more | {"width": a.width, "scale": a.scale})
        if form == 4:
            c = make(0)
            if kind == "dec":
                if not fitting(a, b, c):
                    return a
                a, b, c = aligned(a, b, c)
            more |= {"width": max(c.width, more["width"]), "scale": max(c.scale, more["scale"])}
            more |= {"most": max(c.most, more["most"]), "dyadic": c.dyadic and more["dyadic"]}
            return node(kind, self.rng.choice(["GREATEST", "LEAST"]) + "({}, {}, {})", a, b, c, **more)
        if form == 5:
            return node(kind, "NVL({}, {})", a, b, theirs="COALESCE({}, {})", **more)
        if form == 6:
            chosen = self.any(depth - 1, ("int", "str", "date"))
            return node(
                kind,
                "NVL2({}, {}, {})",
                chosen,
                a,
                b,
                theirs="CASE WHEN {} IS NOT NULL THEN {} ELSE {} END",
                **more,
            )
        value, known = self.int(depth - 1), self.int(0)
        return node(kind, "CASE {} WHEN {} THEN {} ELSE {} END", value, known, a, b, **more)

    def _scalar(self, depth, kind):
        if self.queries is not None and depth > 0 and self.rng.random() < 0.12:
            return self.queries.scalar(self, kind)
        return None

    # ---- numbers

    def int(self, depth):  # noqa: C901, PLR0912 - one form after the other
        rng = self.rng
        if self._leaf(depth, "int"):
            found = self.column("int")
            if found is not None and rng.random() < 0.75:
                return found
            if rng.random() < 0.05:
                return node("int", "CAST(NULL AS INTEGER)", width=4)
            value = rng.choice([0, 1, 2, 3, 7, rng.randint(-50, 50), rng.randint(-5000, 5000)])
            return node(
                "int",
                f"{value}" if value >= 0 else f"({value})",
                theirs=f"CAST({value} AS INTEGER)",
                width=4,
                most=abs(value),
            )
        found = self._scalar(depth, "int")
        if found is not None:
            return found
        form = rng.randrange(24)
        if form >= 20:
            return self.further_int(depth)
        if form < 7:
            return self._whole_arithmetic(depth)
        if form == 7:
            a = self.int(depth - 1)
            return node("int", "ABS({})", a, width=a.width, most=a.most)
        if form == 8:
            a = self.int(depth - 1)
            return node("int", "(- {})", a, width=a.width, most=a.most)
        if form == 9:
            name = rng.choice(["LENGTH", "LEN", "CHAR_LENGTH", "OCTET_LENGTH", "ASCII"])
            theirs = {"OCTET_LENGTH": "CAST(STRLEN({}) AS INTEGER)", "ASCII": "ASCII({})"}.get(
                name, "CAST(LENGTH({}) AS INTEGER)"
            )
            return node("int", name + "({})", self.str(depth - 1), theirs=theirs, width=4, most=10**6)
        if form == 10:
            a, b = self.str(depth - 1), self.str(0)
            if rng.random() < 0.5:
                return node(
                    "int", "STRPOS({}, {})", a, b, theirs="CAST(STRPOS({}, {}) AS INTEGER)", width=4, most=10**6
                )
            return node(
                "int", "POSITION({} IN {})", b, a, theirs="CAST(POSITION({} IN {}) AS INTEGER)", width=4, most=10**6
            )
        if form == 11:
            part = rng.choice(["year", "month", "day", "quarter", "dow", "doy", "week"])
            a = self.any(depth - 1, ("date", "ts"))
            ours = rng.choice([f"EXTRACT({part} FROM {{}})", f"DATE_PART('{part}', {{}})", f"DATE_PART({part}, {{}})"])
            return node(
                "int",
                f"CAST({ours} AS INTEGER)",
                a,
                theirs=f"CAST(DATE_PART('{part}', {{}}) AS INTEGER)",
                width=4,
                most=10_000,
            )
        if form == 12:
            part = rng.choice(["hour", "minute"])
            return node("int", f"CAST(EXTRACT({part} FROM {{}}) AS INTEGER)", self.ts(depth - 1), width=4, most=60)
        if form == 13:
            return node(
                "int",
                "({} - {})",
                self.date(depth - 1),
                self.date(depth - 1),
                theirs="CAST({} - {} AS INTEGER)",
                width=4,
                most=200_000,
            )
        if form == 14:
            part = rng.choice(["year", "month", "day", "quarter"])
            a, b = self.any(depth - 1, ("date", "ts")), self.any(depth - 1, ("date", "ts"))
            return node(
                "int",
                f"DATEDIFF({part}, {{}}, {{}})",
                a,
                b,
                theirs=f"DATE_DIFF('{part}', {{}}, {{}})",
                width=8,
                most=200_000,
            )
        if form == 15:
            a = self.int(depth - 1)
            width = rng.choice([width for width in LARGEST if LARGEST[width] >= a.most])
            return node("int", f"CAST({{}} AS {SQL[width]})", a, width=width, most=a.most)
        if form == 16:
            a = self.number(depth - 1, ("dec", "dbl"))
            if a.most + 1 > LARGEST[8]:
                return self.int(0)
            return node("int", "CAST({} AS BIGINT)", a, width=8, most=int(a.most) + 1)
        if form == 17:
            found = self.column("numeral")
            if rng.random() < 0.3:
                return node("int", "TRY_CAST({} AS INTEGER)", self.column("str") or self.str(0), width=4, most=10**6)
            if found is not None:
                return node("int", "CAST({} AS INTEGER)", found, width=4, most=100_000)
            return node("int", "CAST({} AS INTEGER)", self.bool(depth - 1), width=4, most=1)
        if form == 18:
            return node("int", "CAST(SIGN({}) AS INTEGER)", self.number(depth - 1, ("int", "dbl")), width=4, most=1)
        return self._choice(depth, "int")

    def _whole_arithmetic(self, depth):
        a, b = self.int(depth - 1), self.int(depth - 1)
        width = max(a.width, b.width)
        operator = self.rng.choice("+-*/%")
        if operator in "+-":
            most = a.most + b.most
        elif operator == "*":
            most = a.most * b.most
        else:
            most = a.most if operator == "/" else min(a.most, b.most)
            theirs = "({} // NULLIF({}, 0))" if operator == "/" else "({} % NULLIF({}, 0))"
            return node("int", f"({{}} {operator} NULLIF({{}}, 0))", a, b, theirs=theirs, width=width, most=most)
        if most > LARGEST[width]:
            if most > LARGEST[8]:
                return node(
                    "int", "({} % 1000)", a, theirs="({} % CAST(1000 AS INTEGER))", width=max(a.width, 4), most=999
                )
            a, width = node("int", "CAST({} AS BIGINT)", a, width=8, most=a.most), 8
        return node("int", f"({{}} {operator} {{}})", a, b, width=width, most=most)

    def dec(self, depth):  # noqa: C901, PLR0912 - one form after the other
        rng = self.rng
        if self._leaf(depth, "dec"):
            found = self.column("dec")
            if found is not None and rng.random() < 0.75:
                return found
            scale = rng.choice([1, 2, 4])
            value = f"{rng.randint(-99_999, 99_999) / 10**scale:.{scale}f}"
            shown = f"CAST({value} AS DECIMAL(12,{scale}))" if rng.random() < 0.5 or value[0] == "-" else value
            return node("dec", shown, theirs=f"CAST({value} AS DECIMAL(12,{scale}))", scale=scale, most=100_000)
        found = self._scalar(depth, "dec")
        if found is not None:
            return found
        form = rng.randrange(11)
        if form == 10:
            return self.further_dec(depth)
        if form < 4:
            return self._decimal_arithmetic(depth)
        a = self.dec(depth - 1)
        if form == 4:
            name = rng.choice(["ABS({})", "(- {})"])
            return node("dec", name, a, scale=a.scale, most=a.most)
        if form == 5:
            places = rng.randint(0, a.scale)
            if (a.most + 1) * 10**a.scale >= 10**38:
                return a
            theirs = f"CAST(ROUND({{}}, {places}) AS DECIMAL(38,{a.scale}))"
            return node("dec", f"ROUND({{}}, {places})", a, theirs=theirs, scale=a.scale, most=a.most + 1)
        if form == 6:
            name = rng.choice(["FLOOR", "CEIL", "TRUNC"])
            if (a.most + 1) * 10**a.scale >= 10**37:
                return a
            ours = f"CAST({name}({{}}) AS DECIMAL(38,0))"
            return node("dec", ours, a, scale=0, most=a.most + 1)
        if form == 7:
            scale = rng.choice([0, 2, 5])
            if (a.most + 1) * 10 ** max(scale, a.scale) >= 10**38:
                return a
            return node("dec", f"CAST({{}} AS DECIMAL(38,{scale}))", a, scale=scale, most=a.most + 1)
        if form == 8:
            b = self.int(depth - 1)
            return node("dec", "CAST({} AS DECIMAL(30,3))", b, scale=3, most=b.most)
        return self._choice(depth, "dec")

    def _decimal_arithmetic(self, depth):
        a, b = self.dec(depth - 1), self.rng.choice([self.dec, self.int])(depth - 1)
        scale = max(a.scale, b.scale)
        operator = self.rng.choice("+-*")  # % is DOUBLE there
        wide = "CAST({{}} AS DECIMAL(38,{})) {} "
        if operator == "*":
            if a.scale + b.scale > 12 or (a.most + 1) * (b.most + 1) * 10 ** (a.scale + b.scale) >= 10**37:
                return a
            return node(
                "dec",
                "({} * {})",
                a,
                b,
                theirs=f"(CAST({{}} AS DECIMAL(38,{a.scale})) * CAST({{}} AS DECIMAL(38,{b.scale})))",
                scale=a.scale + b.scale,
                most=a.most * b.most,
            )
        if (a.most + b.most + 1) * 10**scale >= 10**37:
            return a
        theirs = wide.format(a.scale, operator) + f"CAST({{}} AS DECIMAL(38,{b.scale}))"
        return node("dec", f"({{}} {operator} {{}})", a, b, theirs=f"({theirs})", scale=scale, most=a.most + b.most)

    def real(self, depth):
        found = self.column("real")
        if found is not None and self._leaf(depth, "real"):
            return found
        if depth <= 0:
            return node("real", f"CAST({self.rng.randint(-40, 40) / 4} AS REAL)", most=10)
        return self._choice(depth, "real")

    def dbl(self, depth):  # noqa: C901 - one form after the other
        rng = self.rng
        if self._leaf(depth, "dbl"):
            found = self.column("dbl")
            if found is not None and rng.random() < 0.75:
                return found
            value = rng.randint(-4000, 4000) / 4
            return node("dbl", f"CAST({value} AS DOUBLE PRECISION)", most=1000)
        form = rng.randrange(10)
        if form < 4:
            a, b = self.dbl(depth - 1), self.number(depth - 1, ("dbl", "int", "real"))
            operator = rng.choice("+-*/")
            if operator == "/":
                return node(
                    "dbl",
                    "({} / NULLIF({}, 0))",
                    a,
                    b,
                    theirs="({} / NULLIF(CAST({} AS DOUBLE), 0))",
                    dyadic=False,
                    most=a.most * 10**6 + 1,
                )
            most = a.most * b.most if operator == "*" else a.most + b.most
            if most > EXACTLY_IN_DOUBLE // 64:
                return a
            return node(
                "dbl",
                f"({{}} {operator} {{}})",
                a,
                b,
                theirs=f"({{}} {operator} CAST({{}} AS DOUBLE))",
                dyadic=a.dyadic and b.dyadic,
                most=most,
            )
        if form == 4:
            a = self.dbl(depth - 1)
            if a.dyadic and a.most < 10**9:
                name = rng.choice(["FLOOR", "CEIL", "ABS", "TRUNC"])
                return node("dbl", name + "({})", a, most=a.most + 1)
            return a
        if form == 5:
            a = self.number(depth - 1, ("int", "real", "dec"))
            if a.most * 10**a.scale < EXACTLY_IN_DOUBLE:
                return as_double(a)
            return self.dbl(0)
        if form == 6:
            a = self.dbl(depth - 1)
            return node("dbl", "(- {})", a, dyadic=a.dyadic, most=a.most)
        if form == 7:
            found = self.column("int")
            if found is not None and found.most < EXACTLY_IN_DOUBLE:
                return node(
                    "dbl", "SQRT(ABS({}))", found, theirs="SQRT(ABS(CAST({} AS DOUBLE)))", dyadic=False, most=found.most
                )
        return self._choice(depth, "dbl")

    def wild(self, depth):
        found = self.column("wild")
        if found is None:
            return self.dbl(depth)
        return found

    def inexact(self, depth):
        """A number that the two engines may give in other last digits: for results only."""
        rng = self.rng
        form = rng.randrange(8)
        if form == 0:
            a, b = self.dec(depth - 1), self.dec(depth - 1)
            if (a.most + 1) * 10**20 > 10**37:
                return self.dbl(depth)
            ours, theirs = "({} / NULLIF({}, 0))", "(CAST({} AS DOUBLE) / NULLIF(CAST({} AS DOUBLE), 0))"
            if b.most > 10**9 or a.scale + b.scale > 6:
                return self.dbl(depth)
            return node("dbl", ours, a, b, theirs=theirs, exact=False)
        if form == 1:
            return node("dbl", "LN(ABS({}) + 1)", as_small(self.int(depth - 1)), exact=False)
        if form == 2:
            return node("dbl", "EXP({} % 20)", as_small(self.int(depth - 1)), exact=False)
        if form == 3:
            name = rng.choice(["SIN", "COS", "ATAN", "RADIANS", "DEGREES", "CBRT"])
            return node("dbl", name + "({})", self.dbl(depth - 1), exact=False)
        if form == 4:
            return node("dbl", "POWER({} % 10, 3)", as_small(self.int(depth - 1)), exact=False)
        return self.dbl(depth)

    # ---- times

    def date(self, depth):
        rng = self.rng
        if self._leaf(depth, "date"):
            found = self.column("date")
            if found is not None and rng.random() < 0.8:
                return found
            return node(
                "date",
                rng.choice(
                    ["DATE '2000-02-29'", "DATE '1999-12-31'", "CAST('2010-06-15' AS DATE)", "DATE '1965-03-01'"]
                ),
            )
        form = rng.randrange(8)
        if form == 7:
            return self.further_date(depth)
        if form == 0:
            return node("date", f"({{}} {rng.choice('+-')} {rng.randint(0, 400)})", self.date(depth - 1))
        if form == 1:
            unit, count, sign = rng.choice(["day", "month", "year"]), rng.randint(0, 30), rng.choice("+-")
            return node(
                "date",
                f"({{}} {sign} INTERVAL '{count} {unit}')",
                self.date(depth - 1),
                theirs=f"CAST({{}} {sign} INTERVAL '{count} {unit}' AS DATE)",
            )
        if form == 2:
            return node("date", "LAST_DAY({})", self.any(depth - 1, ("date", "ts")))
        if form == 3:
            part = rng.choice(["year", "quarter", "month", "week", "day"])
            return node("date", f"CAST(DATE_TRUNC('{part}', {{}}) AS DATE)", self.any(depth - 1, ("date", "ts")))
        if form == 4:
            return node("date", "CAST({} AS DATE)", self.ts(depth - 1))
        if form == 5:
            return node(
                "date",
                "({} + {} % 50)",
                self.date(depth - 1),
                as_small(self.int(depth - 1)),
                theirs="({} + CAST({} % 50 AS INTEGER))",
            )
        return self._choice(depth, "date")

    def ts(self, depth):
        rng = self.rng
        if self._leaf(depth, "ts"):
            found = self.column("ts")
            if found is not None and rng.random() < 0.8:
                return found
            return node(
                "ts",
                rng.choice(
                    [
                        "TIMESTAMP '2000-02-29 12:34:56'",
                        "TIMESTAMP '1969-12-31 23:59:59.999999'",
                        "CAST('2010-06-15 00:00:00' AS TIMESTAMP)",
                    ]
                ),
            )
        form = rng.randrange(7)
        if form == 6:
            return self.further_ts(depth)
        if form == 0:
            unit, sign = rng.choice(["day", "month", "year", "hour", "minute", "second"]), rng.choice("+-")
            return node("ts", f"({{}} {sign} INTERVAL '{rng.randint(0, 40)} {unit}')", self.ts(depth - 1))
        if form == 1:
            part = rng.choice(["year", "quarter", "month", "week", "day", "hour", "minute", "second"])
            return node("ts", f"DATE_TRUNC('{part}', {{}})", self.ts(depth - 1))
        if form == 2:
            unit, count = rng.choice(["day", "month", "year", "hour"]), rng.randint(-20, 20)
            return node(
                "ts",
                f"DATEADD({unit}, {count}, {{}})",
                self.ts(depth - 1),
                theirs=f"({{}} + {count} * INTERVAL '1 {unit}')",
            )
        if form == 3:
            return node("ts", "CAST({} AS TIMESTAMP)", self.date(depth - 1))
        return self._choice(depth, "ts")

    # ---- text

    def str(self, depth):  # noqa: C901, PLR0912 - one form after the other
        rng = self.rng
        if self._leaf(depth, "str"):
            found = self.column("str", "numeral")
            if found is not None and rng.random() < 0.8:
                return node("str", "{}", found) if found.kind == "numeral" else found
            return node("str", quoted(rng.choice(WORDS)))
        found = self._scalar(depth, "str")
        if found is not None:
            return found
        a = self.str(depth - 1)
        count = rng.randint(0, 6)
        form = rng.randrange(22)
        if form >= 18:
            return self.further_str(depth)
        if form == 0:
            return node("str", "({} || {})", a, self.str(depth - 1))
        if form == 1:
            return node("str", rng.choice(["UPPER({})", "LOWER({})"]), a)
        if form == 2:
            return node("str", f"SUBSTRING({{}}, {rng.randint(1, 4)}, {count})", a)
        if form == 3:
            return node("str", f"SUBSTRING({{}}, {rng.randint(1, 4)})", a)
        if form == 4:
            return node("str", f"LEFT({{}}, {count})", a)
        if form == 5:
            return node("str", f"RIGHT({{}}, {count})", a)
        if form == 6:
            name = rng.choice(["LPAD", "RPAD"])
            return node("str", f"{name}({{}}, {count}, 'xä')", a)
        if form == 7:
            return node("str", f"REPEAT({{}}, {rng.randint(0, 2)})", a)
        if form == 8:
            return node("str", "REVERSE({})", a)
        if form == 9:
            return node("str", f"REPLACE({{}}, {quoted(rng.choice('abxä'))}, {quoted(rng.choice(WORDS))})", a)
        if form == 10:
            return node("str", f"SPLIT_PART({{}}, '-', {rng.randint(1, 3)})", a)
        if form == 11:
            name = rng.choice(["TRIM", "LTRIM", "RTRIM"])
            return (
                node("str", name + "({})", a)
                if rng.random() < 0.5
                else node("str", f"{rng.choice(['LTRIM', 'RTRIM'])}({{}}, 'ab ')", a)
            )
        if form == 12:
            return node("str", "TRANSLATE({}, 'abc', 'xy')", a)
        if form == 13:
            return node("str", "CAST({} AS VARCHAR)", self.any(depth - 1, ("int", "dec", "date", "bool")))
        if form == 14:
            return node("str", "CONCAT({}, {})", a, self.str(0), theirs="({} || {})")
        if form == 15:
            return node("str", "MD5({})", a)
        return self._choice(depth, "str")

    def numeral(self, depth):
        return self.str(depth)


def as_small(one):
    """An integer within a thousand, of 32 or 64 bits."""
    return node("int", "({} % 1000)", one, theirs="({} % CAST(1000 AS INTEGER))", width=max(one.width, 4), most=999)
