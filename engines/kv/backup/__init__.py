"""The past of a store: restore to a moment, snapshots, export and import. restore.py is where to begin."""
