"""Task and TaskPart: what an experiment may ask of labelled texts."""

from __future__ import annotations

import hashlib
import json
from typing import Protocol

import numpy as np

OWN = "own "
"""How the name begins of a task that was made in Python."""


class TaskPart(Protocol):
    """The items of one split.

    Attributes:
        texts: all texts; an item has one of them or two, see the kind of task.
        labels: (n_items,), the score of each item, of float, or its class, of str.
        groups: (n_items,), of str, the language or other group of each item; None if the data have none.
        text_groups: (n_texts,), the same for each of `texts`.
    """

    texts: list[str]
    labels: np.ndarray
    groups: np.ndarray | None
    text_groups: np.ndarray | None

    def __len__(self) -> int:
        """Number of items."""

    def sample(self, most: int | None, seed: int) -> TaskPart:
        """At most so many items, drawn without replacement, in their order."""


class Task(Protocol):
    """Labelled texts in splits, and a score of their embeddings.

    Attributes:
        kind: "similarity", "classification", "pair-classification" or "custom".
        score_name: what tables and figures call the score, as in "Spearman × 100".
        has_interval: whether the score of resampled items has a meaning; else its limits are NaN.
        train, test: the items to fit on, and those held out.
        dev: for searches; None if there is none.
    """

    kind: str
    score_name: str
    has_interval: bool
    train: TaskPart
    dev: TaskPart | None
    test: TaskPart

    def predict(
        self, part: TaskPart, embeddings: np.ndarray, fitting: TaskPart, fitting_embeddings: np.ndarray
    ) -> np.ndarray:
        """A prediction per item of `part`, from one embedding per text of it, (n_texts, n_features).

        A probe is fitted on `fitting` with its embeddings; kinds that need none leave these alone.
        """

    def score(self, predictions: np.ndarray, labels: np.ndarray) -> float:
        """How good these predictions are; NaN where it is not defined."""

    def sample(self, most_train: int | None, most_test: int | None, seed: int) -> Task:
        """The task with at most so many items to train on, and in each of the other splits."""

    def protocol(self) -> dict[str, object]:
        """How the score is computed, for the report."""


def task_name(task: str | Task) -> str:
    """What the results keep of the argument `task`: a name as it is; of a task its kind and a digest of its data.

    Raises:
        ValueError: it is neither, such as a function that scores.
    """
    if isinstance(task, str):
        return task
    if not hasattr(task, "kind"):
        raise ValueError(f"task must be a name or a task such as Custom.of(score, texts), got {type(task).__name__}")
    return f"{OWN}{task.kind} {data_digest(task)}"


def data_digest(task: Task) -> str:
    """Twelve hexadecimal digits that differ between tasks of other texts, labels or groups."""
    digest = hashlib.sha256()
    for part in (task.train, task.test, task.dev):
        content = part and [part.texts, part.labels.tolist(), None if part.groups is None else part.groups.tolist()]
        digest.update(json.dumps(content).encode())
    return digest.hexdigest()[:12]
