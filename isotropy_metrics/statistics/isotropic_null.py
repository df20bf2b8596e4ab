"""The statistic that isotropic Gaussian rows would have left, of the same number, width and ids."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.statistics.class_moments import ClassMoments
from isotropy_metrics.statistics.row_sample import RowSample
from isotropy_metrics.statistics.unit_sums import UnitSums

BLOCK_ROWS = 8192

NULL = 0x6E756C6C
"""Keeps the draw apart from rows that a user drew with the same seed."""


def isotropic_null(
    statistic: UnitSums | ClassMoments | RowSample, seed: int = 0
) -> UnitSums | ClassMoments | RowSample:
    """A statistic of the same kind, of as many rows drawn from N(0, s² I) with the same ids and weights.

    Of `RowSample` those rows are replaced that the sample holds, s² d is their total variance, and rows that were
    equal are equal again. The measures of moments do not see the scale: s = 1. Weights of `Moments` are not known row
    by row any more: their null has the effective number of rows (Kish) with weight 1; that of `ClassMoments` as many
    rows of each class.
    """
    generator = np.random.default_rng([seed, NULL])
    d = statistic.n_features
    if isinstance(statistic, RowSample):
        null = statistic.subset(np.arange(len(statistic.rows)))
        first, copy_of = statistic.distinct()
        scale = np.sqrt(np.mean(statistic.rows.var(axis=0)))
        null.rows[:] = scale * generator.standard_normal((len(first), d))[copy_of]
        return null
    null = type(statistic)()
    if isinstance(statistic, ClassMoments):
        labels = np.repeat(statistic.classes, statistic.n_rows_of_class.astype(int))
        for start in range(0, len(labels), BLOCK_ROWS):
            block = labels[start : start + BLOCK_ROWS]
            null.update(generator.standard_normal((len(block), d), dtype=np.float32), references=block)
        return null
    left = max(round(statistic.effective_n_rows), 2)
    while left:
        null.update(generator.standard_normal((min(left, BLOCK_ROWS), d), dtype=np.float32))
        left -= min(left, BLOCK_ROWS)
    return null
