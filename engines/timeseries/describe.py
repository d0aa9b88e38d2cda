"""One block of a table, described: TimeTable.describe_block().

    print(cpu.describe_block({"host": "a"}, "usage", 3))

Where it lies, its codec, its summary, the parts of its bytes (anatomy.py), and one value's way into them. A cold block
is shown as the hot one that it is made into to be read, with what its chunk costs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from engines.errors import Invalid, NotFound, nearest
from engines.timeseries import anatomy, codec, layout, pictures
from engines.timeseries.anatomy import DEEP, Anatomy
from engines.timeseries.codec import COLD, RUNS
from engines.timeseries.part import FLAG_NAN, FLAG_SUMMARY, TIME, Part
from engines.timeseries.tile import HEADER

if TYPE_CHECKING:
    from engines.timeseries.table import TimeTable

SHOWN: Final = 8  # values of a lane in the text


@dataclass(frozen=True, slots=True)
class BlockDescription:
    """What str() prints and svg() draws. anatomy: None of text, booleans, and what has no bytes."""

    title: str
    facts: tuple[str, ...]
    anatomy: Anatomy | None

    def __str__(self) -> str:
        lines = [self.title, *(f"  {fact}" for fact in self.facts)]
        if self.anatomy is not None and self.anatomy.values:
            lines.append(str(self.anatomy))
            lines += _lanes(self.anatomy)
            place = min(len(self.anatomy.values) - 1, DEEP + 1)
            lines.append(f"  value {place}: {self.anatomy.way(place)}")
        return "\n".join(lines)

    __repr__ = __str__

    def svg(self) -> str:
        """The block as a picture."""
        facts = [*self.facts]
        if self.anatomy is not None and self.anatomy.values:
            facts += [line.strip() for line in str(self.anatomy).splitlines()]
        return pictures.block(self.title, facts, self.anatomy)

    def _repr_html_(self) -> str:
        return self.svg()


def _lanes(found: Anatomy) -> list[str]:
    lines = []
    for lane in range(min(pictures.LANES, -(-len(found.codes) // DEEP))):
        some = range(lane * DEEP, min(lane * DEEP + SHOWN, len(found.codes)))
        start = f"start {found.starts[lane]}, " if found.starts else ""
        codes = " ".join(str(found.codes[place]) for place in some if not (found.starts and place % DEEP == 0))
        lines.append(
            f"  lane {lane:<6}{' '.join(str(found.values[place]) for place in some)} ...  ->  {start}{codes} ..."
        )
    return lines


def describe(table: "TimeTable", series: "int | Mapping[str, str]", measure: str, n: int = 0) -> BlockDescription:
    """See TimeTable.describe_block."""
    column = _column(table, measure)
    candidates = _series(table, series)
    seen = 0
    for part in table.parts():
        for number in candidates:
            for block in _blocks(part, number, column):
                if seen == n:
                    key = ", ".join(f"{name}={value}" for name, value in table.index.dimensions(number).items())
                    return _described(f"{table.name}.{measure} of series {number} ({key}), block {n}", part, block)
                seen += 1
    raise NotFound(f"there are {seen:,} blocks of {measure!r} in that series, numbered from 0; got {n}")


def _column(table: "TimeTable", measure: str) -> int:
    if measure == "time":
        return TIME
    found = [one.id for one in table.definition.measures if one.name == measure]
    if not found:
        names = [one.name for one in table.definition.measures]
        raise NotFound(f"table {table.name!r} has no measure {measure!r}{nearest(str(measure), names)}")
    return found[0]


def _series(table: "TimeTable", series: "int | Mapping[str, str]") -> list[int]:
    if isinstance(series, Mapping):
        found: list[int] = table.index.match({name: [value] for name, value in series.items()}).tolist()
        if not found:
            raise NotFound(f"table {table.name!r} has no series with {dict(series)!r}")
        return found
    if isinstance(series, bool) or not isinstance(series, int | np.integer):
        raise Invalid(f"series is its number or a mapping of dimensions, got {series!r:.80}")
    if not 0 <= series < len(table.index):
        raise NotFound(f"table {table.name!r} has series 0 to {len(table.index) - 1}, got {series}")
    return [int(series)]


def _blocks(part: Part, series: int, column: int) -> list[int]:
    place = int(np.searchsorted(part.series, series))
    if place == len(part.series) or part.series[place] != series:
        return []
    first, end = int(part.starts[place]), int(part.starts[place + 1])
    chunk = first + int(np.searchsorted(part.columns[first:end], column))
    if chunk == end or part.columns[chunk] != column:
        return []
    return list(range(int(part.firsts[chunk]), int(part.firsts[chunk + 1])))


def _described(title: str, part: Part, at: int) -> BlockDescription:
    block = part.blocks[at]
    kind = str(layout.codec_names(part.blocks[at : at + 1])[0])
    facts = [f"{part.tier} tier, {_where(part, block)}"]
    size = f"{int(block['length']):,} bytes"
    shared = int((part.blocks["address"] == block["address"]).sum()) if block["length"] else 1
    if shared > 1:
        size += f" for {shared} blocks, of which this is the one numbered {int(block['more'])}"
    facts.append(f"codec {kind}, {int(block['rows']):,} rows, {int(block['present']):,} values, {size}")
    facts += _summary(block)
    made: Anatomy | None = None
    owner: Any = None
    hot = part.blocks[at : at + 1]
    if int(block["codec"]) & 15 == COLD:
        hot, owner = codec.warm(hot)
        facts.append(f"made hot to be read: {int(hot[0]['length']):,} bytes")
    if int(hot[0]["codec"]) & 15 <= RUNS:
        made = anatomy.of(hot[0])
    elif codec.type_of(block) == "varchar":
        words = codec.decode(hot).words or ()
        facts.append(f"{len(words):,} words: {' '.join(words[:SHOWN])}{' ...' if len(words) > SHOWN else ''}")
    del owner  # it had to live until here
    return BlockDescription(title, tuple(facts), made)


def _where(part: Part, block: Any) -> str:  # noqa: ANN401 - a row of BLOCK_TYPE
    if part.blob is None:
        return "in memory only"
    payload = part.owner[0] if isinstance(part.owner, tuple) else None
    if not block["length"] or not isinstance(payload, np.ndarray):
        return f"blob {part.blob[:12]}"
    offset = HEADER.size + int(block["address"]) - int(payload.ctypes.data)
    return f"blob {part.blob[:12]}, offset {offset:,}"


def _summary(block: Any) -> list[str]:  # noqa: ANN401 - a row of BLOCK_TYPE
    kind = codec.type_of(block)
    if kind in {"varchar", "boolean"} or not block["present"] or int(block["flags"]) & FLAG_SUMMARY:
        return []
    found = []
    for name in ("low", "high", "total", "first", "last"):
        bits = np.array([block[name]], np.uint64)
        value = bits.view(np.float64 if kind == "double" else np.int64)[0].item()
        if kind == "timestamp":
            if name == "total":
                continue
            value = datetime.fromtimestamp(value / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
        found.append(f"{name} {value}")
    nan = ", NaN among them" if int(block["flags"]) & FLAG_NAN else ""
    return [f"summary: {', '.join(found)}{nan}"]
