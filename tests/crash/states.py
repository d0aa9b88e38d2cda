"""From a journal of file operations to every disk that a power loss may leave, and an oracle held against each.

The model is weaker than ext4, so what survives it survives ext4:

    data      a change of a file is sure after a sync of that file. Before, any subset of the changes may be there, each
              write torn: any subset of its 512-byte sectors, a part of a single sector, or its length without its bytes
    names     a create, rename, unlink or mkdir is sure after a sync of that directory. Before, any prefix of them may
              be there; directories do not wait for each other, and a lost folder loses what is in it

Where to crash: between two acknowledgements only syncs take possibilities away, and every change adds some. So the
disks just before each sync and each acknowledgement are all that there are; crashing elsewhere finds nothing new.

Not every subset is tried: each prefix of the loose changes, each prefix with the next one torn, all subsets of few and
random ones of many; each prefix of each directory, all combinations of few and random ones of many. check() counts
distinct disks only.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, islice, pairwise, product
from typing import Any

from crash.journal import (
    Change,
    Content,
    Entries,
    EntriesSync,
    Extend,
    File,
    Folder,
    Image,
    Lost,
    Mark,
    Operation,
    Replace,
    Start,
    Sync,
    Write,
    change_entries,
    load,
    walk,
)
from crash.recorder import RecordingFileSystem

SECTOR = 512
FEW = 4  # all subsets of so many loose changes
LONG = 48  # of more loose changes, prefixes are sampled
STATES = 400  # the most disks from one crash point, before duplicates are dropped

Workload = Callable[[RecordingFileSystem], int | None]
Oracle = Callable[[RecordingFileSystem, list[Any]], str | None]


class Disk:
    """What a journal has made sure so far, and what is still loose. apply() moves on by one operation."""

    def __init__(self) -> None:
        self._directories, self._files = load({})
        self._loose: list[Change] = []
        self._loose_entries: dict[int, list[Entries]] = {}
        self._sure: dict[int, Content] = {}  # frozen when first asked for

    def apply(self, operation: Operation) -> None:
        match operation:
            case Start(image):
                self._directories, self._files = load(image)
            case Folder(inode):
                self._directories[inode] = {}
            case Entries(directory):
                self._loose_entries.setdefault(directory, []).append(operation)
            case EntriesSync(directory):
                for entries in self._loose_entries.pop(directory, ()):
                    change_entries(self._directories[directory], entries.changes)
            case Sync(inode):
                self._settle(inode, [change for change in self._loose if change.inode == inode])
            case Lost(inode):
                self._settle(inode, [])
            case Replace(inode):
                self._settle(inode, [operation])
            case Mark():
                pass
            case _:
                self._loose.append(operation)

    def _settle(self, inode: int, changes: list[Change]) -> None:
        """These changes of a file are sure now, its other loose ones are gone."""
        file = self._files.setdefault(inode, File())
        for change in changes:
            file.apply(change)
        self._loose = [change for change in self._loose if change.inode != inode]
        self._sure.pop(inode, None)

    def states(self, rng: random.Random, samples: int) -> Iterator[Image]:
        """The disks that a power loss may leave now; some may come twice."""
        contents = [self._contents(kept) for kept in _selections(self._loose, rng, samples)]
        names = [self._names(kept) for kept in _prefixes(self._loose_entries, rng, samples)]
        if len(contents) * len(names) <= STATES:
            pairs = list(product(contents, names))
        else:
            pairs = [(found, names[-1]) for found in contents[:STATES]]
            pairs += [(found, kept) for found in (contents[0], contents[1]) for kept in names]
            pairs += [(rng.choice(contents), rng.choice(names)) for _ in range(STATES - len(pairs))]
        for found, kept in pairs:
            yield {
                path: None if inode is None else found.get(inode) or self._content(inode)
                for path, inode in kept.items()
            }

    def _contents(self, kept: list[Change]) -> dict[int, Content]:
        """The files that these loose changes touch, as they then are."""
        files: dict[int, File] = {}
        for change in kept:
            if change.inode not in files:
                files[change.inode] = File(self._content(change.inode))
            files[change.inode].apply(change)
        return {inode: file.freeze() for inode, file in files.items()}

    def _names(self, kept: dict[int, int]) -> dict[str, int | None]:
        """Every path, and its inode or None for a directory, when so many loose entries of each directory are there."""
        directories = dict(self._directories)
        for directory, count in kept.items():
            directories[directory] = dict(directories[directory])
            for entries in self._loose_entries[directory][:count]:
                change_entries(directories[directory], entries.changes)
        return walk(directories, lambda inode: inode)

    def _content(self, inode: int) -> Content:
        if inode not in self._sure:
            self._sure[inode] = self._files.setdefault(inode, File()).freeze()
        return self._sure[inode]


def _selections(loose: list[Change], rng: random.Random, samples: int) -> list[list[Change]]:
    """Which loose changes reach the disk: all of them, none, prefixes, the next one torn, subsets."""
    count = len(loose)
    cuts = range(count + 1) if count <= LONG else sorted({0, count, *rng.sample(range(count), LONG)})
    found = [loose, []] + [loose[:cut] for cut in cuts if 0 < cut < count]
    if 1 < count <= FEW:
        found += [list(some) for size in range(1, count) for some in combinations(loose, size)]
    for cut in cuts:
        if cut < count and type(loose[cut]) is Write:
            found.append(loose[:cut] + torn(loose[cut], rng))
    for _ in range(samples if count else 0):
        found.append(kept := [])
        for change in loose:
            chance = rng.random()
            if chance < 0.4:
                kept.append(change)
            elif chance < 0.7:
                kept += torn(change, rng) if type(change) is Write else [change]
    return found


def torn(write: Write, rng: random.Random) -> list[Change]:
    """The parts of one write that reach the disk when the power fails during it."""
    inode, offset, data = write
    if rng.random() < 0.1:
        return [Extend(inode, offset + len(data))]
    cuts = [0, *range(SECTOR - offset % SECTOR, len(data), SECTOR), len(data)]
    if len(cuts) == 2:
        return [Write(inode, offset, data[: rng.randrange(len(data) + 1)])]
    return [Write(inode, offset + low, data[low:high]) for low, high in pairwise(cuts) if rng.random() < 0.5]


def _prefixes(loose: dict[int, list[Entries]], rng: random.Random, samples: int) -> list[dict[int, int]]:
    """How many loose entries of each directory reach the disk; the last one is: all of them."""
    everything = {directory: len(entries) for directory, entries in loose.items()}
    combinations_ = 1
    for count in everything.values():
        combinations_ *= count + 1
    if combinations_ <= max(samples, 16):
        return [
            dict(zip(everything, kept, strict=True)) for kept in product(*(range(n + 1) for n in everything.values()))
        ]
    found = [dict.fromkeys(everything, 0)]
    for directory, count in everything.items():
        for kept in rng.sample(range(count), min(count, samples)):
            found += [{**everything, directory: kept}]
    found += [{directory: rng.randint(0, count) for directory, count in everything.items()} for _ in range(samples)]
    return [*found, everything]


def crash_states(journal: list[Operation], upto: int, rng: random.Random, samples: int = 24) -> Iterator[Image]:
    """Every different disk that a power loss just after journal[:upto] may leave."""
    disk = Disk()
    for operation in journal[:upto]:
        disk.apply(operation)
    seen: set[int] = set()
    for image in disk.states(rng, samples):
        key = hash(frozenset(image.items()))
        if key not in seen:
            seen.add(key)
            yield image


def stopped(files: RecordingFileSystem, rng: random.Random, *, killed: bool, first: int) -> Image:
    """A disk as a stop leaves it: what the kernel has (killed), or one of the first of those after a power loss."""
    if killed:
        return files.image()
    return rng.choice(list(islice(crash_states(files.journal, len(files.journal), rng, 2), first)))


def all_states(
    journal: list[Operation], rng: random.Random, samples: int = 24, *, since: int = 0
) -> Iterator[tuple[int, list[Any], Image]]:
    """(operations done, acknowledged so far, disk) for every moment; a disk comes once between two acknowledgements."""
    disk, acknowledged, seen, news = Disk(), [], set(), False
    for done in range(len(journal) + 1):
        operation = journal[done] if done < len(journal) else None
        if news and done >= since and isinstance(operation, Sync | EntriesSync | Replace | Lost | Mark | None):
            news = False
            for image in disk.states(rng, samples):
                key = hash(frozenset(image.items()))
                if key not in seen:
                    seen.add(key)
                    yield done, acknowledged, image
        if operation is None:
            return
        disk.apply(operation)
        if isinstance(operation, Mark):
            acknowledged = [*acknowledged, operation.what]
            seen = set()
        news = news or not isinstance(operation, Sync | EntriesSync | Lost)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many distinct disks were judged, how many broke a rule, and the first of those with its reason."""

    images: int
    violations: int
    first: str | None
    image: Image | None

    def __str__(self) -> str:
        return f"{self.images:6} images, {self.violations} violations{f': {self.first}' if self.first else ''}"


def check(
    workload: Workload, oracle: Oracle, seed: int = 0, *, samples: int = 24, image: Image | None = None
) -> Outcome:
    """Run a workload once, crash it everywhere, hold the oracle against every disk.

    oracle(files, acknowledged) opens the engine on the disk and says what is wrong, or None; that opening raises is
    wrong, too. image is the disk that the workload begins with. A workload may return how many operations it had
    journalled before the part of interest: it is then crashed only after these.
    """
    recorder, rng = RecordingFileSystem(image), random.Random(seed)  # noqa: S311 - the same images in each run
    since = workload(recorder) or 0
    recorder.close_all()
    images = violations = 0
    first, at_fault = None, None
    for done, acknowledged, found in all_states(recorder.journal, rng, samples, since=since):
        images += 1
        files = RecordingFileSystem(found)
        try:
            problem = oracle(files, acknowledged)
        except Exception as error:  # noqa: BLE001 - that recovery fails is what is looked for
            problem = f"recovery raised {type(error).__name__}: {error}"
        files.close_all()
        if problem:
            violations += 1
            if first is None:
                first, at_fault = f"after operation {done}, {acknowledged[-1:]} acknowledged: {problem}", found
    return Outcome(images, violations, first, at_fault)
