"""Exports: a table at one moment, or what changed in it between two, as files that DynamoDB's own tools read.

    to/AWSDynamoDB/ID/data/00000.json.gz      a line for each item: {"Item": {"id": {"N": "1"}, ...}}
    to/AWSDynamoDB/ID/manifest-files.json     a line for each data file: its items, MD5 and name
    to/AWSDynamoDB/ID/manifest-summary.json   of what table, which moment, how much. Written last: without it, no export

    incremental: the data files are to/AWSDynamoDB/data/ID-00000.json.gz, and a line is one changed item,
    {"Metadata": {"WriteTimestampMicros": {"N": "..."}}, "Keys": {...}, "OldImage": {...}, "NewImage": {...}}

Of an item that changed several times there is one line: how it was at the first moment, how at the second, and when it
was last written. Without OldImage it is new, without NewImage it was deleted; with neither it came and went in between.
Expired is deleted, also where nobody has swept it yet. So an export at A and the changes from A to B make one at B.

An export of now reads the tree's last checkpoint, one of the past its base and the log (restore.py): writers go on, no
units are consumed. The bytes of a data file are collected in memory, about 32 MB before compression.

format="parquet" (full exports only) has a column for each attribute. It has a type of Arrow's where all its values are
of one type: S string, B binary, BOOL bool, N int64 if all are whole and fit, else decimal128(38, s) if all fit that.
All other columns hold the value as text in DynamoDB's JSON, and say so in the field's metadata: {"dynamodb": "json"}.
An attribute that an item has not is null. Two passes over the table: the types first.

Where we differ: point-in-time recovery is needed only for a moment in the past; the moments are exact, after `since` up
to and including `at` (DynamoDB: from the first up to before the second); any distance between them; no Ion.

Invariants: what is exported is what a reader saw at the moment. An export without its summary is to be ignored.
"""

import base64
import gzip
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from engines._native.kvitem import ItemCodec, item_expires
from engines.clock import MICROSECONDS
from engines.errors import Invalid, nearest
from engines.extras import extra
from engines.kv.backup.restore import (
    Changed,
    Contents,
    Moment,
    changes_of,
    check_past,
    contents_at,
    contents_in,
    microseconds,
    unexpired,
)
from engines.kv.backup.snapshots import folder_at, moment_of
from engines.kv.page import Item
from engines.kv.values import type_of
from engines.progress import Progress
from engines.storage.files import FileSystem, disk_errors, make_folder, write_atomically
from engines.text import iso

if TYPE_CHECKING:
    from engines.kv.store import Store

Format = Literal["dynamodb-json", "parquet"]
FORMATS = ("dynamodb-json", "parquet")
PART_BYTES = 32 << 20  # of a data file, before compression
ROOT = "AWSDynamoDB"
JSON_COLUMN = {b"dynamodb": b"json"}  # metadata of a column that holds DynamoDB's JSON
DECIMAL_DIGITS = 38


@dataclass(frozen=True, slots=True)
class Exported:
    """An export that is done. path: the folder with its manifests; items: lines or rows; bytes: of the data files."""

    id: str
    path: str
    items: int
    bytes: int
    files: list[str] = field(repr=False)


def export(
    store: "Store",
    name: str,
    to: str | os.PathLike[str],
    *,
    at: Moment | None,
    since: Moment | None,
    format: Format,  # noqa: A002 - as in Store.export
) -> Exported:
    """See Store.export."""
    store.check_open()
    if format not in FORMATS:
        raise Invalid(f"format is one of {', '.join(FORMATS)}, got {format!r:.80}{nearest(str(format), FORMATS)}")
    now = store.clock.now()
    until = now if at is None else microseconds(at, "at")
    began = None if since is None else microseconds(since, "since")
    if began is not None and format != "dynamodb-json":
        raise Invalid('an incremental export is in "dynamodb-json": leave out format, or since')
    if began is not None and began >= until:
        raise Invalid(f"since must be before at ({iso(moment_of(until))}), got {iso(moment_of(began))}")
    if format == "parquet":
        extra("pyarrow", "arrow")
    with ExitStack() as stack:
        stack.enter_context(disk_errors(f"the export to {to!s:.200} cannot be written"))
        lines: Iterator[tuple[int, bytes]]
        if began is not None:
            lines = changed_lines(store, name, began, until)
        else:
            if at is None:
                table = store.table(name).name
                if not store.read_only:
                    store.checkpoint()
                contents = contents_in(stack.enter_context(store.kept_snapshots.view()), table, now)
            else:
                contents = contents_at(store, name, until)
            lines = parquet_parts(contents) if format == "parquet" else item_lines(contents)
        first = next(lines, None)  # what makes no sense is refused before there is a folder
        export = _Export(store, name, to, at=until, since=began, format_=format)
        progress = stack.enter_context(Progress(f"export of {name}", "items"))
        if first is not None:
            export.write(first, progress)
        for line in lines:
            export.write(line, progress)
        return export.end()


class _Export:
    """The files of one export; what is written is (items, bytes), lines or whole files."""

    def __init__(
        self, store: "Store", name: str, to: str | os.PathLike[str], *, at: int, since: int | None, format_: str
    ) -> None:
        self._files: FileSystem = store.kept_snapshots.files
        self._clock, self._name, self._at, self._since, self._format = store.clock, name, at, since, format_
        self._started = store.clock.now()
        self._to = folder_at(to, self._files, "an export")
        self._lines: list[bytes] = []
        self._size = self._items = 0
        self._manifest: list[dict[str, Any]] = []
        self._bytes = self._raw = 0
        self._written: list[str] = []
        make_folder(self._files, self._to)
        make_folder(self._files, f"{self._to}/{ROOT}")
        taken = 0
        while True:  # a name that no export has: the same table may be exported twice in a microsecond
            what = f"{name} {at} {since} {format_} {taken}".encode()
            self.id = f"{self._started // 1000:014}-{hashlib.blake2b(what, digest_size=4).hexdigest()}"
            self.path = f"{self._to}/{ROOT}/{self.id}"
            if not self._files.exists(self.path):
                break
            taken += 1
        make_folder(self._files, self.path)
        self._data = f"{ROOT}/{self.id}/data" if since is None else f"{ROOT}/data"
        make_folder(self._files, f"{self._to}/{self._data}")

    def write(self, part: tuple[int, bytes], progress: Progress) -> None:
        count, data = part
        if self._format == "parquet":
            self._put(data, count, ".parquet")
        else:
            self._lines.append(data)
            self._size += len(data)
            if self._size >= PART_BYTES:
                self._flush()
        self._raw += len(data)
        progress.advance(count)

    def _flush(self) -> None:
        if self._lines:
            data = gzip.compress(b"\n".join(self._lines) + b"\n", compresslevel=5, mtime=0)
            self._put(data, len(self._lines), ".json.gz")
            self._lines, self._size = [], 0

    def _put(self, data: bytes, count: int, suffix: str) -> None:
        number = len(self._manifest)
        file = f"{number:05}{suffix}" if self._since is None else f"{self.id}-{number:05}{suffix}"
        write_atomically(self._files, f"{self._to}/{self._data}/{file}", data)
        self._written.append(f"{self._to}/{self._data}/{file}")
        digest = hashlib.md5(data, usedforsecurity=False)
        self._manifest.append(
            {
                "itemCount": count,
                "md5Checksum": base64.b64encode(digest.digest()).decode(),
                "etag": f"{digest.hexdigest()}-1",
                "dataFileS3Key": f"{self._data}/{file}",
            }
        )
        self._items += count
        self._bytes += len(data)

    def end(self) -> Exported:
        """The manifests, the summary last."""
        self._flush()
        self._put_manifest("manifest-files", b"".join(msgspec.json.encode(line) + b"\n" for line in self._manifest))
        table = f"arn:aws:dynamodb:local:000000000000:table/{self._name}"
        summary: dict[str, Any] = {
            "version": "2020-06-30" if self._since is None else "2023-08-01",
            "exportArn": f"{table}/export/{self.id}",
            "startTime": _time(self._started),
            "endTime": _time(self._clock.now()),
            "tableArn": table,
            "exportTime": _time(self._at),
            "s3Bucket": self._to,
            "s3Prefix": None,
            "manifestFilesS3Key": f"{ROOT}/{self.id}/manifest-files.json",
            "billedSizeBytes": self._raw,
            "itemCount": self._items,
            "outputFormat": "DYNAMODB_JSON" if self._format == "dynamodb-json" else "PARQUET",
            "exportType": "FULL_EXPORT",
        }
        if self._since is not None:
            summary |= {
                "exportFromTime": _time(self._since),
                "exportToTime": _time(self._at),
                "exportType": "INCREMENTAL_EXPORT",
                "outputView": "NEW_AND_OLD_IMAGES",
            }
        self._put_manifest("manifest-summary", msgspec.json.encode(summary))
        return Exported(self.id, self.path, self._items, self._bytes, self._written)

    def _put_manifest(self, name: str, data: bytes) -> None:
        checksum = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest())
        write_atomically(self._files, f"{self.path}/{name}.checksum", checksum)
        write_atomically(self._files, f"{self.path}/{name}.json", data)


def _time(microseconds: int) -> str:
    moment = moment_of(microseconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


# -- values ------------------------------------------------------------------------------------------------------------

_SIMPLE = {str: "S", int: "N", Decimal: "N", bytes: "B", bool: "BOOL", NoneType: "NULL"}


def typed_item(item: Item) -> dict[str, Any]:
    """An item out of the store in DynamoDB's JSON: values.to_dynamodb_json without its checks, ten times as fast."""
    return {name: typed(value) for name, value in item.items()}


def typed(value: Any) -> dict[str, Any]:  # noqa: ANN401, PLR0911 - a stored value, one line for each type
    """One value as {type: value}."""
    kind = _SIMPLE.get(type(value)) or type_of(value)
    match kind:
        case "S" | "BOOL":
            return {kind: value}
        case "N":
            return {"N": str(value)}
        case "NULL":
            return {"NULL": True}
        case "B":
            return {"B": base64.b64encode(value).decode()}
        case "M":
            return {"M": typed_item(value)}
        case "L":
            return {"L": [typed(part) for part in value]}
        case "NS":
            return {"NS": [str(part) for part in sorted(value)]}
        case "BS":
            return {"BS": [base64.b64encode(part).decode() for part in sorted(value)]}
    return {"SS": sorted(value)}


# -- lines of JSON -----------------------------------------------------------------------------------------------------


def item_lines(contents: Contents) -> Iterator[tuple[int, bytes]]:
    """(1, line) for every item."""
    encode, decode = msgspec.json.encode, contents.decode
    for page in contents.pages():
        for _, image in page:
            yield 1, encode({"Item": typed_item(decode(image))})


def changed_lines(store: "Store", name: str, since: int, at: int) -> Iterator[tuple[int, bytes]]:
    """(1, line) for every item that is another one, or was written, after `since` up to `at`."""
    check_past(store, name, at)
    before = contents_at(store, name, since)
    definition, names = before.definition, list(before.names)
    after, upto = store.bases.sequence_at(since), store.bases.sequence_at(at)
    last: dict[bytes, int] = {}
    changed: Changed = {}
    past = [definition]
    for time, ours in changes_of(store, definition, names, past, after=after, upto=upto):
        changed.update(ours)
        last.update(dict.fromkeys(ours, time))
    decode = ItemCodec(names).decode
    hides = past[-1].hides

    def seen(image: bytes) -> bool:
        return not hides or unexpired(image, at)

    def line(key: bytes, old: bytes | None, new: bytes | None, time: int) -> tuple[int, bytes]:
        keys = dict(zip(definition.key_names, before.keys.decode(key), strict=True))
        found: dict[str, Any] = {"Metadata": {"WriteTimestampMicros": {"N": str(time)}}, "Keys": typed_item(keys)}
        if old is not None:
            found["OldImage"] = typed_item(decode(old))
        if new is not None:
            found["NewImage"] = typed_item(decode(new))
        return 1, msgspec.json.encode(found)

    for stored_key, image, whole in _old_images(before):
        old = image if image is not None and before.seen(image) else None
        if stored_key in changed:
            key, new = changed.pop(stored_key)
            yield line(key, old, new if new is not None and seen(new) else None, last[stored_key])
        elif old is not None and not seen(old):
            yield line(whole(), old, None, item_expires(old) * MICROSECONDS)
    for stored_key, (key, new) in changed.items():
        yield line(key, None, new if new is not None and seen(new) else None, last[stored_key])


def _old_images(contents: Contents) -> Iterator[tuple[bytes, bytes | None, Callable[[], bytes]]]:
    """(stored key, image, whole key) of all that was there, and of what the log says was deleted."""
    for page in contents.base():
        for stored_key, image in page:
            if stored_key not in contents.changed:
                yield stored_key, image, lambda k=stored_key, i=image: contents.whole_key(k, i)  # type: ignore[misc] # bound
    for stored_key, (key, changed) in contents.changed.items():
        yield stored_key, changed, lambda key=key: key  # type: ignore[misc] # bound now


# -- Parquet -----------------------------------------------------------------------------------------------------------


class Column:
    """What is known of an attribute's values: their types, and how large and how fine its numbers are."""

    def __init__(self) -> None:
        self.types: set[str] = set()
        self.smallest = self.largest = 0  # of the whole numbers
        self.whole_digits = self.scale = 0  # of the others
        self.whole = True

    def add(self, value: Any) -> None:  # noqa: ANN401 - of an item
        kind = _SIMPLE.get(type(value))
        if kind is None:
            kind = type_of(value)
        self.types.add(kind)
        if kind == "N":
            if isinstance(value, int):
                self.smallest, self.largest = min(self.smallest, value), max(self.largest, value)
            else:
                self.whole = False
                _, digits, exponent = value.as_tuple()
                self.scale = max(self.scale, -exponent)
                self.whole_digits = max(self.whole_digits, len(digits) + exponent)

    def arrow_type(self, arrow: Any) -> Any:  # noqa: ANN401 - pyarrow may be absent
        """None where the column holds JSON."""
        simple = {"S": arrow.string(), "B": arrow.binary(), "BOOL": arrow.bool_()}
        if self.types == {"N"}:
            if self.whole and self.smallest >= -(1 << 63) and self.largest < 1 << 63:
                return arrow.int64()
            digits = max(self.whole_digits, len(str(max(self.largest, -self.smallest))))
            if digits + self.scale <= DECIMAL_DIGITS:
                return arrow.decimal128(DECIMAL_DIGITS, self.scale)
            return None
        return simple.get(next(iter(self.types))) if len(self.types) == 1 else None


def parquet_parts(contents: Contents) -> Iterator[tuple[int, bytes]]:
    """(rows, file) for every 32 MB of items; one without rows where there are none."""
    arrow, parquet = extra("pyarrow", "arrow"), extra("pyarrow.parquet", "arrow")
    columns: dict[str, Column] = {name: Column() for name in contents.definition.key_names}
    for item in _items(contents):
        for name, value in item.items():
            columns.setdefault(name, Column()).add(value)
    for part in contents.definition.key:
        if not columns[part.name].types:  # no items at all
            columns[part.name].types = {part.type}
    types = {name: column.arrow_type(arrow) for name, column in columns.items()}
    fields = [
        arrow.field(name, arrow.string() if kind is None else kind, metadata=JSON_COLUMN if kind is None else None)
        for name, kind in types.items()
    ]
    schema = arrow.schema(fields)

    def file(items: list[Item]) -> bytes:
        arrays = [
            arrow.array([_cell(item, name, types[name]) for item in items], type=schema.field(name).type)
            for name in types
        ]
        sink = arrow.BufferOutputStream()
        parquet.write_table(
            arrow.Table.from_arrays(arrays, schema=schema), sink, compression="zstd", write_page_checksum=True
        )
        return bytes(sink.getvalue())

    items: list[Item] = []
    size = written = 0
    for page in contents.pages():
        items += [contents.decode(image) for _, image in page]
        size += sum(len(image) for _, image in page)
        if size >= PART_BYTES:
            yield len(items), file(items)
            written += 1
            items, size = [], 0
    if items or not written:
        yield len(items), file(items)


def _items(contents: Contents) -> Iterable[Item]:
    return (contents.decode(image) for page in contents.pages() for _, image in page)


def _cell(item: Item, name: str, arrow_type: Any) -> Any:  # noqa: ANN401 - whatever the column holds
    value = item.get(name)
    if name not in item:
        return None
    if arrow_type is None:
        return msgspec.json.encode(typed(value)).decode()
    return Decimal(item[name]) if str(arrow_type).startswith("decimal") else value
