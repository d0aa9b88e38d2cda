"""A change stream in a list: what every engine's changes() has to behave like."""

import threading

from engines.changes import Change
from engines.errors import Trimmed


class Journal:
    """Items by key; every put and remove is a change. A transaction is one sequence of several changes."""

    def __init__(self):
        self.items = {}
        self.log = []
        self.sequence = 0
        self.oldest = 1
        self._news = threading.Condition()

    def write(self, *pairs):
        """Put each (key, item), or remove the key where the item is None: all of it under one sequence."""
        with self._news:
            self.sequence += 1
            for key, item in pairs:
                old = self.items.pop(key, None)
                if item is not None:
                    self.items[key] = item
                kind = "REMOVE" if item is None else "MODIFY" if old else "INSERT"
                self.log.append(Change(self.sequence, self.sequence * 10, "t", kind, (key,), old, item))
            self._news.notify_all()

    def trim(self, before):
        self.oldest = before
        self.log = [change for change in self.log if change.sequence >= before]

    def changes(self, after=0, *, limit=None, follow=False, timeout=None):
        if after < self.oldest - 1:
            raise Trimmed(
                f"changes before {self.oldest} are no longer kept, {after + 1} was asked for", oldest=self.oldest
            )
        count = 0
        while limit is None or count < limit:
            with self._news:
                waiting = [change for change in self.log if change.sequence > after]
                if not waiting and not (follow and self._news.wait(timeout)):
                    return
            for change in waiting[: None if limit is None else limit - count]:
                after, count = change.sequence, count + 1
                yield change
