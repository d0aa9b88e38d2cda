"""How old an answer of an accelerator may be, as plain Python sees it: every state that the table ever had, in order.

A state was current from its own moment to the next one's. A read may show any state that was current within the last
ttl seconds; an item, though, none from before the last write of its key through the accelerator.
"""

from models import kv


class Accelerated(kv.Table):
    """The table, and what readers of it may be shown. ttl, query_ttl: in seconds."""

    def __init__(self, key, clock, ttl_attribute, ttl, query_ttl):
        super().__init__(key, clock, ttl_attribute)
        self.lifetime, self.query_lifetime = ttl * 1_000_000, query_ttl * 1_000_000
        self.states = [(clock.now(), {})]
        self.floors = {}  # key -> the number of the first state that a get may show

    def wrote(self, *keys, through):
        """After a write of these keys."""
        self.states.append((self.clock.now(), dict(self.items)))
        if through:
            self.floors |= dict.fromkeys(keys, len(self.states) - 1)

    def recent(self, lifetime, floor=0):
        """The states that were current within this time, each as a table."""
        ends = [moment for moment, _ in self.states[1:]] + [None]
        for number, ((_, items), end) in enumerate(zip(self.states, ends, strict=True)):
            if number >= floor and (end is None or end > self.clock.now() - lifetime):
                state = kv.Table(self.key, self.clock, self.ttl)
                state.items = items
                yield state

    def items_allowed(self, key):
        return [state.get(key) for state in self.recent(self.lifetime, self.floors.get(key, 0))]

    def pages_allowed(self, partition, *, after=None, limit=None, holds=None):
        """(items that pass, how many were examined) of each state: sort keys are numbers."""
        for state in self.recent(self.query_lifetime):
            found = state.query(partition, None if after is None else lambda sort: sort > after)[:limit]
            yield [item for item in found if holds is None or holds(item)], len(found)
