"""Batches for tests: records as tuples, as columns, and what a table holds as a dict."""

import struct

import numpy as np

from engines.timeseries import merge
from engines.timeseries.columns import Columns, Values, Words
from engines.timeseries.schema import ITEMS
from engines.timeseries.streams import records_of


def words_of(texts):
    known = list(dict.fromkeys(text for text in texts if text is not None))
    return Words(np.array([-1 if text is None else known.index(text) for text in texts], np.int32), tuple(known))


def columns_of(records):
    """Of records (dimensions, single, name, time, version, {measure: (type, value)}): all single, or none."""
    single = records[0][1] if records else False
    names = list(dict.fromkeys(name for record in records for name in record[0]))
    measures = list(dict.fromkeys(name for record in records for name in record[5]))
    values = {}
    for measure in measures:
        given = [record[5].get(measure) for record in records]
        (kind,) = {value[0] for value in given if value is not None}
        valid = np.array([value is not None for value in given], np.uint8)
        if kind == "varchar":
            words = words_of([None if value is None else value[1] for value in given])
            values[measure] = Values(kind, words.codes, valid, words.words)
        else:
            data = np.array([0 if value is None else value[1] for value in given], ITEMS[kind])
            values[measure] = Values(kind, data, None if valid.all() else valid)
    return Columns(
        np.array([record[3] for record in records], np.int64),
        {name: words_of([record[0].get(name) for record in records]) for name in names},
        values,
        None if single else words_of([record[2] for record in records]),
        np.array([record[4] for record in records], np.int64),
        single=single,
    )


def plain(value, kind):
    if kind == "double":
        return kind, struct.pack("<d", value)
    return kind, int(value.astype("datetime64[ns]").astype(np.int64)) if kind == "timestamp" else value


def held(table, **bounds):
    """What a table holds, as the model says it; and that no two parts overlap."""
    found, ends = {}, {}
    parts = table.parts(**bounds)
    types = {(measure.name, measure.single): measure.type for measure in table.definition.measures}
    for part in parts:
        rows = merge.rows_of(part, table.type_of)
        assert len(rows) == part.rows
        assert part.low == rows.times.min()
        assert part.high == rows.times.max()
        for row in range(len(rows)):
            series, time = int(rows.series[row]), int(rows.times[row])
            assert time > ends.get(series, -1), "a series goes back in time, or parts overlap"
            ends[series] = time
            key = table.index.key(series)
            single = key.kind is None
            for name, values in records_of(table, rows, row):
                identity = key.dimensions, single, name, time
                assert identity not in found, "a record is there twice"
                found[identity] = {m: plain(value, types[m, single]) for m, value in values.items()}
    return found
