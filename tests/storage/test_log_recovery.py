"""The Log when it opens: what is there, what is torn, what is damage. Power loss is in tests/crash/test_log.py."""

import contextlib
import os
from itertools import pairwise
from pathlib import Path

import pytest
from crash.journal import content
from crash.recorder import RecordingFileSystem
from crash.watched import WatchedFileSystem
from logs import contents, fill, flip, full, snapshot

from engines.errors import Corrupted, ReadOnly
from engines.storage import segment as segment_module
from engines.storage.log import Log
from engines.storage.segment import START


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "log")


def test_a_reopened_log_goes_on_where_it_was(path):
    for round_ in range(5):
        log = Log(path, segment=4096)
        assert len(contents(log)) == 30 * round_
        fill(log, 30)
        log.close()
    log = Log(path, segment=4096)
    sequences = [sequence for sequence, _ in contents(log)]
    assert len(sequences) == 150
    assert all(a < b for a, b in pairwise(sequences))
    assert log.verify().ok
    log.close()


def test_opening_and_closing_changes_no_byte(path):
    log = Log(path, segment=4096)
    fill(log, 50)
    log.close()
    before = snapshot(path)
    for read_only in (False, True, False):
        Log(path, segment=4096, read_only=read_only).close()
        assert snapshot(path) == before


def test_an_empty_log_reopens(path):
    Log(path).close()
    before = snapshot(path)
    log = Log(path)
    assert (log.first, log.last) == (1, 0)
    log.close()
    assert snapshot(path) == before


def test_a_small_log_is_small_again_once_it_is_closed(path):
    log = Log(path)
    log.append(b"x" * 1000)
    log.sync()
    assert sum(map(len, snapshot(path).values())) == 1 << 20
    log.close()
    assert sum(map(len, snapshot(path).values())) < 1200


def test_preallocation_doubles_up_to_the_segment_size(path):
    files = WatchedFileSystem()
    steps = []
    files.before["preallocate"] = lambda _, offset, length: steps.append((offset >> 20, length >> 20))
    log = Log(path, files=files, segment=6 << 20)
    for _ in range(14):
        log.append(bytes(1 << 19))
        log.write()
    assert steps == [(0, 1), (1, 1), (2, 2), (4, 2), (0, 1), (1, 1)]
    log.close()


def test_a_torn_tail_is_cut_off_and_written_over(path):
    log = Log(path)
    written = fill(log, 10)
    log.append(b"torn " * 100)
    log.write()
    file = Path(log.layout()[0][0])
    data = bytearray(file.read_bytes())
    end = log.layout()[0][3]
    log.close()
    data[end - 200] ^= 1
    file.write_bytes(data)
    log = Log(path)
    assert log.damage is None
    assert contents(log) == written
    assert log.append(b"again") == 11
    log.close()
    assert contents(Log(path, read_only=True)) == [*written, (11, b"again")]


def test_a_torn_tail_is_not_cut_by_a_reader(path):
    log = Log(path)
    written = fill(log, 10)
    file = Path(log.layout()[0][0])
    log.close()
    file.write_bytes(file.read_bytes()[:-50])  # the note of the close and half of a frame
    before = snapshot(path)
    log = Log(path, read_only=True)
    assert contents(log) == written[:9]
    log.close()
    assert snapshot(path) == before


def test_a_clean_close_vouches_for_all_that_was_ever_taken(path):
    """Also for what was synced by nothing but the close."""
    log = Log(path, durability="checkpoint")
    for _ in range(20):
        log.append(b"x" * 100)
    log.close()
    file = Path(log.layout()[0][0])
    data = bytearray(file.read_bytes())
    data[START + 136 * 10 + 50] ^= 1
    file.write_bytes(data)
    log = Log(path)
    assert log.damage is not None
    assert log.damage.offset == START + 136 * 10
    log.close()
    assert file.read_bytes() == data


def test_damage_opens_read_only_and_keeps_what_stands_before_it(path):
    log = Log(path)
    for _ in range(5):
        log.sync(log.append(b"x" * 100))
    log.close()
    file = Path(log.layout()[0][0])
    data = bytearray(file.read_bytes())
    data[START + 2 * 136 + 40] ^= 1
    file.write_bytes(data)
    log = Log(path)
    assert log.read_only
    assert not log.failed
    assert log.damage.file == str(file)
    assert log.damage.offset == START + 2 * 136
    assert [sequence for sequence, _ in contents(log)] == [1, 2]
    report = log.verify()
    assert [(problem.file, problem.offset) for problem in report.problems] == [(str(file), START + 2 * 136)]
    for attempt in (lambda: log.append(b"x"), lambda: log.trim(2)):
        with pytest.raises(Corrupted):
            attempt()
    log.close()
    assert file.read_bytes() == data


@pytest.fixture
def three_segments(path):
    log = Log(path, segment=4096)
    fill(log, 70)
    layout = log.layout()
    assert len(layout) == 3
    log.close()
    return layout


@pytest.mark.parametrize("where", ["header", "first frame", "last frame", "behind the frames"])
def test_any_bad_byte_in_a_segment_but_the_last_is_damage(path, three_segments, where):
    file, first, last, end = three_segments[1]
    at = {"header": 9, "first frame": START + 40, "last frame": end - 20, "behind the frames": end + 3}[where]
    if where == "behind the frames":
        Path(file).write_bytes(Path(file).read_bytes()[:end].ljust(end + 8, b"\0"))
    flip(file, at)
    log = Log(path, segment=4096)
    assert log.damage is not None
    assert log.damage.file == file
    kept = {"header": first - 1, "first frame": first - 1, "last frame": last - 1, "behind the frames": last}[where]
    assert log.last == kept
    assert not log.verify().ok
    log.close()
    with contextlib.suppress(Corrupted):  # what stands behind it is not read, whatever one has applied
        log = Log(path, segment=4096, recovered_to=first - 1)
        assert log.damage is not None
        log.close()


def test_a_missing_segment_is_damage(path, three_segments):
    Path(three_segments[1][0]).unlink()
    log = Log(path, segment=4096)
    assert "missing" in str(log.damage)
    assert log.last == three_segments[0][2]
    assert not log.verify().ok
    log.close()


def test_a_log_that_ends_before_what_was_applied_is_corrupted(path, three_segments):
    last = three_segments[-1][2] + 1  # and the close
    Log(path, recovered_to=last).close()
    with pytest.raises(Corrupted, match="ends at"):
        Log(path, recovered_to=last + 1)
    for file, *_ in three_segments[:2]:
        Path(file).unlink()
    Log(path, recovered_to=three_segments[2][1] - 1).close()
    with pytest.raises(Corrupted, match="begins at"):
        Log(path, recovered_to=1)
    Path(three_segments[2][0]).unlink()
    with pytest.raises(Corrupted, match="empty"):
        Log(path, recovered_to=1)


def test_what_was_applied_vouches_for_the_very_last_frame(path):
    log = Log(path)
    fill(log, 5)
    file, _, _, end = log.layout()[0]
    log.close()
    Path(file).write_bytes(Path(file).read_bytes()[: end - 1])
    with pytest.raises(Corrupted, match="ends at 4"):
        Log(path, recovered_to=5)


def test_only_the_segments_that_may_matter_are_read_on_opening(path, three_segments):
    flip(three_segments[0][0], START + 40)
    log = Log(path, segment=4096, recovered_to=three_segments[2][1])
    assert log.damage is None
    with pytest.raises(Corrupted, match="frame 1 "):
        contents(log)
    assert [problem.file for problem in log.verify().problems] == [three_segments[0][0]]
    log.close()


def test_segments_that_were_being_born_are_removed(path, three_segments):
    """Two rolls before the first write, then a crash: files of zeros, which no frame was ever written to."""
    last = three_segments[-1][2] + 1
    for first in (last + 1, last + 40):
        Path(path, f"{first:020d}.log").write_bytes(bytes(4096))
    before = snapshot(path)
    log = Log(path, segment=4096, read_only=True)
    assert log.damage is None
    assert len(log.layout()) == 3
    log.close()
    assert snapshot(path) == before
    log = Log(path, segment=4096)
    assert log.damage is None
    assert log.last == last
    assert len(snapshot(path)) == 3
    log.close()


def test_a_first_segment_that_was_being_born_is_made_again(path):
    Path(path).mkdir()
    Path(path, f"{1:020d}.log").write_bytes(bytes(1000))
    log = Log(path)
    assert log.append(b"x") == 1
    log.close()


def test_a_segment_with_a_broken_header_and_frames_behind_it_is_damage(path, three_segments):
    flip(three_segments[2][0], 20)
    log = Log(path, segment=4096)
    assert log.damage.file == three_segments[2][0]
    assert log.last == three_segments[1][2]
    log.close()


def test_a_log_whose_only_header_is_broken_shows_nothing_and_loses_nothing(path):
    log = Log(path)
    fill(log, 3)
    log.close()
    flip(log.layout()[0][0], 3)
    before = snapshot(path)
    log = Log(path)
    assert log.damage is not None
    assert contents(log) == []
    assert (log.first, log.last) == (1, 0)
    assert not log.verify().ok
    log.close()
    assert snapshot(path) == before


def test_a_segment_of_another_log_is_damage(path, tmp_path, three_segments):
    other = Log(str(tmp_path / "other"), segment=4096)
    fill(other, 70)
    other.close()
    name = os.path.basename(three_segments[1][0])
    Path(path, name).write_bytes((tmp_path / "other" / name).read_bytes())
    log = Log(path, segment=4096)
    assert log.damage.file.endswith(name)
    log.close()


def test_files_that_are_no_segments_are_left_alone(path):
    Log(path).close()
    Path(path, "notes.log").write_bytes(b"mine")
    Path(path, "README").write_bytes(b"mine")
    log = Log(path)
    assert log.verify().ok
    log.close()
    assert Path(path, "notes.log").read_bytes() == b"mine"


def test_reading_a_frame_that_was_damaged_while_the_log_was_open_names_it(path):
    log = Log(path)
    fill(log, 10)
    flip(log.layout()[0][0], START + 3 * 136 + 50)
    with pytest.raises(Corrupted, match="frame 4 at offset"):
        contents(log)
    report = log.verify()
    assert not report.ok
    assert report.problems[0].offset == START + 3 * 136
    log.close()


def test_a_read_only_log_takes_nothing(path):
    log = Log(path)
    written = fill(log, 3)
    reader = Log(path, read_only=True)  # beside the writer
    assert contents(reader) == written
    with pytest.raises(ReadOnly, match="read_only"):
        reader.append(b"x")
    reader.sync()
    assert reader.verify().ok
    reader.close()
    log.close()


def test_a_log_of_one_frame_a_segment_works(path):
    log = Log(path, segment=100)
    written = fill(log, 20)
    assert len(log.layout()) == 20
    assert contents(log) == written
    log.trim(10)
    log.close()
    log = Log(path, segment=100)
    assert contents(log) == written[9:]
    assert log.verify().ok
    log.close()


def test_layout_lists_the_segments(path, three_segments):
    log = Log(path, segment=4096)
    assert [(file, first) for file, first, _, _ in log.layout()] == [(each[0], each[1]) for each in three_segments]
    assert log.layout()[-1][2] == log.last
    log.close()


def test_a_header_that_fails_its_checksum_is_none():
    whole = segment_module.encode_header(5, 1).ljust(START, b"\0")
    assert segment_module.decode_header(whole) == (5, 1)
    for at in range(START):
        assert segment_module.decode_header(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]) is None
        assert segment_module.decode_header(whole[:at]) is None


def test_a_first_segment_that_cannot_be_made_leaves_nothing(tmp_path):
    files = WatchedFileSystem()
    files.before["preallocate"] = full
    with pytest.raises(ReadOnly, match="the disk is full"):
        Log(str(tmp_path / "log"), files=files)
    assert os.listdir(tmp_path / "log") == []
    Log(str(tmp_path / "log")).close()


def test_a_recorder_image_opens_like_a_folder():
    files = RecordingFileSystem({"/log": None, f"/log/{1:020d}.log": content(b"")})
    log = Log("/log", files=files)
    assert log.append(b"x") == 1
    log.close()


def test_a_log_that_is_damaged_before_what_was_applied_can_still_be_opened_to_read(tmp_path):
    path = str(tmp_path / "log")
    log = Log(path)
    for i in range(9):
        log.sync(log.append(b"%d" % i * 40))
    log.close()
    (segment,) = tmp_path.joinpath("log").iterdir()
    data = bytearray(segment.read_bytes())
    data[64 + 3 * 72 + 40] ^= 1  # in the fourth frame
    segment.write_bytes(data)
    with pytest.raises(Corrupted):
        Log(path, recovered_to=9)
    reader = Log(path, recovered_to=9, read_only=True)
    assert reader.last == 3
    assert len(list(reader.read())) == 3
    assert not reader.verify().ok


def test_verify_names_what_was_damaged_while_the_log_was_open(path, three_segments):
    log = Log(path, segment=4096)
    first, second, _ = three_segments
    flip(first[0], 10)
    with open(second[0], "r+b") as file:
        file.seek(second[3] + 8)
        file.write(b"junk")
    problems = [(problem.file, problem.offset) for problem in log.verify().problems]
    assert problems == [(first[0], 0), (second[0], second[3])]
    log.close()
