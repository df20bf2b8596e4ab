"""Checkpoint: a model, its tokenizer, and the name that they were loaded by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from isotropy_metrics.hidden_states import load_model
from isotropy_metrics.tokenized_texts import longest_input, special_token_ids, tokenize

BEFORE, AFTER = "before", "after"
"""The two checkpoints of a study: before fine-tuning and after."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """One of the two models that a study compares."""

    name: str
    model: Any
    tokenizer: Any

    @classmethod
    def load(cls, name: str) -> Checkpoint:
        """From a Hub id or a folder, in float32: half precision would round away most steps of fine-tuning.

        Raises:
            OSError: it cannot be loaded.
        """
        model, tokenizer = load_model(name)
        return cls(name, model.float(), tokenizer)

    @property
    def max_length(self) -> int:
        """Tokens per text that model and tokenizer allow."""
        return longest_input(self.model, self.tokenizer)

    def check_comparable(self, other: Checkpoint, texts: list[str]) -> None:
        """Raises ValueError if `other` has other layers or features, or splits these texts into other tokens."""
        for fact in ("num_hidden_layers", "hidden_size"):
            ours, theirs = getattr(self.model.config, fact, None), getattr(other.model.config, fact, None)
            if ours != theirs:
                raise ValueError(f"{other.name} has {fact} = {theirs}, {self.name} has {ours}: compare one lineage")
        if _token_ids(self.tokenizer, texts) != _token_ids(other.tokenizer, texts):
            raise ValueError(f"{other.name} splits the texts into other tokens than {self.name}: compare one lineage")

    def count_tokens(self, texts: list[str], max_length: int) -> int:
        """How many tokens all texts have together, without special ones.

        Raises:
            ValueError: a text has none, so that it has no embedding.
        """
        tokens, _ = tokenize(self.tokenizer, texts, max_length=max_length)
        n_tokens = tokens.n_kept(special_token_ids(self.tokenizer))
        empty = np.flatnonzero(n_tokens == 0)
        if len(empty):
            text = texts[empty[0]][:50]
            raise ValueError(f"{self.name} has no token for the text {text!r}: leave such texts out of the data")
        return int(n_tokens.sum())


def _token_ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    return tokenizer(texts, verbose=False)["input_ids"]
