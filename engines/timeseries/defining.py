"""What a table may be: names and retentions, checked before anything is written."""

import datetime as dt
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from engines.errors import Invalid, TooLarge
from engines.timeseries import durations
from engines.timeseries.schema import DAY, HOUR, LONGEST_DIMENSION_NAME, MOST_DIMENSIONS, TableDefinition

NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,256}")
MEMORY: Final = (HOUR, 8_766 * HOUR)
MAGNETIC: Final = (DAY, 73_000 * DAY)
TILE: Final = (60 * 10**9, 366 * DAY)
Duration = str | dt.timedelta | int


def checked_name(name: object, what: str) -> str:
    """The name, if a table or a scheduled query can have it. Invalid; what: "a table's name"."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Invalid(f"{what} has 1 to 256 of A-Z a-z 0-9 _ . -, got {name!r:.300}")
    return name


def definition(
    number: int,
    name: str,
    *,
    memory: Duration,
    magnetic: Duration,
    magnetic_writes: bool,
    tile: Duration,
    dimensions: Iterable[str] | None,
) -> TableDefinition:
    """A table's definition. Invalid for what is none."""
    checked_name(name, "a table's name")
    names = [] if dimensions is None else list(dimensions)
    if isinstance(dimensions, str):
        raise Invalid(f"dimensions is a list of names, got the text {dimensions!r}")
    for each in names:
        if not isinstance(each, str) or not each or len(each.encode()) > LONGEST_DIMENSION_NAME:
            raise Invalid(f"the name of a dimension has 1 to {LONGEST_DIMENSION_NAME} bytes, got {each!r:.100}")
    if len(set(names)) < len(names):
        raise Invalid(f"a dimension is named twice: {', '.join(names)}")
    if len(names) > MOST_DIMENSIONS:
        raise TooLarge(f"a table has at most {MOST_DIMENSIONS} dimensions, got {len(names)}", limit=MOST_DIMENSIONS)
    window = durations.nanoseconds(tile)
    if not TILE[0] <= window <= TILE[1]:
        raise Invalid(f"a tile is 1 minute to 366 days long, got {durations.written(window)}")
    found = TableDefinition(number, name, tile=window, dimensions=tuple(names))
    return altered(found, memory=memory, magnetic=magnetic, magnetic_writes=magnetic_writes)


def altered(
    found: TableDefinition,
    *,
    memory: Duration | None = None,
    magnetic: Duration | None = None,
    magnetic_writes: bool | None = None,
) -> TableDefinition:
    """The definition with another retention; what is None stays. Invalid where it is out of bounds."""
    in_memory = found.memory if memory is None else durations.nanoseconds(memory)
    in_magnetic = found.magnetic if magnetic is None else durations.nanoseconds(magnetic)
    if not MEMORY[0] <= in_memory <= MEMORY[1]:
        raise Invalid(f"memory retention is 1h to 8766h, got {durations.written(in_memory)}")
    if not MAGNETIC[0] <= in_magnetic <= MAGNETIC[1]:
        raise Invalid(f"magnetic retention is 1d to 73000d, got {durations.written(in_magnetic)}")
    if in_magnetic < in_memory:
        raise Invalid(
            f"magnetic retention counts from the same moment as memory retention and is not shorter: got "
            f"{durations.written(in_magnetic)} and {durations.written(in_memory)}"
        )
    writes = found.magnetic_writes if magnetic_writes is None else bool(magnetic_writes)
    return msgspec.structs.replace(found, memory=in_memory, magnetic=in_magnetic, magnetic_writes=writes)
