r"""The warehouse's storage: tables in row groups, atomic commits, readers that are never disturbed.

    path/ENGINE, lock      whose folder it is, and its writer's lock (storage/folder.py)
    path/refs/HEAD         the digest of the present root: the one commit point (storage/refs.py)
    path/refs/snapshot/X   the digest of a snapshot's record (snapshot.py)
    path/blobs/ab/...      roots (catalog.py), pages (pages.py), segments (segment.py), masks, sketches

    commit    blobs synced -> folders synced -> HEAD renamed and synced        never in another order

    storage = Storage("path")
    storage.tables(), storage.table("orders")      a TableSource (scan.py) at the present root, pinned while it lives
    with storage.begin() as tx:                    one writer at a time, others wait ten seconds (commit.py)
        tx.create_table("orders", columns, sort=["date"])
        tx.append("orders", batches)
        tx.table("orders")                         sees what it has written
    storage.verify(), .collect(), .stats(), .close()
    snapshot.take(storage, "monday"), .listed, .drop, .restore_table, .restore, .tick      (snapshot.py)

A reader holds a root, and so all of one moment, without a lock: whatever it reads never changes. `collect` deletes what
no HEAD, no snapshot and no living reader needs. Readers of other processes are given the grace of garbage.py.

durability    "commit"      a commit is on disk when it returns
              "interval"    within 50 ms; a crash loses the last commits, from the end
              "checkpoint"  at flush() and close(), or when half the buffer is full

Refs in place of one list of snapshots: HEAD and each snapshot are files of their own, each replaced atomically, so
taking a snapshot touches nothing that a commit touches.
"""

import contextlib
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, Self

from engines.clock import Clock, SystemClock
from engines.display import Report
from engines.errors import Closed, Conflict, EngineError, Invalid, NotFound, Poisoned, ReadOnly
from engines.sql.column import Bytes
from engines.storage.blobs import Blobs, Collected
from engines.storage.files import FileSystem, RealFileSystem
from engines.storage.folder import Folder
from engines.storage.garbage import gc
from engines.storage.refs import ABSENT, Refs
from engines.storage.ticker import Ticker
from engines.warehouse import statistics
from engines.warehouse.cache import BlockCache
from engines.warehouse.catalog import PageReference, Root, TableEntry
from engines.warehouse.commit import Transaction
from engines.warehouse.distribute import MOST_SLICES
from engines.warehouse.pages import Page
from engines.warehouse.scan import State, Table
from engines.warehouse.stored import WAITING_BYTES, Stored

ENGINE: Final = "warehouse"
VERSION: Final = 1
HEAD: Final = "HEAD"
SLICES: Final = 2
PATIENCE: Final = 10.0  # seconds that a second writer waits
PAGES: Final = 4096  # kept in memory
Durability = Literal["commit", "interval", "checkpoint"]


class View:
    """A root, and its tables as sources. Whoever holds one, or a table of it, keeps its blobs."""

    def __init__(self, storage: "Storage", digest: str, root: Root, before: "View | None" = None) -> None:
        self.digest = digest
        self.root = root
        self.storage = storage
        self._tables: dict[str, Table] = {}
        self._states: dict[str, State] = {}
        if before is not None:  # what did not change since is not read again
            for name, state in before._states.items():  # noqa: SLF001 - its own class
                if root.tables.get(name) is before.root.tables[name]:
                    self._states[name] = state

    def table(self, name: str) -> Table:
        """NotFound offers the nearest name."""
        found = self._tables.get(name)
        if found is None:
            entry = self.root.table(name)
            if name not in self._states:
                self._states[name] = self.storage.state(entry)
            found = Table(name, self._states[name], self.storage.cache, self.root.slices)
            self._tables[name] = found
        return found.pinned(self)


class Storage:
    """See the module's text. path None: in memory. cache: bytes of blocks. Any thread may use it."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        clock: Clock | None = None,
        files: FileSystem | None = None,
        read_only: bool = False,
        durability: Durability = "commit",
        cache: int = 1 << 30,
        slices: int | None = None,
        threads: int | None = None,
        buffer: int = WAITING_BYTES,
    ) -> None:
        """slices: of a new warehouse (2); one that exists keeps its own. threads: that encode (at most the cores).

        buffer: bytes of new blobs that may wait in memory (8 MB); what is larger is written before the commit.
        """
        if durability not in ("commit", "interval", "checkpoint"):
            raise Invalid(f"durability is commit, interval or checkpoint, got {durability!r}")
        if slices is not None and not 1 <= slices <= MOST_SLICES:
            raise Invalid(f"a warehouse has 1 to {MOST_SLICES} slices, got {slices}")
        if cache < 0 or buffer < 0:
            raise Invalid(f"cache and buffer are in bytes and not negative, got {cache:,} and {buffer:,}")
        self.path = None if path is None else os.fspath(path).rstrip("/")
        self.clock: Clock = clock or SystemClock()
        self.files: FileSystem = files or RealFileSystem()
        self.read_only = read_only
        self.durability = durability
        self.threads = threads or max(1, min(4, os.cpu_count() or 1))
        self._folder = (
            None if self.path is None else Folder(self.path, ENGINE, VERSION, self.files, read_only=read_only)
        )
        self.blobs = Blobs(None if self.path is None else f"{self.path}/blobs", files=self.files)
        self.refs = Refs(None if self.path is None else f"{self.path}/refs", files=self.files)
        self.stored = Stored(self.blobs, buffer)
        self.cache = BlockCache(self.stored.get_range, cache)
        self.patience = PATIENCE
        self._writing = threading.Lock()
        self._flushing = threading.Lock()
        self._pages: OrderedDict[str, Page] = OrderedDict()
        self._views: weakref.WeakSet[View] = weakref.WeakSet()
        self._closed = False
        self._failed: EngineError | None = None
        self._ticker = Ticker(self._tick_sync, "warehouse-sync") if durability == "interval" else None
        try:
            self._view = self._open(slices or SLICES)
        except BaseException:
            if self._folder is not None:
                self._folder.close()
            raise

    def _open(self, slices: int) -> View:
        digest = self.refs.get(HEAD)
        if digest is None:
            if self.read_only:
                raise NotFound(f"{self.path} holds no warehouse yet: open it once without read_only=True")
            root = Root(slices, time=self.clock.now())
            digest = self.blobs.put(root.encode())
            self.refs.set(HEAD, digest, ABSENT)
        self._durable = digest
        return self._pin(View(self, digest, self.root(digest)))

    def _pin(self, view: View) -> View:
        self._views.add(view)
        return view

    # -- reading

    def view(self) -> View:
        """The present. Of a warehouse that another process writes, what it has committed."""
        self._refuse_closed()
        if self.read_only and self.path is not None:
            digest = self.refs.get(HEAD)
            if digest is not None and digest != self._view.digest:
                self._view = self._pin(View(self, digest, self.root(digest), self._view))
        return self._view

    def at(self, digest: str) -> View:
        """The view of any root: a snapshot's, or that of a fragment that another process has sent."""
        self._refuse_closed()
        if digest == self._view.digest:
            return self._view
        return self._pin(View(self, digest, self.root(digest), self._view))

    @property
    def slices(self) -> int:
        return self._view.root.slices

    def tables(self) -> list[str]:
        return sorted(self.view().root.tables)

    def table(self, name: str) -> Table:
        """A table at the present root. NotFound offers the nearest name."""
        return self.view().table(name)

    def root(self, digest: str) -> Root:
        """Corrupted, NotFound as the blob is."""
        return Root.decode(self.stored.get(digest), digest)

    def page(self, reference: PageReference) -> Page:
        """A page, read once."""
        page = self._pages.get(reference.digest)
        if page is None:
            page = Page.decode(self.stored.get(reference.digest), reference)
            self.keep_page(page)
        return page

    def keep_page(self, page: Page) -> None:
        assert page.reference is not None  # noqa: S101 - for the type checker
        self._pages[page.reference.digest] = page
        if len(self._pages) > PAGES:
            self._pages.popitem(last=False)

    def state(self, entry: TableEntry) -> State:
        """A table's state as its entry in a root says."""
        pages = tuple(map(self.page, entry.pages))
        token = entry.definition, tuple(page.digest for page in entry.pages)
        return State(entry.definition, pages, token, lambda: self.sketches(entry.sketches))

    def sketches(self, digest: str | None) -> Mapping[int, Bytes]:
        return {} if digest is None else statistics.decode(self.stored.get(digest), digest)

    # -- writing

    def begin(self, *, timeout: float | None = None) -> Transaction:
        """A transaction: commit() or rollback() it, or use it as a context manager.

        Conflict if another one is still open after timeout seconds (None: `patience`). ReadOnly, Closed.
        """
        self._refuse_closed()
        if self.read_only:
            raise ReadOnly(f"{self.path} was opened with read_only=True: open it for writing to change it")
        self._refuse_failed()
        timeout = self.patience if timeout is None else timeout
        if not self._writing.acquire(timeout=timeout):
            raise Conflict(f"another transaction is open for longer than {timeout:g} s: try again when it is done")
        try:
            self._refuse_closed()
            return Transaction(self, self._view, self._writing.release)
        except BaseException:
            self._writing.release()
            raise

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[None]:
        """As the only writer, without a transaction."""
        transaction = self.begin()
        try:
            yield
        finally:
            transaction.rollback()

    def publish(self, root: Root) -> str:
        """Make a root the present one; called by the transaction, which has put everything that it names."""
        (digest,) = self.stored.put_many([[root.encode()]])
        if self.durability == "commit":
            self._make_durable(digest)
        self._view = self._pin(View(self, digest, root, self._view))
        if self._ticker is not None:
            self._ticker.start()
        elif self.durability == "checkpoint" and self.stored.waiting > self.stored.room // 2:
            self.flush()
        return digest

    def _make_durable(self, digest: str) -> None:
        with self._flushing:
            try:
                self.stored.flush()
            except Poisoned as error:
                self._failed = error
                raise
            self.move(HEAD, digest, self._durable)
            self._durable = digest

    def move(self, name: str, digest: str | None, expected: str) -> None:
        """Set a ref, or (None) delete it. Poisoned where the disk fails so that nobody knows what the ref says now."""
        try:
            if digest is None:
                self.refs.delete(name)
            else:
                self.refs.set(name, digest, expected)
        except EngineError as error:
            if self._points(name, expected):
                raise  # nothing has happened
            self._failed = error
            raise Poisoned(f"nobody knows if {name} has moved ({error}): close the warehouse, open it again") from error

    def _points(self, name: str, digest: str) -> bool:
        try:
            return (self.refs.get(name) or ABSENT) == digest
        except EngineError:
            return False

    def flush(self) -> None:
        """Make every commit so far durable."""
        self._refuse_failed()
        digest = self._view.digest
        if digest != self._durable:
            self._make_durable(digest)

    def _tick_sync(self) -> None:
        try:
            self.flush()
        except EngineError as error:
            self._failed = error
            raise

    def _refuse_closed(self) -> None:
        if self._closed:
            raise Closed("this warehouse was closed: open it again")

    def _refuse_failed(self) -> None:
        if self._failed is not None:
            raise Poisoned(f"an earlier commit is not on disk ({self._failed}): close the warehouse and open it again")

    # -- keeping house

    def pinned(self) -> list[str]:
        """The roots that somebody of this process reads."""
        return sorted({view.digest for view in self._views})

    def collect(self, *, grace: float = 3600) -> Collected:
        """Delete the blobs that neither HEAD, nor a snapshot, nor a reader of this process needs.

        Readers of other processes are safe for grace seconds, counted from when a blob was first found unwanted.
        """
        from engines.warehouse.snapshot import reachable, roots_of  # noqa: PLC0415 - it imports this module

        with self.exclusively():
            self.flush()
            roots = [*self.pinned(), self._view.digest]
            wanted = reachable(self, [*roots, *roots_of(self)])
            return gc(self.blobs, wanted, lambda _digest: (), grace=grace, clock=self.clock)

    def verify(self) -> Report:
        """Read every blob and decode every block of HEAD and of all snapshots."""
        from engines.warehouse.verify import verify  # noqa: PLC0415 - it imports this module

        self._refuse_closed()
        return verify(self)

    def stats(self) -> dict[str, Any]:
        """Counters, for people and tests."""
        root = self._view.root
        return {
            "tables": len(root.tables),
            "commits": root.sequence,
            "rows": sum(page.rows for entry in root.tables.values() for page in entry.pages),
            "bytes": sum(page.bytes for entry in root.tables.values() for page in entry.pages),
            "pinned": len(self.pinned()),
            **self.cache.stats(),
        }

    def close(self) -> None:
        """Let go of the folder. What was committed is made durable. Closing twice does nothing."""
        if self._closed:
            return
        try:
            if self._ticker is not None:
                self._ticker.stop()
            if not self.read_only and self._failed is None:
                self.flush()
        finally:
            self._closed = True
            self.cache.clear()
            if self._folder is not None:
                self._folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
