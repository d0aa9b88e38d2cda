"""The smallest engine there can be on a Tree and its Log, for their tests."""

from engines.clock import ManualClock
from engines.storage.log import DATA, Log
from engines.storage.tree import Tree

SMALL = 1 << 26  # a map that tests can afford


class Engine:
    """A tree and its log. A frame is: keyspace, 0, key, 0, value; an empty value deletes."""

    def __init__(self, folder, *, files=None, map_size=SMALL, **options):
        self.tree = Tree(f"{folder}/tree", files=files, map_size=map_size)
        self.log = Log(f"{folder}/log", files=files, clock=ManualClock(5), recovered_to=self.tree.applied, **options)
        with self.tree.lock:
            self.replayed = self.tree.recover(self.log, self.apply)

    def put(self, name, key, value):
        payload = b"\0".join((name.encode(), key, value))
        with self.tree.lock:
            return self.tree.write(payload, DATA, lambda _: self._apply(payload))

    def apply(self, frame):
        self._apply(bytes(frame.payload))

    def _apply(self, payload):
        name, key, value = payload.split(b"\0", 2)
        keyspace = self.tree.keyspace(name.decode())
        if value:
            keyspace.put(key, value)
        else:
            keyspace.delete(key)

    def all(self, name="a"):
        return dict(self.tree.keyspace(name).range())

    def close(self, **options):
        self.tree.close(**options)
        self.log.close()
