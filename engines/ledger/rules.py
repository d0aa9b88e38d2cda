"""What a ledger writes, and what it never does: the rules that an imported book is held to, block by block.

    revision 0     of a document that was never there       revision n     follows n - 1, which is no tombstone
    a document     has one entry in a block                 data           is a JSON object, at most 16 MB
    a redaction    is of a revision that is no longer current, has data, and is redacted once; what is blank is redacted
    the catalogue  numbers tables and indexes in their order, each name is one table's

Hashes and chain say that a block is what somebody wrote; these, that a ledger would have written it. Everything here is
asked of the tree as it stands before the block.
"""

from typing import TYPE_CHECKING, Any

from engines.errors import Invalid
from engines.ledger.block import Block, Entry, Kind
from engines.ledger.canonicaljson import DOCUMENT_BYTES, read
from engines.ledger.catalogue import check_table_name

if TYPE_CHECKING:
    from engines.ledger.state import State

ACTIONS = {
    "create table": {"action", "name"},
    "drop table": {"action"},
    "undrop table": {"action"},
    "create index": {"action", "index", "path"},
    "drop index": {"action", "index"},
}


class Rules:
    """Holds blocks against the rules, one after the other. Under the tree's lock."""

    def __init__(self, state: "State") -> None:
        self._state = state
        self.blank: set[tuple[int, bytes, int]] = set()  # table, document, version: no data, and no redaction yet

    def check(self, block: Block, blank: list[int]) -> None:
        """Invalid says what no ledger would have written. blank: which entries have no data any more."""
        seen: set[tuple[int, bytes]] = set()
        made: list[dict[str, Any]] = []  # what this block's entries of the catalogue say
        for i, entry in enumerate(block.revisions):
            where = f"entry {i} of block {block.number}"
            if entry.kind == Kind.CATALOGUE:
                made.append(self._catalogue(entry, made, where))
            elif entry.table not in self._state.tables:
                raise Invalid(f"{where} is of a table that is not there")
            elif entry.kind == Kind.REDACTION:
                self._redaction(entry, where)
            else:
                if (entry.table, entry.document) in seen:
                    raise Invalid(f"{where} is the second of one document")
                seen.add((entry.table, entry.document))
                self._revision(entry, where)
                if i in blank:
                    self.blank.add((entry.table, entry.document, entry.version))
        if made and (seen or len(made) < block.count):
            raise Invalid(f"block {block.number} is of the catalogue and of documents")

    def end(self) -> None:
        """Invalid if data is gone that no block redacts."""
        if self.blank:
            raise Invalid(f"the data of {len(self.blank)} revisions is missing, and no block redacts it")

    def _revision(self, entry: Entry, where: str) -> None:
        state = self._state
        if state.tables[entry.table].dropped:
            raise Invalid(f"{where} is of a table that is dropped")
        before = state.place(entry.table, entry.document)
        if entry.version == 0:
            if entry.kind == Kind.TOMBSTONE or state.revisions(entry.table, entry.document):
                raise Invalid(f"{where} is version 0 of a document that was there before, or a tombstone of none")
        elif before is None or before.version != entry.version - 1:
            raise Invalid(f"{where} is version {entry.version} of a document that has no version before it")
        if entry.data is not None:
            if len(entry.data) > DOCUMENT_BYTES:
                raise Invalid(f"{where} has {len(entry.data):,} bytes, a document at most {DOCUMENT_BYTES:,}")
            if not isinstance(read(entry.data), dict):
                raise Invalid(f"{where} is no document: its data is no JSON object")

    def _redaction(self, entry: Entry, where: str) -> None:
        found = self._state.revision(entry.table, entry.document, entry.version)
        current = self._state.place(entry.table, entry.document)
        if found is None or found[1] or not found[0].length or found[0] == current:
            raise Invalid(f"{where} redacts what cannot be: a revision that is current, a tombstone, gone or not there")
        self.blank.discard((entry.table, entry.document, entry.version))

    def _catalogue(self, entry: Entry, made: list[dict[str, Any]], where: str) -> dict[str, Any]:
        """What the entry says, if it follows from the tables before it and from this block's entries before it."""
        try:
            said = read(entry.data or b"null")
            action = said["action"]
            table = self._state.tables.get(entry.table)
            fits = set(said) == ACTIONS[action]
            if action == "create table":
                check_table_name(said["name"])
                fits = fits and not made and entry.version == 0 and said["name"] not in self._state.names
                fits = fits and entry.table == self._state.next_table()
            elif made:  # a table and its indexes are made in one block
                fits = fits and made[0]["action"] == "create table" and action == "create index"
                fits = fits and entry.table == self._state.next_table() and entry.version == len(made)
            else:
                fits = fits and table is not None and entry.version == table.version + 1 and entry.document == table.id
            if action == "create index":
                indexes = self._state.chain.indexes + sum("index" in each for each in made)
                fits = fits and type(said["index"]) is int and said["index"] == indexes + 1 and _is_path(said["path"])
            elif action == "drop index" and table is not None:
                fits = fits and said["index"] in table.indexes
            elif table is not None and action != "create table":
                fits = fits and table.dropped is (action == "undrop table")
                fits = fits and not (action == "undrop table" and table.name in self._state.names)
        except (KeyError, TypeError, Invalid) as error:
            raise Invalid(f"{where} is no entry of a catalogue: {error}") from None
        if not fits:
            raise Invalid(f"{where} of the catalogue does not follow from those before it")
        return {str(name): value for name, value in said.items()}


def _is_path(path: Any) -> bool:  # noqa: ANN401 - from anywhere
    """Whether an index can be on this."""
    steps = path if isinstance(path, list) else []
    return bool(steps) and all(isinstance(step, str) or (type(step) is int and step >= 0) for step in steps)
