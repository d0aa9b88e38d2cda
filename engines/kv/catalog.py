"""What tables there are: their definitions, kept in the tree's `catalog` keyspace and logged like any other change.

    catalog    table/NAME   Definition as MessagePack          names/ID   attribute names, in the order of their numbers
               next         the id of the next table, u32      marks      Marks of the checkpoints of the last day

A table's id is never used again, so frames of a dropped table in the log are nobody's. Attribute names get their
numbers when they first occur; a NAMES frame goes into the log before the first item that uses them.
"""

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from engines.errors import Corrupted, Invalid
from engines.kv.scaling import Scaling
from engines.kv.values import KeyPart

ITEMS_FRAME, SCHEMA_FRAME, NAMES_FRAME, TRANSACTION_FRAME = 16, 17, 18, 19  # kinds of frame in the log

StreamView = Literal["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]
VIEWS: tuple[StreamView, ...] = ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")


class Keyed:
    """What a table and an index have in common: a key of one or two parts."""

    __slots__ = ()
    key: tuple[KeyPart, ...]

    @property
    def partition(self) -> str:
        return self.key[0].name

    @property
    def sort(self) -> str | None:
        return self.key[1].name if len(self.key) > 1 else None

    @property
    def key_names(self) -> tuple[str, ...]:
        return tuple(part.name for part in self.key)

    @property
    def key_types(self) -> str:
        """As KeyCodec wants them: "S", or "SN"."""
        return "".join(part.type for part in self.key)

    @property
    def described_key(self) -> list[str]:
        """As create_table and create_index take it: ["customer:S", "order:N"]."""
        return [f"{part.name}:{part.type}" for part in self.key]


class Index(Keyed, msgspec.Struct, frozen=True):
    """A secondary index of one table: other attributes as the key, and what of an item it holds.

    local: the partition key is the table's. ready: all items of before its creation are in it.
    """

    id: int
    name: str
    key: tuple[KeyPart, ...]
    projection: Literal["ALL", "KEYS_ONLY"] | tuple[str, ...]
    local: bool = False
    ready: bool = False


class Definition(Keyed, msgspec.Struct, frozen=True):
    """One table as it stands: `created` in microseconds, `began` the log sequence of its creation.

    read, write: units a second that were bought, None for on demand. pitr: the log is kept for 35 days, so that any
    moment of them can be restored. show_expired: items whose time is over are seen until they are deleted.
    partition_limits: a partition key gets no more than 3,000 read and 1,000 write units a second. read_scaling,
    write_scaling: the rates follow the load, within these limits (scaling.py); they rest while it is on demand.
    ttl_ready: the items of before the time to live have got their expiry. stream_started: sequence and time from which
    on there is a stream, where it was switched on later (switches.py).
    """

    id: int
    name: str
    key: tuple[KeyPart, ...]
    ttl: str | None
    stream: StreamView | None
    created: int
    began: int
    indexes: tuple[Index, ...] = ()
    read: float | None = None
    write: float | None = None
    pitr: bool = False
    show_expired: bool = False
    partition_limits: bool = False
    read_scaling: Scaling | None = None
    write_scaling: Scaling | None = None
    ttl_ready: bool = True
    stream_started: tuple[int, int] = (0, 0)

    @property
    def stream_began(self) -> int:
        """The first sequence that its stream may show."""
        return max(self.began, self.stream_started[0])

    @property
    def stream_label(self) -> str:
        """When its stream was switched on, which ends the stream's ARN."""
        moment = datetime(1970, 1, 1) + timedelta(microseconds=self.stream_started[1] or self.created)  # noqa: DTZ001 - the label has no zone
        return moment.isoformat(timespec="milliseconds")

    @property
    def hides(self) -> bool:
        """Whether an item whose time is over is not seen any more, deleted or not."""
        return self.ttl is not None and not self.show_expired


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """A checkpoint: when, up to which sequence, and the oldest frame that a frame between the last one and it names."""

    time: int
    sequence: int
    low_reference: int


class Schema(msgspec.Struct, frozen=True):
    """A SCHEMA frame: a table that was created, one that has changed, or the name of one that was dropped.

    renamed: the name that the changed one had before.
    """

    create: Definition | None = None
    drop: str | None = None
    alter: Definition | None = None
    renamed: str | None = None


class Names(msgspec.Struct, frozen=True):
    """A NAMES frame: the attribute names numbered from `start` on, in one table."""

    table: int
    start: int
    names: list[str]


encode = msgspec.msgpack.Encoder().encode
decode_definition = msgspec.msgpack.Decoder(Definition).decode
decode_schema = msgspec.msgpack.Decoder(Schema).decode
decode_names = msgspec.msgpack.Decoder(Names).decode
decode_list = msgspec.msgpack.Decoder(list[str]).decode
decode_marks = msgspec.msgpack.Decoder(list[Mark]).decode


TABLES = (b"table/", b"table0")  # from, to: where the definitions are
EMPTY_LIST = encode([])
COMPANIONS = (".versions", ".replication")  # end the names of the tables that a replica keeps beside its own


def table_entry(name: str) -> bytes:
    """Where the catalog has the definition of the table of this name."""
    return b"table/" + name.encode()


def names_entry(table: int) -> bytes:
    """Where the catalog has the attribute names of the table with this id."""
    return b"names/%d" % table


def companion_of(name: str) -> str | None:
    """The table beside which a replica keeps this one (regions/versions.py); None where it is a user's own."""
    return next((name.removesuffix(ending) for ending in COMPANIONS if name.endswith(ending)), None)


def refuse_companion(name: str) -> None:
    """Invalid where a replica keeps the table of this name: users read it, and no more."""
    of = companion_of(name)
    if of is not None:
        raise Invalid(
            f"the table {name!r} is kept by kv.Replica for the table {of!r}: read it, but write to {of!r}, and use "
            f"names that do not end in {' or '.join(COMPANIONS)} for tables of your own"
        )


def stream_view(stream: bool | str) -> StreamView | None:  # noqa: FBT001 - create_table(stream=True) is how users say it
    """True means both images, False none. Invalid for what is no view."""
    if stream is True:
        return "NEW_AND_OLD_IMAGES"
    if stream is False or stream is None:
        return None
    for view in VIEWS:
        if stream == view:
            return view
    raise Invalid(f"stream is True, False or one of {', '.join(VIEWS)}, got {stream!r}")


def corrupted(where: str, error: Exception) -> Corrupted:
    """What to raise where a stored record cannot be read."""
    return Corrupted(f"{where} cannot be read ({error}): restore a snapshot", file=where, offset=0)
