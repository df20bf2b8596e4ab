"""TrainingStates: the hidden states of a model's forward passes while it trains, with gradient."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from isotropy_metrics.hidden_states import encoder_of, resolved_layers
from trainer_callbacks.regularizers.regularization_term import rows_of

POOLINGS = (None, "mean", "cls")


class TrainingStates:
    """Takes the rows of chosen layers out of every forward pass in training mode, by hooks on the encoder.

    The encoder is asked for its hidden states by an argument of the call; its config stays as it is, and nothing of
    them is left in the output. Passes in eval mode of the model are left alone, and all while `looks` is False.

    Args:
        model: that is trained; whether it is in training mode counts, not whether its encoder is.
        layers: numbers of the layers, negative from the end; None for all but the embedding output.
        pooling: None for the rows of all tokens that the attention mask keeps; "mean" of those, or "cls", the first.
        twice: run every pass a second time, with other dropout; the random numbers that follow are as without it.

    Attributes:
        looks: whether the passes are looked at.
    """

    _second_pass_of: ClassVar[TrainingStates | None] = None  # which no other one looks at

    def __init__(self, model: torch.nn.Module, layers: list[int] | None, pooling: str | None, twice: bool) -> None:
        self.model = model
        self.encoder = encoder_of(model)
        self.layers = layers
        self.pooling = pooling
        self.twice = twice
        self.looks = False
        self._passes: tuple[list[list[torch.Tensor]], list[list[torch.Tensor]]] = ([], [])
        self._was_asked = False
        self._handles = [
            # Of several, the first that asks is the last that takes: it leaves no states in the output.
            self.encoder.register_forward_pre_hook(self._ask, prepend=True, with_kwargs=True),
            self.encoder.register_forward_hook(self._take, with_kwargs=True),
        ]

    def pop(self) -> list[list[torch.Tensor]]:
        """The rows of each layer since the last call, of all calls of the encoder together: of one pass, or of two.

        Raises:
            RuntimeError: the encoder was not called.
        """
        first, second = self._passes
        self.forget()
        if not first:
            raise RuntimeError(
                f"the loss was computed without a call of {type(self.encoder).__name__}, or past its hooks by "
                ".forward, as in sentence-transformers: there are no hidden states"
            )
        return [[torch.cat(rows) for rows in zip(*calls, strict=True)] for calls in (first, second) if calls]

    def forget(self) -> None:
        """Drop the rows since the last call."""
        self._passes = ([], [])

    def remove(self) -> None:
        """Leave the encoder as it was."""
        for handle in self._handles:
            handle.remove()

    @torch.compiler.disable
    def _ask(
        self, encoder: torch.nn.Module, args: tuple, kwargs: dict[str, Any]
    ) -> tuple[tuple, dict[str, Any]] | None:
        if not self._is_looking:
            return None
        if self._second_pass_of is None:
            self._was_asked = bool(kwargs.get("output_hidden_states"))
        return args, kwargs | {"output_hidden_states": True, "return_dict": True}

    @torch.compiler.disable
    def _take(self, encoder: torch.nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
        if not self._is_looking:
            return None
        states = output.get("hidden_states") if isinstance(output, Mapping) else None
        if not states:
            raise RuntimeError(f"{type(encoder).__name__} does not return its hidden states: it cannot be regularised")
        passed = inspect.signature(encoder.forward).bind_partial(*args, **kwargs).arguments
        mask = passed.get("attention_mask", passed.get("kwargs", {}).get("attention_mask"))
        is_second = self._second_pass_of is self
        self._passes[is_second].append(self._rows(states, mask))
        if self.twice and not is_second:
            devices = [states[0].device] if states[0].device.type == "cuda" else []
            TrainingStates._second_pass_of = self
            try:
                with torch.random.fork_rng(devices):
                    encoder(*args, **kwargs)
            finally:
                TrainingStates._second_pass_of = None
        asked = self._was_asked or getattr(encoder.config, "output_hidden_states", False)
        return None if asked else type(output)(**{k: v for k, v in output.items() if k != "hidden_states"})

    @property
    def _is_looking(self) -> bool:
        return self.looks and self.model.training and self._second_pass_of in (None, self)

    def _rows(self, states: tuple[torch.Tensor, ...], mask: torch.Tensor | None) -> list[torch.Tensor]:
        chosen = range(1, len(states)) if self.layers is None else resolved_layers(self.layers, len(states) - 1)
        chosen = dict.fromkeys(chosen)  # each once
        mask = torch.ones(states[0].shape[:2], device=states[0].device) if mask is None else mask
        if mask.ndim != 2:
            raise ValueError(f"a regulariser needs an attention mask (batch, length), got {tuple(mask.shape)}")
        return [pooled(states[number], mask, self.pooling) for number in chosen]


def pooled(states: torch.Tensor, mask: torch.Tensor, pooling: str | None) -> torch.Tensor:
    """Rows of hidden states (batch, length, n_features): of all kept tokens, or one for each text that has any."""
    if pooling is None:
        return rows_of(states, mask)
    kept = mask.bool()
    states, kept = states[kept.any(1)], kept[kept.any(1)]
    states = states if states.dtype == torch.float64 else states.float()
    if pooling == "cls":
        return states[torch.arange(len(states), device=states.device), kept.int().argmax(1)]
    return states.masked_fill(~kept[:, :, None], 0).sum(1) / kept.sum(1, keepdim=True)
