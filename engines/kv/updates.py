"""Updates: how an expression changes an item.

Three steps, the first two kept for the last 512 of their kind, so that a repeated update only takes the third:

    text                            -> tree      what is written                          updatesyntax.py
    tree, names, key attributes     -> plan      paths compared, functions that edit      _plan
    plan, values                    -> Update    the constants, and apply()               compile_update

A plan is a tree of edits along the paths. An edit is a function from what stands at its place, or MISSING, to what
shall stand there, or MISSING; that of a map or list copies it and edits the parts that are named. What no path leads
to is shared by the old item and the new one, and the old one is never touched: so each right side sees the item as it
was, and an error halfway leaves nothing half done.

Rules easily got wrong
* Indexes of a list are those of the old list: REMOVE a[0], a[1] removes the first two elements. SET past the end
  appends, several in the order of their indexes.
* The map or list around a path's last part must be there, for REMOVE and DELETE too; the last part need not.
* + and - are exact, or Invalid: 38 digits, and nothing is rounded. list_append is an operand of nothing.
* Where there is no item, REMOVE and DELETE alone make none. Otherwise it begins as its key.

Invariant: apply(old, key) leaves old and key as they were.
"""

from collections.abc import Callable, Sequence
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow, Subnormal
from functools import lru_cache
from typing import Any, NamedTuple

from engines.errors import Invalid
from engines.kv.expressions import MISSING, Item, Placeholders, find
from engines.kv.projections import Parts, Picker, Tree, branches, filled, map_picker, shown
from engines.kv.syntax import Call, Operand, Path, Value
from engines.kv.updatesyntax import Action, Arithmetic, Right, parse_update
from engines.kv.values import Type, type_of

NUMBER: tuple[Type, ...] = ("N",)
LIST: tuple[Type, ...] = ("L",)

Constants = Sequence[Any]  # what the :values of a text stand for, in the order of their first use
Read = Callable[[Item, Constants], Any]  # an operand's value
Edit = Callable[[Any, Item, Constants], Any]  # from what stands at a place in the item to what shall stand there


# --- an update, ready to run ---


class Update:
    """An expression with its names and values: what apply() does to an item. Immutable."""

    __slots__ = ("_constants", "_plan")

    def __init__(self, plan: "_Plan", constants: Constants) -> None:
        self._plan, self._constants = plan, constants

    def apply(self, old: Item | None, key: Item) -> Item | None:
        """The new item, which shares what is unchanged with the old one; None where there is none and none is made.

        key: the key attributes, as which an item begins that is not there yet. Invalid if the item does not have what
        the expression takes for granted, or a result can not be stored as a number.
        """
        if old is None:
            if not self._plan.makes:
                return None
            old = key
        new: Item = self._plan.edit(old, old, self._constants)
        return new

    def touched(self, item: Item | None) -> Item:
        """The attributes and parts that the expression names, as they stand in an item, old or new.

        Parts keep their place, as in a projection. So a list's element is the one which has its index *now*: after
        REMOVE l[0] that is the next, and after SET l[99], which appends, there is none. The service says the same.
        """
        if item is None:
            return {}
        found: Item | Any = self._plan.picker(item)
        return {} if found is MISSING else found


def compile_update(text: str, placeholders: Placeholders, key_names: tuple[str, ...]) -> Update:
    """What an update says of a table's items. placeholders.done() is the caller's.

    QueryError for grammar. Invalid, before any item is looked at: for paths that overlap, key attributes, placeholders
    that are not there, constants of the wrong type.
    """
    tree = parse_update(text)
    plan = _plan(text, tuple([placeholders.name(name) for name in tree.names]), key_names)
    constants = [placeholders.value(value) for value in tree.values]
    for slot, kinds, rule, operand in plan.checks:
        expect(constants[slot], kinds, rule, operand)
    return Update(plan, constants)


class _Plan(NamedTuple):
    edit: Edit  # of the item as a whole, a map
    picker: Picker
    makes: bool  # an item that is not there
    checks: tuple[tuple[int, tuple[Type, ...], str, str], ...]  # of constants: the place, and the rest of expect()


@lru_cache(512)
def _plan(text: str, names: tuple[str, ...], key_names: tuple[str, ...]) -> _Plan:
    tree = parse_update(text)
    planner = _Planner(dict(zip(tree.names, names, strict=True)), tree.values)
    edits: list[tuple[Parts, Edit]] = []
    for action in tree.actions:
        path = planner.path(action.path)
        if path[0] in key_names:
            raise Invalid(
                f"{path[0]!r} is part of the key and can not be updated: put the item under its new key, delete the old"
            )
        edits.append((path, planner.edit(action)))
    makes = any(action.clause in ("SET", "ADD") for action in tree.actions)
    picker = map_picker(branches((path, None) for path, _ in edits))
    return _Plan(_map_edit(branches(edits), ()), picker, makes, tuple(planner.checks))


class _Planner:
    """Makes functions of a tree's nodes, and notes what to ask of constants."""

    def __init__(self, names: dict[str, str], values: tuple[str, ...]) -> None:
        self.names = names
        self.slots = {name: slot for slot, name in enumerate(values)}
        self.checks: list[tuple[int, tuple[Type, ...], str, str]] = []

    def path(self, path: Path) -> Parts:
        return filled(path, self.names)

    def edit(self, action: Action) -> Edit:
        right = action.right
        if right is None:
            return _remove
        if action.clause == "SET":
            read = self.right(right)
            return lambda _, item, constants: read(item, constants)
        assert isinstance(right, Value)  # noqa: S101 - the grammar of ADD and DELETE
        slot = self.slots[right.name]
        if action.clause == "ADD":
            self.constant(right, ("N", "SS", "NS", "BS"), "ADD takes a number or a set")
        else:
            self.constant(right, ("SS", "NS", "BS"), "DELETE takes a set")
        change = _add if action.clause == "ADD" else _delete
        where = str(action.path)
        return lambda old, _, constants: change(old, constants[slot], where)

    def right(self, node: Right) -> Read:
        if not isinstance(node, Arithmetic):
            return self.operand(node)
        rule = f"{node.operator} takes numbers"
        left, right = self.operand(node.left, NUMBER, rule), self.operand(node.right, NUMBER, rule)

        def read(item: Item, constants: Constants) -> Any:  # noqa: ANN401 - a number
            a, b = left(item, constants), right(item, constants)
            if type(a) is int and type(b) is int:  # most are: no need to ask for types
                return exact(node.operator, a, b)
            for value, operand in ((a, node.left), (b, node.right)):
                expect(value, NUMBER, rule, str(operand))
            return exact(node.operator, a, b)

        return read

    def constant(self, node: Operand, kinds: tuple[Type, ...], rule: str) -> None:
        """Note what an operand has to be, if it is a constant: then that is known before an item is read."""
        if isinstance(node, Value):
            self.checks.append((self.slots[node.name], kinds, rule, node.name))

    def operand(self, node: Operand, kinds: tuple[Type, ...] = (), rule: str = "") -> Read:
        """What reads an operand; of one of these kinds, if it is a constant."""
        if kinds:
            self.constant(node, kinds, rule)
        match node:
            case Value():
                slot = self.slots[node.name]
                return lambda _, constants: constants[slot]
            case Path():
                return _path_reader(self.path(node))
            case Call(function="if_not_exists", arguments=(Path() as path, other)):
                parts, default = self.path(path), self.operand(other)

                def read(item: Item, constants: Constants) -> Any:  # noqa: ANN401 - whatever an item may hold
                    value = find(item, parts)
                    return default(item, constants) if value is MISSING else value

                return read
            case Call(arguments=(first, second)):
                return self.appended(first, second)
        raise AssertionError(node)

    def appended(self, first: Operand, second: Operand) -> Read:
        rule = "list_append takes lists"
        left, right = self.operand(first, LIST, rule), self.operand(second, LIST, rule)

        def read(item: Item, constants: Constants) -> Any:  # noqa: ANN401 - a list
            a, b = left(item, constants), right(item, constants)
            for value, operand in ((a, first), (b, second)):
                expect(value, LIST, rule, str(operand))
            return a + b

        return read


def _path_reader(path: Parts) -> Read:
    def read(item: Item, _: Constants) -> Any:  # noqa: ANN401 - whatever an item may hold
        value = find(item, path)
        if value is MISSING:
            raise Invalid(
                f"the expression refers to {shown(path)}, an attribute that does not exist in the item: write "
                f"if_not_exists({shown(path)}, :default), or SET it first"
            )
        return value

    return read


def expect(value: object, kinds: tuple[Type, ...], rule: str, operand: str) -> None:
    """Invalid, with the rule and what the operand is, if the value is of no such type."""
    kind = type_of(value)
    if kind not in kinds:
        raise Invalid(f"{rule}, and {operand} is of type {kind}")


# --- edits ---


def _map_edit(tree: Tree, place: Parts) -> Edit:
    """The edit of a map: a copy of it with the edits of its parts."""
    edits = [(name, _edit(inner, (*place, name))) for name, inner in tree.items()]

    def edit(old: Any, item: Item, constants: Constants) -> Any:  # noqa: ANN401 - whatever an item may hold
        if type(old) is not dict:
            raise _no_place(old, place, "map")
        new = old.copy()
        for name, change in edits:
            value = change(old.get(name, MISSING), item, constants)
            if value is not MISSING:
                new[name] = value
            else:
                new.pop(name, None)
        return new

    return edit


def _list_edit(tree: Tree, place: Parts) -> Edit:
    """The edit of a list: indexes are those of the old one, and what is past its end is appended."""
    edits = sorted((int(index), _edit(inner, (*place, index))) for index, inner in tree.items())

    def edit(old: Any, item: Item, constants: Constants) -> Any:  # noqa: ANN401 - whatever an item may hold
        if type(old) is not list:
            raise _no_place(old, place, "list")
        new, size = old.copy(), len(old)
        for index, change in edits:
            value = change(old[index] if index < size else MISSING, item, constants)
            if index < size:
                new[index] = value
            elif value is not MISSING:
                new.append(value)
        return [value for value in new if value is not MISSING]

    return edit


def _edit(inner: Tree | Edit, place: Parts) -> Edit:
    if not isinstance(inner, dict):
        return inner
    return (_list_edit if isinstance(next(iter(inner)), int) else _map_edit)(inner, place)


def _no_place(old: object, place: Parts, wanted: str) -> Invalid:
    found = "there is none" if old is MISSING else f"it is of type {type_of(old)}"
    return Invalid(
        f"the document path is invalid for update: {shown(place)} should be a {wanted}, and {found}: SET that first"
    )


def _remove(_old: object, _item: Item, _constants: Constants) -> Any:  # noqa: ANN401 - MISSING
    return MISSING


def _add(old: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - a number or a set
    if old is MISSING:
        return value
    if type(old) is int and type(value) is int:
        return exact("+", old, value)
    kind, added = type_of(old), type_of(value)
    if kind != added:
        raise Invalid(f"ADD adds a number to a number or a set to one of its type, and {where} is {kind}, not {added}")
    return old | value if kind != "N" else exact("+", old, value)


def _delete(old: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - a set
    if old is MISSING:
        return MISSING
    kind, taken = type_of(old), type_of(value)
    if kind != taken:
        raise Invalid(f"DELETE takes elements from a set of their type, and {where} is {kind}, not {taken}")
    return old - value or MISSING


# --- numbers ---

LARGE = 10**38  # integers below are int, others Decimal
_NUMBERS = Context(prec=38, Emin=-130, Emax=125, traps=[Inexact, InvalidOperation, Overflow, Subnormal])


def exact(sign: str, left: int | Decimal, right: int | Decimal) -> int | Decimal:
    """The sum or the difference, in the form the store gives back. Invalid if it is no number of the store's.

    In a context of its own: what a program does to decimal.getcontext() changes nothing here.
    """
    if type(left) is int and type(right) is int:
        whole = left + right if sign == "+" else left - right
        if -LARGE < whole < LARGE:
            return whole
    try:
        total = _NUMBERS.add(left, right) if sign == "+" else _NUMBERS.subtract(left, right)
    except DecimalException:
        raise Invalid(
            f"{left} {sign} {right} is no number that can be stored: 38 significant digits, magnitudes 1E-130 to "
            "9.99E+125; nothing is rounded"
        ) from None
    total = total.normalize(_NUMBERS)
    return int(total) if -LARGE < total < LARGE and total == total.to_integral_value() else total
