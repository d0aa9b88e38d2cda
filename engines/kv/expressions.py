"""What expressions mean: placeholders are filled in, conditions become closures, key conditions become key ranges.

The rules are DynamoDB's, and some are easily got wrong:

* A missing attribute makes every comparison false, except <>, which is true: even between two missing ones.
* Values of two types are never equal, not even True and 1; < and its like between them are false.
* Strings are ordered by their UTF-8 bytes, which is the order of code points; bytes as unsigned; numbers by value.
  Nothing else has an order.
* What can never hold is refused before anything is read: an unused or unknown placeholder, `a = a`, a map on the right
  of <, a BETWEEN whose bounds stand the wrong way round.

All expressions of one request share their names and values, so the check for unused ones belongs to the request:

    placeholders = Placeholders(names, values)
    holds = compile_condition(condition, placeholders)
    ...                                             # the request's other expressions
    placeholders.done()
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from engines._native.kvitem import ItemCodec
from engines.errors import Invalid, nearest
from engines.kv.syntax import Between, Call, Compare, Condition, In, Joined, Not, Operand, Path, Value, parse_condition
from engines.kv.values import TYPES, type_of

Item = dict[str, Any]
Holds = Callable[[Item | None], bool]
Getter = Callable[[Item], Any]

SMALL = 10**18  # integers below need no look: most are
_PLACEHOLDER = re.compile(r"[#:][A-Za-z0-9_]+")


class _Missing:
    """The value of an attribute that is not there: equal to nothing, not even to itself."""

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


def check_text(what: str, text: str | None) -> None:
    """Invalid if an expression is neither a text nor left out."""
    if text is not None and not isinstance(text, str):
        raise Invalid(f"{what} is an expression, a text like 'customer = :c', got {text!r:.80}")


# --- placeholders ---


class Placeholders:
    """The names and values of one request. done() refuses what no expression of the request has used.

    names: "#name" -> attribute name. values: ":name" -> value. Invalid if a key is written another way or a value can
    not be stored.
    """

    def __init__(self, names: Mapping[str, str] | None = None, values: Mapping[str, Any] | None = None) -> None:
        self._names = _checked("names", "#", names)
        self._values = _checked("values", ":", values)
        self._unused = {*self._names, *self._values}

    def name(self, text: str) -> str:
        """The attribute's name for a word of a path. Invalid for a placeholder that names does not have."""
        if text[0] != "#":
            return text
        name: str = self._find("names", text, self._names)
        if not isinstance(name, str) or not name:
            raise Invalid(f"names[{text!r}] must be an attribute's name, got {name!r:.80}")
        if not name.isascii():
            _check_unicode(name, f"the name {text}")
        return name

    def value(self, text: str) -> Any:  # noqa: ANN401 - whatever an item may hold
        """The constant for a placeholder, in the form it would come back from the store."""
        value = self._find("values", text, self._values)
        if type(value) is str and not value.isascii():
            _check_unicode(value, f"the value {text}")
        if type(value) in (str, bytes, bool, type(None)) or (type(value) is int and -SMALL < value < SMALL):
            return value
        codec = ItemCodec([])
        try:
            return codec.decode(codec.encode({text: value}))[text]
        except ValueError as error:
            raise Invalid(str(error).replace("attribute", "value", 1)) from None

    def path(self, path: Path) -> tuple[str | int, ...]:
        return tuple([self.name(part) if type(part) is str else part for part in path.parts])

    def done(self) -> None:
        """Invalid if a name or value is left that nobody asked for."""
        if self._unused:
            unused = ", ".join(sorted(self._unused))
            raise Invalid(
                f"no expression uses {unused}: leave out what is not used, or look for a misspelt placeholder"
            )

    def _find(self, where: str, text: str, known: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a name or a value
        found = known.get(text, MISSING)
        if found is MISSING:
            raise Invalid(f"the expression uses {text}, but {where} has no {text!r}{nearest(text, known)}")
        self._unused.discard(text)
        return found


def _check_unicode(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{what} has an unpaired surrogate and can not be written as UTF-8: {text!r:.80}") from None


def _checked(where: str, sign: str, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if given is None:
        return {}
    if type(given) is not dict and not isinstance(given, Mapping):  # asking for a Mapping is slow
        raise Invalid(f"{where} is a dict from placeholders to {where}, got {type(given).__name__}")
    for key in given:
        if not _is_placeholder(key, sign):
            raise Invalid(f"a key of {where} is {sign!r} and letters, digits or _, like '{sign}total', got {key!r:.80}")
    return given


@lru_cache(1024)
def _is_placeholder(key: object, sign: str) -> bool:
    return isinstance(key, str) and key[:1] == sign and _PLACEHOLDER.fullmatch(key) is not None


# --- conditions ---


def compile_condition(text: str, placeholders: Placeholders) -> Holds:
    """A function that tells whether the condition holds for an item, or for None, where there is no item.

    The expressions of one request share the placeholders. QueryError or Invalid where it makes no sense.
    """
    test = compile_filter(text, placeholders)
    empty: Item = {}
    return lambda item: test(empty if item is None else item)


def compile_filter(text: str, placeholders: Placeholders) -> Callable[[Item], bool]:
    """The same where there always is an item: a call less for each."""
    return _test(parse_condition(text), placeholders)


def attributes(text: str, placeholders: Placeholders) -> frozenset[str]:
    """The top-level attributes that a condition looks at: it holds for an item if it holds for these of it."""
    names = _attributes(text)
    return frozenset(placeholders.name(name) for name in names)


@lru_cache(512)
def _attributes(text: str) -> frozenset[str]:
    found: set[str] = set()
    left: list[Any] = [parse_condition(text)]
    while left:
        match left.pop():
            case Path(parts=(str() as name, *_)):
                found.add(name)
            case Compare(left=a, right=b):
                left += [a, b]
            case Between(operand=a, low=b, high=c):
                left += [a, b, c]
            case In(operand=a, options=options):
                left += [a, *options]
            case Not(condition=inner):
                left.append(inner)
            case Joined(conditions=parts):
                left += parts
            case Call(arguments=arguments):
                left += arguments
    return frozenset(found)


def _test(node: Condition, known: Placeholders) -> Callable[[Item], bool]:
    match node:
        case Compare():
            return _compare(node, known)
        case Between():
            return _between(node, known)
        case In():
            get = _getter(node.operand, known)
            options = [_getter(option, known) for option in node.options]
            return lambda item: any(same(get(item), option(item)) for option in options)
        case Not():
            inner = _test(node.condition, known)
            return lambda item: not inner(item)
        case Joined():
            tests = [_test(part, known) for part in node.conditions]
            together = all if node.operator == "AND" else any
            return lambda item: together(test(item) for test in tests)
        case Call():
            return _call(node, known)


_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compare(node: Compare, known: Placeholders) -> Callable[[Item], bool]:
    left, right = _getter(node.left, known), _getter(node.right, known)
    if node.left == node.right or (
        isinstance(node.left, Path) and isinstance(node.right, Path) and known.path(node.left) == known.path(node.right)
    ):
        raise Invalid(f"{node} compares {node.left} with itself: name another attribute or a :value")
    if isinstance(node.left, Path) and isinstance(node.right, Value):
        path, constant = known.path(node.left), known.value(node.right.name)
        if len(path) == 1 and type(constant) in _ORDERED:
            return _compare_attribute(str(path[0]), node.operator, constant)
    if node.operator == "=":
        return lambda item: same(left(item), right(item))
    if node.operator == "<>":
        return lambda item: not same(left(item), right(item))
    for operand in (node.left, node.right):
        _check_ordered(operand, known, node.operator)
    order = _ORDER[node.operator]

    def test(item: Item) -> bool:
        a, b = left(item), right(item)
        return comparable(a, b) and order(a, b)

    return test


def _compare_attribute(name: str, sign: str, constant: Any) -> Callable[[Item], bool]:  # noqa: ANN401 - S, N or B
    """What most comparisons are, an attribute and a constant that has an order, without a call in between."""
    types = _NUMBERS if type(constant) in _NUMBERS else (type(constant),)
    if sign == "=":
        return lambda item: type(value := item.get(name)) in types and value == constant
    if sign == "<>":
        return lambda item: type(value := item.get(name)) not in types or value != constant
    order = _ORDER[sign]
    return lambda item: type(value := item.get(name)) in types and order(value, constant)


def _between(node: Between, known: Placeholders) -> Callable[[Item], bool]:
    get, low, high = (_getter(operand, known) for operand in (node.operand, node.low, node.high))
    for operand in (node.operand, node.low, node.high):
        _check_ordered(operand, known, "BETWEEN")
    if isinstance(node.low, Value) and isinstance(node.high, Value):
        check_bounds(known.value(node.low.name), known.value(node.high.name), str(node))

    def test(item: Item) -> bool:
        value, least, most = get(item), low(item), high(item)
        return comparable(least, value) and comparable(value, most) and least <= value <= most

    return test


def check_bounds(low: Any, high: Any, text: str) -> None:  # noqa: ANN401 - any two values
    """Invalid unless low <= high, of one type that has an order."""
    if not comparable(low, high):
        raise Invalid(f"the bounds of {text} must be of one type, got {type_of(low)} and {type_of(high)}")
    if low > high:
        raise Invalid(f"the lower bound of {text} is above the upper one: swap them")


def _check_ordered(operand: Operand, known: Placeholders, sign: str) -> None:
    if isinstance(operand, Value):
        kind = type_of(known.value(operand.name))
        if kind not in ("S", "N", "B"):
            raise Invalid(f"{sign} compares strings, numbers or bytes, and {operand} is of type {kind}")


def _call(node: Call, known: Placeholders) -> Callable[[Item], bool]:
    get = _getter(node.arguments[0], known)
    if node.function == "attribute_exists":
        return lambda item: get(item) is not MISSING
    if node.function == "attribute_not_exists":
        return lambda item: get(item) is MISSING
    second = node.arguments[1]
    other = _getter(second, known)
    if node.function == "attribute_type":
        kind = known.value(second.name) if isinstance(second, Value) else None
        if kind not in TYPES:
            raise Invalid(f"attribute_type takes a :value that is one of {', '.join(TYPES)}, got {second} = {kind!r}")
        return lambda item: (value := get(item)) is not MISSING and type_of(value) == kind
    if node.function == "contains":
        if node.arguments[0] == second:
            raise Invalid(f"{node} asks whether {second} contains itself: name another attribute or a :value")
        return lambda item: contains(get(item), other(item))
    if isinstance(second, Value):
        _check_prefix(second.name, known.value(second.name))
    return lambda item: begins_with(get(item), other(item))


def _check_prefix(name: str, prefix: Any) -> None:  # noqa: ANN401 - any value
    if type(prefix) not in (str, bytes):
        raise Invalid(f"begins_with takes a string or bytes, and {name} is of type {type_of(prefix)}")


def _getter(operand: Operand, known: Placeholders) -> Getter:
    match operand:
        case Value(name=name):
            constant = known.value(name)
            return lambda _: constant
        case Path():
            return _path_getter(known.path(operand))
        case Call(arguments=(argument, *_)):  # size: the parser lets no other function stand here
            get = _getter(argument, known)
            return lambda item: size(get(item))
    raise AssertionError(operand)


def _path_getter(path: tuple[str | int, ...]) -> Getter:
    if len(path) == 1:
        (name,) = path
        return lambda item: item.get(name, MISSING)  # type: ignore[arg-type] # the first part is a name
    return lambda item: find(item, path)


def find(item: Item, path: Iterable[str | int]) -> Any:  # noqa: ANN401 - whatever an item may hold
    """The value at a path, or MISSING."""
    value: Any = item
    for part in path:
        if isinstance(part, str):
            value = value.get(part, MISSING) if type(value) is dict else MISSING
        else:
            value = value[part] if type(value) is list and part < len(value) else MISSING
        if value is MISSING:
            break
    return value


# --- values, compared as the service does ---

_NUMBERS = (int, Decimal)
_ORDERED = (str, int, Decimal, bytes)


def comparable(a: Any, b: Any) -> bool:  # noqa: ANN401 - any two values
    """Whether < means something between them."""
    return type(a) in _ORDERED and (type(a) is type(b) or (type(a) in _NUMBERS and type(b) in _NUMBERS))


def same(a: Any, b: Any) -> bool:  # noqa: ANN401 - any two values
    """Equality of values of one type, all the way down: Python's == takes True for 1."""
    if type(a) is not type(b):
        return type(a) in _NUMBERS and type(b) in _NUMBERS and bool(a == b)
    if type(a) is dict:
        return len(a) == len(b) and all(same(value, b.get(name, MISSING)) for name, value in a.items())
    if type(a) is list:
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def contains(whole: Any, part: Any) -> bool:  # noqa: ANN401 - any two values
    """A string's substring, a run of bytes, or an element of a list or set."""
    if type(whole) in (str, bytes):
        return type(whole) is type(part) and part in whole
    if type(whole) is list:
        return any(same(element, part) for element in whole)
    return type(whole) is set and type(part) in _ORDERED and part in whole


def begins_with(whole: Any, part: Any) -> bool:  # noqa: ANN401 - any two values
    """For strings, and for bytes."""
    return type(whole) in (str, bytes) and type(whole) is type(part) and bool(whole.startswith(part))


def size(value: Any) -> Any:  # noqa: ANN401 - any value
    """Characters, bytes or elements; MISSING for what has no size."""
    return len(value) if type(value) in (str, bytes, set, list, dict) else MISSING


# --- key conditions ---


class KeyRange(NamedTuple):
    """The keys that a key condition allows: one partition and, in it, a stretch of sort keys.

    operator   None  =          <     <=    >    >=   BETWEEN    begins_with
    low        -     the value  -     -     value     the bounds the prefix
    high       -     the value  value       -         the bounds -
    """

    partition: Any
    operator: str | None = None
    low: Any = None
    high: Any = None


def compile_key_condition(text: str, placeholders: Placeholders, partition: str, sort: str | None) -> KeyRange:
    """What `pk = :x [AND sk ...]` asks for, in a table or index whose keys are partition and sort.

    The expressions of one request share the placeholders. Types of values are not checked here: encoding them as keys
    does. QueryError or Invalid where it makes no sense.
    """
    keys: dict[str, KeyRange] = {}
    for part in _key_parts(text, partition):
        (name, *deeper) = placeholders.path(part.path)
        if deeper or name not in (partition, sort):
            known = f"{partition!r}" + (f" and {sort!r}" if sort is not None else ", which has no sort key")
            raise Invalid(
                f"{part.path} is not a key here, the keys are {known}: put {part.text} into filter, or query an index"
            )
        if name in keys:
            hint = ": for two bounds write BETWEEN" if name == sort else ""
            raise Invalid(f"a key condition names {name!r} once, here it stands twice{hint}")
        low = placeholders.value(part.low) if part.low else None
        high = placeholders.value(part.high) if part.high and part.high != part.low else low
        if part.operator == "BETWEEN":
            check_bounds(low, high, part.text)
        elif part.operator == "begins_with":
            _check_prefix(part.low, low)
        keys[str(name)] = KeyRange(None, part.operator, low, high if part.high else None)
    wanted = keys.pop(partition, None)
    if wanted is None or wanted.operator != "=":
        raise Invalid(f"a query reads one partition: the key condition must say {partition} = :value")
    for asked in keys.values():  # at most one: the sort key's
        return KeyRange(wanted.low, asked.operator, asked.low, asked.high)
    return KeyRange(wanted.low)


class _KeyPart(NamedTuple):
    """One comparison of a key condition; low and high are placeholders, "" where that side is open."""

    text: str
    path: Path
    operator: str
    low: str
    high: str


@lru_cache(512)
def _key_parts(text: str, partition: str) -> tuple[_KeyPart, ...]:
    tree = parse_condition(text)
    parts = tree.conditions if isinstance(tree, Joined) and tree.operator == "AND" else (tree,)
    return tuple(_key_part(part, partition) for part in parts)


def _key_part(part: Condition, partition: str) -> _KeyPart:
    match part:
        case Compare(operator=sign, left=Path() as path, right=Value(name=value)) if sign != "<>":
            low = value if sign in ("=", ">", ">=") else ""
            high = value if sign in ("=", "<", "<=") else ""
            return _KeyPart(str(part), path, sign, low, high)
        case Between(operand=Path() as path, low=Value(name=least), high=Value(name=most)):
            return _KeyPart(str(part), path, "BETWEEN", least, most)
        case Call(function="begins_with", arguments=(Path() as path, Value(name=value))):
            return _KeyPart(str(part), path, "begins_with", value, "")
    raise Invalid(
        f"a key condition can not say {part}: write {partition} = :value, then for the sort key AND with one "
        "of = < <= > >= BETWEEN begins_with and :values; other conditions go into filter"
    )
