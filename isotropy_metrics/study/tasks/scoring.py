"""The task score of one set of embeddings, with its interval, and its gain over another."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.study.tasks.task import Task

N_RESAMPLES = 1000
LEVEL = 0.95


def score_with_interval(
    task: Task, predictions: np.ndarray, labels: np.ndarray, seed: int = 0, compared_with: np.ndarray | None = None
) -> dict[str, float]:
    """The score of the predictions, with a bootstrap interval over the items.

    Args:
        task: its `score` is used.
        predictions, labels: of the items, (n_items,).
        seed: of the resamples.
        compared_with: other predictions of the same items.

    Returns:
        `score`, `score_low`, `score_high`, and with `compared_with` the difference from its score: `gain`, `gain_low`,
        `gain_high`, resampled item by item for both. The limits are percentiles of 1000 resamples, 95 %.
    """
    candidates = [predictions] if compared_with is None else [predictions, compared_with]
    rng = np.random.default_rng(seed)
    draws = (rng.integers(len(labels), size=len(labels)) for _ in range(N_RESAMPLES))
    resampled = np.array([[task.score(each[draw], labels[draw]) for each in candidates] for draw in draws])
    resampled = resampled[np.isfinite(resampled).all(axis=1)]
    values = [task.score(each, labels) for each in candidates]
    result = _with_limits("score", values[0], resampled[:, 0])
    if compared_with is not None:
        result |= _with_limits("gain", values[0] - values[1], resampled[:, 0] - resampled[:, 1])
    return result


def _with_limits(name: str, value: float, resampled: np.ndarray) -> dict[str, float]:
    low, high = np.percentile(resampled, [50 - 50 * LEVEL, 50 + 50 * LEVEL]) if len(resampled) else (np.nan, np.nan)
    return {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}
