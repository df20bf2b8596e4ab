"""Elongated directions: how many have more variance than chance leaves in an isotropic cloud."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import D, measure_of, ten_per_dimension
from isotropy_metrics.statistics import Moments


@measure_of(
    needs=Moments,
    bounds=(0.0, D),
    isotropic=0.0,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=ten_per_dimension,
    paper="2109.04740",
    citation="""@inproceedings{rajaee-pilehvar-2021-fine,
    title = "How Does Fine-tuning Affect the Geometry of Embedding Space: A Case Study on Isotropy",
    author = "Rajaee, Sara and Pilehvar, Mohammad Taher",
    booktitle = "Findings of the Association for Computational Linguistics: EMNLP 2021",
    year = "2021"
}""",
)
def elongated_directions(moments: Moments, *, factor: float = 5.0) -> dict[str, float]:
    """Number of principal directions with more variance than the largest of an isotropic cloud.

    With λ the eigenvalues of the covariance of n rows in d dimensions and λ̄ their mean, it counts

        λ_j > λ̄ (1 + √(d/(n − 1)))²        (the upper edge of Marchenko & Pastur 1967)

    the largest eigenvalue that n rows of an isotropic Gaussian of the same total variance have; by chance one of them
    lies just above it in about one of eight such clouds. `directions_above_mean` counts λ_j > c · λ̄ with c = `factor`,
    which does not depend on n. The paper speaks of the "number of elongated directions" without a definition: these
    two are ours, free of scale, and not the paper's numbers.

    What it does not tell: by how much they are longer, and with very many rows the first count tends to the number of
    directions above the mean, which every anisotropic space has many of.

    Args:
        moments: statistics of the rows, or the rows themselves (n_samples, n_features).
        factor: c, how many times the mean variance.

    Returns:
        `elongated_directions` and `directions_above_mean`, from 0 to n_features − 1 and to n_features.

    Raises:
        ValueError: fewer than 2 rows, or a `factor` that is not positive.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(1000, 50)) * ([4.0] * 4 + [1.0] * 46)
        >>> elongated_directions(X)
        {'elongated_directions': 4, 'directions_above_mean': 4, 'n_samples': 1000, 'n_features': 50}
    """
    if not factor > 0:
        raise ValueError(f"factor must be positive, got {factor}")
    values, n = moments.eigenvalues, moments.effective_n_rows - 1
    if len(values) == 1:
        return nan_because("elongated_directions", "one feature has no isotropy", "directions_above_mean")
    if not values[0] > 0:
        return nan_because("elongated_directions", "all rows are the same", "directions_above_mean")
    values = values / values.mean()
    edge = (1 + np.sqrt(len(values) / n)) ** 2
    return {
        "elongated_directions": int(np.count_nonzero(values > edge)),
        "directions_above_mean": int(np.count_nonzero(values > factor)),
    }
