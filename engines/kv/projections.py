"""Projections: which parts of an item a read gives back.

    projection   path, path, ...                  a, b.c[1], b.c[0], #d

    item         {"a": 1, "b": {"c": [5, 6, 7], "x": 0}}
    "a, b.c[1], b.c[0]"   ->   {"a": 1, "b": {"c": [5, 6]}}

Parts stay where they were: a map keeps only the chosen keys, a list only the chosen elements, in the order of their
indexes and without holes. What is not there is left out, and so is a map or list of which nothing was found.

The paths become a tree, part by part, and the tree becomes functions; both once for a text and what its #names stand
for. Two paths of one expression must not overlap (a and a.b) nor ask for a map and a list at once (a.b and a[0]):
the tree finds out as it grows. Updates build the same tree over the paths they change.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import Any

from engines.errors import Invalid
from engines.kv.expressions import MISSING, Item, Placeholders, check_text
from engines.kv.syntax import Parser, Path, checked

Parts = tuple[str | int, ...]
Tree = dict[str | int, Any]  # a part of a path -> the tree of what follows it, or a leaf, which is no dict
Picker = Callable[[Any], Any]


class Projection:
    """The chosen paths of an expression. Immutable, shared by all requests with the same text and names."""

    __slots__ = ("_pick", "names", "plain")

    names: tuple[str, ...]  # the top-level attributes it needs
    plain: bool  # whether it takes them whole

    def __init__(self, paths: Iterable[Parts]) -> None:
        tree = branches((path, None) for path in paths)
        self.names = tuple(str(name) for name in tree)
        self.plain = all(inner is None for inner in tree.values())
        self._pick = map_picker(tree)

    def pick(self, item: Item) -> Item:
        """The chosen parts of an item, as a new dict that shares its values with the item."""
        if self.plain:
            return {name: item[name] for name in self.names if name in item}
        picked: Item | Any = self._pick(item)
        return {} if picked is MISSING else picked


def compile_projection(text: str, placeholders: Placeholders) -> Projection:
    """What a projection says. QueryError or Invalid where it makes no sense; placeholders.done() is the caller's."""
    tree = parse_projection(text)
    return _projection(text, tuple([placeholders.name(name) for name in names_of(tree)]))


def only_projection(text: str | None, names: Mapping[str, str] | None) -> Projection | None:
    """The same for a request with this one expression; None without it. Invalid for a name that it does not use."""
    check_text("projection", text)
    placeholders = Placeholders(names, None)
    found = None if text is None else compile_projection(text, placeholders)
    placeholders.done()
    return found


@lru_cache(512)
def _projection(text: str, names: tuple[str, ...]) -> Projection:
    paths = parse_projection(text)
    known = dict(zip(names_of(paths), names, strict=True))
    return Projection(filled(path, known) for path in paths)


# --- grammar ---


@lru_cache(512)
def parse_projection(text: str) -> tuple[Path, ...]:
    """The paths of a projection, kept for the last 512 texts."""
    parser = Parser(checked(text))
    paths = parser.separated(partial(_path, parser))
    hint = "a comma is missing here" if parser.token.kind in ("word", "name") else ""
    if parser.token.kind != "end":
        parser.fail(f"expected a comma or the end, {parser.found()}", hint=hint)
    return tuple(paths)


def _path(parser: Parser) -> Path:
    token = parser.token
    hint = ""
    if token.kind == "value":
        hint = f"a projection names attributes: for a name that is not a word write #{token.text[1:]}, with names"
    elif token.kind == "end" and parser.index:
        hint = "leave out the last comma"
    if token.kind not in ("word", "name"):
        parser.fail(f"expected the name of an attribute, {parser.found()}", hint=hint)
    return parser.path()


def names_of(paths: Iterable[Path]) -> tuple[str, ...]:
    """The placeholders #name in some paths, each once."""
    return tuple(
        dict.fromkeys(part for path in paths for part in path.parts if isinstance(part, str) and part[0] == "#")
    )


def filled(path: Path, names: dict[str, str]) -> Parts:
    """The parts of a path, with names for its placeholders."""
    return tuple(names.get(part, part) if isinstance(part, str) else part for part in path.parts)


# --- paths as a tree ---


def branches(paths: Iterable[tuple[Parts, Any]]) -> Tree:
    """The tree of some paths, each with its leaf. Invalid where two overlap, or where one's map is another's list."""
    tree: Tree = {}
    grown: list[Parts] = []
    for path, leaf in paths:
        if not _grow(tree, path, leaf):
            raise _clash(path, grown)
        grown.append(path)
    return tree


def _grow(tree: Tree, path: Parts, leaf: object) -> bool:
    for part in path[:-1]:
        if not _fits(tree, part):
            return False
        tree = tree.setdefault(part, {})
        if type(tree) is not dict:
            return False
    if path[-1] in tree or not _fits(tree, path[-1]):
        return False
    tree[path[-1]] = leaf
    return True


def _fits(tree: Tree, part: str | int) -> bool:
    """Whether a part is of the kind that stands here already: names of a map, or indexes of a list."""
    return not tree or isinstance(next(iter(tree)), int) == isinstance(part, int)


def _clash(path: Parts, grown: list[Parts]) -> Invalid:
    for other in grown:
        for a, b in zip(path, other, strict=False):
            if isinstance(a, int) != isinstance(b, int):
                return Invalid(
                    f"two document paths conflict, {shown(other)} and {shown(path)}: what the one takes for a map is a "
                    "list to the other; leave one out"
                )
            if a != b:
                break
        else:
            break
    return Invalid(f"two document paths overlap, {shown(other)} and {shown(path)}: name each part of an item once")


def shown(path: Parts) -> str:
    """A path as it is written: a.b[1]."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]


# --- what a tree picks ---


def map_picker(tree: Tree) -> Picker:
    """A function from a map to the map of what the tree chooses of it; MISSING if that is nothing."""
    wanted = [(name, _picker(inner)) for name, inner in tree.items()]

    def pick(value: Any) -> Any:  # noqa: ANN401 - whatever an item may hold
        if type(value) is not dict:
            return MISSING
        found = {}
        for name, inner in wanted:
            part = value.get(name, MISSING)
            if inner is not None and part is not MISSING:
                part = inner(part)
            if part is not MISSING:
                found[name] = part
        return found or MISSING

    return pick


def _list_picker(tree: Tree) -> Picker:
    wanted = sorted((int(index), _picker(inner)) for index, inner in tree.items())

    def pick(value: Any) -> Any:  # noqa: ANN401 - whatever an item may hold
        if type(value) is not list:
            return MISSING
        size = len(value)
        parts = [value[index] if inner is None else inner(value[index]) for index, inner in wanted if index < size]
        return [part for part in parts if part is not MISSING] or MISSING

    return pick


def _picker(tree: Tree | None) -> Picker | None:
    if tree is None:
        return None
    return _list_picker(tree) if isinstance(next(iter(tree)), int) else map_picker(tree)
