"""The hash tree as static files: what third-party monitors of transparency logs read, from any web server.

    checkpoint                 the signed note: origin, size, root (note.py); without signatures where nobody signs
    tile/0/000                 256 hashes of level 0, and so on: tile/<level of 8>/<number>
    tile/0/x001/x234/067       number 1,234,067, in groups of three digits
    tile/0/001.p/17            the last tile of a level, while it has only 17 hashes
    tile/entries/000           the entries themselves: each its length u16, big-endian, and its bytes; 256 to a file

The layout of C2SP's tlog-tiles: a hash in tile level t stands over 256^t leaves. A full tile never changes, so a second
export to the same folder writes what is new, and the checkpoint last.

Here an entry is what the ledger hashes: the 96 bytes of an entry or the 144 of a trailer. Documents stay at home.
"""

import base64
from collections.abc import Iterable
from itertools import islice
from typing import Final

from engines._native.merkle import digests
from engines.errors import Corrupted
from engines.ledger.merkle import MerkleLog
from engines.ledger.note import checkpoint
from engines.ledger.proof import Digest
from engines.storage.files import FileSystem, make_folder, read_file, write_atomically

WIDTH: Final = 256
LEVELS: Final = 8  # of the tree in one of the tiles'


def write_tiles(merkle: MerkleLog, entries: Iterable[bytes], digest: Digest, folder: str, files: FileSystem) -> int:
    """Write the tree of a digest into a folder; how many files are new. entries: all of it, from the first."""
    written = 0
    made: set[str] = set()
    _make_folders(files, folder, "", made)
    level, count = 0, digest.size
    while count:
        for number in range((count + WIDTH - 1) // WIDTH):
            width = min(WIDTH, count - number * WIDTH)
            name = f"tile/{level}/{tile_name(number, width)}"
            if not (width == WIDTH and files.exists(f"{folder}/{name}")):
                data = merkle.hashes(level * LEVELS, number * WIDTH, width)
                written += _put(files, folder, name, data, made)
        level, count = level + 1, count // WIDTH
    source = iter(entries)
    for number in range((digest.size + WIDTH - 1) // WIDTH):
        bundle = list(islice(source, min(WIDTH, digest.size - number * WIDTH)))
        name = f"tile/entries/{tile_name(number, len(bundle))}"
        if not (len(bundle) == WIDTH and files.exists(f"{folder}/{name}")):
            data = b"".join(len(entry).to_bytes(2, "big") + entry for entry in bundle)
            written += _put(files, folder, name, data, made)
    note = digest.note or checkpoint(digest.origin, digest.size, digest.root)
    write_atomically(files, f"{folder}/checkpoint", note.encode())
    return written


def tile_name(number: int, width: int) -> str:
    """Where a tile is below its level: x001/x234/067, with .p/WIDTH where it is not full."""
    digits = f"{number:03d}"
    digits = digits.zfill((len(digits) + 2) // 3 * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return name if width == WIDTH else f"{name}.p/{width}"


def verify_tiles(folder: str, files: FileSystem) -> int:
    """Read all tiles as a monitor would, and hash them again; how many leaves. Corrupted names the first bad file."""
    try:
        lines = read_file(files, f"{folder}/checkpoint").decode().split("\n")
        size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
    except (OSError, ValueError, IndexError) as error:
        raise Corrupted(
            f"{folder}/checkpoint is no checkpoint: {error}", file=f"{folder}/checkpoint", offset=0
        ) from error
    again = MerkleLog()
    for number in range((size + WIDTH - 1) // WIDTH):
        width = min(WIDTH, size - number * WIDTH)
        file = f"{folder}/tile/entries/{tile_name(number, width)}"
        leaves = digests(_bundle(_read(files, file), width, file), 0)
        tile = f"{folder}/tile/0/{tile_name(number, width)}"
        if _read(files, tile) != leaves:
            raise Corrupted(f"{tile} does not hold the hashes of the entries beside it", file=tile, offset=0)
        again.extend_hashes(leaves)
    level, count = 1, size // WIDTH
    while count:
        for number in range((count + WIDTH - 1) // WIDTH):
            width = min(WIDTH, count - number * WIDTH)
            tile = f"{folder}/tile/{level}/{tile_name(number, width)}"
            if _read(files, tile) != again.hashes(level * LEVELS, number * WIDTH, width):
                raise Corrupted(f"{tile} does not hold the hashes of the tiles below it", file=tile, offset=0)
        level, count = level + 1, count // WIDTH
    if again.root() != root:
        raise Corrupted(f"the tiles in {folder} do not lead to its checkpoint", file=f"{folder}/checkpoint", offset=0)
    return size


def _bundle(data: bytes, count: int, file: str) -> list[bytes]:
    entries, at = [], 0
    for _ in range(count):
        length = int.from_bytes(data[at : at + 2], "big")
        entries.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    if at != len(data):
        raise Corrupted(f"{file} does not hold {count} entries", file=file, offset=min(at, len(data)))
    return entries


def _read(files: FileSystem, file: str) -> bytes:
    try:
        return read_file(files, file)
    except OSError as error:
        raise Corrupted(f"{file} cannot be read: {error.strerror}", file=file, offset=0) from error


def _put(files: FileSystem, folder: str, name: str, data: bytes, made: set[str]) -> int:
    if files.exists(f"{folder}/{name}"):
        return 0
    _make_folders(files, folder, name.rpartition("/")[0], made)
    write_atomically(files, f"{folder}/{name}", data)
    return 1


def _make_folders(files: FileSystem, folder: str, inner: str, made: set[str]) -> None:
    path = folder
    for part in ["", *inner.split("/")] if inner else [""]:
        path = f"{path}/{part}" if part else path
        if path not in made:
            make_folder(files, path)
            made.add(path)
