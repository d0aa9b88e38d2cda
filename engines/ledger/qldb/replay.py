"""An exported journal into a ledger: each block again a transaction, with ids and times of the ledger's own.

Two passes: the first reads and checks everything, the second writes. So nothing of a refused journal is written.
"""

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engines.errors import AlreadyExists, Invalid
from engines.ledger.catalogue import check_table_name
from engines.ledger.qldb.journal import JournalBlock, Revision, read_journal
from engines.storage.files import FileSystem

if TYPE_CHECKING:
    from engines.ledger.ledger import Ledger


@dataclass(slots=True)
class Imported:
    """What an import has done. ids: QLDB's document ids, and those that the documents have now."""

    blocks: int = 0
    revisions: int = 0
    first_block: int = 0
    last_block: int = 0
    digest: bytes = b""  # the last block's hash: QLDB's digest at that block, to compare with one that was kept
    ids: dict[str, str] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)


def import_journal(
    folder: str | os.PathLike[str],
    book: "Ledger",
    *,
    metadata: str | None = None,
    strict: bool = True,
    files: FileSystem | None = None,
) -> Imported:
    """Replay an exported journal into a ledger: one transaction a block, its tables made as they come.

    The ledger gives ids and times of its own; Imported.ids maps the old ids to them. metadata: the name of a field
    that each document gets, with {"id", "version", "txTime", "txId", "hash"} as QLDB had them. What QLDB redacted is
    replayed as {} (with its metadata, if asked for), so that versions stay what they were.

    Everything is read and checked before anything is written. An import that is interrupted all the same is not taken
    up again: remove the ledger and begin anew. Each block waits for the disk; a ledger that was opened with
    durability="checkpoint" does not. Errors as in read_journal; AlreadyExists where the ledger has a table of that name
    already, Invalid where a document is in no known table, or has a field called as `metadata` says.
    """
    names: dict[str, str] = {}  # the name of a table by its id
    for block in read_journal(folder, strict=strict, files=files):
        for revision in block.revisions:
            _check(block, revision, metadata, names)
    taken = sorted({row.name for row in book.tables()} & set(names.values()))
    if taken:
        raise AlreadyExists(f"the ledger has a table {taken[0]} already: import into a new ledger", table=taken[0])
    done = Imported()
    current: dict[str, str] = {}  # the id of the table that has a name now
    for block in read_journal(folder, strict=strict, files=files):
        if not done.blocks:
            done.first_block = block.number
        for revision in block.revisions:
            table, table_id = str(revision.table), str(revision.table_id)
            if current.get(table) != table_id:
                if table in current:
                    book.drop_table(table)  # so QLDB had done, in a block of which there is only a hash
                else:
                    done.tables.append(table)
                book.create_table(table)
                current[table] = table_id
        _replay(block, book, metadata, done.ids)
        done.blocks += 1
        done.revisions += len(block.revisions)
        done.last_block, done.digest = block.number, block.hash
    return done


def _check(block: JournalBlock, revision: Revision, metadata: str | None, names: dict[str, str]) -> None:
    if revision.table is None or revision.table_id is None:
        raise Invalid(
            f"block {block.number} does not say in which table {revision.id} is: it was inserted before this export "
            "begins, so export the journal from its first block on"
        )
    if names.setdefault(revision.table_id, revision.table) != revision.table:
        raise Invalid(f"the table {revision.table_id} has two names: {names[revision.table_id]} and {revision.table}")
    check_table_name(revision.table)
    if metadata is not None and revision.data is not None and metadata in revision.data:
        raise Invalid(f"document {revision.id} has a field {metadata!r} of its own: put the metadata into another")


def _replay(block: JournalBlock, book: "Ledger", metadata: str | None, ids: dict[str, str]) -> None:
    pending = list(block.revisions)
    while pending:
        later, seen = [], set()
        with book.transaction() as tx:
            for revision in pending:
                if revision.id in seen:
                    later.append(revision)  # a transaction here writes one revision of a document
                    continue
                seen.add(revision.id)
                table = str(revision.table)
                if revision.deleted:
                    if revision.id in ids:
                        tx.delete(table, ids[revision.id])
                    continue
                document = dict(revision.data or {})
                if metadata is not None:
                    document[metadata] = {
                        "id": revision.id,
                        "version": revision.version,
                        "txTime": revision.time,
                        "txId": block.transaction,
                        "hash": revision.hash.hex(),
                    }
                if revision.id in ids:
                    tx.update(table, ids[revision.id], document)
                else:
                    ids[revision.id] = tx.insert(table, document)
        pending = later
