"""A progress bar for what takes longer than two seconds: in a terminal only, on the standard error, gone at the end."""

from types import TracebackType
from typing import Self

from engines.clock import SystemClock

PATIENCE_SECONDS = 2


class Progress:
    """with Progress("export", "items", 5_000) as progress: ... progress.advance(100). total None: nobody knows."""

    def __init__(self, what: str, unit: str, total: int | None = None) -> None:
        self._what, self._unit, self.total = what, unit, total
        self._timer = SystemClock().timer  # real time: somebody waits
        self._done, self._began = 0, self._timer()
        self._bars: object = None

    def advance(self, count: int) -> None:
        self._done += count
        if self._bars is not None or self._timer() - self._began > PATIENCE_SECONDS:
            self._show()

    def _show(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - only those who wait need it
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
        from rich.progress import Progress as Bars  # noqa: PLC0415

        if self._bars is None:
            console = Console(stderr=True)
            columns = (
                TextColumn("{task.description}"),
                BarColumn(32),
                MofNCompleteColumn(),
                TextColumn(self._unit),
                TimeElapsedColumn(),
            )
            self._bars = Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
            self._task = self._bars.add_task(self._what, total=self.total)
            self._bars.start()
        assert isinstance(self._bars, Bars)  # noqa: S101 - made above
        self._bars.update(self._task, completed=self._done, total=self.total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop = getattr(self._bars, "stop", None)
        if stop is not None:
            stop()
