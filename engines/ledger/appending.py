"""Many documents at once: append() makes blocks of them, and waits for the disk once, at the end.

Nothing is read, so nothing can conflict; the next block is made while the log still holds the one before.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engines.errors import Closed, EngineError, Invalid, Poisoned, TooLarge
from engines.ledger.block import Draft
from engines.ledger.canonicaljson import encoded, read
from engines.ledger.ids import ID_BYTES, document_ids, new_transaction_id
from engines.ledger.results import Ids
from engines.ledger.transaction import Key, value_keys

if TYPE_CHECKING:
    from engines.ledger.ledger import Ledger

BLOCK_DOCUMENTS: Final = 4096
BLOCK_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Appended:
    """What append() has written: how many documents, in which blocks, under which ids.

    Of no documents there are no blocks: last_block is then one less than first_block.
    """

    count: int
    first_block: int
    last_block: int
    ids: Ids


def append(book: "Ledger", table: str, documents: Iterable[Mapping[str, Any] | bytes]) -> Appended:
    """See Ledger.append."""
    book.check_writable()
    with book.tree.lock:
        number = book.state.table(table).number
    if isinstance(documents, Mapping | bytes | str) or not isinstance(documents, Iterable):
        raise Invalid("append takes an iterable of documents; for one of them: append(table, [document])")
    ids = bytearray()
    blocks: list[int] = []
    sequence = 0
    try:
        for batch in _batches(documents):
            raw = new_transaction_id(book.clock)
            made = document_ids(raw, 1, len(batch))
            draft = Draft(raw)
            draft.add_documents(number, made, batch)
            payload = draft.pack()
            with book.tree.lock:
                book.tree.catch_up()
                book.state.table(table)  # NotFound where it was dropped meanwhile
                if book.recent.anybody:
                    book.recent.note(book.state.chain.number + 1, _touched(book, number, batch))
                sequence = book.take(payload, len(batch))
                blocks.append(book.state.chain.number)
            ids += made
            book.checkpoint_if_due()
    except BaseException as error:
        if not isinstance(error, Poisoned | Closed):
            book.log.acknowledge(sequence)
        if isinstance(error, EngineError):
            error.details["appended"] = len(ids) // ID_BYTES
        else:
            error.add_note(f"{len(ids) // ID_BYTES} documents are in the ledger")
        raise
    book.log.acknowledge(sequence)
    last = book.state.chain.number
    return Appended(len(ids) // ID_BYTES, blocks[0] if blocks else last + 1, blocks[-1] if blocks else last, Ids(ids))


def _batches(documents: Iterable[Mapping[str, Any] | bytes]) -> Iterator[list[bytes]]:
    """Canonical texts, as many as go into a block."""
    batch: list[bytes] = []
    size = 0
    for number, document in enumerate(documents):
        try:
            data = checked(document) if isinstance(document, bytes) else encoded(document)
        except (Invalid, TooLarge) as error:
            error.args = (f"document {number} (from 0): {error}",)
            raise
        batch.append(data)
        size += len(data)
        if len(batch) == BLOCK_DOCUMENTS or size >= BLOCK_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _touched(book: "Ledger", table: int, batch: list[bytes]) -> frozenset[Key]:
    """What open transactions may have read. Under the lock."""
    keys: set[Key] = {Key("table", table)}
    indexes = book.state.tables[table].indexes
    if indexes:
        for data in batch:
            keys |= value_keys(indexes, data)
    return frozenset(keys)


def checked(data: bytes) -> bytes:
    """Bytes that are said to be a document's canonical JSON. Invalid if they are not."""
    value = read(data)
    if not isinstance(value, dict) or encoded(value) != data:
        raise Invalid(
            "bytes are taken as a document's canonical JSON (RFC 8785), and these are not: ledger.canonical(document) "
            f"makes them; got {data[:60]!r}"
        )
    return data
