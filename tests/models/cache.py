"""The cache as a dict with expiries, and the two orders of eviction that are exact, as lists. No limit, no sizes.

A key that has expired is not there. What Redis calls an error is a KeyError here.
"""


class Model:
    """now: milliseconds, moved by the test."""

    def __init__(self, now=0):
        self.now = now
        self.found = {}  # key -> (value, expires in ms, 0 for never)

    def live(self):
        return {key: value for key, (value, expires) in self.found.items() if not expires or expires > self.now}

    def expires(self, key):
        return self.found[key][1] if key in self.live() else 0

    def get(self, key, default=None):
        return self.live().get(key, default)

    def set(self, key, value, *, ttl=None, nx=False, xx=False, keep_ttl=False):
        if (nx and key in self.live()) or (xx and key not in self.live()):
            return False
        expires = self.expires(key) if keep_ttl else 0
        self.found[key] = value, expires if ttl is None else self.now + ttl * 1000
        return True

    def delete(self, *keys):
        gone = set(keys) & set(self.live())
        for key in keys:
            self.found.pop(key, None)
        return len(gone)

    def exists(self, *keys):
        return sum(key in self.live() for key in keys)

    def expire(self, key, ttl):
        if key not in self.live():
            return False
        self.found[key] = self.get(key), self.now + ttl * 1000
        return True

    def persist(self, key):
        had = self.expires(key) > 0
        if had:
            self.found[key] = self.get(key), 0
        return had

    def ttl(self, key):
        if key not in self.live():
            raise KeyError(key)
        return (self.expires(key) - self.now) / 1000 if self.expires(key) else None

    def incr(self, key, by=1):
        value = self.get(key, 0)
        if type(value) is not int:
            raise KeyError(key)
        self.set(key, value + by, keep_ttl=True)
        return value + by

    def append(self, key, text):
        value = self.get(key, "")
        if type(value) is not str:
            raise KeyError(key)
        self.set(key, value + text, keep_ttl=True)
        return len(value + text)

    def getset(self, key, value):
        old = self.get(key)
        self.set(key, value)
        return old


class Lru:
    """The least recently used goes."""

    def __init__(self, room):
        self.room, self.order, self.gone = room, [], []  # oldest first

    def hit(self, key):
        self.order.remove(key)
        self.order.append(key)

    def set(self, key):
        if key in self.order:
            self.hit(key)
            return
        if len(self.order) == self.room:
            self.gone.append(self.order.pop(0))
        self.order.append(key)

    def delete(self, key):
        self.order.remove(key)


class Sieve(Lru):
    """The oldest goes, but who was hit since the hand last came by is spared once."""

    def __init__(self, room):
        super().__init__(room)
        self.visited, self.hand = set(), None

    def hit(self, key):
        self.visited.add(key)

    def after(self, key):
        """The next newer one; the oldest after the newest."""
        return self.order[(self.order.index(key) + 1) % len(self.order)]

    def set(self, key):
        if key in self.order:
            self.hit(key)
            return
        if len(self.order) == self.room:
            at = self.order[0] if self.hand is None else self.hand
            while at in self.visited:
                self.visited.remove(at)
                at = self.after(at)
            self.gone.append(at)
            self.hand = at
            self.delete(at)
        self.order.append(key)

    def delete(self, key):
        if self.hand == key:
            self.hand = None if key == self.order[-1] else self.after(key)
        self.order.remove(key)
        self.visited.discard(key)
