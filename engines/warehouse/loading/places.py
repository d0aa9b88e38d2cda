"""Which files COPY reads: a file, a folder, a glob, the beginning of names, or those that a manifest lists.

    {"entries": [{"url": "file:///data/a.csv", "mandatory": true}, {"url": "b.csv"}]}

Paths in a manifest are absolute, or stand beside it. `file://` before a path is taken away.
"""

import glob
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from engines.errors import Invalid, NotFound
from engines.sql.datafiles import DataFile, listed
from engines.warehouse.loading.streams import Opened, lines_of


def find(places: Sequence[str], *, manifest: bool = False) -> list[DataFile]:
    """The files, in the order of their paths; those of a manifest in its order. NotFound if there are none."""
    found = []
    for place in map(local, places):
        found += _of_manifest(place) if manifest else _at(place)
    if not found:
        raise NotFound(f"no file to load at {', '.join(places)}: name a file, a folder, a glob, or how names begin")
    return list({file.path: file for file in found}.values())


def local(place: str) -> str:
    """Without file://. Invalid for other schemes."""
    scheme, separator, path = place.partition("://")
    if not separator:
        return place
    if scheme.lower() != "file":
        raise Invalid(f"files lie in this machine's folders, not at {scheme}://: copy {place!r} here first")
    return path


def _at(place: str) -> list[DataFile]:
    found = listed(place)
    if found or os.path.isdir(place) or any(letter in place for letter in "*?["):
        return found
    begins = [path for path in sorted(glob.glob(glob.escape(place) + "*")) if os.path.isfile(path)]
    return [replace(listed(path)[0], keys=()) for path in begins]


def _of_manifest(place: str) -> list[DataFile]:
    if not os.path.isfile(place):
        raise NotFound(f"there is no manifest {place!r}: MANIFEST wants the path of a JSON file that lists files")
    stream = Opened(place, None, "utf-8", lambda _: None)
    try:
        read: Any = json.loads("".join(lines_of(b"", stream)))
        entries = [(str(entry["url"]), bool(entry.get("mandatory", False))) for entry in read["entries"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        shape = '{"entries": [{"url": "...", "mandatory": true}]}'
        raise Invalid(f"{place!r} is no manifest: it holds {shape}", file=place) from None
    finally:
        stream.close()
    found = []
    for url, mandatory in entries:
        path = os.path.join(os.path.dirname(place), local(url))
        if os.path.isfile(path):
            found += listed(path)
        elif mandatory:
            raise NotFound(f"the manifest {place!r} names {url!r}, which is not there", file=url)
    return found
