"""A ledger as text: what export() writes and import_() reads, every hash checked on the way in.

    blocks-000001.jsonl ...   one JSON object a line and block, 10,000 to a file
    digest.json               written last: an export without it was cut short

    {"number", "time", "transaction": base64, "statements": [{"text", "parameters"}], "trailer": base64,
     "entries": [base64 of 96 bytes, ...], "salts": [base64 | null, ...], "data": ["canonical JSON" | null, ...]}

Data travels as a string, so that the very bytes that were hashed are in the file; null for a tombstone, and for what
was redacted. Nothing of tree and hashes is exported: the importer makes them.

Invariants: import_(export(book)) has the blocks of book, byte for byte, so all its digests hold and all proofs; a file
in which anything is altered is refused.
"""

import base64
import binascii
import json
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from engines._native.ledgerblock import ENTRY_BYTES, HEAD_BYTES, SALT_BYTES, TRAILER_BYTES
from engines.errors import AlreadyExists, Corrupted, EngineError, Invalid, NotFound
from engines.ledger import redact, snapshots, tiles, views
from engines.ledger.block import LONGEST_BLOCK, Block, Kind, audit, decode
from engines.ledger.canonicaljson import DOCUMENT_BYTES, canonical, read_strict
from engines.ledger.ids import ID_BYTES, identity_text, parse
from engines.ledger.proof import Digest
from engines.ledger.rules import Rules
from engines.progress import Progress
from engines.storage.files import FileSystem, RealFileSystem, disk_errors, make_folder, read_file, write_atomically

if TYPE_CHECKING:
    from engines.ledger.ledger import Ledger

BLOCKS_A_FILE: Final = 10_000
IMPORTING: Final = ".importing"
FIELDS: Final = ["data", "entries", "number", "salts", "statements", "time", "trailer", "transaction"]
KIND_AT, LENGTH_AT = 0, 28  # in an entry


# -- out --------------------------------------------------------------------------------------------------------------


def export(book: "Ledger", folder: str) -> Digest:
    """See Ledger.export."""
    files = RealFileSystem() if book.path is None else book.files
    folder = _new_folder(files, folder)
    with (
        book.redacting,  # what is redacted meanwhile would be missing, and the block that says so as well
        disk_errors(f"the ledger cannot be exported to {folder}"),
        Progress("export", "blocks") as progress,
    ):
        redact.erase_due(book)
        digest = views.digest(book)
        progress.total = digest.block
        for first in range(1, digest.block + 1, BLOCKS_A_FILE):
            last = min(first + BLOCKS_A_FILE - 1, digest.block)
            lines = bytearray()
            for block in book.blocks(first, last):
                lines += _line(block)
                progress.advance(1)
            write_atomically(files, f"{folder}/{_name(first)}", lines)
        write_atomically(files, f"{folder}/digest.json", digest.to_json().encode() + b"\n")
    return digest


def export_tiles(book: "Ledger", folder: str) -> Digest:
    """See Ledger.export_tiles."""
    files = RealFileSystem() if book.path is None else book.files
    digest = views.digest(book)
    made = (
        (entry for block in book.blocks(1, digest.block) for entry in (*block.entries, block.trailer))
        if digest.block
        else iter(())
    )
    with disk_errors(f"tiles cannot be written to {folder}"):
        tiles.write_tiles(book.merkle, made, digest, folder.rstrip("/"), files)
    return digest


def _new_folder(files: FileSystem, folder: str) -> str:
    folder = folder.rstrip("/") or "/"
    if files.exists(f"{folder}/digest.json") or files.exists(f"{folder}/ENGINE"):
        raise AlreadyExists(f"there is an export or an engine in {folder} already: name another folder")
    if not files.is_directory(os.path.dirname(os.path.abspath(folder))):
        raise NotFound(f"the folder {os.path.dirname(os.path.abspath(folder))} does not exist: create it first")
    with disk_errors(f"the folder {folder} cannot be made"):
        make_folder(files, folder)
    return folder


def _name(first: int) -> str:
    return f"blocks-{first // BLOCKS_A_FILE + 1:06d}.jsonl"


def _line(block: Block) -> bytes:
    revisions = block.revisions
    said = {
        "data": [None if entry.data is None else entry.data.decode() for entry in revisions],
        "entries": [_text(entry) for entry in block.entries],
        "number": block.number,
        "salts": [None if entry.data is None else _text(entry.salt) for entry in revisions],
        "statements": json.loads(block.statements_json),
        "time": block.time,
        "trailer": _text(block.trailer),
        "transaction": _text(block.transaction),
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


# -- in ---------------------------------------------------------------------------------------------------------------


def import_ledger(
    open_ledger: "Callable[[str | None], Ledger]", folder: str, path: str | os.PathLike[str] | None, files: FileSystem
) -> "Ledger":
    """See Ledger.import_."""
    folder = folder.rstrip("/") or "/"
    digest = _read_digest(files, folder)
    target = None if path is None else os.fspath(path).rstrip("/")
    if target is not None and files.exists(target):
        raise AlreadyExists(f"{target} is there already: a ledger is imported into a new folder, name another one")
    building = None if target is None else target + IMPORTING
    name, _, ledger_id = digest.origin.rpartition("/")
    if building is not None:
        with disk_errors(f"{folder} cannot be imported into {target}"):
            snapshots.begin(files, building, identity_text((name, ledger_id)))
    book = open_ledger(building)
    try:
        book.name, book.ledger_id = name, ledger_id
        _fill(book, folder, files, digest)
        book.log.sync()
    except BaseException:
        book.close()
        if building is not None:
            with disk_errors(f"{building} cannot be cleared"):
                snapshots.clear(files, building)
        raise
    if building is None or target is None:
        return book
    book.close()
    with disk_errors(f"{folder} cannot be imported into {target}"):
        snapshots.put_in_place(files, building, target)
    return open_ledger(target)


def _read_digest(files: FileSystem, folder: str) -> Digest:
    file = f"{folder}/digest.json"
    try:
        digest = Digest.from_json(read_file(files, file))
    except FileNotFoundError:
        raise NotFound(f"there is no whole export in {folder}: it has no digest.json") from None
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}") from error
    except Invalid as error:
        raise Corrupted(f"{file} holds no digest: {error}", file=file, offset=0) from error
    name, _, ledger_id = digest.origin.rpartition("/")
    if not name or parse(ledger_id) is None:
        raise Corrupted(
            f"{file} is not about a ledger of this kind: its origin is {digest.origin}", file=file, offset=0
        )
    return digest


def _fill(book: "Ledger", folder: str, files: FileSystem, digest: Digest) -> None:
    """Take all blocks, each after it was checked. Corrupted names file and line."""
    rules = Rules(book.state)
    before: Block | None = None
    with Progress("import", "blocks", digest.block) as progress:
        for file, line, payload in _payloads(folder, files, digest.block):
            try:
                block = decode(payload)
                blank = audit(payload)
                wrong = block.broken_link(before)
            except Corrupted as error:
                raise _wrong(file, line, str(error)) from error
            if wrong is not None:
                raise _wrong(file, line, wrong)
            with book.tree.lock:
                book.tree.catch_up()
                try:
                    rules.check(block, blank)
                except Invalid as error:
                    raise _wrong(file, line, str(error)) from error
                if block.count:
                    book.merkle.extend_hashes(block.leaves()[:-32])
                if book.merkle.root() != block.root:
                    raise _wrong(file, line, f"block {block.number} names another root than its entries have")
                book.merkle.extend([block.trailer])
                book.put(payload, block.count)
            before = block
            book.checkpoint_if_due()
            progress.advance(1)
    try:
        rules.end()
    except Invalid as error:
        raise Corrupted(f"{folder}: {error}: export the ledger again", file=folder, offset=0) from error
    chain = book.state.chain
    if (chain.number, chain.leaves) != (digest.block, digest.size) or book.merkle.root() != digest.root:
        raise Corrupted(
            f"the blocks in {folder} are not those that its digest stands for: export the ledger again",
            file=f"{folder}/digest.json",
            offset=0,
        )


def _payloads(folder: str, files: FileSystem, blocks: int) -> Iterator[tuple[str, int, bytes]]:
    wanted_files = {_name(first) for first in range(1, blocks + 1, BLOCKS_A_FILE)}
    for name in files.listdir(folder):
        if name.startswith("blocks-") and name.endswith(".jsonl") and name not in wanted_files:
            file = f"{folder}/{name}"
            raise Corrupted(f"{file} is not of this export: remove it, or export again", file=file, offset=0)
    for first in range(1, blocks + 1, BLOCKS_A_FILE):
        file = f"{folder}/{_name(first)}"
        try:
            lines = read_file(files, file).split(b"\n")
        except OSError as error:
            raise Corrupted(f"{file} cannot be read ({error.strerror}): export again", file=file, offset=0) from error
        wanted = min(BLOCKS_A_FILE, blocks - first + 1)
        if lines.pop() or len(lines) != wanted:
            raise Corrupted(f"{file} has not the {wanted} lines that it is to have: export again", file=file, offset=0)
        for number, line in enumerate(lines, 1):
            try:
                yield file, number, _payload(line)
            except (ValueError, TypeError, KeyError, RecursionError, EngineError) as error:
                raise _wrong(file, number, f"no block: {error}") from error


def _wrong(file: str, line: int, what: str) -> Corrupted:
    return Corrupted(
        f"{file}, line {line}: {what}; export again, or import another copy", file=file, offset=0, line=line
    )


def _payload(line: bytes) -> bytes:
    """A block's bytes from its line. ValueError and others for what is none."""
    said = json.loads(line, object_pairs_hook=_unique)
    if not isinstance(said, dict) or sorted(said) != FIELDS:
        raise ValueError(f"the fields are {', '.join(FIELDS)}")
    made = [_raw(entry, ENTRY_BYTES) for entry in said["entries"]]
    if not len(made) == len(said["salts"]) == len(said["data"]):
        raise ValueError("entries, salts and data are as many as each other")
    bodies = bytearray()
    for entry, salt, data in zip(made, said["salts"], said["data"], strict=True):
        if (salt is None) != (data is None):
            raise ValueError("data and its salt go together")
        if data is None:
            redacted = (
                0 if entry[KIND_AT] == Kind.TOMBSTONE else int.from_bytes(entry[LENGTH_AT : LENGTH_AT + 4], "little")
            )
            if redacted > DOCUMENT_BYTES or len(bodies) + redacted > LONGEST_BLOCK:
                raise ValueError(f"a document has at most {DOCUMENT_BYTES:,} bytes, a block {LONGEST_BLOCK:,}")
            bodies += bytes(SALT_BYTES + redacted)
        else:
            if not isinstance(data, str):
                raise TypeError("data is a text that holds JSON")
            text = data.encode()
            read_strict(text)
            bodies += _raw(salt, SALT_BYTES) + text
    statements = canonical(said["statements"])
    trailer = _raw(said["trailer"], TRAILER_BYTES)
    if said["number"] != int.from_bytes(trailer[8:16], "little") or said["time"] != int.from_bytes(
        trailer[24:32], "little", signed=True
    ):
        raise ValueError("number and time are not those of the trailer")
    if _raw(said["transaction"], ID_BYTES) != trailer[32:48]:
        raise ValueError("the transaction is not that of the trailer")
    head = b"EHB1" + len(made).to_bytes(4, "little") + len(statements).to_bytes(4, "little") + bytes(4)
    assert len(head) == HEAD_BYTES  # noqa: S101 - as drawn in block.py
    return b"".join([head, statements, *made, bodies, trailer])


def _raw(text: object, length: int) -> bytes:
    if not isinstance(text, str):
        raise TypeError("base64 is a text")
    raw = binascii.a2b_base64(text, strict_mode=True)
    if len(raw) != length:
        raise ValueError(f"base64 of {length} bytes is wanted, got {len(raw)}")
    return raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is there twice")
    return found
