"""Classification: texts with a class each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from isotropy_metrics.study.data.labelled_texts import LabelledTexts
from isotropy_metrics.study.tasks.probe import check_probe, describe_probe, probe_predictions


@dataclass(frozen=True)
class Classification:
    """The accuracy, times 100, of a probe that is fitted on frozen embeddings of training texts."""

    train: LabelledTexts
    test: LabelledTexts
    dev: LabelledTexts | None = None
    probe: str = "logistic"
    seed: int = 0

    kind: ClassVar[str] = "classification"
    score_name: ClassVar[str] = "accuracy × 100"
    has_interval: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_probe(self.probe)

    @property
    def classes(self) -> list[str]:
        """All there are, in alphabetical order."""
        return sorted(set(self.train.labels) | set(self.test.labels))

    def features(self, part: LabelledTexts, embeddings: np.ndarray) -> np.ndarray:
        """A row per item from one embedding per text: what the probe sees."""
        return embeddings

    def predict(
        self, part: LabelledTexts, embeddings: np.ndarray, fitting: LabelledTexts, fitting_embeddings: np.ndarray
    ) -> np.ndarray:
        """The class that the probe gives each item."""
        known, asked = self.features(fitting, fitting_embeddings), self.features(part, embeddings)
        return probe_predictions(self.probe, known, fitting.labels, asked, self.seed)

    def score(self, predictions: np.ndarray, labels: np.ndarray) -> float:
        """Accuracy × 100."""
        return 100 * float(np.mean(predictions == labels))

    def sample(self, most_train: int | None, most_test: int | None, seed: int) -> Classification:
        """The task with at most so many items to train on, and in each of the other splits."""
        train, test = self.train.sample(most_train, seed), self.test.sample(most_test, seed)
        return replace(self, train=train, test=test, dev=self.dev and self.dev.sample(most_test, seed))

    def protocol(self) -> dict[str, object]:
        """How the score is computed."""
        labels, counts = np.unique(self.test.labels, return_counts=True)
        share = 100 * counts.max() / counts.sum()
        return {
            "score": f"accuracy × 100 of a probe: {describe_probe(self.probe)}",
            "n_classes": len(self.classes),
            "largest_class": f"{labels[counts.argmax()]}, {share:.1f} % of the held-out items",
        }
