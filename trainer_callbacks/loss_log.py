"""LossLog: the parts of a loss in the training log, means over passes and processes since the last entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from isotropy_metrics.processes import world_size

if TYPE_CHECKING:
    from transformers import TrainerState


class LossLog:
    """Notes the task's loss and a term of every forward pass, without waiting for the device.

    Args:
        name: of the term, its key in the log.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._noted: list[torch.Tensor] = []

    def note(self, task_loss: torch.Tensor, term: torch.Tensor) -> None:
        """Remember two scalars."""
        self._noted.append(torch.stack([task_loss.detach().float(), term.detach().float()]))

    def add_to(self, logs: dict[str, float] | None, state: TrainerState, weight: float) -> None:
        """Add `task_loss`, the term and its weight to an entry of the training log; other entries are left alone.

        The Trainer has copied the entry to `log_history` before its callbacks see it, so it is added there too. Every
        process must call it.
        """
        if logs is None or not {"loss", "learning_rate"} <= set(logs) or not self._noted:
            return
        means = torch.stack(self._noted).mean(0)
        self._noted = []
        if world_size() > 1:
            torch.distributed.all_reduce(means)
            means /= world_size()
        task_loss, term = means.tolist()
        values = {"task_loss": task_loss, self.name: term, f"{self.name}_weight": weight}
        logs |= values
        state.log_history[-1] |= values

    def forget(self) -> None:
        """Begin anew."""
        self._noted = []
