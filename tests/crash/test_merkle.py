"""Level files with the size and root that vouch for them, kept beside: under power loss, failing disks and kill -9."""

import errno

import pytest
from crash.rules import Subject, crash, fail_everywhere, kill_everywhere
from models import ledger_merkle as model

from engines.ledger.merkle import MerkleLog, verify_inclusion
from engines.storage.files import make_folder, read_file, write_atomically

STEPS = [1, 1, 3, 20, 2, 64, 5, 31, 1]  # leaves that come between two checkpoints; 64 of them fill four sectors
EXTRA = 7


def entries(start, count):
    return [b"%d" % number for number in range(start, start + count)]


class Book:
    """A tree, and the note about its last checkpoint: leaves u64, root."""

    def __init__(self, files):
        make_folder(files, "/book")
        self.files = files
        note = read_file(files, "/book/note") if files.exists("/book/note") else bytes(40)
        self.tree = MerkleLog("/book/hashes", files=files, leaves=int.from_bytes(note[:8]), root=note[8:])

    def write_note(self, size):
        write_atomically(self.files, "/book/note", size.to_bytes(8) + self.tree.root(size))


class Store(Subject):
    """State: the leaves, the root, and whether every file and every proof leads there."""

    def open(self, files):
        return Book(files)

    def do(self, engine, operation):
        engine.tree.extend(entries(len(engine.tree), operation))
        self.store(engine)
        return True

    def store(self, engine):
        engine.write_note(engine.tree.checkpoint())

    def state(self, engine):
        tree = engine.tree
        size, root = len(tree), tree.root()
        assert all(verify_inclusion(tree.leaf(i), i, size, tree.prove(i), root) for i in range(size))
        return size, root, tree.verify()

    def model(self, operations):
        return sum(operations), model.root(entries(0, sum(operations))), None

    def close(self, engine):
        engine.tree.close()


class NoteFirst(Store):
    """The mistake that the order of a checkpoint is about."""

    def store(self, engine):
        engine.write_note(len(engine.tree))
        engine.tree.checkpoint()


class Nameless(Store):
    """The mistake of not syncing the names of new files."""

    def store(self, engine):
        engine.tree._named = 64
        super().store(engine)


def test_stored_leaves_survive_every_power_loss():
    outcome = crash("level files", Store(), STEPS, EXTRA, samples=24)
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 300


@pytest.mark.parametrize("mistaken", [NoteFirst(), Nameless()], ids=["note first", "names not synced"])
def test_a_mistake_in_the_order_is_caught(mistaken):
    assert crash("level files, mistaken", mistaken, STEPS[:5], EXTRA, samples=8).violations > 0


@pytest.mark.parametrize(("number", "keep"), [(errno.EIO, False), (errno.ENOSPC, True), (errno.ENOSPC, False)])
def test_no_failing_write_or_sync_costs_what_was_stored(number, keep):
    assert fail_everywhere(Store(), STEPS[:6], number, keep=keep) > 50


def test_a_kill_at_any_moment_and_a_power_loss_later_cost_nothing():
    outcome = kill_everywhere(Store(), STEPS[:5], EXTRA)
    assert outcome.violations == 0, outcome.first
