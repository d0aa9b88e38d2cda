"""qldb: what Amazon QLDB has exported, read back: its journal checked to the last hash, and replayed into a ledger.

    from engines.ledger import Ledger, qldb
    for block in qldb.read_journal("export"): print(block.number, block.statements, block.revisions)
    with Ledger("dmv") as book: done = qldb.import_journal("export", book)
    done.ids["8F0TPCmdNQ6JTRpiLj2TmW"]       # what this document is called now
    done.digest                              # compare it with a digest that QLDB gave

Where to read: journal.py (files, blocks, hashes), replay.py (into a ledger), ion.py (values and their hash), text.py
and binary.py (the two forms of Ion).
"""

from engines.ledger.qldb.journal import JournalBlock, Revision, dot, merkle_root, read_journal
from engines.ledger.qldb.replay import Imported, import_journal

__all__ = ["Imported", "JournalBlock", "Revision", "dot", "import_journal", "merkle_root", "read_journal"]
