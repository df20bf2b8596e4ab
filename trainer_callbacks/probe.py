"""Probe: fixed texts, tokenized once, whose hidden states are looked at again and again while a model trains."""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.hidden_states import HiddenStates, forward_pass, input_names
from isotropy_metrics.tokenized_texts import TokenizedTexts, longest_input, position_limit, special_token_ids, tokenize

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

LABEL_COLUMNS = ("label", "labels")
TOKEN_COLUMNS = ("input_ids", "token_type_ids")


class Probe:
    """Texts as token ids, with labels if they came with any, and the batches they are always read in.

    The longest texts come first, so that padding is short and what does not fit into memory fails at once. The batches
    do not depend on the number of processes; each process reads every so-manieth.

    Attributes:
        tokens: of the texts that have a row.
        labels: class of each text, or None.
        n_rows: how many rows the probe has.
    """

    def __init__(
        self,
        tokens: TokenizedTexts,
        *,
        labels: np.ndarray | None = None,
        dropped: Sequence[int] = (),
        pooling: str | None = None,
        batch_size: int = 32,
    ) -> None:
        self.tokens = tokens
        self.labels = labels
        self.dropped = list(dropped)
        self.pooling = pooling
        n_kept = tokens.n_kept(self.dropped)
        n_usable = tokens.lengths if pooling in ("cls", "last") else n_kept
        order = np.argsort(-tokens.lengths, kind="stable")
        order = order[n_usable[order] > 0]
        if not len(order):
            raise ValueError("no text of the probe has a token besides special ones: pass other texts")
        self.n_rows = int(n_kept.sum()) if pooling is None else len(order)
        self.batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]

    @classmethod
    def of(
        cls,
        source: Any,
        *,
        encoder: torch.nn.Module,
        tokenizer: PreTrainedTokenizerBase | None,
        size: int | None,
        seed: int = 0,
        max_length: int | None = None,
        drop_special_tokens: bool = True,
        **options: Any,
    ) -> Probe:
        """The probe of texts or of a dataset.

        Args:
            source: sequence of str; or a dataset, a sequence of mappings: its `input_ids` (with `attention_mask` and
                `token_type_ids` if there), or else its only column of str; and its `label` or `labels` if they are
                one class per text.
            encoder: the model that will read it.
            tokenizer: needed for texts; of token ids it tells the special ones.
            size: most texts to take, drawn with `seed`; None for all.
            max_length: longer texts are cut to so many tokens; None for what encoder and tokenizer allow, or of token
                ids what the encoder allows.
            drop_special_tokens: special tokens give no row.
            **options: of the constructor.

        Raises:
            ValueError: a source that is empty, has neither texts nor token ids, or has ids beyond the vocabulary.
        """
        records = _records(source, size, seed)
        labels = _labels(records)
        names = input_names(encoder)
        if isinstance(records[0], Mapping) and "input_ids" in records[0]:
            tokens = _given_tokens(records, names, position_limit(encoder) if max_length is None else max_length)
        else:
            texts = _texts(records)
            if tokenizer is None:
                raise ValueError("a probe of texts needs a tokenizer: pass processing_class=tokenizer to the Trainer")
            limit = longest_input(encoder, tokenizer) if max_length is None else max_length
            tokens, _ = tokenize(tokenizer, texts, names, max_length=limit)
        _check_vocabulary(tokens, encoder)
        dropped = special_token_ids(tokenizer) if drop_special_tokens and tokenizer is not None else []
        return cls(tokens, labels=labels, dropped=dropped, **options)

    def forward_passes(
        self, encoder: torch.nn.Module, layers: list[int] | None, rank: int = 0, world_size: int = 1
    ) -> Iterator[HiddenStates]:
        """The rows of this process's share of the batches.

        Every process makes equally many forward passes, as sharded models demand: where there is no batch left for it,
        a process reads one again and yields no row of it.
        """
        options = {"dropped": self.dropped, "layers": layers, "pooling": self.pooling}
        for first in range(0, len(self.batches), world_size):
            number = first + rank
            if number < len(self.batches):
                yield forward_pass(encoder, self.tokens, self.batches[number], **options)
            else:
                again = forward_pass(encoder, self.tokens, self.batches[-1], **options)
                yield HiddenStates({layer: rows[:0] for layer, rows in again.layers.items()}, np.array([], int), None)


def _records(source: Any, size: int | None, seed: int) -> list[Any]:
    """At most `size` texts or mappings of the source, in their order."""
    if (
        isinstance(source, (str, bytes, Mapping))
        or not hasattr(source, "__getitem__")
        or not hasattr(source, "__len__")
    ):
        raise ValueError(
            f"a probe is a sequence of texts or a dataset with a length, got {type(source).__name__}; of a streamed "
            "dataset take a list of its first rows"
        )
    n = len(source)
    if n == 0:
        raise ValueError("the probe is empty: pass at least one text")
    chosen = range(n)
    if size is not None and size < n:
        chosen = np.sort(np.random.default_rng(seed).choice(n, size, replace=False)).tolist()
    return [source[index] for index in chosen]


def _texts(records: list[Any]) -> list[str]:
    if isinstance(records[0], Mapping):
        columns = [name for name, value in records[0].items() if isinstance(value, str) and name not in LABEL_COLUMNS]
        if len(columns) != 1:
            found = ", ".join(columns or map(str, records[0])) or "none"
            raise ValueError(
                f"a dataset for a probe has input_ids or one column of texts, got {found}: pass its texts as a list"
            )
        records = [record[columns[0]] for record in records]
    wrong = next((i for i, text in enumerate(records) if not isinstance(text, str)), None)
    if wrong is not None:
        raise ValueError(f"texts of a probe must be str, got {type(records[wrong]).__name__} at {wrong}")
    return records


def _labels(records: list[Any]) -> np.ndarray | None:
    """One class per text; a number with a fraction is a score and no class."""
    if not isinstance(records[0], Mapping):
        return None
    for name in LABEL_COLUMNS:
        values = [record.get(name) for record in records]
        if all(isinstance(value, (str, numbers.Integral)) for value in values):
            return np.unique(values, return_inverse=True)[1]
        if all(np.ndim(value) == 0 and np.issubdtype(np.asarray(value).dtype, np.integer) for value in values):
            return np.unique(np.asarray(values), return_inverse=True)[1]
    return None


def _given_tokens(records: list[Mapping[str, Any]], names: list[str], max_length: int | None) -> TokenizedTexts:
    """Token ids without the padding that the attention mask marks."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names if name in records[0]}
    for record in records:
        mask = record.get("attention_mask")
        for name, values in columns.items():
            ids = np.asarray(record[name])
            values.append((ids if mask is None else ids[np.asarray(mask, dtype=bool)])[:max_length])
    return TokenizedTexts.of(columns)


def _check_vocabulary(tokens: TokenizedTexts, encoder: torch.nn.Module) -> None:
    """A GPU that looks up an id that there is not is lost to the training too."""
    size = getattr(getattr(encoder, "config", None), "vocab_size", None)
    ids = tokens.columns["input_ids"]
    if not isinstance(size, int) or not len(ids):
        return
    wrong = next((int(each) for each in (ids.min(), ids.max()) if not 0 <= each < size), None)
    if wrong is not None:
        raise ValueError(
            f"token id {wrong} is not in the model's vocabulary of {size:,}: use the model's own tokenizer"
        )
