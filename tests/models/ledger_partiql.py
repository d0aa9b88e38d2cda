"""PartiQL's expressions as the specification explains them, over small tuples instead of text. Slow and plain.

    ("value", 1)  ("field", expression, "a")  ("=", one, other)  ("in", one, [expression, ...])  ...

`text` writes such a tuple as PartiQL, with parentheses around everything, `meaning` says what it is worth.
"""

from typing import Any

MISSING = object()


def kind(value: Any) -> str:
    names = {bool: "bool", int: "number", float: "number", str: "text", list: "list", dict: "struct"}
    return names.get(type(value), "absent")


def literal(value: Any) -> str:
    if value is MISSING:
        return "MISSING"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
    if value is None or isinstance(value, bool):
        return "NULL" if value is None else str(value).upper()
    return repr(value)


def text(node: tuple[Any, ...]) -> str:  # noqa: C901, PLR0911, PLR0912 - a line for each kind
    verb, *rest = node
    match verb:
        case "value":
            return literal(rest[0])
        case "variable":
            return str(rest[0])
        case "field":
            return f'{text(rest[0])}."{rest[1]}"'
        case "element":
            return f"{text(rest[0])}[{rest[1]}]"
        case "not":
            return f"(NOT {text(rest[0])})"
        case "in":
            return f"({text(rest[0])} IN ({', '.join(map(text, rest[1]))}))"
        case "between":
            return f"({text(rest[0])} BETWEEN {text(rest[1])} AND {text(rest[2])})"
        case "is":
            return f"({text(rest[0])} IS {rest[1]})"
        case "like":
            return f"({text(rest[0])} LIKE {literal(rest[1])})"
        case "case":
            return f"(CASE WHEN {text(rest[0])} THEN {text(rest[1])} ELSE {text(rest[2])} END)"
        case "struct":
            return "{" + ", ".join(f"'{name}': {text(value)}" for name, value in rest[0]) + "}"
        case "list":
            return "[" + ", ".join(map(text, rest[0])) + "]"
        case "coalesce" | "nullif" | "size":
            return f"{verb.upper()}({', '.join(map(text, rest))})"
        case _:
            return f"({text(rest[0])} {verb} {text(rest[1])})"


def same(one: Any, other: Any) -> bool:
    if kind(one) != kind(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[name], other[name]) for name in one)
    return bool(one == other)


def truth(value: Any) -> Any:
    return value if isinstance(value, bool) else None


def conjunction(values: list[Any]) -> Any:
    values = [truth(value) for value in values]
    return False if False in values else None if None in values else True


def negation(value: Any) -> Any:
    return not value if isinstance(value, bool) else None if value is None else MISSING


def compared(verb: str, one: Any, other: Any) -> Any:
    if one is MISSING or other is MISSING:
        return MISSING
    if one is None or other is None:
        return None
    if verb in ("=", "<>"):
        return same(one, other) == (verb == "=")
    if kind(one) != kind(other) or kind(one) not in ("number", "text", "bool"):
        return MISSING
    return {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}[verb]


def calculated(verb: str, one: Any, other: Any) -> Any:
    if one is MISSING or other is MISSING:
        return MISSING
    if one is None or other is None:
        return None
    if verb == "||":
        return one + other if kind(one) == kind(other) == "text" else MISSING
    if kind(one) != "number" or kind(other) != "number":
        return MISSING
    return {"+": lambda: one + other, "-": lambda: one - other, "*": lambda: one * other}[verb]()


def like(value: str, pattern: str) -> bool:
    if not pattern:
        return not value
    if pattern[0] == "%":
        return any(like(value[i:], pattern[1:]) for i in range(len(value) + 1))
    return bool(value) and pattern[0] in ("_", value[0]) and like(value[1:], pattern[1:])


def is_type(value: Any, name: str) -> bool:
    if name in ("NULL", "MISSING"):
        return value is MISSING or (name == "NULL" and value is None)
    types = {"BOOL": (bool,), "INT": (int,), "FLOAT": (float,), "STRING": (str,), "STRUCT": (dict,), "LIST": (list,)}
    return type(value) in types[name]


def meaning(node: tuple[Any, ...], variables: dict[str, Any]) -> Any:  # noqa: C901, PLR0911, PLR0912 - a line for each kind
    verb, *rest = node

    def of(inner: tuple[Any, ...]) -> Any:
        return meaning(inner, variables)

    match verb:
        case "value":
            return rest[0]
        case "variable":
            return variables.get(rest[0], MISSING)
        case "field":
            struct = of(rest[0])
            return struct.get(rest[1], MISSING) if isinstance(struct, dict) else MISSING
        case "element":
            items = of(rest[0])
            return items[rest[1]] if isinstance(items, list) and rest[1] < len(items) else MISSING
        case "not":
            return negation(of(rest[0]))
        case "AND":
            return conjunction([of(rest[0]), of(rest[1])])
        case "OR":
            return negation(conjunction([negation(truth(of(rest[0]))), negation(truth(of(rest[1])))]))
        case "in":
            found = [compared("=", of(rest[0]), option) for each in rest[1] if (option := of(each)) is not MISSING]
            return True if True in found else False if all(each is False for each in found) else None
        case "between":
            value = of(rest[0])
            return conjunction([compared(">=", value, of(rest[1])), compared("<=", value, of(rest[2]))])
        case "is":
            return is_type(of(rest[0]), rest[1])
        case "like":
            value = of(rest[0])
            return like(value, rest[1]) if isinstance(value, str) else None if value is None else MISSING
        case "case":
            return of(rest[1] if of(rest[0]) is True else rest[2])
        case "struct":
            return {name: value for name, each in rest[0] if (value := of(each)) is not MISSING}
        case "list":
            return [value for each in rest[0] if (value := of(each)) is not MISSING]
        case "coalesce":
            return next((value for each in rest if (value := of(each)) is not None and value is not MISSING), None)
        case "nullif":
            return None if compared("=", of(rest[0]), of(rest[1])) is True else of(rest[0])
        case "size":
            value = of(rest[0])
            return len(value) if isinstance(value, list | dict) else None if value is None else MISSING
        case "=" | "<>" | "<" | "<=" | ">" | ">=":
            return compared(verb, of(rest[0]), of(rest[1]))
        case _:
            return calculated(verb, of(rest[0]), of(rest[1]))
