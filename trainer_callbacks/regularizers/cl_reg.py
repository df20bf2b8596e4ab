"""CLReg: two dropout passes of one text are alike, those of different texts are not."""

from __future__ import annotations

import torch

from trainer_callbacks.regularizers.regularization_term import RegularizationTerm
from trainer_callbacks.regularizers.unit_rows import unit_rows


class CLReg(RegularizationTerm):
    """Contrast of two dropout passes: each row must find its own second view among those of the whole batch.

    With h⁺ the row that a second forward pass of the same text gives, which differs by dropout alone, and N the texts
    of the whole batch, over all processes and recorded micro-batches,

        CLReg = −1/N Σᵢ log( exp(cos(hᵢ, hᵢ⁺)/τ) / Σⱼ exp(cos(hᵢ, hⱼ⁺)/τ) )

    which is the loss of unsupervised SimCSE. A positive weight spreads the directions of the texts of a batch, the
    more so of those that are close; Zhang et al. add 1.7 of it to the cross entropy of BERT (2.9 for RoBERTa) with
    τ = 0.05, on the [CLS] states of the last layer. 0 is the least, and log N the value of rows that are all alike:
    values of batches of different sizes do not compare, and neither do their weights.

    What it does not tell: the isotropy of the space, which it moves but does not measure. Texts that mean the same are
    pushed apart as well, equal ones too. Without dropout h⁺ = h, and only the spreading is left. A row of zero has
    cosine 0 to all.

    Paper: Zhang et al. 2022, Fine-tuning Pre-trained Language Models for Few-shot Intent Detection: Supervised
    Pre-training and Isotropization, https://aclanthology.org/2022.naacl-main.39/; the formula is that of its code.

    Args:
        temperature: τ, above 0; the smaller, the more the nearest other text counts.

    Raises:
        ValueError: temperature is not above 0; or, in a call, the passes are not of the same texts.

    Example:
        >>> import torch
        >>> first = torch.eye(3)
        >>> round(CLReg()(first, second=first + 0.1).item(), 4)
        0.0
        >>> alike = torch.ones(3, 8)
        >>> round(CLReg()(alike, second=alike).item(), 4)  # log 3
        1.0986
    """

    pooling = "cls"
    two_passes = True

    def __init__(self, temperature: float = 0.05) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        self.temperature = temperature

    def of_rows(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """The contrast of rows (n_rows, n_features) and the rows of the second pass."""
        if first.shape != second.shape:
            raise ValueError(
                f"both passes must be of the same texts, got rows {tuple(first.shape)} and {tuple(second.shape)}"
            )
        first, second = (torch.cat(rows) for rows in zip(*self.joint.gather(first, second), strict=True))
        if len(first) < 2:
            return 0 * (first.sum() + second.sum())
        cosines = unit_rows(first) @ unit_rows(second).T
        own = torch.arange(len(first), device=first.device)
        return torch.nn.functional.cross_entropy(cosines / self.temperature, own)
