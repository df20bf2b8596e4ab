"""Neural collapse: how far classes have shrunk to points (NC1)."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of
from isotropy_metrics.statistics import ClassMoments

RANK_TOLERANCE = 1e-12


@measure_of(
    needs=ClassMoments,
    bounds=(0.0, float("inf")),
    isotropic=None,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=lambda d: 100,
    paper="2008.08186",
    citation="""@article{papyan2020prevalence,
    title = "Prevalence of neural collapse during the terminal phase of deep learning training",
    author = "Papyan, Vardan and Han, X. Y. and Donoho, David L.",
    journal = "Proceedings of the National Academy of Sciences",
    volume = "117",
    number = "40",
    year = "2020"
}""",
    ids=("references",),
)
def neural_collapse(class_moments: ClassMoments) -> dict[str, float]:
    """Variability within classes over that between their means (NC1).

    With Σ_W the covariance within classes (divisor n), Σ_B that of the K class means about their mean (divisor K), and
    † the pseudo-inverse,

        neural_collapse = tr(Σ_W Σ_B†) / K

    It falls towards 0 while a classifier is trained past zero error. In one pass and O(d²) memory, whatever the number
    of classes. Labels that have nothing to do with the space give about (K − 1)/d times the rows per class, where d ≫
    K.

    The covariance within classes of few rows is too small, by (n − K)/n.

    What it does not tell: whether the class means form a simplex (NC2 and NC3), and anything of directions in which
    the class means do not differ.

    Args:
        class_moments: statistics of the rows, or the rows (n_samples, n_features) together with `references`, one
            class label per row.

    Returns:
        `neural_collapse`, from 0, and `n_classes`.

    Raises:
        ValueError: fewer than 2 rows, or no labels.

    Example:
        >>> import numpy as np
        >>> labels = np.arange(300) % 3
        >>> X = np.random.default_rng(0).normal(size=(300, 10)) + 10 * np.eye(10)[labels]
        >>> {key: round(value, 3) for key, value in neural_collapse(X, references=labels).items()}
        {'neural_collapse': 0.019, 'n_classes': 3, 'n_samples': 300, 'n_features': 10}
    """
    k = class_moments.n_classes
    count = {"n_classes": k}
    if k < 2:
        return nan_because("neural_collapse", "there is one class only") | count
    if class_moments.n_rows == k:
        return nan_because("neural_collapse", "no class has 2 rows") | count
    means = class_moments.class_means - class_moments.class_means[0]
    means = means - means.mean(axis=0)
    scale = np.abs(means).max()
    if not scale > 0:
        return nan_because("neural_collapse", "all classes have the same mean") | count
    values, directions = np.linalg.svd(means / scale, full_matrices=False)[1:]
    kept = values > RANK_TOLERANCE * values[0]
    within = class_moments.within_scatter / class_moments.masses.sum() / scale**2
    along = np.einsum("ij,jk,ik->i", directions[kept], within, directions[kept], optimize=True)
    return {"neural_collapse": float((along / (values[kept] ** 2 / k)).sum() / k)} | count
