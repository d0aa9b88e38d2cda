"""What goes in: items and the keys that are asked for, generated from a seed, the same on every machine.

    item    {"id": "user00000042", "field0": 100 letters, ... "field9": 100 letters}      about 1.1 KB, as in YCSB
    keys    zipfian with exponent 0.99, scrambled: rank k is drawn with weight k ** -0.99, and a seeded permutation says
            which item has rank k, so popular items lie scattered over the key space. YCSB scatters them with a hash,
            which leaves a third of the items without a rank; here each item has one.
    scale   how much of it: "smoke" proves that everything runs and answers, "small" measures, "full" is published

Nothing is tiled or repeated to make it longer: letters are drawn one by one, so a compressing peer finds no pattern
that real data would not have.

Invariants: equal arguments give equal data; two rounds never write the same version of an item.
"""

from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np

FIELDS = [f"field{i}" for i in range(10)]
LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)


@dataclass(frozen=True, slots=True)
class Scale:
    """How many items, how many operations a lap, and how many laps each system runs."""

    name: str
    items: int
    operations: int
    rounds: int
    commits: int  # syncs a lap, in rows that wait for the disk
    commit_rounds: int
    killed: int  # items in the store that is killed, a twentieth of them written after its last checkpoint
    streak: int  # operations in a row of the sustained mix; 0: not run


SCALES = {
    scale.name: scale
    for scale in (
        Scale("smoke", 500, 400, 3, 3, 2, 10_000, 0),
        Scale("small", 20_000, 5_000, 15, 10, 12, 100_000, 0),
        Scale("full", 50_000, 10_000, 25, 25, 20, 1_000_000, 200_000),
    )
}


def texts(count: int, length: int, seed: int) -> list[str]:
    """count random strings of that length."""
    letters = LETTERS[np.random.default_rng(seed).integers(0, 64, count * length, np.uint8)].tobytes().decode()
    return [letters[i : i + length] for i in range(0, len(letters), length)]


class Items:
    """n items of ten fields and the random choices made among them; everything follows from the seed."""

    def __init__(self, n: int, seed: int = 1) -> None:
        self.n = n
        self.seed = seed
        self.keys = [f"user{i:08d}" for i in range(n)]
        fields = texts(10 * n, 100, seed)
        self.items = [
            {"id": key} | dict(zip(FIELDS, fields[10 * i : 10 * i + 10], strict=True))
            for i, key in enumerate(self.keys)
        ]
        random = np.random.default_rng([seed, 1])
        self.order = random.permutation(n).tolist()  # in which items are loaded: B-trees like sorted keys too much
        self._by_rank = random.permutation(n)
        weights = np.cumsum(np.arange(1, n + 1) ** -0.99)
        self._cumulated = weights / weights[-1]

    @cached_property
    def _pool(self) -> list[str]:
        return texts(4099, 100, self.seed + 1)  # a prime: steps of 1 + version visit all of it

    def zipfian(self, count: int, stream: int) -> list[int]:
        """Item numbers, popular ones often. Another stream is another, independent draw."""
        draws = np.random.default_rng([self.seed, 2, stream]).random(count)
        return self._by_rank[np.searchsorted(self._cumulated, draws)].tolist()

    def distinct(self, count: int, stream: int) -> list[int]:
        """Item numbers, none of them twice. At most n."""
        return np.random.default_rng([self.seed, 3, stream]).choice(self.n, count, replace=False).tolist()

    def version(self, i: int, number: int) -> dict[str, str]:
        """Item i with all ten fields replaced; another number gives another item."""
        pool = self._pool
        at = (i * 31 + number * 7919) % 4099
        item = {"id": self.keys[i]} | {name: pool[(at + step * 37) % 4099] for step, name in enumerate(FIELDS)}
        item["field0"] = f"{number:016d}{item['field0'][16:]}"
        return item

    def mix(self, count: int, puts: float, stream: int) -> list[tuple[int, dict[str, str] | None]]:
        """(item number, what to put | None to get), zipfian, with that share of puts: YCSB's workload A at 0.5."""
        writes = np.random.default_rng([self.seed, 4, stream]).random(count) < puts
        return [
            (i, self.version(i, stream * count + at) if write else None)
            for at, (i, write) in enumerate(zip(self.zipfian(count, stream), writes.tolist(), strict=True))
        ]


def packed(item: dict[str, str]) -> bytes:
    """The item as MessagePack: what a system that stores bytes is given. Its last byte is the last letter of field9."""
    return msgspec.msgpack.encode(item)
