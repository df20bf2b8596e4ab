"""PairClassification: pairs of texts with a class each, as in entailment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from isotropy_metrics.study.data.text_pairs import TextPairs
from isotropy_metrics.study.tasks.classification import Classification


@dataclass(frozen=True)
class PairClassification(Classification):
    """As `Classification`, of the embeddings u and v of two texts: the probe sees [u, v, |u − v|, u · v]."""

    train: TextPairs
    test: TextPairs
    dev: TextPairs | None = None

    kind: ClassVar[str] = "pair-classification"

    def features(self, part: TextPairs, embeddings: np.ndarray) -> np.ndarray:
        """A row per pair, (n_pairs, 4 · n_features)."""
        first, second = embeddings[: len(part)], embeddings[len(part) :]
        return np.hstack([first, second, np.abs(first - second), first * second])

    def protocol(self) -> dict[str, object]:
        """How the score is computed."""
        facts = super().protocol()
        return facts | {"score": f"{facts['score']}; features u, v, |u − v| and u · v of the two texts"}
