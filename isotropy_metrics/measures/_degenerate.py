"""What a measure says when the data, not the input, are at fault."""

from __future__ import annotations

import warnings


def nan_because(name: str, reason: str, *more_keys: str) -> dict[str, float]:
    """NaN for every key of a measure's result, and a warning with the reason."""
    warnings.warn(f"{name} is NaN: {reason}", RuntimeWarning, stacklevel=4)
    return dict.fromkeys((name, *more_keys), float("nan"))
