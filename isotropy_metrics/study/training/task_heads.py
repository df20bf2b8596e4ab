"""Heads: what stands on the pooled texts while an encoder is fine-tuned, by kind of task."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import nn

from isotropy_metrics.study.tasks import Task


class SimilarityHead(nn.Module):
    """The cosine of two texts, regressed on the score scaled to [0, 1]."""

    objective: ClassVar[str] = "mean squared error of the cosine of mean-pooled texts to the score scaled to [0, 1]"

    def __init__(self, task: Task, n_features: int) -> None:
        super().__init__()
        scores = task.train.labels
        self.least, self.span = float(scores.min()), float(np.ptp(scores)) or 1.0

    def targets(self, labels: np.ndarray) -> list[float]:
        """What is trained for, per item."""
        return ((labels - self.least) / self.span).tolist()

    def labels(self, targets: np.ndarray) -> np.ndarray:
        """What `targets` came from."""
        return targets * self.span + self.least

    def forward(self, pooled: list[torch.Tensor]) -> torch.Tensor:
        """One number per pair."""
        return nn.functional.cosine_similarity(*pooled)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean squared error."""
        return nn.functional.mse_loss(logits, targets.to(logits.dtype))

    def predictions(self, logits: np.ndarray) -> np.ndarray:
        """As the task scores them."""
        return logits


class ClassificationHead(nn.Module):
    """A linear layer on the text, trained by cross-entropy."""

    objective: ClassVar[str] = "cross-entropy of a linear layer on the mean-pooled text"
    n_blocks: ClassVar[int] = 1

    def __init__(self, task: Task, n_features: int) -> None:
        super().__init__()
        self.classes = np.array(task.classes)
        self.linear = nn.Linear(self.n_blocks * n_features, len(self.classes))

    def targets(self, labels: np.ndarray) -> list[int]:
        """What is trained for, per item."""
        return np.searchsorted(self.classes, labels).tolist()

    def labels(self, targets: np.ndarray) -> np.ndarray:
        """What `targets` came from."""
        return self.classes[targets]

    def forward(self, pooled: list[torch.Tensor]) -> torch.Tensor:
        """One number per item and class."""
        return self.linear(torch.cat(self.features(pooled), dim=-1))

    def features(self, pooled: list[torch.Tensor]) -> list[torch.Tensor]:
        """What the layer sees."""
        return pooled

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross-entropy."""
        return nn.functional.cross_entropy(logits, targets)

    def predictions(self, logits: np.ndarray) -> np.ndarray:
        """As the task scores them."""
        return self.classes[logits.argmax(axis=1)]


class PairClassificationHead(ClassificationHead):
    """A linear layer on both texts and their difference, as in SBERT, trained by cross-entropy."""

    objective: ClassVar[str] = "cross-entropy of a linear layer on u, v and |u − v| of the mean-pooled texts u and v"
    n_blocks: ClassVar[int] = 3

    def features(self, pooled: list[torch.Tensor]) -> list[torch.Tensor]:
        """What the layer sees."""
        first, second = pooled
        return [first, second, (first - second).abs()]


HEADS = {
    "similarity": SimilarityHead,
    "classification": ClassificationHead,
    "pair-classification": PairClassificationHead,
}


def head_of(task: Task) -> type[nn.Module]:
    """The class of the head for a kind of task.

    Raises:
        ValueError: a kind that nothing can be trained on.
    """
    if task.kind not in HEADS:
        raise ValueError(
            f"a {task.kind} task has nothing to fine-tune on: name the second checkpoint with finetuned (--finetuned)"
        )
    return HEADS[task.kind]
