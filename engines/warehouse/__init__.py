"""A columnar warehouse: tables as row groups of encoded column blocks, a leader and compute nodes, snapshots."""
