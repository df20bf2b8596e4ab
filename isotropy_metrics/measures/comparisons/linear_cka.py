"""Linear CKA: whether two spaces find the same rows similar to each other."""

from __future__ import annotations

import math

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures.comparisons._centered import centered, without_shape
from isotropy_metrics.measures.comparisons._comparison import comparison_of
from isotropy_metrics.statistics import PairSample


@comparison_of(
    needs=PairSample,
    bounds=(-1.0, 1.0),
    same=1.0,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=lambda d, debiased=True: 100 if debiased else 10 * d,
    paper="1905.00414",
    citation="""@inproceedings{kornblith2019similarity,
    title = "Similarity of Neural Network Representations Revisited",
    author = "Kornblith, Simon and Norouzi, Mohammad and Lee, Honglak and Hinton, Geoffrey",
    booktitle = "Proceedings of the 36th International Conference on Machine Learning",
    year = "2019"
}""",
)
def linear_cka(pairs: PairSample, *, debiased: bool = True) -> dict[str, float]:
    """Agreement of the similarities between rows in two spaces (centred kernel alignment).

    With K = X Xᵀ and L = Y Yᵀ the inner products between the rows of either space,

        linear_cka = HSIC(K, L) / √(HSIC(K, K) · HSIC(L, L))

    where, of centred X and Y, HSIC is ‖Xᵀ Y‖² (Frobenius; `debiased=False`, as in the paper), or the estimate without
    bias (Song et al. 2012, https://jmlr.org/papers/v13/song12a.html), the mean over all i, j, q, r of which no two are
    the same, of Kᵢⱼ (Lᵢⱼ + L_qr − 2 Lᵢ_q). 1 is the same space but for a rotation, a shift and a scale; rows that have
    nothing to do with each other have 0. The plain value of such rows is not 0 but about d/(n + d) for isotropic rows
    of d features: with fewer rows than features, everything looks alike. Nothing of the size n × n is computed unless
    n is below half of the number of features.

    What it does not tell: where the spaces differ. A few directions of large variance decide it, and outlying rows
    too; two spaces can agree in them and differ in the rest. Values of different n are comparable only if debiased.

    Args:
        pairs: rows of both spaces, (n_samples, n_features) each, or a `PairSample` of them; more pairs than its size
            are sampled.
        debiased: use the estimate without bias. With weights, its mean over i, j, q, r is weighted by their product.

    Returns:
        `linear_cka`, from 0 to 1; debiased at most 1, and below 0 by chance.

    Raises:
        ValueError: other numbers of rows in the two spaces, fewer than 2, or with `debiased` fewer than 4.

    Example:
        >>> import numpy as np
        >>> X, Y = np.random.default_rng(0).normal(size=(2, 1000, 100))
        >>> round(linear_cka(X, Y)["linear_cka"], 2), round(linear_cka(X, Y, debiased=False)["linear_cka"], 2)
        (0.0, 0.09)
    """
    if debiased and len(pairs.rows) < 4:
        raise ValueError(f"the debiased linear_cka needs at least 4 rows, got {len(pairs.rows)}")
    first, second = centered(pairs)
    reason = without_shape(first, second)
    if reason:
        return nan_because("linear_cka", reason)
    weight = np.ones(len(first)) if pairs.weight is None else pairs.weight / pairs.weight.max()
    of_both, of_first, of_second = (
        (_unbiased_hsic if debiased else _hsic)(x, y, weight)
        for x, y in ((first, second), (first, first), (second, second))
    )
    if min(of_first, of_second) <= 0:
        return nan_because("linear_cka", "too few rows differ from the others to estimate it without bias")
    return {"linear_cka": of_both / math.sqrt(of_first * of_second)}


def _hsic(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Σ wᵢ wⱼ Kᵢⱼ Lᵢⱼ over all i, j."""
    return _products(x, y, weight)[0]


def _unbiased_hsic(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Σ wᵢ wⱼ w_q w_r Kᵢⱼ (Lᵢⱼ + L_qr − 2 Lᵢ_q) over all different i, j, q, r; zero if it is a rounding error.

    Written out by inclusion and exclusion, with k = Σⱼ wⱼ Kᵢⱼ and k² = Σⱼ wⱼ² Kᵢⱼ over j ≠ i, in which the centring
    makes Σⱼ wⱼ xⱼ = 0. With equal weights it is (n − 1)(n − 2) times the formula of Song et al.
    """
    of_x, of_y = (np.einsum("ij,ij->i", rows, rows) for rows in (x, y))
    k, l = -weight * of_x, -weight * of_y  # noqa: E741
    k2 = x @ (weight**2 @ x) - weight**2 * of_x
    l2 = y @ (weight**2 @ y) - weight**2 * of_y
    with_diagonal = np.array(_products(x, y, weight))
    s11, s12, s22 = with_diagonal - [(weight**power) @ (of_x * of_y) for power in (2, 3, 4)]
    total, squares = weight.sum(), (weight**2).sum()
    hsic = (
        (total**2 - squares) * s11
        - 2 * total * s12
        + 2 * s22
        + (weight @ k) * (weight @ l)
        - 2 * ((weight**2 + total * weight) * k) @ l
        + 2 * weight @ (k2 * l + k * l2)
    )
    return float(hsic) if abs(hsic) > 1e-12 * total**2 * with_diagonal[0] else 0.0


def _products(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float, float]:
    """Σ wᵢ wⱼ g, Σ wᵢ wⱼ² g and Σ wᵢ² wⱼ² g over all i, j, of g = Kᵢⱼ Lᵢⱼ, in the cheaper of two ways."""
    if len(x) * (x.shape[1] + y.shape[1]) < x.shape[1] * y.shape[1]:
        g = (x @ x.T) * (y @ y.T)
        once, twice = g @ weight, g @ weight**2
        return float(weight @ once), float(weight @ twice), float(weight**2 @ twice)
    if (weight == 1).all():
        once = twice = x.T @ y  # of x and x half the work
    else:
        once, twice = ((x * weight[:, None] ** power).T @ y for power in (1, 2))
    return float(np.vdot(once, once)), float(np.vdot(once, twice)), float(np.vdot(twice, twice))
