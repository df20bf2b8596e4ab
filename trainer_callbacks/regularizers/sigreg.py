"""SIGReg: the rows become an isotropic standard Gaussian along random directions."""

from __future__ import annotations

import torch

from trainer_callbacks.regularizers.regularization_term import RegularizationTerm


class SIGReg(RegularizationTerm):
    """Distance of the rows from N(0, I): the Epps-Pulley statistic, averaged over random directions.

    With unit vectors a drawn at random, n rows in the whole batch, and φ(t) = exp(−t²/2), the characteristic function
    of N(0, 1),

        T(a) = n ∫ |1/n Σⱼ exp(i t aᵀxⱼ) − φ(t)|² φ(t) dt    over −t_max ≤ t ≤ t_max
        SIGReg = mean of T(a) over the directions

    with the integral by the trapezoidal rule. A positive weight pulls the rows to mean 0, variance 1 in every
    direction, no correlation, and Gaussian tails. It sets the scale too: rows of length 1, as of many sentence
    encoders, have variances of 1/d and are far from it, and where |aᵀx| is far above 1 the gradient is weak. Rows of
    N(0, I) have about 1.06, however many, and not 0. Away from it the value grows like n: weights do not compare
    between batches of different sizes.

    What it does not tell: deviations that random directions do not see, such as a few odd ones among hundreds. In many
    dimensions most projections of any cloud without large directions look Gaussian.

    The directions are new at each step and the same for all layers, processes and recorded micro-batches of it. They
    follow from `seed` and the buffer `step`, which is part of the `state_dict`, so that a resumed run goes on alike.
    It counts the batches in training mode with gradient: recorded micro-batches are one batch, counted when the first
    is replayed. In `eval()` mode it stands still.

    This is Algorithm 1 of the paper as its transcriptions in public repositories agree on it: 256 directions, 17
    points from −5 to 5, weight φ. The paper itself was not at hand. The authors' code (rbalestr-lab/lejepa, a74fcb9)
    differs in the numbers: it has 33 points from −3 to 3, which is `SIGReg(1024, t_max=3, n_points=33)` with the 1024
    directions of its README. In LeJEPA the weight is λ and that of the task 1 − λ, with λ from 0.01 to 0.1.

    Paper: Balestriero and LeCun 2025, LeJEPA: Provable and Scalable Self-Supervised Learning Without the Heuristics,
    https://arxiv.org/abs/2511.08544.

    Args:
        n_directions: the directions of a step.
        t_max: where the integral ends.
        n_points: the points of the trapezoidal rule on [−t_max, t_max], odd.
        seed: of the directions.

    Raises:
        ValueError: n_directions below 1, t_max not above 0, or n_points even or below 3.

    Example:
        >>> import torch
        >>> rows = torch.randn(1000, 20, generator=torch.Generator().manual_seed(0))
        >>> round(SIGReg()(rows).item(), 2)
        0.99
        >>> round(SIGReg()(3 * rows).item(), 2)
        567.02
    """

    pooling = "mean"

    def __init__(self, n_directions: int = 256, t_max: float = 5.0, n_points: int = 17, seed: int = 0) -> None:
        super().__init__()
        if n_directions < 1 or not t_max > 0 or n_points < 3 or n_points % 2 == 0:
            raise ValueError(
                "n_directions must be at least 1, t_max above 0 and n_points odd and at least 3, got "
                f"{n_directions}, {t_max} and {n_points}"
            )
        self.n_directions, self.t_max, self.n_points, self.seed = n_directions, t_max, n_points, seed
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def of_layers(self, *passes: list[torch.Tensor]) -> torch.Tensor:
        """The mean over layers, along the same directions."""
        if self.training and torch.is_grad_enabled() and self.joint.starts_batch:
            self.step += 1
        return super().of_layers(*passes)

    def of_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """The distance of rows (n_rows, n_features)."""
        points, weights, target = (each.to(rows) for each in self._integral())
        angles = (rows @ self._directions(rows.shape[1]).to(rows))[..., None] * points
        parts = self.joint.gather(rows.new_tensor([len(rows)]), angles.cos().sum(dim=0), angles.sin().sum(dim=0))
        n, cosines, sines = (torch.stack(sums).sum(dim=0) for sums in zip(*parts, strict=True))
        if n < 2:
            return 0 * rows.sum()
        error = (cosines / n - target).square() + (sines / n).square()
        return (n * (error @ weights)).mean()

    def _directions(self, n_features: int) -> torch.Tensor:
        """Unit vectors (n_features, n_directions), drawn on the CPU, so that they are the same on every device."""
        step = int(self.step) + (self.training and self.joint.is_recording)  # of the replay that follows
        generator = torch.Generator().manual_seed(self.seed + step)
        directions = torch.randn(n_features, self.n_directions, generator=generator, dtype=torch.float64)
        return directions / torch.linalg.vector_norm(directions, dim=0)

    def _integral(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Points, weights and φ for t ≥ 0: what is integrated is even in t, so each stands for two but t = 0."""
        points = torch.linspace(0, self.t_max, self.n_points // 2 + 1, dtype=torch.float64)
        target = torch.exp(-points.square() / 2)
        weights = torch.full_like(points, 2 * float(points[1]))
        weights[[0, -1]] /= 2
        return points, weights * target, target
