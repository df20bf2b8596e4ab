"""Elongation: how many directions of a cloud are longer than the others, counted in several ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from isotropy_metrics.measures import measure
from isotropy_metrics.statistics import Moments
from isotropy_metrics.statistics.principal_axes import principal_axes
from isotropy_metrics.study.treatments.partition_function import isotropy_without_top

COUNTS = ("participation_ratio", "explained_variance", "elongated_directions")
COUNTED = ("participation_ratio", "directions_for_90_percent", "elongated_directions", "directions_above_mean")


@dataclass(frozen=True, eq=False)
class Elongation:
    """What a cloud of rows loses when its longest directions are removed.

    Attributes:
        isotropy: (n_features,), log10 I(W) of the centred rows without the first d principal directions, d from 0.
        isotropy_scale_free: the same of rows divided by one number, so that their variance per feature is 1 on
            average before a direction is removed.
    """

    isotropy: np.ndarray
    isotropy_scale_free: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> Elongation:
        """Of rows (n_rows, n_features), with their own mean and principal directions."""
        centered = rows.astype(np.float64)
        centered -= centered.mean(axis=0)
        variances, axes = principal_axes(centered.T @ centered / len(centered))
        projections = centered @ axes
        scale = np.sqrt(variances.mean()) or 1.0
        return cls(isotropy_without_top(projections), isotropy_without_top(projections / scale))

    def directions_to_remove(self, threshold: float) -> dict[str, int | None]:
        """d*(τ), the least number of directions without which I(W) reaches the threshold; None if none suffices."""
        curves = {"directions_to_remove": self.isotropy, "directions_to_remove_scale_free": self.isotropy_scale_free}
        enough = {name: np.flatnonzero(curve >= np.log10(threshold)) for name, curve in curves.items()}
        return {name: int(found[0]) if len(found) else None for name, found in enough.items()}


def counted_directions(moments: Moments) -> dict[str, Any]:
    """Participation ratio, directions for 90 % of the variance, above the noise edge, and above 5 times the mean."""
    values = measure(moments, COUNTS)
    return {key: values[key] for key in COUNTED}
