"""What one checkpoint makes of the held-out texts: statistics of every layer, and the rows of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isotropy_metrics.hidden_states import stream_hidden_states
from isotropy_metrics.measures import Measure, statistics_for
from isotropy_metrics.statistics import Moments, RowSample


@dataclass(frozen=True)
class TokenSpace:
    """The token vectors of one checkpoint over one list of texts.

    Attributes:
        statistics: by layer, what the measures need.
        layer: the layer whose rows are kept, the highest one chosen.
        rows: (n_tokens, n_features), the token vectors of `layer`.
        text_index: (n_tokens,), which text each row comes from.
        token_ids: (n_tokens,), which token each row is.
        n_texts: number of texts.
    """

    statistics: dict[int, list[Moments | RowSample]]
    layer: int
    rows: np.ndarray
    text_index: np.ndarray
    token_ids: np.ndarray
    n_texts: int

    @property
    def moments(self) -> Moments:
        """Moments of the kept rows."""
        return next(statistic for statistic in self.statistics[self.layer] if type(statistic) is Moments)

    def pool(self, rows: np.ndarray) -> np.ndarray:
        """Mean of the rows of each text, (n_texts, n_features), in float64."""
        sums = np.zeros((self.n_texts, rows.shape[1]))
        np.add.at(sums, self.text_index, rows)
        counts = np.bincount(self.text_index, minlength=self.n_texts)
        if not counts.all():
            raise ValueError(f"text {int(np.flatnonzero(counts == 0)[0])} has no token to pool: leave such texts out")
        return sums / counts[:, None]


def token_space(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    measures: Sequence[Measure] = (),
    *,
    layers: str | Sequence[int] = "all",
    max_length: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> TokenSpace:
    """Run the texts through the model once; see `TokenSpace`. Moments are kept whatever the measures need."""
    statistics: dict[int, list[Moments | RowSample]] = {}
    rows, text_index, token_ids = [], [], []
    batches = stream_hidden_states(
        model, texts, tokenizer=tokenizer, layers=layers, max_length=max_length, progress=progress
    )
    for batch in batches:
        for layer, states in batch.layers.items():
            if layer not in statistics:
                needed = statistics_for(measures, seed=seed)
                has_moments = any(type(statistic) is Moments for statistic in needed)
                statistics[layer] = needed if has_moments else [*needed, Moments()]
            for statistic in statistics[layer]:
                statistic.update(states)
        layer = max(batch.layers)
        rows.append(batch.layers[layer].float().cpu().numpy())
        text_index.append(batch.text_index)
        token_ids.append(batch.token_ids)
    return TokenSpace(
        dict(sorted(statistics.items())),
        layer,
        np.concatenate(rows),
        np.concatenate(text_index),
        np.concatenate(token_ids),
        len(texts),
    )
