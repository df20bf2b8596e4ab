"""Similarity: pairs of texts with a score of their similarity, as in the STS benchmark."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from isotropy_metrics.study.data.text_pairs import TextPairs
from isotropy_metrics.study.tasks.resampled_spearman import resampled_spearman


@dataclass(frozen=True)
class Similarity:
    """Spearman's rank correlation of the cosine of two embeddings with people's score, times 100."""

    train: TextPairs
    test: TextPairs
    dev: TextPairs | None = None

    kind: ClassVar[str] = "similarity"
    score_name: ClassVar[str] = "Spearman × 100"
    has_interval: ClassVar[bool] = True

    def predict(
        self, part: TextPairs, embeddings: np.ndarray, fitting: TextPairs, fitting_embeddings: np.ndarray
    ) -> np.ndarray:
        """The cosine of each pair; nothing is fitted."""
        return cosine_similarities(embeddings[: len(part)], embeddings[len(part) :])

    def score(self, predictions: np.ndarray, labels: np.ndarray) -> float:
        """Spearman × 100; NaN if predictions or labels are all the same."""
        from scipy.stats import rankdata

        if np.ptp(predictions) == 0 or np.ptp(labels) == 0:
            return float("nan")
        return 100 * float(np.corrcoef(rankdata(predictions), rankdata(labels))[0, 1])

    def resampled_scores(self, predictions: np.ndarray, labels: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """The score of every resample at once; see `resampled_scores`."""
        return 100 * resampled_spearman(predictions, labels, draws)

    def sample(self, most_train: int | None, most_test: int | None, seed: int) -> Similarity:
        """The task with at most so many pairs to train on, and in each of the other splits."""
        dev = self.dev and self.dev.sample(most_test, seed)
        return replace(
            self, train=self.train.sample(most_train, seed), dev=dev, test=self.test.sample(most_test, seed)
        )

    def protocol(self) -> dict[str, object]:
        """How the score is computed."""
        return {"score": "Spearman's rank correlation × 100 of the cosine of the two mean-pooled texts"}


def cosine_similarities(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of each row of `first` with the same row of `second`; 0 where one of them is zero."""
    products = np.einsum("ij,ij->i", first, second)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.divide(products, lengths, out=np.zeros(len(products)), where=lengths > 0)
