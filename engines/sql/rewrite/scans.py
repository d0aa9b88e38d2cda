"""What a table's source can answer itself is asked of it: `Predicate`s in the Scan.

    EXACT   the source drops every row that fails: the term leaves the Filter
    PRUNE   it drops some (whole blocks, by their bounds): the term stays as well
    NONE    not asked

Values may be `Bound`, or any expression over such and constants: known when the statement runs, see scan.py.

    day > current_date - 7      the value is computed once a run, and blocks of older days are not read
"""

from typing import Any, Final

from engines.sql.logical import Among, Call, Cast, Constant, Expression, Filter, Plan, Reference, Scan
from engines.sql.rewrite.trees import conjuncts, filtered, is_run_constant, rebuilt
from engines.sql.rewrite.work import Work
from engines.sql.source import Field, Predicate, Support
from engines.sql.types import Type

TURNED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}


def push_to_scans(plan: Plan, work: Work) -> Plan:
    """Terms over one column and constants become predicates of the scan below the filter.

    Filter(a >= 5 AND a + b > 3, Scan t)  ->  Filter(a + b > 3, Scan t [a >= 5])        if t answers a >= 5 EXACT
    """
    if not (isinstance(plan, Filter) and isinstance(plan.input, Scan)):
        return rebuilt(plan, lambda below: push_to_scans(below, work))
    scan = plan.input
    source = work.source(scan.table)
    fields = dict(scan.columns)
    asked: list[Predicate] = []
    stay: list[Expression] = []
    terms = conjuncts(plan.condition)
    for term in terms:
        exact = False
        for predicate, whole in predicates(term, fields):
            support = source.support(predicate)
            if support is Support.NONE:
                continue
            asked.append(predicate)
            exact = exact or (whole and support is Support.EXACT)
        if not exact:
            stay.append(term)
    if not asked:
        return plan
    new = Scan(scan.table, scan.columns, scan.predicates + tuple(asked), scan.alias)
    return filtered(new, stay)


def predicates(term: Expression, fields: dict[str, Field]) -> list[tuple[Predicate, bool]]:
    """A term as predicates of the table's columns, each with whether it says all that the term says."""
    if isinstance(term, Among):
        field = _field(term.argument, fields)
        if field is None or not all(is_run_constant(item) and _alike(item.type, field.type) for item in term.items):
            return []
        values = [item.value if isinstance(item, Constant) else item for item in term.items]
        return [(Predicate(field.name, "in", tuple(value for value in values if value is not None)), True)]
    if not isinstance(term, Call):
        return []
    name = term.function
    field = _field(term.arguments[0], fields) if term.arguments else None
    if name in {"is null", "is not null"}:
        return [] if field is None else [(Predicate(field.name, name), True)]  # type: ignore[arg-type] # one of its ops
    if name == "like" and field is not None and field.type.kind != "char":
        return _prefix(term, field)
    if name not in TURNED:
        return []
    left, right = term.arguments
    if field is None:
        left, right, name = right, left, TURNED[name]
        field = _field(left, fields)
    if field is None:
        return _of_days(left, name, right, fields)
    if not is_run_constant(right) or not _alike(right.type, field.type):
        return []
    value: Any = right.value if isinstance(right, Constant) else right
    return [] if value is None else [(Predicate(field.name, name, value), True)]  # type: ignore[arg-type] # one of its ops


def _of_days(left: Expression, op: str, right: Expression, fields: dict[str, Field]) -> list[tuple[Predicate, bool]]:
    """A DATE that is compared as a TIMESTAMP, which DATEADD gives: the day of the moment bounds it, and no more."""
    if type(left) is not Cast or left.type.kind != "timestamp" or right.type.kind != "timestamp" or op == "<>":
        (left, right, op) = (right, left, TURNED[op])
    field = _field(left.argument, fields) if type(left) is Cast and left.type.kind == "timestamp" else None
    if field is None or field.type.kind != "date" or right.type != left.type or not is_run_constant(right):
        return []
    day = Cast(right, type=field.type, position=right.position)
    around = {"<": "<=", ">": ">="}.get(op, op)
    return [] if op == "<>" else [(Predicate(field.name, around, day), False)]  # type: ignore[arg-type] # one of its ops


def _field(expression: Expression, fields: dict[str, Field]) -> Field | None:
    return fields.get(expression.id) if type(expression) is Reference else None


def _alike(one: Type, other: Type) -> bool:
    """Whether both hold a value as the same engine value."""
    if one.text and other.text:
        return True
    if one.integer and other.integer:
        return True
    return one.kind == other.kind and one.scale == other.scale and one.unit == other.unit


def _prefix(term: Call, field: Field) -> list[tuple[Predicate, bool]]:
    """LIKE 'abc%' is a range of texts; LIKE 'abc%x' lies within one."""
    pattern = term.arguments[1]
    if not isinstance(pattern, Constant) or not isinstance(pattern.value, bytes):
        return []
    escapes = b"\\" if len(term.arguments) == 2 else getattr(term.arguments[2], "value", None)
    if not isinstance(escapes, bytes):
        return []
    text = pattern.value
    ends = [place for mark in (b"%", b"_", escapes) if mark and (place := text.find(mark)) >= 0]
    if not ends or not min(ends):
        return []
    start = min(ends)
    return [(Predicate(field.name, "prefix", text[:start]), text[start:] == b"%")]
