"""Rows that many tests measure, and the ids that go with them."""

from __future__ import annotations

import numpy as np


def gaussian(n, variances, seed=0):
    """n Gaussian rows with these variances."""
    return np.random.default_rng(seed).normal(size=(n, len(variances))) * np.sqrt(variances)


def ids_for(measured, n, start=0):
    """The ids that a measure cannot do without, of n rows from start on: 3 classes, 25 words, sentences of 6 rows."""
    row = np.arange(start, start + n)
    of_rows = {"references": row % 3, "words": row % 25, "sentences": row // 6}
    return {name: of_rows[name] for name in measured.ids}


def golden_cloud():
    """X[i, j] = sin(0.7 (i + 1) (j + 1)^1.3) (j + 1)^-0.5 + 0.3, (240, 24): no random numbers."""
    i, j = np.arange(1, 241)[:, None], np.arange(1, 25)
    return np.sin(0.7 * i * j**1.3) * j**-0.5 + 0.3


CLOUDS = {
    "isotropic": gaussian(120, np.ones(8)),
    "offset": gaussian(120, np.ones(8)) + np.arange(8) / 4,
    "anisotropic": gaussian(120, 1 / np.arange(1, 9)),
    "outlier dimension": gaussian(120, [1, 1, 100, 1, 1, 1]) + [0, 0, 5, 0, 0, 0],
    "duplicates": np.repeat(gaussian(20, 1 / np.arange(1, 7)), 5, axis=0),
    "zero rows": np.concatenate([np.zeros((3, 5)), gaussian(60, [3, 2, 1, 1, 1]) + 1]),
    "constant feature": np.column_stack([gaussian(90, [2, 1, 0.5]), np.full(90, 7.7)]),
    "fewer rows than features": gaussian(9, 1 / np.arange(1, 21)),
}
CLOUD = CLOUDS["anisotropic"] + 0.2
