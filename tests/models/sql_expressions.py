"""What an SQL expression means, one row at a time: Decimals, floats and bytes in, one value or NULL out.

    value(expression, row)     row: id -> engine value. Failed where SQL has no result

Exact numbers are Fractions on the way, whole at the scale of the type in the end.
"""

from fractions import Fraction

from engines.sql.logical import Among, Call, Case, Cast, Constant, Reference


class Failed(Exception):
    """The expression has no value in this row."""


def value(one, row):
    match one:
        case Reference(id=id):
            return row[id]
        case Constant(value=constant):
            return int(constant) if isinstance(constant, bool) else constant
        case Case():
            for condition, result in one.branches:
                if value(condition, row):
                    return value(result, row)
            return value(one.otherwise, row)
        case Cast():
            return cast(value(one.argument, row), one.argument.type, one.type)
        case Among():
            return among(value(one.argument, row), [value(item, row) for item in one.items])
        case Call(function="and" | "or" as name):
            return connective(name, one.arguments, row)
        case Call(function="coalesce"):
            return next((v for argument in one.arguments if (v := value(argument, row)) is not None), None)
    return call(one, [value(argument, row) for argument in one.arguments])


def connective(name, arguments, row):
    winner, null = int(name == "or"), False
    for argument in arguments:
        found = value(argument, row)
        if found == winner:
            return winner
        null = null or found is None
    return None if null else 1 - winner


def among(wanted, items):
    if wanted is None:
        return None
    return 1 if wanted in items else None if None in items else 0


def call(one, given):
    name = one.function
    if name in {"is null", "is not null"}:
        return int((given[0] is None) == (name == "is null"))
    if name in {"is distinct from", "is not distinct from"}:
        return int((given[0] != given[1]) == (name == "is distinct from"))
    if name == "nullif":
        return None if None not in given and given[0] == given[1] else given[0]
    if name in {"greatest", "least"}:
        return (max if name == "greatest" else min)((v for v in given if v is not None), default=None)
    if None in given:
        return None
    if name == "not":
        return 1 - given[0]
    kinds = [argument.type for argument in one.arguments]
    exact = [Fraction(v, 10**kind.scale) if kind.whole else v for v, kind in zip(given, kinds, strict=True)]
    if name in COMPARE:
        return int(COMPARE[name](*exact))
    if one.type.floating:
        return FLOATS[name](*map(float, exact))
    return held(arithmetic(name, *exact, one.type), one.type)


COMPARE = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
FLOATS = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "neg": lambda a: -a}


def arithmetic(name, a, b=None, type=None):
    match name:
        case "neg":
            return -a
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
    if b == 0:
        raise Failed
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    if name == "%":
        return a - quotient * b
    return a / b if type.decimal else Fraction(quotient)


def held(number, type):
    """The number at the type's scale, rounded half away from zero, if the type holds it."""
    scaled = abs(number) * 10**type.scale
    whole = int(scaled + Fraction(1, 2)) * (-1 if number < 0 else 1)
    limits = type.limits() or (-(2**63), 2**63 - 1)
    if not limits[0] <= whole <= limits[1]:
        raise Failed
    return whole


def cast(given, source, target):
    if given is None or source == target:
        return given
    if target.kind == "boolean":
        return int(given != 0)
    number = Fraction(given, 10**source.scale) if source.whole else given
    if target.floating:
        return float(number)
    if source.floating:
        number = Fraction(repr(given))
    return held(number, target)
