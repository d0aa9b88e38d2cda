"""The ledger under power loss, failing disks, kills, flipped bytes: documents, digests handed out, redaction."""

import errno

import pytest
from crash.recorder import RecordingFileSystem
from crash.rules import FromNothing, Subject, crash, fail_everywhere, flip_every_byte, kill_everywhere, workload

from engines import ledger
from engines.clock import ManualClock
from engines.errors import NotFound

START = 1_700_000_000 * 1_000_000


class Handle:
    """A ledger, and what is needed to open it again."""

    def __init__(self, files, promised):
        self.files, self.promised = files, promised
        self.reopen()

    def reopen(self):
        self.book = ledger.Ledger("/book", clock=ManualClock(START), files=self.files)
        for digest in self.promised:  # no acknowledged digest is ever forked, or forgotten
            if digest.origin == self.book.origin and digest.size <= self.book.state.chain.leaves:
                assert self.book.merkle.root(digest.size) == digest.root

    def verify(self):
        return self.book.verify()

    def close(self):
        self.book.close()


class Books(Subject):
    """State: all revisions of all documents, by what is in them; ids and hashes are random. And audits pass."""

    audits = True

    def open(self, files):
        return Handle(files, [])

    def do(self, handle, operation):  # noqa: C901 - a case for each operation
        book = handle.book
        match operation:
            case ("create", name):
                book.create_table(name, indexes=["n"])
            case ("write", numbers):
                with book.transaction() as tx:
                    for number in numbers:
                        tx.insert("T", document(number))
            case ("append", numbers):
                book.append("T", [document(number) for number in numbers])
            case ("update", number, text):
                book.execute("UPDATE T AS t SET t.text = ? WHERE t.n = ?", text, number)
            case ("delete", number):
                book.execute("DELETE FROM T AS t WHERE t.n = ?", number)
            case ("redact", number):
                (identity,) = [row["id"] for row in book.execute("SELECT id FROM T AS t BY id WHERE t.n = ?", number)]
                book.redact("T", identity, 0)
            case ("digest",):
                handle.promised.append(book.digest())
            case ("checkpoint",):
                book.checkpoint()
            case ("reopen",):
                handle.close()
                handle.reopen()
        return True

    def state(self, handle):
        book = handle.book
        try:
            rows = list(book.history("T"))
        except NotFound:
            return None
        assert not self.audits or book.verify().ok, book.verify()
        versions = {}
        for row in rows:
            versions.setdefault(row["metadata"]["id"], []).append(
                "redacted" if "dataHash" in row else shown(row["data"]) if "data" in row else "deleted"
            )
        found = [shown(value) for value in book.execute("SELECT * FROM T")]
        return sorted(versions.values()), sorted(found)

    def model(self, operations):  # noqa: C901 - a case for each operation
        versions, table = [], False
        for operation in operations:
            match operation:
                case ("create", _):
                    table = True
                case ("write" | "append", numbers):
                    versions += [[shown(document(number))] for number in numbers]
                case ("update", number, text):
                    for each in versions:
                        if each[-1].startswith(f"{number}:"):
                            each.append(f"{number}:{text}")
                case ("delete", number):
                    for each in versions:
                        if each[-1].startswith(f"{number}:"):
                            each.append("deleted")
                case ("redact", number):
                    for each in versions:
                        if each[-1].startswith(f"{number}:"):
                            each[0] = "redacted"
        here = [each[-1] for each in versions if each[-1] != "deleted"]
        return (sorted(versions), sorted(here)) if table else None


def document(number):
    """All of one size, so that a stale frame lies where a later reader would look."""
    return {"n": number, "text": f"{number:04}" * 40}


def shown(value):
    return f"{value['n']}:{value['text']}"


def operations(rounds):
    found = [("create", "T")]
    for start in range(0, 10 * rounds, 10):
        found += [("write", [start]), ("append", [start + 1, start + 2, start + 3]), ("digest",)]
        found += [("update", start + 1, "new"), ("checkpoint",), ("delete", start + 2), ("redact", start + 1)]
        found += [("write", [start + 4, start + 5]), ("reopen",), ("update", start + 4, "newer"), ("digest",)]
        found += [("redact", start + 4), ("write", [start + 6])]
    return found


EXTRA = ("write", [9999])
CREATE_FIRST = ("create", "T")


class BooksFromNothing(FromNothing, Books):
    create, extra = CREATE_FIRST, EXTRA

    def has_table(self, handle):
        return len(handle.book.tables()) > 0


@pytest.mark.slow
def test_a_ledger_survives_every_power_loss():
    outcome = crash("Ledger", BooksFromNothing(), operations(4), EXTRA, samples=90)
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 2_000


@pytest.mark.slow
def test_what_a_killed_process_left_in_the_ledger_is_made_sure_before_it_is_built_upon():
    some = [CREATE_FIRST, ("write", [1, 2]), ("update", 1, "new"), ("redact", 1), ("checkpoint",), ("write", [3])]
    outcome = kill_everywhere(BooksFromNothing(), some, EXTRA, samples=1)
    print(f"Ledger, killed           {outcome}")  # noqa: T201 - counts are the result
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 300


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("keep", [False, True])
def test_a_ledger_is_poisoned_or_unharmed_wherever_the_disk_fails(number, keep):
    assert fail_everywhere(Books(), operations(1)[:8], number, keep=keep) > 30


@pytest.mark.slow
def test_every_flipped_byte_of_a_closed_ledger_is_named_or_harmless():
    subject, some = Books(), operations(1)[:8]
    subject.audits = False  # it is what is tested
    files = RecordingFileSystem()
    workload(subject, some)(files)
    counts = flip_every_byte(subject, files.image(), expected=subject.model(some))
    print(f"Ledger: flipped bytes {counts}")  # noqa: T201 - counts are the result
    assert counts["named"] > 5_000
