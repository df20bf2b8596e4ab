"""The rows that contestants are given."""

from __future__ import annotations

import numpy as np

from benchmarks.contest import Size

OFFSET = "mean 5 σ from the origin"
CLUSTERS = "50 clusters"
N_CLUSTERS = 50


def rows_of(size: Size) -> np.ndarray:
    """Gaussian float32 rows, the same ones every time; of the kind that the size names."""
    X = np.random.default_rng(0).standard_normal(size[:2], dtype=np.float32)
    if size.kind == OFFSET:
        X += np.float32(5)
    if size.kind == CLUSTERS:  # three times as far apart as they are wide
        centres = 3 * np.random.default_rng(1).standard_normal((N_CLUSTERS, size.features), dtype=np.float32)
        X += centres[np.arange(size.rows) % N_CLUSTERS]
    return X
