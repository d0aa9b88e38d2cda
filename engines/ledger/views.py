"""Reading a ledger: documents, their history, and what is proved about them.

A row of history() and of _ql_committed_ tables, with QLDB's names:

    {"blockAddress": {"strandId": the ledger's id, "sequenceNo": the block}, "hash": base64 of the leaf hash,
     "data": {...}, "metadata": {"id", "version", "txTime", "txId"}}

data is absent for a tombstone, and for a redacted revision; that has "dataHash" instead, base64 of what was hashed.
"""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeAlias

from engines._native.ledgerblock import TRAILER_BYTES
from engines.errors import Corrupted, Invalid, NotFound
from engines.ledger.canonicaljson import read
from engines.ledger.ids import parse, show
from engines.ledger.proof import ConsistencyProof, Digest, Proof, read_digest
from engines.ledger.results import EPOCH, Result, iso
from engines.ledger.state import Place, TableState, Where

if TYPE_CHECKING:
    from engines.ledger.ledger import Ledger

Moment: TypeAlias = datetime | str | int
DigestLike: TypeAlias = Digest | str | Mapping[str, Any]  # the digest, its JSON, or the fields of that


# -- documents --------------------------------------------------------------------------------------------------------


def get(book: "Ledger", table: str, document: str, version: int | None) -> dict[str, Any] | None:
    """See Ledger.get."""
    if not isinstance(document, str):
        raise Invalid(f"an id is a text of 22 letters and digits, such as insert() answers, got {document!r:.60}")
    raw = parse(document)
    with book.tree.lock:
        if version is None:
            number = book.state.table(table).number
            place, gone = (None if raw is None else book.state.place(number, raw)), 0
        else:
            _, _, place, gone = revision(book, table, document, version)
    return None if place is None or gone or not place.length else read(book.state.data(place))


def any_table(book: "Ledger", name: str) -> TableState:
    """Under the lock: the table of this name; if it was dropped, the one that was dropped last. NotFound."""
    dropped = [table for table in book.state.tables.values() if table.dropped and table.name == name]
    last = max(dropped, key=lambda table: table.changed, default=None)
    return last if last is not None and name not in book.state.names else book.state.table(name)


def _found(book: "Ledger", table: str, number: int, document: str, version: int | None) -> tuple[Place, int]:
    """Under the lock: a revision (None: the latest), and the block that redacted it or 0. NotFound."""
    raw = parse(document)
    found = book.state.revision(number, raw, version) if raw is not None and type(version) is int else None
    if found is not None:
        return found
    revisions = [] if raw is None else book.state.revisions(number, raw)
    if not revisions:
        raise NotFound(f"there is and was no document {document!r:.60} in {table}", table=table, id=document)
    if version is None:
        return revisions[-1]
    raise NotFound(
        f"document {document} of {table} has versions 0 to {revisions[-1][0].version}, got {version!r:.40}",
        table=table,
        id=document,
        version=version,
    )


def revision(book: "Ledger", table: str, document: str, version: int | None) -> tuple[TableState, bytes, Place, int]:
    """Under the lock: the table, the document's bytes, where the revision is, the block that redacted it. NotFound."""
    found = any_table(book, table)
    place, gone = _found(book, table, found.number, document, version)
    return found, parse(document) or b"", place, gone


# -- history ----------------------------------------------------------------------------------------------------------


def history(book: "Ledger", table: str, document: str | None, start: Moment | None, end: Moment | None) -> Result:
    """See Ledger.history."""
    with book.tree.lock:
        found = any_table(book, table)
    low = None if start is None else microseconds(start)
    high = None if end is None else microseconds(end)
    check_bounds(low, high)
    raw = None if document is None else parse(document)
    if document is not None and raw is None:
        return Result([], title=f"history of {table}")
    ids = book.state.ever(found.number) if raw is None else iter([raw])
    rows = [row for each in ids for row in rows_of(book, found.number, each, low, high)]
    return Result(rows, title=f"history of {table}")


def check_bounds(low: int | None, high: int | None) -> None:
    """Invalid where a start, in microseconds, is after its end."""
    if low is not None and high is not None and low > high:
        raise Invalid(f"start is not after end, got {iso(low)} and {iso(high)}")


def rows_of(
    book: "Ledger", table: int, raw: bytes, low: int | None = None, high: int | None = None
) -> list[dict[str, Any]]:
    """A document's revisions as rows, oldest first: those that were current at some time from low to high."""
    with book.tree.lock:
        found = [(place, gone, book.state.where(place.block)) for place, gone in book.state.revisions(table, raw)]
    rows = []
    for i, (place, gone, where) in enumerate(found):
        until = found[i + 1][2].time if i + 1 < len(found) else None
        if (high is not None and where.time > high) or (low is not None and until is not None and until <= low):
            continue
        rows.append(row(book, raw, place, gone, where))
    return rows


def row(book: "Ledger", raw: bytes, place: Place, gone: int, where: Where) -> dict[str, Any]:
    """One revision as a row."""
    made: dict[str, Any] = {
        "blockAddress": {"strandId": book.ledger_id, "sequenceNo": place.block},
        "hash": base64.b64encode(book.merkle.leaf(place.leaf)).decode(),
    }
    if gone:
        made["dataHash"] = base64.b64encode(book.state.entry(place, where)[64:]).decode()
    elif place.length:
        if book.read_only and book.state.erased(place):  # by the process that writes, after the checkpoint that is read
            made["dataHash"] = base64.b64encode(book.state.entry(place, where)[64:]).decode()
        else:
            made["data"] = read(book.state.data(place))
    made["metadata"] = {
        "id": show(raw),
        "version": place.version,
        "txTime": iso(where.time),
        "txId": show(where.transaction),
    }
    return made


def microseconds(moment: Moment) -> int:
    """A moment in microseconds since 1970. Invalid if it is none; a datetime or text without a zone is UTC."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            raise Invalid(f"a moment is a datetime, an ISO 8601 text or microseconds, got {moment!r:.60}") from None
    if isinstance(moment, datetime):
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return (aware - EPOCH) // timedelta(microseconds=1)
    if type(moment) is not int:
        raise Invalid(f"a moment is a datetime, an ISO 8601 text or microseconds since 1970, got {moment!r:.60}")
    return moment


# -- proofs -----------------------------------------------------------------------------------------------------------


def digest(book: "Ledger") -> Digest:
    """See Ledger.digest."""
    with book.tree.lock:
        book.tree.catch_up()
        chain = book.state.chain
        made = Digest(book.origin, chain.leaves, book.merkle.root(chain.leaves), chain.number, chain.time)
        sequence = book.log.last
    book.log.sync(sequence)  # a digest that a crash could take back would accuse an honest ledger
    return made if book.signer is None else made.signed(book.signer)


def checked_digest(book: "Ledger", given: DigestLike | None) -> Digest:
    """A digest of this ledger (None: of now). Invalid where it is of another, or of a future, or on no such chain."""
    if given is None:
        return digest(book)
    made = read_digest(given)
    if made.origin != book.origin:
        raise Invalid(f"the digest is of {made.origin}, this is {book.origin}")
    with book.tree.lock:
        book.tree.catch_up()
        size = book.state.chain.leaves
        if made.size > size:
            raise Invalid(f"the digest is about {made.size} leaves, this ledger has {size}: is it an older copy?")
        root = book.merkle.root(made.size)
    if root != made.root:
        raise Invalid(
            f"the digest has another root over {made.size} leaves than this ledger: one of the two is not what it says "
            "to be; verify(against=) shows more"
        )
    book.log.sync()
    return made


def prove(book: "Ledger", table: str, document: str, version: int | None, given: DigestLike | None) -> Proof:
    """See Ledger.prove."""
    about = checked_digest(book, given)
    with book.tree.lock:
        _, _, place, gone = revision(book, table, document, version)
        where = book.state.where(place.block)
    _covered(about, place.leaf, f"version {place.version} of {document} is in block {place.block}")
    entry = book.state.entry(place, where)
    salt = data = None
    if place.length and not gone:
        data = book.state.data(place).decode()
        salt = book.state.salt(place)
    return _proved(book, about, place.leaf, entry, salt, data)


def prove_block(book: "Ledger", number: int, given: DigestLike | None) -> Proof:
    """See Ledger.prove_block."""
    about = checked_digest(book, given)
    with book.tree.lock:
        where = book.state.where(number)
    trailer = book.log.pread(where.sequence, where.offset + where.length - TRAILER_BYTES, TRAILER_BYTES)
    leaf = where.first_leaf + int.from_bytes(trailer[4:8], "little")
    _covered(about, leaf, f"it ends before block {number}")
    return _proved(book, about, leaf, trailer, None, None)


def _covered(about: Digest, leaf: int, what: str) -> None:
    if leaf >= about.size:
        raise Invalid(
            f"the digest does not contain that yet: it is about {about.size} leaves, and {what}: take a new one"
        )


def _proved(  # noqa: PLR0917 - what a proof consists of
    book: "Ledger", about: Digest, leaf: int, entry: bytes, salt: bytes | None, data: str | None
) -> Proof:
    if sha256(b"\0" + entry).digest() != book.merkle.leaf(leaf):
        raise Corrupted(
            f"what the journal holds for leaf {leaf} is not what was hashed: verify() says where it differs"
        )
    path = tuple(book.merkle.prove(leaf, about.size))
    return Proof(book.origin, about.size, leaf, entry, salt, data, path)


def prove_consistency(book: "Ledger", old: DigestLike, new: DigestLike | None) -> ConsistencyProof:
    """See Ledger.prove_consistency."""
    before, after = checked_digest(book, old), checked_digest(book, new)
    if before.size > after.size:
        raise Invalid(f"the old digest is about {before.size} leaves, the new one about {after.size}: exchange them")
    if not before.size:
        raise Invalid("the old digest is of an empty ledger: about that nothing can be proved")
    path = tuple(book.merkle.prove_consistency(before.size, after.size))
    return ConsistencyProof(book.origin, before.size, after.size, path)
