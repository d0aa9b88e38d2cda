r"""LIKE and ILIKE. The pattern is cut into pieces once (`textsearch.pyx` says which) and kept.

The escape character is \ where none is given, as in Redshift and PostgreSQL (DuckDB has none). ILIKE compares lower
case; where all is ASCII a kernel folds the whole column, else Python's str.lower does.

NOT LIKE is a "not" around it. A pattern that differs from row to row works and is slow: one pass for each pattern.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from engines._native import strings, textsearch
from engines.sql import texts
from engines.sql.column import Bytes, Column, Positions, gather
from engines.sql.functions.given import Given, mask_column, scalars, spread
from engines.sql.functions.registry import Functions
from engines.sql.types import VARCHAR

FUNCTIONS = Functions()
scalar = scalars(FUNCTIONS)
Pieces = tuple[Positions, Bytes, Bytes]  # offsets, heap, 1 where the heap's byte is a _


@lru_cache(maxsize=256)
def pieces_of(pattern: bytes, escape: bytes) -> Pieces:
    """The pieces between the % signs of a pattern. ValueError if it ends in the escape character."""
    pieces, wild = [bytearray()], [bytearray()]
    i = 0
    while i < len(pattern):
        literal = bool(escape) and pattern.startswith(escape, i)
        if literal:
            i += len(escape)
            if i == len(pattern):
                raise ValueError(f"the pattern {pattern.decode()!r} ends with its escape character: write it twice")
        if pattern[i] == 0x25 and not literal:
            pieces.append(bytearray())
            wild.append(bytearray())
        else:
            pieces[-1].append(pattern[i])
            wild[-1].append(pattern[i] == 0x5F and not literal)
        i += 1
    last = len(pieces) - 1
    kept = [i for i in range(len(pieces)) if i in {0, last} or pieces[i]]
    column = texts.from_words([bytes(pieces[i]) for i in kept])
    assert column.heap is not None, "made plain"  # noqa: S101 - for the type checker
    return column.data, column.heap, np.frombuffer(b"".join(wild[i] for i in kept), np.uint8)


def matches(column: Column, pattern: bytes, escape: bytes) -> Bytes:
    """1 for each stored value that is like the pattern. Codes: once for each word. ValueError for a bad pattern."""
    pieces = pieces_of(pattern, escape)
    if column.words is not None:
        found = np.empty(len(column.words), np.uint8)
        textsearch.like(column.words.offsets, column.words.heap, *pieces, found)
        made: Bytes = found[column.data]
        return made
    offsets, heap = texts.parts_of(column)
    found = np.empty(len(offsets) - 1, np.uint8)
    textsearch.like(offsets, heap, *pieces, found)
    return found


def folded(column: Column) -> Column:
    """The text in lower case, plain."""
    offsets, heap = texts.parts_of(column)
    if strings.is_ascii(heap):
        out = np.empty_like(heap)
        strings.fold_case(heap, out, upper=False)
        return replace(column, data=offsets, heap=out, words=None)
    return replace(
        texts.from_words([word.decode(errors="replace").lower().encode() for word in texts.to_words(column)]),
        valid=column.valid,
        constant=column.constant,
    )


def _escape(given: Given) -> bytes:
    escape = given.one_text(2, "the escape character", "\\")
    if len(escape) > 1:
        raise given.error(f"ESCAPE takes one character or none, got {escape!r}")
    return escape.encode()


@scalar("like", "text, text, text? -> boolean", meaning="x LIKE pattern [ESCAPE e]: % is any text, _ one character")
def like(given: Given) -> Column:
    value, pattern = given.columns[:2]
    escape = _escape(given)
    try:
        if given.single(1):
            return mask_column(matches(spread(value, given.rows), texts.to_words(pattern)[0], escape))
        out = np.zeros(given.rows, np.uint8)
        value, there = spread(value, given.rows), given.present()
        by_pattern: dict[bytes, list[int]] = {}
        for row, word in enumerate(texts.to_words(pattern)):
            if there is None or there[row]:
                by_pattern.setdefault(word, []).append(row)
        for word, found in by_pattern.items():
            at = np.array(found, np.int32)
            out[at] = matches(gather(value, at), word, escape)
        return mask_column(out)
    except ValueError as error:
        raise given.error(str(error)) from None


@scalar("ilike", "text, text, text? -> boolean", meaning="LIKE without regard to case")
def ilike(given: Given) -> Column:
    return like(replace(given, columns=[folded(given.columns[0]), folded(given.columns[1]), *given.columns[2:]]))


@scalar("starts_with", "text, text -> boolean", synonyms=["prefix"], meaning="whether x begins with y")
def starts_with(given: Given) -> Column:
    offsets, heap = given.every_text(0)
    parts, part_heap = given.text(1)
    out = np.empty(given.rows, np.uint8)
    if given.single(1):
        piece = part_heap[parts[0] : parts[1]].copy()
        cuts = np.array([0, len(piece), len(piece)], np.int32)
        textsearch.like(offsets, heap, cuts, piece, np.zeros_like(piece), out)
        return mask_column(out)
    made = np.zeros(given.rows + 1, np.int32)
    np.cumsum(np.minimum(np.diff(parts), np.diff(offsets)), out=made[1:])
    heads = texts.cut_out(np.ascontiguousarray(offsets[:-1]), heap, made, VARCHAR)
    return mask_column(texts.compare("=", heads, given.columns[1], given.rows))
