"""A log and a tree in plain Python: a list of what happened, and what follows from it.

A frame is a list of changes: (keyspace, key, value) puts, (keyspace, key, None) deletes, (keyspace,) drops.
"""


class Ground:
    def __init__(self):
        self.frames = {}  # sequence -> (time, changes); the log's own notes are not told, so they are not here
        self.last = self.written = self.durable = self.checkpointed = 0
        self.time = 0

    def write(self, now, changes):
        """One frame; its sequence."""
        self.time = max(self.time, now)  # times never decrease
        self.last += 1
        self.frames[self.last] = (self.time, changes)
        return self.last

    def note(self, now):
        """A frame of the log's own."""
        self.time = max(self.time, now)
        self.last += 1

    def sync(self):
        self.written = self.durable = self.last

    def crash(self, last):
        """All after this sequence never happened."""
        self.frames = {sequence: frame for sequence, frame in self.frames.items() if sequence <= last}
        self.last = self.written = self.durable = last
        self.time = max((time for time, _ in self.frames.values()), default=0)

    def state(self, upto=None):
        """keyspace -> {key: value} after the frames up to this sequence."""
        found = {}
        for sequence, (_, changes) in self.frames.items():
            if upto is not None and sequence > upto:
                break
            for name, *entry in changes:
                if not entry:
                    found.pop(name, None)
                elif entry[1] is None:
                    found.setdefault(name, {}).pop(entry[0], None)
                else:
                    found.setdefault(name, {})[entry[0]] = entry[1]
        return found
