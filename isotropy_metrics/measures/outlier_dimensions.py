"""Outlier dimensions: features that are far larger than the others."""

from __future__ import annotations

import warnings

import numpy as np

from isotropy_metrics.measures._measure import D, measure_of
from isotropy_metrics.statistics import RowSample

MACOCCO_QUANTILE = 0.99

MASSIVE, MASSIVE_RATIO = 100.0, 1000.0
"""Sun et al. (2024): an activation above 100 that is at least 1,000 times the median."""


@measure_of(
    needs=RowSample,
    bounds=(0.0, D),
    isotropic=None,
    invariant_to=("scale",),
    rows_wanted=lambda d: 30,
    paper="2306.00458",
    citation="""@inproceedings{hammerl-etal-2023-exploring,
    title = "Exploring Anisotropy and Outliers in Multilingual Language Models for Cross-Lingual Semantic Sentence
        Similarity",
    author = {H{\\"a}mmerl, Katharina and Fastowski, Alina and Libovick{\\'y}, Jind{\\v{r}}ich and Fraser, Alexander},
    booktitle = "Findings of the Association for Computational Linguistics: ACL 2023",
    year = "2023"
}""",
    weighted=False,
)
def outlier_dimensions(sample: RowSample, *, method: str = "hammerl", n_std: float = 3.0) -> dict[str, float]:
    """Number of features whose values are far larger than those of the others.

    A feature i of the rows x is an outlier by one of four definitions, `method`:

        "hammerl"    |mᵢ| > mean(m) + n_std · std(m),    m the mean of the rows (Hämmerl et al. 2023)
        "timkey"     cᵢ > mean(c) + n_std · std(c),      c the parts of the features in the average cosine similarity
        "macocco"    median |xᵢ| > 0.99-quantile of all |x|                                     (Macocco et al. 2025)
        "massive"    some |xᵢ| > 100 that is at least 1,000 times the median of all |x|             (Sun et al. 2024)

    Timkey & van Schijndel (2021) rank the features by c and name the first 1, 3 or 5: the threshold is ours. The rule
    of Hämmerl et al. compares |mᵢ| with a threshold about mean(m), so that a cloud whose mean lies far on the negative
    side in every feature has only outliers; and as the mean of an isotropic cloud is noise alike in every feature,
    about 0.3 % of its features pass at n_std = 3, whatever the number of rows. What the parameters of a model say
    (Puccetti et al. 2022) is `isotropy_metrics.model_parameters.outlier_dimensions_of`.

    What it does not tell: what a feature does. Some of these few dimensions carry the frequency of tokens, and zeroing
    them wrecks a model; others only rule the cosine. A rotation of the space hides them, so that there need not be any
    in an anisotropic space.

    Args:
        sample: the rows (n_samples, n_features), or a `RowSample` of them; more rows than its size are sampled.
        method: "hammerl", "timkey", "macocco" or "massive".
        n_std: standard deviations, for the first two.

    Returns:
        `outlier_dimensions`, how many; `outlier_indices`, which, the largest first; and `outlier_scores`, their mᵢ,
        cᵢ, median |xᵢ| or largest |xᵢ|.

    Raises:
        ValueError: fewer than 2 rows, or another `method`.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(200, 30))
        >>> X[:, 17] += 4
        >>> result = outlier_dimensions(X)
        >>> result["outlier_dimensions"], result["outlier_indices"]
        (1, [17])
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if method == "massive" and not sample.is_complete:
        warnings.warn(
            f"massive activations are rare, and these are of {len(sample.rows):,} of {sample.n_rows:,} rows: pass "
            "RowSample(size=None), or sample_size=None, for all rows",
            RuntimeWarning,
            stacklevel=3,
        )
    scores, is_outlier = METHODS[method](sample.rows.astype(np.float64), n_std)
    indices = np.flatnonzero(is_outlier)
    indices = indices[np.argsort(-np.abs(scores[indices]), kind="stable")]
    return {
        "outlier_dimensions": len(indices),
        "outlier_indices": indices.tolist(),
        "outlier_scores": scores[indices].tolist(),
    }


def _hammerl(rows: np.ndarray, n_std: float) -> tuple[np.ndarray, np.ndarray]:
    mean = rows.mean(axis=0)
    return mean, np.abs(mean) > mean.mean() + n_std * mean.std()


def _timkey(rows: np.ndarray, n_std: float) -> tuple[np.ndarray, np.ndarray]:
    rows = rows / (np.abs(rows).max() or 1.0)
    lengths = np.linalg.norm(rows, axis=1)
    units = rows[lengths > 0] / lengths[lengths > 0, None]
    pairs = max(len(units) * (len(units) - 1), 1)
    parts = (units.sum(axis=0) ** 2 - (units**2).sum(axis=0)) / pairs
    return parts, parts > parts.mean() + n_std * parts.std()


def _macocco(rows: np.ndarray, n_std: float) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.abs(rows)
    medians = np.median(sizes, axis=0)
    return medians, medians > np.quantile(sizes, MACOCCO_QUANTILE)


def _massive(rows: np.ndarray, n_std: float) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.abs(rows)
    largest = sizes.max(axis=0)
    return largest, (largest > MASSIVE) & (largest >= MASSIVE_RATIO * np.median(sizes))


METHODS = {"hammerl": _hammerl, "timkey": _timkey, "macocco": _macocco, "massive": _massive}
