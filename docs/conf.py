"""How the pages are built: `make docs`. A page whose code fails, or that refers to what is not there, fails the build."""

import ast
import logging
import os
import re
import tempfile
from pathlib import Path

project = "enginehouse"
copyright = "the enginehouse authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_design"]
exclude_patterns = ["_build", "jupyter_execute", ".jupyter_cache", "conf.py", "notebooks/.ipynb_checkpoints"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["house.css"]
html_title = "enginehouse"
html_copy_source = False
html_show_sourcelink = False

# Pages with code cells are run whenever they are read: what they show was produced by this build.
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "force"
nb_execution_timeout = 60
nb_execution_raise_on_error = True
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"

# Kernels start without the reader's own IPython settings, and do not warn that they talk over TCP on this machine.
ipython = tempfile.TemporaryDirectory(prefix="ipython-")
settings = Path(ipython.name, "profile_default", "ipython_kernel_config.py")
settings.parent.mkdir()
settings.write_text('c.Application.log_level = "ERROR"\n')
os.environ["IPYTHONDIR"] = ipython.name
logging.getLogger("traitlets").setLevel(logging.WARNING)  # nor is it said five times that a kernel starts

autodoc_default_options = {"member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_type_aliases = {"Item": "Item", "Key": "Key"}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100


def from_stub(app, what, name, obj, options, signature, returns):
    """Kernels are compiled: their types are in the stubs, engines/_native/NAME.pyi."""
    module, _, place = name.removeprefix("engines._native.").partition(".")
    if not name.startswith("engines._native.") or not place or signature is None:
        return None
    found = ast.parse(Path(__file__).parents[1].joinpath(f"engines/_native/{module}.pyi").read_text())
    for part in [*place.split("."), *(["__init__"] if what == "class" else [])]:
        found = next((node for node in found.body if getattr(node, "name", "") == part), None)
        if found is None:
            return None
    if not isinstance(found, ast.FunctionDef):
        return None
    text = re.sub(r"^self(, )?", "", ast.unparse(found.args))
    return f"({text})", None if what == "class" or found.returns is None else ast.unparse(found.returns)


def as_written(app, what, name, obj, options, lines):
    """Docstrings are plain text: paragraphs, bullets, and layouts drawn with spaces. Make that reStructuredText."""
    if lines and re.match(rf"[\w.]*\b{name.rpartition('.')[2]}\(", lines[0]):
        del lines[0]  # the signature that Cython puts there: the stub's is shown
    shown, state = [], "prose"  # or "bullet", or "drawing"
    for line in lines:
        before, indent = state, len(line) - len(line.lstrip())
        if not line:
            shown.append("")
            continue
        if state == "bullet" and indent == 2:
            shown.append(escaped(line))
            continue
        state = "drawing" if indent else "bullet" if line.startswith("* ") else "prose"
        if state != before or state == "bullet":
            shown += ["", "::", ""] if state == "drawing" else [""]
        if state == "bullet":
            shown.append(f"* {escaped(line[2:])}")
        else:
            shown.append(line if state == "drawing" else escaped(line))
    lines[:] = [*shown, ""]


def escaped(line):
    """Prose: `code` and **bold** keep their meaning, everything else is just text."""
    parts = line.split("`")
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"\\|(?<!\*)\*(?!\*)|\||_", lambda found: "\\" + found[0], parts[i])
    return "``".join(parts)


def setup(app):
    app.connect("autodoc-process-signature", from_stub)
    app.connect("autodoc-process-docstring", as_written)
