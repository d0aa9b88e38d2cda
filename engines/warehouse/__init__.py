"""A columnar warehouse: tables as row groups of encoded column blocks, a leader and compute nodes, snapshots."""

from engines.warehouse.snapshot import AutoSnapshot, Snapshot
from engines.warehouse.warehouse import Warehouse

__all__ = ["AutoSnapshot", "Snapshot", "Warehouse"]
