"""Random bytes of the operating system, fetched 4 KB at a time.

os.urandom() lets go of the interpreter's lock in each call; with eight threads that commit, who comes back waits.
Each thread has bytes of its own, and gives each of them out once. A child of a fork begins with none: else parent and
child would give out the same.
"""

import os
import threading
from typing import Final

TOGETHER: Final = 4096


class _Pool(threading.local):
    left = b""
    at = 0


_pool = _Pool()


def _forget() -> None:
    global _pool  # noqa: PLW0603 - the child's threads are to have pools of their own
    _pool = _Pool()


os.register_at_fork(after_in_child=_forget)


def random_bytes(count: int) -> bytes:
    """As os.urandom(count)."""
    pool = _pool
    at = pool.at
    end = at + count
    if end > len(pool.left):
        if count > TOGETHER // 4:
            return os.urandom(count)
        pool.left, at, end = os.urandom(TOGETHER), 0, count
    pool.at = end
    return pool.left[at:end]
