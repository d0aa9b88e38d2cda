"""How the pages are built: `make docs`. A page whose code fails, or that refers to what is not there, fails the build."""

import os
import re

project = "enginehouse"
copyright = "the enginehouse authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_design"]
exclude_patterns = ["_build", "jupyter_execute", ".jupyter_cache", "conf.py", "notebooks/.ipynb_checkpoints"]
html_theme = "furo"
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

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_type_aliases = {"Item": "Item", "Key": "Key"}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100


def as_written(app, what, name, obj, options, lines):
    """Docstrings are plain text: paragraphs, and layouts drawn with spaces. A module's is shown exactly as it stands."""
    if what == "module":
        lines[:] = ["::", "", *(f"   {line}" for line in lines), ""]
        return
    shown, drawing = [], False
    for line in lines:
        if line.startswith(" ") and not drawing:
            shown += ["", "::", ""]
        drawing = line.startswith(" ") or (drawing and not line)
        shown.append(line if drawing else re.sub(r"([\\*|_])", r"\\\1", line).replace("`", "``"))
    lines[:] = [*shown, ""]


def setup(app):
    app.connect("autodoc-process-docstring", as_written)
