"""CorReg: the distance of the correlations of the features from none."""

from __future__ import annotations

import torch

from trainer_callbacks.regularizers.regularization_term import RegularizationTerm


class CorReg(RegularizationTerm):
    """Distance of the correlation matrix of the features from the identity (Zhang et al. 2022).

    With R the (d, d) correlation matrix of the rows of the batch,

        term = ‖R − I‖ = √(Σ_{i≠j} r_ij²)        (Frobenius norm; `squared=True` leaves the root out)

    A feature that never varies has no correlation: it counts as uncorrelated and has no gradient.

    Sign of the weight: above 0 training makes the features uncorrelated, below 0 it makes them copies of each other.
    The paper takes the [CLS] state of the last layer, weight 0.04 for BERT and 0.06 for RoBERTa (1.7 · CL-Reg + 0.04
    · Cor-Reg, and 2.9 · CL-Reg + 0.13 · Cor-Reg where both are added), without `normalized`.

    R of n rows has a rank of at most n − 1, so for n − 1 < d features even the least correlated rows have

        floor² = d (d/(n − 1) − 1)

    which is nearly all of the value of a usual batch. `normalized=True` returns the share of what is possible above
    it, from 0, as uncorrelated as n rows can be, to 1, where all features are copies of one:

        term² = (‖R − I‖² − floor²) / (d (d − 1) − floor²),    floor² = 0 for n > d

    Independent Gaussian features then have a term² of about 1/max(d, n − 1), so that values of batches of unequal
    sizes can be compared. It needs three rows; for two the least and the most are the same, and the term is zero. d
    counts the features that vary.

    What it does not tell: whether the variances are equal, which correlations do not see; it depends on the axes, so a
    rotation of the space changes it.

    Paper: https://arxiv.org/abs/2205.07208

    Args:
        squared: without the root; then the pull on a correlation goes to zero with it.
        normalized: the share above the floor.

    Example:
        >>> import torch
        >>> rows = torch.tensor([[1.0, 2.0], [2.0, 1.0], [3.0, 4.0], [4.0, 3.0]])    # the two correlate by 0.6
        >>> round(CorReg()(rows).item(), 4), round(CorReg(normalized=True)(rows).item(), 4)
        (0.8485, 0.6)
    """

    pooling = "cls"

    def __init__(self, squared: bool = False, normalized: bool = False) -> None:
        super().__init__()
        self.squared = squared
        self.normalized = normalized

    def of_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """The distance of the correlations of rows (n_rows, n_features) from none."""
        count, _, scatter = self.joint_moments(rows)
        variances = scatter.diagonal()
        constant = variances == 0
        over_deviation = variances.masked_fill(constant, 1).rsqrt()
        correlations = over_deviation[:, None] * scatter * over_deviation
        correlations = correlations - torch.diag_embed(correlations.diagonal())
        if self.normalized:
            term = _share_above_floor(correlations.square().sum(), count, len(constant) - constant.sum())
            return term if self.squared or term == 0 else term.sqrt()
        return correlations.square().sum() if self.squared else torch.linalg.vector_norm(correlations)


def _share_above_floor(squared: torch.Tensor, count: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
    """Where the sum of the squared correlations of d features lies between the least and the most of so many rows."""
    floor = (d * (d / (count - 1).clamp(min=1) - 1)).clamp(min=0)
    most = d * (d - 1)
    if most <= floor:
        return squared * 0.0
    return ((squared - floor) / (most - floor)).clamp(min=0)
