"""Procrustes distance: what is left of the difference of two spaces after the best rotation."""

from __future__ import annotations

import math

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import ten_per_dimension
from isotropy_metrics.measures.comparisons._centered import root_weighted, without_shape
from isotropy_metrics.measures.comparisons._comparison import comparison_of
from isotropy_metrics.statistics import PairSample


@comparison_of(
    needs=PairSample,
    bounds=(0.0, 2.0),
    same=0.0,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=ten_per_dimension,
    paper="2108.01661",
    citation="""@inproceedings{ding2021grounding,
    title = "Grounding Representation Similarity Through Statistical Testing",
    author = "Ding, Frances and Denain, Jean-Stanislas and Steinhardt, Jacob",
    booktitle = "Advances in Neural Information Processing Systems 34",
    year = "2021"
}""",
)
def procrustes_distance(pairs: PairSample, *, squared: bool = True) -> dict[str, float]:
    """Squared distance of two clouds of paired rows after the best rotation or reflection.

    With X and Y the centred rows of either space, divided by their Frobenius norm, and ‖·‖* the nuclear norm (the sum
    of the singular values),

        procrustes_distance = min ‖X − Y Q‖² over orthogonal Q = 2 − 2 ‖Xᵀ Y‖*

    which is what Ding et al. 2021 call the distance. 0 is the same space but for a rotation, a shift and a scale, 2 is
    two spaces without any linear relation. A narrower space counts as lying in the wider one. The root
    (`squared=False`), and the angle arccos ‖Xᵀ Y‖* between X and the rotated Y (Williams et al. 2021,
    https://huggingface.co/papers/2110.14739, in radians there), obey the triangle inequality. The "disparity" of
    scipy.spatial.procrustes, which also scales Y, is 1 − ‖Xᵀ Y‖*².

    What it does not tell: where the spaces differ. A rotation that fits many features fits much noise: random pairs of
    n isotropic rows in d dimensions come closer to each other the smaller n/d is, so that values of different n or d
    are not comparable.

    Args:
        pairs: rows of both spaces, (n_samples, n_features) each, or a `PairSample` of them; more pairs than its size
            are sampled.
        squared: return the square of the distance, from 0 to 2; otherwise its root, from 0 to √2.

    Returns:
        `procrustes_distance`, and `procrustes_angle` in degrees, from 0 to 90. Of equal spaces the root and the angle
        are exact to 1e-7 and 1e-5 only.

    Raises:
        ValueError: other numbers of rows in the two spaces, or fewer than 2.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(500, 4))
        >>> Q = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
        >>> round(procrustes_distance(X, 5 * X @ Q + 3)["procrustes_distance"], 6)
        0.0
        >>> round(procrustes_distance(X, X[:, :2])["procrustes_distance"], 2)  # half the variance: 2 - 2 * 0.5 ** 0.5
        0.61
    """
    first, second = root_weighted(pairs)
    reason = without_shape(first, second)
    if reason:
        return nan_because("procrustes_distance", reason, "procrustes_angle")
    first, second = (rows / np.linalg.norm(rows) for rows in (first, second))
    if len(first) < min(first.shape[1], second.shape[1]):  # the same product between rows, in n dimensions
        first, second = (np.linalg.qr(rows.T, mode="r").T for rows in (first, second))
    nuclear_norm = min(float(np.linalg.svd(first.T @ second, compute_uv=False).sum()), 1.0)
    distance = 2 - 2 * nuclear_norm
    return {
        "procrustes_distance": distance if squared else math.sqrt(distance),
        "procrustes_angle": math.degrees(math.acos(nuclear_norm)),
    }
