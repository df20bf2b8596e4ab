"""Subspace overlap: whether the directions of largest variance of two spaces are the same."""

from __future__ import annotations

import math

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import ten_per_dimension
from isotropy_metrics.measures.comparisons._centered import root_weighted, without_shape
from isotropy_metrics.measures.comparisons._comparison import comparison_of
from isotropy_metrics.statistics import PairSample

BETWEEN = ("rows", "features")
KEYS = ("smallest_principal_angle", "largest_principal_angle", "subspace_dimensions")


@comparison_of(
    needs=PairSample,
    bounds=(0.0, 1.0),
    same=1.0,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=ten_per_dimension,
    paper="https://doi.org/10.1090/S0025-5718-1973-0348991-3",
    citation="""@article{bjorck1973numerical,
    title = "Numerical methods for computing angles between linear subspaces",
    author = "Bj{\\"o}rck, {\\AA}ke and Golub, Gene H.",
    journal = "Mathematics of Computation",
    volume = "27",
    pages = "579--594",
    year = "1973"
}""",
)
def subspace_overlap(pairs: PairSample, *, k: int = 10, between: str = "rows") -> dict[str, float]:
    """Mean squared cosine of the principal angles between the top k principal components of two spaces.

    With U and V orthonormal bases of two k-dimensional subspaces and θ the principal angles between them, whose
    cosines are the singular values of Uᵀ V,

        subspace_overlap = ‖Uᵀ V‖² / k = mean of cos² θ

    `between="rows"` compares the scores of the rows on the first k principal components of either space, as subspaces
    of ℝⁿ: which rows lie far out together. Spaces of any width can be compared, and a rotation of one changes nothing
    (May et al. 2019, https://huggingface.co/papers/1909.01264, compare all components so). `between="features"`
    compares the first k principal directions themselves, as subspaces of the feature space: whether a model, before
    and after a change, uses the same directions; a rotation of one space is then a difference. 1 is the same subspace,
    0 an orthogonal one; by chance it is k/(n − 1) between rows, and k/d between features.

    What it does not tell: how much variance these subspaces hold, and in which order. Where the k-th and the next
    variance are close, which of the two directions is in is decided by noise.

    Args:
        pairs: rows of both spaces, (n_samples, n_features) each, or a `PairSample` of them; more pairs than its size
            are sampled.
        k: dimensions of the subspaces. If one of the centred spaces has fewer than k dimensions, as many as it has are
            taken of both.
        between: "rows" or "features".

    Returns:
        `subspace_overlap`, from 0 to 1, `smallest_principal_angle` and `largest_principal_angle` in degrees, exact to
        1e-5, and `subspace_dimensions`, the k that was used.

    Raises:
        ValueError: other numbers of rows in the two spaces, fewer than 2, k below 1, another `between`, or with
            `between="features"` other numbers of features.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(500, 4)) * [4, 3, 1, 1]
        >>> Y = X[:, [2, 1, 0, 3]]
        >>> round(subspace_overlap(X, Y, k=2)["subspace_overlap"], 2)
        1.0
        >>> round(subspace_overlap(X, Y, k=2, between="features")["subspace_overlap"], 2)
        0.5
    """
    if between not in BETWEEN:
        raise ValueError(f"between must be one of {', '.join(BETWEEN)}; got {between!r}")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    widths = pairs.widths
    if between == "features" and widths[0] != widths[1]:
        raise ValueError(
            f"between='features' needs the same number of features in both spaces, got {widths[0]} and {widths[1]}: "
            "between='rows' compares any"
        )
    spaces = root_weighted(pairs)
    reason = without_shape(*spaces)
    if reason:
        return nan_because("subspace_overlap", reason, *KEYS)
    first, second = (_components(rows, k, between) for rows in spaces)
    k = min(first.shape[1], second.shape[1])
    first, second = (np.linalg.qr(basis[:, :k])[0] for basis in (first, second))
    cosines = np.clip(np.linalg.svd(first.T @ second, compute_uv=False), 0.0, 1.0)
    angles = [math.degrees(math.acos(cosine)) for cosine in (cosines.max(), cosines.min())]
    return {"subspace_overlap": float(np.mean(cosines**2))} | dict(zip(KEYS, (*angles, k), strict=True))


def _components(rows: np.ndarray, k: int, between: str) -> np.ndarray:
    """Scores of the rows on the first k principal components, or these components, in columns; fewer if there are."""
    from scipy.linalg import eigh

    wide = rows.shape[1] > len(rows)
    gram = rows @ rows.T if wide else rows.T @ rows
    d = len(gram)
    eigenvalues, vectors = eigh(gram, subset_by_index=[max(d - k, 0), d - 1])
    rank = int((eigenvalues > max(rows.shape) * np.finfo(np.float64).eps * eigenvalues[-1]).sum())
    vectors = vectors[:, ::-1][:, :rank]
    if wide == (between == "rows"):
        return vectors
    return (rows.T if wide else rows) @ vectors
