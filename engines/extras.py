"""Packages that one feature wants and most users do not: loaded where used, named by the extra that brings them."""

import importlib
from typing import Any

from engines.errors import EngineError


def extra(module: str, name: str) -> Any:  # noqa: ANN401 - a module of a package that may be absent has no static type
    """The module, imported now. EngineError (code "missing-extra") says which extra to install where it is absent."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise EngineError(
            f"this needs the package {package}, which is not installed: pip install 'enginehouse[{name}]'",
            code="missing-extra",
            extra=name,
        ) from error
