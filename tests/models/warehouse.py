"""A warehouse as plain dicts of lists: rows in the order they came, transactions and snapshots as copies.

What the storage has to agree with, but for the order of rows.
"""


class Warehouse:
    """tables: {name: (row, ...)}; snapshots: {name: tables}. A transaction works on a copy until it commits."""

    def __init__(self):
        self.tables = {}
        self.snapshots = {}
        self._before = None

    def begin(self):
        assert self._before is None
        self._before = dict(self.tables)

    def commit(self):
        self._before = None

    def rollback(self):
        self.tables, self._before = self._before, None

    def create(self, table):
        self.tables[table] = ()

    def drop(self, table):
        del self.tables[table]

    def append(self, table, rows):
        self.tables[table] += tuple(rows)

    def delete(self, table, doomed):
        """How many rows went; doomed says which."""
        left = tuple(row for row in self.tables[table] if not doomed(row))
        gone = len(self.tables[table]) - len(left)
        self.tables[table] = left
        return gone

    def update(self, table, chosen, change):
        self.tables[table] = tuple(change(row) if chosen(row) else row for row in self.tables[table])

    def truncate(self, table):
        self.tables[table] = ()

    def snapshot(self, name):
        self.snapshots[name] = dict(self.tables if self._before is None else self._before)

    def drop_snapshot(self, name):
        del self.snapshots[name]

    def restore_table(self, name, table, to):
        self.tables[to] = self.snapshots[name][table]

    def state(self):
        """Comparable: rows as sorted lists."""
        return shown(self.tables), {name: shown(tables) for name, tables in self.snapshots.items()}


def shown(tables):
    return {name: sorted(rows) for name, rows in tables.items()}
