"""ClusterEnhancement: what enhancements share that treat a row as its cluster asks: k-means, and nearest centres."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from isotropy_metrics.arrays import squared_norms
from isotropy_metrics.enhancement._enhancement import Enhancement
from isotropy_metrics.enhancement._fitting_rows import EnhancementWarning
from isotropy_metrics.statistics import RowSample, RowStatistics
from isotropy_metrics.whole_number import whole_number

DEFAULT_CLUSTERS = 27
"""What Rajaee & Pilehvar (2021) chose for BERT and RoBERTa."""

ROWS_PER_CLUSTER = 300
"""Hämmerl et al. (2023) take one cluster per so many rows."""

N_STARTS, START_ROWS = 4, 10_000
"""k-means starts so often on about so many rows, and goes on with all from the best: one start often ends badly."""

SQUARABLE = 1e-14, 1e14
"""Between these, sums of squares keep their digits in float32."""

BLOCK_ROWS = 1024
"""Rows that are treated while they are in the processor's cache."""


class ClusterEnhancement(Enhancement):
    """Rows go to the nearest of `cluster_centers_`, and each cluster treats its own; see `_treat`.

    A kind of it has the parameters `n_clusters`, `random_state` and `sample_size`.
    """

    MINDS_CLUSTERS = False

    @property
    def NEEDS_SAMPLE(self) -> bool:
        """One cluster is solved from the moments of all rows, more of them from a sample."""
        return self.n_clusters != 1

    def check_parameters(self, n_features: int) -> int:
        if self.n_clusters is not None:
            whole_number("n_clusters", self.n_clusters, least=1)
        return n_features

    def _new_statistics(self) -> RowStatistics:
        whole_number("random_state", self.random_state, least=0)
        return RowStatistics(self.sample_size, int(self.random_state))

    def _centers_and_labels(self, statistics: RowStatistics) -> tuple[np.ndarray, np.ndarray]:
        """The centres (k, n_features) in float64, and which of them each sampled row belongs to."""
        sample = statistics.sample
        n_clusters = n_clusters_of(self.n_clusters, sample.n_rows and len(sample.rows), statistics.n_rows)
        if n_clusters == 1:
            n_sampled = len(sample.rows) if sample.n_rows else 0
            return statistics.moments.mean[None].copy(), np.zeros(n_sampled, dtype=np.intp)
        return self._clustered(sample, n_clusters)

    def _clustered(self, sample: RowSample, n_clusters: int) -> tuple[np.ndarray, np.ndarray]:
        return k_means(sample, n_clusters, int(self.random_state))

    def _transform(self, rows: np.ndarray) -> np.ndarray:
        return self._treated(rows, nearest_center(rows, self.cluster_centers_, self.mean_))

    def _treated(self, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Rows after the treatment of the clusters that they are labelled with."""
        enhanced = np.empty_like(rows)
        for cluster, members in enumerate(members_of_each(labels, len(self.cluster_centers_))):
            for start in range(0, len(members), BLOCK_ROWS):
                part = members[start : start + BLOCK_ROWS]
                treated = self._treat(rows[part], cluster)
                enhanced[part] = treated
                if not np.isfinite(treated.sum()) and not np.isfinite(treated).all():
                    squared_norms(rows)
                    raise ValueError(f"rows of cluster {cluster} overflow {rows.dtype}: pass them as float64")
        return enhanced

    def _treat(self, rows: np.ndarray, cluster: int) -> np.ndarray:
        """Rows of one cluster, treated; they may be overwritten."""
        raise NotImplementedError


def n_clusters_of(n_clusters: int | None, n_sampled: int, n_rows: int) -> int:
    """The number asked for; or 27, fewer where that would leave less than 300 rows to a cluster."""
    if n_clusters is None:
        return int(np.clip(n_sampled // ROWS_PER_CLUSTER, 1, DEFAULT_CLUSTERS))
    if n_clusters > 1 and n_clusters > n_sampled:
        of_sample = "" if n_sampled == n_rows else f", of which {n_sampled} are sampled"
        raise ValueError(f"n_clusters={n_clusters} of n_samples={n_rows}{of_sample}: every cluster needs a row")
    return int(n_clusters)


def k_means(sample: RowSample, n_clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres in float64 and labels of the sampled rows; warns if there are fewer different rows than clusters.

    They are found once for all enhancements that are fitted on the same statistics.
    """
    centers, labels = sample.once(("k_means", n_clusters, seed), lambda: _k_means(sample, n_clusters, seed))
    n_found = len(np.unique(labels))
    if n_found < n_clusters:
        warnings.warn(
            f"k-means finds {n_found} clusters for n_clusters={n_clusters}: the {len(labels)} rows hold too few "
            "different values",
            EnhancementWarning,
            stacklevel=7,
        )
    return centers, labels


def _k_means(sample: RowSample, n_clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.cluster import KMeans, kmeans_plusplus
    from sklearn.exceptions import ConvergenceWarning

    rows, weight = sample.rows, sample.weight
    rows = rows.astype(_squarable_dtype(rows), copy=False)
    step = max(1, len(rows) // max(START_ROWS, ROWS_PER_CLUSTER * n_clusters))
    some, some_weight = rows[::step], None if weight is None else weight[::step]

    def start(X: np.ndarray, n_clusters: int, random_state: np.random.RandomState) -> np.ndarray:
        """k-means++ of float64 rows: of float32 rows it makes such a copy for every centre."""
        X = X.astype(np.float64, copy=False)
        centers, _ = kmeans_plusplus(X, n_clusters, sample_weight=some_weight, random_state=random_state)
        return centers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer clusters than asked for, which k_means tells
        model = KMeans(n_clusters, init=start, n_init=N_STARTS, random_state=seed).fit(some, sample_weight=some_weight)
        if step > 1:
            model = KMeans(n_clusters, init=model.cluster_centers_, n_init=1).fit(rows, sample_weight=weight)
    return model.cluster_centers_.astype(np.float64), model.labels_


def nearest_center(rows: np.ndarray, centers: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Index of the centre nearest to each row by Euclidean distance, (len(rows),).

    Rows and centres are compared less `shift`, a point among them: far from the origin float32 products would lose the
    digits that tell the centres apart.
    """
    nearest = np.zeros(len(rows), dtype=np.intp)
    if len(centers) == 1:
        return nearest
    centers = centers - shift
    dtype = np.result_type(rows.dtype, _squarable_dtype(centers.astype(rows.dtype)))
    centers, shift = centers.astype(dtype), shift.astype(dtype)
    half_squares = np.einsum("ij,ij->i", centers, centers) / 2
    workspace = np.empty((min(BLOCK_ROWS, len(rows)), rows.shape[1]), dtype)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        products = np.subtract(block, shift, out=workspace[: len(block)]) @ centers.T
        np.argmax(np.subtract(products, half_squares, out=products), axis=1, out=nearest[start : start + len(block)])
    return nearest


def _squarable_dtype(values: np.ndarray) -> np.dtype:
    """Their own, or float64 where sums of float32 squares would overflow or vanish."""
    largest = max(values.max(), -values.min())
    return values.dtype if SQUARABLE[0] < largest < SQUARABLE[1] else np.dtype(np.float64)


def members_of_each(labels: np.ndarray, n_clusters: int) -> Iterator[np.ndarray]:
    """The rows of each cluster, as indices in their order."""
    order = np.argsort(labels, kind="stable")
    yield from np.split(order, np.searchsorted(labels, np.arange(1, n_clusters), sorter=order))


def rows_and_weight(sample: RowSample, members: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Some of the sampled rows in float64, and their weights if there are any."""
    return sample.rows[members].astype(np.float64), None if sample.weight is None else sample.weight[members]
