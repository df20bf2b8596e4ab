"""VRM: how far the entropies of the principal components are from those of a spherical Gaussian."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of, ten_per_dimension
from isotropy_metrics.measures._spectrum import without_rounding
from isotropy_metrics.statistics import RowSample

METHODS = ("vasicek", "auto")

SMALL = 1000
"""Up to so many values scipy's "auto" takes other estimators than Vasicek's."""

BLOCK_ENTRIES = 16_000_000
"""Projections held at once."""

BLOCK_ROWS = 4096
"""Rows held at once in float64."""

AT_ONCE = 8
"""Components whose entropies a thread computes at once."""


@measure_of(
    needs=RowSample,
    bounds=(0.0, 2.0),
    isotropic=0.0,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=ten_per_dimension,
    weighted=False,
    paper="2212.08172",
    citation="""@inproceedings{marbut2023reliable,
    title = "Reliable Measures of Spread in High Dimensional Latent Spaces",
    author = "Marbut, Anna and McKinney-Bock, Katy and Wheeler, Travis",
    booktitle = "Proceedings of the 40th International Conference on Machine Learning",
    year = "2023"
}""",
)
def vasicek_ratio_mse(sample: RowSample, *, method: str = "vasicek") -> dict[str, float]:
    """Mean squared distance from 1 of the entropy ratios of the principal components; VRM in its paper.

    With y_k the projections of the rows on the k-th of d principal components, scaled together so that their variances
    have the mean 1, and Ĥ an estimate of the differential entropy,

        r_k = exp(Ĥ(y_k)) / √(2πe),    vasicek_ratio_mse = mean of (1 − r_k)²

    The denominator is that of a standard normal variable, so that 0 is a spherical Gaussian, and k equal variances of
    Gaussian rows in d dimensions have 2 − 2√(k/d). Besides unequal variances it sees what is not Gaussian in any one
    direction: two clusters or heavy tails lower the entropy.

    A direction without variance has r = 0, the limit, and so has each that n < d rows cannot span; the authors' code
    divides by d but leaves those out. From few rows entropies come out too small: an isotropic Gaussian in 768
    dimensions reads 0.13 from 2 rows per dimension, 0.05 from 5 and 0.01 from 20. See the null.

    What it does not tell: which of the two it is, unequal variances or other shapes; `isoscore` sees the first alone.

    Args:
        sample: the rows (n_samples, n_features), or a `RowSample` of them; more rows than its size are sampled.
        method: "vasicek", one estimator for all numbers of rows (Vasicek 1976, windows of ±⌊√n + ½⌋ rows); or "auto",
            as published, scipy's choice: van Es up to 10 rows, Ebrahimi up to 1,000, Vasicek above. Never compare
            values of it across these.

    Returns:
        `vasicek_ratio_mse`, 0 or above; NaN for fewer than 5 rows, and if so many rows agree in a direction in which
        others differ (many copies, a feature of few values) that its entropy is −∞.

    Raises:
        ValueError: fewer than 2 rows, or another `method`.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(5000, 8))
        >>> round(vasicek_ratio_mse(X)["vasicek_ratio_mse"], 4)
        0.0004
        >>> round(vasicek_ratio_mse(X * [4, 1, 1, 1, 1, 1, 1, 1])["vasicek_ratio_mse"], 3)
        0.374
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    rows = sample.rows
    n, d = rows.shape
    if n < 5:
        return nan_because("vasicek_ratio_mse", f"an entropy needs at least 5 rows, got {n}")
    mean, lowest, highest = rows.mean(axis=0, dtype=np.float64), rows.min(axis=0), rows.max(axis=0)
    if (lowest == highest).all():
        return nan_because("vasicek_ratio_mse", "all rows are the same")
    largest = max((highest - mean).max(), (mean - lowest).max())
    scatter = np.zeros((d, d))
    for _, x in _blocks(rows, mean, largest):
        scatter += x.T @ x
    eigenvalues, components = np.linalg.eigh(scatter / (n - 1))
    eigenvalues = without_rounding(eigenvalues)
    ratio = np.zeros(d)
    present = eigenvalues > 0
    log_scale = math.log(d / eigenvalues.sum()) / 2
    entropies = _entropies(rows, mean, largest, components[:, present], method)
    if np.isinf(entropies).any():
        reason = f"more than {math.floor(math.sqrt(n) + 0.5)} rows agree in a direction in which others differ"
        return nan_because("vasicek_ratio_mse", reason)
    ratio[present] = np.exp(entropies + log_scale) / math.sqrt(2 * math.pi * math.e)
    return {"vasicek_ratio_mse": float(((1 - ratio) ** 2).mean())}


def _blocks(rows: np.ndarray, mean: np.ndarray, largest: float) -> Iterator[tuple[slice, np.ndarray]]:
    """The centred rows in float64, scaled to a largest entry of 1, a few thousand at a time."""
    for start in range(0, len(rows), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        yield block, (rows[block] - mean) / largest


def _entropies(rows: np.ndarray, mean: np.ndarray, largest: float, components: np.ndarray, method: str) -> np.ndarray:
    """Entropy of the scaled rows along each component (n_features, n_components), −inf where too many coincide."""
    n, d = rows.shape
    per_block = max(BLOCK_ENTRIES // n, 1)
    # Equal rows differ by rounding errors after the projection, whose logarithm would pass for an entropy: multiples
    # of a unit that is larger than these errors make them equal again.
    unit = d**1.5 * np.finfo(np.float64).eps

    def entropy(projections: np.ndarray) -> np.ndarray:
        np.round(projections, out=projections)
        projections.sort(axis=1)
        with np.errstate(divide="ignore"):
            return entropy_of_sorted(projections, method) + math.log(unit)

    entropies = []
    with ThreadPoolExecutor() as pool:
        for first in range(0, components.shape[1], per_block):
            axes = components[:, first : first + per_block].T / unit
            projections = np.empty((len(axes), n))
            for block, x in _blocks(rows, mean, largest):
                np.matmul(axes, x.T, out=projections[:, block])
            entropies += pool.map(entropy, [projections[i : i + AT_ONCE] for i in range(0, len(axes), AT_ONCE)])
    return np.concatenate(entropies)


def entropy_of_sorted(values: np.ndarray, method: str) -> np.ndarray:
    """Differential entropy of each row of ascending values, (m,) of (m, n); Vasicek's is scipy's, but faster."""
    n = values.shape[1]
    if method == "auto" and n <= SMALL:
        from scipy.stats import differential_entropy

        return differential_entropy(values, axis=1)
    half = math.floor(math.sqrt(n) + 0.5)
    padded = np.pad(values, ((0, 0), (half, half)), mode="edge")
    logarithms = padded[:, 2 * half :] - padded[:, : -2 * half]
    np.log(logarithms, out=logarithms)
    return logarithms.mean(axis=1) + math.log(n / (2 * half))
