"""Several segments into one, without their deleted documents.

    parts, maps = merge([first, second])        # parts of the new segment; maps[i][old document] = new one, or NONE

Documents keep their order: those of the first segment, then those of the second. So lists and columns only have to be
put end to end, with other numbers; terms are merged by walking all dictionaries at once (_native/searchpostings.pyx).
Ordinals of a column are renumbered by the merged dictionary of the field of the same name.

A document that is deleted while this runs is deleted in the new segment by its new number: maps[i][document].

Invariants: the merged segment holds what writing the live documents anew would give, but for `docs` and `tokens` of a
field, which count whole documents of known length: tokens are taken from norms where documents were deleted.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines._native.searchinvert import norm_lengths
from engines._native.searchpostings import FieldReader, FieldWriter
from engines.errors import Invalid
from engines.search.columns import flags_of
from engines.search.container import Bytes
from engines.search.segment import Segment, SegmentWriter

NONE: Final = 0xFFFFFFFF
Map = npt.NDArray[np.uint32]


def merge(
    segments: Sequence[Segment], *, meta: dict[str, Any] | None = None, dictionary: bytes = b""
) -> tuple[list[Bytes], list[Map]]:
    """The bytes of one segment with the live documents of all, and where each document went.

    dictionary: what stored documents are compressed with. Corrupted or ValueError if a segment is damaged.
    """
    maps = list(_maps(segments))
    docs = sum(segment.live_docs for segment in segments)
    writer = SegmentWriter(docs)
    for field in dict.fromkeys(name for segment in segments for name in segment.fields):
        _merge_field(writer, field, segments, maps)
    for column in dict.fromkeys(name for segment in segments for name in segment.columns):
        _merge_column(writer, column, segments, maps)
    if all(segment.container.has("ids/heap") for segment in segments):
        writer.add_ids([segment.id_of(doc) for segment, doc in _live(segments, maps)])
    if all(segment.container.has("sources/data") for segment in segments):
        writer.add_sources((segment.source(doc) for segment, doc in _live(segments, maps)), dictionary=dictionary)
    return writer.finish(meta), maps


def _maps(segments: Sequence[Segment]) -> Iterator[Map]:
    base = 0
    for segment in segments:
        mapped = np.full(segment.docs, NONE, np.uint32)
        live = np.ones(segment.docs, np.bool_) if segment.live is None else flags_of(segment.live, segment.docs)
        count = int(np.count_nonzero(live))
        mapped[live] = np.arange(base, base + count, dtype=np.uint32)
        base += count
        yield mapped


def _live(segments: Sequence[Segment], maps: list[Map]) -> Iterator[tuple[Segment, int]]:
    for segment, mapped in zip(segments, maps, strict=True):
        for doc in np.flatnonzero(mapped != NONE).tolist():
            yield segment, doc


def _merge_field(writer: SegmentWriter, name: str, segments: Sequence[Segment], maps: list[Map]) -> None:
    having = [(segment.fields[name], mapped) for segment, mapped in zip(segments, maps, strict=True)
              if name in segment.fields]  # fmt: skip
    first = having[0][0]
    if any((one.frequencies, one.positions, one.has_norms) != (first.frequencies, first.positions, first.has_norms)
           for one, _ in having):  # fmt: skip
        raise Invalid(f"field {name!r} keeps positions or norms in some segments only; index its documents again")
    norms = np.zeros(writer.docs, np.uint8) if first.has_norms else None
    docs = tokens = 0
    lengths = norm_lengths()
    for one, mapped in having:
        keeps = mapped != NONE
        if norms is not None and one.norms is not None:
            norms[mapped[keeps]] = one.norms[keeps]
        if keeps.all():
            docs, tokens = docs + one.docs, tokens + one.tokens
        elif one.norms is not None:
            docs += int(np.count_nonzero(one.norms[keeps]))
            tokens += int(lengths[one.norms[keeps]].sum())
        else:
            share = np.count_nonzero(keeps) / len(keeps)
            docs, tokens = docs + round(one.docs * share), tokens + round(one.tokens * share)
    merged = FieldWriter(writer.docs, norms, first.frequencies, first.positions)
    readers: list[FieldReader] = [one.reader for one, _ in having]
    try:
        merged.merge(readers, [mapped for _, mapped in having])
    except ValueError as error:
        raise first.container.corrupted(f"lists of field {name} cannot be merged: {error}", 0) from error
    writer.add_field(
        name, merged, norms, docs=docs, tokens=tokens, frequencies=first.frequencies, positions=first.positions
    )


def _merge_column(writer: SegmentWriter, name: str, segments: Sequence[Segment], maps: list[Map]) -> None:
    kind = next(segment.columns[name].kind for segment in segments if name in segment.columns)
    multiple = any(name in segment.columns and segment.columns[name].multiple for segment in segments)
    renumber = _renumber(name, segments, maps) if kind == "ordinal" else {}
    values: list[npt.NDArray[Any]] = []
    flags: list[npt.NDArray[np.bool_]] = []
    counts: list[npt.NDArray[np.int64]] = []
    for number, (segment, mapped) in enumerate(zip(segments, maps, strict=True)):
        keeps = mapped != NONE
        if name not in segment.columns:
            flags.append(np.zeros(int(keeps.sum()), np.bool_))
            counts.append(np.zeros(int(keeps.sum()), np.int64))
            if not multiple:
                values.append(np.zeros(int(keeps.sum()), np.int64 if kind != "double" else np.float64))
            continue
        column = segment.columns[name]
        if column.kind != kind:
            raise Invalid(f"column {name!r} is {column.kind} in one segment and {kind} in another")
        offsets, has = column.offsets, column.has
        each = has.astype(np.int64) if offsets is None else offsets[1:].astype(np.int64) - offsets[:-1]
        of_these = keeps & has if multiple else keeps
        if offsets is not None:
            of_these = np.repeat(keeps, each)
        some = column.values[of_these]
        if number in renumber:
            some = renumber[number][some]
        values.append(some)
        flags.append(has[keeps])
        counts.append(each[keeps])
    every = np.concatenate(values) if values else np.zeros(0, np.int64)
    if multiple:
        writer.add_column(name, kind, every, offsets=np.concatenate(([0], np.cumsum(np.concatenate(counts)))))
    else:
        writer.add_column(name, kind, every, present=np.concatenate(flags))


def _renumber(name: str, segments: Sequence[Segment], maps: list[Map]) -> dict[int, npt.NDArray[np.uint32]]:
    """For each segment with this field, the new ordinal of each old one (0 for terms that go away)."""
    used: dict[int, list[bytes]] = {}
    for number, (segment, mapped) in enumerate(zip(segments, maps, strict=True)):
        if name not in segment.fields:
            continue
        terms = segment.terms(name)
        words = terms.slice(0, len(terms))
        if (mapped == NONE).any():
            used[number] = [word if _survives(segment, name, word, mapped) else b"" for word in words]
        else:
            used[number] = words
    kept = {
        word
        for number, words in used.items()
        for word in words
        if word or _survives(segments[number], name, b"", maps[number])
    }
    where = {word: i for i, word in enumerate(sorted(kept))}
    return {
        number: np.fromiter((where.get(word, 0) for word in words), np.uint32, len(words))
        for number, words in used.items()
    }


def _survives(segment: Segment, name: str, word: bytes, mapped: Map) -> bool:
    return bool((mapped[segment.postings(name, word).docs] != NONE).any())
