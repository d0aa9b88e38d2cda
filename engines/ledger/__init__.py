"""ledger: a book of documents that nobody can change unseen, the class of Amazon QLDB, which ended in 2025.

    book = ledger.Ledger("dmv")
    book.create_table("Vehicle", indexes=["VIN"])
    with book.transaction() as tx: vid = tx.insert("Vehicle", {"VIN": "1N4AL", "Year": 2011})
    book.execute("UPDATE Vehicle AS v SET v.Year = 2012 WHERE v.VIN = ?", "1N4AL")
    digest = book.digest()                                # keep it elsewhere
    proof = book.prove("Vehicle", vid, version=0, digest=digest)
    assert ledger.verify_proof(proof, digest)             # so can verify.py, without this package

    transaction ──> block ──> log/     one frame: each block carries the hash of the one before
                      ├─────> hashes/  a leaf for each entry: one root over all of them
                      └─────> tree/    what is current, what was, the indexes: made from the blocks, whenever need be

    entry    kind | table | document | version | length | block | time | transaction | SHA-256(02 | salt | data)
    block    head | statements | entries | (salt | canonical JSON) ... | trailer: root, hash before      block.py
    leaf     SHA-256(00 | entry)       node SHA-256(01 | left | right)       RFC 6962, RFC 9162          merkle.py

Where to read
    a user's ledger     ledger.py                         what makes it provable   block, merkle, proof, note.py
    a transaction       transaction.py                    without this package     verify.py
    many documents      appending.py                      is all of it whole?      audit.py
    tables, indexes     catalogue.py, state.py            what may be forgotten    redact.py
    statements          statements.py, partiql/           what leaves, comes in    exchange.py, tiles.py, snapshots.py
    reading, history    views.py, streams.py, results.py  other people's forms     documents.py, qldb/
    small things        ids.py, pictures.py, inside.py    kernels                  _native/ledgerblock, merkle*, canon

Where we differ from QLDB
* JSON's values instead of Ion's: no decimals, timestamps are texts; a document hashes as its one canonical text (RFC
  8785). What JSON cannot hold exactly is refused.
* One tree of RFC 6962 over the whole ledger instead of hashes combined in sorted order: a proof binds a place, and two
  digests can be compared (prove_consistency): yesterday's ledger is the beginning of today's.
* A digest can be signed, as C2SP's checkpoints are. Redaction leaves every proof as it was, because data is hashed with
  a salt, apart from its entry.
* No limits of 40 documents a transaction, 128 KB a document, 5 indexes. A document is at most 16 MB, a block 64 MB.
* The optimistic protocol is QLDB's: who reads what another has changed gets a Conflict, and run() tries again.
* In this process, on one folder: no server, no streams to Kinesis (changes() is the stream), no permissions.

Pitfalls: a digest proves nothing while it lies beside the ledger: keep it elsewhere. Pass values as `?`: texts of
statements are kept for ever. A statement without an index that serves reads the table, and conflicts with every write
to it. What was handed out, exported or kept in snapshots is out of the reach of redact().
"""

from engines.ledger import merkle, partiql
from engines.ledger.appending import Appended
from engines.ledger.canonicaljson import canonical
from engines.ledger.federation import table_source
from engines.ledger.ledger import Ledger
from engines.ledger.merkle import MerkleLog
from engines.ledger.note import Ed25519Signer
from engines.ledger.proof import (
    ConsistencyProof,
    Digest,
    Proof,
    Verdict,
    verify_consistency,
    verify_note,
    verify_proof,
)

__all__ = [
    "Appended",
    "ConsistencyProof",
    "Digest",
    "Ed25519Signer",
    "Ledger",
    "MerkleLog",
    "Proof",
    "Verdict",
    "canonical",
    "merkle",
    "partiql",
    "table_source",
    "verify_consistency",
    "verify_note",
    "verify_proof",
]
