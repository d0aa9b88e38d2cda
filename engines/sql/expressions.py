"""Expressions to programs: what a plan's step computes for every batch.

    compile(expressions)   -> Program      program.run(batch, context) -> a Column each
    condition(expression)  -> Condition    condition.positions(batch, context) -> the rows where it is true
    fold(expression)       -> a Constant, for the rewrite rules

An expression becomes a node: a number, and a step that asks a Frame for the nodes below (`evaluation.py`). Nodes are
numbered by what they are made of, so that an expression that occurs twice is one node: price * (1 - discount) is
computed once for two sums. What a step does is elsewhere:

    arithmetic.py    + - * / %              logic.py      AND OR NOT IN CASE COALESCE ...
    comparisons.py   = <> < <= > >=         wordwise.py   once a word instead of once a row
    casts.py         CAST                   branches.py   the branches of a CASE put together

All other functions come from the registry by name. Of a function that is not said to be pure (random()) every call is a
node of its own.

Invariants: a row's error is raised only if SQL reaches the row: CASE, COALESCE, AND and OR shield what stands behind
them. A result has the expression's type, `rows` values or is constant.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from engines.errors import EngineError, QueryError
from engines.sql import arithmetic, casts, comparisons, intervals, logic
from engines.sql.arithmetic import places
from engines.sql.column import Batch, Column, Positions, expand, gather, nulls
from engines.sql.condition import Condition, Range, Test
from engines.sql.context import Context
from engines.sql.evaluation import Frame, Nodes, Step, constant, strict
from engines.sql.functions.registry import Functions, Scalar
from engines.sql.logical import (
    Among,
    Bound,
    Call,
    Case,
    Cast,
    Constant,
    Expression,
    Lambda,
    Reference,
    parts,
    references,
    walk,
)
from engines.sql.spans import months_and_time
from engines.sql.texts import to_words
from engines.sql.types import BIGINT, BOOLEAN, Type
from engines.sql.wordwise import wordwise

ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "%"})
RISKY: Final = frozenset({"/", "%"})  # operators that fail on ordinary values
SAFE: Final = frozenset(  # that never fail
    {
        "and",
        "or",
        "not",
        "is null",
        "is not null",
        "is distinct from",
        "is not distinct from",
        "coalesce",
        "nvl",
        "like",
    }
    | {"ilike", "nullif", "greatest", "least", "upper", "lower", "substring", "length", "is true", "is false", "||"}
    | {"is not true", "is not false", "is unknown", "is not unknown", "extract", "date_part", "+", "-", "*", "neg"}
    | set(comparisons.TESTS)
)
TRUTHS: Final = {
    "is true": (True, True),
    "is not true": (True, False),
    "is false": (False, True),
    "is not false": (False, False),
    "is unknown": (None, True),
    "is not unknown": (None, False),
}


class Program:
    """Compiled expressions. Threads may share one."""

    __slots__ = ("nodes", "roots", "types")

    def __init__(self, nodes: Nodes, roots: Sequence[int], types: Sequence[Type]) -> None:
        self.nodes = nodes
        self.roots = roots
        self.types = types

    def run(self, batch: Batch, context: Context) -> list[Column]:
        """A column for each expression, in their order. QueryError with the place in the text for what has no value."""
        frame = self.nodes.frame(batch, context)
        if batch.rows == 0 and not any(type.fields for type in self.types):
            return [nulls(type, 0) for type in self.types]  # not even a constant fails for no row
        return [frame.value(root) for root in self.roots]


def compile(expressions: Sequence[Expression], functions: Functions) -> Program:
    """A program that computes these expressions for any batch that has the columns they mention."""
    compiler = _Compiler(functions)
    roots = [compiler.node(expression) for expression in expressions]
    return Program(compiler.nodes, roots, [expression.type for expression in expressions])


def condition(expression: Expression, functions: Functions) -> Condition:
    """A compiled BOOLEAN expression, that finds the rows where it is true: neither false nor NULL."""
    compiler = _Compiler(functions)
    tests = [compiler.test(one) for one in _conjuncts(expression)]
    return Condition(compiler.nodes, tests)


def fold(
    expression: Expression, functions: Functions | None = None, rules: Mapping[str, Any] | None = None
) -> Constant | None:
    """The expression's value, if nothing but constants is in it; None if it has none, or would be an error.

    A parameter or now() is no constant: it is another with every run. Nor is anything that is not pure. rules: the
    dialect's.
    """
    compiler = _Compiler(functions or _standard())
    try:
        node = compiler.node(expression)
    except EngineError:
        return None
    info = compiler.infos[node]
    if info.ids or info.bound or not info.pure:
        return None
    try:
        column = compiler.nodes.frame(Batch(rows=1), Context(rules=rules or {})).value(node)
    except QueryError:
        return None
    if column.parts is not None or expression.type.fields:
        return None
    return Constant(_engine_value(column), type=expression.type, position=expression.position)


def _standard() -> Functions:
    global _STANDARD  # noqa: PLW0603 - made once, when first used: the functions import much
    if _STANDARD is None:
        from engines.sql.functions import standard  # noqa: PLC0415 - see above

        _STANDARD = standard()
    return _STANDARD


_STANDARD: Functions | None = None


def _engine_value(column: Column) -> Any:  # noqa: ANN401 - any type's values
    """The value of a column of one row."""
    if column.valid is not None and not column.valid[0]:
        return None
    if column.type.bytes:
        return to_words(column)[0]
    value = column.data[0]
    if column.type.kind == "interval":
        return months_and_time(value)
    if column.type.floating:
        return float(value)
    if column.type.kind == "boolean":
        return bool(value)
    return int(value) + column.base


def _conjuncts(expression: Expression) -> list[Expression]:
    if isinstance(expression, Call) and expression.function == "and":
        return [part for argument in expression.arguments for part in _conjuncts(argument)]
    return [expression]


# ---- the compiler ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Info:
    """What is known of a node. ids: of the columns beneath; bound: of the parameters; cost: ns a row, roughly."""

    expression: Expression
    ids: frozenset[str]
    bound: tuple[int | str, ...]
    pure: bool
    risky: bool
    cost: float


class _Compiler:
    def __init__(self, functions: Functions) -> None:
        self.functions = functions
        self.nodes = Nodes()
        self.infos: list[_Info] = []
        self.numbers: dict[Any, int] = {}
        self.seen: dict[int, int] = {}  # id of an expression object -> its node

    def node(self, expression: Expression) -> int:
        """The expression's node; a new one unless an equal one is there."""
        known = self.seen.get(id(expression))
        if known is not None:
            return known
        if isinstance(expression, Call) and any(isinstance(one, Lambda) for one in expression.arguments):
            found = self.seen[id(expression)] = self._with_lambdas(expression)
            return found
        below = [self.node(part) for part in parts(expression)]
        key = _key(expression, below)
        number = self.numbers.get(key)
        if number is None or not self.infos[number].pure:
            number = self.numbers[key] = self._made(expression, below)
        self.seen[id(expression)] = number
        return number

    def _made(self, expression: Expression, below: list[int]) -> int:
        infos = [self.infos[node] for node in below]
        step, pure, risky, cost = self._step(expression, below)
        ids = frozenset({expression.id}) if isinstance(expression, Reference) else frozenset()
        bound: tuple[int | str, ...] = (expression.name,) if isinstance(expression, Bound) else ()
        for info in infos:
            ids |= info.ids
            bound += tuple(name for name in info.bound if name not in bound)
            pure, risky, cost = pure and info.pure, risky or info.risky, cost + info.cost
        if pure and len(ids) == 1 and infos and not expression.type.fields:
            (id,) = ids
            type = self._type_of(below, id)
            if type is not None and type.bytes:
                step = wordwise(step, id, expression.type, expression, bound)
                cost = min(cost, 2.0) if cost < 100 else cost / 10
        self.infos.append(_Info(expression, ids, bound, pure, risky, cost))
        self.nodes.steps.append(step)
        self.nodes.fixed.append(pure and not ids)
        return len(self.infos) - 1

    def _type_of(self, below: Sequence[int], id: str) -> Type | None:
        """The type of the one column beneath."""
        for node in below:
            info = self.infos[node]
            if id in info.ids:
                if isinstance(info.expression, Reference):
                    return info.expression.type
                return self._type_of([self.node(part) for part in parts(info.expression)], id)
        return None

    def _step(self, expression: Expression, below: list[int]) -> tuple[Step, bool, bool, float]:
        """How to compute it; whether it is pure, may fail on ordinary values, and what it costs by itself."""
        type, position = expression.type, expression.position
        match expression:
            case Reference(id=id):
                return _reference(id, type), True, False, 0.3
            case Constant(value=value):
                column = constant(value, type)
                return (lambda _: column), True, False, 0.0
            case Bound(name=name):
                return _bound(name, type), True, False, 0.0
            case Cast(lenient=lenient):
                given = expression.argument.type
                kernel = partial(casts.kernel, type=type, lenient=lenient, position=position)
                return (
                    strict(kernel, below, type),
                    True,
                    not (lenient or casts.safe(given, type)),
                    casts.cost(given, type),
                )
            case Case():
                pairs = list(zip(below[0:-1:2], below[1::2], strict=True))
                return logic.case(pairs, below[-1], type), True, False, 10.0
            case Among():
                return logic.membership(below[0], below[1:]), True, False, 2.0
            case Call(function=name):
                return self._call(name, expression, below)
        raise QueryError(f"{expression.__class__.__name__.lower()} cannot be computed here", position=max(position, 0))

    def _call(self, name: str, call: Call, below: list[int]) -> tuple[Step, bool, bool, float]:
        type, position = call.type, call.position
        given = [argument.type for argument in call.arguments]
        risky = name in RISKY
        if name == "neg":
            return strict(partial(_negated, type=type, position=position), below, type), True, False, 1.0
        if name in ARITHMETIC and any(one.kind == "interval" for one in (*given, type)):
            kernel = partial(intervals.kernel, operator=name, type=type, position=position)
            return strict(kernel, below, type), True, False, 5.0
        if name in ARITHMETIC:
            return strict(arithmetic.Arithmetic(name, type, position), below, type), True, risky, 3.0 if risky else 0.3
        if name in comparisons.TESTS:
            cost = 5.0 if given[0].bytes else 0.2
            below = [self._unscaled(argument) for argument in call.arguments]
            return strict(partial(_comparison, test=name), below, BOOLEAN), True, False, cost
        match name:
            case "and" | "or":
                risks = [self.infos[node].risky or self.infos[node].cost > 20 for node in below]
                return logic.connective(name, below, risks), True, False, 0.2
            case "not":
                return logic.negation(*below), True, False, 0.1
            case "is null" | "is not null":
                return logic.null_test(*below, wanted=name == "is null"), True, False, 0.1
            case "is distinct from" | "is not distinct from":
                return logic.distinction(*below, wanted=name == "is distinct from"), True, False, 1.0
            case "coalesce" | "nvl" | "ifnull":
                return logic.coalesce(below, type), True, False, 5.0
            case "nullif":
                return logic.nullif(below[0], below[1], type), True, False, 2.0
            case "greatest" | "least":
                return logic.extreme(below, type, greatest=name == "greatest"), True, False, 10.0
        if name in TRUTHS:
            value, wanted = TRUTHS[name]
            return logic.truth_test(below[0], value=value, wanted=wanted), True, False, 0.1
        scalar = self.functions.find(name)
        if scalar is None:
            raise QueryError(f"there is no function {name!r}", position=max(position, 0))
        return _scalar(scalar, below, type, position), scalar.pure, name not in SAFE, 50.0

    def _with_lambdas(self, call: Call) -> int:
        """A call with lambdas among its arguments: the function gets each of them as a Body."""
        scalar = self.functions.find(call.function)
        if scalar is None:
            raise QueryError(f"there is no function {call.function!r}", position=max(call.position, 0))
        made: list[Callable[[Frame], Any]] = []
        below: list[int] = []
        for argument in call.arguments:
            if isinstance(argument, Lambda):
                program = compile([argument.body], self.functions)
                outside = {
                    one.id: self.node(one)
                    for one in walk(argument.body)
                    if isinstance(one, Reference) and one.id in references(argument)
                }
                below += outside.values()
                made.append(partial(Body, program, argument.names, outside))
            else:
                below.append(self.node(argument))
                made.append(partial(_value, node=below[-1]))
        infos = [self.infos[node] for node in below]
        ids = frozenset().union(*(info.ids for info in infos))
        bound = tuple(dict.fromkeys(name for info in infos for name in info.bound))
        run, type, position = scalar.call, call.type, call.position

        def step(frame: Frame) -> Column:
            return run([make(frame) for make in made], frame.rows, type, frame.context, position)

        self.infos.append(_Info(call, ids, bound, scalar.pure, risky=True, cost=100.0))
        self.nodes.steps.append(step)
        self.nodes.fixed.append(False)
        return len(self.infos) - 1

    def _unscaled(self, expression: Expression) -> int:
        """The node of what is compared: values of 64 bits need no more places first, comparisons know of scales."""
        node = self.node(expression)
        if not isinstance(expression, Cast) or expression.lenient or not expression.type.decimal:
            return node
        given, type = expression.argument.type, expression.type
        shift = type.scale - places(given)
        if given.kind not in casts.NUMBERS or shift < 0 or 2**63 * 10**shift > 10**type.precision:
            return node
        below = self.seen[id(expression.argument)]
        key = "unscaled", node
        if key not in self.numbers:

            def step(frame: Frame) -> Column:
                column = frame.value(below)
                return frame.value(node) if column.wide else column  # Python's numbers may not fit the type

            self.numbers[key] = len(self.infos)
            self.infos.append(replace(self.infos[below], cost=self.infos[node].cost))
            self.nodes.steps.append(step)
            self.nodes.fixed.append(self.nodes.fixed[node])
        return self.numbers[key]

    # ---- conditions

    def test(self, expression: Expression) -> Test:
        """One conjunct of a condition."""
        node = self.node(expression)
        info = self.infos[node]
        if isinstance(expression, Call) and expression.function in comparisons.TESTS:
            a, b = (self._unscaled(argument) for argument in expression.arguments)
            test = expression.function
            if self.nodes.fixed[a]:
                a, b, test = b, a, comparisons.MIRRORED[test]
            type = self.infos[a].expression.type
            fixed = self.nodes.fixed[b] and not self.nodes.fixed[a]
            if fixed and type.whole and self.infos[b].expression.type.whole:
                return Test(node, info.cost, info.risky, Range(a, ((test, b),)))
        return Test(node, info.cost, info.risky)


class Body:
    """The body of a lambda over one batch: body(column of each parameter, row of the batch that each element is of)."""

    constant = False

    def __init__(self, program: Program, names: Sequence[str], outside: Mapping[str, int], frame: Frame) -> None:
        self.program, self.names, self.outside, self.frame = program, names, outside, frame

    def __call__(self, columns: Sequence[Column], rows_of: Positions) -> Column:
        found: dict[str, Any] = dict(zip(self.names, columns, strict=True))
        for id, node in self.outside.items():
            found[id] = gather(self.frame.value(node), rows_of)
        [made] = self.program.run(Batch(found, len(rows_of)), self.frame.context)
        return expand(made, len(rows_of))


def _value(frame: Frame, *, node: int) -> Column:
    return frame.value(node)


def _key(expression: Expression, below: Sequence[int]) -> tuple[Any, ...]:
    match expression:
        case Reference(id=id):
            own: Any = id
        case Constant(value=value):
            own = (
                type(value),
                value,
                repr(value) if isinstance(value, float) else None,
            )  # 1, True and -0.0 are not one
        case Bound(name=name):
            own = name
        case Call(function=function):
            own = function
        case Cast(lenient=lenient):
            own = lenient
        case _:
            own = None
    return expression.__class__, own, expression.type, *below


def _reference(id: str, type: Type) -> Step:
    """A column of the batch; else of a plan outside, whose row the context binds."""

    def step(frame: Frame) -> Column:
        try:
            column: Column = frame.batch.column(id)
        except KeyError:
            if id in frame.context.values:
                return constant(frame.context.values[id], type)
            raise
        return column

    return step


def _bound(name: int | str, type: Type) -> Step:
    def step(frame: Frame) -> Column:
        value = frame.context.values[name]
        if name == "$now" and value is not None and type.unit == "ns":
            value *= 1000
        return constant(value, type)

    return step


def _negated(columns: list[Column], rows: int, context: Context, *, type: Type, position: int) -> Column:
    column = columns[0]
    if type.floating:
        return Column(type, -column.data, valid=column.valid)
    if type.kind == "interval":
        return intervals.negated(column)
    zero = constant(0, BIGINT)
    return arithmetic.Arithmetic("-", type, position)([zero, column], rows, context)


def _comparison(columns: list[Column], rows: int, _: Context, *, test: comparisons.Test) -> Column:
    a, b = columns
    valid = arithmetic.both_valid(a, b, rows)
    return Column(BOOLEAN, comparisons.compare(test, a, b, rows), valid=valid)


def _scalar(scalar: Scalar, below: Sequence[int], type: Type, position: int) -> Step:
    """A function of the registry."""
    call: Callable[..., Column] = scalar.call

    def kernel(columns: list[Column], rows: int, context: Context) -> Column:
        made = call(columns, rows, type, context, position)
        valid = made.valid
        for column in columns:
            if column.valid is not None and not column.constant and column.valid is not valid:
                if made.constant:
                    made = replace(made, constant=False) if rows == 1 else expand(made, rows)
                    valid = made.valid
                valid = column.valid if valid is None else valid & column.valid
        return made if valid is made.valid else replace(made, valid=valid)

    if scalar.strict:
        return strict(kernel, below, type)

    def step(frame: Frame) -> Column:
        return call([frame.value(node) for node in below], frame.rows, type, frame.context, position)

    return step


__all__ = ["Condition", "Program", "compile", "condition", "fold"]
