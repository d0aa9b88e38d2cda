"""Random SQL as a tree that has two texts, ours and DuckDB's, and that can be made smaller piece by piece."""

from dataclasses import dataclass, field, replace

OURS, THEIRS = 0, 1


@dataclass(frozen=True)
class Node:
    """A piece of SQL: a template with {} for its parts.

    kind: of an expression "int", "dec", "real", "dbl", "wild", "date", "ts", "str", "numeral", "bool"; of other pieces
    "query", "from", "optional" (may be left out) or "piece". most: no value is larger without its sign. dyadic: sums
    do not depend on their order. exact: both engines give the same value, not merely nearly so.
    """

    kind: str
    ours: str
    theirs: str
    parts: tuple["Node", ...] = ()
    width: int = 0
    scale: int = 0
    most: int = 0
    exact: bool = True
    dyadic: bool = True
    outputs: tuple["Node", ...] = field(default=(), compare=False)
    sorted: tuple[int, ...] | None = field(default=None, compare=False)  # outputs that the rows are ordered by

    def text(self, who):
        template = self.theirs if who else self.ours
        return template.format(*[part.text(who) for part in self.parts]) if self.parts else template.format()


def node(kind, template, *parts, theirs=None, **more):
    return Node(kind, template, template if theirs is None else theirs, parts, **more)


def piece(template, *parts, theirs=None):
    return node("piece", template, *parts, theirs=theirs)


def optional(template, *parts):
    return node("optional", template, *parts)


def listed(items, between=", "):
    """Several one after the other."""
    return Node("piece", between.join(["{}"] * len(items)), between.join(["{}"] * len(items)), tuple(items))


NOTHING = piece("")


def selected(distinct, outputs, found, *rest):
    """SELECT outputs FROM found, and what follows: WHERE, GROUP BY, HAVING."""
    named = [piece(f"{{}} AS c{i}", one) for i, one in enumerate(outputs)]
    text = f"SELECT{distinct} {{}} FROM {{}}" + "{}" * len(rest)
    return node("query", text, listed(named), found, *rest, outputs=tuple(outputs))


def quoted(word):
    return "'" + word.replace("'", "''") + "'"


def fitting(*numbers):
    """Whether they have a common type without overflow."""
    scale = max(one.scale for one in numbers)
    return max(one.most for one in numbers) * 10**scale < 10**37


def aligned(*numbers):
    """Decimals as they are for us; of one scale for DuckDB, whose common type may give up digits behind the point."""
    scale = max(one.scale for one in numbers)
    return [
        replace(node("dec", "{}", one, theirs=f"CAST({{}} AS DECIMAL(38,{scale}))"), scale=one.scale, most=one.most)
        if one.kind == "dec"
        else one
        for one in numbers
    ]


SIMPLEST = {
    "int": "0",
    "dec": "CAST(0 AS DECIMAL(5,2))",
    "dbl": "CAST(0 AS DOUBLE PRECISION)",
    "real": "CAST(0 AS REAL)",
    "wild": "CAST(0 AS DOUBLE PRECISION)",
    "date": "DATE '2000-01-01'",
    "gap": "INTERVAL '1 day'",
    "ts": "TIMESTAMP '2000-01-01 00:00:00'",
    "str": "'a'",
    "numeral": "'0'",
    "bool": "TRUE",
}


def below(root):
    """Every node under it with its path, the highest first."""
    waiting = [((), root)]
    for path, one in waiting:
        yield path, one
        waiting.extend(((*path, i), part) for i, part in enumerate(one.parts))


def put(root, path, new):
    """The tree with another node at the path."""
    if not path:
        return new
    parts = list(root.parts)
    parts[path[0]] = put(parts[path[0]], path[1:], new)
    return replace(root, parts=tuple(parts))


def smaller(root):  # noqa: C901 - one kind of node after the other
    """Trees that are a little smaller."""
    for path, one in below(root):
        if not path:
            continue
        if one.kind == "optional" and one is not NOTHING:
            yield put(root, path, NOTHING)
        elif one.kind in SIMPLEST:
            if one.parts:
                inner = [child for place, child in below(one) if place and child.kind == one.kind]
                for child in inner[:4]:
                    yield put(root, path, child)
            if one.ours != SIMPLEST[one.kind]:
                yield put(root, path, node(one.kind, SIMPLEST[one.kind]))
        elif one.kind == "query":
            for place, child in below(one):
                if place and child.kind == "query" and len(child.outputs) == len(one.outputs):
                    yield put(root, path, child)


def shrunken(root, fails, most=400):
    """The smallest tree on the way down that still fails, after at most so many attempts."""
    attempts = 0
    found = True
    while found:
        found = False
        for candidate in smaller(root):
            attempts += 1
            if attempts > most:
                return root
            if len(candidate.text(OURS)) < len(root.text(OURS)) and fails(candidate):
                root, found = candidate, True
                break
    return root
