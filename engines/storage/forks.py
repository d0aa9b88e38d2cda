"""What happens to open files when the process forks: in the child they are closed, in the parent they stay as they are.

A fork copies memory, but only one of the threads. Two processes with one idea of where the log ends would write over
each other, and a child whose keeper or syncing thread does not exist would wait for it for ever. So whatever is open
registers here; in the child, before it does anything else, each is told, drops its descriptors and refuses all use.
"""

import ctypes
import os
import weakref
from typing import Protocol

from engines.errors import Closed


class Forkable(Protocol):
    """Something open."""

    def forked(self) -> None:
        """In the child: let go, without a trace on disk or in what is shared with the parent."""
        ...


_open: "weakref.WeakSet[Forkable]" = weakref.WeakSet()


def register(thing: Forkable) -> None:
    """Tell it when a fork has copied it."""
    _open.add(thing)


def closed(what: str) -> Closed:
    """What a use in the child raises."""
    return Closed(
        f"{what} was opened before this process was forked from its parent, and a store does not survive a fork: open "
        "it anew (read_only=True while the parent writes)"
    )


def keep_for_ever(thing: object) -> None:
    """No destructor, not even at exit: for what still belongs to the parent."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _in_child() -> None:
    for thing in list(_open):
        thing.forked()


os.register_at_fork(after_in_child=_in_child)
