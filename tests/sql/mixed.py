"""Batches of the same rows in as many layouts as there are: what an operator must not notice."""

import random
from dataclasses import replace

import numpy as np

from engines.sql.column import Batch, Dictionary
from engines.sql.context import Context
from engines.sql.logical import Reference, SortKey
from engines.sql.values import engine_column


def column(values, kind, rng):
    """A column of engine values in a layout that rng chooses: coded or plain, narrow with a base or not, constant."""
    made = engine_column(values, kind)
    if values and all(value == values[0] for value in values) and rng.random() < 0.5:
        return replace(engine_column(values[:1], kind), constant=True)
    if kind.bytes and rng.random() < 0.6:
        words = sorted({value or b"" for value in values} | {b"", b"unused"}, key=lambda _: rng.random())
        codes = np.array([words.index(value or b"") for value in values], rng.choice([np.uint8, np.uint16, np.uint32]))
        return replace(made, data=codes, heap=None, words=Dictionary.of(words))
    if kind.whole and values and rng.random() < 0.6:
        filled = [value for value in values if value is not None] or [0]
        low, high = min(filled), max(filled)
        width = next((width for width in (np.uint8, np.uint16, np.uint32) if high - low <= np.iinfo(width).max), None)
        if width is not None:
            data = np.array([low if value is None else value for value in values], object) - low
            return replace(made, data=data.astype(width), base=low, low=low, high=high)
    if kind.kind == "decimal" and rng.random() < 0.3:
        return replace(made, data=made.data.astype(object), low=None, high=None)
    if rng.random() < 0.2 and made.valid is None:
        return replace(made, valid=np.ones(len(values), np.uint8))
    return made


def batches(rows, types, *, vector=65_536, seed=0):
    """rows: tuples of engine values; types: id -> type. Batches of at most `vector` rows; some hidden by positions."""
    rng = random.Random(seed)
    for start in range(0, len(rows), vector):
        piece = rows[start : start + vector]
        if rng.random() < 0.5:
            yield batch(piece, types, rng)
        else:
            padded = [row for row in piece for _ in range(2)]
            yield batch(padded, types, rng).take(np.arange(0, len(padded), 2, dtype=np.int32))


def batch(rows, types, rng):
    made = {name: column([row[i] for row in rows], kind, rng) for i, (name, kind) in enumerate(types.items())}
    return Batch(made, len(rows))


def run(sink, streams, context=None):
    """What a sink makes of streams of batches, one a slice."""
    context = context or Context()
    states = []
    for stream in streams:
        state = sink.start()
        for batch in stream:
            sink.add(state, batch, context)
        states.append(state)
    return list(sink.batches(sink.merge(states, context), context))


def engine_values(column, rows):
    """A column as engine values, None for NULL."""
    if column.constant:
        return engine_values(replace(column, constant=False), 1) * rows
    if column.words is not None:
        found = [column.words.words()[code] for code in column.data.tolist()]
    elif column.heap is not None:
        heap, cuts = column.heap.tobytes(), column.data.tolist()
        found = [heap[cuts[i] : cuts[i + 1]] for i in range(len(cuts) - 1)]
    elif column.type.floating:
        found = column.data.tolist()
    else:
        found = [value + column.base for value in column.data.tolist()]
    if column.valid is not None:
        found = [value if there else None for value, there in zip(found, column.valid.tolist(), strict=True)]
    assert len(found) == rows
    return found


def rows_of(batches, ids):
    """Batches as tuples of engine values."""
    rows = []
    for batch in batches:
        rows += zip(*(engine_values(batch.column(name), batch.rows) for name in ids), strict=True)
    return rows


def key(name, kind, *, descending=False, nulls_first=False):
    return SortKey(Reference(id=name, type=kind), descending, nulls_first)
