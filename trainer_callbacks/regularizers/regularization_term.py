"""RegularizationTerm: what is added to the loss, a function of hidden states and their mask."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from trainer_callbacks.regularizers.joint_batch import JointBatch


class RegularizationTerm(torch.nn.Module):
    """A scalar of the rows of a batch, with gradient: call it on hidden states and their mask.

    A subclass gives `of_rows`, which computes in float32 or float64 whatever autocast says, and takes the rows of the
    other processes from `self.joint`. Fewer than two rows in the whole batch give zero, with zero gradient. Random
    numbers, if any, come from a generator of its own, so that dropout and shuffling are as they are without it.

    Attributes:
        layers: of which layers the term is usually computed: "all" is 1 to L, without the embedding output.
        pooling: what the term is usually computed of: `None` token rows, or one row per text, "mean" or "cls".
        two_passes: whether it compares two forward passes of one batch, which differ by dropout; `of_rows` then takes
            the rows of both.
        joint: the `JointBatch` that knows the other processes and micro-batches.
    """

    layers: str | int = -1
    pooling: str | None = None
    two_passes = False

    def __init__(self) -> None:
        super().__init__()
        self.joint = JointBatch()

    @property
    def name(self) -> str:
        """The class name in snake case, as in `i_star`: the term's key in logs."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(self).__name__).lower()

    def forward(
        self,
        states: torch.Tensor | Sequence[torch.Tensor],
        mask: torch.Tensor | None = None,
        second: torch.Tensor | Sequence[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """The term of the states of one layer, or the mean over the layers of several.

        Args:
            states: (batch, length, n_features) with a mask, or rows (n_rows, n_features); or a sequence of such.
            mask: (batch, length), nonzero where a token counts; None for rows.
            second: states of the second pass, where the term needs `two_passes`.

        Returns:
            A scalar in float32, or float64 if the states are.

        Raises:
            ValueError: states and mask do not fit together, or a second pass is missing or of no use.
        """
        if self.two_passes != (second is not None):
            name = type(self).__name__
            raise ValueError(f"{name} {'needs' if self.two_passes else 'has no use for'} the states of a second pass")
        passes = [
            [each] if isinstance(each, torch.Tensor) else list(each) for each in (states, second) if each is not None
        ]
        with torch.autocast(device_type=passes[0][0].device.type, enabled=False):
            return self.of_layers(*([rows_of(layer, mask) for layer in layers] for layers in passes))

    def of_layers(self, *passes: list[torch.Tensor]) -> torch.Tensor:
        """The term of the rows of several layers, of one pass or of two."""
        return torch.stack([self.of_rows(*rows) for rows in zip(*passes, strict=True)]).mean()

    def of_rows(self, rows: torch.Tensor, *second: torch.Tensor) -> torch.Tensor:
        """The term of rows (n_rows, n_features) in float32 or float64."""
        raise NotImplementedError

    def joint_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """The rows of the whole batch, (n_rows_of_all, n_features)."""
        return torch.cat([part for (part,) in self.joint.gather(rows)])

    def joint_moments(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Count, mean (n_features,) and scatter (n_features, n_features) about the mean, of the whole batch.

        The scatter of a feature that varies no more than rounding is zero, and has no gradient.
        """
        count = rows.new_tensor([len(rows)])
        mean = rows.sum(0) / max(len(rows), 1)
        centered = rows - mean
        parts = self.joint.gather(count, mean, centered.T @ centered)
        counts, means, scatters = (torch.stack(column) for column in zip(*parts, strict=True))
        total = counts.sum().clamp(min=1)
        joint_mean = (counts * means).sum(0) / total
        apart = means - joint_mean
        scatter = scatters.sum(0) + (counts * apart).T @ apart
        # of a feature that never varies, the rounding of its mean leaves a scatter whose correlations are noise
        rounding = counts.sum() * (8 * torch.finfo(rows.dtype).eps * joint_mean.detach()) ** 2
        constant = scatter.diagonal() <= rounding
        return counts.sum(), joint_mean, scatter.masked_fill(constant | constant[:, None], 0)


def rows_of(states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """The rows that count, (n_rows, n_features), in float32 or float64."""
    if states.dtype != torch.float64:
        states = states.float()
    if mask is None:
        if states.ndim != 2:
            raise ValueError(
                f"states of shape {tuple(states.shape)} need a mask of their tokens; without one pass rows "
                "(n_rows, n_features)"
            )
        return states
    if states.ndim != 3 or mask.shape != states.shape[:2]:
        raise ValueError(
            f"a mask (batch, length) goes with states (batch, length, n_features), got {tuple(mask.shape)} and "
            f"{tuple(states.shape)}"
        )
    return states[mask.bool()]
