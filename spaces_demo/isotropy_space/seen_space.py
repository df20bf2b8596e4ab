"""SeenSpace: the measures and the views of one space that stand beside those of another, from one pass over it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isotropy_metrics import MEASURES, Moments, PairSample, RowSample, measure, statistics_for, update_statistics
from isotropy_metrics.measures import find_measures
from isotropy_metrics.views import (
    CosineHistogram,
    PrincipalProjection,
    VarianceSpectrum,
    cosine_histogram,
    principal_projection,
    variance_spectrum,
)

SHOWN = (
    "isoscore",
    "average_cosine_similarity",
    "effective_rank",
    "participation_ratio",
    "partition_isotropy",
    "hubness",
    "uniformity",
    "outlier_dimensions",
)
"""Measures that answer soon."""

MOST_ROWS = 5000
"""That the measures of single rows are of, drawn at random."""


@dataclass(frozen=True, eq=False)
class SeenSpace:
    """What is shown of a space.

    Attributes:
        moments: of all rows.
        values: of the measures, as `measure` gives them.
        cosines, spectrum, projection: its views.
    """

    moments: Moments
    values: dict[str, float]
    cosines: CosineHistogram
    spectrum: VarianceSpectrum
    projection: PrincipalProjection

    @classmethod
    def of(cls, rows: np.ndarray, sample: RowSample, seed: int = 0) -> SeenSpace:
        """Of rows (n_samples, n_features).

        Args:
            rows: all of them.
            sample: of them, for the measures that need single rows.
            seed: of the pairs in the histogram.

        Raises:
            ValueError: see `measure`.
        """
        of_all = [each for each in find_measures(SHOWN) if each.needs is not RowSample]
        statistics = statistics_for(of_all)
        update_statistics(statistics, rows)
        moments = next(each for each in statistics if isinstance(each, Moments))
        return cls(
            moments=moments,
            values=measure([*statistics, sample], SHOWN),
            cosines=cosine_histogram(rows, seed=seed),
            spectrum=variance_spectrum(moments),
            projection=principal_projection(rows),
        )


def same_rows_of(first: np.ndarray, second: np.ndarray, seed: int = 0) -> tuple[np.ndarray, PairSample]:
    """At most `MOST_ROWS` rows of two spaces, the same of both, drawn as `measure` draws them; and which they are.

    Each of its `spaces` finds the neighbours of its rows once, for the measures and for what is compared.
    """
    drawn = RowSample(size=MOST_ROWS, seed=seed)
    drawn.update(first)
    pairs = PairSample(size=None)
    pairs.update(first[drawn.positions], second[drawn.positions])
    return drawn.positions, pairs


def notes_of_sample(n_rows: int, *others: str) -> list[str]:
    """Which of the measures, and what else, are of some of the rows only, in a sentence; none if they are of all."""
    if n_rows <= MOST_ROWS:
        return []
    sampled = ", ".join([*(name for name in SHOWN if MEASURES[name].needs is RowSample), *others])
    return [f"{sampled} are of {MOST_ROWS:,} of the {n_rows:,} rows, drawn at random."]
