"""The hash tree against its definition and hashlib, in memory and over files; proofs against forgers; damage."""

import errno
import hashlib
import random
import threading

import pytest
from crash.recorder import RecordingFileSystem
from hypothesis import given
from hypothesis import strategies as st
from ledger import vectors
from models import ledger_merkle as model

from engines._native import merkle as kernel
from engines._native import merkleproof
from engines.errors import Closed, Corrupted, Invalid, Poisoned, ReadOnly
from engines.ledger.merkle import MerkleLog, verify_consistency, verify_inclusion
from engines.storage.files import read_file

ENTRIES = [b"%d" % number * (number % 40) for number in range(300)]
ROOTS = [model.root(ENTRIES[:size]) for size in range(len(ENTRIES) + 1)]


@pytest.fixture(params=["instructions", "hashlib"])
def way(request):
    """Both ways to hash, where the CPU has both."""
    wanted = request.param == "instructions"
    if [module.use_sha_instructions(wanted) for module in (kernel, merkleproof)] != [wanted, wanted]:
        pytest.skip("this CPU has no SHA instructions")
    yield
    for module in (kernel, merkleproof):
        module.use_sha_instructions()


def tree(entries=ENTRIES):
    log = MerkleLog()
    log.extend(entries)
    return log


def noise(seed):
    return random.Random(seed)  # noqa: S311 - the same bytes in each run


def sha(data):
    return hashlib.sha256(data).digest()


# -- the hash ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["growing", "mixed"])
def test_many_messages_hash_as_hashlib_hashes_each_of_every_length(way, order):
    source = noise(7)
    messages = [source.randbytes(length) for length in range(1001)]
    if order == "mixed":
        source.shuffle(messages)  # the two lanes then end at different times
    salts = source.randbytes(16 * len(messages))
    assert kernel.digests(messages) == b"".join(sha(message) for message in messages)
    assert kernel.digests(messages, 255) == b"".join(sha(b"\xff" + message) for message in messages)
    assert kernel.data_hashes(salts, messages) == b"".join(
        sha(b"\2" + salts[16 * i : 16 * i + 16] + message) for i, message in enumerate(messages)
    )


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("length", [1, 31, 32, 54, 55, 56, 63, 64, 96, 119, 120, 144, 2000])
def test_few_messages_in_a_row_hash_as_hashlib_hashes_each(way, count, length):
    row = noise(length).randbytes(length * count)
    assert kernel.leaves(row, length, count) == b"".join(
        sha(b"\0" + row[start : start + length]) for start in range(0, length * count, length)
    )


def test_parents_are_hashed_from_pairs(way):
    digests = noise(1).randbytes(64 * 5)
    assert kernel.nodes(digests) == b"".join(sha(b"\1" + digests[i : i + 64]) for i in range(0, 320, 64))
    assert kernel.nodes(b"") == b""


@pytest.mark.parametrize(("stride", "n"), [(0, 1), (-1, 1), (4, -1), (4, 3), (11, 1), (1, 1 << 62)])
def test_a_row_that_does_not_hold_so_many_records_is_refused(stride, n):
    with pytest.raises(ValueError, match="do not lie in 10 bytes"):
        kernel.leaves(bytes(10), stride, n)


def test_what_is_not_made_of_bytes_is_refused_and_nothing_is_appended():
    log = tree(ENTRIES[:5])
    with pytest.raises(TypeError, match="item 1 is to be bytes, not str"):
        log.extend([b"a", "b"])
    for wrong in (b"x" * 31, b"x" * 33):
        with pytest.raises(ValueError, match="multiple of 32"):
            log.extend_hashes(wrong)
    with pytest.raises(ValueError, match="pairs"):
        kernel.nodes(bytes(32))
    with pytest.raises(ValueError, match="take 32 bytes of salt, got 31"):
        kernel.data_hashes(bytes(31), [b"", b""])
    assert (len(log), log.root()) == (5, ROOTS[5])


# -- roots and proofs against the definition ---------------------------------------------------------------------------


def test_the_root_of_every_size_is_that_of_the_definition(way):
    log = tree()
    assert [log.root(size) for size in range(len(ENTRIES) + 1)] == ROOTS
    assert log.root() == ROOTS[-1]


def test_every_inclusion_proof_is_that_of_the_definition_and_is_accepted(way):
    log = tree()
    for size in [*range(1, 70), 127, 128, 129, 255, 256, 257, 300]:
        for index in range(size):
            path = log.prove(index, size)
            if size < 34 or index % 17 == 0:
                assert path == model.path(index, ENTRIES[:size])
            assert verify_inclusion(model.leaf(ENTRIES[index]), index, size, path, ROOTS[size])


def test_every_consistency_proof_is_that_of_the_definition_and_is_accepted(way):
    log = tree()
    for new in [*range(1, 70), 127, 128, 129, 255, 256, 257, 300]:
        for old in range(1, new + 1):
            path = log.prove_consistency(old, new)
            if new < 34 or old % 17 == 0:
                assert path == model.consistency(old, ENTRIES[:new])
            assert verify_consistency(old, new, path, ROOTS[old], ROOTS[new])


@given(st.lists(st.integers(0, 40), max_size=12), st.randoms(use_true_random=False))
def test_the_root_does_not_depend_on_how_the_entries_came(steps, source):
    log, size = MerkleLog(), 0
    for step in steps:
        part = [b"%04d" % number for number in range(size, size + step)]
        size += step
        match source.randrange(3):
            case 0:
                log.extend(part)
            case 1:
                log.extend_records(b"".join(part) + b"more", stride=4, count=step)
            case _:
                log.extend_hashes(b"".join(map(model.leaf, part)))
    assert log.root() == model.root([b"%04d" % number for number in range(size)])
    assert len(log) == size


# -- proofs from anywhere ----------------------------------------------------------------------------------------------


def test_all_golden_vectors_are_there():
    if vectors.folder() is None:
        pytest.skip("no golden vectors: set ENGINES_CONFORMANCE to a folder that holds rfc6962/")
    assert len(vectors.load("inclusion")) + len(vectors.load("consistency")) == vectors.COUNT


@pytest.mark.parametrize("case", vectors.load("inclusion"))
def test_inclusion_is_judged_as_the_golden_vectors_say(way, case):
    assert verify_inclusion(*vectors.inclusion(case)) is not case["wantErr"]


@pytest.mark.parametrize("case", vectors.load("consistency"))
def test_consistency_is_judged_as_the_golden_vectors_say(way, case):
    assert verify_consistency(*vectors.consistency(case)) is not case["wantErr"]


SIZES = st.one_of(st.integers(0, 20), st.sampled_from([2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, 2**64, 2**200, -1]))
DIGESTS = st.one_of(st.just(ROOTS[1]), st.binary(min_size=32, max_size=32))
ANYTHING = st.one_of(
    st.none(), st.booleans(), SIZES, st.floats(), st.text(max_size=40), st.binary(max_size=40), DIGESTS,
    st.lists(DIGESTS, max_size=70), st.just([None]), st.just({}),
)  # fmt: skip


@given(st.lists(ANYTHING, min_size=5, max_size=5))
def test_verifiers_answer_false_to_anything_and_never_raise(arguments):
    assert verify_inclusion(*arguments) is False
    assert verify_consistency(*arguments) is False


@given(SIZES, SIZES, st.lists(DIGESTS, max_size=66), DIGESTS, DIGESTS)
def test_sizes_up_to_the_largest_end_and_do_not_wrap(index, size, path, leaf, root):
    expected = size == 1 and index == 0 and path == [] and leaf == root
    assert verify_inclusion(leaf, index, size, path, root) is expected
    assert verify_consistency(index, size, path, leaf, root) is (
        0 < index == size < 1 << 64 and path == [] and leaf == root
    )


def altered(digest):
    return bytes([digest[0] ^ 1]) + digest[1:]


@given(st.integers(1, 64), st.data())
def test_an_inclusion_proof_with_anything_altered_is_refused(size, data):
    index = data.draw(st.integers(0, size - 1))
    leaf, path, root = model.leaf(ENTRIES[index]), tree().prove(index, size), ROOTS[size]
    assert verify_inclusion(leaf, index, size, path, root)
    assert verify_inclusion(leaf, index, size, tuple(path), root)
    assert not verify_inclusion(altered(leaf), index, size, path, root)
    assert not verify_inclusion(leaf, index, size, path, altered(root))
    assert not verify_inclusion(leaf, index, size, [*path, root], root)
    assert not verify_inclusion(leaf, index, size, [leaf, *path], root)
    for other in {0, index - 1, index + 1, size, size - 1} - {index}:
        assert not verify_inclusion(leaf, other, size, path, root)
    for position in range(len(path)):
        assert not verify_inclusion(leaf, index, size, path[:position] + path[position + 1 :], root)
        changed = [altered(part) if i == position else part for i, part in enumerate(path)]
        assert not verify_inclusion(leaf, index, size, changed, root)
    for boolean in (True, False):
        assert not verify_inclusion(leaf, boolean, size, path, root)


@given(st.integers(1, 64), st.data())
def test_a_consistency_proof_with_anything_altered_is_refused(new, data):
    old = data.draw(st.integers(1, new))
    path, root1, root2 = tree().prove_consistency(old, new), ROOTS[old], ROOTS[new]
    assert verify_consistency(old, new, path, root1, root2)
    assert not verify_consistency(0, new, path, root1, root2)
    assert not verify_consistency(old, new, path, altered(root1), root2)
    assert not verify_consistency(old, new, path, root1, altered(root2))
    assert not verify_consistency(old, new, [*path, root2], root1, root2)
    assert not verify_consistency(old, new, [root1, *path], root1, root2)
    for position in range(len(path)):
        assert not verify_consistency(old, new, path[:position] + path[position + 1 :], root1, root2)
        changed = [altered(part) if i == position else part for i, part in enumerate(path)]
        assert not verify_consistency(old, new, changed, root1, root2)


def test_nothing_is_consistent_with_the_empty_tree():
    assert not verify_consistency(0, 0, [], ROOTS[0], ROOTS[0])
    assert not verify_consistency(0, 5, [], ROOTS[0], ROOTS[5])
    with pytest.raises(Invalid, match="about the empty tree nothing can be shown"):
        tree().prove_consistency(0)


@pytest.mark.parametrize("index", [-1, 5, 1 << 70])
def test_a_leaf_that_is_not_there_cannot_be_proved(index):
    with pytest.raises(Invalid, match=r"index is 0 to 4"):
        tree(ENTRIES[:5]).prove(index)
    with pytest.raises(Invalid, match=r"index is 0 to 4"):
        tree(ENTRIES[:5]).leaf(index)


@pytest.mark.parametrize("size", [-1, 6, 1 << 70])
def test_a_size_that_the_tree_does_not_have_is_refused(size):
    log = tree(ENTRIES[:5])
    for call in (log.root, lambda size: log.prove(0, size), lambda size: log.prove_consistency(1, size)):
        with pytest.raises(Invalid, match="size is 0 to 5"):
            call(size)
    with pytest.raises(Invalid, match="got 6"):
        log.prove_consistency(6, 5)


# -- files -------------------------------------------------------------------------------------------------------------


def stored(files, entries=ENTRIES, folder="/book"):
    with MerkleLog(folder, files=files) as log:
        log.extend(entries)
        assert log.checkpoint() == len(entries)


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["", "checkpoint", "reopen", "cut"])), max_size=10))
def test_what_is_stored_and_what_is_not_makes_no_difference(steps):
    files = RecordingFileSystem()
    log, size, kept = MerkleLog("/book", files=files), 0, 0
    for step, then in steps:
        log.extend(b"%d" % number for number in range(size, size + step))
        size += step
        if then == "checkpoint":
            kept = log.checkpoint()
        elif then == "reopen":
            log.close()
            log = MerkleLog("/book", files=files, leaves=kept, root=model.root([b"%d" % i for i in range(kept)]))
            size = kept
        elif then == "cut":
            size = max(kept, size - step // 2)
            log.cut(size)
        entries = [b"%d" % number for number in range(size)]
        assert (len(log), log.stored, log.root()) == (size, kept, model.root(entries))
        for index in range(0, size, 7):
            assert log.prove(index) == model.path(index, entries)
            assert log.prove_consistency(index + 1) == model.consistency(index + 1, entries)
    assert log.verify() is None
    log.close()


def test_a_level_file_holds_the_digests_of_the_complete_subtrees_in_order():
    files = RecordingFileSystem()
    stored(files, ENTRIES[:11])
    for level in range(4):
        assert read_file(files, f"/book/{level}") == b"".join(
            model.root(ENTRIES[i << level : (i + 1) << level]) for i in range(11 >> level)
        )
    assert files.listdir("/book") == ["0", "1", "2", "3"]


def test_opening_cuts_off_what_was_never_acknowledged_and_only_that():
    files = RecordingFileSystem()
    stored(files)
    with MerkleLog("/book", files=files, leaves=100, root=ROOTS[100], read_only=True) as log:
        assert (len(log), log.root()) == (100, ROOTS[100])
        log.extend(ENTRIES[100:200])
        assert log.root() == ROOTS[200]
        with pytest.raises(ReadOnly):
            log.checkpoint()
    assert len(read_file(files, "/book/0")) == 32 * 300
    with MerkleLog("/book", files=files, leaves=100, root=ROOTS[100]) as log:
        assert len(read_file(files, "/book/0")) == 32 * 100
        log.extend(ENTRIES[100:])
        assert (log.checkpoint(), log.root(), log.verify()) == (300, ROOTS[300], None)


def test_a_checkpoint_stores_no_more_leaves_than_it_is_asked_to():
    files = RecordingFileSystem()
    with MerkleLog("/book", files=files) as log:
        log.extend(ENTRIES)
        assert (log.checkpoint(77), log.stored) == (77, 77)
        assert len(read_file(files, "/book/0")) == 32 * 77
        assert (log.checkpoint(5), log.root()) == (77, ROOTS[300])
        log.cut(77)
        with pytest.raises(Invalid, match="cut to a size from 77, which is stored, to 77, got 76"):
            log.cut(76)
        log.extend(ENTRIES[77:])
        assert (log.root(), log.checkpoint(), log.verify()) == (ROOTS[300], 300, None)


def flip(files, path, offset):
    fd = files.open(path)
    files.pwrite(fd, bytes([files.pread(fd, 1, offset)[0] ^ 4]), offset)
    files.close(fd)


def test_a_flipped_bit_in_a_level_file_lets_no_wrong_proof_out_and_is_found():
    size = 75
    for level in range(size.bit_length()):
        for index in range(size >> level):
            files = RecordingFileSystem()
            stored(files, ENTRIES[:size])
            flip(files, f"/book/{level}", 32 * index + 9)
            at_the_edge = size >> level & 1 and index == (size >> level) - 1
            if at_the_edge:
                with pytest.raises(Corrupted, match="do not lead to the root"):
                    MerkleLog("/book", files=files, leaves=size, root=ROOTS[size])
                continue
            with MerkleLog("/book", files=files, leaves=size, root=ROOTS[size]) as log:
                bad = log.verify()
                assert bad == ((level, index) if level else (1, index // 2))
                refused = 0
                for leaf in range(size):
                    try:
                        assert log.prove(leaf) == model.path(leaf, ENTRIES[:size])
                    except Corrupted:
                        refused += 1
                assert refused


@pytest.mark.parametrize("level", range(9))
def test_a_level_file_that_is_short_or_gone_is_corrupted_and_is_made_anew(level):
    for damage in ("short", "gone"):
        files = RecordingFileSystem()
        stored(files)
        if damage == "gone":
            files.unlink(f"/book/{level}")
        else:
            fd = files.open(f"/book/{level}")
            files.truncate(fd, files.size(fd) - 1)
            files.close(fd)
        with pytest.raises(Corrupted, match="open it with leaves=0"):
            MerkleLog("/book", files=files, leaves=300, root=ROOTS[300])
        stored(files)
        with MerkleLog("/book", files=files, leaves=300, root=ROOTS[300]) as log:
            assert log.verify() is None


def test_a_wrong_root_or_size_does_not_open():
    files = RecordingFileSystem()
    stored(files)
    for leaves, root in ((300, ROOTS[299]), (299, ROOTS[300]), (301, ROOTS[300]), (1 << 40, ROOTS[300])):
        with pytest.raises(Corrupted):
            MerkleLog("/book", files=files, leaves=leaves, root=root, read_only=True)
    with pytest.raises(Invalid, match="need the root"):
        MerkleLog("/book", files=files, leaves=3)
    for leaves in (-1, 1 << 64):
        with pytest.raises(Invalid, match="leaves is"):
            MerkleLog("/book", files=files, leaves=leaves, root=ROOTS[3])
    with pytest.raises(Invalid, match="leaves is"):
        MerkleLog(leaves=3, root=ROOTS[3])


def failing(call, n, number=errno.EIO):
    """A tree of 100 stored leaves and all the others, whose n-th call of a kind from now on fails."""
    files = RecordingFileSystem()
    stored(files, ENTRIES[:100])
    log = MerkleLog("/book", files=files, leaves=100, root=ROOTS[100])
    log.extend(ENTRIES[100:])
    left, inner = [n], getattr(files, call)

    def once(*arguments):
        left[0] -= 1
        if left[0] == 0:
            raise OSError(number, call)
        return inner(*arguments)

    setattr(files, call, once)
    return log


@pytest.mark.parametrize("n", [1, 4, 9])
def test_a_full_disk_refuses_a_checkpoint_which_may_be_tried_again(n):
    with failing("pwrite", n, errno.ENOSPC) as log:
        with pytest.raises(ReadOnly, match="the hashes cannot be written to /book") as refused:
            log.checkpoint()
        assert refused.value.code == "disk-full"
        assert (log.stored, log.root(), log.prove(7)) == (100, ROOTS[300], model.path(7, ENTRIES))
        assert (log.checkpoint(), log.root(), log.verify()) == (300, ROOTS[300], None)


@pytest.mark.parametrize("n", [1, 9])
def test_a_sync_that_failed_is_not_trusted_again_but_reading_goes_on(n):
    with failing("fdatasync", n) as log:
        for _ in range(2):
            with pytest.raises(Poisoned, match="close and open it again"):
                log.checkpoint()
        log.extend([b"more"])
        assert (log.stored, log.root(300), log.prove(7, 300)) == (100, ROOTS[300], model.path(7, ENTRIES))


def test_a_closed_tree_does_nothing_more():
    log = tree()
    log.close()
    reads = (log.root, log.verify, lambda: log.prove(0), lambda: log.leaf(0), lambda: log.prove_consistency(1))
    for call in (*reads, log.checkpoint, lambda: log.extend([]), lambda: log.extend_hashes(b""), lambda: log.cut(0)):
        with pytest.raises(Closed):
            call()
    log.close()


def test_threads_may_read_and_store_while_one_appends(tmp_path):
    log = MerkleLog(str(tmp_path / "book"))
    log.extend(ENTRIES[:1])
    wrong, done = [], threading.Event()

    def check():
        while not done.is_set():
            size = len(log)
            index = size // 2
            if not verify_inclusion(model.leaf(ENTRIES[index]), index, size, log.prove(index, size), ROOTS[size]):
                wrong.append(size)

    def store():
        while not done.is_set():
            log.checkpoint()

    threads = [threading.Thread(target=target) for target in (check, check, store)]
    for thread in threads:
        thread.start()
    for number in range(1, 300):
        log.extend(ENTRIES[number : number + 1])
    done.set()
    for thread in threads:
        thread.join()
    assert (wrong, log.root(), log.checkpoint(), log.verify()) == ([], ROOTS[300], 300, None)
    log.close()
