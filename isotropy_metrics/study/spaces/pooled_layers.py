"""One embedding per text in every layer, pooled in each way that the tokenizer allows, from one pass of the texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from isotropy_metrics.hidden_states import stream_hidden_states
from isotropy_metrics.study.spaces.checkpoint import Checkpoint
from isotropy_metrics.tokenized_texts import special_token_ids

MEAN, CLS = "mean", "cls"


def pooled_layers(
    checkpoint: Checkpoint,
    texts: Sequence[str],
    *,
    layers: str | Sequence[int] = "all",
    max_length: int | None = None,
    progress: bool = False,
) -> dict[str, dict[int, np.ndarray]]:
    """By pooling and layer, (n_texts, n_features), in float32.

    "mean" is over the tokens that are not special; "cls" is the classification token, if the tokenizer has one.

    Raises:
        ValueError: a text without tokens.
    """
    special = torch.tensor(special_token_ids(checkpoint.tokenizer))
    name = checkpoint.tokenizer.special_tokens_map.get("cls_token")
    cls = None if name is None else checkpoint.tokenizer.convert_tokens_to_ids(str(name))
    batches = stream_hidden_states(
        checkpoint.model,
        texts,
        tokenizer=checkpoint.tokenizer,
        layers=layers,
        max_length=max_length,
        drop_special_tokens=False,
        progress=progress,
    )
    pooled: dict[str, dict[int, list[torch.Tensor]]] = {}
    order: list[np.ndarray] = []
    for batch in batches:
        ids, chosen = torch.from_numpy(batch.token_ids), np.unique(batch.text_index)
        place = torch.from_numpy(np.searchsorted(chosen, batch.text_index)).long()
        masks = {MEAN: ~torch.isin(ids, special)} | ({} if cls is None else {CLS: ids == cls})
        order.append(chosen)
        for layer, states in batch.layers.items():
            for pooling, mask in masks.items():
                means = _means(states.float().cpu()[mask], place[mask], len(chosen))
                pooled.setdefault(pooling, {}).setdefault(layer, []).append(means)
    back = np.argsort(np.concatenate(order))
    by_pooling = {
        pooling: {layer: torch.cat(rows).numpy()[back] for layer, rows in by_layer.items()}
        for pooling, by_layer in pooled.items()
    }
    if len(back) < len(texts) or not all(np.isfinite(rows).all() for rows in by_pooling[MEAN].values()):
        raise ValueError("some of the texts have no token to pool: leave such texts out")
    return by_pooling


def _means(rows: torch.Tensor, place: torch.Tensor, n_texts: int) -> torch.Tensor:
    """Mean of the rows of each text; NaN for one without rows."""
    sums = torch.zeros(n_texts, rows.shape[1]).index_add_(0, place, rows)
    return sums / torch.bincount(place, minlength=n_texts)[:, None]
