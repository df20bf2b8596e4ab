"""The task score of a semantic textual similarity set: Spearman's rank correlation, with its interval."""

from __future__ import annotations

import numpy as np

N_RESAMPLES = 1000
LEVEL = 0.95


def cosine_similarities(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of each row of `first` with the same row of `second`; 0 where one of them is zero."""
    products = np.einsum("ij,ij->i", first, second)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.divide(products, lengths, out=np.zeros(len(products)), where=lengths > 0)


def spearman(similarities: np.ndarray, scores: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Spearman's rank correlation in percent, with a bootstrap interval over the pairs.

    Returns:
        `spearman`, `spearman_low` and `spearman_high` (percentiles of 1000 resamples, 95 %). One seed draws the same
        pairs for every model, so that intervals of differences can be paired.
    """
    from scipy.stats import rankdata

    def correlation(x: np.ndarray, y: np.ndarray) -> float:
        return 100 * float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])

    draws = np.random.default_rng(seed).integers(len(scores), size=(N_RESAMPLES, len(scores)))
    resampled = [correlation(similarities[draw], scores[draw]) for draw in draws if np.ptp(scores[draw]) > 0]
    low, high = np.percentile(resampled, [50 - 50 * LEVEL, 50 + 50 * LEVEL])
    return {
        "spearman": correlation(similarities, scores),
        "spearman_low": float(low),
        "spearman_high": float(high),
    }
