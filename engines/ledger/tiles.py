"""The hash tree as static files: what third-party monitors of transparency logs read, from any web server.

    checkpoint                 the signed note: origin, size, root (note.py); without signatures where nobody signs
    tile/0/000                 256 hashes of level 0, and so on: tile/<level of 8>/<number>
    tile/0/x001/x234/067       number 1,234,067, in groups of three digits
    tile/0/001.p/17            the last tile of a level, while it has only 17 hashes
    tile/entries/000           the entries themselves: each its length u16, big-endian, and its bytes; 256 to a file

The layout of C2SP's tlog-tiles: a hash in tile level t stands over 256^t leaves. A full tile never changes, so a
second export to the same folder writes what is new, and the checkpoint last: until then the old one holds, whose tiles
are all still there. What an export wrote that did not come to its checkpoint is nobody's word, and is written again.

Here an entry is what the ledger hashes: the 96 bytes of an entry or the 144 of a trailer. Documents stay at home.

Invariants: a checkpoint stands for the tiles beside it; write_tiles never puts the tiles of two trees into one folder;
verify_tiles ends for any bytes, with the number of leaves or with Corrupted.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from engines._native.merkle import digests
from engines.errors import AlreadyExists, Corrupted, Invalid
from engines.ledger.merkle import MerkleLog
from engines.ledger.note import checkpoint, decoded, is_checkpoint, opened
from engines.ledger.proof import Digest
from engines.storage.files import FileSystem, make_folder, read_file, write_atomically

WIDTH: Final = 256
LEVELS: Final = 8  # of the tree in one of the tiles'
LENGTH_BYTES: Final = 2


def write_tiles(merkle: MerkleLog, entries: Iterable[bytes], digest: Digest, folder: str, files: FileSystem) -> int:
    """Write the tree of a digest into a folder, which is made if need be; how many files are written, but the last.

    entries: all of the digest's, from the first. Invalid if they are fewer. AlreadyExists, and nothing is written,
    where the folder holds the tiles of a tree that is not the beginning of this one.
    """
    before = _size_before(merkle, digest, folder, files)
    written = 0
    made: set[str] = set()
    _make_folders(files, folder, "", made)
    level, count, old = 0, digest.size, before
    while count:
        for number in range((count + WIDTH - 1) // WIDTH):
            width = min(WIDTH, count - number * WIDTH)
            name = f"tile/{level}/{tile_name(number, width)}"
            if not (_was_there(number, width, old) and files.exists(f"{folder}/{name}")):
                _put(files, folder, name, merkle.hashes(level * LEVELS, number * WIDTH, width), made)
                written += 1
        level, count, old = level + 1, count // WIDTH, old // WIDTH
    source = iter(entries)
    for number in range((digest.size + WIDTH - 1) // WIDTH):
        width = min(WIDTH, digest.size - number * WIDTH)
        bundle = list(islice(source, width))
        if len(bundle) != width:
            raise Invalid(f"a digest of {digest.size} leaves needs as many entries, got {number * WIDTH + len(bundle)}")
        name = f"tile/entries/{tile_name(number, width)}"
        if not (_was_there(number, width, before) and files.exists(f"{folder}/{name}")):
            data = b"".join(len(entry).to_bytes(LENGTH_BYTES, "big") + entry for entry in bundle)
            _put(files, folder, name, data, made)
            written += 1
    note = digest.note or checkpoint(digest.origin, digest.size, digest.root)
    write_atomically(files, f"{folder}/checkpoint", note.encode())
    return written


def _size_before(merkle: MerkleLog, digest: Digest, folder: str, files: FileSystem) -> int:
    """How many leaves the checkpoint in the folder stands for; 0 where there is none."""
    if not files.exists(f"{folder}/checkpoint"):
        return 0
    origin, size, root = _read_checkpoint(folder, files)
    if origin != digest.origin or size > digest.size or merkle.root(size) != root:
        raise AlreadyExists(
            f"{folder} holds the tiles of {origin} with {size} leaves, which this ledger of {digest.size} does not "
            "begin with: name another folder"
        )
    return size


def _was_there(number: int, width: int, count: int) -> bool:
    """Whether a level that had so many hashes, or a log of so many entries, had this very tile."""
    return count >= (number + 1) * WIDTH if width == WIDTH else count == number * WIDTH + width


def tile_name(number: int, width: int) -> str:
    """Where a tile is below its level: x001/x234/067, with .p/WIDTH where it is not full."""
    digits = f"{number:03d}"
    digits = digits.zfill((len(digits) + 2) // 3 * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return name if width == WIDTH else f"{name}.p/{width}"


def verify_tiles(folder: str, files: FileSystem) -> int:
    """Read all tiles as a monitor would, and hash them again; how many leaves. Corrupted names the first bad file.

    Signatures are for verify_note() to judge.
    """
    _, size, root = _read_checkpoint(folder, files)
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


def _read_checkpoint(folder: str, files: FileSystem) -> tuple[str, int, bytes]:
    """Origin, size and root."""
    file = f"{folder}/checkpoint"
    try:
        note = _read(files, file).decode()
        text = note if is_checkpoint(note) else opened(note)[0]
    except (ValueError, Invalid) as error:
        raise Corrupted(f"{file} is no checkpoint: {error}", file=file, offset=0) from error
    origin, size, root = text.split("\n")[:3]
    return origin, int(size), decoded(root) or b""


def _bundle(data: bytes, count: int, file: str) -> list[bytes]:
    entries, at = [], 0
    for _ in range(count):
        start = at + LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        entries.append(data[start:at])
    if at != len(data):
        raise Corrupted(f"{file} does not hold {count} entries", file=file, offset=min(at, len(data)))
    return entries


def _read(files: FileSystem, file: str) -> bytes:
    try:
        return read_file(files, file)
    except OSError as error:
        raise Corrupted(f"{file} cannot be read: {error.strerror or error}", file=file, offset=0) from error


def _put(files: FileSystem, folder: str, name: str, data: bytes, made: set[str]) -> None:
    _make_folders(files, folder, name.rpartition("/")[0], made)
    write_atomically(files, f"{folder}/{name}", data)


def _make_folders(files: FileSystem, folder: str, inner: str, made: set[str]) -> None:
    path = folder
    for part in ["", *inner.split("/")] if inner else [""]:
        path = f"{path}/{part}" if part else path
        if path not in made:
            make_folder(files, path)
            made.add(path)
