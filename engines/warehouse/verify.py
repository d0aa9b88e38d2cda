"""Checking all that is stored: each blob against its name, and each block of HEAD and of the snapshots decoded.

A damaged root or page hides what is below it, which is then reported as what it is: not checked. Other tables, and
other columns of a damaged row group, stay readable.
"""

from typing import TYPE_CHECKING

from engines.display import Problem, Report
from engines.errors import EngineError
from engines.sql.types import BOOLEAN, Type
from engines.warehouse.catalog import Root, TableEntry
from engines.warehouse.codec import Block
from engines.warehouse.pages import Group, Page
from engines.warehouse.snapshot import PREFIX, find

if TYPE_CHECKING:
    from engines.warehouse.storage import Storage


class Verifying:
    """One pass. What several roots share is looked at once."""

    def __init__(self, storage: "Storage") -> None:
        self.storage = storage
        self.problems: list[Problem] = []
        self.blocks = 0
        self._seen: set[tuple[str, int]] = set()

    def all(self) -> Report:
        report = self.storage.blobs.verify()
        roots = {"HEAD": self.storage.view().digest}
        for name in self.storage.refs.names(PREFIX):
            try:
                roots[name] = find(self.storage, name.removeprefix(PREFIX))[1].root
            except EngineError as error:
                self.problems.append(Problem(name, 0, str(error)))
        for name, digest in roots.items():
            self.root(name, digest)
        return report + Report(self.blocks, self.problems, "blocks")

    def root(self, name: str, digest: str) -> None:
        if (digest, -1) in self._seen:
            return
        self._seen.add((digest, -1))
        try:
            root = Root.decode(self.storage.stored.get(digest), digest)
        except EngineError as error:
            self.problems.append(Problem(name, 0, f"its root cannot be read, nor what it names: {error}"))
            return
        for table, entry in root.tables.items():
            self.table(table, entry)

    def table(self, name: str, entry: TableEntry) -> None:
        types = {column.id: (column.name, column.type) for column in entry.definition.columns}
        try:
            self.storage.sketches(entry.sketches)
        except EngineError as error:
            self.problems.append(Problem(entry.sketches or name, 0, f"{name}: {error}"))
        for number, reference in enumerate(entry.pages):
            if (reference.digest, -1) in self._seen:
                continue
            self._seen.add((reference.digest, -1))
            try:
                page = Page.decode(self.storage.stored.get(reference.digest), reference)
            except EngineError as error:
                self.problems.append(Problem(reference.digest, 0, f"{name}, page {number}: {error}"))
                continue
            for group in page.groups:
                self.group(name, group, types)

    def group(self, table: str, group: Group, types: dict[int, tuple[str, Type]]) -> None:
        for number, block in group.blocks.items():
            if number in types:  # a column that was dropped has no type any more
                name, type = types[number]
                self.block(f"{table}.{name}", group.blob, block.offset, block.length, type, group.rows)
        if group.mask is not None:
            mask = group.mask
            self.block(f"{table}, deleted rows", mask.blob, mask.offset, mask.length, BOOLEAN, group.rows)

    def block(  # noqa: PLR0917 - where, and what is expected there
        self, what: str, blob: str, offset: int, length: int, type: Type, rows: int
    ) -> None:
        if (blob, offset) in self._seen:
            return
        self._seen.add((blob, offset))
        self.blocks += 1
        try:
            block = Block(self.storage.stored.get_range(blob, offset, length), (blob, offset))
            block.decode(type)
            if block.rows != rows:
                raise block.corrupted(f"it has {block.rows:,} rows, its row group {rows:,}")
        except EngineError as error:
            self.problems.append(Problem(blob, offset, f"{what}: {error}"))


def verify(storage: "Storage") -> Report:
    """Everything that HEAD and the snapshots name."""
    return Verifying(storage).all()
