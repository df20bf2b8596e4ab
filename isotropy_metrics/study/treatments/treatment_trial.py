"""TreatmentTrial: what one treatment makes of one checkpoint: predictions and isotropy, seed after seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isotropy_metrics.measures import measure
from isotropy_metrics.statistics import Moments, RowSample
from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.resampling import resampled_counts
from isotropy_metrics.study.spaces.token_space import TokenSpace
from isotropy_metrics.study.tasks import Task
from isotropy_metrics.study.tasks.scoring import resampled_scores, score_with_interval
from isotropy_metrics.study.treatments.partition_function import resampled_isotropy
from isotropy_metrics.study.treatments.treatment import Treatment, fitting_statistics

LOG_ISOTROPY = "partition_isotropy_log10"
MEASURES = ("partition_isotropy", "isoscore", "average_cosine_similarity")
VALUES = ("partition_isotropy", LOG_ISOTROPY, "isoscore", "average_cosine_similarity")


@dataclass(eq=False)
class TreatmentTrial:
    """One treatment of one checkpoint.

    Attributes:
        rows: by seed, k, d, score and isotropy.
        predictions: by seed, of the held-out items.
        resampled: by seed, log10 I(W) of resampled texts, (n_resamples,).
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[np.ndarray] = field(default_factory=list)
    resampled: list[np.ndarray] = field(default_factory=list)

    def mean(self, key: str) -> float:
        """Of a column of `rows`, over the seeds."""
        return float(np.mean([row[key] for row in self.rows]))

    @property
    def resampled_isotropy(self) -> np.ndarray:
        """Mean of log10 I(W) over the seeds, for each resample of texts.

        I(W) compares extremes, which noise drives apart: resamples lie below the value. They are moved so that their
        mean is the value, as in the intervals of the measures.
        """
        resampled = np.mean(self.resampled, axis=0)
        return resampled - resampled.mean() + self.mean(LOG_ISOTROPY)

    def score(self, task: Task, seed: int, compared_with: TreatmentTrial | None) -> dict[str, float]:
        """The mean score over the seeds and its gain, with intervals over the items; see `score_with_interval`."""
        of_seeds = np.stack(self.predictions, axis=1)
        reference = None if compared_with is None else np.stack(compared_with.predictions, axis=1)
        return score_with_interval(_MeanOverSeeds(task), of_seeds, task.test.labels, seed, reference)


def try_treatments(case: StudyCase, checkpoint: str, treatments: Sequence[Treatment]) -> dict[str, TreatmentTrial]:
    """All treatments of one checkpoint by name; those that draw, with every seed."""
    settings, task = case.settings, case.task
    space, fitting = case.spaces[checkpoint], case.fitting_spaces[checkpoint]
    texts = np.unique(space.text_index[space.sampled], return_inverse=True)[1]
    counts = resampled_counts(int(texts.max()) + 1, settings.seed)
    trials = {each.name: TreatmentTrial() for each in treatments}
    for seed in range(settings.seed, settings.seed + settings.n_seeds):
        statistics = fitting_statistics(fitting.rows, seed)
        for treatment in treatments:
            if seed > settings.seed and not treatment.has_clusters:
                continue
            treated = treatment.apply(statistics, fitting.rows, space.rows, seed)
            texts_before, texts_asked = fitting.pool(treated.fitting_rows), space.pool(treated.rows)
            predictions = task.predict(task.test, texts_asked, case.fitting, texts_before)
            row = {
                "checkpoint": checkpoint,
                "treatment": treatment.name,
                "seed": seed if treatment.has_clusters else None,
                "n_clusters": treated.n_clusters,
                "n_directions": treated.n_directions,
                "score": task.score(predictions, task.test.labels),
            }
            trial = trials[treatment.name]
            trial.rows.append(row | isotropy_of_treated(space, treated.rows))
            trial.predictions.append(predictions)
            trial.resampled.append(resampled_isotropy(treated.rows[space.sampled], texts, counts))
    return trials


def isotropy_of_treated(space: TokenSpace, treated: np.ndarray) -> dict[str, float]:
    """I(W) of the sampled tokens, IsoScore and average cosine of all, once they are treated."""
    moments, sample = Moments(), RowSample(size=None)
    moments.update(treated)
    sample.update(treated[space.sampled])
    values = measure([moments, sample], MEASURES)
    return {key: values[key] for key in VALUES}


@dataclass(frozen=True)
class _MeanOverSeeds:
    """A task that scores the predictions of several seeds, (n_items, n_seeds), by the mean of their scores."""

    task: Task

    @property
    def has_interval(self) -> bool:
        return self.task.has_interval

    def score(self, predictions: np.ndarray, labels: np.ndarray) -> float:
        return float(np.mean([self.task.score(each, labels) for each in np.moveaxis(predictions, 1, 0)]))

    def resampled_scores(self, predictions: np.ndarray, labels: np.ndarray, draws: np.ndarray) -> np.ndarray:
        of_seeds = [resampled_scores(self.task, each, labels, draws) for each in np.moveaxis(predictions, 1, 0)]
        return np.mean(of_seeds, axis=0)
