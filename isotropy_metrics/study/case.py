"""StudyCase: all that an experiment may look at: two checkpoints, a task, the token vectors, and the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from isotropy_metrics.measures import Measure
from isotropy_metrics.study.spaces.checkpoint import AFTER, BEFORE, Checkpoint
from isotropy_metrics.study.spaces.token_space import TokenSpace, token_space
from isotropy_metrics.study.tasks import Task
from isotropy_metrics.whole_number import whole_number

N_FITTING_ITEMS = 1000

LEAST = {"seed": 0, "n_seeds": 1, "n_clusters": 1, "n_directions": 0, "sample_size": 100}
"""The smallest of each number that a user may choose."""


@dataclass(frozen=True)
class StudySettings:
    """What the user chose; see `run_study` for what each means.

    Raises:
        ValueError: a number out of range, or a measure that token vectors do not suffice for.
    """

    measures: tuple[Measure, ...]
    layers: str | tuple[int, ...] = "all"
    sample_size: int = 10_000
    seed: int = 0
    n_seeds: int = 5
    n_clusters: int | None = None
    n_directions: int | None = None
    search: bool = False
    compat: str | None = None
    structures: Path | None = None
    senses: Path | None = None
    frequencies: str = "en"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name), least)
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold must lie between 0 and 1, got {self.threshold}")
        if not self.layers:
            raise ValueError("no layer named")
        for each in self.measures:
            if each.ids:
                raise ValueError(f"{each.name} needs {each.ids[0]}, which the study's token vectors do not have")


@dataclass(eq=False)
class StudyCase:
    """Two checkpoints, a task and the settings; token vectors are computed when first asked for, and kept.

    Attributes:
        before: the first checkpoint.
        after: the second one; None until it is fine-tuned.
        task: the labelled texts, and how embeddings of them are scored.
        settings: what the user chose.
        max_length: tokens per text for both checkpoints.
        training: the log of the fine-tuning, entries as in `trainer.state.log_history`; empty if there is none.
        progress: show progress bars.
    """

    before: Checkpoint
    after: Checkpoint | None
    task: Task
    settings: StudySettings
    max_length: int
    training: list[dict[str, Any]] = field(default_factory=list)
    progress: bool = False

    @property
    def checkpoints(self) -> dict[str, Checkpoint]:
        """By "before" and "after"."""
        return {BEFORE: self.before, AFTER: self.after}

    @cached_property
    def spaces(self) -> dict[str, TokenSpace]:
        """By checkpoint, the token vectors of the held-out texts in all chosen layers, ready for all measures."""
        texts, layers, measures = self.task.test.texts, self.settings.layers, self.settings.measures
        return {name: self.space(name, texts, layers, measures) for name in self.checkpoints}

    @cached_property
    def fitting(self) -> Any:
        """The part of the training texts that treatments, principal directions and probes are fitted on."""
        return self.task.train.sample(N_FITTING_ITEMS, self.settings.seed)

    @cached_property
    def fitting_spaces(self) -> dict[str, TokenSpace]:
        """By checkpoint, the token vectors of `fitting.texts` in the highest chosen layer."""
        return {name: self.space(name, self.fitting.texts, [self.layer]) for name in self.checkpoints}

    @cached_property
    def dev_spaces(self) -> dict[str, TokenSpace]:
        """By checkpoint, the token vectors of the development texts in the highest chosen layer."""
        return {name: self.space(name, self.task.dev.texts, [self.layer]) for name in self.checkpoints}

    @property
    def layer(self) -> int:
        """The highest chosen layer, whose rows are treated and scored."""
        return self.spaces[BEFORE].layer

    def space(
        self,
        checkpoint: str,
        texts: Sequence[str],
        layers: str | Sequence[int] = "all",
        measures: Sequence[Measure] = (),
    ) -> TokenSpace:
        """The token vectors of any texts: `checkpoint` is "before" or "after"."""
        return token_space(
            self.checkpoints[checkpoint],
            texts,
            measures,
            layers=layers,
            max_length=self.max_length,
            sample_size=self.settings.sample_size,
            seed=self.settings.seed,
            progress=self.progress,
        )
