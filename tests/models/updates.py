"""Updates and projections of items in DynamoDB's JSON, said once more in the plainest way.

An action is (clause, path, right): right is None for REMOVE, typed JSON for ADD and DELETE, and an operand for SET:
("path", path), ("value", typed), ("if_not_exists", path, operand), ("list_append", a, b), ("+", a, b) or ("-", a, b).

All right sides are worked out first, from the old item; then a deep copy is changed place by place, in the order of
the paths, so that elements past the end of a list are appended in the order of their indexes. What is removed leaves
a tombstone, so that indexes keep their meaning until the end.
"""

from base64 import b64decode
from copy import deepcopy
from decimal import Context, Decimal
from itertools import combinations

GONE = {"GONE": True}
WIDE = Context(prec=1000)
ORDER = {"SS": str, "NS": Decimal, "BS": b64decode}


class Refused(Exception):
    """All that is wrong: overlap conflict key type missing path number."""

    def __init__(self, reasons):
        super().__init__(reasons)
        self.reasons = set(reasons)


# --- what is wrong whatever the item is ---


def check(actions, key_names):
    paths = [path for _, path, _ in actions]
    wrong = {"key" for path in paths if path[0] in key_names}
    wrong |= {reason for a, b in combinations(paths, 2) for reason in clash(a, b)}
    for clause, _, right in actions:
        wrong |= {"type" for kind, allowed in constants(clause, right) if kind not in allowed}
    if wrong:
        raise Refused(wrong)


def clash(a, b):
    for one, other in zip(a, b, strict=False):
        if type(one) is not type(other):
            return {"conflict"}
        if one != other:
            return set()
    return {"overlap"}


def constants(clause, right):
    """The type of each constant that an operator takes as it stands, and the types which it may be of."""
    if clause == "ADD":
        return [(type_of(right), ("N", "SS", "NS", "BS"))]
    if clause == "DELETE":
        return [(type_of(right), ("SS", "NS", "BS"))]
    if clause == "REMOVE" or right[0] in ("path", "value"):
        return []
    if right[0] == "if_not_exists":
        return constants(clause, right[2])
    wanted = ("L",) if right[0] == "list_append" else ("N",)
    found = [(type_of(what[1]), wanted) for what in right[1:] if what[0] == "value"]
    return found + [more for what in right[1:] for more in constants(clause, what)]


def type_of(typed):
    return next(iter(typed))


# --- what is wrong with an item ---


def value_at(item, path):
    found = {"M": item}
    for part in path:
        inside = found.get("M", {}) if isinstance(part, str) else dict(enumerate(found.get("L", [])))
        if part not in inside:
            return None
        found = inside[part]
    return found


def value_of(item, operand):
    kind, *rest = operand
    if kind == "value":
        return rest[0]
    if kind == "path":
        found = value_at(item, rest[0])
        if found is None:
            raise Refused({"missing"})
        return found
    if kind == "if_not_exists":
        return value_at(item, rest[0]) or value_of(item, rest[1])
    both = both_of(item, rest)
    wanted = "L" if kind == "list_append" else "N"
    if any(wanted not in typed for typed in both):
        raise Refused({"type"})
    if kind == "list_append":
        return {"L": both[0]["L"] + both[1]["L"]}
    return total(both[0]["N"], both[1]["N"], kind)


def both_of(item, operands):
    """The values of two operands, with all that is wrong with either."""
    values, wrong = [], set()
    for operand in operands:
        try:
            values.append(value_of(item, operand))
        except Refused as refused:
            wrong |= refused.reasons
    if wrong:
        raise Refused(wrong)
    return values


def total(a, b, sign):
    found = (WIDE.add if sign == "+" else WIDE.subtract)(Decimal(a), Decimal(b)).normalize(WIDE)
    if found and (len(found.as_tuple().digits) > 38 or not -130 <= found.adjusted() <= 125):
        raise Refused({"number"})
    whole = found == int(found) and abs(int(found)) < 10**38
    return {"N": str(int(found)) if whole else str(found)}


def changed(item, action):
    """What shall stand at an action's path, or GONE."""
    clause, path, right = action
    if clause == "SET":
        return value_of(item, right)
    old = value_at(item, path)
    if clause == "REMOVE" or (clause == "DELETE" and old is None):
        return GONE
    if old is None:
        return right
    ((kind, new),) = right.items()
    if kind not in old:
        raise Refused({"type"})
    if kind == "N":
        return total(old["N"], new, "+")
    kept = set(old[kind]) | set(new) if clause == "ADD" else set(old[kind]) - set(new)
    return {kind: sorted(kept, key=ORDER[kind])} if kept else GONE


def apply(old, key, actions):
    """The new item, or None where none is made. Refused with all that is wrong."""
    if old is None and not {"SET", "ADD"} & {clause for clause, _, _ in actions}:
        return None
    old = key if old is None else old
    new, wrong, changes = {"M": deepcopy(old)}, set(), []
    for action in actions:
        try:
            changes.append((action[1], changed(old, action)))
        except Refused as refused:
            wrong |= refused.reasons
        *around, last = action[1]
        place = value_at(old, around) if around else {"M": old}
        if ("M" if isinstance(last, str) else "L") not in (place or {}):
            wrong.add("path")
    if wrong:
        raise Refused(wrong)
    for path, value in sorted(changes, key=lambda change: [(isinstance(part, int), part) for part in change[0]]):
        inside, last = new, path[-1]
        for part in path[:-1]:
            inside = (inside.get("M") or inside.get("L"))[part]
        if isinstance(last, str):
            inside["M"][last] = value
        else:
            inside["L"][last : last + 1] = [value]
    return swept(new)["M"]


def swept(typed):
    """Without its tombstones."""
    match typed:
        case {"M": inside}:
            return {"M": {name: swept(part) for name, part in inside.items() if part != GONE}}
        case {"L": inside}:
            return {"L": [swept(part) for part in inside if part != GONE]}
    return typed


# --- projections ---


def picked(typed, paths, here=()):
    """The parts of a value at some paths, by a walk through all of it; None where there are none."""
    if here in paths:
        return typed
    match typed:
        case {"M": inside}:
            parts = {name: picked(part, paths, (*here, name)) for name, part in inside.items()}
            found = {"M": {name: part for name, part in parts.items() if part is not None}}
        case {"L": inside}:
            parts = [picked(part, paths, (*here, i)) for i, part in enumerate(inside)]
            found = {"L": [part for part in parts if part is not None]}
        case _:
            return None
    return found if any(found.values()) else None


def projected(item, paths):
    return (picked({"M": item}, set(paths)) or {"M": {}})["M"]
