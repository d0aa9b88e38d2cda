"""Conditions on items in DynamoDB's JSON: what each comparison means, said once more in the plainest way.

Typed values make the rules short: two values are equal when their JSON is. An operand is ("path", parts), ("value",
typed) or ("size", parts); a condition is (operator, ...) with its operands or conditions.
"""

from base64 import b64decode
from decimal import Decimal


def value_at(item, parts):
    found = {"M": item}
    for part in parts:
        if found is None:
            return None
        inside = found.get("M", {}) if isinstance(part, str) else dict(enumerate(found.get("L", [])))
        found = inside.get(part)
    return found


def value_of(item, operand):
    kind, what = operand
    if kind == "value":
        return what
    found = value_at(item, what)
    if kind == "path" or found is None:
        return found
    ((kind, content),) = found.items()
    if kind in ("N", "BOOL", "NULL"):
        return None
    return {"N": str(len(b64decode(content) if kind == "B" else content))}


def ordered(typed):
    """(type, something Python orders as the service does), or None for what has no order."""
    match typed:
        case {"S": text}:
            return "S", text.encode()
        case {"N": text}:
            return "N", Decimal(text)
        case {"B": text}:
            return "B", b64decode(text)
    return None


def less(a, b, *, equal):
    a, b = ordered(a), ordered(b)
    if a is None or b is None or a[0] != b[0]:
        return False
    return a[1] < b[1] or (equal and a[1] == b[1])


def begins_with(whole, part):
    whole, part = ordered(whole), ordered(part)
    return None not in (whole, part) and whole[0] == part[0] != "N" and whole[1].startswith(part[1])


def contains(whole, part):
    match whole, part:
        case {"S": text}, {"S": inner}:
            return inner in text
        case {"B": _}, {"B": _}:
            return ordered(part)[1] in ordered(whole)[1]
        case {"L": elements}, _:
            return part in elements
        case ({"SS": elements}, {"S": one}) | ({"NS": elements}, {"N": one}) | ({"BS": elements}, {"B": one}):
            return one in elements
    return False


TESTS = {
    "=": lambda a, b: a is not None and a == b,
    "<>": lambda a, b: a is None or a != b,
    "<": lambda a, b: less(a, b, equal=False),
    "<=": lambda a, b: less(a, b, equal=True),
    ">": lambda a, b: less(b, a, equal=False),
    ">=": lambda a, b: less(b, a, equal=True),
    "BETWEEN": lambda a, low, high: less(low, a, equal=True) and less(a, high, equal=True),
    "IN": lambda a, *options: a is not None and a in options,
    "attribute_exists": lambda a: a is not None,
    "attribute_not_exists": lambda a: a is None,
    "attribute_type": lambda a, kind: a is not None and [*a] == [kind["S"]],
    "begins_with": begins_with,
    "contains": contains,
}


def holds(item, condition):
    sign, *rest = condition
    if sign == "NOT":
        return not holds(item, rest[0])
    if sign in ("AND", "OR"):
        return (all if sign == "AND" else any)([holds(item, part) for part in rest])
    return TESTS[sign](*(value_of(item, operand) for operand in rest))
