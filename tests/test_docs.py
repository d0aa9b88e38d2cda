"""Listings in the pages are taken from the sources, and each is still there. `make docs` checks the rest."""

import ast
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("notebooks/*.py")])
LISTING = re.compile(r"```\{literalinclude\} (\S+)\n((?:# )?(?::.*\n(?:# )?)*)```")


def listings():
    for page in PAGES:
        for target, options in LISTING.findall(page.read_text()):
            found = dict(re.findall(r":([a-z-]+): *(.*)", options))
            yield pytest.param(page, target, found, id=f"{page.stem}-{target.rpartition('/')[2]}")


@pytest.mark.parametrize(("page", "target", "options"), list(listings()))
def test_what_a_listing_names_is_there(page, target, options):
    source = (page.parent / target).read_text()
    if name := options.get("pyobject"):
        part = ast.parse(source)
        for word in name.split("."):
            part = next((node for node in part.body if getattr(node, "name", None) == word), None)
            assert part is not None, f"{target} has no {name}"
        return
    start, end = (options[key].strip("\"'") for key in ("start-at", "end-before"))
    assert end in source.partition(start)[2], f"{target} has no {start!r} with {end!r} behind it"


def test_listings_are_found_at_all():
    assert len(list(listings())) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_that_are_named_are_there(page):
    named = re.findall(r"`((?:engines|_native|bench|tests)/[\w/]+\.\w+)`", page.read_text())
    assert [name for name in named if not (DOCS.parent / name).is_file()] == []


@pytest.mark.parametrize(("name", "modules"), [("kv", 30), ("timeseries", 15)])
def test_the_modules_that_the_drawing_of_an_engine_names_are_where_it_says(name, modules):
    engine = DOCS.parent / "engines" / name
    drawing = ast.get_docstring(ast.parse((engine / "__init__.py").read_text()))
    named = set(re.findall(r"(?<![\w/])[\w/*]+\.pyx?\b", drawing))
    assert len(named) > modules
    assert [name for name in named if not [*engine.glob(name), *DOCS.parent.glob(name)]] == []


def test_every_code_cell_can_be_compiled():
    for page in PAGES:
        text = page.read_text()
        cells = re.findall(r"^```\{code-cell\} python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        for cell in [text] if page.suffix == ".py" else cells:
            compile(cell, str(page), "exec", flags=ast.PyCF_ONLY_AST)
