"""Uniformity: the logarithm of the mean Gaussian potential of pairs of rows on the unit sphere."""

from __future__ import annotations

import math

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import OfDimension, measure_of
from isotropy_metrics.statistics import RowSample

BLOCK_ENTRIES = 2_000_000
"""Pairs of rows held at once."""


def _of_random_directions(d: int, t: float = 2.0) -> float:
    """log E exp(−t |x − y|²) for independent uniform directions: E exp(2t xᵀy) = ₀F₁(d/2, t²)."""
    from scipy.special import hyp0f1

    return float(np.log(hyp0f1(d / 2, t**2))) - 2 * t


@measure_of(
    needs=RowSample,
    bounds=(-8.0, 0.0),
    isotropic=OfDimension("log ₀F₁(d/2, 4) − 4", _of_random_directions),
    invariant_to=("rotation", "scale"),
    rows_wanted=lambda d: 100,  # scatters by 2 to 3 % of itself, about the same mean for any n
    paper="2005.10242",
    citation="""@inproceedings{wang2020understanding,
    title = "Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere",
    author = "Wang, Tongzhou and Isola, Phillip",
    booktitle = "Proceedings of the 37th International Conference on Machine Learning",
    year = "2020"
}""",
)
def uniformity(sample: RowSample, *, t: float = 2.0) -> dict[str, float]:
    """Logarithm of the mean Gaussian potential of all pairs of rows, taken as directions.

    With x̂ = x/‖x‖ and weights w (1 if none are given), over the rows that are not zero,

        uniformity = log( Σ wᵢ wⱼ exp(−t ‖x̂ᵢ − x̂ⱼ‖²) / Σ wᵢ wⱼ )    over i < j

    The more negative, the more evenly the directions fill the sphere; 0 means that all are one. Directions drawn at
    random have log ₀F₁(d/2, t²) − 2t, close to −2t in many dimensions (−3.99 for t = 2 and d = 768); only a balanced
    set of few rows goes below. Its partner is `alignment`, and neither says much without the other.

    The rows are divided by their lengths here. Without that the same formula gives other numbers, down to −inf.

    What it does not tell: which directions are crowded, and anything about lengths. In many dimensions it is nearly
    −t times the mean squared distance of directions, 2t · (`average_cosine_similarity` − 1).

    Args:
        sample: the rows (n_samples, n_features), or a `RowSample` of them; more rows than its size are sampled.
        t: the sharpness of the potential, above 0; 2 in the paper. Range and isotropic value are given for 2.

    Returns:
        `uniformity`, from −4t to 0, and `uniformity_zero_rows`, the rows left out because they are zero.

    Raises:
        ValueError: fewer than 2 rows, or t not above 0.

    Example:
        >>> import numpy as np
        >>> round(uniformity(np.random.default_rng(0).normal(size=(1000, 768)))["uniformity"], 2)
        -3.99
        >>> round(uniformity(np.random.default_rng(0).normal(size=(1000, 768)) + 1)["uniformity"], 2)
        -1.99
    """
    if not 0 < t < math.inf:
        raise ValueError(f"t must be above 0 and finite, got {t}")
    not_zero = sample.rows.any(axis=1)
    zero_rows = {"uniformity_zero_rows": int((~not_zero).sum())}
    if not_zero.sum() < 2:
        return nan_because("uniformity", "fewer than 2 rows are not zero") | zero_rows
    weight = np.ones(len(not_zero)) if sample.weight is None else sample.weight
    rows, weight = (sample.rows, weight) if not_zero.all() else (sample.rows[not_zero], weight[not_zero])
    value = _log_mean_potential(_centred_directions(rows), weight, t)
    return {"uniformity": value} | zero_rows


def _centred_directions(rows: np.ndarray) -> np.ndarray:
    """The rows divided by their lengths, minus their mean: differences of directions lose nothing, however alike."""
    blocks = [slice(start, start + 1024) for start in range(0, len(rows), 1024)]
    mean = sum(_directions(rows[block]).sum(axis=0) for block in blocks) / len(rows)
    centred = np.empty_like(rows)
    for block in blocks:
        centred[block] = _directions(rows[block]) - mean
    return centred


def _directions(rows: np.ndarray) -> np.ndarray:
    x = rows / np.abs(rows).max(axis=1, keepdims=True).astype(np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _log_mean_potential(x: np.ndarray, weight: np.ndarray, t: float) -> float:
    """log of the weighted mean of exp(−t |xᵢ − xⱼ|²) over i < j, each relative to the largest: no sum underflows."""
    own = t * np.einsum("ij,ij->i", x, x, dtype=np.float64).astype(x.dtype)
    block_rows = max(BLOCK_ENTRIES // len(x), 1)
    largest, total = -np.inf, 0.0
    for start in range(0, len(x) - 1, block_rows):
        block = slice(start, start + block_rows)
        exponent = (2 * t * x[block]) @ x[start:].T
        exponent -= own[block, None]
        exponent -= own[start:]
        exponent[np.tril_indices(len(exponent))] = -np.inf  # these columns begin with the rows of the block
        highest = max(largest, float(exponent.max()))
        potential = np.subtract(exponent, highest, dtype=np.float64)
        np.exp(potential, out=potential)
        total = total * math.exp(largest - highest) + weight[block] @ (potential @ weight[start:])
        largest = highest
    pairs = weight[:-1] @ np.cumsum(weight[::-1])[-2::-1]
    return min(largest + math.log(total / pairs), 0.0)
