"""The task score of one set of embeddings, with its interval, and its gain over another."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.study.resampling import N_RESAMPLES, with_limits
from isotropy_metrics.study.tasks.task import Task


def score_with_interval(
    task: Task, predictions: np.ndarray, labels: np.ndarray, seed: int = 0, compared_with: np.ndarray | None = None
) -> dict[str, float]:
    """The score of the predictions, with a bootstrap interval over the items.

    Args:
        task: its `score` is used.
        predictions, labels: of the items, (n_items,); for a custom score the embeddings, (n_texts, n_features).
        seed: of the resamples.
        compared_with: other predictions of the same items.

    Returns:
        `score`, `score_low`, `score_high`, and with `compared_with` the difference from its score: `gain`, `gain_low`,
        `gain_high`, resampled item by item for both. The limits are percentiles of 1000 resamples, 95 %; NaN if the
        task's score has no interval.
    """
    candidates = [predictions] if compared_with is None else [predictions, compared_with]
    rng = np.random.default_rng(seed)
    n_resamples = N_RESAMPLES if task.has_interval else 0
    draws = rng.integers(len(labels), size=(n_resamples, len(labels)))
    resampled = np.stack([resampled_scores(task, each, labels, draws) for each in candidates], axis=1)
    resampled = resampled[np.isfinite(resampled).all(axis=1)]
    values = [task.score(each, labels) for each in candidates]
    result = with_limits("score", values[0], resampled[:, 0])
    if compared_with is not None:
        result |= with_limits("gain", values[0] - values[1], resampled[:, 0] - resampled[:, 1])
    return result


def resampled_scores(task: Task, predictions: np.ndarray, labels: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """The score of each row of item numbers in `draws`, (n_resamples,): by the task, if it knows a faster way."""
    if len(draws) and hasattr(task, "resampled_scores"):
        return task.resampled_scores(predictions, labels, draws)
    return np.array([task.score(predictions[draw], labels[draw]) for draw in draws])
