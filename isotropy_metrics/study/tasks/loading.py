"""A task from the data that a user names."""

from __future__ import annotations

from collections.abc import Sequence

from isotropy_metrics.study.tasks.similarity import Similarity
from isotropy_metrics.study.tasks.task import Task
from isotropy_metrics.study.text_pairs import STSB, load_pairs, stsb_pairs


def load_task(
    dataset: str = STSB, columns: Sequence[str] = ("sentence1", "sentence2", "score"), seed: int = 0
) -> Task:
    """The task, with its splits; see `load_pairs`."""
    train, test = load_pairs(dataset, columns, seed)
    return Similarity(train, test, stsb_pairs("dev") if dataset == STSB else None)
