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


def spearman(
    similarities: np.ndarray, scores: np.ndarray, seed: int = 0, compared_with: np.ndarray | None = None
) -> dict[str, float]:
    """Spearman's rank correlation in percent, with a bootstrap interval over the pairs.

    Args:
        similarities: of the pairs, (n_pairs,).
        scores: people's, (n_pairs,).
        seed: of the resamples.
        compared_with: other similarities of the same pairs, (n_pairs,).

    Returns:
        `spearman`, `spearman_low`, `spearman_high`, and with `compared_with` the difference from its correlation:
        `gain`, `gain_low`, `gain_high`, resampled pairwise. The limits are percentiles of 1000 resamples, 95 %.
    """
    from scipy.stats import rankdata

    def correlation(x: np.ndarray, y: np.ndarray) -> float:
        if np.ptp(x) == 0 or np.ptp(y) == 0:
            return float("nan")
        return 100 * float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])

    candidates = [similarities] if compared_with is None else [similarities, compared_with]
    rng = np.random.default_rng(seed)
    resampled = []
    for _ in range(N_RESAMPLES):
        draw = rng.integers(len(scores), size=len(scores))
        if all(np.ptp(each[draw]) > 0 for each in (scores, *candidates)):
            resampled.append([correlation(candidate[draw], scores[draw]) for candidate in candidates])
    values, resampled = (
        [correlation(candidate, scores) for candidate in candidates],
        np.array(resampled).reshape(-1, len(candidates)),
    )
    result = _with_limits("spearman", values[0], resampled[:, 0])
    if compared_with is not None:
        result |= _with_limits("gain", values[0] - values[1], resampled[:, 0] - resampled[:, 1])
    return result


def _with_limits(name: str, value: float, resampled: np.ndarray) -> dict[str, float]:
    low, high = np.percentile(resampled, [50 - 50 * LEVEL, 50 + 50 * LEVEL]) if len(resampled) else (np.nan, np.nan)
    return {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}
