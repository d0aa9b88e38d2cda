"""SELECT: which partitions and which stretch of their sort key it reads, and the pages of what it finds.

Of what stands between the ANDs of WHERE, the first `partition = ?`, IN, or OR of such chooses the partitions: one query
for each, in the order of their keys. Nothing of the kind: a scan, which reads everything. Of the conditions on the sort
key one becomes a stretch of it; two bounds become one stretch from one to the other, and > and < stay in the filter
beside it. All else is the filter.

A page over several partitions ends as others do, after limit items or 1 MB examined. Its last_key begins with the
partition, so it says where to go on.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from engines.display import Plan
from engines.errors import Invalid
from engines.kv.expressions import comparable
from engines.kv.indexes import find
from engines.kv.page import Page, check_limit
from engines.kv.partiql.binding import Bound, parts, readable, together
from engines.kv.partiql.tree import Select
from engines.kv.plans import explain
from engines.kv.reading import read_page, understand
from engines.kv.syntax import Between, Condition, Value
from engines.kv.values import PAGE_BYTES, KeyPart, type_of

if TYPE_CHECKING:
    from engines.kv.throttle import Consumed

PARTITIONS = 50  # of one SELECT

Partition = tuple[Any, str]  # the key, and the key condition


class Reading(NamedTuple):
    """What a SELECT reads, in the engine's language. No partitions: everything."""

    partitions: list[Partition]
    filter: str | None
    projection: str | None
    index_name: str | None
    reverse: bool


def select_page(
    bound: Bound,
    select: Select,
    limit: int | None,
    start: Sequence[Any] | None,
    *,
    consistent: bool,
    consumed: "Consumed | None",
) -> Page:
    """The page of a SELECT that begins after the key `start`."""
    asked, limit = reading(bound, select), check_limit(limit)
    texts = asked.filter, asked.projection
    given: dict[str, Any] = {
        "filter_": asked.filter,
        "projection": asked.projection,
        "index": asked.index_name,
        "consistent": consistent,
        "consumed": consumed,
    }
    if not asked.partitions:
        request = understand(bound.table, limit=limit, **given, **bound.placeholders(*texts))
        return read_page(bound.table, request, start)

    def query(partition: Partition, limit: int | None, start: Sequence[Any] | None) -> Page:
        _, condition = partition
        known = bound.placeholders(condition, *texts)
        request = understand(bound.table, condition, limit=limit, reverse=asked.reverse, on_keys=True, **given, **known)
        return read_page(bound.table, request, start)

    if len(asked.partitions) == 1:
        return query(asked.partitions[0], limit, start)
    waiting = asked.partitions if start is None else _left(asked.partitions, start)
    page = query(waiting[0], limit, start)
    whole = Page(
        page.request,
        page.key_names,
        lambda _, start: select_page(bound, select, limit, start, consistent=consistent, consumed=consumed),
    )
    _add(whole, page)
    for partition in waiting[1:]:
        if whole.scanned == limit or whole.size >= PAGE_BYTES:
            whole.more = True
            break
        _add(whole, query(partition, None if limit is None else limit - whole.scanned, None))
    whole.end()
    return whole


def _left(partitions: list[Partition], start: Sequence[Any]) -> list[Partition]:
    """The partitions that are left where the page before ended at this key."""
    if isinstance(start, (tuple, list)) and start:
        for number, (partition, _) in enumerate(partitions):
            if partition == start[0]:
                return partitions[number:]
    raise Invalid(f"start={start!r:.80} is no key of this statement: pass the last_key of its page before")


def _add(whole: Page, page: Page) -> None:
    whole.items += page.items
    whole.count += page.count
    whole.scanned += page.scanned
    whole.size += page.size
    whole.capacity += page.capacity
    whole.last = page.last
    whole.more = page.more


def explain_select(bound: Bound, select: Select) -> Plan:
    """Run it to its end and say what it touched; a plan for each partition."""
    asked = reading(bound, select)
    plans: list[Plan] = []
    conditions: list[str | None] = [condition for _, condition in asked.partitions]
    for condition in conditions or [None]:
        known = bound.placeholders(condition, asked.filter)
        plans.append(
            explain(
                bound.table,
                condition,
                filter_=asked.filter,
                index=asked.index_name,
                reverse=asked.reverse,
                on_keys=True,
                **known,
            )
        )
    for plan in plans:
        for step, _ in plan.walk():
            step.detail = readable(step.detail, [bound])
    if len(plans) == 1:
        return plans[0]
    counters = {name: sum(plan.counters[name] for plan in plans) for name in plans[0].counters}
    return Plan("Partitions", f"{len(plans)} of {bound.table.name}, one after the other", counters, plans)


# --- what is read ---


def reading(bound: Bound, select: Select) -> Reading:
    """QueryError or Invalid where it makes no sense, NotFound for the index; before anything is read."""
    index = select.target.index
    key = bound.key if index is None else find(bound.table, index).definition.key
    rest = list(parts(select.where))
    partitions: dict[Any, str] = {}
    for part in rest:
        test = bound.test(part)
        if test is not None and test.name == key[0].name and test.operator in ("=", "IN"):
            rest.remove(part)
            sort = _sort_condition(bound, rest, key[1].name) if len(key) > 1 else None
            end = "" if sort is None else f" AND {sort}"
            partitions = {_key(bound, v, key[0]): bound.text(f"{test.path} = {v}{end}") for v in test.values}
            break
    if len(partitions) > PARTITIONS:
        raise Invalid(f"a SELECT reads at most {PARTITIONS} partitions, got {len(partitions)}: ask several times")
    backwards = _directions(bound, select, key, len(partitions))
    ordered = sorted(partitions.items(), key=lambda pair: pair[0], reverse=backwards.get(key[0].name, False))
    filter_ = bound.text(together(rest)) if rest else None
    return Reading(ordered, filter_, projection(bound, select), index, backwards.get(key[-1].name, False))


def projection(bound: Bound, select: Select) -> str | None:
    """What is shown of the items; None: all."""
    return bound.text(", ".join(map(str, select.paths))) if select.paths else None


def _key(bound: Bound, value: Value, key: KeyPart) -> Any:  # noqa: ANN401 - a key's value
    found = bound.value(value)
    if type_of(found) != key.type:
        raise Invalid(f"the key {key.name} is of type {key.type}, and {bound.text(value)} of type {type_of(found)}")
    return found


def _sort_condition(bound: Bound, rest: list[Condition], name: str) -> Condition | None:
    """What a key condition can say of the sort key; taken out of the rest where it says it all."""
    tests = [(part, test) for part in rest if (test := bound.test(part)) is not None and test.name == name]

    def first(*operators: str) -> tuple[Condition, Any] | None:
        return next(((part, test) for part, test in tests if test.operator in operators), None)

    chosen = first("=") or first("BETWEEN") or first("begins_with")
    low, high = first(">", ">="), first("<", "<=")
    if chosen is None and low is not None and high is not None:
        (least,), (most,) = low[1].values, high[1].values
        if comparable(bound.value(least), bound.value(most)) and bound.value(least) <= bound.value(most):
            for part, test in (low, high):
                if test.operator in (">=", "<="):
                    rest.remove(part)
            return Between(low[1].path, least, most, 0)
    chosen = chosen or low or high
    if chosen is None:
        return None
    rest.remove(chosen[0])
    condition: Condition = chosen[1].condition
    return condition


def _directions(bound: Bound, select: Select, key: Sequence[KeyPart], partitions: int) -> Mapping[str, bool]:
    """ORDER BY: for each key that it names, whether it goes down."""
    if not select.order:
        return {}
    names, at = [part.name for part in key], select.order[0].path.at
    if not partitions:
        bound.fail("what a scan reads has no order", f'ORDER BY is for WHERE "{names[0]}" = ? or IN [...]', at)
    asked = {bound.names[str(order.path)]: order.descending for order in select.order if len(order.path.parts) == 1}
    allowed = [names[:1], names] + ([names[1:]] if partitions == 1 else [])
    shown = ", ".join(f'"{name}"' for name in names)
    if list(asked) not in allowed or len(asked) < len(select.order):
        bound.fail(f"items are ordered by their key alone: ORDER BY {shown}, each ASC or DESC", at=at)
    return asked
