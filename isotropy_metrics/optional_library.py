"""Libraries that only some exports need."""

from __future__ import annotations

import importlib
from types import ModuleType


def optional(module: str, package: str, purpose: str) -> ModuleType:
    """The module, or one sentence that says what it is for and how to install it.

    Raises:
        ImportError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise
        raise ImportError(f"{purpose} needs {package}: pip install {package}") from error
