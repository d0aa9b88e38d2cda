"""What tests of logs share: filling one, reading it back, looking at its folder, flipping a bit."""

import errno
import os
from pathlib import Path


def fill(log, count, size=100):
    """Append that many frames, sync, and say what they hold."""
    payloads = [b"%d:" % i + bytes([i % 251]) * size for i in range(count)]
    written = [(log.append(payload), payload) for payload in payloads]
    log.sync()
    return written


def contents(log, after=None):
    return [(found.sequence, bytes(found.payload)) for found in log.read(log.first - 1 if after is None else after)]


def snapshot(folder):
    """Every byte of a folder's files."""
    return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def flip(file, at):
    """Change one bit of one byte."""
    data = bytearray(Path(file).read_bytes())
    data[at] ^= 1
    Path(file).write_bytes(data)


def full(*_):
    """As WatchedFileSystem.before[...]: there is no room left."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
