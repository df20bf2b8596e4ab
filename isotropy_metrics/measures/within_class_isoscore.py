"""Within-class IsoScore: isotropy of what classes leave of the variance."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of, ten_per_dimension
from isotropy_metrics.statistics import ClassMoments


@measure_of(
    needs=ClassMoments,
    bounds=(0.0, 1.0),
    isotropic=1.0,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=lambda d, unbiased=False: 30 if unbiased else ten_per_dimension(d),
    paper="2402.03191",
    citation="""@inproceedings{mickus-etal-2024-isotropy,
    title = "Isotropy, Clusters, and Classifiers",
    author = {Mickus, Timothee and Gr{\\"o}nroos, Stig-Arne and Attieh, Joseph},
    booktitle = "Proceedings of the 62nd Annual Meeting of the Association for Computational Linguistics",
    year = "2024"
}""",
    ids=("references",),
)
def within_class_isoscore(class_moments: ClassMoments, *, unbiased: bool = False) -> dict[str, float]:
    """IsoScore of the rows less the mean of their class.

    With Σ_W the pooled covariance within classes and d = n_features,

        within_class_isoscore = (tr(Σ_W)² / ‖Σ_W‖² − 1) / (d − 1)

    Beside `isoscore` of the same rows it separates a space that is anisotropic because its classes lie apart (this
    value stays high) from one that is anisotropic within every class (both are low). `between_share` is the part of
    the total variance that lies between the class means, (K − 1)/(n − 1) by chance for K classes and n rows. The
    measure is ours, after the argument of Mickus et al.

    What it does not tell: differences between classes, whose covariances are pooled, and how well they are separated:
    see `silhouette` and `neural_collapse`.

    Args:
        class_moments: statistics of the rows, or the rows (n_samples, n_features) together with `references`, one
            class label per row.
        unbiased: correct for the finite number of rows as in `isoscore`, with n = rows − classes.

    Returns:
        `within_class_isoscore`, from 0 to 1, and `between_share`, from 0 to 1.

    Raises:
        ValueError: fewer than 2 rows, no labels; with `unbiased`, fewer than 2 rows more than classes.

    Example:
        >>> import numpy as np
        >>> labels = np.arange(900) % 3
        >>> X = np.random.default_rng(0).normal(size=(900, 10))
        >>> X[:, 0] += 20 * labels
        >>> {key: round(value, 2) for key, value in within_class_isoscore(X, references=labels).items()}
        {'within_class_isoscore': 0.98, 'between_share': 0.96, 'n_samples': 900, 'n_features': 10}
    """
    scatter, means, masses = class_moments.within_scatter, class_moments.class_means, class_moments.masses
    d = len(scatter)
    within = float(np.trace(scatter))
    offsets = means - means[0] - masses @ (means - means[0]) / masses.sum()
    between = float(masses @ np.einsum("ij,ij->i", offsets, offsets))
    share = {"between_share": between / (within + between) if within + between > 0 else float("nan")}
    if d == 1:
        return nan_because("within_class_isoscore", "one feature has no isotropy") | share
    if not within > 0:
        return nan_because("within_class_isoscore", "all rows of each class are the same") | share
    t, q = 1.0, float(np.square(scatter / within).sum())
    if unbiased:
        n = class_moments.effective_n_rows - class_moments.n_classes
        if n <= 1:
            raise ValueError(
                f"the unbiased within_class_isoscore needs at least 2 rows more than classes, got "
                f"{class_moments.n_rows} rows of {class_moments.n_classes} classes"
            )
        q = n**2 / ((n - 1) * (n + 2)) * (q - t / n)
        if q <= 0:
            reason = f"{class_moments.n_rows} rows are too few to estimate tr(Σ²)"
            return nan_because("within_class_isoscore", reason) | share
        t = t - 2 / n * q
    return {"within_class_isoscore": float((t / q - 1) / (d - 1))} | share
