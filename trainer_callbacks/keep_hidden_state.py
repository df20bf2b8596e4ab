"""keep_hidden_state: a `preprocess_logits_for_metrics` that leaves one hidden state of what a model returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

HIDDEN_STATE = "hidden_state"
PREDICTIONS = "predictions"
POOLINGS = ("cls", None)


def keep_hidden_state(layer: int = -1, pooling: str | None = "cls") -> Callable[[Any, Any], dict[str, torch.Tensor]]:
    """Reduce outputs with hidden states to one of them, before the Trainer gathers and caches them.

    `Trainer(preprocess_logits_for_metrics=keep_hidden_state(), compute_metrics=GeometryMetrics(also=...), ...)`, of a
    model that returns its hidden states (`model.config.output_hidden_states = True`, by which the Trainer would
    otherwise hold every layer of the whole evaluation set). The predictions are then a dict: "hidden_state", the rows
    that `GeometryMetrics` takes, and "predictions", all other outputs, which its `also` gets as if nothing were kept.

    What it cannot do: it gets neither the attention mask nor the inputs, so it cannot tell padding from tokens, and
    there is no mean and no last token here: let the model pool, or take `IsotropyCallback`, which runs the model
    itself. "cls" is the first position, and that is padding if the tokenizer pads on the left. On several processes
    the Trainer pads all layers of a batch before they are reduced.

    Args:
        layer: 0 = embedding output, 1 to L, negative from the end.
        pooling: "cls" for the first token of each text; None for token states (n, length, n_features), of which
            `GeometryMetrics` takes those that have a label other than -100.

    Raises:
        ValueError: another pooling; on call, outputs without hidden states or with several, or a layer that there is
            not.

    Example:
        >>> import torch
        >>> logits, states = torch.zeros(8, 2), tuple(torch.ones(8, 5, 3) * layer for layer in range(7))
        >>> kept = keep_hidden_state(layer=-1)((logits, states), None)
        >>> kept["hidden_state"].shape, kept["hidden_state"].mean(), kept["predictions"].shape
        (torch.Size([8, 3]), tensor(6.), torch.Size([8, 2]))
    """
    if pooling not in POOLINGS:
        raise ValueError(
            f'pooling must be "cls" or None, got {pooling!r}: others need the attention mask, which '
            "preprocess_logits_for_metrics does not get; let the model pool, or use IsotropyCallback"
        )

    def preprocess_logits_for_metrics(logits: Any, labels: Any) -> dict[str, torch.Tensor]:
        outputs = logits if isinstance(logits, tuple) else (logits,)
        found = [index for index, output in enumerate(outputs) if _are_hidden_states(output)]
        if len(found) != 1:
            raise ValueError(
                f"{len(found)} of the outputs {shape_of(outputs)} are hidden states, and it must be one: set "
                "model.config.output_hidden_states = True, or write a preprocess_logits_for_metrics of your own"
            )
        states = outputs[found[0]]
        if not -len(states) <= layer < len(states):
            raise ValueError(
                f"layer {layer} is out of range: the outputs have {len(states)} hidden states, and 0 is the embeddings"
            )
        state = states[layer]
        kept = {HIDDEN_STATE: state if pooling is None else state[:, 0].clone()}  # a view would keep all positions
        others = outputs[: found[0]] + outputs[found[0] + 1 :]
        if others:
            kept[PREDICTIONS] = others[0] if len(others) == 1 else others
        return kept

    return preprocess_logits_for_metrics


def shape_of(values: Any) -> str:
    """What came, in words: the shape of an array, the parts of a tuple, or else the type."""
    if isinstance(values, (tuple, list)):
        parts = list(dict.fromkeys(map(shape_of, values)))
        return f"a {type(values).__name__} of {len(values)} ({', '.join(parts)})"
    return str(tuple(values.shape)) if hasattr(values, "shape") else type(values).__name__


def _are_hidden_states(output: Any) -> bool:
    """Whether this is a tuple of (batch, length, n_features); attentions have a fourth axis."""
    return isinstance(output, (tuple, list)) and bool(output) and all(getattr(each, "ndim", 0) == 3 for each in output)
