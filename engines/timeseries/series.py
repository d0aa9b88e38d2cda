"""The series of a table: who they are, their numbers, and which have given dimension values.

    key       (record kind, ((dimension, value), ...) sorted)  ->  number     int32, in order of first appearance
    codes     dimension -> a code a series, -1 where it lacks that dimension; words by code
    postings  dimension -> value -> the numbers of the series that have it, rising

The kind of a series is the measure name of its multi-measure records, or None: then it is of single-measure records,
all of which, whatever their measure names, share one series.

A key's text never goes away: who writes to a series again after years finds its old number.

Simpler than production: all keys are in memory (a few hundred bytes each), postings are plain arrays. A table of a
million series is at home here, one of a hundred million is not.

Invariants: numbers have no gaps. Postings rise. A reader who holds `count` sees only what was there then.
"""

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from engines.timeseries.columns import Words

ABSENT: Final = -1
Numbers = npt.NDArray[np.int32]


class SeriesKey(msgspec.Struct, frozen=True, array_like=True):
    """What makes a series: its dimensions, sorted by name, and the kind of its records."""

    kind: str | None
    dimensions: tuple[tuple[str, str], ...]


class SeriesIndex:
    """See the module's text. It grows under the writer's lock; readers need none."""

    def __init__(self) -> None:
        self._keys: list[SeriesKey] = []
        self._numbers: dict[SeriesKey, int] = {}
        self._dimensions: dict[str, _Dimension] = {}
        self._singles = array("b")
        self._kinds: dict[str | None, array[int]] = {}
        self._met: dict[tuple[str | None, tuple[str, ...]], dict[tuple[str | None, ...], int]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: SeriesKey) -> int:
        """The number of a series, which is new unless it is known."""
        number = self._numbers.get(key)
        if number is not None:
            return number
        number = len(self._keys)
        for name, value in key.dimensions:
            if name not in self._dimensions:
                self._dimensions[name] = _Dimension()
            self._dimensions[name].add(number, value)
        self._kinds.setdefault(key.kind, array("i")).append(number)
        self._singles.append(key.kind is None)
        self._keys.append(key)
        self._numbers[key] = number
        return number

    def find(self, key: SeriesKey) -> int | None:
        """The number of a series, None where nobody has written to it."""
        return self._numbers.get(key)

    def met(self, kind: str | None, names: Sequence[str]) -> dict[tuple[str | None, ...], int]:
        """Numbers by the values of these dimensions, as writers have met them; theirs to fill.

        kind None: the measure name is the last value, or all are of single-measure records.
        """
        return self._met.setdefault((kind, tuple(names)), {})

    def key(self, number: int) -> SeriesKey:
        """Kind and dimensions of a series."""
        return self._keys[number]

    def keys(self, first: int = 0) -> list[SeriesKey]:
        """The keys of the series from a number on."""
        return self._keys[first:]

    def dimensions(self, number: int) -> dict[str, str]:
        """The dimensions of a series."""
        return dict(self._keys[number].dimensions)

    def kind(self, number: int) -> str | None:
        """The measure name of its records; None where they are single-measure ones."""
        return self._keys[number].kind

    @property
    def kinds(self) -> list[str | None]:
        """All kinds that there are, in order of first appearance."""
        return list(self._kinds)

    def of_kind(self, kind: str | None) -> Numbers:
        """The series of a kind, rising."""
        return _array(self._kinds.get(kind))

    def singles(self) -> npt.NDArray[np.bool_]:
        """By number: whether a series is of single-measure records."""
        return np.array(self._singles, np.int8).view(np.bool_)

    def dimension(self, name: str) -> Words:
        """The values of a dimension by series number; -1 where a series lacks it."""
        found = self._dimensions.get(name)
        if found is None:
            return Words(np.full(len(self), ABSENT, np.int32), ())
        return found.words(len(self))

    def values(self, name: str) -> list[str]:
        """The values that a dimension has, in order of first appearance."""
        found = self._dimensions.get(name)
        return [] if found is None else list(found.postings)

    def match(self, wanted: Mapping[str, Collection[str | None]]) -> Numbers:
        """The series that have one of the values in each of the dimensions, rising. None: those that lack it."""
        found: Numbers | None = None
        for name, values in wanted.items():
            some = self._of(name, values)
            found = some if found is None else np.intersect1d(found, some, assume_unique=True)
            if not len(found):
                break
        return np.arange(len(self), dtype=np.int32) if found is None else found

    def _of(self, name: str, values: Iterable[str | None]) -> Numbers:
        dimension = self._dimensions.get(name)
        some = []
        for value in set(values):
            if value is None:
                some.append(np.flatnonzero(self.dimension(name).codes == ABSENT).astype(np.int32))
            elif dimension is not None and (posting := dimension.postings.get(value)) is not None:
                some.append(_array(posting))
        if not some:
            return np.empty(0, np.int32)
        return some[0] if len(some) == 1 else np.sort(np.concatenate(some))


class _Dimension:
    """One dimension: a code a series, and the postings of each value."""

    def __init__(self) -> None:
        self.codes = array("i")
        self.postings: dict[str, array[int]] = {}
        self._numbers: dict[str, int] = {}

    def add(self, series: int, value: str) -> None:
        lacking = series - len(self.codes)
        if lacking > 0:
            self.codes.extend([ABSENT] * lacking)
        self.postings.setdefault(value, array("i")).append(series)
        self.codes.append(self._numbers.setdefault(value, len(self._numbers)))

    def words(self, count: int) -> Words:
        codes = np.full(count, ABSENT, np.int32)
        known = _array(self.codes)[:count]
        codes[: len(known)] = known
        return Words(codes, tuple(self._numbers))


def _array(numbers: "array[int] | None") -> Numbers:
    """A copy: an array that is lent out could not grow."""
    return np.empty(0, np.int32) if numbers is None else np.array(numbers, np.int32)
