"""A ledger as a plain dict: every document's revisions, oldest first. What the engine has to agree with."""

import copy


class Ledger:
    """tables: {name: {id: [revision, ...]}}; a revision is a dict, None for a tombstone, "redacted"."""

    def __init__(self):
        self.tables = {}

    def get(self, table, identity):
        revisions = self.tables[table].get(identity)
        return None if revisions is None else revisions[-1]

    def current(self, table):
        last = {identity: revisions[-1] for identity, revisions in self.tables[table].items()}
        return {identity: document for identity, document in last.items() if document is not None}

    def put(self, table, identity, document):
        """A new revision, or (None) a tombstone."""
        self.tables[table].setdefault(identity, []).append(copy.deepcopy(document))

    def redact(self, table, identity, version):
        self.tables[table][identity][version] = "redacted"

    def redactable(self, table):
        """(id, version) of what may be redacted: superseded, and no tombstone."""
        return [
            (identity, version)
            for identity, revisions in self.tables[table].items()
            for version, revision in enumerate(revisions)
            if isinstance(revision, dict) and version < len(revisions) - 1
        ]
