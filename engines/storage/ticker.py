"""A thread that does one thing every 50 ms: how durability "interval" gets its syncs.

The interval is real time, not the injected clock's: it bounds what a power loss may take, and no result depends on it.
"""

import contextlib
import threading
from collections.abc import Callable

from engines.errors import EngineError

INTERVAL_SECONDS = 0.05


class Ticker:
    """Calls work() every 50 ms from start() to stop(), in a daemon thread; an EngineError from work() ends it."""

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work = work
        self._name = name
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.started = False

    def start(self) -> None:
        """Begin, unless it has begun or was stopped already."""
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._stopped.is_set():
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()
                    self.started = True

    def stop(self) -> None:
        """Return when work() is not running and will not run again."""
        with self._lock:
            self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(EngineError):  # whoever writes next hears of it
            while not self._stopped.wait(INTERVAL_SECONDS):
                self._work()
