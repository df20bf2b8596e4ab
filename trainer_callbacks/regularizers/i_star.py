"""IStar: 1 − IsoScore* of the states, the loss of I-STAR."""

from __future__ import annotations

import torch

from trainer_callbacks.regularizers.regularization_term import RegularizationTerm

REFERENCES = ("epoch", "ema", "identity")


class IStar(RegularizationTerm):
    """One minus IsoScore* of the states: how far they are from isotropic (Rudman & Eickhoff 2024).

    With S the covariance of the rows (divisor n − 1), ζ = `shrinkage` and C₀ a reference covariance,

        Σ = (1 − ζ) S + ζ C₀,    IsoScore* = (tr(Σ)²/‖Σ‖² − 1) / (d − 1),    term = 1 − IsoScore*

    which equals the authors' seven steps on the singular values of Σ, value and gradient, without a decomposition. C₀
    steadies the value where a batch has fewer rows than features: the S of n rows of an isotropic Gaussian has an
    IsoScore of n/(n + d), not 1.

    Sign of the weight: above 0 training pushes the states toward isotropy, below 0 away from it. The paper reports
    gains from the second. Its code has ζ = 0.2 and weight 0.25 by default, and weight −5 in the script it ships; it
    takes token states of all layers but the embedding layer.

    C₀ is one of
        "epoch"      what `set_reference` was last given, as the authors do at the begin of every epoch with states of
                     the model in eval mode; until then the identity
        "ema"        moving average of the joint covariances of the batches of training, without gradient, the present
                     one included; until then the identity
        "identity"   the identity
        a tensor     this covariance, (d, d)
    It is a buffer: `state_dict` has it, so a resumed run goes on with it.

    With `scale_matched` C₀ is brought to the trace of S. The gradient goes through that trace, so the term does not
    change when all rows are multiplied by a number, and ζ means the same at any size of the states. As published
    (`scale_matched=False`) C₀ is taken as it is: rows of small variance then read as isotropic, and the term can be
    lowered by shrinking the states.

    What it does not tell: whether the states serve the task, or how far from the origin they lie. With a ζ that is not
    small the value is largely that of C₀.

    Paper: https://arxiv.org/abs/2305.19358

    Args:
        shrinkage: ζ, from 0 to 1; at 1 the term is constant.
        reference: where C₀ comes from, see above.
        momentum: with "ema", what C₀ keeps of itself at a batch, from 0 up to 1. 0.9 averages about ten batches (a
            choice of this package).
        scale_matched: bring C₀ to the trace of S; False as published.
        union: the rows of all layers are one cloud, as published; else the term is the mean over the layers, and the
            reference may have one covariance for each, (n_layers, d, d).

    Attributes:
        reference: "epoch", "ema", "identity" or "given".
        c0: C₀, (d, d) or (n_clouds, d, d); empty for the identity.

    Raises:
        ValueError: an argument is outside its range; when called, C₀ does not fit the states, or they have one
            feature.

    Example:
        >>> import torch
        >>> rows = torch.diag(torch.tensor([3.0, 3.0, 0.0]))
        >>> rows = torch.cat([rows, -rows])    # two directions of three: IsoScore (2 − 1)/(3 − 1)
        >>> round(IStar(shrinkage=0.0)(rows).item(), 4), round(IStar()(rows).item(), 4)
        (0.5, 0.3636)
    """

    layers = "all"

    def __init__(
        self,
        shrinkage: float = 0.2,
        reference: str | torch.Tensor = "epoch",
        momentum: float = 0.9,
        scale_matched: bool = True,
        union: bool = True,
    ) -> None:
        super().__init__()
        if not 0 <= shrinkage <= 1:
            raise ValueError(f"shrinkage must be from 0 to 1, got {shrinkage}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be from 0 up to 1, got {momentum}")
        if isinstance(reference, str) and reference not in REFERENCES:
            raise ValueError(f"reference must be one of {', '.join(REFERENCES)} or a covariance, got {reference!r}")
        self.shrinkage = shrinkage
        self.momentum = momentum
        self.scale_matched = scale_matched
        self.union = union
        self.register_buffer("c0", torch.empty(0))
        self.reference = reference if isinstance(reference, str) else "given"
        if self.reference == "given":
            self.c0 = _checked_covariance(reference)

    def set_reference(self, covariance: torch.Tensor) -> None:
        """Shrink to this covariance from now on.

        Args:
            covariance: (d, d), of the states of the model in eval mode, all layers together; with `union=False` also
                (n_layers, d, d).

        Raises:
            ValueError: it is no covariance, or the reference of this term is not "epoch".
        """
        if self.reference != "epoch":
            raise ValueError(f"set_reference goes with reference='epoch', this one is {self.reference!r}")
        self.c0 = _checked_covariance(covariance)

    def of_layers(self, *passes: list[torch.Tensor]) -> torch.Tensor:
        """The term of the rows of several layers, as one cloud or as the mean over them."""
        (layers,) = passes
        clouds = [torch.cat(layers)] if self.union else layers
        covariances = torch.stack([self._covariance(rows) for rows in clouds])
        if self.reference == "ema" and self.training and torch.is_grad_enabled() and self.joint.starts_batch:
            self._follow(covariances.detach())
        pairs = zip(covariances, self._c0_of(covariances), strict=True)
        return torch.stack([self._of_covariances(covariance, c0) for covariance, c0 in pairs]).mean()

    def _covariance(self, rows: torch.Tensor) -> torch.Tensor:
        """Of the whole batch; zero for fewer than two rows."""
        count, _, scatter = self.joint_moments(rows)
        return scatter / (count - 1).clamp(min=1)

    def _of_covariances(self, covariance: torch.Tensor, c0: torch.Tensor) -> torch.Tensor:
        trace = covariance.trace()
        if trace == 0:  # no two different rows
            return trace * 0.0
        if self.scale_matched:
            c0 = c0 * (trace / c0.trace())
        mixed = (1 - self.shrinkage) * covariance + self.shrinkage * c0
        dimensions_used = 1 / (mixed / mixed.trace()).square().sum()  # squares of variances would overflow sooner
        return 1 - (dimensions_used - 1) / (len(mixed) - 1)

    def _follow(self, covariances: torch.Tensor) -> None:
        """Move C₀ toward the covariances of this batch."""
        if not covariances.any():
            return
        if self.c0.numel() == 0:
            self.c0 = covariances
        else:
            self.c0 = self.momentum * self._c0_of(covariances) + (1 - self.momentum) * covariances

    def _c0_of(self, covariances: torch.Tensor) -> torch.Tensor:
        """C₀ for each of the covariances (n_clouds, d, d), where and as they are."""
        n_clouds, d, _ = covariances.shape
        if d == 1:
            raise ValueError("IStar needs states of at least 2 features: one feature has no isotropy")
        if self.c0.numel() == 0:
            return torch.eye(d, dtype=covariances.dtype, device=covariances.device).expand(n_clouds, d, d)
        if self.c0.shape not in {(d, d), (1, d, d), (n_clouds, d, d)}:
            raise ValueError(
                f"the reference covariance has shape {tuple(self.c0.shape)}, the states give {n_clouds} of shape "
                f"{(d, d)}"
            )
        return self.c0.to(covariances).expand(n_clouds, d, d)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        saved = state_dict.get(f"{prefix}c0")
        if saved is not None:  # its shape is known only now
            self.c0 = torch.empty_like(saved, device=self.c0.device)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _checked_covariance(covariance: torch.Tensor) -> torch.Tensor:
    """The covariance without gradient, in its dtype if that is float64, else in float32."""
    covariance = torch.as_tensor(covariance).detach()
    covariance = covariance.clone() if covariance.dtype == torch.float64 else covariance.float()
    if covariance.ndim not in (2, 3) or covariance.shape[-1] != covariance.shape[-2]:
        raise ValueError(f"a reference covariance has shape (d, d), got {tuple(covariance.shape)}")
    traces = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    asymmetry = (covariance - covariance.mT).abs().amax(dim=(-2, -1))
    if not (torch.isfinite(covariance).all() and (traces > 0).all() and (asymmetry <= 1e-3 * traces).all()):
        raise ValueError("a reference covariance is symmetric and finite, with a trace above 0")
    return covariance
