"""UNLOAD: the rows of a query as files of Parquet.

    UNLOAD (SELECT ...) TO 'folder'                                       folder/part-00000.parquet, manifest.json
    UNLOAD (SELECT ...) TO 'folder' WITH (partitioned_by = ARRAY['host'])  folder/host=a/part-00000.parquet, ...

Options: partitioned_by, compression ('ZSTD', 'GZIP', 'SNAPPY', 'NONE'), format ('PARQUET'). A partition's columns are
in the names of its folders and not in its files; other programs read that as they read Hive's folders. Text in such a
name is escaped as in a URL.

Each file appears whole, and manifest.json, which lists them, after all of them: a folder without it is not complete.
A folder that has something in it is refused. What fails halfway takes away what it has written.

Simpler than the service: a folder instead of a bucket, one query at a time, its rows are in memory.
"""

import contextlib
import io
import json
import os
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from engines.display import Table
from engines.errors import AlreadyExists, Invalid, NotFound, QueryError, nearest
from engines.extras import extra
from engines.progress import Progress
from engines.sql.datafiles import NO_VALUE
from engines.storage.files import FileSystem, RealFileSystem, disk_errors, make_folder, write_atomically
from engines.storage.memory import MemoryFileSystem

if TYPE_CHECKING:
    from engines.sql.front import Statement
    from engines.timeseries.engine import TimeSeries
    from engines.timeseries.query import Request

OPTIONS: Final = ("partitioned_by", "compression", "format")
COMPRESSIONS: Final = ("ZSTD", "GZIP", "SNAPPY", "NONE")
MOST_ROWS: Final = 4_000_000  # of a file
MOST_PARTITIONS: Final = 10_000
MANIFEST: Final = "manifest.json"


def unload(engine: "TimeSeries", statement: "Statement", request: "Request") -> Table:
    """Answers the statement: a row a file, with its rows and bytes. QueryError, Invalid, NotFound, AlreadyExists."""
    asked = _Asked(statement, request.text)
    extra("pyarrow", "arrow")
    files = RealFileSystem() if isinstance(engine.files, MemoryFileSystem) else engine.files
    _check_place(files, asked.folder)
    found = engine.queries.sql(asked.query, request.parameters, now=request.now, timeout=request.timeout)
    rows = found.to_arrow()
    for name in asked.partitions:
        if name not in rows.column_names:
            raise Invalid(f"partitioned_by names {name!r}, which the query has not{nearest(name, rows.column_names)}")
    if len(asked.partitions) == len(rows.column_names):
        raise Invalid("partitioned_by names all columns of the query: one is to be left for the files")
    return _write(files, asked, rows)


class _Asked:
    """A statement, read: the query at its place in the text, where to, and how."""

    def __init__(self, statement: "Statement", text: str) -> None:
        self._text = text
        self._tokens = list(statement.tokens)
        self._at = 1
        self._take("(")
        first, depth = self._peek(), 1
        while depth:
            token = self._next("a parenthesis is not closed")
            depth += {"(": 1, ")": -1}.get(token.text, 0)
        before = text[: first.start if first is not None else 0]
        blank = "".join(sign if sign == "\n" else " " for sign in before)  # places in errors stay those of the text
        self.query = blank + text[len(before) : self._tokens[self._at - 1].start]
        self._take("TO")
        self.folder = self._next("the folder is missing: TO 'folder'").text.rstrip("/")
        if not self.folder:
            raise QueryError("TO names a folder: TO 'folder'", text=text, position=self._tokens[self._at - 1].start)
        self.partitions: list[str] = []
        self.compression = "ZSTD"
        if self._peek() is not None:
            self._options()

    def _options(self) -> None:
        self._take("WITH")
        self._take("(")
        while True:
            token = self._next("an option is missing")
            name = token.text.lower()
            if name not in OPTIONS:
                guess = nearest(name, OPTIONS).removeprefix("; ")
                raise QueryError(
                    f"UNLOAD has the options {', '.join(OPTIONS)}, not {token.text!r}", text=self._text,
                    position=token.start, suggestion=guess,
                )  # fmt: skip
            self._take("=")
            if name == "partitioned_by":
                self.partitions = self._names()
            else:
                self._word(name)
            token = self._next("a parenthesis is not closed")
            if token.text == ")":
                break
            if token.text != ",":
                raise self._error("a comma or a parenthesis is expected here", token)
        if (token := self._peek()) is not None:
            raise self._error(f"{token.text!r} is not expected here", token)

    def _word(self, name: str) -> None:
        token = self._next(f"{name} has no value")
        allowed = COMPRESSIONS if name == "compression" else ("PARQUET",)
        if token.text.upper() not in allowed:
            raise self._error(f"{name} is {' or '.join(repr(word) for word in allowed)}, got {token.text!r}", token)
        if name == "compression":
            self.compression = token.text.upper()

    def _names(self) -> list[str]:
        self._take("ARRAY")
        self._take("[")
        names = [self._next("the name of a column is missing").text]
        while (token := self._next("a bracket is not closed")).text == ",":
            names.append(self._next("the name of a column is missing").text)
        if token.text != "]":
            raise self._error("a comma or a bracket is expected here", token)
        if len(set(names)) < len(names):
            raise self._error("a column is named twice", token)
        return names

    def _peek(self) -> Any:  # noqa: ANN401 - a token of sqlglot, or None
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self, missing: str) -> Any:  # noqa: ANN401 - a token of sqlglot
        if self._at == len(self._tokens):
            raise QueryError(missing, text=self._text, position=self._tokens[-1].end)
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, word: str) -> None:
        token = self._next(f"{word} is missing: UNLOAD (SELECT ...) TO 'folder' WITH (option = value)")
        if token.text.upper() != word:
            raise self._error(f"{word} is expected here: UNLOAD (SELECT ...) TO 'folder' WITH (option = value)", token)

    def _error(self, message: str, token: Any) -> QueryError:  # noqa: ANN401 - a token of sqlglot
        return QueryError(message, text=self._text, position=token.start)


def _check_place(files: FileSystem, folder: str) -> None:
    parent = os.path.dirname(os.path.abspath(folder))
    if files.exists(folder):
        if not files.is_directory(folder):
            raise Invalid(f"{folder} is a file: UNLOAD writes into a folder")
        if files.listdir(folder):
            raise AlreadyExists(f"{folder} is not empty: name another folder")
    elif not files.is_directory(parent):
        raise NotFound(f"the folder {parent} does not exist: create it first")


def _write(files: FileSystem, asked: _Asked, rows: Any) -> Table:  # noqa: ANN401 - a pyarrow.Table
    parquet = extra("pyarrow.parquet", "arrow")
    done: list[tuple[str, int, int]] = []
    try:
        with disk_errors(f"UNLOAD cannot write to {asked.folder}"), Progress("UNLOAD", "rows", len(rows)) as progress:
            make_folder(files, asked.folder)
            for place, some in _partitions(asked, rows):
                _make_folders(files, asked.folder, place)
                for number, at in enumerate(range(0, max(len(some), 1), MOST_ROWS)):
                    piece, sink = some.slice(at, MOST_ROWS), io.BytesIO()
                    parquet.write_table(piece, sink, compression=asked.compression.lower())
                    name = f"{place}part-{number:05d}.parquet"
                    write_atomically(files, f"{asked.folder}/{name}", sink.getvalue())
                    done.append((name, len(piece), sink.tell()))
                    progress.advance(len(piece))
            entries = [{"file": name, "rows": count, "bytes": size} for name, count, size in done]
            listing = json.dumps({"query": asked.query.strip(), "files": entries}, indent=1, ensure_ascii=False)
            write_atomically(files, f"{asked.folder}/{MANIFEST}", listing.encode())
    except BaseException:
        for name, _, _ in done:
            with contextlib.suppress(OSError):
                files.unlink(f"{asked.folder}/{name}")
        raise
    return Table.from_rows(["file", "rows", "bytes"], [(f"{asked.folder}/{name}", *rest) for name, *rest in done])


def _partitions(asked: _Asked, rows: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - a pyarrow.Table
    """The folder of each partition, with a slash behind it, and its rows, in their order."""
    if not asked.partitions or not len(rows):
        yield "", rows.drop_columns(asked.partitions) if asked.partitions else rows
        return
    keys = np.zeros(len(rows), np.int64)
    words: list[list[str]] = []
    for name in asked.partitions:
        coded = rows.column(name).combine_chunks().dictionary_encode(null_encoding="encode")
        words.append([_escaped(value) for value in coded.dictionary.to_pylist()])
        keys = keys * max(len(words[-1]), 1) + coded.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(keys, kind="stable")
    begins = np.flatnonzero(np.append(True, np.diff(keys[order]) != 0))
    if len(begins) > MOST_PARTITIONS:
        raise Invalid(f"UNLOAD writes at most {MOST_PARTITIONS:,} partitions, these columns make {len(begins):,}")
    kept = rows.drop_columns(asked.partitions)
    for first, end in zip(begins.tolist(), [*begins[1:].tolist(), len(rows)], strict=True):
        yield _place(asked.partitions, words, int(keys[order[first]])), kept.take(order[first:end])


def _place(names: Sequence[str], words: Sequence[Sequence[str]], key: int) -> str:
    parts = []
    for name, mine in zip(reversed(names), reversed(words), strict=True):
        key, code = divmod(key, len(mine))
        parts.append(f"{urllib.parse.quote(name, safe='')}={mine[code]}/")
    return "".join(reversed(parts))


def _escaped(value: object) -> str:
    return NO_VALUE if value is None else urllib.parse.quote(str(value), safe="")


def _make_folders(files: FileSystem, folder: str, place: str) -> None:
    parts = place.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        make_folder(files, f"{folder}/{'/'.join(parts[:depth])}")
