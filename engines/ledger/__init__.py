"""ledger: an immutable, verifiable book. What stands so far is what makes it verifiable.

entry ──> leaf ──> tree ──> root ──> digest, signed        the tree: merkle.py, over `_native/merkle.pyx`
                     └────> path ──> proof ──> verdict     what leaves the house: proof.py, and verify.py beside it
"""

from engines.ledger import merkle
from engines.ledger.merkle import MerkleLog

__all__ = ["MerkleLog", "merkle"]
