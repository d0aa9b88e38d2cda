"""ledger: an immutable, verifiable book. What stands so far is what makes it verifiable.

entry ──> leaf ──> tree ──> root ──> digest, signed        the tree: merkle.py, over `_native/merkle.pyx`
                     └────> path ──> proof ──> verdict     what leaves the house: proof.py, and verify.py beside it
"""

from engines.ledger import merkle, partiql
from engines.ledger.appending import Appended
from engines.ledger.canonicaljson import canonical
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
    "verify_consistency",
    "verify_note",
    "verify_proof",
]
