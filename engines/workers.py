"""Workers: what runs behind a node. A thread of this process, or a process that a thread of this one talks to.

    Node.submit ── queue ──> its thread ── place.call ──> Here: the function
                                                          There: pipe ──> a spawned process, the function there

    on the pipe, first        "ready", from the process
    then, both ways           pickle of (function, arguments), and of ("ok", value) or ("raised", exception)

A call fails with WorkerDied when its process has died; the next call starts another one. So a process node heals by
itself, and nobody needs to know. ProcessPoolExecutor(1) would not do: after one death it refuses everything for good,
it has no way to kill a call that hangs, and a query of two jobs takes 0.35 ms with it, 0.11 ms with pipes.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import pickle
import queue
import signal
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Final, Protocol

from engines.errors import Invalid

GUARD: Final = (
    "Each process imports the script that was started: what is to run once, nodes and all, belongs under "
    'if __name__ == "__main__": there'
)


class WorkerDied(Exception):
    """The process of a node ended before it answered."""


class NotStarted(Invalid):
    """The process of a node ended in error before it could be asked anything: the script that it imports raised."""


class CannotTravel(Exception):
    """A function, an argument or a result cannot be sent to another process or back."""


class Place(Protocol):
    """Where a node's calls are made."""

    def call(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any: ...  # noqa: ANN401 - any function's value
    def kill(self) -> bool:
        """Make the call that is under way fail, and go on; False if this place cannot."""
        ...

    def close(self) -> None: ...


class Node(Executor):
    """One call at a time, in a daemon thread that makes it in its place: here, or in a process that it talks to."""

    def __init__(self, place: Callable[[], Place], name: str) -> None:
        self.name = name
        self._make_place = place
        self._lock = threading.Lock()
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._place = self._make_place()
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=_serve, args=(self._calls, self._place), name=self.name, daemon=True)
        self._thread.start()
        self._end = weakref.finalize(self, self._calls.put, None)  # a node that nobody has any more ends
        self._end.atexit = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 - Executor's signature
        """As every Executor's, without keyword arguments. RuntimeError after shutdown()."""
        if kwargs:
            raise TypeError(f"a node's calls take positional arguments only, got {', '.join(kwargs)}")
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError(f"{self.name} was shut down; make new nodes")
            self._calls.put((future, fn, args))
        return future

    @property
    def here(self) -> bool:
        """Whether its calls are made in this process."""
        return isinstance(self._place, Here)

    def abandon(self) -> None:
        """Give up the call that is under way. A process dies with it, a thread is left alone until it returns."""
        with self._lock:
            if not self._closed and not self._place.kill():
                self._end()
                self._begin()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - Executor's signature
        with self._lock:
            self._closed = True
            while cancel_futures:
                try:
                    call = self._calls.get_nowait()
                except queue.Empty:
                    break
                if call is not None:
                    call[0].cancel()
            self._end()
        if wait:
            self._thread.join()


_Call = tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]


def _serve(calls: "queue.SimpleQueue[_Call | None]", place: Place) -> None:
    while (call := calls.get()) is not None:
        future, function, args = call
        if not future.set_running_or_notify_cancel():
            continue
        try:
            value = place.call(function, args)
        except BaseException as error:  # noqa: BLE001 - it belongs to who waits for the future
            future.set_exception(error)
        else:
            future.set_result(value)
        del call, future, function, args  # a waiting node holds nothing
    place.close()


class Here:
    """In this thread."""

    def call(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - any function's value
        return function(*args)

    def kill(self) -> bool:
        return False

    def close(self) -> None:
        pass


class There:
    """In a spawned process at the other end of a pipe; it starts with the first call, and again after it has died.

    Invalid where a process that is being started would make processes: the script has no guard.
    """

    def __init__(self) -> None:
        if getattr(multiprocessing.process.current_process(), "_inheriting", False):
            raise NotStarted(f"a process that is being started cannot have nodes that are processes. {GUARD}")
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: multiprocessing.connection.Connection[Any, Any] | None = None

    def call(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - any function's value
        try:
            request = pickle.dumps((function, args), pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            raise CannotTravel(f"{function!r:.100} or its arguments: {error}") from error
        pipe = self._connect()
        try:
            pipe.send_bytes(request)
            answer = pipe.recv_bytes()
        except (EOFError, OSError):
            raise WorkerDied(self._ended()[0]) from None
        try:
            kind, value = pickle.loads(answer)  # noqa: S301 - from a process of our own
        except Exception as error:
            raise CannotTravel(f"what {function!r:.100} gave: {error!r}") from error
        if kind == "raised":
            raise value
        return value

    def kill(self) -> bool:
        process = self._process
        with contextlib.suppress(ValueError):  # it died, and was closed, just now
            if process is not None:
                process.kill()
        return True

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()  # the worker reads the end of it, and ends
        if self._process is not None:
            self._process.join()
            self._process.close()

    def _connect(self) -> "multiprocessing.connection.Connection[Any, Any]":
        if self._pipe is None:
            spawn = multiprocessing.get_context("spawn")
            self._pipe, theirs = spawn.Pipe()
            self._process = spawn.Process(target=_worker, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
            try:
                self._pipe.recv_bytes()  # it says so when it is ready
            except (EOFError, OSError):
                how, failed = self._ended()
                if not failed:
                    raise WorkerDied(how) from None
                raise NotStarted(f"{how} before it was ready. {GUARD}") from None
        return self._pipe

    def _ended(self) -> tuple[str, bool]:
        """Forget the dead process, and say how it died, and whether it was by an error of its own."""
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if pipe is not None:
            pipe.close()
        if process is None:
            return "the process is gone", False
        process.join(1)
        process.kill()  # if it closed its end and lives on
        process.join()
        code, pid = process.exitcode or 0, process.pid
        process.close()
        if code < 0:
            return f"process {pid} was killed by signal {-code}", False
        return f"process {pid} ended with code {code}", code > 0


def _worker(pipe: "multiprocessing.connection.Connection[Any, Any]") -> None:
    """The loop of a process node."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the leader's to handle
    with contextlib.suppress(EOFError, BrokenPipeError):
        pipe.send_bytes(b"ready")
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes()))


def _answer(request: bytes) -> bytes:
    try:
        function, args = pickle.loads(request)  # noqa: S301 - from the process that started this one
    except Exception as error:  # noqa: BLE001 - whatever importing the function's module raises
        return pickle.dumps(("raised", CannotTravel(f"it cannot be loaded on the node: {error!r}")))
    try:
        answer = "ok", function(*args)
    except Exception as error:  # noqa: BLE001 - it goes to who waits for it
        answer = "raised", error
    try:
        return pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - whatever the value's own code raises
        return pickle.dumps(("raised", CannotTravel(f"what {function!r:.100} gave: {error!r}")))


class Borrowed(Executor):
    """A node of somebody else's cluster; the last one to be shut down closes what was opened for them all."""

    def __init__(self, submit: Callable[..., Future[Any]], close: Callable[[], object], among: set[int]) -> None:
        self._submit, self._close, self._among = submit, close, among
        among.add(id(self))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 - Executor's signature
        if id(self) not in self._among:
            raise RuntimeError("this node was shut down; make new nodes")
        return self._submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - Executor's signature
        if id(self) in self._among:
            self._among.discard(id(self))
            if not self._among:
                self._close()
