"""A journal as Amazon QLDB exported it: its files, its blocks, and every hash in them.

    <prefix>.../<strand>.<first>-<last>.ion     blocks first to last, Ion text or binary, one after the other
    <prefix>/<export>.<strand>.completed.manifest     {keys: [which files there are, in order]}

    block {
      blockAddress: {strandId, sequenceNo}, transactionId, blockTimestamp,
      blockHash, entriesHash, previousBlockHash, entriesHashList: [hash, ...],
      transactionInfo: {statements: [{statement, ...}], documents: {id: {tableName, tableId, statements}}},
      redactionInfo: {revisions: [{blockAddress, tableId, documentId, version}]},
      revisions: [{blockAddress, hash, data or dataHash, metadata: {id, version, txTime, txId}}, {hash}, ...]
    }

    data, metadata ──> revision hash ─┐
    data, metadata ──> revision hash ─┴─> revisions ─┐
                             transactionInfo ────────┤ entriesHashList ──> entriesHash ─┬─> blockHash ──> next block
                                    system's own ────┘                previousBlockHash ┘

Every arrow to a join is `dot`: the hashes are sorted, then hashed together. Other leaves are Ion hashes (ion.py). The
order in which `dot` sorts is QLDB's own: from the last byte to the first, bytes taken as signed.

    what dot lacks   it does not bind a place, and leaves look like nodes: a proof shows *that* a revision is in a
                     journal, not where. RFC 6962, which the ledger here follows, binds both.
    what is open     hashes of the system's own entries have nothing beside them to check; a block's transactionId and
                     blockTimestamp are in those. Who takes transactionInfo and revisions out of a block makes it look
                     like one of the system's; out of that an update of a known document is missed later, an insert
                     never. How a deletion is hashed was never published, and AWS's sample skips it: here it has to be
                     the hash of its metadata, unless strict=False.

An export that begins in the middle of a journal is read, too: the first block's previousBlockHash is then its word.

Invariants: what read_journal yields has every hash right that can be computed; of a file in which anything else is
altered no block after it is yielded.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final

from engines.errors import Corrupted, Invalid, NotFound
from engines.ledger.canonicaljson import DOCUMENT_BYTES, canonical
from engines.ledger.qldb.binary import VERSION, read_binary
from engines.ledger.qldb.ion import BadIon, Value, ion_hash, to_json
from engines.ledger.qldb.text import read_text
from engines.storage.files import FileSystem, RealFileSystem, disk_errors, read_file

FILE: Final = re.compile(r"([0-9A-Za-z]+)\.(\d{1,18})-(\d{1,18})\.(?:ion|json)")
MANIFEST: Final = ".completed.manifest"
DEEPEST_FOLDER: Final = 8
HASH: Final = 32
SIGNED: Final = bytes(byte ^ 0x80 for byte in range(256))


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of a document. data is None where it was deleted, or redacted; table where the block does not say."""

    id: str
    version: int
    table: str | None
    table_id: str | None
    data: dict[str, Any] | None
    hash: bytes
    time: str
    deleted: bool
    redacted: bool


@dataclass(frozen=True, slots=True)
class JournalBlock:
    """One block of a QLDB journal, checked. Times are texts as QLDB wrote them, in ISO 8601."""

    strand: str
    number: int
    transaction: str
    time: str
    hash: bytes
    previous: bytes
    statements: list[str]
    revisions: list[Revision]
    redactions: list[tuple[str, int]]  # id and version of what this block redacts


def dot(one: bytes, other: bytes) -> bytes:
    """Two hashes as one, in whatever order they come; an empty one leaves the other as it is."""
    if not one or not other:
        return one or other
    return sha256(one + other if _order(one) < _order(other) else other + one).digest()


def _order(hashed: bytes) -> bytes:
    """What sorts as the bytes of a hash do, taken as signed, from the last to the first."""
    return hashed[::-1].translate(SIGNED)


def merkle_root(hashes: list[bytes]) -> bytes:
    """The hash over a list of hashes: pairs are joined by dot, level by level; one that is left over goes up."""
    while len(hashes) > 1:
        hashes = [dot(hashes[i], hashes[i + 1]) if i + 1 < len(hashes) else hashes[i] for i in range(0, len(hashes), 2)]
    return hashes[0] if hashes else b""


# -- reading ----------------------------------------------------------------------------------------------------------


def read_journal(
    folder: str | os.PathLike[str], *, strict: bool = True, files: FileSystem | None = None
) -> Iterator[JournalBlock]:
    """The blocks of an export, oldest first, each checked by itself and against the one before.

    NotFound where there is no export. Corrupted names file and block of what does not fit. Invalid for an export in
    JSON, whose hashes nobody can compute, and for values that JSON cannot hold (the path is in the message).
    strict=False takes deletions whose hash is not that of their metadata, and blocks that name documents without
    showing a revision of each: their hashes are in the chain, but what is said beside them is not proved.
    """
    return _journal(os.fspath(folder).rstrip("/") or "/", files or RealFileSystem(), strict=strict)


def _journal(folder: str, files: FileSystem, *, strict: bool) -> Iterator[JournalBlock]:
    before: JournalBlock | None = None
    versions: dict[str, int] = {}
    tables: dict[str, tuple[str | None, str | None]] = {}
    for path, strand, first, last in _parts(folder, files):
        expected = first
        for value in _values(path, _read(files, path)):
            where = f"{path}, block {expected}"
            try:
                block = _Reader(where, tables, strict=strict).block(value)
            except (Corrupted, Invalid):
                raise
            except (TypeError, ValueError, AttributeError, RecursionError) as error:
                raise _bad(where, f"is no journal block: {error}") from error
            if (block.strand, block.number) != (strand, expected) or expected > last:
                raise _bad(where, f"is called {block.strand} {block.number}: one is missing, or a file was renamed")
            if before is not None and block.previous != before.hash:
                raise _bad(where, f"does not follow block {before.number}: it names another hash")
            for revision in block.revisions:
                wanted = versions.get(revision.id, revision.version - 1) + 1
                if revision.version != wanted:
                    raise _bad(where, f"holds version {revision.version} of {revision.id} instead of {wanted}")
                versions[revision.id] = revision.version
            yield block
            before = block
            expected += 1
        if expected != last + 1:
            raise _bad(path, f"ends before block {expected}, and its name says {last}")


def _parts(folder: str, files: FileSystem) -> list[tuple[str, str, int, int]]:
    """The files of blocks in order: path, strand, first and last block."""
    with disk_errors(f"the export {folder} cannot be read"):
        if not files.is_directory(folder):
            raise NotFound(f"there is no folder {folder}: name the one with the files of the export")
        found = list(_walk(folder, files, 0))
    parts = []
    for path in found:
        match = FILE.fullmatch(os.path.basename(path))
        if match:
            parts.append((path, match[1], int(match[2]), int(match[3])))
    if not parts:
        raise NotFound(f"there are no files of a journal in {folder}: they are called <strand>.<first>-<last>.ion")
    parts.sort(key=lambda part: part[2:])
    if len({strand for _, strand, _, _ in parts}) > 1:
        raise Invalid(f"{folder} holds several journals: give each a folder of its own")
    for one, other in pairwise(parts):
        if other[2] != one[3] + 1:
            raise _bad(other[0], f"does not follow {one[0]}: blocks are missing, or there twice")
    for path in found:
        if path.endswith(MANIFEST):
            _check_manifest(path, files, [os.path.basename(path) for path, _, _, _ in parts])
    return parts


def _walk(folder: str, files: FileSystem, depth: int) -> Iterator[str]:
    for name in files.listdir(folder):
        path = f"{folder}/{name}"
        if not files.is_directory(path):
            yield path
        elif depth < DEEPEST_FOLDER:
            yield from _walk(path, files, depth + 1)


def _check_manifest(path: str, files: FileSystem, names: list[str]) -> None:
    for value in _values(path, _read(files, path)):
        keys = dict(value.value).get("keys") if value.type == "struct" and value.value is not None else None
        if keys is None or keys.type != "list" or keys.value is None:
            raise _bad(path, "is no manifest: it has no list of keys")
        for key in keys.value:
            name = os.path.basename(key.value) if key.type == "string" and key.value is not None else ""
            if name not in names:
                raise _bad(path, f"names {name[:80]!r}, which is not in the folder: copy all of the export")


def _read(files: FileSystem, path: str) -> bytes:
    try:
        return read_file(files, path)
    except OSError as error:
        raise _bad(path, f"cannot be read ({error.strerror or error})") from error


def _values(path: str, data: bytes) -> Iterator[Value]:
    try:
        yield from read_binary(data) if data.startswith(VERSION) else read_text(data.decode())
    except BadIon as error:
        raise Corrupted(
            f"{path} is no Ion from {error.offset} on: {error}; copy the export again", file=path, offset=error.offset
        ) from error
    except RecursionError as error:
        raise _bad(path, "is nested too deep for the stack that is left") from error
    except UnicodeDecodeError as error:
        raise Corrupted(f"{path} is neither Ion text nor binary", file=path, offset=error.start) from error


def _bad(where: str, what: str) -> Corrupted:
    return Corrupted(f"{where} {what}; copy the export again", file=where.partition(",")[0], offset=0)


# -- one block --------------------------------------------------------------------------------------------------------


class _Reader:
    """Takes a block apart and checks it. where: what errors call it; tables: of the documents seen so far."""

    def __init__(self, where: str, tables: dict[str, tuple[str | None, str | None]], *, strict: bool) -> None:
        self.where = where
        self.strict = strict
        self.tables = tables

    def block(self, value: Value) -> JournalBlock:
        """The block, all its hashes right. Corrupted, Invalid."""
        fields = self.struct(value)
        if fields.get("blockHash", value).type == "string":
            raise Invalid(f"{self.where} is JSON, whose hashes nobody can compute: export as ION_BINARY or ION_TEXT")
        strand, number = self.address(fields)
        listed = [self.hash(each, empty=True) for each in self.list(fields, "entriesHashList")]
        entries, previous = self.hash(fields.get("entriesHash")), self.hash(fields.get("previousBlockHash"), empty=True)
        hashed = self.hash(fields.get("blockHash"))
        if merkle_root(listed) != entries:
            raise _bad(self.where, "has another entriesHash than its entriesHashList gives")
        if dot(entries, previous) != hashed:
            raise _bad(self.where, "has another blockHash than its entries and the block before give")
        said = self.listed(fields, "transactionInfo", listed)
        redacted = self.listed(fields, "redactionInfo", listed)
        documents = self.struct(said["documents"]) if "documents" in said else {}
        for document, about in documents.items():
            table = self.struct(about)
            self.tables[document] = (self.optional(table, "tableName"), self.optional(table, "tableId"))
        transaction = self.text(fields, "transactionId")
        raw = self.list(fields, "revisions") if "revisions" in fields else []
        revisions, hashes = [], []
        for each in raw:
            made, hashed_revision = self.revision(each, (strand, number), transaction)
            hashes.append(hashed_revision)
            if made is not None:
                revisions.append(made)
        if raw and merkle_root(hashes) not in listed:
            raise _bad(self.where, "has other revisions than its entriesHashList has a hash for")
        lost = documents.keys() - {revision.id for revision in revisions}
        if lost and self.strict:
            raise _bad(self.where, f"has written the document {min(lost)}, but shows no revision of it")
        requests = [self.struct(each) for each in self.list(redacted, "revisions")] if redacted else []
        return JournalBlock(
            strand=strand,
            number=number,
            transaction=transaction,
            time=self.moment(fields, "blockTimestamp"),
            hash=hashed,
            previous=previous,
            statements=[self.text(self.struct(each), "statement") for each in self.list(said, "statements")]
            if "statements" in said
            else [],
            revisions=revisions,
            redactions=[(self.text(request, "documentId"), self.number(request, "version")) for request in requests],
        )

    def revision(self, value: Value, address: tuple[str, int], transaction: str) -> tuple[Revision | None, bytes]:
        """A revision and its hash; None for one of the system's own, of which there is only the hash."""
        fields = self.struct(value)
        hashed = self.hash(fields.get("hash"))
        if fields.keys() == {"hash"}:
            return None, hashed
        about = fields.get("metadata")
        metadata = self.struct(about)
        assert about is not None  # noqa: S101 - struct() has refused that
        document, version = self.text(metadata, "id"), self.number(metadata, "version")
        if self.address(fields) != address or self.text(metadata, "txId") != transaction:
            raise _bad(self.where, f"holds a revision of {document} that belongs into another block")
        data, of_metadata = fields.get("data"), ion_hash(about)
        if "dataHash" in fields:
            if data is not None:
                raise _bad(self.where, f"holds data and dataHash of {document}: one of them is made up")
            proved = dot(of_metadata, self.hash(fields["dataHash"])) == hashed
        elif data is not None:
            proved = dot(of_metadata, ion_hash(data)) == hashed
        else:
            proved = not self.strict or hashed == of_metadata
        if not proved:
            raise _bad(
                self.where,
                f"holds version {version} of {document} that its hash is not about"
                + (
                    " (a deletion: strict=False takes it as it is)" if data is None and "dataHash" not in fields else ""
                ),
            )
        table, table_id = self.tables.get(document, (None, None))
        made = Revision(
            id=document,
            version=version,
            table=table,
            table_id=table_id,
            data=None if data is None else self.document(data, document),
            hash=hashed,
            time=self.moment(metadata, "txTime"),
            deleted=data is None and "dataHash" not in fields,
            redacted="dataHash" in fields,
        )
        return made, hashed

    def document(self, data: Value, document: str) -> dict[str, Any]:
        """A document in JSON's terms. Invalid names the path."""
        try:
            made = to_json(data)
            canonical(made, limit=DOCUMENT_BYTES)
        except Invalid as error:
            raise Invalid(f"{self.where}, document {document}: {error}", path=error.path) from error
        if not isinstance(made, dict):
            raise _bad(self.where, f"holds a document {document} that is no struct")
        return made

    def listed(self, fields: dict[str, Value], name: str, hashes: list[bytes]) -> dict[str, Value]:
        """A part of the block whose Ion hash has to be in the list of hashes; {} where the block has no such part."""
        if name not in fields:
            return {}
        if ion_hash(fields[name]) not in hashes:
            raise _bad(self.where, f"has another {name} than its entriesHashList has a hash for")
        return self.struct(fields[name])

    def address(self, fields: dict[str, Value]) -> tuple[str, int]:
        """The strand and the number of a blockAddress."""
        address = self.struct(fields.get("blockAddress"))
        return self.text(address, "strandId"), self.number(address, "sequenceNo")

    def struct(self, value: Value | None) -> dict[str, Value]:
        """A struct's fields by their names."""
        if value is None or value.type != "struct" or value.value is None:
            raise _bad(self.where, "lacks a struct that a block has")
        found: dict[str, Value] = {}
        for name, member in value.value:
            if name is None or name in found:
                raise _bad(self.where, f"has the field {name!r:.40} twice, or one without a name")
            found[name] = member
        return found

    def list(self, fields: dict[str, Value], name: str) -> list[Value]:
        """A list by the name of its field."""
        value = fields.get(name)
        if value is None or value.type != "list" or value.value is None:
            raise _bad(self.where, f"has no list {name}")
        found: list[Value] = value.value
        return found

    def hash(self, value: Value | None, *, empty: bool = False) -> bytes:
        """A hash; empty: or none at all, as before the first block."""
        if value is None or value.type != "blob" or value.value is None or value.annotations:
            raise _bad(self.where, "lacks a hash that a block has")
        found: bytes = value.value
        if len(found) != HASH and not (empty and not found):
            raise _bad(self.where, f"has a hash of {len(found)} bytes")
        return found

    def text(self, fields: dict[str, Value], name: str) -> str:
        """A text by the name of its field."""
        value = fields.get(name)
        if value is None or value.type != "string" or value.value is None:
            raise _bad(self.where, f"has no text {name}")
        return str(value.value)

    def optional(self, fields: dict[str, Value], name: str) -> str | None:
        """A text, or None where there is no such field."""
        return self.text(fields, name) if name in fields else None

    def number(self, fields: dict[str, Value], name: str) -> int:
        """A whole number from 0 by the name of its field."""
        value = fields.get(name)
        if value is None or value.type != "int" or value.value is None or not 0 <= value.value < 1 << 63:
            raise _bad(self.where, f"has no whole number {name}")
        return int(value.value)

    def moment(self, fields: dict[str, Value], name: str) -> str:
        """A moment's text by the name of its field."""
        value = fields.get(name)
        if value is None or value.type != "timestamp" or value.value is None:
            raise _bad(self.where, f"has no time {name}")
        return str(value.value)
