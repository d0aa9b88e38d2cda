"""`engines bench`: run the benches of the source repository and write what they found as a page.

The benches are not part of the wheel: they are looked for in the current folder's bench/, then beside the source of an
editable install. pytest runs them in a process of its own, started with PYTHONSAFEPATH, so that the current folder is
not on its path: in the repository's root an unbuilt source folder would otherwise shadow an installed wheel.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

import engines
from engines.errors import Invalid, NotFound

Scale = Literal["smoke", "small", "full"]


def bench(
    *,
    only: str | None = None,
    scale: Scale = "small",
    peers: str | None = None,
    report: Path = Path("bench-report.html"),
    folder: Path | None = None,
    data: Path = Path(".bench-data"),
    rounds: int | None = None,
    k: Annotated[str | None, Parameter(name="-k")] = None,
) -> int:
    """Measure the engines beside what one would use instead, and write a page about it.

    Exits with 0 unless an answer was wrong: speed is reported, not judged.

    Parameters
    ----------
    only
        Bench files to run, separated by commas: kv,ground. All without it.
    scale
        smoke: does everything run and answer (under a minute). small: minutes. full: the figures we publish.
    peers
        Peers to run beside our own, separated by commas: lmdb,rocksdict. All that are installed without it.
    report
        The page to write; the figures stand beside it with the ending .json.
    folder
        The folder with the benches, if it is neither ./bench nor beside the installed source.
    data
        Where the systems keep their files meanwhile: choose the disk that you want to measure.
    rounds
        Laps of each system; by scale without it. The fastest lap counts.
    k
        Only benches whose names match, as pytest's -k.

    """
    if rounds is not None and rounds < 1:
        raise Invalid(f"rounds must be at least 1, got {rounds} (leave it out for the scale's own number)")
    benches = find_benches(folder)
    page = report.absolute()
    figures = page.with_suffix(".json")
    words = {"only": only, "scale": scale, "peers": peers, "data": data.absolute(), "rounds": rounds, "report": page}
    options = [f"--{name}={value}" for name, value in words.items() if value is not None]
    options += ["-k", k] if k else []
    before = changed(figures)
    page.parent.mkdir(parents=True, exist_ok=True)
    line = command(benches, [*options, f"--benchmark-json={figures}"])
    done = subprocess.run(line, env=environment(), check=False)  # noqa: S603 - pytest, with the user's own options
    if done.returncode == NO_TESTS:
        print("no bench matches: leave out -k, --only or --peers, or see `ls bench/bench_*.py`")  # noqa: T201 - a command prints
    elif changed(figures) != before:
        print(f"wrote {page} and {figures.name}")  # noqa: T201 - same
    return done.returncode


NO_TESTS = 5  # pytest's exit code when nothing was selected


def changed(path: Path) -> int:
    """When a file was written last, in nanoseconds; 0 if it is not there."""
    return path.stat().st_mtime_ns if path.exists() else 0


def find_benches(folder: Path | None = None) -> Path:
    """Return the folder with the benches; NotFound, saying how to get them, where there is none."""
    source = Path(engines.__file__).parents[1]
    for candidate in [folder] if folder else [Path("bench"), source / "bench"]:
        if (candidate / "systems.py").is_file():
            return candidate.absolute()
    where = folder or "./bench, nor beside the installed package"
    raise NotFound(
        f"there are no benches in {where}: they are not part of the wheel; clone the repository and run "
        "`engines bench` in it, or name their folder with --folder"
    )


def command(benches: Path, options: list[str]) -> list[str]:
    """How pytest is started: everything it needs is said here, so that benches run from any folder."""
    settings = {
        "pythonpath": str(benches),
        "python_files": "bench_*.py",
        "python_functions": "bench_*",
        "addopts": "--import-mode=importlib",
    }
    return [
        *(sys.executable, "-m", "pytest", str(benches), "-q", "-p", "no:cacheprovider", "--benchmark-quiet"),
        *("-W", "ignore:Not saving anything"),  # nothing was selected, or every answer was wrong: the exit code says so
        *(word for name, value in settings.items() for word in ("-o", f"{name}={value}")),
        *options,
    ]


def environment() -> dict[str, str]:
    """Fix the hashes of strings, keep the current folder off the path, and let the page say how to repeat the run."""
    typed = shlex.join(["engines", *sys.argv[1:]])
    return os.environ | {"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1", "ENGINES_BENCH_COMMAND": typed}
