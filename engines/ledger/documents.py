"""The documents as they are now, as JSON lines: for other programs, not for proofs.

    {"id": "0353b...", "version": 2, "table": "Vehicle", "data": {"VIN": "1N4AL", "Year": 2012}}

One document a line, by table and id; the data is the canonical JSON that was hashed. There is no history in it and no
hash: export() writes those.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from engines.errors import AlreadyExists
from engines.ledger.canonicaljson import canonical
from engines.storage.files import FileSystem, RealFileSystem, disk_errors

if TYPE_CHECKING:
    from engines.ledger.ledger import Ledger

CHUNK: Final = 1 << 20  # bytes written together


def export_documents(
    book: "Ledger",
    path: str | os.PathLike[str],
    tables: Iterable[str] | None = None,
    *,
    files: FileSystem | None = None,
) -> int:
    """Write the current documents of these tables (all that are not dropped) to a file; how many there are.

    Each table is read at one moment, the next at a later one. The file is there when it is whole. NotFound for an
    unknown table, AlreadyExists where there is something at `path`.
    """
    if isinstance(tables, str):
        tables = [tables]
    names = sorted(book.state.names) if tables is None else [book.state.table(name).name for name in tables]
    return write_documents(_rows(book, names), os.fspath(path), files or RealFileSystem())


def _rows(book: "Ledger", names: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    for name in names:
        for row in book.execute(f"SELECT * FROM _ql_committed_{name}"):  # noqa: S608 - a table's name has letters only
            metadata = row["metadata"]
            yield {"id": metadata["id"], "version": metadata["version"], "table": name, "data": row["data"]}


def write_documents(rows: Iterable[Mapping[str, Any]], path: str, files: FileSystem) -> int:
    """Write rows of id, version, table and data as JSON lines; how many. Nothing is at `path` before all of it is."""
    count = at = 0
    with disk_errors(f"the documents cannot be written to {path}"):
        if files.exists(path):
            raise AlreadyExists(f"there is something at {path} already: name another file")
        temporary = path + ".tmp"
        file = files.open(temporary, create=True)
        try:
            files.truncate(file, 0)
            lines = bytearray()
            for row in rows:
                head = b",".join(
                    b'"%b":%b' % (name.encode(), canonical(row[name])) for name in ("id", "version", "table")
                )
                lines += b'{%b,"data":%b}\n' % (head, canonical(row["data"]))
                count += 1
                if len(lines) >= CHUNK:
                    files.pwrite(file, lines, at)
                    at += len(lines)
                    lines = bytearray()
            files.pwrite(file, lines, at)
            files.fdatasync(file)
        except BaseException:
            files.unlink(temporary)
            raise
        finally:
            files.close(file)
        files.rename(temporary, path)
        files.fsync_dir(os.path.dirname(path) or ".")
    return count
