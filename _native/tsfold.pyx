"""Lows, highs, totals and counts by group and bin of time, straight off the blocks of a part.

    for each series that is wanted
        for each of its blocks            pruned by its first and last time
            where do bins begin in it?    regular times: arithmetic; others: one binary search an edge
            for each column
                the block lies in one bin     its summary answers
                short numbers, wide bins      folded in their lanes, before they are doubles (tsfoldlanes.h)
                anything else                 decoded into the cache of the first level and folded from there

    cell    count i64 | low, high, total as the column's type u64 | upper half of a total of whole numbers i64 | NaN i64

All of it in one call without the GIL. Groups are a map over series, not over rows. Every index that comes from a part
is checked against the arrays it leads into; blocks are checked as in tsdecode.pxd.

low, high and total leave out NaN, which are counted: what they make of the answer is the caller's affair. 0.0 and -0.0
are equal: which of them a low or a high gives is open.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from tsblock cimport (
    ABSENT,
    BOOLEAN,
    COLD,
    CONSTANT,
    CORRUPTED,
    DEEP,
    DELTA,
    DOUBLE,
    FINE,
    FRAME,
    MOST,
    POWERS,
    REGULAR,
    SHORT_BITS,
    VARCHAR,
    bits_from,
    double_of,
    step_of,
    ts_block,
)
from tscells cimport (
    Cell,
    WANT_HIGH,
    WANT_LOW,
    WANT_TOTAL,
    add_double,
    add_long,
    add_whole,
    fold_doubles,
    fold_wholes,
    from_summary,
    summary_serves,
)
from tsdecode cimport Packed, Scratch, factor_of, full_lanes, numbers_of, parse, presence_of, rest_of, starts_of
from tspieces cimport (
    _BYTES,
    _COUNTERS,
    _DECODED,
    _FOUND,
    _IN_LANES,
    _PRUNED,
    _SUMMARISED,
    Pieces,
    Span,
    cut_times,
    plan_lanes,
)


cdef extern from "tsfoldlanes.h":
    ctypedef struct lane_folds:
        uint32_t low[2][16]
        uint32_t high[2][16]
        uint32_t total[2][16]
    int lanes_fold(const uint32_t* packed, int width, const uint32_t* starts, int32_t least, const int32_t* cuts,
                   int want, lane_folds* folds) noexcept nogil
    void add_steps(uint64_t* lower, int64_t* upper, int64_t first, int64_t step, int64_t count) noexcept nogil

LOW, HIGH, TOTAL = WANT_LOW, WANT_HIGH, WANT_TOTAL

PRUNED, SUMMARISED, IN_LANES, DECODED, BYTES, FOUND = _PRUNED, _SUMMARISED, _IN_LANES, _DECODED, _BYTES, _FOUND
COUNTERS = _COUNTERS


cdef struct Asked:
    Span span
    int64_t columns
    int want
    Cell* cells         # of the group: bins * columns
    uint32_t* picked    # of each block: its number among those that are cold and have to be decoded, from 1; or NULL
    uint32_t* places    # these blocks, in order of their numbers
    uint32_t found      # how many there are
    const ts_block* warm  # they, made hot; NULL: they are only looked for


cdef struct Room:
    Scratch scratch
    Pieces rows
    Pieces values
    uint8_t presence[1024]
    int ranks[1025]


cdef int fold_lanes(const ts_block* block, const Packed* packed, const Asked* asked, Cell* cells, Pieces* pieces,
                    Scratch* scratch) noexcept nogil:
    """A block of short numbers, by lanes. pieces are of values and planned."""
    cdef uint64_t starts[17]
    cdef uint64_t rest[64]
    cdef uint32_t short_starts[16]
    cdef lane_folds folds
    cdef uint64_t lows[33]
    cdef uint64_t highs[33]
    cdef uint64_t totals[33]
    cdef int want = asked.want, i, lane, piece, full = packed.full, place
    cdef int64_t count, low, high, total
    cdef const uint32_t* codes = scratch.packed
    cdef double scale
    cdef Cell* cell
    for i in range(pieces.count):
        lows[i] = ~<uint64_t>0
        highs[i] = 0
        totals[i] = 0
    starts_of(packed, starts)
    if full:
        if packed.width:
            codes = full_lanes(packed.codes, full, packed.width, scratch.packed)
        if packed.kind == DELTA:
            for lane in range(16):
                short_starts[lane] = <uint32_t>starts[lane]
        lanes_fold(codes, packed.width, short_starts if packed.kind == DELTA else NULL, <int32_t>packed.least,
                   pieces.cuts, want, &folds)
        for lane in range(full):
            piece = pieces.before[lane]
            if piece >= 0:
                if want & WANT_LOW:
                    lows[piece] = min(lows[piece], <uint64_t>folds.low[0][lane])
                if want & WANT_HIGH:
                    highs[piece] = max(highs[piece], <uint64_t>folds.high[0][lane])
                if want & WANT_TOTAL:
                    totals[piece] += folds.total[0][lane]
            piece = pieces.after[lane]
            if piece >= 0:
                if want & WANT_LOW:
                    lows[piece] = min(lows[piece], <uint64_t>folds.low[1][lane])
                if want & WANT_HIGH:
                    highs[piece] = max(highs[piece], <uint64_t>folds.high[1][lane])
                if want & WANT_TOTAL:
                    totals[piece] += folds.total[1][lane]
    if packed.rest and pieces.count and pieces.until[pieces.count - 1] > full * DEEP:
        rest_of(packed, starts[full], rest)
        for i in range(pieces.count):
            for place in range(max(pieces.from_[i], full * DEEP), pieces.until[i]):
                low = <uint32_t>rest[place - full * DEEP]
                lows[i] = min(lows[i], <uint64_t>low)
                highs[i] = max(highs[i], <uint64_t>low)
                totals[i] += <uint64_t>low
    for i in range(pieces.count):
        cell = &cells[pieces.bin[i] * asked.columns]
        count = pieces.until[i] - pieces.from_[i]
        if count <= 0:
            continue
        low = <int64_t>(packed.low + lows[i])
        high = <int64_t>(packed.low + highs[i])
        if block.codec >> 4 == DOUBLE:
            total = <int64_t>(packed.low * <uint64_t>count + totals[i])
            scale = POWERS[packed.exponent]
            cell.count += count
            if want & WANT_LOW and <double>low / scale < double_of(cell.low):
                cell.low = bits_from(<double>low / scale)
            if want & WANT_HIGH and <double>high / scale > double_of(cell.high):
                cell.high = bits_from(<double>high / scale)
            if want & WANT_TOTAL:
                cell.total = bits_from(double_of(cell.total) + <double>total / scale)
        else:
            total = <int64_t>factor_of(packed.exponent)
            add_whole(cell, count, <int64_t>(<uint64_t>low * <uint64_t>total) if want & WANT_LOW else INT64_MAX,
                      <int64_t>(<uint64_t>high * <uint64_t>total) if want & WANT_HIGH else INT64_MIN)
            if want & WANT_TOTAL:
                add_steps(&cell.total, &cell.upper, <int64_t>(packed.low * <uint64_t>total), 0, count)
                add_long(&cell.total, &cell.upper, <int64_t>(totals[i] * <uint64_t>total))
    return FINE


cdef int values_of_rows(const ts_block* block, const Pieces* rows, Room* room) noexcept nogil:
    """room.values: the pieces counted in values, where some rows have none."""
    cdef int i, rank = 0
    if presence_of(block, room.presence):
        return CORRUPTED
    for i in range(block.rows):
        room.ranks[i] = rank
        rank += room.presence[i]
    room.ranks[block.rows] = rank
    room.values.count = rows.count
    room.values.planned = False
    for i in range(rows.count):
        room.values.from_[i] = room.ranks[rows.from_[i]]
        room.values.until[i] = room.ranks[rows.until[i]]
        room.values.bin[i] = rows.bin[i]
    return FINE


cdef int fold_steps(const ts_block* block, const Asked* asked, Cell* cells, const Pieces* pieces) noexcept nogil:
    """CONSTANT and REGULAR: nothing to decode."""
    cdef int i
    cdef int64_t count, first, last, step
    cdef double value
    cdef Cell* cell
    cdef bint constant = block.codec & 15 == CONSTANT
    for i in range(pieces.count):
        cell = &cells[pieces.bin[i] * asked.columns]
        count = pieces.until[i] - pieces.from_[i]
        if count <= 0:
            continue
        if block.codec >> 4 == DOUBLE:
            if not constant:
                return CORRUPTED
            value = double_of(block.first)
            if value != value:
                cell.count += count
                cell.nans += count
            else:
                add_double(cell, count, value, value, value * <double>count)
            continue
        step = 0 if constant else <int64_t>step_of(block)
        first = <int64_t>(block.first + <uint64_t>step * <uint64_t>pieces.from_[i])
        last = <int64_t>(<uint64_t>first + <uint64_t>step * <uint64_t>(count - 1))
        add_whole(cell, count, min(first, last), max(first, last))
        add_steps(&cell.total, &cell.upper, first, step, count)
    return FINE


cdef inline bint looking(const Asked* asked) noexcept nogil:
    return asked.picked != NULL and asked.warm == NULL


cdef const ts_block* found_warm(const ts_block* block, Py_ssize_t index, Asked* asked) noexcept nogil:
    """A cold block made hot; NULL where it is only looked for, which is noted, or not among those that were found."""
    cdef const ts_block* warm
    if asked.picked == NULL:
        return NULL
    if asked.warm == NULL:
        if asked.picked[index] == 0:
            asked.places[asked.found] = <uint32_t>index
            asked.found += 1
            asked.picked[index] = asked.found
        return NULL
    if asked.picked[index] == 0 or asked.picked[index] > asked.found:
        return NULL
    warm = &asked.warm[asked.picked[index] - 1]
    if warm.rows != block.rows or warm.present != block.present or warm.codec & 15 == COLD:
        return NULL
    return warm


cdef int fold_block(const ts_block* block, Py_ssize_t index, Asked* asked, Cell* cells, Pieces* rows,
                    Room* room) noexcept nogil:
    """One block of a column. rows: its pieces, at least one. cells: of this column and group, the first bin."""
    cdef int kind = block.codec & 15, i, want = asked.want
    cdef Packed packed
    cdef Pieces* pieces = rows
    if kind == ABSENT or block.present == 0:
        return FINE
    if block.codec >> 4 == VARCHAR or block.codec >> 4 == BOOLEAN:
        want = 0  # they are only counted
    if block.present > block.rows or block.rows > MOST:
        return CORRUPTED
    if rows.count == 1 and rows.until[0] - rows.from_[0] == block.rows and summary_serves(block, want):
        if looking(asked):
            return FINE
        asked.span.counters[_SUMMARISED] += 1
        if want:
            from_summary(&cells[rows.bin[0] * asked.columns], block)
        else:
            cells[rows.bin[0] * asked.columns].count += block.present
        return FINE
    if kind == COLD and not (want == 0 and block.present == block.rows):
        block = found_warm(block, index, asked)
        if block == NULL:
            return CORRUPTED if asked.picked == NULL else FINE
        kind = block.codec & 15
    if looking(asked):
        return FINE
    if block.present < block.rows:
        if values_of_rows(block, rows, room):
            return CORRUPTED
        pieces = &room.values
    if want == 0:
        asked.span.counters[_SUMMARISED] += 1
        for i in range(pieces.count):
            cells[pieces.bin[i] * asked.columns].count += pieces.until[i] - pieces.from_[i]
        return FINE
    if kind == CONSTANT or kind == REGULAR:
        asked.span.counters[_SUMMARISED] += 1
        return fold_steps(block, asked, cells, pieces)
    asked.span.counters[_BYTES] += block.length
    if kind == FRAME or kind == DELTA:
        if parse(block, &packed):
            return CORRUPTED
        if packed.misses == 0 and packed.width <= SHORT_BITS + 1 and (kind == DELTA or packed.width <= SHORT_BITS):
            if not pieces.planned or pieces.full != packed.full:
                plan_lanes(pieces, packed.full)
            if pieces.fits:
                asked.span.counters[_IN_LANES] += 1
                return fold_lanes(block, &packed, asked, cells, pieces, &room.scratch)
    asked.span.counters[_DECODED] += 1
    if numbers_of(block, &room.scratch):
        return CORRUPTED
    for i in range(pieces.count):
        if pieces.until[i] <= pieces.from_[i]:
            continue
        if block.codec >> 4 == DOUBLE:
            fold_doubles(&cells[pieces.bin[i] * asked.columns], &room.scratch.values[pieces.from_[i]],
                         pieces.until[i] - pieces.from_[i])
        else:
            fold_wholes(&cells[pieces.bin[i] * asked.columns], &room.scratch.values[pieces.from_[i]],
                        pieces.until[i] - pieces.from_[i])
    return FINE


cdef struct Chunks:
    const uint16_t* columns
    const int64_t* firsts
    const ts_block* blocks
    Py_ssize_t block_count


cdef int fold_series(const Chunks* chunks, int64_t first, int64_t last, const uint16_t* wanted, Asked* asked,
                     Room* room, Py_ssize_t* damaged) noexcept nogil:
    """One series: chunks first ... last, of which the first is of times."""
    cdef int64_t block, blocks, start, chunk
    cdef int64_t places[1024]
    cdef Py_ssize_t column
    cdef const ts_block* times
    cdef const ts_block* values
    cdef Pieces* pieces = &room.rows
    if last <= first or chunks.columns[first] != 0:
        return CORRUPTED
    start = chunks.firsts[first]
    blocks = chunks.firsts[first + 1] - start
    if start < 0 or blocks < 0 or start + blocks > chunks.block_count:
        return CORRUPTED
    chunk = first
    for column in range(asked.columns):  # both rise
        while chunk < last and chunks.columns[chunk] < wanted[column]:
            chunk += 1
        places[column] = -1
        if chunk < last and chunks.columns[chunk] == wanted[column]:
            places[column] = chunks.firsts[chunk]
            if (chunks.firsts[chunk + 1] - places[column] != blocks or places[column] < 0
                    or places[column] + blocks > chunks.block_count):
                return CORRUPTED
    for block in range(blocks):
        damaged[0] = start + block
        times = &chunks.blocks[start + block]
        if times.rows == 0 or times.rows > MOST:
            return CORRUPTED
        if <int64_t>times.first > asked.span.high or <int64_t>times.last < asked.span.low:
            asked.span.counters[_PRUNED] += 1
            continue
        if times.codec & 15 == COLD:
            times = found_warm(times, start + block, asked)
            if times == NULL and not looking(asked):
                return CORRUPTED
        if times == NULL:
            pieces.count = 2  # nobody knows: so all of them may be decoded
            pieces.planned = False
            pieces.from_[0] = pieces.from_[1] = pieces.until[0] = pieces.until[1] = 0
        elif cut_times(times, &asked.span, &room.scratch, pieces):
            return CORRUPTED
        if pieces.count == 0:
            asked.span.counters[_PRUNED] += 1
            continue
        for column in range(asked.columns):
            if places[column] < 0:
                continue
            values = &chunks.blocks[places[column] + block]
            damaged[0] = places[column] + block
            if values.rows != chunks.blocks[start + block].rows:
                return CORRUPTED
            if fold_block(values, damaged[0], asked, asked.cells + column, pieces, room):
                return CORRUPTED
    return FINE


def fold_part(const int32_t[::1] series not None, const int64_t[::1] starts not None,
              const uint16_t[::1] columns not None, const int64_t[::1] firsts not None,
              const uint8_t[::1] blocks not None, const int32_t[::1] wanted, const int32_t[::1] groups not None,
              const uint16_t[::1] wanted_columns not None, int want, int64_t low, int64_t high, int64_t width,
              int64_t first_bin, int64_t bins, uint8_t[::1] cells not None, int64_t[::1] counters not None,
              uint32_t[::1] picked, uint32_t[::1] places, const uint8_t[::1] warm):
    """Fold a part into cells[group, bin, column], 48 bytes each; rows with low <= time <= high.

    series, starts, columns, firsts, blocks: the part's. wanted: sorted series, groups: of each of them (of each of the
    part's where wanted is None), wanted_columns: rising, 0 is the time. want: LOW | HIGH | TOTAL, counts come always.
    width 0: one bin.

    Cold blocks that have to be decoded are looked for first: picked and places are an item a block (picked zeros),
    warm is None; nothing is folded, and places begins with counters[FOUND] of them. Then they are given, hot, as warm.

    Returns the place of a block that is damaged, or -1.
    """
    cdef Py_ssize_t count = series.shape[0], chunk_count = columns.shape[0], i, at = 0, step, damaged = 0
    cdef Py_ssize_t asked_count = count if wanted is None else wanted.shape[0], low_place, high_place, middle
    cdef int64_t group_count
    cdef Asked asked
    cdef Chunks chunks
    cdef Room room
    cdef Cell* base
    cdef int status = FINE
    if (starts.shape[0] != count + 1 or firsts.shape[0] != chunk_count + 1 or blocks.shape[0] % sizeof(ts_block)
            or groups.shape[0] != asked_count or counters.shape[0] < _COUNTERS or wanted_columns.shape[0] > MOST
            or (picked is not None and picked.shape[0] != blocks.shape[0] // <Py_ssize_t>sizeof(ts_block))
            or (picked is None) != (places is None) or (picked is None and warm is not None)
            or (picked is not None and places.shape[0] != picked.shape[0])
            or (warm is not None and warm.shape[0] % sizeof(ts_block))):
        raise ValueError("the arrays of the part do not fit together")
    if width < 0 or bins < 1 or bins > 1 << 40 or wanted_columns.shape[0] < 1 or not 0 <= want <= 7:
        raise ValueError("there is nothing to fold into")
    for i in range(1, wanted_columns.shape[0]):
        if wanted_columns[i] <= wanted_columns[i - 1]:
            raise ValueError("columns must rise")
    group_count = cells.shape[0] // <Py_ssize_t>sizeof(Cell) // (bins * wanted_columns.shape[0])
    if cells.shape[0] != group_count * bins * wanted_columns.shape[0] * <Py_ssize_t>sizeof(Cell):
        raise ValueError("cells has another size than groups, bins and columns make")
    if count == 0 or asked_count == 0 or chunk_count == 0 or blocks.shape[0] == 0:
        return -1
    if group_count == 0:
        raise ValueError("cells has no room")
    asked.span.low, asked.span.high, asked.span.width = low, high, width
    asked.span.first_bin, asked.span.bins, asked.span.counters = first_bin, bins, &counters[0]
    asked.columns = wanted_columns.shape[0]
    asked.want = want
    asked.picked = NULL
    asked.warm = NULL
    asked.found = 0
    if picked is not None:
        asked.picked = &picked[0]
        asked.places = &places[0]
    if warm is not None and warm.shape[0]:
        asked.warm = <const ts_block*>&warm[0]
        asked.found = <uint32_t>(warm.shape[0] // <Py_ssize_t>sizeof(ts_block))
    chunks.columns = &columns[0]
    chunks.firsts = &firsts[0]
    chunks.blocks = <const ts_block*>&blocks[0]
    chunks.block_count = blocks.shape[0] // <Py_ssize_t>sizeof(ts_block)
    base = <Cell*>&cells[0]
    with nogil:
        for i in range(asked_count):
            if wanted is not None:  # gallop
                step = 1
                while at + step < count and series[at + step] < wanted[i]:
                    step *= 2
                low_place, high_place = at, min(at + step + 1, count)
                while low_place < high_place:
                    middle = (low_place + high_place) // 2
                    if series[middle] < wanted[i]:
                        low_place = middle + 1
                    else:
                        high_place = middle
                at = low_place
                if at == count:
                    break
                if series[at] != wanted[i]:
                    continue
            else:
                at = i
            if groups[i] < 0 or groups[i] >= group_count or starts[at] < 0 or starts[at + 1] > chunk_count:
                status = CORRUPTED
                break
            asked.cells = base + groups[i] * bins * asked.columns
            if fold_series(&chunks, starts[at], starts[at + 1], &wanted_columns[0], &asked, &room, &damaged):
                status = CORRUPTED
                break
    counters[_FOUND] = asked.found
    return damaged if status else -1
