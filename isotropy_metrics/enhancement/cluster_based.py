"""Cluster-based enhancement: centre every cluster, and remove its dominant directions."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from isotropy_metrics.enhancement._cluster_enhancement import (
    ClusterEnhancement,
    members_of_each,
    rows_and_weight,
)
from isotropy_metrics.enhancement._fitting_rows import EnhancementWarning
from isotropy_metrics.enhancement.all_but_the_top import check_n_directions, top_directions, without_directions
from isotropy_metrics.statistics import Moments, RowSample, RowStatistics
from isotropy_metrics.statistics.side_by_side import WORKER_VALUES, side_by_side
from isotropy_metrics.whole_number import whole_number

FEATURES_PER_DIRECTION = 64
"""Rajaee & Pilehvar (2021) remove 12 directions of 768."""

ROWS_PER_DIRECTION = 5
"""With fewer, the directions are those of the rows that happened to be there."""

KMEANS2_ITERATIONS = 10


class ClusterBased(ClusterEnhancement):
    """Subtract the mean of each row's cluster, then remove the cluster's directions of largest variance.

        transform(x) = y − Dᵀ D y,    y = x − cluster_means_[c],    D = cluster_directions_[c]

    with c the index of the nearest of cluster_centers_ (Rajaee & Pilehvar 2021,
    https://huggingface.co/papers/2106.01183). Clusters are those of k-means on a seeded sample of the fitting rows.
    A cluster with too few rows gets the mean and the directions of all rows, with a warning. `AllButTheTop` is the
    case of one cluster, and then it is fitted on all rows; with no direction it is `ClusterCentering`.

    The authors cluster the very rows that they treat: `compat="rajaee"` repeats their procedure in `fit_transform`:
    10 rounds of Lloyd's algorithm from random rows (`scipy.cluster.vq.kmeans2`), and every row is treated by the
    cluster that k-means counted it to, which need not be the nearest in the end. What is fitted on the test rows
    flatters the result. `transform` of other rows goes by the nearest centre, as always.

    What it does not tell: whether it helps. The removed directions hold much of what fine-tuning taught a model.
    Compare a task score before and after, on held-out data.

    Args:
        n_clusters: number of clusters; None for 27, the number of the paper, but at most one per 300 sampled rows.
        n_directions: how many directions to remove from each cluster; None for n_features/64, rounded, at least 1 (12
            of 768, as in the paper), but fewer than features or rows.
        random_state: seed of the sample and of k-means, a whole number; for "rajaee" that of `numpy.random.seed`.
        sample_size: most rows that k-means sees and clusters are solved from; None for all of them.
        min_cluster_size: clusters of fewer sampled rows are treated as all rows are; None for 5 rows per direction,
            and for "rajaee" for 1, below which the authors' code stops.
        compat: None, or "rajaee".

    Attributes:
        cluster_centers_: (n_clusters, n_features_in_), float64: rows go to the nearest.
        cluster_means_: (n_clusters, n_features_in_), float64: what is subtracted.
        cluster_directions_: (n_clusters, n_directions, n_features_in_), orthonormal, largest variance first; rows of
            zeros where the rows of a cluster span fewer directions.
        labels_: (n_samples,), the cluster of each fitting row; with `compat="rajaee"` only.

    Raises:
        ValueError: on fit, more clusters than rows, or more directions than all fitting rows span.

    Example:
        >>> import numpy as np
        >>> X = np.array([[0.0, 9.0, 1.0], [0.0, -9.0, 1.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
        >>> X = np.concatenate([X, X[:, ::-1] + 50])
        >>> enhancement = ClusterBased(n_clusters=2, n_directions=1, min_cluster_size=4).fit(X)
        >>> enhancement.transform(X[4:]).round(6).tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]
    """

    FITTED = ("cluster_centers_", "cluster_means_", "cluster_directions_")

    def __init__(
        self,
        n_clusters: int | None = None,
        n_directions: int | None = None,
        random_state: int = 0,
        sample_size: int | None = 50_000,
        min_cluster_size: int | None = None,
        compat: str | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_directions = n_directions
        self.random_state = random_state
        self.sample_size = sample_size
        self.min_cluster_size = min_cluster_size
        self.compat = compat

    @property
    def NEEDS_SAMPLE(self) -> bool:
        """One cluster is solved from the moments of all rows, unless its rows are labelled."""
        return self.n_clusters != 1 or self.compat is not None

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> np.ndarray:
        """Fit on rows, and enhance them; with `compat="rajaee"` by the clusters that k-means counted them to."""
        self.fit(X, y, **fit_params)
        if self.compat is None:
            return self.transform(X)
        return self._treated(self._validated(X, reset=False), self.labels_)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> ClusterBased:
        """Add rows (n_samples, n_features) to those it was fitted on so far by `partial_fit`. Returns self.

        Raises:
            ValueError: with `compat="rajaee"`, which treats the very rows that it is fitted on, all at once.
        """
        if self.compat is not None:
            raise ValueError(f"compat={self.compat!r} labels all rows at once: use fit_transform, or compat=None")
        return super().partial_fit(X, y, sample_weight)

    def check_parameters(self, n_features: int) -> int:
        if self.compat not in (None, "rajaee"):
            raise ValueError(f"compat={self.compat!r}: must be None or 'rajaee'")
        check_n_directions(self.n_directions, n_features)
        if self.min_cluster_size is not None:
            whole_number("min_cluster_size", self.min_cluster_size, least=1)
        return super().check_parameters(n_features)

    def _rows_wanted(self, n_features: int) -> int:
        """Few rows are one cluster unless more are asked for, and then it is `AllButTheTop`."""
        return n_features if self.n_clusters in (None, 1) else super()._rows_wanted(n_features)

    def _new_statistics(self) -> RowStatistics:
        return super()._new_statistics() if self.compat is None else RowStatistics(size=None)

    def _forget(self) -> None:
        super()._forget()
        vars(self).pop("labels_", None)

    def _solve(self, statistics: RowStatistics) -> dict[str, Any]:
        self._check_compat(statistics.sample)
        moments = statistics.moments
        n_directions = self._n_directions(moments)
        centers, labels = self._centers_and_labels(statistics)
        solution = {
            "cluster_centers_": centers,
            "cluster_means_": np.tile(moments.mean, (len(centers), 1)),
            "cluster_directions_": np.tile(top_directions(moments.scatter, n_directions), (len(centers), 1, 1)),
        }
        if len(centers) > 1:
            self._solve_clusters(statistics.sample, labels, **solution)
        return solution if self.compat is None else solution | {"labels_": labels}

    def _solve_clusters(
        self,
        sample: RowSample,
        labels: np.ndarray,
        cluster_centers_: np.ndarray,
        cluster_means_: np.ndarray,
        cluster_directions_: np.ndarray,
    ) -> None:
        """Replace the mean and the directions of all rows in every cluster that has rows enough of its own."""
        n_clusters, n_directions = cluster_directions_.shape[:2]
        least = self._min_cluster_size(n_directions)
        sizes = np.bincount(labels, minlength=n_clusters)

        def solve(cluster: int, members: np.ndarray) -> None:
            if len(members) >= least:
                rows, weight = rows_and_weight(sample, members)
                cluster_means_[cluster] = np.average(rows, axis=0, weights=weight)
                rows -= cluster_means_[cluster]
                cluster_directions_[cluster] = spanned_directions(rows, weight, n_directions)

        with side_by_side(sample.rows.size // WORKER_VALUES) as (map_of_clusters, _):
            list(map_of_clusters(solve, range(n_clusters), members_of_each(labels, n_clusters)))
        if sizes.min() < least:
            warnings.warn(
                f"{np.sum(sizes < least)} of {n_clusters} clusters have fewer than {least} rows (the smallest "
                f"{sizes.min()}): rows near them get the mean and the {n_directions} directions of all rows; take "
                "more rows, or fewer clusters or directions",
                EnhancementWarning,
                stacklevel=5,
            )

    def _n_directions(self, moments: Moments) -> int:
        most = min(moments.n_features, max(moments.n_rows - 1, 0))
        if self.n_directions is None:
            return min(default_n_directions(moments.n_features), moments.n_features - 1, most)
        if self.n_directions > most:
            raise ValueError(
                f"n_directions={self.n_directions} of n_samples={moments.n_rows} with {moments.n_features} features: "
                f"at most {most}"
            )
        return int(self.n_directions)

    def _min_cluster_size(self, n_directions: int) -> int:
        if self.min_cluster_size is None:
            return max(1, n_directions * (ROWS_PER_DIRECTION if self.compat is None else 1))
        return int(self.min_cluster_size)

    def _check_compat(self, sample: RowSample) -> None:
        if self.compat is not None and sample.weight is not None:
            raise ValueError(f"compat={self.compat!r} knows no sample_weight: use compat=None")
        if self.compat is not None and not sample.is_complete:
            raise ValueError(
                f"compat={self.compat!r} labels all rows, and these are {len(sample.rows)} of {sample.n_rows}: pass "
                "the rows, or RowStatistics(size=None) of them"
            )

    def _clustered(self, sample: RowSample, n_clusters: int) -> tuple[np.ndarray, np.ndarray]:
        if self.compat is None:
            return super()._clustered(sample, n_clusters)
        from scipy.cluster.vq import kmeans2

        whole_number("random_state", self.random_state, least=0)
        generator = np.random.RandomState(self.random_state)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "One of the clusters is empty")  # told with the small ones
            centers, labels = kmeans2(sample.rows, n_clusters, iter=KMEANS2_ITERATIONS, minit="points", seed=generator)
        return centers.astype(np.float64), labels

    def _treat(self, rows: np.ndarray, cluster: int) -> np.ndarray:
        rows -= self.cluster_means_[cluster].astype(rows.dtype)
        return without_directions(rows, self.cluster_directions_[cluster].astype(rows.dtype))


def default_n_directions(n_features: int) -> int:
    """A 64th of the features, at least 1."""
    return max(1, round(n_features / FEATURES_PER_DIRECTION))


def spanned_directions(centered: np.ndarray, weight: np.ndarray | None, n_directions: int) -> np.ndarray:
    """The directions of largest variance of centred rows, (n_directions, n_features); zeros beyond their rank."""
    from scipy.linalg import eigh

    directions = np.zeros((n_directions, centered.shape[1]))
    if not n_directions:
        return directions
    scaled = centered if weight is None else centered * np.sqrt(weight)[:, None]
    by_rows = len(scaled) < scaled.shape[1]  # then the products of rows are fewer, and have the same eigenvalues
    products = scaled @ scaled.T if by_rows else scaled.T @ scaled
    n = len(products)
    values, axes = eigh(products, subset_by_index=[max(n - n_directions, 0), n - 1])
    spanned = values[::-1] > centered.shape[1] * np.finfo(np.float64).eps * np.trace(products)
    axes = axes[:, ::-1][:, spanned]
    if by_rows:
        axes = np.linalg.qr(scaled.T @ axes)[0]
    directions[: axes.shape[1]] = axes.T
    return directions
