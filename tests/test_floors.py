"""The architecture, asserted from the code itself: imports go down only, time and files have one door each.

4  cli, tour, benchmark                  doors
3  kv, ledger, warehouse, timeseries, search, graph        no engine imports another
2  sql
1  storage, clock, errors, display, changes, nodes, and what they are made of
0  _native                               kernels
"""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "engines"
MODULES = sorted(PACKAGE.rglob("*.py"))

ENGINES = {"kv", "ledger", "warehouse", "timeseries", "search", "graph"}
FIRST_FLOOR = {
    "storage",
    "clock",
    "errors",
    "display",
    "changes",
    "nodes",
    "drawing",
    "rows",
    "progress",
    "text",
    "workers",
    "extras",
}
FLOORS = (
    dict.fromkeys(["_native"], 0)
    | dict.fromkeys(FIRST_FLOOR, 1)
    | {"sql": 2}
    | dict.fromkeys(ENGINES, 3)
    | dict.fromkeys(["cli", "tour", "benchmark"], 4)
)
LONGEST = 600  # lines

CLOCKS = {"time", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}

# What may change a file apart from files.py, and why.
WRITERS = {
    "storage/environment.py": "LMDB in memory: lmdb.open on an unnamed memory file",
    "tour/ledger.py": "the tour tampers with a ledger, to show that it is found",
    "tour/__init__.py": "the tour's stores live in a temporary folder that goes away with it",
}
OS_CALLS = {
    "open", "write", "pwrite", "writev", "pwritev", "truncate", "ftruncate", "rename", "replace", "remove", "unlink",
    "mkdir", "makedirs", "rmdir", "removedirs", "link", "symlink", "fsync", "fdatasync", "posix_fallocate", "sendfile",
}  # fmt: skip
WRITING_METHODS = {"write_text", "write_bytes", "touch", "tofile", "savefig", "to_csv", "to_parquet", "savez", "dump"}
WRITING_MODULES = {"shutil", "tempfile", "mmap", "sqlite3", "dbm", "shelve", "lmdb"}


@functools.cache
def tree(path):
    return ast.parse(path.read_text(), str(path))


def place(path):
    return path.relative_to(PACKAGE).as_posix()


def part(module):
    """The part of the house that a dotted name lies in: engines.storage.log -> storage."""
    names = module.split(".")
    return names[1] if names[0] == "engines" and len(names) > 1 else None


def imports(path):
    """(line, dotted name) of every import of ours, wherever it stands."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{place(path)}:{node.lineno}: import by the full name"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def dotted(node):
    """a.b.c as written, "" for what is no plain name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else f".{node.attr}"
    return ""


def calls(module):
    return [(node.lineno, dotted(node.func), node) for node in ast.walk(module) if isinstance(node, ast.Call)]


def by_place(path):
    return place(path)


@pytest.mark.parametrize("path", MODULES, ids=by_place)
def test_imports_go_down_only_and_no_engine_imports_another(path):
    if path == PACKAGE / "__init__.py":
        assert not list(imports(path))
        return
    home = part("engines." + place(path).removesuffix(".py").replace("/", "."))
    for line, name in imports(path):
        there = part(name)
        if there is None:
            continue
        assert there in FLOORS, f"{place(path)}:{line}: say in FLOORS where {name} lies"
        assert FLOORS[there] <= FLOORS[home], f"{place(path)}:{line} imports {name}, which lies above it"
        if home in ENGINES and there in ENGINES:
            assert there == home, f"{place(path)}:{line}: the engine {home} imports the engine {there}"


def test_every_module_has_a_floor():
    homes = {part("engines." + place(path).removesuffix(".py").replace("/", ".")) for path in MODULES}
    assert homes - {"__init__"} <= set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=by_place)
def test_only_the_clock_asks_the_machine_what_time_it_is(path):
    if place(path) == "clock.py":
        return
    for line, name in imports(path):
        assert name.split(".")[0] != "time", f"{place(path)}:{line} imports time: take a clock"
    for line, name, _ in calls(tree(path)):
        asks = any(name == clock or name.endswith("." + clock) for clock in CLOCKS)
        assert not asks or name in {"dt.time", "datetime.time"}, f"{place(path)}:{line} calls {name}: take a clock"


def writes(module):
    """The calls that may change a file without going through a FileSystem: line and name."""
    found = []
    for line, name, call in calls(module):
        first, _, rest = name.partition(".")
        last = name.rpartition(".")[2]
        if name in ("open", "io.open"):
            mode = next((word.value for word in call.keywords if word.arg == "mode"), (*call.args[1:2], None)[0])
            reads = mode is None or (isinstance(mode, ast.Constant) and not set(mode.value) & set("wax+"))
        else:
            reads = not (
                (first == "os" and rest in OS_CALLS)
                or (first in WRITING_MODULES and rest[:1].islower())
                or (first == "tempfile")
                or last in WRITING_METHODS
                or (last == "open" and first in ("Path", "pathlib", "gzip", "bz2", "lzma", "zipfile"))
            )
        if not reads:
            found.append(f"line {line}: {name}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=by_place)
def test_nothing_but_the_file_system_changes_a_file(path):
    if place(path) == "storage/files.py":
        assert writes(tree(path))
    elif place(path) in WRITERS:
        assert writes(tree(path)), f"{place(path)} needs no exception any more: {WRITERS[place(path)]}"
    else:
        assert writes(tree(path)) == []


SOURCES = sorted(
    path
    for folder, patterns in {
        "engines": ("*.py", "*.pyi"), "_native": ("*.pyx", "*.pxd", "*.h"), "tests": ("*.py",), "bench": ("*.py",),
    }.items()
    for pattern in patterns
    for path in (ROOT / folder).rglob(pattern)
)  # fmt: skip


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_is_longer_than_an_afternoon(path):
    assert len(path.read_text().splitlines()) <= LONGEST, "split it by idea"


def has_meaning(function):
    """A function of SQL is registered with its meaning, which is what users read: @scalar(..., meaning="...")."""
    return any(word.arg == "meaning" for one in function.decorator_list for word in getattr(one, "keywords", ()))


@pytest.mark.parametrize("path", MODULES, ids=by_place)
def test_what_is_public_says_what_it_is(path):
    """Modules, and their public classes and functions. A method may be clear from its name."""
    assert ast.get_docstring(tree(path)), "a module's docstring is its design note"
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node) or has_meaning(node), (
                f"{place(path)}:{node.lineno}: {node.name} has no docstring"
            )


def test_the_check_itself_sees_what_it_looks_for():
    """Each line of this is a violation, or the checks above prove nothing."""
    bad = (
        'open(name, "w")',
        'open(name, mode="ab")',
        "open(name, mode)",
        'io.open(name, "r+")',
        "os.open(name, 0)",
        "os.pwrite(fd, data, 0)",
        "os.rename(a, b)",
        'Path(name).write_text("x")',
        'path.write_bytes(b"")',
        "array.tofile(name)",
        "figure.savefig(name)",
        "shutil.rmtree(name)",
        "tempfile.NamedTemporaryFile()",
        "lmdb.open(name)",
        'gzip.open(name, "w")',
    )
    good = ("open(name)", 'open(name, "rb")', "files.open(name, create=True)", "os.path.exists(a)", "os.pread(a, b, c)")
    for text in bad + good:
        assert bool(writes(ast.parse(text))) == (text in bad), text
