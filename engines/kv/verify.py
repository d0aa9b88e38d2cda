"""Whether a store is what it should be.

Items decode and stand where they belong, so do expiries and index entries, and for every key that the log still speaks
of, the tree holds what the log says. Beside writers a difference may be no more than something that has changed since:
what looks wrong is looked at once more under the lock.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from engines._native.frame import crc32c
from engines._native.kvitem import item_expires
from engines._native.kvstamp import unchanged, unstamped
from engines.display import Problem, Report
from engines.errors import EngineError
from engines.kv.indexes import IndexEntries
from engines.kv.journal import frame_changes
from engines.storage.log import Log

if TYPE_CHECKING:
    from engines.kv.records import Records
    from engines.kv.store import Store
    from engines.kv.table import Table


def verify_store(store: "Store") -> Report:
    """See Store.verify."""
    where = f"{store.path}/tree/data.mdb"
    report = store.log.verify() + store.tree.verify() + store.kept_snapshots.verify()
    if not report.ok:
        return report
    for table in store.schema.all():
        report += verify_table(table, where)
    if not store.read_only:  # a read-only tree is the last checkpoint: the log may be ahead
        report += verify_against_log(store.log, store.schema.by_id, where)
    return report


def verify_table(table: "Table", path: str) -> Report:
    """Decode every item, compare its key with where it stands, its expiry and its index entries with what is listed."""
    records = table.records
    problems = []
    checked = 0
    for stored_key, image in records.items.range():
        checked += len(stored_key) + len(image)
        what = _wrong(records, stored_key, image)
        if what is not None:
            with records.lock:
                now = records.items.get(stored_key)
                what = None if now is None else _wrong(records, stored_key, now)
        if what is not None:
            problems.append(Problem(path, None, f"table {table.name}, key {stored_key[:40].hex()}: {what}"))
    problems += _listed(table, path)
    for index in records.indexes.values():
        if index.definition.ready:
            problems += _indexed(table, index, path)
    return Report(checked, problems, "bytes")


def _wrong(records: "Records", stored_key: bytes, image: bytes) -> str | None:
    try:
        write = records.encode_stored(image)
    except (ValueError, EngineError) as error:
        return str(error)
    if records.stored_key(write.key) != stored_key or not unchanged(write.image, image):
        return "the item there is another one"
    return None


def _listed(table: "Table", path: str) -> list[Problem]:
    """Whether as many expiries are listed as items expire. Under the lock: one moment."""
    records = table.records
    if records.due is None:
        return []
    with records.lock:
        due = sum(item_expires(image) != 0 for _, image in records.items.walk())
        entries = records.due.count()
    if entries != due:
        return [Problem(path, None, f"table {table.name}: {due} items expire, but {entries} are listed")]
    return []


def _indexed(table: "Table", index: IndexEntries, path: str) -> list[Problem]:
    """Whether the index holds exactly what follows from the items. Under the lock: one moment."""
    records, where = table.records, f"index {index.definition.name} of table {table.name}"
    problems = []
    with records.lock:
        entered = 0
        for stored_key, view in records.items.walk():
            image = unstamped(view)
            place, content = index.entry(records.decode(image), image, stored_key)
            entered += place is not None
            if place is not None and index.entries.get(place) != content:
                problems.append(Problem(path, None, f"{where}: the entry of the item {stored_key[:40].hex()} is wrong"))
        count = index.entries.count()
    if count != entered:
        problems.append(Problem(path, None, f"{where}: {entered} items belong there, {count} entries are"))
    return problems


def verify_against_log(log: Log, tables: Mapping[int, "Table"], path: str) -> Report:
    """Compare, for every key in the frames that are kept, what the log says last with what the tree holds."""
    last: dict[tuple[int, bytes], tuple[int, int | None]] = {}
    for found in log.read(log.first - 1):
        for table_id, key, _, new, _ in frame_changes(found, log.path):
            last[table_id, key] = found.sequence, None if new is None else crc32c(new)
    problems = []
    for (table_id, key), (_, said) in last.items():
        table = tables.get(table_id)
        if table is None:
            continue
        with table.records.lock:
            image = table.records.items.get(table.records.stored_key(key))
        if (None if image is None else crc32c(unstamped(image))) != said:
            problems.append((table, key))
    if problems:  # others may have written since: look again at what the log says of these keys now
        wanted = {(table.definition.id, key) for table, key in problems}
        with next(iter(problems))[0].records.lock:
            log.sync()
            for found in log.read(max(sequence for sequence, _ in last.values())):
                for table_id, key, _, _, _ in frame_changes(found, log.path):
                    wanted.discard((table_id, key))
        problems = [(table, key) for table, key in problems if (table.definition.id, key) in wanted]
    return Report(
        0,
        [
            Problem(
                path,
                None,
                f"table {table.name}: the item {table.records.keys.decode(key)!r} is not the one the log holds",
            )
            for table, key in problems
        ],
        "bytes",
    )
