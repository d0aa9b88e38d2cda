"""The registry of functions: what a name in a statement means, which types it takes, and what runs.

    binder     scalars[name].resolve(argument types) -> a type to cast each argument to, and the type of the result
    evaluator  scalars[name].call(columns, rows, type, context, position) -> the result as a Column
    planner    aggregates[name].resolve(...); the built-in aggregates run natively, by name
    front      rewrites[name](call) -> another syntax tree: functions that are only a way to write something else;
               specials[name](binder, name, call, scope) -> an Expression: those that read their arguments themselves

Names are lower case and looked up without regard to case. Syntax that is no function call has names too:

    like ilike          (value, pattern [, escape])    x [NOT] LIKE p ESCAPE e; NOT is a "not" around it
    similar to          (value, pattern [, escape])
    ~ ~* !~ !~*         (value, pattern)               POSIX regular expressions
    ||                  (a, b)                         text; numbers and dates are cast to text
    extract, date_part  (part, value)                  the part as a constant text: 'year'
    position            (part, value)                  POSITION(part IN value)
    trim ltrim rtrim    (value [, characters])         TRIM(LEADING c FROM v) is ltrim(v, c)
    substring           (value, start [, length])
    add interval        (value, interval)              DATE, TIMESTAMP, TIMESTAMPTZ, TIME; + and - with INTERVAL
    add days            (date, integer)                DATE + 3
    at time zone        (timestamp, zone)
    dateadd datediff date_trunc convert_timezone ...   parts and zones are constant texts

A DATE plus an INTERVAL is a DATE; where the interval holds a part of a day say so by its type, `INTERVAL_OF_TIME`, and
the result is a TIMESTAMP. An interval arrives as whole numbers, with months as spans.py has it.

Strict functions (nearly all) give NULL where an argument is NULL, and the caller sees to that: it joins the masks of
the arguments with the mask of what `call` gives (which is set where the function itself finds no value). Data under a
NULL is defined but meaningless, so a call that refuses a value first asks whether the row has one: `present(columns)`.

A call that gets nothing but constants computes one row and gives a constant: `Functions.scalar` sees to it.

Matching, simpler than PostgreSQL's: each signature has a cost, the sum of its casts; the cheapest wins, the first of
equals. A NULL fits everything for nothing.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from engines.sql.column import Bytes, Column
from engines.sql.context import Context
from engines.sql.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    INTERVAL,
    REAL,
    SMALLINT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    VARBYTE,
    VARCHAR,
    Type,
)

INTERVAL_OF_TIME: Final = Type("interval", unit="time")  # an interval with hours, minutes or seconds


class TypeMismatch(ValueError):
    """No signature takes arguments of these types. The binder makes a QueryError of it, at the call's place."""


Resolve = Callable[[Sequence[Type]], tuple[Sequence[Type], Type]]
Kernel = Callable[[list[Column], int, Type, Context, int], Column]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A function of one row's values."""

    name: str
    resolve: Resolve  # argument types -> (what to cast each argument to, type of the result); TypeMismatch
    call: Kernel  # columns (dense, some constant), rows, result type, context, position -> `rows` values or a constant
    strict: bool = True  # NULL in, NULL out: done by the caller
    pure: bool = True  # False: random(): not folded, not computed once for a word of a dictionary
    signature: str = ""  # for the catalogue
    meaning: str = ""  # one line


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function of a group's rows. Built-in ones have no start, update, merge, finish: they run natively, by name.

    start() gives a state; update(state, values of one row) and merge(state, state) give a new one; finish(state) gives
    a Python value of the result type, or None.
    """

    name: str
    resolve: Resolve
    start: Callable[[], Any] | None = None
    update: Callable[..., Any] | None = None
    merge: Callable[[Any, Any], Any] | None = None
    finish: Callable[[Any], Any] | None = None
    strict: bool = True  # rows with a NULL argument are left out
    meaning: str = ""
    plan: Callable[[Any], Any] | None = None  # AggregateCall -> calls.Plan: an engine's own native one

    @property
    def native(self) -> bool:
        return self.start is None and self.plan is None


@dataclass(slots=True)
class Functions:
    """Names and what they mean. An engine copies the standard ones and adds its own."""

    scalars: dict[str, Scalar] = field(default_factory=dict)
    aggregates: dict[str, Aggregate] = field(default_factory=dict)
    rewrites: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    specials: dict[str, Callable[..., Any]] = field(default_factory=dict)  # (binder, name, node, scope) -> Expression

    def scalar(
        self,
        name: str,
        takes: "str | Resolve",
        *,
        synonyms: Sequence[str] = (),
        strict: bool = True,
        pure: bool = True,
        meaning: str = "",
    ) -> Callable[[Kernel], Kernel]:
        """Registers the function below it: `@functions.scalar("upper", "text -> varchar")`.

        takes: signatures, see `signature`, or a function that resolves. A name that is there already is replaced.
        """
        resolve = signature(takes) if isinstance(takes, str) else takes
        shown = takes if isinstance(takes, str) else ""

        def register(call: Kernel) -> Kernel:
            for known in (name, *synonyms):
                text = meaning if known == name else f"the same as {name}"
                self.scalars[known.lower()] = Scalar(
                    known.lower(), resolve, _once(call) if pure else call, strict, pure, shown, text
                )
            return call

        return register

    def aggregate(
        self,
        name: str,
        takes: "str | Resolve",
        *,
        start: Callable[[], Any] | None = None,
        update: Callable[..., Any] | None = None,
        merge: Callable[[Any, Any], Any] | None = None,
        finish: Callable[[Any], Any] | None = None,
        strict: bool = True,
        meaning: str = "",
    ) -> None:
        """Registers an aggregate: a native one by its name alone, a user's with start, update, merge and finish."""
        resolve = signature(takes) if isinstance(takes, str) else takes
        self.aggregates[name.lower()] = Aggregate(
            name.lower(), resolve, start, update, merge, finish, strict=strict, meaning=meaning
        )

    def rewrite(self, name: str, change: Callable[[Any], Any]) -> None:
        """Registers a change of syntax: `change` gets the call's syntax tree and gives the one that stands for it."""
        self.rewrites[name.lower()] = change

    def find(self, name: str) -> Scalar | None:
        """The scalar function of that name, in any case; None if there is none."""
        return self.scalars.get(name.lower())

    def names(self) -> Iterator[str]:
        """All names, for suggestions."""
        yield from self.scalars
        yield from self.aggregates
        yield from self.rewrites
        yield from self.specials

    def add(self, other: "Functions") -> None:
        """All of the other's too; where both have a name, the other's wins."""
        self.scalars |= other.scalars
        self.aggregates |= other.aggregates
        self.rewrites |= other.rewrites
        self.specials |= other.specials

    def copy(self) -> "Functions":
        """The same functions; what is added to the copy stays there."""
        return Functions(dict(self.scalars), dict(self.aggregates), dict(self.rewrites), dict(self.specials))


def _once(call: Kernel) -> Kernel:
    """Computes one row where all arguments are constants: the result is a constant then."""

    def called(columns: list[Column], rows: int, type: Type, context: Context, position: int) -> Column:
        if all(column.constant for column in columns):
            made = call([replace(column, constant=False) for column in columns], 1, type, context, position)
            return replace(made, constant=True)
        return call(columns, rows, type, context, position)

    return called


# ---- signatures --------------------------------------------------------------------------------------------------

EXACT_TYPES: Final = {
    "boolean": BOOLEAN,
    "smallint": SMALLINT,
    "bigint": BIGINT,
    "real": REAL,
    "double": DOUBLE,
    "varchar": VARCHAR,
    "varbyte": VARBYTE,
    "date": DATE,
    "time": TIME,
    "timestamp": TIMESTAMP,
    "timestamptz": TIMESTAMPTZ,
    "interval": INTERVAL,
}
_SIGNATURE: Final = re.compile(r"\s*([a-z0-9_,.?\s]*?)\s*->\s*([a-z0-9]+)\s*")
REFUSED: Final = 1_000


def _fit(word: str, type: Type) -> tuple[int, Type]:
    """What it costs to take this type where a signature says `word`, and the type it is cast to."""
    kind = type.kind
    if kind == "null":
        return 0, {"text": VARCHAR, "integer": INTEGER, "number": DOUBLE, "temporal": TIMESTAMP, "bytes": VARCHAR}.get(
            word, EXACT_TYPES.get(word, type)
        )
    if word in {"any", kind}:
        return 0, type
    match word:
        case "text":
            if type.text:
                return 0, type
            return (REFUSED if type.fields or kind in {"interval", "varbyte"} else 9), VARCHAR
        case "varchar":
            return (0 if type.text else 9), VARCHAR
        case "bytes":
            return (0, type) if type.bytes else (REFUSED, type)
        case "integer":
            return (0, type) if type.integer else (3 if type.number else 6 if type.text else REFUSED, BIGINT)
        case "bigint":
            return (1 if type.integer else 3 if type.number else 6 if type.text else REFUSED), BIGINT
        case "decimal":
            return (1, Type("decimal", 19, 0)) if type.integer else (REFUSED, type)
        case "double":
            return (2 if type.number else 6 if type.text else REFUSED), DOUBLE
        case "number":
            return (0, type) if type.number else (6 if type.text else REFUSED, DOUBLE)
        case "temporal":
            return (0, type) if type.temporal else (5 if type.text else REFUSED, TIMESTAMP)
        case "timestamp":
            return (1 if kind == "date" else 2 if kind == "timestamptz" else 5 if type.text else REFUSED), TIMESTAMP
        case "timestamptz":
            return (2 if type.temporal else 6 if type.text else REFUSED), TIMESTAMPTZ
        case "date":
            return (3 if type.temporal else 4 if type.text else REFUSED), DATE
        case "time":
            return (7 if type.text else REFUSED), TIME
        case "boolean":
            return (8 if type.text else REFUSED), BOOLEAN
    return REFUSED, type


def signature(takes: str) -> Resolve:
    """Reads signatures: "text, integer -> varchar"; several apart by ";": "date -> date; timestamp -> timestamp".

    Words: text integer number temporal bytes any (a class of types: the argument keeps its type if it is in the class)
    and the names of types. A "?" behind a word: the argument, and those after it, may be left out. "..." behind the
    last one: any number of these, at least one. The result is a type's name, "integer", or "first": the type that the
    first argument is cast to. TypeMismatch says what was given and what is taken.
    """
    choices = []
    for one in takes.split(";"):
        found = _SIGNATURE.fullmatch(one)
        if not found:
            raise ValueError(f"{one!r} is no signature: write 'text, integer? -> varchar'")
        words = [word.strip() for word in found[1].split(",") if word.strip()]
        repeated = bool(words) and words[-1].endswith("...")
        names = [word.rstrip("?.") for word in words]
        least = next((i for i, word in enumerate(words) if word.endswith("?")), len(words))
        choices.append((names, least, repeated, found[2], words))

    def resolve(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
        best: tuple[int, list[Type], str] | None = None
        for names, least, repeated, result, _ in choices:
            if len(types) < least or (len(types) > len(names) and not repeated):
                continue
            fits = [_fit(names[min(i, len(names) - 1)], type) for i, type in enumerate(types)]
            cost = sum(fit[0] for fit in fits)
            if cost < REFUSED and (best is None or cost < best[0]):
                best = cost, [fit[1] for fit in fits], result
        if best is None:
            given = ", ".join(map(str, types))
            taken = " or ".join(f"({', '.join(choice[4])})" for choice in choices)
            raise TypeMismatch(f"takes {taken}, not ({given})")
        _, casts, result = best
        if result == "first":
            return casts, casts[0]
        return casts, INTEGER if result == "integer" else EXACT_TYPES[result]

    return resolve


def present(columns: Sequence[Column], rows: int) -> Bytes | None:
    """1 where no column is NULL; None if that is everywhere."""
    mask: Bytes | None = None
    for column in columns:
        if column.valid is not None:
            valid = column.valid.repeat(rows) if column.constant else column.valid
            mask = valid if mask is None else mask & valid
    return mask
