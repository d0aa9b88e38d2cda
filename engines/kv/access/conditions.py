"""The conditions of a policy: what is known about a request, and the operators that ask about it.

    "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["${aws:username}"]}, "Bool": {...}}
                   │            │                │                        │
                   over many    operator         key, one of KEYS         values: one of them must fit
                                                                          several keys and operators: all must hold

A condition is True, False, or None: not to be decided, because a variable in it has no value in this request.

    the request does not have the key   False; True for the negated operators (StringNotEquals ...), for ...IfExists and
                                        for ForAllValues:, whose every value out of none does fit
    ForAllValues:                       every value of the request fits
    ForAnyValue:                        at least one does; without any, False
    Null                                "true": the key is not there, "false": it is

Text is compared by its characters; in StringLike, `*` is any run of them and `?` any one. `${key}` is the request's
value of that key, `${key, 'default'}` has one for when there is none, `${*} ${?} ${$}` are those characters
themselves. What a variable stands for is never a wildcard: a user named `*` is no other's.

Matching takes pattern x text steps at most: only the last `*` is ever gone back to.

Not here: numeric, binary, address and ARN operators, for which there is no key here; they are refused.
"""

import base64
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from engines.clock import MICROSECONDS
from engines.errors import Invalid, nearest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Truth = bool | None  # None: cannot be decided
Values = Mapping[str, tuple[Any, ...]]  # what a request is known by: key in lower case -> one value, or many


class Key(NamedTuple):
    """Something that a condition can ask about: its name, string, bool or date, and whether it has many values."""

    name: str
    kind: str = "string"
    many: bool = False


CLOCK_KEYS = ("aws:CurrentTime", "aws:EpochTime")
LEADING_KEYS, ATTRIBUTES = "dynamodb:LeadingKeys", "dynamodb:Attributes"
KEYS = {
    key.name.lower(): key
    for key in (
        Key(LEADING_KEYS, many=True),
        Key(ATTRIBUTES, many=True),
        Key("dynamodb:Select"),
        Key("dynamodb:ReturnValues"),
        Key("dynamodb:ReturnConsumedCapacity"),
        Key("dynamodb:EnclosingOperation"),
        Key("dynamodb:FullTableScan", "bool"),
        Key("aws:username"),
        Key("aws:userid"),
        Key("aws:PrincipalArn"),
        Key("aws:PrincipalAccount"),
        Key("aws:PrincipalType"),
        Key("aws:MultiFactorAuthPresent", "bool"),
        Key("aws:SecureTransport", "bool"),
        *(Key(name, "date") for name in CLOCK_KEYS),
        Key("www.amazon.com:user_id"),
        Key("graph.facebook.com:id"),
        Key("accounts.google.com:sub"),
        Key("cognito-identity.amazonaws.com:sub"),
    )
}
TAG = "aws:principaltag/"  # followed by any name: aws:PrincipalTag/team


def known_key(name: object) -> Key:
    """The key of that name, which is not case-sensitive. Invalid if there is none."""
    if isinstance(name, str):
        folded = name.lower()
        if folded in KEYS:
            return KEYS[folded]
        if folded.startswith(TAG) and len(folded) > len(TAG):
            return Key("aws:PrincipalTag/" + name[len(TAG) :])
    names = [key.name for key in KEYS.values()]
    hint = nearest(name, names) if isinstance(name, str) else ""
    raise Invalid(f"no condition key {name!r}: there are {', '.join(names)} and aws:PrincipalTag/NAME{hint}")


def request_values(
    context: Mapping[str, object], leading_keys: Iterable[object], attributes: Iterable[str], now: int
) -> dict[str, tuple[Any, ...]]:
    """What a request is known by. now: in microseconds. Invalid for keys that are not known, or values of no use."""
    values: dict[str, tuple[Any, ...]] = {key.lower(): (now // MICROSECONDS * MICROSECONDS,) for key in CLOCK_KEYS}
    for name, value in context.items():
        key = known_key(name)
        if key.many or key.kind == "date":
            raise Invalid(f"{key.name} does not belong in context: it comes from its own argument, or the clock")
        if not isinstance(value, bool if key.kind == "bool" else str):
            wanted = "True or False" if key.kind == "bool" else "text"
            raise Invalid(f"{key.name} is {wanted} in context, got {value!r}")
        values[key.name.lower()] = (value,)
    for name, many in ((LEADING_KEYS, leading_keys), (ATTRIBUTES, attributes)):
        if isinstance(many, str | bytes):
            raise Invalid(f"{name} takes a list of values, got {many!r} (write [{many!r}])")
        texts = tuple(_as_text(name, value) for value in many)
        if texts:
            values[name.lower()] = texts
    return values


def _as_text(name: str, value: object) -> str:
    match value:
        case str():
            return value
        case bytes() | bytearray():
            return base64.b64encode(value).decode()  # as the service writes binary keys in JSON
        case int() if not isinstance(value, bool):
            return str(value)
        case Decimal():
            text = format(value, "f")  # normalize() would round it to the digits of decimal.getcontext()
            return text.rstrip("0").rstrip(".") if "." in text else text
        case _:
            raise Invalid(f"{name} are texts, numbers or bytes, got {value!r}")


# -- text with variables and wildcards --------------------------------------------------------------------------------

_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_NAME_DEFAULT = re.compile(r"\s*([^\s,']+)\s*(?:,\s*'([^']*)'\s*)?")


class _Wildcard:
    """What stands for other characters: many, or one."""


MANY, ONE = _Wildcard(), _Wildcard()
_WILD = {"*": MANY, "?": ONE}


class _Variable(NamedTuple):
    key: Key
    default: str | None


class Template:
    """A text of a policy: plain characters, ${variables}, and where wild, `*` and `?`. Invalid for a bad variable."""

    def __init__(self, text: str, *, wild: bool, fold: bool = False) -> None:
        self.text = text
        self._fold = fold
        self._parts: list[str | _Wildcard | _Variable] = []
        end = 0
        for found in _VARIABLE.finditer(text):
            self._add_plain(text[end : found.start()], wild=wild)
            inner = found[1]
            self._parts.append(inner if inner in ("*", "?", "$") else _variable(inner, text))
            end = found.end()
        self._add_plain(text[end:], wild=wild)

    def _add_plain(self, text: str, *, wild: bool) -> None:
        if "${" in text:
            raise Invalid(f"a variable is not closed in {self.text!r}: write ${{name}}, or ${{$}} for a dollar sign")
        self._parts += [_WILD.get(character, character) if wild else character for character in text]

    def matches(self, value: str, values: Values) -> Truth:
        """Whether the whole value is of this pattern; None if a variable has no value."""
        pattern: list[str | _Wildcard] = []
        for part in self._parts:
            if isinstance(part, _Variable):
                found = values.get(part.key.name.lower(), (part.default,))[0]
                if found is None:
                    return None
                pattern += found.casefold() if self._fold else found
            else:
                pattern += part.casefold() if self._fold and isinstance(part, str) else [part]
        return glob(pattern, value.casefold() if self._fold else value)


def _variable(inner: str, text: str) -> _Variable:
    found = _NAME_DEFAULT.fullmatch(inner)
    if found is None:
        raise Invalid(f"no variable ${{{inner}}} in {text!r}: write ${{key}}, or ${{key, 'default'}}")
    key = known_key(found[1])
    if key.many or key.kind != "string":
        raise Invalid(f"{key.name} in {text!r} is no variable: a variable stands for one text")
    return _Variable(key, found[2])


def glob(pattern: Sequence[str | _Wildcard], text: str) -> bool:
    """Whether the whole text is of the pattern."""
    at = i = 0
    star, mark = -1, 0  # the last MANY in the pattern, and how far into the text it reaches
    while i < len(text):
        part = pattern[at] if at < len(pattern) else None
        if part is MANY:
            star, mark = at, i
            at += 1
        elif part is not None and (part is ONE or part == text[i]):
            at, i = at + 1, i + 1
        elif star >= 0:
            mark += 1
            at, i = star + 1, mark
        else:
            return False
    return all(part is MANY for part in pattern[at:])


# -- operators --------------------------------------------------------------------------------------------------------


class _Operator(NamedTuple):
    kind: str  # of key that it asks about; "" any
    negated: bool
    wild: bool = False
    fold: bool = False
    compare: Callable[[Any, Any], bool] = operator.eq


_OPERATORS = {
    "StringEquals": _Operator("string", negated=False),
    "StringNotEquals": _Operator("string", negated=True),
    "StringEqualsIgnoreCase": _Operator("string", negated=False, fold=True),
    "StringNotEqualsIgnoreCase": _Operator("string", negated=True, fold=True),
    "StringLike": _Operator("string", negated=False, wild=True),
    "StringNotLike": _Operator("string", negated=True, wild=True),
    "DateEquals": _Operator("date", negated=False),
    "DateNotEquals": _Operator("date", negated=True),
    "DateLessThan": _Operator("date", negated=False, compare=operator.lt),
    "DateLessThanEquals": _Operator("date", negated=False, compare=operator.le),
    "DateGreaterThan": _Operator("date", negated=False, compare=operator.gt),
    "DateGreaterThanEquals": _Operator("date", negated=False, compare=operator.ge),
    "Bool": _Operator("bool", negated=False),
    "Null": _Operator("", negated=False),
}
_OVER, _IF_EXISTS = ("ForAllValues", "ForAnyValue"), "IfExists"


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one key. wanted: the values of the policy, as they are compared; shown: as they were written."""

    name: str
    key: Key
    over: str
    if_exists: bool
    wanted: tuple[Any, ...]
    shown: tuple[str, ...]
    how: _Operator

    def holds(self, values: Values) -> Truth:
        """Whether the request fits; None if that depends on a variable without a value."""
        given = values.get(self.key.name.lower(), ())
        if not self.how.kind:
            return (not given) in self.wanted
        if not given:
            return self.if_exists or self.over == "ForAllValues" or (self.how.negated and not self.over)
        each = [self._fits(value, values) for value in given]
        return either(each) if self.over == "ForAnyValue" else both(each)

    def _fits(self, value: Any, values: Values) -> Truth:  # noqa: ANN401 - text, a bool or a time
        if self.how.kind == "string":
            found = either([template.matches(value, values) for template in self.wanted])
        else:
            found = any(self.how.compare(value, wanted) for wanted in self.wanted)
        return found if found is None else found != self.how.negated

    def describe(self, values: Values) -> str:
        """What was asked, and of what."""
        given = values.get(self.key.name.lower())
        if given is None:
            there = "is not in the request"
        elif self.key.kind == "date":
            there = f"is {(EPOCH + timedelta(microseconds=given[0])).isoformat()}"
        else:
            there = f"is {', '.join(map(str, given))}"
        return f"{self.key.name} {there}; asked for {', '.join(self.shown)}"


def both(truths: Iterable[Truth]) -> Truth:
    """AND: one False decides, then one None leaves it open."""
    found = list(truths)
    return False if False in found else None if None in found else True


def either(truths: Iterable[Truth]) -> Truth:
    """OR: one True decides, then one None leaves it open."""
    found = list(truths)
    return True if True in found else None if None in found else False


def conditions_of(block: object, where: str) -> list[Condition]:
    """The conditions of a statement. Invalid, naming the operator, key or value that is not known."""
    if not isinstance(block, Mapping) or not block:
        raise Invalid(f"{where}: Condition is an object of operators, got {block!r} (leave it out for none)")
    return [
        _condition(name, key, wanted, where)
        for name, asked in block.items()
        for key, wanted in _asked(name, asked, where).items()
    ]


def _asked(name: object, asked: object, where: str) -> Mapping[object, object]:
    if not isinstance(asked, Mapping) or not asked:
        raise Invalid(f"{where}: {name} is an object of condition keys and values, got {asked!r}")
    return asked


def _condition(name: object, key_name: object, wanted: object, where: str) -> Condition:
    over, bare, if_exists = _taken_apart(name)
    how = _OPERATORS.get(bare)
    if how is None or (over and over not in _OVER) or (not how.kind and (over or if_exists)):
        raise Invalid(
            f"{where}: no condition operator {name!r}{nearest(bare, _OPERATORS)}: there are {', '.join(_OPERATORS)}, "
            f"with ForAllValues: or ForAnyValue: before and IfExists behind all but Null"
        )
    try:
        key = known_key(key_name)
    except Invalid as error:
        raise Invalid(f"{where}: {error}") from None
    if how.kind not in ("", key.kind):
        raise Invalid(f"{where}: {bare} does not fit {key.name}, which is a {key.kind}")
    if how.kind and key.many and not over:
        raise Invalid(
            f"{where}: {key.name} has many values in one request: write ForAllValues:{bare} (every one must fit) or "
            f"ForAnyValue:{bare}"
        )
    texts = texts_of(wanted, f"{where}: {key.name}", also=(bool, int) if how.kind != "string" else ())
    if how.kind == "string":
        values: Iterable[object] = [Template(text, wild=how.wild, fold=how.fold) for text in texts]
    elif how.kind == "date":
        values = [_date(text, where) for text in texts]
    else:
        values = [_boolean(text, where) for text in texts]
    return Condition(str(name), key, over, if_exists, tuple(values), texts, how)


def _taken_apart(name: object) -> tuple[str, str, bool]:
    """ForAllValues:StringLikeIfExists -> ("ForAllValues", "StringLike", True)."""
    over, colon, bare = str(name).rpartition(":")
    if colon and not over:
        bare = str(name)
    return over, bare.removesuffix(_IF_EXISTS), bare.endswith(_IF_EXISTS)


def texts_of(value: object, where: str, also: tuple[type, ...] = ()) -> tuple[str, ...]:
    """One text or a list of them, as JSON may say either. Invalid for anything else, and for none."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values or not all(isinstance(one, (str, *also)) for one in values):
        raise Invalid(f"{where} is a text or a list of at least one, got {value!r}")
    return tuple(str(one) for one in values)


def _boolean(text: str, where: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise Invalid(f"{where}: a Bool or Null is true or false, got {text!r}")
    return text.lower() == "true"


def _date(text: str, where: str) -> int:
    """Microseconds since 1970 of an ISO 8601 text (UTC if it names no zone), or of seconds since 1970."""
    try:
        if text.isdecimal():
            return int(text) * MICROSECONDS
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(
            f"{where}: a date is written 2030-01-31T00:00:00Z, or in seconds since 1970, got {text!r}"
        ) from None
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // timedelta(microseconds=1)
