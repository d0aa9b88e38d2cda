"""Where a run took place: what a reader must know to judge its figures or to repeat it."""

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from systems import SYSTEMS


def facts(data: Path) -> dict[str, object]:
    """The machine as it is before the first lap. data: the folder whose disk is measured."""
    return {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": repeat_command(),
        "commit": commit(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "disk": filesystem(data),
        "load_before": load(),
    }


def finished(facts: dict[str, object]) -> dict[str, object]:
    """The same facts with what is known only in the end."""
    return facts | {"load_after": load(), "ours": SYSTEMS["engines"].version}


def busy(facts: dict) -> str | None:
    """A sentence to put first when others were using the machine as well; None if it was quiet."""
    if (before := facts["load_before"]) is not None and before > facts["cores"]:
        return (
            f"Busy machine: the load average was {before:.1f} on {facts['cores']} cores when the run began. "
            "Trust no figure here; ratios of minima suffer least."
        )
    return None


def load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def repeat_command() -> str:
    """What to type to have the same again: set by `engines bench`, otherwise pytest's own command line."""
    return os.environ.get("ENGINES_BENCH_COMMAND") or shlex.join(["pytest", *sys.argv[1:]])


def commit() -> str:
    """The commit of the source, with a + if files differ from it; "" outside a repository."""

    def git(*words: str) -> str:
        line = ["git", "-C", str(Path(__file__).parent), *words]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - fixed words

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    found = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    vectors = [flag for flag in ("avx2", "avx512f", "sha_ni", "neon") if flag in found.get("flags", "").split()]
    return " ".join([found.get("model name", platform.machine()), *vectors])


def filesystem(path: Path) -> str:
    """The kind of file system a folder is on; "" if unknown. On tmpfs a sync costs nothing and proves nothing."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    path = path.absolute()
    fitting = [(len(at), kind) for at, kind in mounts if path.is_relative_to(at)]
    return max(fitting)[1] if fitting else ""
