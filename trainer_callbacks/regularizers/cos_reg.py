"""CosReg: the mean cosine between the states of a batch."""

from __future__ import annotations

import torch

from trainer_callbacks.regularizers.regularization_term import RegularizationTerm
from trainer_callbacks.regularizers.unit_rows import unit_rows


class CosReg(RegularizationTerm):
    """Mean cosine between the states: how far they point one way (Gao et al. 2019; the baseline in I-STAR).

    With x̂ = x/‖x‖, over the n rows of the batch that are not zero,

        term = (Σᵢⱼ cos(xᵢ, xⱼ) − n) / n² = (‖Σ x̂‖² − n) / n²

    in one pass over the rows. `unbiased=True` divides by n(n − 1), which makes it the mean over pairs of different
    rows, `average_cosine_similarity`; the two differ by the factor (n − 1)/n.

    Sign of the weight: above 0 training spreads the directions until they cancel out (the term ends at −1/n or
    above), below 0 it gathers them in a cone. Gao et al. have it for the rows of the output embedding matrix; I-STAR
    compares with it on the token states of the last layer.

    What it does not tell: isotropy. Unit rows whose mean is zero have the least value, however anisotropic they are,
    so a shift of all states away from their mean satisfies it.

    Paper: https://arxiv.org/abs/1907.12009

    Args:
        unbiased: divide by n(n − 1) in place of n².

    Example:
        >>> import torch
        >>> rows = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
        >>> round(CosReg()(rows).item(), 4), round(CosReg(unbiased=True)(rows).item(), 4)
        (0.3143, 0.4714)
    """

    def __init__(self, unbiased: bool = False) -> None:
        super().__init__()
        self.unbiased = unbiased

    def of_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """The mean cosine of rows (n_rows, n_features)."""
        directions = unit_rows(rows)
        count = directions.detach().any(dim=1).sum(dtype=rows.dtype)
        parts = self.joint.gather(count[None], directions.sum(0))
        n, total = (torch.stack(column).sum(0) for column in zip(*parts, strict=True))
        if n < 2:
            return total.sum() * 0.0
        return ((total @ total - n) / (n * (n - 1) if self.unbiased else n**2)).squeeze()
