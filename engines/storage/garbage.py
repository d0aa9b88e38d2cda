"""Garbage collection of Blobs: mark from the roots, condemn the rest, delete what stood condemned long enough.

    path/condemned    MessagePack map {digest or ab/N.tmp: when first found unwanted, microseconds}; a hint, not a
                      truth: a damaged or lost one counts as empty, and the garbage lives for another grace

The grace covers readers in other processes, which hold a manifest that this process no longer wants. It runs from when
a blob was first found unwanted, not from when it was written, because that is the moment from which they need it; and
so it works on any clock, a ManualClock too. A deleted file that is still mapped stays readable.

Invariants: gc deletes nothing that a root reaches. An error while marking deletes nothing at all.
"""

from collections.abc import Callable, Iterable

import msgspec

from engines.clock import MICROSECONDS, Clock
from engines.errors import Invalid
from engines.storage.blobs import Blobs, Collected
from engines.storage.files import disk_error, disk_errors, read_file, write_atomically

CONDEMNED = "condemned"


def gc(
    blobs: Blobs, roots: Iterable[str], children: Callable[[str], Iterable[str]], *, grace: float = 3600, clock: Clock
) -> Collected:
    """Delete what no root reaches and has been unwanted for at least grace seconds by the clock.

    roots: the digests of all refs, and of the manifests that open readers of this process use. children(digest) names
    the blobs that a blob mentions, none for most; it is asked once for each that is reached (`manifest.children_of`
    suits stores of Manifests). Hold the writer's lock: a blob that is put now and named by a ref later must not be
    collected in between. Without a path there are no other processes and nowhere to wait: grace counts as 0.
    """
    if grace < 0:
        raise Invalid(f"grace is in seconds and not negative, got {grace}")
    wanted = reach(roots, children)
    if blobs.path is None:
        return blobs.sweep(wanted)
    before, now = _read(blobs), clock.now()
    since = {name: min(before.get(name, now), now) for name in blobs.everything() if name not in wanted}
    waiting = {name: found for name, found in since.items() if now - found < grace * MICROSECONDS}
    removed = blobs.remove(name for name in since if name not in waiting)
    if waiting != before:
        with disk_errors(f"{blobs.path}/{CONDEMNED} cannot be written"):
            write_atomically(blobs.files, f"{blobs.path}/{CONDEMNED}", msgspec.msgpack.encode(waiting))
    return Collected(removed.blobs, removed.bytes, len(waiting))


def reach(roots: Iterable[str], children: Callable[[str], Iterable[str]]) -> set[str]:
    """The roots, their children, the children of those, and so on."""
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        digest = waiting.pop()
        if digest not in reached:
            reached.add(digest)
            waiting += children(digest)
    return reached


def _read(blobs: Blobs) -> dict[str, int]:
    file = f"{blobs.path}/{CONDEMNED}"
    try:
        return msgspec.msgpack.decode(read_file(blobs.files, file), type=dict[str, int])
    except (FileNotFoundError, msgspec.MsgspecError):
        return {}
    except OSError as error:
        raise disk_error(f"{file} cannot be read", error) from error
