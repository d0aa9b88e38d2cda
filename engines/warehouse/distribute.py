"""Which slice a row lies on.

    KEY     hash64(value) mod slices, the same for ever; NULL on slice 0. Equal keys of two tables meet on one slice
    EVEN    whole row groups in turn; a load that fills no group on every slice in equal runs, a small one in one run
    ALL     stored once, and every slice may read all of it
    AUTO    as EVEN; up to 65,536 rows the planner treats it as ALL

(Redshift stores ALL once a node. Here slices share the blobs, so once is enough.)
"""

from typing import Any, Final

import numpy as np

from engines._native import distribute as kernels
from engines.sql.column import VECTOR, Bytes, Column, expand
from engines.sql.types import Type
from engines.warehouse.blocks import Hashes, hash_doubles, hash_numbers
from engines.warehouse.constants import constant

SMALL_LOAD: Final = 8192  # rows that are not worth a run on every slice
MOST_SLICES: Final = 256


def hashes(column: Column, rows: int) -> Hashes:
    """hash64 of each value, NULL: 0. The same for every layout of the same values."""
    column = expand(column, rows)
    if column.type.bytes:
        if column.words is not None:
            known = column.words.kept
            if "hash64" not in known:
                known["hash64"] = np.empty(len(column.words), np.uint64)
                kernels.hash_words(column.words.offsets, column.words.heap, None, known["hash64"])
            found: Hashes = known["hash64"][column.data]
            return found if column.valid is None else np.where(column.valid, found, np.uint64(0))
        out = np.empty(rows, np.uint64)
        assert column.heap is not None  # noqa: S101 - for the type checker
        kernels.hash_words(column.data, column.heap, column.valid, out)
        return out
    if column.type.floating:
        return hash_doubles(column.data, column.valid)
    if column.wide:
        low = [(int(value) + 2**63) % 2**64 - 2**63 for value in column.data.tolist()]
        return hash_numbers(np.array(low, np.int64), column.valid)
    return hash_numbers(np.ascontiguousarray(column.numbers()), column.valid)


def slices_of(column: Column, rows: int, slices: int) -> Bytes:
    """The slice of each row by its key."""
    out = np.empty(rows, np.uint8)
    kernels.slices(hashes(column, rows), slices, out)
    return out


def slice_of(value: Any, type: Type, slices: int) -> int:  # noqa: ANN401 - an engine value
    """The slice of the rows with this key."""
    return int(slices_of(constant(type, value), 1, slices)[0])


def even_cuts(rows: int, slices: int) -> list[int]:
    """Where runs of a load without a key begin and end: whole groups, then equal runs of what is left."""
    whole = rows - rows % (VECTOR * slices)
    cuts = list(range(0, whole, VECTOR))
    rest = rows - whole
    runs = slices if rest > SMALL_LOAD else min(rest, 1)
    cuts += [whole + rest * run // runs for run in range(runs)]
    return [*cuts, rows]
