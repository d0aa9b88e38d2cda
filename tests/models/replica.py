"""A global table as plain Python sees it: dicts of the last writes, and a hybrid clock a region.

Stamps are tuples (milliseconds, counter, region). What a region has is compared item by item; the larger stamp stays.
"""


class Replica:
    """One region. clock.now() is in microseconds; writes maps a key to (stamp, item), item None where it is deleted."""

    def __init__(self, region, clock, ttl=None):
        self.region, self.clock, self.ttl = region, clock, ttl
        self.writes = {}
        self.seen = (0, 0)

    def tick(self):
        now = self.clock.now() // 1000
        self.seen = (now, 0) if now > self.seen[0] else (self.seen[0], self.seen[1] + 1)
        return (*self.seen, self.region)

    def items(self):
        return {key: item for key, (_, item) in self.writes.items() if item is not None}

    def write(self, items):
        """Of a dict from keys to items, in one moment; what changes nothing is no write."""
        changed = {key: item for key, item in items.items() if self.items().get(key) != item}
        if changed:
            stamp = self.tick()
            self.writes |= {key: (stamp, item) for key, item in changed.items()}

    def expire(self):
        second = self.clock.now() // 1_000_000
        self.write({key: None for key, item in self.items().items() if item.get(self.ttl, second + 1) <= second})

    def pull(self, other):
        """Everything that is newer there; how many that was."""
        newer = {
            key: (stamp, item)
            for key, (stamp, item) in other.writes.items()
            if key not in self.writes or stamp > self.writes[key][0]
        }
        self.writes |= newer
        self.seen = max([self.seen, *(stamp[:2] for stamp, _ in newer.values())])
        return len(newer)


def merged(replicas):
    """What all must have in the end: of each key, the write with the largest stamp."""
    last = {}
    for replica in replicas:
        for key, write in replica.writes.items():
            last[key] = max(last.get(key, write), write, key=lambda pair: pair[0])
    return last
