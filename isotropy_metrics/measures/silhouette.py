"""Silhouette: how much nearer rows are to their own class than to the next."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of
from isotropy_metrics.statistics import RowSample

METRICS = ("euclidean", "cosine")

MEGABYTES = 64
"""Of distances that scikit-learn may hold at a time."""


@measure_of(
    needs=RowSample,
    bounds=(-1.0, 1.0),
    isotropic=0.0,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=lambda d: 100,
    paper="2402.03191",
    citation="""@inproceedings{mickus-etal-2024-isotropy,
    title = "Isotropy, Clusters, and Classifiers",
    author = {Mickus, Timothee and Gr{\\"o}nroos, Stig-Arne and Attieh, Joseph},
    booktitle = "Proceedings of the 62nd Annual Meeting of the Association for Computational Linguistics",
    year = "2024"
}""",
    ids=("references",),
    weighted=False,
)
def silhouette(sample: RowSample, *, metric: str = "euclidean") -> dict[str, float]:
    """Mean over the rows of how much nearer they are to their own class than to the nearest other.

    With a the mean distance of a row to the others of its class, and b the least mean distance to another class,

        silhouette = mean of (b − a) / max(a, b)        (Rousseeuw 1987; computed by scikit-learn)

    1 means tight classes far apart, 0 classes that overlap; a row alone in its class counts 0. Labels that have
    nothing to do with the space give 0. Mickus et al. show that it and isotropy pull in opposite directions while a
    classifier is trained: read it beside `isoscore`.

    What it does not tell: whether a classifier can separate classes of other than round shape, and it falls with the
    number of features that carry noise.

    Args:
        sample: the rows (n_samples, n_features) together with `references`, one class label per row.
        metric: "euclidean" or "cosine"; the facts above hold for the first.

    Returns:
        `silhouette`, from −1 to 1; NaN unless there are at least 2 classes, one of them with 2 rows.

    Raises:
        ValueError: fewer than 2 rows, no labels, weights, or another `metric`.
        ImportError: scikit-learn is not installed.

    Example:
        >>> import numpy as np
        >>> labels = np.arange(200) % 2
        >>> X = np.random.default_rng(0).normal(size=(200, 3)) + 4 * labels[:, None]
        >>> round(silhouette(X, references=labels)["silhouette"], 2)
        0.67
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}; got {metric!r}")
    try:
        import sklearn
        from sklearn.metrics import silhouette_score
    except ImportError as error:
        raise ImportError("silhouette needs scikit-learn: pip install scikit-learn") from error
    labels = np.unique(sample.references, return_inverse=True)[1]
    rows = sample.rows.astype(np.float64)
    if labels.max() == 0 or labels.max() + 1 == len(rows):
        n_classes = int(labels.max()) + 1
        return nan_because("silhouette", f"{n_classes} class(es) among {len(rows)} rows have nothing to compare")
    if metric == "euclidean":
        rows -= rows.mean(axis=0)
        rows /= np.abs(rows).max() or 1.0
    with sklearn.config_context(working_memory=MEGABYTES):
        return {"silhouette": float(silhouette_score(rows, labels, metric=metric))}
