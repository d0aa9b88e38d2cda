"""Pieces of work for nodes: what a query sends, and what goes wrong with it. Importable from every worker."""

import os
import signal
import threading
import time

from engines.errors import QueryError

released = threading.Event()


def square(n):
    return "ok", n * n


def where(n):
    return "ok", (n * n, os.getpid())


def first_time(marker):
    """Whether nobody has been here before, in whatever process."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def killed_once(n, marker):
    """The first worker to come here dies in the middle of its work."""
    if n == 2 and first_time(marker):
        os.kill(os.getpid(), signal.SIGKILL)
    return "ok", n * n


def always_killed(n):
    if n == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return "ok", n * n


def hung_once(n, marker):
    """The first one to come here with n == 1 does not return by itself."""
    if n == 1 and first_time(marker):
        released.wait(600)
    return "ok", n * n


def hangs(n):
    time.sleep(600 if n == 1 else 0)
    return "ok", n


def error(n):
    return "error", f"Traceback ...\nValueError: {n} is too much"


def raises(n):
    raise ZeroDivisionError(f"division of {n}")


def raises_an_engine_error(n):
    raise QueryError("no such column", text="SELECT x", position=7, suggestion=f"did you mean y{n}?")


def no_outcome(n):
    return n


def returns_a_lock(n):
    return "ok", threading.Lock()


def plain(n):
    """For submit(), which is any Executor's."""
    if n < 0:
        raise ValueError("negative")
    return n + 1
