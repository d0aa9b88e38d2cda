"""What a recorder writes down, and the inodes that it speaks of.

    journal     what it says                                                 sure after
    Start       the image the recorder began with                            at once
    Write       bytes at an offset of a file                                 Sync of the file
    Extend      zeros up to a length, nothing if it is longer (preallocate)  Sync of the file
    Truncate    exactly this length                                          Sync of the file
    Replace     the whole content, old or new (an LMDB commit)               at once
    Sync        fdatasync of a file that returned
    Lost        fdatasync that failed: what was unsynced never arrives, and a later sync that succeeds proves nothing
    Folder      this inode is a directory                                    as its name
    Entries     names of a directory: created, renamed in one step, gone     EntriesSync of the directory
    EntriesSync fsync of a directory that returned
    Mark        what the engine has just acknowledged: `mark(anything)`

Files and directories are inodes, numbered alike in the recorder and in states.Disk, which loads the same image. Names
live in the directory that holds them, so a file in a folder whose own name was never synced goes with the folder.
"""

import posixpath
from collections.abc import Callable
from typing import Any, NamedTuple

ROOT = 0


class Content(NamedTuple):
    """A file of an image: its bytes without the zeros at the end, and its length with them."""

    data: bytes
    size: int

    def expand(self) -> bytes:
        return self.data.ljust(self.size, b"\0")


Image = dict[str, Content | None]  # absolute path -> content, None for a directory; parents before their children


def content(data: bytes) -> Content:
    return Content(data.rstrip(b"\0"), len(data))


class Start(NamedTuple):
    image: Image


class Write(NamedTuple):
    inode: int
    offset: int
    data: bytes


class Extend(NamedTuple):
    inode: int
    length: int


class Truncate(NamedTuple):
    inode: int
    length: int


class Replace(NamedTuple):
    inode: int
    data: bytes


class Sync(NamedTuple):
    inode: int


class Lost(NamedTuple):
    inode: int


class Folder(NamedTuple):
    inode: int


class Entries(NamedTuple):
    directory: int
    changes: tuple[tuple[str, int | None], ...]


class EntriesSync(NamedTuple):
    directory: int


class Mark(NamedTuple):
    what: Any


Change = Write | Extend | Truncate | Replace
Operation = Start | Change | Sync | Lost | Folder | Entries | EntriesSync | Mark


class File:
    """Bytes with an implied tail of zeros: a preallocated megabyte costs nothing until it is written or read."""

    __slots__ = ("data", "size")

    def __init__(self, start: Content | None = None) -> None:
        self.data = bytearray(start.data if start else b"")
        self.size = start.size if start else 0

    def apply(self, change: Change) -> None:
        if type(change) is Write:
            end = change.offset + len(change.data)
            if len(self.data) < change.offset:
                self.data.extend(bytes(change.offset - len(self.data)))
            self.data[change.offset : end] = change.data
            self.size = max(self.size, end)
        elif type(change) is Extend:
            self.size = max(self.size, change.length)
        elif type(change) is Truncate:
            del self.data[change.length :]
            self.size = change.length
        else:
            self.data[:] = change.data
            self.size = len(change.data)

    def read(self, length: int, offset: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        return bytes(self.data[offset : offset + length]).ljust(length, b"\0")

    def freeze(self) -> Content:
        return Content(bytes(self.data).rstrip(b"\0"), self.size)


Directories = dict[int, dict[str, int]]


def load(image: Image) -> tuple[Directories, dict[int, File]]:
    """The inodes of an image: numbered in its order, so that whoever loads it numbers them alike."""
    directories: Directories = {ROOT: {}}
    files: dict[int, File] = {}
    numbers = {"/": ROOT}
    for path, found in image.items():
        numbers[path] = inode = len(numbers)
        parent, name = posixpath.split(path)
        directories[numbers[parent]][name] = inode
        if found is None:
            directories[inode] = {}
        else:
            files[inode] = File(found)
    return directories, files


def change_entries(entries: dict[str, int], changes: tuple[tuple[str, int | None], ...]) -> None:
    for name, inode in changes:
        if inode is None:
            entries.pop(name, None)
        else:
            entries[name] = inode


def walk(directories: Directories, read: Callable[[int], Any]) -> dict[str, Any]:
    """The image of a tree of directories; read(inode) gives the content of a file."""
    image: dict[str, Any] = {}
    waiting = [("", ROOT)]
    for path, directory in waiting:  # the list grows while it is walked: breadth first
        for name, inode in directories[directory].items():
            if inode in directories:
                image[f"{path}/{name}"] = None
                waiting.append((f"{path}/{name}", inode))
            else:
                image[f"{path}/{name}"] = read(inode)
    return image
