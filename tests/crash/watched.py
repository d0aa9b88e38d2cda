"""A file system with something to do before or after a call: another thread comes in between, Ctrl-C, a full disk."""

from typing import TYPE_CHECKING, Any

from crash.failing import CHANGES

from engines.storage.files import RealFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable


class WatchedFileSystem:
    """before["pwrite"] = f: f(arguments of the call) runs before each pwrite and may raise; after likewise.

    calls: the names of all calls that change something, in order.
    """

    def __init__(self, inner: Any = None) -> None:
        self.inner = inner or RealFileSystem()
        self.before: dict[str, Callable[..., None]] = {}
        self.after: dict[str, Callable[..., None]] = {}
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.inner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            if name in CHANGES:
                self.calls.append(name)
            if name in self.before:
                self.before[name](*args)
            result = call(*args, **kwargs)
            if name in self.after:
                self.after[name](*args)
            return result

        return watched


class InterruptedFileSystem(WatchedFileSystem):
    """Once armed: Ctrl-C at the n-th change (from 1), before it happens or just after it has (late)."""

    def __init__(self, inner: Any, *, late: bool) -> None:
        super().__init__(inner)
        self._at = 0
        for name in CHANGES - {"commit"}:
            (self.after if late else self.before)[name] = self._interrupt

    def arm(self, n: int) -> None:
        self._at = len(self.calls) + n

    def _interrupt(self, *_: object) -> None:
        if len(self.calls) == self._at:
            self._at = 0
            raise KeyboardInterrupt
