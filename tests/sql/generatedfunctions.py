"""More random scalar expressions: bits, INTERVALs, regular expressions, formats, text as other types, rows.

    ours (Redshift)                       DuckDB's text
    a # b                                 XOR(a, b)
    INSTR, CHARINDEX, REGEXP_SUBSTR       STRPOS, REGEXP_EXTRACT
    REGEXP_REPLACE replaces every one     REGEXP_REPLACE(..., 'g')
    REGEXP_COUNT                          LEN(REGEXP_EXTRACT_ALL(...))
    SIMILAR TO with % and _               REGEXP_FULL_MATCH
    ~, !~, ~*                             REGEXP_MATCHES
    TO_CHAR                               STRFTIME
    NUMERIC text in a comparison          CAST

An INTERVAL here never holds months: those are no length of time, so that 1 month has no value for Python.
"""

from tests.sql.generatednodes import node, quoted

PATTERNS = ("a", "[ab]+", "^a", "b$", "o.", "[0-9]", "(a|b)b", "ä", "x|y", "[^a]")
ALIKE = (("a%", "a.*"), ("%b", ".*b"), ("(a|b)%", "(a|b).*"), ("_", "."), ("[ab]+", "[ab]+"), ("%(o|1)%", ".*(o|1).*"))
FORMATS = (
    ("YYYY-MM-DD", "%Y-%m-%d"),
    ("DD.MM.YY", "%d.%m.%y"),
    ("HH24:MI:SS", "%H:%M:%S"),
    ("YYYYMMDD HH12 AM", "%Y%m%d %I %p"),
    ("DDD US", "%j %f"),
)


class Further:
    """What Expressions says beside the usual."""

    def gap(self, depth):
        """An INTERVAL of time."""
        rng = self.rng
        form = rng.randrange(8) if depth > 0 else rng.randrange(2)
        if form < 2:
            found = rng.choice([f"{rng.randint(-9, 90)} {unit}" for unit in ("day", "hour", "minute", "second")])
            return node("gap", f"INTERVAL '{found}'")
        if form in {2, 3}:
            return node("gap", "({} - {})", self.ts(depth - 1), self.any(depth - 1, ("ts", "date")))
        if form == 4:
            return node("gap", f"({{}} {rng.choice('+-')} {{}})", self.gap(depth - 1), self.gap(0))
        if form == 5:
            return node("gap", f"(INTERVAL '1 {rng.choice(['day', 'hour'])}' * {{}})", self.small(depth - 1))
        if form == 6:
            return node("gap", "(- {})", self.gap(depth - 1))
        return self._choice(depth, "gap")

    def small(self, depth):
        return node("int", "CAST({} % 100 AS INTEGER)", self.int(depth), width=4, most=99)

    def further_int(self, depth):
        rng = self.rng
        form = rng.randrange(9)
        if form == 0:
            a, b = self.int(depth - 1), self.int(depth - 1)
            width = max(a.width, b.width)
            theirs = None
            operator = rng.choice("&|#")
            if operator == "#":
                theirs = "XOR({}, {})"
            most = min(2 * max(a.most, b.most) + 1, 2 ** (8 * width - 1) - 1)
            return node("int", f"({{}} {operator} {{}})", a, b, theirs=theirs, width=width, most=most)
        if form == 1:
            a = self.int(depth - 1)
            return node("int", "(~ {})", a, width=a.width, most=min(a.most + 1, 2 ** (8 * a.width - 1)))
        if form == 2:
            a = self.small(depth - 1)
            return node("int", f"(ABS({{}}) {rng.choice(['<<', '>>'])} {rng.randint(0, 9)})", a, width=4, most=99 << 9)
        if form == 3:
            a, b = self.str(depth - 1), self.str(0)
            ours = rng.choice(["INSTR({0}, {1})", "CHARINDEX({1}, {0})"])
            return node("int", ours, a, b, theirs="CAST(STRPOS({0}, {1}) AS INTEGER)", width=4, most=10**6)
        if form == 4:
            pattern = quoted(rng.choice(PATTERNS[:2] + PATTERNS[4:]))
            theirs = f"CAST(LEN(REGEXP_EXTRACT_ALL({{}}, {pattern})) AS INTEGER)"
            return node(
                "int", f"REGEXP_COUNT({{}}, {pattern})", self.str(depth - 1), theirs=theirs, width=4, most=10**6
            )
        if form == 5:
            a, b = self.any(depth - 1, ("date", "ts")), self.ts(depth - 1)
            part = rng.choice(["hour", "minute", "second"])
            theirs = f"DATE_DIFF('{part}', CAST({{}} AS TIMESTAMP), {{}})"
            return node("int", f"DATEDIFF({part}, {{}}, {{}})", a, b, theirs=theirs, width=8, most=10**11)
        if form == 6:
            a = self.date(depth - 1)
            return node("int", "CAST(EXTRACT(epoch FROM {}) AS BIGINT)", a, width=8, most=10**11)
        if form == 7:
            a, b = self.int(depth - 1), self.int(0)
            theirs = "({} % NULLIF({}, 0))"
            more = {"width": max(a.width, b.width), "most": min(a.most, b.most)}
            return node("int", "MOD({}, NULLIF({}, 0))", a, b, theirs=theirs, **more)
        a = self.dec(depth - 1)
        return node("int", "CAST(SIGN({}) AS INTEGER)", a, width=4, most=1)

    def further_str(self, depth):
        rng = self.rng
        form = rng.randrange(8)
        a = self.str(depth - 1)
        if form == 0:
            pattern, new = quoted(rng.choice(PATTERNS)), quoted(rng.choice(["", "-", "ä", "xx"]))
            theirs = f"REGEXP_REPLACE({{}}, {pattern}, {new}, 'g')"
            return node("str", f"REGEXP_REPLACE({{}}, {pattern}, {new})", a, theirs=theirs)
        if form == 1:
            pattern = quoted(rng.choice(PATTERNS))
            return node("str", f"REGEXP_SUBSTR({{}}, {pattern})", a, theirs=f"REGEXP_EXTRACT({{}}, {pattern})")
        if form in {2, 3}:
            ours, theirs = rng.choice(FORMATS)
            moment = self.any(depth - 1, ("date", "ts"))
            return node("str", f"TO_CHAR({{}}, '{ours}')", moment, theirs=f"STRFTIME({{}}, '{theirs}')")
        if form == 4:
            return node("str", "CAST({} AS VARCHAR)", self.ts(depth - 1))
        if form == 5:
            ours = rng.choice(["BTRIM({}, 'ab')", "TRIM(BOTH 'ab' FROM {})"])
            return node("str", ours, a, theirs="TRIM({}, 'ab')")
        if form == 6:
            code = "ABS({}) % 50 + 48"
            return node("str", f"CHR(CAST({code} AS INTEGER))", self.small(depth - 1))
        return node("str", *rng.choice([("SHA1({})", a), ("CONCAT_WS('-', {}, {})", a, self.str(0))]))

    def further_bool(self, depth):
        rng = self.rng
        form = rng.randrange(10)
        if form == 0:
            ours, theirs = rng.choice(ALIKE)
            denied = rng.random() < 0.3
            text = f"({{}} {'NOT ' * denied}SIMILAR TO '{ours}')"
            # (?s): the point is any character, a line's end as well
            matched = f"({'NOT ' * denied}REGEXP_FULL_MATCH({{}}, '(?s){theirs}'))"
            return node("bool", text, self.str(depth - 1), theirs=matched)
        if form == 1:
            operator, pattern = rng.choice(["~", "!~", "~*"]), rng.choice(PATTERNS)
            options = ", 'i'" if operator == "~*" else ""
            theirs = f"({'NOT ' * (operator == '!~')}REGEXP_MATCHES({{}}, {quoted(pattern)}{options}))"
            return node("bool", f"({{}} {operator} {quoted(pattern)})", self.str(depth - 1), theirs=theirs)
        if form in {2, 3}:
            operator = rng.choice(["=", "<>", "<", ">="])
            return node("bool", f"({{}} {operator} {{}})", self.gap(depth - 1), self.gap(depth - 1))
        if form == 4:
            operator = rng.choice(["=", "<>", "<", ">="])
            return node("bool", f"({{}} {operator} {{}})", self.date(depth - 1), self.ts(depth - 1))
        if form == 5:
            text = rng.choice(["2000-02-29", "1999-12-31", "2010-06-15"])
            operator, kind = rng.choice(["=", "<>", "<", ">="]), rng.choice(["date", "ts"])
            return node("bool", f"({{}} {operator} '{text}')", getattr(self, kind)(depth - 1))
        if form == 6:
            operator, value = rng.choice(["=", "<>", "<", ">="]), rng.randint(-9, 99)
            theirs = f"({{}} {operator} CAST({value} AS INTEGER))"
            return node("bool", f"({{}} {operator} '{value}')", self.int(depth - 1), theirs=theirs)
        if form == 7:
            return node("bool", f"({{}} {rng.choice(['=', '<>', '<'])} {{}})", self.bool(depth - 1), self.bool(0))
        if form == 8:
            # rows: theirs spelled out, since there a NULL in a row is a value
            a, b, c, d = self.int(depth - 1), self.str(0), self.int(0), self.str(0)
            operator = rng.choice(["=", "<>", "<", ">="])
            theirs = {
                "=": "({0} = {2} AND {1} = {3})",
                "<>": "({0} <> {2} OR {1} <> {3})",
                "<": "({0} < {2} OR ({0} = {2} AND {1} < {3}))",
                ">=": "({0} > {2} OR ({0} = {2} AND {1} >= {3}))",
            }[operator]
            return node("bool", f"(({{}}, {{}}) {operator} ({{}}, {{}}))", a, b, c, d, theirs=theirs)
        value = rng.choice(["TRUE", "UNKNOWN"])
        theirs = f"({{}} IS NOT {value.replace('UNKNOWN', 'NULL')})"
        return node("bool", f"({{}} IS NOT {value})", self.bool(depth - 1), theirs=theirs)

    def further_ts(self, depth):
        return node("ts", f"({{}} {self.rng.choice('+-')} {{}})", self.ts(depth - 1), self.gap(min(depth - 1, 1)))

    def further_date(self, depth):
        """A date from text, and of text."""
        a = self.date(depth - 1)
        if self.rng.random() < 0.5:
            return node("date", "CAST(CAST({} AS VARCHAR) AS DATE)", a)
        return node("date", "TO_DATE(TO_CHAR({}, 'YYYY-MM-DD'), 'YYYY-MM-DD')", a, theirs="{}")

    def further_dec(self, depth):
        """Text as a decimal, and rounding of it."""
        found = self.column("numeral")
        if found is not None:
            return node("dec", "CAST({} AS DECIMAL(12,2))", found, scale=2, most=100_000)
        a = self.dbl(depth - 1)
        if not a.dyadic or a.most > 10**9:
            return self.dec(0)
        return node("dec", "CAST({} AS DECIMAL(18,4))", a, scale=4, most=a.most + 1)
