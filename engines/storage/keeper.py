"""The keeper: the one thread that begins, commits and aborts LMDB's write transactions.

LMDB's writer lock belongs to the thread that took it: a commit from another one leaves it locked, and the next begin
waits for ever. Gets and puts may come from any thread, so only what begins and ends a transaction goes through here.

Ctrl-C reaches the main thread only, so what the keeper has begun it completes. Whoever asked for it is held back until
then. A second Ctrl-C breaks even that: so before it asks, a Tree puts a Late in the place of its transaction, and
nobody touches what the keeper is at work on. Whoever comes next asks for something in turn, and tasks are done in their
order: so when run() returns, the keeper is at rest, and nothing that was asked for before can come in between.

In memory LMDB keeps no locks: there the work is done by whoever asks, without a thread.
"""

import contextlib
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any


class Keeper:
    """Does one thing after the other; threaded: in a thread of its own, which ends with stop()."""

    def __init__(self, *, threaded: bool) -> None:
        self._tasks: SimpleQueue[_Task | None] | None = None  # an executor would not survive Ctrl-C: its locks
        self._stopped = False
        if threaded:
            self._tasks = SimpleQueue()
            threading.Thread(target=self._keep_going, args=(self._tasks,), name="tree keeper", daemon=True).start()

    def run(self, work: Callable[[], None]) -> None:
        """Return when it is done; what it raises is raised here."""
        if self._tasks is None:
            work()
            return
        task = _Task(work)
        try:
            self._tasks.put(task)
            if self._stopped:  # it came too late for the thread, perhaps
                _do_the_rest(self._tasks)
            task.ended.get()
        except BaseException:  # Ctrl-C: nobody may go on while the keeper is at work
            if not (task.done or self._stopped):
                task.ended.get()
            raise
        if task.error is not None:
            raise task.error

    def stop(self) -> None:
        """The thread ends after what it was asked for. What it is asked for later is done by whoever asks."""
        if self._tasks is not None:
            self._tasks.put(None)

    def _keep_going(self, tasks: "SimpleQueue[_Task | None]") -> None:
        """The thread: one task after the other, until there is None."""
        while (task := tasks.get()) is not None:
            task.do()
            del task  # it holds a tree
        self._stopped = True
        _do_the_rest(tasks)


class _Task:
    """A piece of work, and how it ended."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self.done = False
        self.error: BaseException | None = None
        self.ended: SimpleQueue[None] = SimpleQueue()

    def do(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
            self.error = error
        self.done = True
        self.ended.put(None)


def _do_the_rest(tasks: "SimpleQueue[_Task | None]") -> None:
    """Whoever takes a task does it: the thread that is about to end, or one that has asked after that."""
    with contextlib.suppress(Empty):
        while True:
            task = tasks.get_nowait()
            if task is not None:
                task.do()


class Gone:
    """In place of something that is no more (a transaction, a keyspace's handle): every use raises the reason."""

    def __init__(self, reason: Exception) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> object:
        raise self._reason

    def __call__(self, *_: object) -> None:
        raise self._reason

    def __enter__(self) -> None:
        raise self._reason

    def __exit__(self, *_: object) -> None:
        raise self._reason


class Late:
    """In place of a transaction that lags behind: whoever touches it, under the lock, waits until it has caught up."""

    def __init__(self, catch_up: Callable[[], Any]) -> None:
        self._catch_up = catch_up

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transaction has
        return getattr(self._catch_up(), name)
