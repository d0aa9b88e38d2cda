"""What happened to the documents, block by block: change streams, and what is new since a digest."""

from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING, Any

from engines.changes import Change
from engines.clock import SystemClock
from engines.errors import Invalid
from engines.ledger import views
from engines.ledger.block import Block, Kind, decode
from engines.ledger.canonicaljson import read
from engines.ledger.ids import show
from engines.ledger.proof import Digest

if TYPE_CHECKING:
    from engines.ledger.ledger import Ledger


def changes(book: "Ledger", after: int, limit: int | None, timeout: float | None, *, follow: bool) -> Iterator[Change]:
    """See Ledger.changes."""
    if type(after) is not int or after < 0:
        raise Invalid(f"after is the number of a block, or 0 for the beginning, got {after!r:.40}")
    with book.tree.lock:
        book.tree.catch_up()
        last = book.state.chain.number
    if after > last:
        raise Invalid(f"the last block is {last}: there is none after {after} yet")
    if book.path is None:
        book.log.sync()
    return _changes(book, after, inf if limit is None else limit, timeout, follow=follow and not book.read_only)


def _changes(book: "Ledger", after: int, limit: float, timeout: float | None, *, follow: bool) -> Iterator[Change]:
    timer = SystemClock().timer  # real time: somebody waits
    until = inf if timeout is None else timer() + timeout
    count = 0
    while True:
        durable = book.log.durable
        for block in durable_blocks(book, after):
            for change in _of_block(book, block):
                yield change
                count += 1
                until = inf if timeout is None else timer() + timeout
            after = block.number
            if count >= limit:
                return
        left = until - timer()
        if not follow or left <= 0 or not book.log.wait(durable, None if left == inf else left):
            return


def durable_blocks(book: "Ledger", after: int) -> Iterator[Block]:
    """The blocks after this number that are on disk."""
    while True:
        with book.tree.lock:
            if after >= book.state.chain.number:
                return
            where = book.state.where(after + 1)
        if where.sequence > book.log.durable:
            return
        found = book.log.read_one(where.sequence)
        yield decode(bytes(found.payload), file=book.log.path_of(where.sequence), offset=where.offset)
        after += 1


def _of_block(book: "Ledger", block: Block) -> Iterator[Change]:
    for entry in block.revisions:
        if entry.kind not in (Kind.REVISION, Kind.TOMBSTONE):
            continue
        old = None
        if entry.version:
            with book.tree.lock:
                before = book.state.revision(entry.table, entry.document, entry.version - 1)
            if before is not None:
                data = None if before[1] else book.state.readable(before[0])
                old = None if data is None else read(data)
        yield Change(
            block.number,
            block.time,
            book.state.tables[entry.table].name,
            "REMOVE" if entry.kind == Kind.TOMBSTONE else "MODIFY" if entry.version else "INSERT",
            (show(entry.document),),
            old,
            None if entry.data is None else read(entry.data),
        )


def revisions(book: "Ledger", since: Digest | None) -> Iterator[dict[str, Any]]:
    """See Ledger.revisions."""
    after = 0 if since is None else views.checked_digest(book, since).block
    book.log.sync()
    for block in durable_blocks(book, after):
        for entry in block.revisions:
            if entry.kind not in (Kind.REVISION, Kind.TOMBSTONE):
                continue
            with book.tree.lock:
                found = book.state.revision(entry.table, entry.document, entry.version)
                where = book.state.where(block.number)
            if found is not None:
                made = views.row(book, entry.document, *found, where)
                yield {"table": book.state.tables[entry.table].name, **made}
