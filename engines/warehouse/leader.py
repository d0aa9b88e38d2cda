"""The leader: plans, deals slices out to compute nodes, and merges what they send back."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, Final

from engines.sql.collected import size
from engines.sql.context import Context
from engines.sql.join import Built, Probe
from engines.sql.program import Program
from engines.sql.run import Job, Layout, Local, Parted, Share
from engines.warehouse.motion import Motion
from engines.warehouse.storage import Storage

PLANS: Final = 256  # of which the leader remembers what moves


class Leader:
    """Runs slices of queries over a warehouse's tables."""

    def __init__(
        self, nodes: int | Sequence[Executor] | Executor | None, storage: Storage, *, slices: int | None = None
    ) -> None:
        self._storage = storage
        self._slices = slices
        self._local = Local(self.total)
        self._plans: OrderedDict[int, tuple[Program, tuple[Any, ...], Motion]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        return self._storage.slices

    def layout(self, program: Program, context: Context) -> Layout:
        return Layout(self.total, self.motion(program, context).apart)

    def motion(self, program: Program, context: Context) -> Motion:
        versions = tuple(table.version() for table in context.tables.values())
        with self._lock:
            known = self._plans.get(id(program))
            if known is None or known[0] is not program or known[1] != versions:
                known = program, versions, Motion(program, context.tables.__getitem__, self.total)
                self._plans[id(program)] = known
                if len(self._plans) > PLANS:
                    self._plans.popitem(last=False)
            return known[2]

    def slices(self, job: Job) -> int:
        return self._local.threads

    def states(self, job: Job, shares: Sequence[Share]) -> list[Any]:
        return self._local.states(job, shares)
