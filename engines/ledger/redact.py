"""Redaction: the data of a revision goes, its hash and every proof about it stay.

    1  a block with an entry of kind redaction: who asks later finds when it was, and a proof of it
    2  a checkpoint: from here on nothing in the tree is made from the data any more
    3  salt and data are erased in the journal, file and all (storage/erasure.py)

After a crash between 1 and 3 the ledger erases when it is opened: `erasing` in the tree names what is due. Only
revisions that are no longer current can go: those have no rows in an index.
"""

from typing import TYPE_CHECKING

from engines.errors import Invalid
from engines.ledger import views
from engines.ledger.block import SALT_BYTES, Draft, Kind
from engines.ledger.canonicaljson import canonical
from engines.ledger.ids import new_transaction_id
from engines.ledger.transaction import Key

if TYPE_CHECKING:
    from engines.ledger.ledger import Ledger


def redact(book: "Ledger", table: str, document: str, version: int) -> int:
    """See Ledger.redact."""
    if type(version) is not int:
        raise Invalid(f"version is the number of a revision, from 0, got {version!r:.40}")
    with book.redacting:
        with book.tree.lock:
            book.tree.catch_up()
            found, raw, place, gone = views.revision(book, table, document, version)
            if not gone:
                current = book.state.place(found.number, raw)
                if current is not None and current.version == version:
                    raise Invalid(
                        f"version {version} of {document} is the current one: supersede or delete it first",
                        id=document,
                        version=version,
                    )
                if not place.length:
                    raise Invalid(f"version {version} of {document} is a tombstone: there is nothing to redact")
                draft = Draft(new_transaction_id(book.clock))
                said = {"id": document, "leaf": place.leaf, "table": found.name, "version": version}
                draft.add(Kind.REDACTION, found.number, raw, version, canonical(said))
                gone = book.state.chain.number + 1
                if book.recent.anybody:  # they may have read the data, in the history
                    touched = {Key("document", found.number, raw), Key("table", found.number)}
                    book.recent.note(gone, frozenset(touched))
                book.take(draft.pack(), 1)
        book.log.sync()
        book.checkpoint()
        erase(book)
        return gone


def finish(book: "Ledger") -> None:
    """After a crash: erase what was to be erased."""
    with book.redacting:
        erase(book)


def erase_due(book: "Ledger") -> None:
    """Under `redacting`, before data is copied: finish what was interrupted, as far as this ledger may write."""
    if not book.read_only:
        erase(book)


def erase(book: "Ledger") -> None:
    """Under `redacting`: erase all that is due."""
    while True:
        with book.tree.lock:
            first = book.state.erasing.first()
            if first is None:
                return
            key = first[0]
            place = book.state.redacted(key)
            where = book.state.where(place.block)
        if not book.state.erased(place):
            book.log.erase(place.sequence, [(place.offset - SALT_BYTES - where.offset, SALT_BYTES + place.length)])
        with book.tree.lock:
            book.tree.catch_up()
            book.state.erasing.delete(key)
