"""Treatment: one of the ways to treat token vectors that the paper compares, with its k and d; and their list."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from isotropy_metrics.statistics import RowStatistics

if TYPE_CHECKING:
    from isotropy_metrics.enhancement._enhancement import Enhancement

BASELINE, ZERO_MEAN, CLUSTER_ZERO_MEAN = "baseline", "zero-mean", "clustering + zero-mean"
GLOBAL, CLUSTER_BASED = "global", "cluster-based"
FITTING_ROWS = 50_000
"""The largest sample that k-means sees, as `ClusterBased` has it."""


@dataclass(frozen=True)
class Treatment:
    """A kind of treatment and its parameters.

    Attributes:
        name: as in the paper.
        n_clusters: k; None for the default of the enhancement, or where there are no clusters.
        n_directions: d; the same.
        compat: "rajaee" to fit it on the very tokens that it treats, as the authors' code does.
    """

    name: str
    n_clusters: int | None = None
    n_directions: int | None = None
    compat: str | None = None

    @property
    def has_clusters(self) -> bool:
        """Whether it draws: k-means begins at random."""
        return self.name in (CLUSTER_ZERO_MEAN, CLUSTER_BASED)

    @property
    def has_directions(self) -> bool:
        """Whether it removes directions."""
        return self.name in (GLOBAL, CLUSTER_BASED)

    def with_parameters(self, n_clusters: int | None, n_directions: int | None) -> Treatment:
        """The same with another k and d, as far as it has them."""
        return replace(
            self,
            n_clusters=n_clusters if self.has_clusters else None,
            n_directions=n_directions if self.has_directions else None,
        )

    def enhancement(self, seed: int) -> Enhancement | None:
        """The object that treats rows, not yet fitted; None for the baseline."""
        from isotropy_metrics.enhancement import AllButTheTop, Centering, ClusterBased, ClusterCentering

        if self.name == BASELINE:
            return None
        if self.name == ZERO_MEAN:
            return Centering()
        if self.name == GLOBAL:
            return AllButTheTop(self.n_directions)
        if self.compat is not None:
            n_directions = self.n_directions if self.has_directions else 0
            return ClusterBased(self.n_clusters, n_directions, random_state=seed, compat=self.compat)
        if self.name == CLUSTER_ZERO_MEAN:
            return ClusterCentering(self.n_clusters, random_state=seed)
        return ClusterBased(self.n_clusters, self.n_directions, random_state=seed)

    def apply(self, fitting: RowStatistics, fitting_rows: np.ndarray, rows: np.ndarray, seed: int) -> TreatedRows:
        """Treat the held-out rows and the fitting rows.

        Args:
            fitting: statistics of `fitting_rows` with a sample of `seed`; see `fitting_statistics`.
            fitting_rows: (n, n_features), what it is fitted on unless it is compatible.
            rows: (n_rows, n_features), the held-out tokens.
            seed: of k-means.
        """
        enhancement = self.enhancement(seed)
        if enhancement is None:
            return TreatedRows(rows, fitting_rows)
        if self.compat is not None:
            treated = enhancement.fit_transform(rows)
        else:
            treated = enhancement.fit(fitting).transform(rows)
        return TreatedRows(
            treated,
            enhancement.transform(fitting_rows),
            len(enhancement.cluster_means_) if self.has_clusters else None,
            _n_directions(enhancement) if self.has_directions else None,
        )


@dataclass(frozen=True, eq=False)
class TreatedRows:
    """What a treatment made of rows, and the k and d that it had in the end.

    Attributes:
        rows: the held-out rows, treated.
        fitting_rows: the fitting rows, treated alike.
        n_clusters, n_directions: None where there are none.
    """

    rows: np.ndarray
    fitting_rows: np.ndarray
    n_clusters: int | None = None
    n_directions: int | None = None


TREATMENTS = tuple(Treatment(name) for name in (BASELINE, ZERO_MEAN, CLUSTER_ZERO_MEAN, GLOBAL, CLUSTER_BASED))
"""In the order of the paper, each with the defaults of its enhancement."""


def fitting_statistics(rows: np.ndarray, seed: int) -> RowStatistics:
    """What treatments are fitted on, once for all of the same seed."""
    statistics = RowStatistics(FITTING_ROWS, seed)
    statistics.update(rows)
    return statistics


def _n_directions(enhancement: Enhancement) -> int:
    directions = getattr(enhancement, "directions_", None)
    return enhancement.cluster_directions_.shape[1] if directions is None else len(directions)
