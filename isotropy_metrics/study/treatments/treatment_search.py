"""The number of clusters and of directions of each treatment that score best on the development texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.treatments.treatment import TREATMENTS, Treatment, fitting_statistics

CLUSTERS = (3, 9, 20, 27)
DIRECTIONS = (1, 3, 6, 12, 20, 30)
"""What is tried; the paper's authors searched both from 5 to 30."""

ROWS_PER_CLUSTER = 300
"""On average; fewer clusters are tried where fewer tokens would be in each."""


def search_treatments(case: StudyCase, checkpoint: str) -> tuple[list[Treatment], list[dict[str, Any]]]:
    """For one checkpoint the best of each treatment, and a row for all that was tried, with its development score.

    A number that the settings name is not searched. Of equal scores the smaller numbers win. k-means has the first
    seed.
    """
    settings, task = case.settings, case.task
    fitting, dev = case.fitting_spaces[checkpoint], case.dev_spaces[checkpoint]
    statistics = fitting_statistics(fitting.rows, settings.seed)
    best, tried = [], []
    for treatment in TREATMENTS:
        treatment = replace(treatment, compat=settings.compat)
        scores = {}
        for candidate in _candidates(treatment, case, *fitting.rows.shape):
            treated = candidate.apply(statistics, fitting.rows, dev.rows, settings.seed)
            texts, known = dev.pool(treated.rows), fitting.pool(treated.fitting_rows)
            scores[candidate] = task.score(task.predict(task.dev, texts, case.fitting, known), task.dev.labels)
        chosen = max(scores, key=lambda each: -np.inf if np.isnan(scores[each]) else scores[each], default=treatment)
        best.append(chosen)
        tried += [
            {
                "checkpoint": checkpoint,
                "treatment": candidate.name,
                "n_clusters": candidate.n_clusters,
                "n_directions": candidate.n_directions,
                "development_score": score,
                "chosen": candidate == chosen,
            }
            for candidate, score in scores.items()
        ]
    return best, tried


def _candidates(treatment: Treatment, case: StudyCase, n_rows: int, n_features: int) -> list[Treatment]:
    """A treatment with each of its possible numbers; none if it has none."""
    settings = case.settings
    clusters = [k for k in CLUSTERS if k * ROWS_PER_CLUSTER <= n_rows] or [1]
    directions = [d for d in DIRECTIONS if d < min(n_features, n_rows)]
    clusters = clusters if settings.n_clusters is None else [settings.n_clusters]
    directions = directions if settings.n_directions is None else [settings.n_directions]
    if not (treatment.has_clusters or treatment.has_directions):
        return []
    pairs = [(k, d) for k in clusters for d in directions]
    return list(dict.fromkeys(treatment.with_parameters(*pair) for pair in pairs))
