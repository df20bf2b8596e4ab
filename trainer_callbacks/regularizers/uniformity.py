"""Uniformity: the logarithm of the mean Gaussian potential of pairs of directions."""

from __future__ import annotations

import math

import torch

from trainer_callbacks.regularizers.regularization_term import RegularizationTerm
from trainer_callbacks.regularizers.unit_rows import unit_rows


class Uniformity(RegularizationTerm):
    """Logarithm of the mean Gaussian potential of all pairs of rows, taken as directions.

    With x̂ = x/‖x‖, over the pairs of rows of the whole batch that are not zero,

        Uniformity = log mean exp(−t ‖x̂ᵢ − x̂ⱼ‖²)    over i < j

    A positive weight spreads the directions over the sphere, the closest pairs first. The value is that of the measure
    `uniformity`: 0 for rows of one direction, about −2t for random directions in many dimensions. The paper has t = 2
    and weighs it as much as the distance of positive pairs, which is its task.

    What it does not tell: anything about lengths, or which directions are crowded. Alone it pushes apart the texts
    that belong together; the task has to hold them.

    Cost: O(n² d) and n² numbers for the n rows of the whole batch, on every process.

    Paper: Wang and Isola 2020, Understanding Contrastive Representation Learning through Alignment and Uniformity on
    the Hypersphere, https://arxiv.org/abs/2005.10242.

    Args:
        t: the sharpness of the potential, above 0.

    Raises:
        ValueError: t is not above 0 or not finite.

    Example:
        >>> import torch
        >>> round(Uniformity()(torch.tensor([[1.0, 0.0], [-3.0, 0.0]])).item(), 4)  # opposite: −4t
        -8.0
        >>> round(Uniformity()(torch.tensor([[1.0, 0.0], [3.0, 0.0]])).item(), 4)
        0.0
    """

    pooling = "mean"

    def __init__(self, t: float = 2.0) -> None:
        super().__init__()
        if not 0 < t < math.inf:
            raise ValueError(f"t must be above 0 and finite, got {t}")
        self.t = t

    def of_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """The uniformity of rows (n_rows, n_features)."""
        directions = unit_rows(self.joint_rows(rows))
        directions = directions[directions.detach().any(dim=1)]
        n = len(directions)
        if n < 2:
            return 0 * rows.sum()
        # A constant taken from all rows leaves their differences, and keeps the digits of those that are nearly alike.
        directions = directions - directions.detach().mean(dim=0)
        squares = directions.square().sum(dim=1)
        exponents = self.t * (2 * directions @ directions.T - squares[:, None] - squares)
        is_pair = torch.ones_like(exponents, dtype=torch.bool).triu(1)
        return exponents[is_pair].logsumexp(dim=0) - math.log(n * (n - 1) / 2)
