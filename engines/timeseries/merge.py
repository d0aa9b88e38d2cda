"""Rows to parts and back, and overlapping parts made disjoint.

    raw_part, encoded_part     sorted rows -> a part
    rows_of                    a part -> its rows, sorted by series and time
    merged                     rows of several sources, the one that is right last -> rows without repeats
    disjoint                   parts, the one that is right last -> parts of which no two share a stretch of a series
    since                      a part without the rows before a time
    combined                   disjoint parts -> one part

**Who is right.** A later part is right about a row that two parts know. Of multi-measure records that is the whole row:
what the newer one lacks is absent. Of single-measure records each measure stands for itself: the newer part is right
about the measures it has, the others keep what the older one says. That is why `disjoint` has to know which series are
of single-measure records.

**Disjoint.** Two parts are disjoint if no series has rows in both at overlapping stretches of time. In-order rows of
one series fill one part after the other, so they are, and nothing is decoded to find that out: each chunk of times says
its first and last. Of a series that overlaps only the blocks around the overlap are decoded; what is before and what is
after stays as it is.

Invariants: parts in, parts out: the same rows by the rule above. What is disjoint comes out as it was. In the result
the parts of a series are in order of time.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from engines.timeseries import codec
from engines.timeseries.codec import Encoded
from engines.timeseries.ordering import ordered
from engines.timeseries.part import BLOCK, BLOCK_TYPE, FIRST_MEASURE, FLAG_SUMMARY, TIME, VERSION, VERSION_OF, Part
from engines.timeseries.rows import Column, Rows, is_version, joined
from engines.timeseries.schema import TYPES

SHORT: Final = 512  # rows of a block on average: parts of fewer are encoded anew
LATEST: Final = 2**63 - 1
Index: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]
TypeOf: TypeAlias = Callable[[int], Any]


# -- rows to a part -------------------------------------------------------------------------------------------------


def cuts_of(series: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], Index, Index, Index]:
    """How sorted rows fall into blocks. -> (series, first row of each, first block of each, cuts), the ends included.

    cuts: the first row of each block, and the end.
    """
    count = len(series)
    edges = np.flatnonzero(series[1:] != series[:-1]) + 1 if count else np.empty(0, np.int64)
    starts = np.concatenate(([0], edges, [count])) if count else np.zeros(1, np.int64)
    lengths = np.diff(starts)
    blocks = (lengths + BLOCK - 1) // BLOCK
    firsts = np.concatenate(([0], np.cumsum(blocks)))
    within = np.arange(firsts[-1]) - np.repeat(firsts[:-1], blocks)
    cuts = np.append(np.repeat(starts[:-1], blocks) + within * BLOCK, count)
    return series[starts[:-1]], starts, firsts, cuts


def raw_part(rows: Rows, generation: int = 0, tier: str = "memory") -> Part:
    """Sorted rows as a part whose blocks are plain arrays."""
    return _part(rows, codec.raw_times, codec.raw, generation, tier)


def encoded_part(rows: Rows, generation: int = 0, tier: str = "memory") -> Part:
    """Sorted rows as a part of encoded blocks."""
    return _part(rows, codec.encode_times, codec.encode, generation, tier)


def _part(
    rows: Rows,
    encode_times: Callable[..., Encoded],
    encode: Callable[..., Encoded],
    generation: int,
    tier: str,
) -> Part:
    series, _, first_blocks, cuts = cuts_of(rows.series)
    numbers = sorted(rows.columns)
    encoded = [encode_times(rows.times, cuts)]
    for number in numbers:
        column = rows.columns[number]
        encoded.append(encode(column.type, column.data, cuts, column.valid, column.words))
    return assembled(series, first_blocks, [TIME, *numbers], encoded, generation=generation, tier=tier)


def assembled(
    series: npt.NDArray[np.int32],
    first_blocks: Index,
    columns: Sequence[int],
    encoded: Sequence[Encoded],
    *,
    generation: int = 0,
    tier: str = "memory",
) -> Part:
    """A part of columns that were encoded with the same cuts, TIME first. first_blocks: of each series, and the end."""
    tables = [codec.placed(each) for each in encoded]
    count = int(first_blocks[-1])
    return _laid_out(
        series,
        first_blocks,
        np.array(columns, np.uint16),
        np.concatenate(tables).reshape(len(columns), count),
        owner=[each.payload for each in encoded],
        generation=generation,
        tier=tier,
    )


def _laid_out(
    series: npt.NDArray[np.int32],
    first_blocks: Index,
    columns: npt.NDArray[np.uint16],
    table: npt.NDArray[Any],
    *,
    owner: object,
    generation: int,
    tier: str,
) -> Part:
    """Blocks by column and by series and place, TIME first, as a part. Chunks without a value are left out."""
    if not len(series):
        none, places = np.empty(0, np.uint16), np.zeros(1, np.int64)
        return Part(0, -1, 0, generation, series, places, none, places, table.reshape(0), tier=tier)
    count = table.shape[1]
    there = np.add.reduceat(table["present"].astype(np.int64), first_blocks[:-1], axis=1) > 0
    of_series, of_column = np.nonzero(there.T)
    counts = np.diff(first_blocks)[of_series]
    firsts = np.concatenate(([0], np.cumsum(counts)))
    order = spans(of_column * count + first_blocks[of_series], counts)
    starts = np.concatenate(([0], np.cumsum(np.bincount(of_series, minlength=len(series)))))
    times = table[0]
    return Part(
        int(times["first"].view(np.int64).min()),
        int(times["last"].view(np.int64).max()),
        int(times["rows"].astype(np.int64).sum()),
        generation,
        np.ascontiguousarray(series, np.int32),
        starts,
        columns[of_column],
        firsts,
        table.reshape(-1)[order],
        owner=owner,
        tier=tier,
    )


# -- a part to rows -------------------------------------------------------------------------------------------------


def spans(firsts: Index, lengths: Index) -> Index:
    """firsts[0], firsts[0] + 1, ... lengths[0] of them, then those of firsts[1], and so on."""
    total = np.concatenate(([0], np.cumsum(lengths)))
    return np.repeat(firsts - total[:-1], lengths) + np.arange(total[-1])


def chunks_of(part: Part, column: int) -> tuple[Index, Index]:
    """The chunks of a column, and for each the place of its series in the part."""
    chunks = np.flatnonzero(part.columns == column)
    return chunks, np.searchsorted(part.starts, chunks, side="right") - 1


def chunk_by_series(part: Part, column: int) -> Index:
    """By place of the series in the part: its chunk of a column, -1 where it has none."""
    chunks, owners = chunks_of(part, column)
    found = np.full(len(part.series), -1, np.int64)
    found[owners] = chunks
    return found


def rows_per_series(part: Part) -> Index:
    """How many rows each series has."""
    firsts = part.firsts[part.starts[:-1]]
    ends = part.firsts[part.starts[:-1] + 1]
    total = np.concatenate(([0], np.cumsum(part.blocks["rows"].astype(np.int64))))
    return np.asarray(total[ends] - total[firsts])


def rows_of(part: Part, type_of: TypeOf) -> Rows:
    """All rows of a part."""
    chunks = part.starts[:-1]
    lengths = np.diff(part.firsts)
    times = codec.decode_times(part.blocks[spans(part.firsts[chunks], lengths[chunks])])
    rows = rows_per_series(part)
    starts = np.concatenate(([0], np.cumsum(rows)))
    found = {}
    for number in np.unique(part.columns).tolist():
        if number == TIME:
            continue
        chunks, of_series = chunks_of(part, number)
        decoded = codec.decode(part.blocks[spans(part.firsts[chunks], lengths[chunks])])
        column = Column(type_of(number), decoded.data, decoded.valid, decoded.words)
        if len(chunks) < len(part.series):
            column = _spread(column, spans(starts[of_series], rows[of_series]), len(times), number)
        elif is_version(number) and column.valid is not None:
            column = Column("bigint", np.where(column.present(), column.data, 1))
        found[number] = column
    return Rows(np.repeat(part.series, rows), times, found)


def _spread(column: Column, places: Index, count: int, number: int) -> Column:
    """A column of some rows as one of all of them."""
    if is_version(number):
        data = np.ones(count, column.data.dtype)
        data[places] = np.where(column.present(), column.data, 1)
        return Column(column.type, data)
    data = np.zeros(count, column.data.dtype)
    valid = np.zeros(count, np.uint8)
    data[places] = column.data
    valid[places] = 1 if column.valid is None else column.valid
    return Column(column.type, data, valid, column.words)


# -- overlapping parts ----------------------------------------------------------------------------------------------


def merged(sources: Sequence[Rows], singles: Mask) -> Rows:
    """The rows of all, sorted; of a row that several have the last one is right (see the module's text)."""
    rows = joined(sources)
    order = ordered(rows.series, rows.times)
    if not order.repeats:
        return rows if order.index is None else rows.take(order.index)
    index = order.of(len(rows))
    series, times = rows.series[index], rows.times[index]
    last = np.append((series[1:] != series[:-1]) | (times[1:] != times[:-1]), True)
    ends = np.flatnonzero(last)
    single = singles[series[ends]]
    group = np.empty(len(rows), np.int64)
    group[index] = np.concatenate(([0], np.cumsum(last)[:-1]))
    newest = index[ends]
    columns = {}
    for number, column in rows.columns.items():
        where = newest
        if (column.valid is not None or is_version(number)) and single.any():
            where = np.where(single, _last_present(rows, number, group, index, newest), newest)
        columns[number] = column.take(where)
    return Rows(series[ends], times[ends], columns)


def _last_present(rows: Rows, number: int, group: Index, index: Index, newest: Index) -> Index:
    """For each group of rows of one moment the last that has a value; the newest of all where none has.

    group: of each row; index: the rows in order. Versions of a single-measure record go with its value.
    """
    measure = number & ~VERSION_OF if number != VERSION else number
    column = rows.columns.get(measure)
    if column is None:
        return newest
    found = np.full(len(newest), -1, np.int64)
    places = index[column.present()[index]]
    found[group[places]] = places  # of several the last one stays
    return np.where(found < 0, newest, found)


def sliced(part: Part, begin: Index, end: Index) -> Part | None:
    """A part of only some of its blocks: of each series those from begin to end, by their place; None for nothing."""
    lengths = np.diff(part.firsts)
    heads = lengths[part.starts[:-1]]
    kept = np.flatnonzero(end > begin)
    if not len(kept):
        return None
    if len(kept) == len(heads) and not begin.any() and (end == heads).all():
        return part
    chunks = spans(part.starts[kept], np.diff(part.starts)[kept])
    of_series = np.repeat(kept, np.diff(part.starts)[kept])
    count = (end - begin)[of_series]
    blocks = part.blocks[spans(part.firsts[chunks] + begin[of_series], count)]
    firsts = np.concatenate(([0], np.cumsum(count)))
    there = np.add.reduceat(blocks["present"].astype(np.int64), firsts[:-1]) > 0
    if not there.all():
        blocks = blocks[np.repeat(there, count)]
        chunks, of_series, count = chunks[there], of_series[there], count[there]
        firsts = np.concatenate(([0], np.cumsum(count)))
    starts = np.searchsorted(of_series, np.append(kept, len(heads)))
    times = blocks[spans(firsts[starts[:-1]], count[starts[:-1]])]
    return Part(
        int(times["first"].view(np.int64).min()),
        int(times["last"].view(np.int64).max()),
        int(times["rows"].astype(np.int64).sum()),
        part.generation,
        part.series[kept],
        starts,
        part.columns[chunks],
        firsts,
        blocks,
        owner=part.owner if part.owner is not None else part,
        tier=part.tier,
        blob=part.blob,
    )


def selected(part: Part, places: Index) -> Part:
    """A part of only some of its series, by their places in it, rising: one at least."""
    end = np.zeros(len(part.series), np.int64)
    end[places] = np.diff(part.firsts)[part.starts[:-1]][places]
    found = sliced(part, np.zeros_like(end), end)
    assert found is not None  # noqa: S101 - there is a series
    return found


def bounds(part: Part) -> tuple[Index, Index]:
    """The first and the last time of each series."""
    chunks = part.starts[:-1]
    firsts = part.blocks["first"][part.firsts[chunks]].view(np.int64)
    lasts = part.blocks["last"][part.firsts[chunks + 1] - 1].view(np.int64)
    return firsts, lasts


def disjoint(parts: Sequence[Part], type_of: TypeOf, singles: Mask, *, encode: bool = False) -> list[Part]:
    """Parts without overlap that hold what these hold; of these a later one is right. encode: what is merged anew."""
    parts = [part for part in parts if part.rows]
    if len(parts) < 2:
        return list(parts)
    order = sorted(range(len(parts)), key=lambda place: (parts[place].low, parts[place].high))
    stretches = _overlaps([parts[place] for place in order])
    if stretches is None:
        return [parts[place] for place in order]
    cuts = [_cuts(part, *stretches) for part in parts]
    within = [sliced(part, begin, end) for part, (begin, end, _) in zip(parts, cuts, strict=True)]
    before = [sliced(parts[place], np.zeros_like(cuts[place][0]), cuts[place][0]) for place in order]
    after = [sliced(parts[place], cuts[place][1], cuts[place][2]) for place in order]
    rows = merged([rows_of(part, type_of) for part in within if part is not None], singles)
    make = encoded_part if encode else raw_part
    tier = "magnetic" if any(part.tier == "magnetic" for part in parts) else "memory"
    middle = make(rows, max(part.generation for part in parts), tier)
    return [part for part in (*before, middle, *after) if part is not None]


def _overlaps(parts: Sequence[Part]) -> tuple[Index, Index] | None:
    """By series: from when to when it may be in several parts; (LATEST, -1) for one that is not. None if none is.

    parts are in order of `low`. A series whose rows are not in the order of its parts overlaps, too.
    """
    if all(before.high < after.low for before, after in itertools.pairwise(parts)):
        return None
    count = max(int(part.series[-1]) for part in parts) + 1
    newest = np.full(count, -1, np.int64)
    low, high = np.full(count, LATEST, np.int64), np.full(count, -1, np.int64)
    for part in parts:
        series = part.series
        firsts, lasts = bounds(part)
        clash = firsts <= newest[series]
        if clash.any():
            some = series[clash]
            low[some] = np.minimum(low[some], firsts[clash])
            high[some] = np.maximum(high[some], np.minimum(newest[some], lasts[clash]))
        newest[series] = np.maximum(newest[series], lasts)
    return (low, high) if (high >= 0).any() else None


def _cuts(part: Part, low: Index, high: Index) -> tuple[Index, Index, Index]:
    """By series of a part: its first block that reaches into the overlap, the first beyond it, and the end."""
    heads = part.starts[:-1]
    count = np.diff(part.firsts)[heads]
    times = part.blocks[spans(part.firsts[heads], count)]
    first = np.concatenate(([0], np.cumsum(count)))[:-1]
    before = times["last"].view(np.int64) < np.repeat(low[part.series], count)
    beyond = times["first"].view(np.int64) > np.repeat(high[part.series], count)
    begin = np.add.reduceat(before.astype(np.int64), first)
    end = count - np.add.reduceat((beyond & ~before).astype(np.int64), first)
    return begin, end, count


def since(part: Part, low: int, type_of: TypeOf) -> list[Part]:
    """A part without the rows before `low`: what is cut anew, and the blocks that stay as they are."""
    if part.low >= low:
        return [part]
    count = int(part.series[-1]) + 1
    begin, end, whole = _cuts(part, np.full(count, low), np.full(count, low - 1))
    found = []
    edge, rest = sliced(part, begin, end), sliced(part, end, whole)
    if edge is not None:
        rows = rows_of(edge, type_of)
        left = rows.take(np.flatnonzero(rows.times >= low))
        if len(left):
            found.append(raw_part(left, part.generation, part.tier))
    return found if rest is None else [*found, rest]


def combined(parts: Sequence[Part], type_of: TypeOf) -> Part:
    """Parts without overlap, of each series in order of time, as one. What is short or plain is encoded anew."""
    parts = _of_whole_blocks(parts, type_of)
    if len(parts) == 1:
        return parts[0]
    series = np.unique(np.concatenate([part.series for part in parts]))
    numbers = np.unique(np.concatenate([part.columns for part in parts]))
    heads = [np.diff(part.firsts)[part.starts[:-1]] for part in parts]  # blocks of each series
    places = [np.searchsorted(series, part.series) for part in parts]
    per_series = np.zeros(len(series), np.int64)
    begins = []
    for place, head in zip(places, heads, strict=True):
        begin = np.zeros(len(series), np.int64)
        begin[place] = per_series[place]  # blocks of earlier parts stand before
        begins.append(begin)
        per_series[place] += head
    first = np.concatenate(([0], np.cumsum(per_series)))
    table = np.zeros((len(numbers), int(first[-1])), BLOCK_TYPE)
    for number, column in enumerate(numbers.tolist()):
        kind = "timestamp" if column == TIME else type_of(column)
        table[number]["codec"] = TYPES.index(kind) << 4 | codec.ABSENT
    for part, place, head, begin in zip(parts, places, heads, begins, strict=True):
        at = spans((first[:-1] + begin)[place], head)
        chunks = part.starts[:-1]
        table["rows"][:, at] = part.blocks["rows"][spans(part.firsts[chunks], head)]
        for number, column in enumerate(numbers.tolist()):
            chunks, owners = chunks_of(part, column)
            if len(chunks):
                into = spans((first[:-1] + begin)[place[owners]], head[owners])
                table[number][into] = part.blocks[spans(part.firsts[chunks], head[owners])]
    tier = "magnetic" if any(part.tier == "magnetic" for part in parts) else "memory"
    return _laid_out(
        series,
        first,
        numbers,
        table,
        owner=[part.owner if part.owner is not None else part for part in parts],
        generation=max(part.generation for part in parts),
        tier=tier,
    )


def _of_whole_blocks(parts: Sequence[Part], type_of: TypeOf) -> list[Part]:
    """Neighbours that are short of rows as one, encoded."""
    found: list[Part] = []
    short: list[Part] = []

    def settle() -> None:
        if short:
            rows = joined([rows_of(part, type_of) for part in short])
            rows = rows.take(np.argsort(rows.series, kind="stable"))
            found.append(encoded_part(rows, max(part.generation for part in short), short[0].tier))
            short.clear()

    for part in parts:
        blocks = int(np.diff(part.firsts)[part.starts[:-1]].sum())
        plain = bool(((part.blocks["flags"] & FLAG_SUMMARY) != 0).any())
        if plain or part.rows < SHORT * blocks:
            short.append(part)
        else:
            settle()
            found.append(part)
    settle()
    return found


def points_of(part: Part) -> int:
    """How many values of measures it holds."""
    lengths = np.diff(part.firsts)
    measures = (part.columns >= FIRST_MEASURE) & (part.columns < VERSION_OF)
    return int(part.blocks["present"][np.repeat(measures, lengths)].astype(np.int64).sum())
