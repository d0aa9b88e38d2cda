"""A segment: the documents of one refresh or merge, inverted, in one immutable run of bytes that is read where it lies.

    sections       field/terms, field/lists, field/positions, field/norms      a field that is searched by its terms
                   field/values, field/presence, field/offsets, field/ranges   a column: columns.py
                   ids/heap, ids/offsets, ids/table                            which document has which id
                   sources/...                                                 the stored documents: sources.py
    directory      {"fields": {name: {...}}, "columns": {name: {...}}, "meta": whatever the index wants to know}

How the bytes stand in their container: container.py. What is in terms, lists, positions: _native/searchdictionary.pxd,
_native/searchlist.pxd.

Reading
    segment = Segment(data)                     # bytes, or a mapped blob; nothing is copied
    segment.docs, segment.live_docs
    segment.terms("title").find(b"cat")         # (documents, start, size) or None; prefix, walk, within: Dictionary
    segment.postings("title", b"cat")           # arrays: documents, frequencies, and positions on demand
    segment.column("price").values              # and presence, offsets, ranges
    segment.find(b"id-1"), segment.id_of(7), segment.source(7)
    segment.deleted([7, 9])                     # the same segment with two documents fewer

Writing
    writer = SegmentWriter(docs)                # tokens come in order of arrival
    writer.add_tokens("title", heap, offsets, terms, docs, positions=positions, lengths=lengths)
    writer.add_column("price", "long", values, present=flags)
    writer.add_ids(ids); writer.add_sources(sources)
    data = b"".join(writer.finish())            # or hand the parts to Blobs.put

Merging several into one, without what was deleted: merge.py.

**Deleting changes no byte.** A Segment carries a bitset of its live documents; deleted() gives another Segment that
shares everything else. Who holds the old one still sees the document.

Invariants: an opened segment never changes; threads share it. Whatever was written is read again, and a flipped byte is
found at the latest when its section is first used. Deleted documents go on counting in document frequencies and average
lengths until a merge leaves them out.
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engines._native.searchinvert import IdTable, id_table, invert, norms, sort_terms
from engines._native.searchpostings import FieldReader, FieldWriter
from engines._native.searchterms import Dictionary
from engines._native.searchtopk import Field
from engines.errors import NotFound, nearest
from engines.search.columns import Bits, Column, bit_count, bitset, flags_of, write_column
from engines.search.container import Bytes, Container, ContainerWriter
from engines.search.sources import Sources, write_sources

Numbers = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class TermField:
    """A field that is searched by its terms, in one segment. The kernels' objects are made at first use."""

    container: Container
    name: str
    docs: int  # that have the field
    tokens: int  # of all of them: average length = tokens / docs
    frequencies: bool
    positions: bool
    has_norms: bool

    @cached_property
    def norms(self) -> npt.NDArray[np.uint8] | None:
        """A byte for each document of the segment; None: this field's length does not count."""
        return self.container.array(f"{self.name}/norms", "u1", self.container.docs) if self.has_norms else None

    @cached_property
    def terms(self) -> Dictionary:
        """The dictionary. Its entries say where lists lie in the segment's bytes."""
        try:
            return Dictionary(self.container.data, *self._place("terms"), self._place("lists"))
        except ValueError as error:
            raise self.container.corrupted(f"the dictionary of {self.name} makes no sense", 0) from error

    @cached_property
    def kernel(self) -> Field:
        """What a Context's clauses are made of."""
        where = self._place("positions") if self.positions else None
        return Field(self.container.data, self.container.docs, self.norms, self.frequencies, where)

    @cached_property
    def reader(self) -> FieldReader:
        """What gives lists as arrays, and what a merge reads."""
        where = self._place("positions") if self.positions else None
        return FieldReader(
            self.container.data, self.container.docs, self.norms, self.frequencies, where,
            self._place("terms"), self._place("lists"),
        )  # fmt: skip

    def _place(self, section: str) -> tuple[int, int]:
        return self.container.place(f"{self.name}/{section}")


@dataclass(frozen=True)
class Postings:
    """The list of one term as arrays: documents and frequencies, uint32[n] each."""

    docs: Numbers
    frequencies: Numbers
    _reader: FieldReader
    _entry: tuple[int, int, int]

    @cached_property
    def positions(self) -> list[Numbers]:
        """For each document where the term stands in it. ValueError if the field keeps no positions."""
        flat = self._reader.decode_positions(*self._entry)
        return np.split(flat, np.cumsum(self.frequencies)[:-1]) if len(self.frequencies) else []


class Segment:
    """An opened segment and which of its documents are live; see the module's text.

    data: all its bytes, not copied; name: what errors call it; live: a bitset, None where all documents are.
    Corrupted if these bytes are no whole segment.
    """

    def __init__(self, data: Bytes, *, name: str = "segment", live: Bits | None = None) -> None:
        self.container = Container(data, name)
        self.docs = self.container.docs
        about = self.container.about
        self.meta: dict[str, Any] = about.get("meta", {})
        self.fields = {field: TermField(self.container, field, **known) for field, known in about["fields"].items()}
        self.columns = {
            column: Column(self.container, column, docs=self.docs, **known)
            for column, known in about["columns"].items()
        }
        self._shared: dict[str, Any] = {}
        self.live = live

    @property
    def live_docs(self) -> int:
        """How many documents were not deleted."""
        return self.docs if self.live is None else bit_count(self.live)

    def deleted(self, docs: Iterable[int]) -> Self:
        """This segment without these documents; what it shares is not copied. Deleting twice does nothing more."""
        flags = np.ones(self.docs, np.bool_) if self.live is None else flags_of(self.live, self.docs).copy()
        flags[np.fromiter(docs, np.int64)] = False
        return self.with_live(bitset(self.docs, flags))

    def with_live(self, live: Bits | None) -> Self:
        """This segment with this bitset of live documents (None: all)."""
        if live is not None and len(live) != (self.docs + 63) // 64:
            raise ValueError("a bitset of live documents has a bit for each document")
        other = copy.copy(self)
        other.live = live
        return other

    def is_live(self, doc: int) -> bool:
        """Whether a document was not deleted."""
        return self.live is None or bool(int(self.live[doc >> 6]) >> (doc & 63) & 1)

    def terms(self, field: str) -> Dictionary:
        """The sorted terms of a field. NotFound if no document of the segment has the field."""
        return self.field(field).terms

    def field(self, name: str) -> TermField:
        """A field by name. NotFound if no document of the segment has it."""
        try:
            return self.fields[name]
        except KeyError:
            raise NotFound(f"{self.container.name} has no indexed field {name!r}{nearest(name, self.fields)}") from None

    def postings(self, field: str, term: bytes) -> Postings:
        """The list of one term, decoded; empty where no document has it."""
        entry = self.terms(field).find(term)
        reader = self.field(field).reader
        if entry is None:
            return Postings(np.empty(0, np.uint32), np.empty(0, np.uint32), reader, (0, 0, 0))
        return Postings(*reader.decode(*entry), reader, entry)

    def column(self, name: str) -> Column:
        """A column by name. NotFound if no document of the segment has it."""
        try:
            return self.columns[name]
        except KeyError:
            raise NotFound(f"{self.container.name} has no column {name!r}{nearest(name, self.columns)}") from None

    @property
    def ids(self) -> IdTable:
        """Which document has which id. Deleted documents keep theirs."""
        if "ids" not in self._shared:
            heap, table = self.container.bytes("ids/heap"), self.container.bytes("ids/table").view("<u4")
            self._shared["ids"] = IdTable(heap, self.container.array("ids/offsets", "<u4", self.docs + 1), table)
        found: IdTable = self._shared["ids"]
        return found

    def find(self, key: bytes) -> int:
        """The live document with this id, or -1."""
        doc = self.ids.find(key)
        return doc if doc >= 0 and self.is_live(doc) else -1

    def id_of(self, doc: int) -> bytes:
        """The id of a document."""
        return self.ids.id_of(doc)

    def source(self, doc: int) -> bytes:
        """The stored bytes of a document."""
        if "sources" not in self._shared:
            self._shared["sources"] = Sources(self.container)
        found: Sources = self._shared["sources"]
        return found.get(doc)

    def verify(self) -> None:
        """Read every section once and compare its sum. Corrupted at the first that is not what was written."""
        for section in self.container.sections:
            self.container.place(section)


class SegmentWriter:
    """Collects what a segment of `docs` documents holds, see the module's text; finish() gives its bytes."""

    def __init__(self, docs: int) -> None:
        self.docs = docs
        self.container = ContainerWriter()
        self._fields: dict[str, dict[str, Any]] = {}
        self._columns: dict[str, dict[str, Any]] = {}

    def add_tokens(
        self,
        field: str,
        heap: npt.NDArray[np.uint8] | bytes,
        offsets: npt.NDArray[np.int64],
        terms: Numbers,
        docs: Numbers,
        *,
        positions: Numbers | None = None,
        lengths: Numbers | None = None,
        frequencies: bool = True,
    ) -> None:
        """Index a field from its tokens in order of arrival, document by document.

        Term t is heap[offsets[t]:offsets[t + 1]], each a different one; terms, docs, positions: one for each token.
        lengths: tokens of each document, what its norm is made of (None: no norms). Without frequencies a term only
        says which documents it is in, and there can be no positions.
        """
        starts, listed, often, where = invert(terms, docs, positions if frequencies else None, len(offsets) - 1)
        made = None if lengths is None else norms(lengths)
        writer = FieldWriter(self.docs, made, frequencies, where is not None)
        writer.add(heap, offsets, _used(sort_terms(heap, offsets), starts), starts, listed, often, where)
        having = int(np.count_nonzero(np.bincount(docs, minlength=self.docs))) if len(docs) else 0
        self.add_field(
            field, writer, made, docs=having, tokens=len(terms) if lengths is None else int(lengths.sum()),
            frequencies=frequencies, positions=where is not None,
        )  # fmt: skip

    def add_field(
        self,
        field: str,
        writer: FieldWriter,
        made: npt.NDArray[np.uint8] | None,
        *,
        docs: int,
        tokens: int,
        frequencies: bool,
        positions: bool,
    ) -> None:
        """A field whose lists were written already. made: its norms; docs: how many documents have it."""
        dictionary, lists, places = writer.finish()
        self.container.add(f"{field}/terms", dictionary)
        self.container.add(f"{field}/lists", lists)
        if positions:
            self.container.add(f"{field}/positions", places)
        if made is not None:
            self.container.add(f"{field}/norms", made)
        self._fields[field] = {
            "docs": docs,
            "tokens": tokens,
            "frequencies": frequencies,
            "positions": positions,
            "has_norms": made is not None,
        }

    def add_column(
        self,
        name: str,
        kind: str,
        values: npt.NDArray[Any],
        *,
        present: npt.NDArray[np.bool_] | None = None,
        offsets: npt.NDArray[Any] | None = None,
    ) -> None:
        """A column: see columns.write_column."""
        made = write_column(self.container, name, kind, values, self.docs, present=present, offsets=offsets)
        self._columns[name] = made

    def add_ids(self, ids: Sequence[bytes]) -> None:
        """The id of each document, in order."""
        offsets = np.zeros(len(ids) + 1, np.uint32)
        np.cumsum(np.fromiter(map(len, ids), np.uint32, len(ids)), out=offsets[1:])
        heap = b"".join(ids)
        self.container.add("ids/heap", heap)
        self.container.add("ids/offsets", offsets)
        self.container.add("ids/table", id_table(heap, offsets))

    def add_sources(self, sources: Iterable[bytes], *, dictionary: bytes = b"") -> None:
        """The stored bytes of each document, in order."""
        write_sources(self.container, sources, dictionary=dictionary)

    def finish(self, meta: dict[str, Any] | None = None) -> list[Bytes]:
        """The segment's bytes, in parts."""
        about = {"fields": self._fields, "columns": self._columns, "meta": meta or {}}
        return self.container.finish(self.docs, about)


def _used(order: Numbers, starts: npt.NDArray[np.int64]) -> Numbers:
    """The terms that have postings."""
    return order[(starts[1:] > starts[:-1])[order]]
