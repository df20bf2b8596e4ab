"""What can be wrong with the rows that an enhancement is fitted on, or applied to, told as warnings."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from isotropy_metrics.arrays import on_host
from isotropy_metrics.statistics import RowSample, RowStatistics
from isotropy_metrics.statistics.side_by_side import one_thread

if TYPE_CHECKING:
    import torch

N_PARTS = 16
"""Consecutive parts of the fitting rows whose means are compared."""

ORDERED_SHARE = 0.08
"""Rows count as ordered if the means of the parts hold this share of the variance, beyond what random parts would."""

FAR_OFF_SHARE = 0.25
"""Rows are far off if their mean is off that of the fitting rows by this share of the variance."""

ROWS_TO_JUDGE = 100
"""Of fewer rows nothing is said about their order or their mean."""

MOST_ROWS_TO_ORDER = 2000
MOST_ROWS_TO_COMPARE = 1000
MOST_ROWS_TO_CLUSTER = 1000
FEW_CLUSTERS = (2, 3, 4, 6, 8)
CLUSTERED_SHARE = 0.3
"""Rows come from few clusters if k of them leave this share of the variance that they leave of Gaussian rows."""

OUTLIERS_ASIDE = 0.9
"""Where one cluster holds this share of the rows, the others are outliers, such as the first tokens of GPT-2."""


class EnhancementWarning(UserWarning):
    """An enhancement was fitted on, or is applied to, rows that it may harm."""


def check_fitting_rows(statistics: RowStatistics, rows_wanted: int, name: str, minds_clusters: bool) -> None:
    """Warn of rows that are few, ordered, or from few clusters if `name` minds them."""
    n_rows, n_features = statistics.n_rows, statistics.n_features
    if n_rows < rows_wanted:
        _warn(
            f"{name} is fitted on {n_rows} rows of {n_features} features: it wants {rows_wanted} rows; "
            "take more rows, or see on held-out data what it does"
        )
    sample = statistics.sample
    if min(sample.n_rows, sample.size or sample.n_rows) < ROWS_TO_JUDGE:
        return
    if (sample.rows == sample.rows[0]).all():  # one point: what rounding leaves of it has no order and no clusters
        return
    share = ordered_share(sample)
    if share > ORDERED_SHARE:
        _warn(
            f"the {n_rows} rows look ordered: the means of consecutive parts hold {share:.0%} of "
            "the variance; if these are not all rows, fit on a random sample of all, not on the first ones"
        )
    n_clusters = few_clusters(sample) if minds_clusters else None
    if n_clusters:
        _warn(
            f"the {n_rows} rows lie in {n_clusters} tight clusters: what is fitted on them fits no other topic; "
            "fit on rows from everywhere that the enhancement will be applied to"
        )


def warn_if_far_off(rows: np.ndarray | torch.Tensor, mean: np.ndarray, total_variance: float) -> None:
    """Warn of rows, such as queries, that lie off the fitting rows, such as documents."""
    if len(rows) < ROWS_TO_JUDGE:
        return
    some = on_host(_evenly(rows, MOST_ROWS_TO_COMPARE)).astype(np.float64)
    distance = np.sum((some.mean(axis=0) - mean) ** 2) - np.sum(some.var(axis=0)) / len(some)
    if distance > FAR_OFF_SHARE * total_variance:
        _warn(
            f"these rows are not like the fitting rows: their means differ by {np.sqrt(distance):.3g}, the standard "
            f"deviation of the fitting rows being {np.sqrt(total_variance):.3g}; fit on rows of every kind together "
            "(queries and documents), and treat both with the one enhancement"
        )


def warn_of_forgetting() -> None:
    """Warn that `partial_fit` cannot add rows to those of `fit`."""
    warnings.warn(
        "partial_fit begins anew: the rows of fit are forgotten, as only partial_fit keeps the statistics that rows "
        "can be added to",
        EnhancementWarning,
        stacklevel=3,
    )


def ordered_share(sample: RowSample) -> float:
    """Share of the variance between the means of consecutive parts, less that of random parts (ω², Hays 1963).

    0 where random parts could differ as much: at less than three times the variance ratio that is expected of them.
    """
    order = _evenly(np.argsort(sample.positions, kind="stable"), MOST_ROWS_TO_ORDER)
    rows = sample.rows[order].astype(np.float64)
    centered = rows - rows.mean(axis=0)
    total = np.vdot(centered, centered)
    between = sum(len(part) * np.sum(part.mean(axis=0) ** 2) for part in np.array_split(centered, N_PARTS))
    within = (total - between) / (len(rows) - N_PARTS)
    if not between > 3 * (N_PARTS - 1) * within:
        return 0.0
    return float((between - (N_PARTS - 1) * within) / (total + within))


@one_thread()
def few_clusters(sample: RowSample) -> int | None:
    """The number of tight clusters that the rows form, if at most the largest of FEW_CLUSTERS; None if they do not.

    Neither do rows of which nearly all are in one cluster, the others being outliers.

    Compared are k-means inertias along the first principal components with those of Gaussian rows of equal variances,
    the idea of the gap statistic (Tibshirani, Walther & Hastie 2001).
    """
    from sklearn.cluster import KMeans
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    rows = _evenly(sample.rows, MOST_ROWS_TO_CLUSTER).astype(np.float64)
    rows = rows - rows.mean(axis=0)
    _, values, axes = randomized_svd(rows, min(max(FEW_CLUSTERS) - 1, *rows.shape), n_iter=2, random_state=0)
    kept = axes[values > 1e-6 * values[0]]
    if not len(kept):
        return None
    scores = rows @ kept.T
    gaussian = np.random.default_rng(0).normal(size=scores.shape) * scores.std(axis=0)
    k_means = partial(KMeans, n_init=2, random_state=0)
    most_of_theirs = len(gaussian) * gaussian.var(axis=0).sum()  # in one cluster; k of them leave less
    with threadpool_limits(1, user_api="openmp"):  # threads wait for each other longer than so little work takes
        if k_means(max(FEW_CLUSTERS)).fit(scores).inertia_ >= CLUSTERED_SHARE * most_of_theirs:
            return None  # as fewer clusters leave more
        for k in FEW_CLUSTERS:
            ours = k_means(k).fit(scores)
            if ours.inertia_ >= CLUSTERED_SHARE * most_of_theirs:
                continue
            if ours.inertia_ < CLUSTERED_SHARE * k_means(k).fit(gaussian).inertia_:
                return k if np.bincount(ours.labels_).max() < OUTLIERS_ASIDE * len(rows) else None
    return None


def _evenly(rows: np.ndarray | torch.Tensor, most: int) -> np.ndarray | torch.Tensor:
    """At most so many of the rows, at even distances."""
    return rows[:: -(-len(rows) // most)]


def _warn(message: str) -> None:
    warnings.warn(message, EnhancementWarning, stacklevel=5)
