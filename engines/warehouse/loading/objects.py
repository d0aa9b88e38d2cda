"""JSON: an object after the other, usually one a line; every value becomes the text that a CSV would have for it.

    auto               members by the columns' names; letters of names as they are
    auto ignorecase    names without regard to case
    a jsonpaths file   {"jsonpaths": ["$.id", "$['name']", "$.tags[0]"]}: a path a column, in order

Numbers keep their digits: they are cut out of the text, never read as floats. Objects and lists become their JSON.
null and what is missing is NULL.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engines.errors import Invalid
from engines.extras import extra
from engines.sql.arrow import arrow_type, pyarrow
from engines.sql.column import Batch
from engines.sql.fileformats import codec
from engines.sql.types import Type
from engines.warehouse.loading import rejected
from engines.warehouse.loading.fields import Fields, Pile
from engines.warehouse.loading.options import Options
from engines.warehouse.loading.pieces import in_pieces
from engines.warehouse.loading.streams import Opened, Stream, lines_of
from engines.warehouse.loading.typed import batches_of

if TYPE_CHECKING:
    import pyarrow as pa

STEP: Final = re.compile(r"\.([A-Za-z_][\w$-]*)|\['((?:[^'\\]|\\.)*)'\]|\[\"((?:[^\"\\]|\\.)*)\"\]|\[(\d+)\]")
DEEPEST: Final = 20
Raw = msgspec.Raw
Path = tuple[str | int, ...]
Row = list[str | None]

_object = msgspec.json.Decoder(dict[str, Raw])
_list = msgspec.json.Decoder(list[Raw])
_text = msgspec.json.Decoder(str)


class Objects:
    """The rows of one file as batches."""

    def __init__(self, path: str, fields: list[Fields], options: Options, rejects: rejected.Rejected) -> None:
        self.fields = fields
        self.pile = Pile(path, fields, rejects)
        self._plain = options.json.lower() == "auto"
        self._chosen = chooser([one.target.name for one in fields], options.json)

    def batches(self, stream: Stream, *, threads: int = 1) -> Iterator[Batch]:
        """All rows, in order."""
        yield from in_pieces(self, stream, b"", 1, threads=threads)

    def cut(self, data: bytes, *, last: bool) -> int | None:
        """Between two objects: inside of one there is a comma between others. See pieces.Format."""
        if not self._plain:
            return None
        return len(data) if last else data.rfind(b"}\n{") + 2 if b"}\n{" in data else 0

    def fast(self, piece: bytes, lines: int) -> list[Batch]:
        """Through pyarrow, numbers as their type, all else as text. See pieces.Format."""
        del lines
        reading: Any = extra("pyarrow.json", "arrow")
        pa = pyarrow()
        if not piece.strip():
            return []
        targets = [one.target for one in self.fields]
        schema = pa.schema([(one.name, _read_as(one.type)) for one in targets])
        table = reading.read_json(
            pa.BufferReader(piece),
            reading.ReadOptions(use_threads=False, block_size=len(piece) + 1),
            reading.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
        table.validate(full=True)  # that text is UTF-8
        return batches_of(table, self.fields)

    def careful(self, lines: Iterator[str], first: int) -> Iterator[Batch]:
        """Value by value. See pieces.Format."""
        pile = self.pile
        for text, line in _values(lines, first):
            try:
                pile.add(self._chosen(text.encode(errors="surrogateescape")), line, text)
            except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                pile.refuse(line, text, rejected.BAD_JSON, f"the line is no JSON that fits: {error}")
            if pile.full:
                yield pile.batch()
        if len(pile):
            yield pile.batch()


def _read_as(type: Type) -> "pa.DataType":
    if type.integer or type.decimal or type.kind == "boolean":
        return arrow_type(type)
    return pyarrow().float64() if type.floating else pyarrow().string()


def _values(lines: Iterator[str], first: int) -> Iterator[tuple[str, int]]:
    """Texts of JSON values, and the lines they begin in. One that goes on over lines ends where its brackets do."""
    waiting: list[str] = []
    begun, depth = 0, 0
    for number, line in enumerate(lines, first):
        if not waiting:
            stripped = line.strip()
            if not stripped:
                continue
            if stripped[-1] in "}]" or not stripped.startswith(("{", "[")):
                depth = _depth(stripped) if stripped.count("{") != stripped.count("}") else 0
                if depth <= 0:
                    yield stripped, number
                    continue
            begun, depth = number, 0
        waiting.append(line)
        depth += _depth(line)
        if depth <= 0 or len(waiting) > LINES:
            yield "".join(waiting).strip(), begun
            waiting = []
    if waiting:
        yield "".join(waiting).strip(), begun


LINES: Final = 10_000  # that one value goes over
TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*"?')


def _depth(line: str) -> int:
    """How many brackets stay open, those in texts aside."""
    bare = TEXT.sub("", line)
    return bare.count("{") + bare.count("[") - bare.count("}") - bare.count("]")


# ---- members -----------------------------------------------------------------------------------------------------


def chooser(names: Sequence[str], how: str) -> Callable[[bytes], Row]:
    """What takes the fields for these columns out of a value's text."""
    if how.lower() == "auto":
        return lambda data: _members(_object.decode(data), names)
    if how.lower() == "auto ignorecase":
        lower = [name.lower() for name in names]
        return lambda data: _members({key.lower(): raw for key, raw in _object.decode(data).items()}, lower)
    paths = read_paths(how)
    if len(paths) != len(names):
        raise Invalid(f"{how!r} has {len(paths):,} paths for {len(names):,} columns: one is needed for each")
    return lambda data: [_at(Raw(data), path) for path in paths]


def _members(found: dict[str, Raw], names: Sequence[str]) -> Row:
    return [None if (raw := found.get(name)) is None else _as_text(raw) for name in names]


def _as_text(raw: Raw) -> str | None:
    data = bytes(raw)
    if data[:1] == b'"':
        return _text.decode(data)
    return None if data == b"null" else data.decode()


def _at(raw: Raw, path: Path) -> str | None:
    for step in path:
        try:
            if isinstance(step, int):
                items = _list.decode(raw)
                if step >= len(items):
                    return None
                raw = items[step]
            else:
                found = _object.decode(raw).get(step)
                if found is None:
                    return None
                raw = found
        except msgspec.ValidationError:  # no list, no object: nothing is there
            return None
    msgspec.json.decode(raw)
    return _as_text(raw)


def read_paths(path: str) -> list[Path]:
    """The paths of a jsonpaths file. Invalid where it is none."""
    stream = Opened(path, codec(path), "utf-8", lambda _: None)
    try:
        found: Any = json.loads("".join(lines_of(b"", stream)))
        paths = msgspec.convert(found["jsonpaths"], list[str])
    except (ValueError, KeyError, TypeError, RecursionError, msgspec.MsgspecError):
        raise Invalid(f'{path!r} is no jsonpaths file: it holds {{"jsonpaths": ["$.name", ...]}}', file=path) from None
    finally:
        stream.close()
    return [path_of(one) for one in paths]


def path_of(text: str) -> Path:
    """$.a['b'][0] as its steps. Invalid for other things that JSONPath has."""
    steps: list[str | int] = []
    at = 1
    while at < len(text) and text[0] == "$" and (found := STEP.match(text, at)):
        name = found[1] or found[2] or found[3]
        steps.append(int(found[4]) if found[4] is not None else re.sub(r"\\(.)", r"\1", name or ""))
        at = found.end()
    if at != len(text) or text[:1] != "$" or len(steps) > DEEPEST:
        raise Invalid(f"a jsonpath is $ and then .name, ['name'] or [number], got {text!r}")
    return tuple(steps)
