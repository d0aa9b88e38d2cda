"""The time series store in plain Python: a dict of records, and the table of verdicts.

    records    (dimensions, single, measure name, time) -> (version, {measure: value})

Doubles are held as their bits, so that NaN equals itself and -0.0 does not equal 0.0.
"""

import struct
from dataclasses import dataclass, field

HOUR, DAY = 3_600 * 10**9, 24 * 3_600 * 10**9


@dataclass
class Table:
    """See the module's text. Times and durations are in nanoseconds."""

    name: str = "t"
    memory: int = 6 * HOUR
    magnetic: int = 73_000 * DAY
    magnetic_writes: bool = True
    types: dict = field(default_factory=dict)  # (measure, single) -> type
    records: dict = field(default_factory=dict)

    def write(self, now, records):
        """-> (memory, magnetic, unchanged, [(index, existing version)])."""
        counts, refused = [0, 0, 0], []
        for index, (dimensions, single, name, time, version, values) in enumerate(records):
            old = time < now - self.memory
            if time > now + HOUR // 4 or time < now - self.magnetic or (old and not self.magnetic_writes):
                refused.append((index, None))
                continue
            fitted = {measure: self.fitting(measure, single, value) for measure, value in values.items()}
            if None in fitted.values():
                refused.append((index, None))
                continue
            key = tuple(sorted(dimensions.items())), single, name, time
            there = self.records.get(key)
            if there is not None and version <= there[0]:
                if fitted == there[1]:
                    counts[2] += 1
                else:
                    refused.append((index, there[0]))
                continue
            for measure, value in fitted.items():
                self.types.setdefault((measure, single), value[0])
            self.records[key] = version, fitted
            counts[old] += 1
        return (*counts, refused)

    def fitting(self, measure, single, value):
        """The value as (type, bits) as the measure has it; None if it has another type."""
        known, (given, plain) = self.types.get((measure, single)), value
        if (known, given) == ("double", "bigint"):
            given, plain = "double", float(plain)
        if known not in (None, given):
            return None
        return given, struct.pack("<d", plain) if given == "double" else plain

    def rows(self, now):
        """What a query sees."""
        return {key: values for key, (_, values) in self.records.items() if key[3] >= now - self.magnetic}
