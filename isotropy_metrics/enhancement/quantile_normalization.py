"""Quantile normalisation: every feature with a uniform or a normal distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from isotropy_metrics.arrays import squared_norms
from isotropy_metrics.enhancement._enhancement import Enhancement
from isotropy_metrics.statistics import RowSample, RowStatistics
from isotropy_metrics.whole_number import whole_number

OUTPUTS = ("uniform", "normal")

BLOCK_ROWS = 4096
"""Rows whose features are looked up at a time."""

SMALLEST_LEVEL = 1e-7
"""Normal values are cut at the quantiles of this level and of one less it, as in scikit-learn."""


class QuantileNormalization(Enhancement):
    """Replace every value by its quantile among the values of its feature in the fitting rows.

        "uniform"    transform(x)ᵢ = F̂ᵢ(xᵢ) − ½
        "normal"     transform(x)ᵢ = Φ⁻¹(F̂ᵢ(xᵢ)), within ±5.2

    with F̂ᵢ the empirical distribution of feature i, between `n_quantiles` quantiles a straight line, and Φ that of the
    standard normal (scikit-learn's `QuantileTransformer`). Stankevičius & Lukoševičius (2024,
    https://huggingface.co/papers/2408.08073) find it among the best of cheap treatments for BERT. The uniform one is
    centred about 0: from 0 to 1 all cosines would be positive. Outlying values lose their weight; correlations between
    features stay.

    New values outside the fitted range get its ends. A feature that is constant over the fitting rows becomes 0.

    What it does not tell: distances. How far an outlier lies out is lost.

    Args:
        output: "uniform" or "normal".
        n_quantiles: number of quantiles; as many as sampled rows if these are fewer.
        random_state: seed of the sample, a whole number.
        sample_size: most rows that the quantiles are of; None for all of them.

    Attributes:
        quantiles_: (n_quantiles, n_features_in_), float64, of each feature, rising.
        levels_: (n_quantiles,), from 0 to 1: which quantiles these are.

    Raises:
        ValueError: on fit, another `output`.

    Example:
        >>> QuantileNormalization().fit([[0.0], [1.0], [10.0]]).transform([[0.5], [1.0], [99.0]]).tolist()
        [[-0.25], [0.0], [0.5]]
    """

    FITTED = ("quantiles_", "levels_")
    NEEDS_SAMPLE = True

    def __init__(
        self,
        output: str = "uniform",
        n_quantiles: int = 1000,
        random_state: int = 0,
        sample_size: int | None = 10_000,
    ) -> None:
        self.output = output
        self.n_quantiles = n_quantiles
        self.random_state = random_state
        self.sample_size = sample_size

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The rows (n_samples, n_features_in_) that `transform` makes X of, within the range of the fitting rows.

        Raises:
            NotFittedError: not fitted yet.
            ValueError: another number of features than `transform` gives, or rows that are not finite.
        """
        from scipy.special import ndtr

        rows = self._validated_enhanced(X)
        original = np.empty_like(rows)
        for i, quantiles in enumerate(np.ascontiguousarray(self.quantiles_.T)):
            values = rows[:, i].astype(np.float64)
            levels = values + 0.5 if self.output == "uniform" else _uncut(ndtr(values))
            original[:, i] = np.interp(levels, self.levels_, quantiles)
        return original

    def _new_statistics(self) -> RowStatistics:
        whole_number("random_state", self.random_state, least=0)
        return RowStatistics(self.sample_size, int(self.random_state))

    def check_parameters(self, n_features: int) -> int:
        if self.output not in OUTPUTS:
            raise ValueError(f"output={self.output!r}: must be one of {', '.join(OUTPUTS)}")
        whole_number("n_quantiles", self.n_quantiles, least=2)
        return n_features

    def _solve(self, statistics: RowStatistics) -> dict[str, Any]:
        sample = statistics.sample
        levels = np.linspace(0, 1, min(self.n_quantiles, len(sample.rows)))
        return {"quantiles_": quantiles_of(sample, levels), "levels_": levels}

    def _transform(self, rows: np.ndarray) -> np.ndarray:
        self.check_parameters(self.n_features_in_)
        all_quantiles = np.ascontiguousarray(self.quantiles_.T)
        is_repeated = (np.diff(all_quantiles) == 0).any(axis=1)
        enhanced = np.empty_like(rows)
        for start in range(0, len(rows), BLOCK_ROWS):
            block = rows[start : start + BLOCK_ROWS]
            if not np.isfinite(block.sum()):
                squared_norms(block, start)
            values = block.T.astype(np.float64, order="C")
            for i, quantiles in enumerate(all_quantiles):
                values[i] = levels_of(values[i], quantiles, self.levels_, is_repeated[i])
            enhanced[start : start + len(block)] = self._distributed(values).T
        enhanced[:, all_quantiles[:, 0] == all_quantiles[:, -1]] = 0
        return enhanced

    def _distributed(self, levels: np.ndarray) -> np.ndarray:
        """Levels from 0 to 1 as values of the output."""
        if self.output == "uniform":
            return np.subtract(levels, 0.5, out=levels)
        from scipy.special import ndtri

        smallest = SMALLEST_LEVEL - np.spacing(1)
        return np.clip(ndtri(levels), ndtri(smallest), ndtri(1 - smallest))


def _uncut(levels: np.ndarray) -> np.ndarray:
    """Levels that were cut are those of the ends."""
    levels = np.where(levels < SMALLEST_LEVEL, 0, levels)
    return np.where(levels > 1 - SMALLEST_LEVEL, 1, levels)


def quantiles_of(sample: RowSample, levels: np.ndarray) -> np.ndarray:
    """Quantiles of every feature, (len(levels), n_features), in float64, linear between the values.

    The i-th smallest of n values is the quantile of level (i − 1)/(n − 1); with weights, of the share of the weight
    before the middle of its own, between that of the smallest and that of the largest value.
    """
    rows, weight = sample.rows.astype(np.float64), sample.weight
    if weight is None or len(rows) == 1:
        return np.maximum.accumulate(np.percentile(rows, 100 * levels, axis=0))  # rounding must not make them fall
    quantiles = np.empty((len(levels), rows.shape[1]))
    for i, values in enumerate(rows.T):
        order = np.argsort(values, kind="stable")
        middle = np.cumsum(weight[order]) - weight[order] / 2
        quantiles[:, i] = np.interp(levels, (middle - middle[0]) / (middle[-1] - middle[0]), values[order])
    return np.maximum.accumulate(quantiles)


def levels_of(values: np.ndarray, quantiles: np.ndarray, levels: np.ndarray, is_repeated: bool) -> np.ndarray:
    """Levels between 0 and 1 of values among rising quantiles; of a repeated quantile the middle of its levels."""
    highest = np.interp(values, quantiles, levels)
    if not is_repeated:
        return highest
    lowest = -np.interp(-values, -quantiles[::-1], -levels[::-1])
    found = (lowest + highest) / 2
    found[values == quantiles[-1]] = 1
    found[values == quantiles[0]] = 0
    return found
