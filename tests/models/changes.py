"""Random statements that change tables, in the SQL that the warehouse and DuckDB share.

A statement is made of the shapes of the tables alone, so one seed always makes one sequence. What has no single answer
is not made: an UPDATE whose row is met twice, a LIMIT without an order, numbers near the ends of their types.
"""

# ruff: noqa: S608, E501 - SQL is what is made here, a statement stands on a line

from dataclasses import dataclass, field

WORDS = ("", "a", "ab", "abc", "b", "ba", "é", "zz", "z" * 12)
TYPES = {"int": "INTEGER", "text": "VARCHAR(20)", "date": "DATE", "decimal": "DECIMAL(12, 2)", "bool": "BOOLEAN"}


@dataclass
class Shape:
    """A table: its columns and what is in them. The first is a whole number called k."""

    name: str
    columns: dict[str, str] = field(default_factory=dict)

    def of(self, kind):
        return [name for name, one in self.columns.items() if one == kind]


class Changes:
    """A source of statements. rng: a random.Random; keys: about so many different k."""

    def __init__(self, rng, shapes, keys):
        self.rng = rng
        self.shapes = {shape.name: shape for shape in shapes}
        self.keys = keys
        self.added = 0

    def statement(self, name):
        """One that changes the rows of a table."""
        shape = self.shapes[name]
        kinds = {
            self.insert_values: 4, self.insert_select: 2, self.update: 5, self.update_from: 3, self.delete: 5,
            self.delete_using: 2, self.merge: 3,
        }  # fmt: skip
        (make,) = self.rng.choices(list(kinds), list(kinds.values()))
        return make(shape)

    def create(self, name):
        columns = ", ".join(f"{column} {TYPES[kind]}" for column, kind in self.shapes[name].columns.items())
        return f"CREATE TABLE {name} ({columns})"

    # -- values

    def literal(self, kind):
        rng = self.rng
        if rng.random() < 0.12:
            return "NULL"
        if kind == "int":
            return str(rng.choice([0, 1, -1, rng.randrange(-self.keys, self.keys), rng.randrange(10)]))
        if kind == "text":
            return "'" + rng.choice(WORDS) + "'"
        if kind == "date":
            return f"DATE '{rng.randrange(1990, 2030)}-0{rng.randrange(1, 10)}-{rng.randrange(10, 29)}'"
        if kind == "decimal":
            return f"{rng.randrange(-10_000, 10_000) / 100:.2f}"
        return rng.choice(["TRUE", "FALSE"])

    def value(self, kind, shape):
        """An expression over the columns of a table."""
        rng = self.rng
        own = rng.choice(shape.of(kind) or ["NULL"])
        key = f"{shape.name}.k"
        if own != "NULL":
            own = f"{shape.name}.{own}"
        choices = {
            "int": [f"({own} * 3 + 1) % 1000", f"-{own}", f"{key} % 50", f"abs({own}) % 10", f"coalesce({own}, {key})"],
            "text": [f"upper({own})", f"substring({own}, 1, 2)", f"'w' || CAST({key} % 40 AS VARCHAR)", f"replace({own}, 'a', 'oo')"],
            "date": [f"{own} + 1", f"DATE '2020-01-01' + {key} % 30", own],
            "decimal": [f"-{own}", f"CAST({key} % 100 AS DECIMAL(12, 2)) + 0.25", f"coalesce({own}, 1.5)"],
            "bool": [f"NOT {own}", f"{key} % 2 = 0", f"{own} IS NULL"],
        }[kind]  # fmt: skip
        made = rng.choice([*choices, own, self.literal(kind)])
        if rng.random() < 0.15:
            made = f"CASE WHEN {self.condition(shape)} THEN {made} ELSE {own} END"
        return "substring(" + made + ", 1, 20)" if kind == "text" and made != "NULL" else made

    def condition(self, shape, depth=0):
        """True for some rows of a table."""
        rng = self.rng
        if depth < 2 and rng.random() < 0.35:
            left, right = self.condition(shape, depth + 1), self.condition(shape, depth + 1)
            return rng.choice([f"({left} AND {right})", f"({left} OR {right})", f"NOT ({left})"])
        column = rng.choice(list(shape.columns))
        kind = shape.columns[column]
        column = f"{shape.name}.{column}"
        made = [f"{column} {rng.choice(['=', '<>', '<', '<=', '>', '>='])} {self.literal(kind)}", f"{column} IS NULL"]
        if kind == "int":
            low = rng.randrange(-self.keys, self.keys)
            made += [f"{column} BETWEEN {low} AND {low + self.keys // 3}", f"{column} % {rng.randrange(2, 9)} = 1"]
            made += [f"{column} IN ({self.literal(kind)}, {self.literal(kind)}, 3)"]
        if kind == "text":
            made += [f"{column} LIKE '{rng.choice(['a%', '%b', '%', '_', 'z%z'])}'", f"length({column}) > 1"]
        if depth == 0:
            other = self.other(shape)
            inner = self.condition(other, 2)
            made += [f"{shape.name}.k IN (SELECT {other.name}.k FROM {other.name} WHERE {inner})"]
            if other is not shape:
                made += [f"EXISTS (SELECT 1 FROM {other.name} WHERE {other.name}.k = {shape.name}.k AND {inner})"]
        return rng.choice(made)

    def other(self, shape):
        return self.rng.choice([one for one in self.shapes.values() if one is not shape] or [shape])

    # -- statements

    def insert_values(self, shape):
        rng = self.rng
        columns = [name for name in shape.columns if name == "k" or rng.random() < 0.8]
        rng.shuffle(columns)
        rows = [
            "(" + ", ".join(self.literal(shape.columns[name]) for name in columns) + ")"
            for _ in range(rng.randrange(1, 9))
        ]
        return f"INSERT INTO {shape.name} ({', '.join(columns)}) VALUES {', '.join(rows)}"

    def insert_select(self, shape):
        other = self.other(shape)
        values = ", ".join(self.value(kind, other) for kind in shape.columns.values())
        return f"INSERT INTO {shape.name} SELECT {values} FROM {other.name} WHERE {self.condition(other)}"

    def settings(self, shape):
        some = self.rng.sample(list(shape.columns), self.rng.randrange(1, min(3, len(shape.columns)) + 1))
        return ", ".join(f"{name} = {self.value(shape.columns[name], shape)}" for name in some)

    def update(self, shape):
        where = "" if self.rng.random() < 0.1 else f" WHERE {self.condition(shape)}"
        return f"UPDATE {shape.name} SET {self.settings(shape)}{where}"

    def grouped(self, shape):
        """A source with one row for each k."""
        other = self.other(shape)
        more = ", ".join(
            f"max({other.name}.{name}) AS m_{name}" for name in other.columns if other.columns[name] != "bool"
        )
        return f"(SELECT {other.name}.k, count(*) AS c, {more} FROM {other.name} WHERE {self.condition(other)} GROUP BY {other.name}.k) s"

    def update_from(self, shape):
        column = self.rng.choice(shape.of("int"))
        return (
            f"UPDATE {shape.name} SET {column} = s.m_k % 100 + s.c FROM {self.grouped(shape)} "
            f"WHERE {shape.name}.k = s.k AND {self.condition(shape)}"
        )

    def delete(self, shape):
        return f"DELETE FROM {shape.name} WHERE {self.condition(shape)}"

    def delete_using(self, shape):
        return f"DELETE FROM {shape.name} USING {self.grouped(shape)} WHERE {shape.name}.k = s.k + 1 AND {self.condition(shape)}"

    def merge(self, shape):
        rng = self.rng
        clauses = []
        if rng.random() < 0.5:
            clauses.append(f"WHEN MATCHED AND {self.condition(shape, 2)} THEN DELETE")
        if rng.random() < 0.8:
            and_ = f" AND {self.condition(shape, 2)}" if rng.random() < 0.5 else ""
            clauses.append(f"WHEN MATCHED{and_} THEN UPDATE SET {self.settings_of_merge(shape)}")
        if rng.random() < 0.8 or not clauses:
            and_ = " AND s.c % 2 = 1" if rng.random() < 0.5 else ""
            clauses.append(f"WHEN NOT MATCHED{and_} THEN INSERT (k) VALUES (s.m_k)")
        return f"MERGE INTO {shape.name} USING {self.grouped(shape)} ON {shape.name}.k = s.k {' '.join(clauses)}"

    def settings_of_merge(self, shape):
        name = self.rng.choice([one for one in shape.columns if shape.columns[one] == "int"])
        return f"{name} = s.m_k % 10 + s.c"

    # -- shapes that change

    def add_column(self, shape):
        self.added += 1
        name, kind = f"added{self.added}", self.rng.choice(list(TYPES))
        shape.columns[name] = kind
        return f"ALTER TABLE {shape.name} ADD COLUMN {name} {TYPES[kind]} DEFAULT {self.literal(kind)}"

    def drop_column(self, shape):
        name = self.rng.choice([one for one in shape.columns if one.startswith("added")])
        del shape.columns[name]
        return f"ALTER TABLE {shape.name} DROP COLUMN {name}"

    def rename_column(self, shape):
        self.added += 1
        old, new = self.rng.choice([one for one in shape.columns if one.startswith("added")]), f"added{self.added}"
        shape.columns = {new if one == old else one: kind for one, kind in shape.columns.items()}
        return f"ALTER TABLE {shape.name} RENAME COLUMN {old} TO {new}"
