"""BuresIsotropy: the distance of the directions of the states from those of an isotropic space."""

from __future__ import annotations

import torch

from trainer_callbacks.regularizers.regularization_term import RegularizationTerm
from trainer_callbacks.regularizers.unit_rows import unit_rows


class BuresIsotropy(RegularizationTerm):
    """Squared Wasserstein distance of the directions of the states from an isotropic Gaussian (Ji et al. 2023).

    With μ and Σ mean and covariance (divisor n) of the rows divided by their length, zero rows left out, λ the
    eigenvalues of Σ,

        term = W₂²(N(μ, Σ), N(0, I/d)) = ‖μ‖² + 1 + tr(Σ) − (2/√d) tr(Σ^½) = 2 − (2/√d) Σ√λ

    (the last step since ‖μ‖² + tr(Σ) = 1 for rows of length 1). 0 is isotropic, 2 is a single direction. √λ has no
    gradient at 0; λ/√(λ + ε) stands for it, which is 0 there with the gradient 1/√ε, and √λ where λ is well above ε.
    The eigenvalues are those of the smaller of the two Gram matrices, of rows or of features, if the batch is whole,
    and of the features if it is joined of parts.

    Sign of the weight: above 0 training spreads the directions evenly around the origin, below 0 it draws them into
    one. The authors add it as it is to the task loss of the first of two stages, for token states with those of
    padding; here padding is left out.

    What it does not tell: whether an offset from the origin or unequal variances made the value, and anything of the
    lengths of the states. n rows cannot fill more than n − 1 directions: for fewer rows than features the least value
    is 2 − 2√((n − 1)/d).

    Paper: https://aclanthology.org/2023.findings-emnlp.545

    Args:
        eps: ε, above 0; the eigenvalues of an isotropic space are 1/d.

    Raises:
        ValueError: `eps` is not above 0.

    Example:
        >>> import torch
        >>> rows = torch.tensor([[2.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [0.0, -1.0]])
        >>> round(BuresIsotropy()(rows).item(), 4), round(BuresIsotropy()(rows + 1).item(), 4)
        (0.0, 1.0239)
    """

    def __init__(self, eps: float = 1e-6) -> None:
        super().__init__()
        if not eps > 0:
            raise ValueError(f"eps must be above 0, got {eps}")
        self.eps = eps

    def of_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """The squared distance of the directions of rows (n_rows, n_features)."""
        directions = unit_rows(rows)
        n, gram = self._centered_gram(directions[directions.detach().any(dim=1)])
        if n < 2:
            return gram.sum() * 0.0
        if not torch.isfinite(gram).all():  # eigvalsh would raise, and end a run that skips such a step
            return gram.sum()
        eigenvalues = torch.linalg.eigvalsh(gram / n).clamp(min=0)
        roots = eigenvalues / (eigenvalues + self.eps).sqrt()
        return 2 - 2 / rows.shape[1] ** 0.5 * roots.sum()

    def _centered_gram(self, directions: torch.Tensor) -> tuple[int | torch.Tensor, torch.Tensor]:
        """How many rows the batch has, and the Gram matrix about their mean, of the rows or of the features."""
        n, d = directions.shape
        if self.joint.is_alone and 0 < n < d:
            centered = directions - directions.mean(0)
            return n, centered @ centered.T
        count, _, scatter = self.joint_moments(directions)
        return count, scatter
