"""The compiled kernels: one module for each source file in the top-level folder `_native/`."""

from importlib.util import find_spec

if find_spec(f"{__name__}.frame") is None:
    raise ImportError(
        "this copy of engines is not compiled: run `pip install -e .` in the project's root, "
        "or leave that folder to use the installed one"
    )
