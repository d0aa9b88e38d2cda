"""A tenth of a year, invented: the tables of engines/tour/story.py for machines that cannot install the real ones.

Every number comes from one seeded generator, so two runs, and two machines, see the same year. The traps of the real
data are there in their proportions: missing tail numbers, planes and airports without a row, cancelled flights, a
departure at 2400, hours without weather. The hottest plane is N725MQ here too.

Invariant: (scheduled departure, tail number, flight number) is unique, as it is in the real year.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Columns = dict[str, npt.NDArray[Any]]

SEED = 2013
FLIGHTS, PLANES, AIRPORTS, WEATHER = 33_678, 332, 146, 2_611
NEW_YORK_MIDNIGHT = 1_357_016_400  # 2013-01-01 05:00 UTC
ORIGINS = ("EWR", "JFK", "LGA")
AIRLINES = {
    "9E": "Endeavor Air Inc.",
    "AA": "American Airlines Inc.",
    "AS": "Alaska Airlines Inc.",
    "B6": "JetBlue Airways",
    "DL": "Delta Air Lines Inc.",
    "EV": "ExpressJet Airlines Inc.",
    "F9": "Frontier Airlines Inc.",
    "FL": "AirTran Airways Corporation",
    "HA": "Hawaiian Airlines Inc.",
    "MQ": "Envoy Air",
    "OO": "SkyWest Airlines Inc.",
    "UA": "United Air Lines Inc.",
    "US": "US Airways Inc.",
    "VX": "Virgin America",
    "WN": "Southwest Airlines Co.",
    "YV": "Mesa Airlines Inc.",
}
ZONES = {-5: "America/New_York", -6: "America/Chicago", -7: "America/Denver", -8: "America/Los_Angeles"}
MODELS = (
    ("AIRBUS", "A320-232", 182),
    ("BOEING", "737-824", 149),
    ("BOMBARDIER INC", "CL-600-2B19", 55),
    ("EMBRAER", "ERJ 190", 20),
)
SUMMER = 1_362_898_800, 1_383_458_400  # in New York: 10 March 07:00 UTC to 3 November 06:00 UTC


def year() -> dict[str, Columns]:
    """All five tables, the same ones each time."""
    random = np.random.default_rng(SEED)
    airports = _airports(random)
    tails, planes = _planes(random)
    airlines = {"carrier": np.array(list(AIRLINES)), "name": np.array(list(AIRLINES.values()))}
    flights = _flights(random, airports, tails)
    return {
        "flights": flights,
        "weather": _weather(random),
        "planes": planes,
        "airports": airports,
        "airlines": airlines,
    }


def _airports(random: np.random.Generator) -> Columns:
    letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    codes = [*ORIGINS]
    while len(codes) < AIRPORTS:
        code = "".join(random.choice(letters, 3))
        if code not in (*codes, "BQN", "PSE", "SJU", "STT"):
            codes.append(code)
    place = random.choice(
        ["Ashby", "Birch Lake", "Clearwater", "Dover", "Elk River", "Fairview", "Glen Cove", "Hollis"], AIRPORTS
    )
    kind = random.choice(["Airport", "Regional", "Intl", "Municipal", "Regional Airport", "County Airport"], AIRPORTS)
    zone = random.choice(list(ZONES), AIRPORTS, p=[0.5, 0.25, 0.1, 0.15])
    zone[:3] = -5
    return {
        "faa": np.array(codes),
        "name": np.array([f"{a} {b}" for a, b in zip(place, kind, strict=True)]),
        "lat": random.uniform(26, 48, AIRPORTS).round(6),
        "lon": (15.0 * zone + random.uniform(-4, 4, AIRPORTS)).round(6),
        "alt": random.integers(5, 6_000, AIRPORTS).astype(np.float64),
        "tz": zone.astype(np.float64),
        "dst": np.full(AIRPORTS, "A"),
        "tzone": np.array([ZONES[int(hours)] for hours in zone]),
    }


def _planes(random: np.random.Generator) -> tuple[npt.NDArray[Any], Columns]:
    """404 tail numbers, the hottest first, "NA" last; 332 of them have a row, and the hottest has none, as in life."""
    numbers = random.choice(np.arange(100, 1_000), 402, replace=False)
    suffix = random.choice(["AA", "JB", "MQ", "UA", "DL"], 402)
    tails = np.array(["N725MQ", *(f"N{a}{b}" for a, b in zip(numbers, suffix, strict=True) if (a, b) != (725, "MQ"))])
    known = np.sort(random.choice(tails[1:], PLANES, replace=False))
    model = random.integers(0, len(MODELS), PLANES)
    built = random.integers(1985, 2014, PLANES).astype(np.float64)
    built[random.random(PLANES) < 0.02] = np.nan
    return np.append(tails, "NA"), {
        "tailnum": known,
        "year": built,
        "type": np.full(PLANES, "Fixed wing multi engine"),
        "manufacturer": np.array([MODELS[i][0] for i in model]),
        "model": np.array([MODELS[i][1] for i in model]),
        "engines": np.full(PLANES, 2.0),
        "seats": np.array([float(MODELS[i][2]) for i in model]),
        "speed": np.full(PLANES, np.nan),
        "engine": np.full(PLANES, "Turbo-fan"),
    }


def _flights(random: np.random.Generator, airports: Columns, tails: npt.NDArray[Any]) -> Columns:
    n = FLIGHTS
    weight = 1 / (np.arange(len(tails)) + 60.0)
    weight[0] *= 1.15
    weight[-1] = weight.sum() * 0.0075
    plane = random.choice(len(tails), n, p=weight / weight.sum())
    carrier = np.array(list(AIRLINES))[plane % len(AIRLINES)]  # a plane flies for one airline
    local = 86_400 * random.integers(0, 365, n) + 3_600 * random.integers(5, 24, n) + 300 * random.integers(0, 12, n)
    local.sort()
    local[-1] = 86_400 * 364 + 3_600 * 23 + 59 * 60  # this one will leave at 2400
    moment = NEW_YORK_MIDNIGHT + local
    moment -= 3_600 * ((moment >= SUMMER[0]) & (moment - 3_600 < SUMMER[1]))

    row = random.integers(3, 25, n)
    dangling = random.random(n) < 0.02
    dest = np.where(dangling, random.choice(["SJU", "BQN"], n), airports["faa"][row])
    zone = np.where(dangling, -4, airports["tz"][row]).astype(np.int64)
    distance = np.where(dangling, 1_597, (np.arange(25)[row] * 97) + 180)
    air_time = (distance / 7.2 + random.integers(8, 25, n)).round()
    late = (random.exponential(25, n) - 12 + (plane % len(AIRLINES))).round()
    late[-1] = 1
    gained = random.normal(5, 12, n).round().clip(-60, 20)
    planned = air_time + 30

    cancelled = random.random(n) < 0.0245
    diverted = ~cancelled & (random.random(n) < 0.0021)
    cancelled[-1] = diverted[-1] = False
    when = moment.astype("datetime64[s]")
    day = (NEW_YORK_MIDNIGHT - 18_000 + local).astype("datetime64[s]").astype("datetime64[D]")
    clock = local % 86_400 // 60
    flown = late + planned - gained
    eastern = moment + 60 * flown + 3_600 * (zone + 5)  # where a clock of New York would stand at that local time
    summer = (eastern >= SUMMER[0]) & (eastern < SUMMER[1]) & ~dangling
    there = moment // 60 + 60 * (zone + summer)
    return {
        "year": np.full(n, 2013),
        "month": day.astype("datetime64[M]").astype(np.int64) % 12 + 1,
        "day": (day - day.astype("datetime64[M]")).astype(np.int64) + 1,
        "dep_time": np.where(cancelled, np.nan, _face(clock + late)),
        "sched_dep_time": _face(clock).astype(np.int64),
        "dep_delay": np.where(cancelled, np.nan, late),
        "arr_time": np.where(cancelled, np.nan, _face(there + flown)),
        "sched_arr_time": _face(there + planned).astype(np.int64),
        "arr_delay": np.where(cancelled | diverted, np.nan, late - gained),
        "carrier": carrier,
        "flight": np.arange(n) % 8_500 + 1,
        "tailnum": tails[plane],
        "origin": np.array(ORIGINS)[random.integers(0, 3, n)],
        "dest": dest,
        "air_time": np.where(cancelled | diverted, np.nan, air_time),
        "distance": distance,
        "hour": clock // 60,
        "minute": clock % 60,
        "time_hour": when.astype("datetime64[h]").astype("datetime64[s]"),
    }


def _face(minutes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Minutes as a clock shows them, as hours * 100 + minutes; midnight is 2400, as in the real files."""
    inside = minutes % 1_440
    shown = inside // 60 * 100 + inside % 60
    return np.where(shown == 0, 2_400, shown).astype(np.float64)


def _weather(random: np.random.Generator) -> Columns:
    hours = np.tile(np.arange(876), 3)
    origin = np.repeat(ORIGINS, 876)
    kept = np.sort(random.choice(hours.size, WEATHER, replace=False))
    hours, origin = hours[kept], origin[kept]
    moment = (NEW_YORK_MIDNIGHT + 3_600 * hours).astype("datetime64[s]")
    local = (NEW_YORK_MIDNIGHT - 18_000 + 3_600 * hours).astype("datetime64[s]")
    day = local.astype("datetime64[D]")
    temperature = (36 + 9 * np.sin(hours / 24 * 2 * np.pi) + random.normal(0, 4, WEATHER)).round(2)
    wind = random.gamma(3, 3.5, WEATHER).round(3)
    return {
        "origin": origin,
        "year": np.full(WEATHER, 2013),
        "month": day.astype("datetime64[M]").astype(np.int64) % 12 + 1,
        "day": (day - day.astype("datetime64[M]")).astype(np.int64) + 1,
        "hour": hours % 24,
        "temp": temperature,
        "dewp": (temperature - random.gamma(4, 3, WEATHER)).round(2),
        "humid": random.uniform(25, 100, WEATHER).round(2),
        "wind_dir": 10.0 * random.integers(0, 37, WEATHER),
        "wind_speed": wind,
        "wind_gust": np.where(random.random(WEATHER) < 0.8, np.nan, (wind * 1.3).round(3)),
        "precip": np.where(random.random(WEATHER) < 0.93, 0.0, 0.02),
        "pressure": np.where(random.random(WEATHER) < 0.1, np.nan, random.normal(1_017, 7, WEATHER).round(1)),
        "visib": np.full(WEATHER, 10.0),
        "time_hour": moment,
    }
