"""What the parameters of a model say of its outlier dimensions, without any text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def outlier_dimensions_of(
    model: torch.nn.Module, *, n_std: float = 3.0, min_layers: int = 4, most: int = 6
) -> list[dict[str, Any]]:
    """Dimensions whose LayerNorm weight or bias stands out in many layers (Puccetti et al. 2022).

    For the last normalisation of each layer, with weight w and bias b of n_features entries, dimension i is one if

        |wᵢ − mean(w)| > n_std · std(w),    and likewise for b

    (std with divisor n − 1). Dimensions that stand out in at least `min_layers` layers in w, or in b, are ordered by
    that number, one from the list of w and one from the list of b in turn; the first `most` are returned. In BERT-base
    308 and 381 are among them.

    The last normalisation is the one after the feed-forward part in models that normalise afterwards, as BERT does.
    In models that normalise before (GPT-2, Llama) it is the input of the feed-forward part, which the definition does
    not mean: use `outlier_dimensions` on their hidden states.

    Args:
        model: a transformer; its layers are the longest `ModuleList` in it of which each has a normalisation.
        n_std: standard deviations.
        min_layers: fewest layers; the authors keep dimensions that stand out in more than 3.
        most: most dimensions to return.

    Returns:
        One dict per dimension: `dimension`, `n_weight_layers`, `n_bias_layers`, and `n_layers` looked at.

    Raises:
        ValueError: the model has no layers with a normalisation.
    """
    import torch

    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    of_lists = [[_last_norm(layer) for layer in layers] for layers in lists]
    norms = max((norms for norms in of_lists if None not in norms), key=len, default=[])
    if not norms:
        raise ValueError(f"{type(model).__name__} has no layers with a normalisation whose weight could be read")
    counts = {
        name: sum((_stands_out(norm, name, n_std) for norm in norms), np.zeros(len(norms[0].weight), dtype=int))
        for name in ("weight", "bias")
    }
    ranked = [
        [int(i) for i in np.argsort(-count, kind="stable") if count[i] >= min_layers] for count in counts.values()
    ]
    in_turn = [each[i] for i in range(max(map(len, ranked))) for each in ranked if i < len(each)]
    return [
        {
            "dimension": dimension,
            "n_weight_layers": int(counts["weight"][dimension]),
            "n_bias_layers": int(counts["bias"][dimension]),
            "n_layers": len(norms),
        }
        for dimension in list(dict.fromkeys(in_turn))[:most]
    ]


def _last_norm(layer: torch.nn.Module) -> torch.nn.Module | None:
    """The last module of a layer that is a normalisation with a weight."""
    norms = [module for module in layer.modules() if "norm" in type(module).__name__.lower()]
    return next((norm for norm in reversed(norms) if getattr(norm, "weight", None) is not None), None)


def _stands_out(norm: torch.nn.Module, name: str, n_std: float) -> np.ndarray:
    """1 for each entry of this parameter far from the mean of all; 0 everywhere for a parameter that is not there."""
    vector = getattr(norm, name, None)
    if vector is None:
        return np.zeros(len(norm.weight), dtype=int)
    values = vector.detach().double().cpu().numpy()
    return (np.abs(values - values.mean()) > n_std * values.std(ddof=1)).astype(int)
