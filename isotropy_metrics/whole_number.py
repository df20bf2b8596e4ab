"""A check of parameters that must be whole numbers."""

from __future__ import annotations

import numbers
from typing import Any


def whole_number(name: str, value: Any, least: int) -> None:
    """Refuse a parameter that is not a whole number from `least`."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value!r}: must be a whole number from {least}")
