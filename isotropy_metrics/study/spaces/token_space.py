"""TokenSpace: what one checkpoint makes of a list of texts: statistics of every layer, and the rows of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isotropy_metrics.hidden_states import stream_hidden_states
from isotropy_metrics.measures import Measure, statistics_for, update_statistics
from isotropy_metrics.measures._statistics import Statistic
from isotropy_metrics.statistics import Moments, RowSample
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE
from isotropy_metrics.study.spaces.checkpoint import Checkpoint
from isotropy_metrics.study.spaces.token_words import token_words


@dataclass(frozen=True, eq=False)
class TokenSpace:
    """The token vectors of one checkpoint over one list of texts, by text and then by position.

    Attributes:
        statistics: by layer, what the measures need, and in any case `Moments` and a `RowSample`.
        sampled: (n_sampled,), which tokens are in the samples: row i of each is token `sampled[i]`.
        layer: the layer whose rows are all kept, the highest one chosen.
        rows: (n_tokens, n_features), the token vectors of `layer`.
        text_index: (n_tokens,), which text each row comes from.
        token_ids: (n_tokens,), which token each row is.
        tokens: (n_tokens,), of str, the same as the vocabulary spells it.
        words: (n_tokens,), of str, the whole word that it is or is a part of.
        n_texts: number of texts.
    """

    statistics: dict[int, list[Statistic]]
    sampled: np.ndarray
    layer: int
    rows: np.ndarray
    text_index: np.ndarray
    token_ids: np.ndarray
    tokens: np.ndarray
    words: np.ndarray
    n_texts: int

    @property
    def layers(self) -> list[int]:
        """The layers there are, in order."""
        return sorted(self.statistics)

    def moments(self, layer: int) -> Moments:
        """Of all rows of a layer."""
        return next(each for each in self.statistics[layer] if type(each) is Moments)

    def sample(self, layer: int) -> RowSample:
        """Of the rows of a layer: of the same tokens in every layer and for every checkpoint."""
        return next(each for each in self.statistics[layer] if type(each) is RowSample)

    def pool(self, rows: np.ndarray) -> np.ndarray:
        """Mean of the rows of each text, (n_texts, n_features), in float64; `rows` has one row per token.

        Raises:
            ValueError: a text without tokens.
        """
        counts = np.bincount(self.text_index, minlength=self.n_texts)
        if not counts.all():
            raise ValueError(f"text {int(np.flatnonzero(counts == 0)[0])} has no token to pool: leave such texts out")
        starts = np.cumsum(counts) - counts
        return np.add.reduceat(rows.astype(np.float64), starts, axis=0) / counts[:, None]


def token_space(
    checkpoint: Checkpoint,
    texts: Sequence[str],
    measures: Sequence[Measure] = (),
    *,
    layers: str | Sequence[int] = "all",
    max_length: int | None = None,
    sample_size: int = DEFAULT_SIZE,
    seed: int = 0,
    progress: bool = True,
) -> TokenSpace:
    """Run the texts through the model once; see `TokenSpace`.

    Raises:
        ValueError: what `stream_hidden_states` refuses.
    """
    statistics: dict[int, list[Statistic]] = {}
    rows, text_index, token_ids = [], [], []
    batches = stream_hidden_states(
        checkpoint.model,
        texts,
        tokenizer=checkpoint.tokenizer,
        layers=layers,
        max_length=max_length,
        progress=progress,
    )
    for batch in batches:
        for layer, states in batch.layers.items():
            if layer not in statistics:
                statistics[layer] = statistics_for(measures, also=(Moments, RowSample), seed=seed, size=sample_size)
            update_statistics(statistics[layer], states)
        layer = max(batch.layers)
        rows.append(batch.layers[layer].float().cpu().numpy())
        text_index.append(batch.text_index)
        token_ids.append(batch.token_ids)
    if not rows:
        raise ValueError(f"none of the {len(texts)} texts has a token: pass other texts")
    index, ids = np.concatenate(text_index), np.concatenate(token_ids)
    order = np.argsort(index, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    index, ids = index[order], ids[order]
    sample = next(each for each in statistics[layer] if type(each) is RowSample)
    return TokenSpace(
        statistics=statistics,
        sampled=place[sample.positions],
        layer=layer,
        rows=np.concatenate(rows)[order],
        text_index=index,
        token_ids=ids,
        tokens=np.array(checkpoint.tokenizer.convert_ids_to_tokens(ids.tolist()), dtype=object),
        words=token_words(checkpoint.tokenizer, texts, ids, index),
        n_texts=len(texts),
    )
