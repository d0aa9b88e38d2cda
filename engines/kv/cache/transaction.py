"""Transactions of the cache: commands are queued, then run together, and nobody sees them half done.

    with cache.transaction("stock") as transaction:          # watch: Conflict if "stock" changes from here on
        if int(cache.get("stock")) > 0:                      # read it
            transaction.incr("stock", -1)                    # queued: nothing has happened yet
            transaction.rpush("orders", 17)
    transaction.results                                      # [4, 1]

The block's end runs the queue under the cache's lock, as one frame of the journal: after a crash all of it is there or
nothing. A block that raises runs nothing. Watching is optimistic: nobody waits, and who comes second starts over.

As in Redis, and unlike a database, there is no going back: a command that is refused has done nothing, the others of
the queue run all the same, and the first refusal is raised at the end; `results` holds the others' answers.

A watched key counts as changed when any command recorded something for it, its expiry and eviction included, even if
it is again as it was.
"""

import contextlib
from collections.abc import Callable
from functools import cached_property
from typing import Any, Self

from engines.errors import Conflict, EngineError, Invalid
from engines.kv.cache.commands import READS, WRITES, keys_of
from engines.kv.cache.hooks import Containers, Key


class Transaction:
    """A queue of commands: each method of the cache that takes a key is one here, and returns nothing."""

    def __init__(self, cache: "Transactions", watched: tuple[Key, ...]) -> None:
        self.results: list[Any] = []
        self._cache = cache
        self._queue: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._changed: Key | None = None
        self._spoilt = False
        self._open = True
        self.watch(*watched)

    def watch(self, *keys: Key) -> None:
        """Conflict at the end if one of these keys changes from now on."""
        self._check_open()
        self._cache._watch(self, keys)  # noqa: SLF001 - one design in two classes

    def discard(self) -> None:
        """Forget the queue and what is watched; the transaction goes on."""
        self._check_open()
        self._queue.clear()
        self._cache._unwatch(self)  # noqa: SLF001 - one design in two classes
        self._spoilt = False

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name not in READS and name not in WRITES:
            raise AttributeError(f"a transaction has no command {name!r}")

        def queue(*arguments: Any, **options: Any) -> None:  # noqa: ANN401 - the command's own
            self._check_open()
            self._queue.append((name, arguments, options))

        return queue

    def spoil(self, key: Key) -> None:
        """Note that a watched key has changed (called by the cache)."""
        if not self._spoilt:
            self._spoilt, self._changed = True, key

    def __len__(self) -> int:
        """How many commands are queued."""
        return len(self._queue)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._open = False
        try:
            if kind is None:
                self._run()
        finally:
            self._cache._unwatch(self)  # noqa: SLF001 - one design in two classes

    def _run(self) -> None:
        refusal: EngineError | None = None
        with self._cache._lock, self._cache._together():  # noqa: SLF001 - one design in two classes
            if self._spoilt:
                raise Conflict(f"the key {self._changed!r} changed since it was watched: nothing was done, try again")
            for name, arguments, options in self._queue:
                try:
                    self.results.append(getattr(self._cache, name)(*arguments, **options))
                except EngineError as error:
                    self.results.append(error)
                    refusal = refusal or error
        if refusal is not None:
            raise refusal

    def _check_open(self) -> None:
        if not self._open:
            raise Invalid("this transaction has ended: begin another with cache.transaction()")


class Transactions(Containers):
    """transaction() as a method of a cache. The cache calls _changed for whatever it records."""

    @cached_property
    def _watchers(self) -> dict[Key, set[Transaction]]:
        return {}

    def transaction(self, *watched: Key) -> Transaction:
        """A queue of commands that run together at the end of its `with` block; watched: keys that must not change.

        At that end: Conflict if a watched key has changed, and nothing was done; the first refusal of a command.
        """
        return Transaction(self, watched)

    def _together(self) -> contextlib.AbstractContextManager[None]:
        """One frame of the journal for all that is recorded in the block; without a journal nothing is to be done."""
        return contextlib.nullcontext()

    def _changed(self, command: str, arguments: tuple[Any, ...]) -> None:
        """Tell who watches (called under the lock)."""
        if self._watchers:
            for key in keys_of(command, arguments) or tuple(self._watchers):  # no keys: all of them, as clear()
                for transaction in self._watchers.pop(key, ()):
                    transaction.spoil(key)

    def _watch(self, transaction: Transaction, keys: tuple[Key, ...]) -> None:
        with self._lock:
            for key in keys:
                self._watchers.setdefault(key, set()).add(transaction)

    def _unwatch(self, transaction: Transaction) -> None:
        with self._lock:
            for key in [key for key, watching in self._watchers.items() if transaction in watching]:
                self._watchers[key].discard(transaction)
                if not self._watchers[key]:
                    del self._watchers[key]
