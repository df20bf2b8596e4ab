"""What a measure says when the data, not the input, are at fault."""

from __future__ import annotations

import warnings

from isotropy_metrics.statistics import Moments


def nan_because(name: str, reason: str, *more_keys: str) -> dict[str, float]:
    """NaN for every key of a measure's result, and a warning with the reason."""
    warnings.warn(f"{name} is NaN: {reason}", RuntimeWarning, stacklevel=4)
    return dict.fromkeys((name, *more_keys), float("nan"))


def warn_of_few_rows(name: str, moments: Moments, isotropic_value: str, remedy: str) -> None:
    """Warn when there are fewer rows than features: the value then tells more of n than of the space."""
    n, d = moments.n_rows, moments.n_features
    if n < d:
        warnings.warn(
            f"{name} of n = {n} rows in d = {d} dimensions: an isotropic space would give about {isotropic_value}; "
            f"{remedy}, take more rows, or transpose if the rows are the {d}",
            RuntimeWarning,
            stacklevel=4,
        )
