"""Records in the service's own shape, as boto3's write_records takes them.

    {"Dimensions": [{"Name": "host", "Value": "a"}], "Time": "1767225600000", "TimeUnit": "MILLISECONDS", "Version": 1,
     "MeasureName": "usage", "MeasureValue": "0.5", "MeasureValueType": "DOUBLE"}                          one measure
     "MeasureName": "cpu", "MeasureValueType": "MULTI", "MeasureValues": [{"Name", "Value", "Type"}, ...]} several

Values are texts, as on the wire; numbers, datetimes and truth values are taken too. What all records have in common may
be said once. A record that makes no sense is Invalid, with its number, and nothing is written.

A measure is a column, so records of one measure name become columns of their own where they carry a single measure, and
one set of columns where they carry several. Where a measure changes its type in mid-call, columns of that type follow.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines.errors import Invalid, nearest
from engines.timeseries.columns import Columns, Values, Words
from engines.timeseries.intake import checked_dimension_name
from engines.timeseries.moments import LAST, moment
from engines.timeseries.schema import ITEMS, MeasureType

UNITS: Final[Mapping[str, int]] = {"NANOSECONDS": 1, "MICROSECONDS": 1_000, "MILLISECONDS": 1_000_000, "SECONDS": 10**9}
TYPES: Final[Mapping[str, MeasureType]] = {
    "DOUBLE": "double", "BIGINT": "bigint", "VARCHAR": "varchar", "BOOLEAN": "boolean", "TIMESTAMP": "timestamp",
}  # fmt: skip
FIELDS: Final = frozenset(
    {"Dimensions", "MeasureName", "MeasureValue", "MeasureValueType", "MeasureValues", "Time", "TimeUnit", "Version"}
)


@dataclass(slots=True)
class _Draft:
    """Columns that are being filled: records with the same kind, and one type for each measure."""

    single: bool
    measures: dict[str, tuple[MeasureType, list[int], list[Any]]] = field(
        default_factory=dict
    )  # name: type, rows, values
    index: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    dimensions: dict[str, tuple[list[int], list[str]]] = field(default_factory=dict)

    def takes(self, values: Iterable[tuple[str, MeasureType, Any]]) -> bool:
        return all(name not in self.measures or self.measures[name][0] == kind for name, kind, _ in values)

    def columns(self) -> Columns:
        rows = len(self.times)
        measures = {}
        for name, (kind, places, values) in self.measures.items():
            words: tuple[str, ...] | None = None
            if kind == "varchar":
                known = {word: code for code, word in enumerate(dict.fromkeys(values))}
                words, values = tuple(known), [known[word] for word in values]  # noqa: PLW2901 - texts become codes
            data: npt.NDArray[Any] = np.zeros(rows, ITEMS[kind])
            data[places] = values
            valid = None
            if len(places) < rows:
                valid = np.zeros(rows, np.uint8)
                valid[places] = 1
            measures[name] = Values(kind, data, valid, words)
        found = {}
        for name, (places, texts) in self.dimensions.items():
            known = {word: code for code, word in enumerate(dict.fromkeys(texts))}
            codes = np.full(rows, -1, np.int32)
            codes[places] = [known[word] for word in texts]
            found[name] = Words(codes, tuple(known))
        known = {word: code for code, word in enumerate(dict.fromkeys(self.names))}
        names = Words(np.array([known[name] for name in self.names], np.int32), tuple(known))
        return Columns(
            np.array(self.times, np.int64),
            found,
            measures,
            names,
            np.array(self.versions, np.int64),
            single=self.single,
            index=np.array(self.index, np.int64),
        )


def read(records: Iterable[Mapping[str, Any]], common: Mapping[str, Any] | None = None) -> list[Columns]:
    """Records as columns; common: what all of them have. Invalid, with the number of the first that makes no sense."""
    shared = dict(common or {})
    _check_fields(shared, "the common attributes")
    drafts: dict[str | None, list[_Draft]] = {}  # by the name of a single measure; None: several measures
    for number, record in enumerate(records):
        try:
            _add(drafts, number, record, shared)
        except Invalid as error:
            raise Invalid(f"record {number}: {error}", index=number) from None
    return [draft.columns() for several in drafts.values() for draft in several]


def _add(
    drafts: dict[str | None, list[_Draft]], number: int, record: Mapping[str, Any], shared: Mapping[str, Any]
) -> None:
    if not isinstance(record, Mapping):
        raise Invalid(f"a record is a dictionary, got {type(record).__name__}")
    _check_fields(record, "a record")
    whole = {**shared, **record}
    unit = whole.get("TimeUnit", "MILLISECONDS")
    if unit not in UNITS:
        raise Invalid(f"TimeUnit is one of {', '.join(UNITS)}, got {unit!r}")
    name = whole.get("MeasureName")
    if not isinstance(name, str) or not name:
        raise Invalid("MeasureName is missing: a text that is not empty")
    dimensions = _dimensions([*shared.get("Dimensions", ()), *record.get("Dimensions", ())])
    values = list(_values(whole, name, UNITS[unit]))
    single = whole.get("MeasureValueType") != "MULTI"
    known = {measure for measure, _, _ in values} & dimensions.keys()
    if known:
        raise Invalid(f"{min(known)!r} is both a dimension and a measure: name one of them otherwise")
    version = _whole(whole.get("Version", 1), "Version")
    if version < 1:
        raise Invalid(f"Version is a whole number from 1, got {version}")
    at = _time(whole, UNITS[unit])
    several = drafts.setdefault(name if single else None, [])
    draft = next((one for one in several if one.takes(values)), None)
    if draft is None:
        draft = _Draft(single)
        several.append(draft)
    row = len(draft.times)
    draft.times.append(at)
    draft.index.append(number)
    draft.versions.append(version)
    draft.names.append(name)
    for measure, kind, value in values:
        _, places, found = draft.measures.setdefault(measure, (kind, [], []))
        places.append(row)
        found.append(value)
    for dimension, word in dimensions.items():
        places, words = draft.dimensions.setdefault(dimension, ([], []))
        places.append(row)
        words.append(word)


def _check_fields(record: Mapping[str, Any], what: str) -> None:
    for name in record:
        if name not in FIELDS:
            raise Invalid(f"{what} has no {name!r}{nearest(str(name), FIELDS)}")


def _dimensions(given: Sequence[Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given:
        if not isinstance(one, Mapping) or not one.keys() <= {"Name", "Value", "DimensionValueType"}:
            raise Invalid(f'a dimension is {{"Name": ..., "Value": ...}}, got {one!r:.80}')
        name = checked_dimension_name(one.get("Name"))
        value = one.get("Value")
        if not isinstance(value, str):
            raise Invalid(f"the value of the dimension {name!r} is a text, got {value!r:.40}")
        if one.get("DimensionValueType", "VARCHAR") != "VARCHAR":
            raise Invalid(f"the type of the dimension {name!r} is VARCHAR, got {one['DimensionValueType']!r}")
        if name in found:
            raise Invalid(f"the dimension {name!r} is given twice")
        found[name] = value
    return found


def _values(record: Mapping[str, Any], name: str, unit: int) -> Iterable[tuple[str, MeasureType, Any]]:
    kind = record.get("MeasureValueType", "DOUBLE")
    if kind != "MULTI":
        if record.get("MeasureValues"):
            raise Invalid('MeasureValues go with MeasureValueType "MULTI"')
        if "MeasureValue" not in record:
            raise Invalid("MeasureValue is missing")
        yield name, _type(kind), value_of(record["MeasureValue"], _type(kind), unit)
        return
    several = record.get("MeasureValues")
    if "MeasureValue" in record or not several:
        raise Invalid('a record of MeasureValueType "MULTI" has MeasureValues, and no MeasureValue')
    seen = set()
    for one in several:
        if not isinstance(one, Mapping) or not {"Name", "Value"} <= one.keys() <= {"Name", "Value", "Type"}:
            raise Invalid(f'one of MeasureValues is {{"Name": ..., "Value": ..., "Type": ...}}, got {one!r:.80}')
        measure = one["Name"]
        if not isinstance(measure, str) or not measure:
            raise Invalid(f"the name of a measure is a text that is not empty, got {measure!r}")
        if measure in seen:
            raise Invalid(f"the measure {measure!r} is given twice")
        seen.add(measure)
        mine = _type(one.get("Type", "DOUBLE"))
        yield measure, mine, value_of(one["Value"], mine, unit)


def _type(given: object) -> MeasureType:
    found = TYPES.get(given) if isinstance(given, str) else None
    if found is None:
        raise Invalid(f"the type of a measure is one of {', '.join(TYPES)}, got {given!r}")
    return found


def value_of(given: Any, kind: MeasureType, unit: int) -> Any:  # noqa: ANN401 - as texts, or as Python's values
    """A value as columns hold it. unit: nanoseconds, of TIMESTAMPs that are numbers. Invalid."""
    try:
        if kind == "varchar" and isinstance(given, str):
            return given
        if kind == "double" and not isinstance(given, bool) and "_" not in str(given):
            return float(given)
        if kind == "bigint":
            return _whole(given, "a BIGINT")
        if kind == "boolean" and str(given).lower() in {"true", "false"}:
            return int(str(given).lower() == "true")
        if kind == "timestamp":
            number = isinstance(given, int) or (isinstance(given, str) and given.strip().lstrip("-").isdigit())
            return moment(int(given) * unit) if number else moment(given)
    except (TypeError, ValueError):
        pass
    raise Invalid(f"{given!r:.60} is no {kind.upper()}")


def _whole(given: Any, what: str) -> int:  # noqa: ANN401 - a text or a number
    text = given.strip() if isinstance(given, str) else given
    if isinstance(text, bool) or (isinstance(text, str) and not text.lstrip("+-").isdecimal()):
        raise Invalid(f"{what} is a whole number, got {given!r:.40}")
    if not isinstance(text, int | np.integer | str):
        raise Invalid(f"{what} is a whole number, got {given!r:.40}")
    found = int(text)
    if not -LAST - 1 <= found <= LAST:
        raise Invalid(f"{what} fits 64 bits with a sign, got {given!r:.40}")
    return found


def _time(record: Mapping[str, Any], unit: int) -> int:
    if "Time" not in record:
        raise Invalid("Time is missing: a whole number of TimeUnit since 1970, as a text")
    given = record["Time"]
    if isinstance(given, str | int) and not isinstance(given, bool):
        found = moment(_whole(given, "Time") * unit)
    else:
        found = moment(given)
    if found < 0:
        raise Invalid("Time is negative: records are of 1970 and later")
    return found
