"""VICReg: features of enough variance that do not covary."""

from __future__ import annotations

import torch

from trainer_callbacks.regularizers.regularization_term import RegularizationTerm


class VICReg(RegularizationTerm):
    """Variance and covariance terms of VICReg: features that vary enough and do not covary (Bardes et al. 2022).

    With C the covariance of the rows of the batch (divisor n − 1), of d features,

        variance   = 1/d Σⱼ max(0, γ − √(C_jj + ε))
        covariance = 1/d Σ_{i≠j} C_ij²
        term       = variance_weight · variance + covariance_weight · covariance

    The third term of the paper, the invariance of two views of one input, is the business of the task.

    Sign of the weight: above 0 training gives every feature a standard deviation of γ or more and removes covariances,
    which keeps the space from collapse; below 0 it lets features die, and the covariances grow without bound.

    Weights of the paper are 25 and 1 for each of the two views, added up; they are the defaults here. The authors'
    code halves the variance term and not the covariance term (facebookresearch/vicreg#8, #26): a run of the code is
    `variance_weight=12.5`. Its expander gives states of some 8192 features; on hidden states, whose scale is another,
    γ and the weights want a choice of their own.

    What it does not tell: isotropy, of which it sees the axes alone: a rotation of the space changes it, and features
    may have any variance above γ². Covariances grow with the square of the scale of the states, the hinge does not.

    Paper: https://arxiv.org/abs/2105.04906

    Args:
        variance_weight: factor of the hinge on standard deviations.
        covariance_weight: factor of the covariances.
        gamma: γ, the standard deviation that is enough.
        eps: ε, above 0, which keeps the gradient of the root finite.

    Raises:
        ValueError: `eps` is not above 0.

    Example:
        >>> import torch
        >>> rows = torch.tensor([[0.5, 1.0], [-0.5, -1.0], [0.5, -1.0], [-0.5, 1.0]])    # deviations √(1/3), √(4/3)
        >>> round(VICReg()(rows).item(), 4), round(VICReg()(rows * 2).item(), 4)
        (5.282, 0.0)
        >>> round(VICReg()(torch.tensor([[2.0, 2.0], [-2.0, -2.0]])).item(), 4)    # C = 8 throughout
        64.0
    """

    pooling = "mean"

    def __init__(
        self, variance_weight: float = 25.0, covariance_weight: float = 1.0, gamma: float = 1.0, eps: float = 1e-4
    ) -> None:
        super().__init__()
        if not eps > 0:
            raise ValueError(f"eps must be above 0, got {eps}")
        self.variance_weight = variance_weight
        self.covariance_weight = covariance_weight
        self.gamma = gamma
        self.eps = eps

    def of_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """The two terms of rows (n_rows, n_features)."""
        count, _, scatter = self.joint_moments(rows)
        if count < 2:
            return scatter.sum() * 0.0
        covariance = scatter / (count - 1)
        variances = covariance.diagonal()
        hinge = torch.relu(self.gamma - (variances + self.eps).sqrt()).mean()
        off_diagonal = covariance - torch.diag_embed(variances)
        return self.variance_weight * hinge + self.covariance_weight * off_diagonal.square().sum() / len(variances)
