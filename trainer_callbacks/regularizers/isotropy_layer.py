"""IsotropyLayer: a feed-forward layer between encoder and classifier whose output is made isotropic."""

from __future__ import annotations

from collections.abc import Callable

import torch


class IsotropyLayer(torch.nn.Linear):
    """One feed-forward layer, n_features to n_features, that hands its output of a training step to a `JointLoss`.

    It goes where the rows are one per text, in front of the classifier:

        model.classifier = torch.nn.Sequential(IsotropyLayer(model.config.hidden_size), model.classifier)

    It starts as the identity, so that a trained classifier behind it finds what it was trained on, and draws no random
    numbers. Output is kept in training mode only, with gradient, and only until it is taken or the next forward pass.

    What it does not tell: how Attieh et al. 2023 start the layer, and what activation follows it; their paper was not
    at hand (https://doi.org/10.1007/978-3-031-41734-4_8).

    Args:
        n_features: the width of the rows.
        activation: what follows the affine map, such as `torch.nn.Tanh()`; None for nothing.

    Example:
        >>> import torch
        >>> layer = IsotropyLayer(2)
        >>> layer(torch.tensor([[1.0, 2.0]])).tolist()
        [[1.0, 2.0]]
        >>> layer.take_output().shape, layer.take_output()
        (torch.Size([1, 2]), None)
    """

    def __init__(self, n_features: int, activation: Callable[[torch.Tensor], torch.Tensor] | None = None) -> None:
        super().__init__(n_features, n_features)
        self.activation = activation
        self._output: torch.Tensor | None = None

    def reset_parameters(self) -> None:
        """Make it the identity."""
        torch.nn.init.eye_(self.weight)
        torch.nn.init.zeros_(self.bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """The states of the same shape, (..., n_features), that the classifier sees."""
        output = super().forward(states)
        if self.activation is not None:
            output = self.activation(output)
        self._output = output if self.training and torch.is_grad_enabled() else None
        return output

    def take_output(self) -> torch.Tensor | None:
        """The output of the latest forward pass, once; None if it was none of training."""
        output, self._output = self._output, None
        return output
