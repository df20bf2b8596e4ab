"""PooledEncoder: an encoder, the mean of its tokens, and a head; and PooledCollator, which makes its batches."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from isotropy_metrics.study.tasks import TaskPart
from isotropy_metrics.tokenized_texts import special_token_ids


class PooledEncoder(nn.Module):
    """One or two texts per item through one encoder: mean of their kept tokens, then the head, then its loss."""

    def __init__(self, encoder: PreTrainedModel, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, texts: list[dict[str, torch.Tensor]], labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.head([self._pool(**inputs) for inputs in texts])
        return {"loss": self.head.loss(logits, labels), "logits": logits}

    def _pool(self, keep: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        encoder = self.encoder.get_encoder() if self.encoder.config.is_encoder_decoder else self.encoder
        states = encoder(**inputs).last_hidden_state
        keep = keep.to(states.dtype).unsqueeze(-1)
        return (states * keep).sum(dim=1) / keep.sum(dim=1).clamp(min=1)


class PooledCollator:
    """Tokenizes and pads the texts of some items, and says which tokens count: not padding, not special tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        self.tokenizer = copy.deepcopy(tokenizer)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
        self.special = torch.tensor(sorted(special_token_ids(tokenizer)))
        self.max_length = max_length

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "texts": [self._encode(list(texts)) for texts in zip(*(item["texts"] for item in items), strict=True)],
            "labels": torch.tensor([item["label"] for item in items]),
        }

    def _encode(self, texts: list[str]) -> dict[str, torch.Tensor]:
        encoded = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt", padding_side="right"
        )
        keep = encoded["attention_mask"].bool() & ~torch.isin(encoded["input_ids"], self.special)
        return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"], "keep": keep}


def training_items(part: TaskPart, targets: list[float] | list[int], tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """The items of a part for the collator, with what is trained for and the number of tokens to group batches by."""
    texts_per_item = len(part.texts) // len(part)
    texts = np.array(part.texts, dtype=object).reshape(texts_per_item, len(part)).T
    n_tokens = np.array([len(ids) for ids in tokenizer(part.texts, verbose=False)["input_ids"]])
    lengths = n_tokens.reshape(texts_per_item, len(part)).sum(axis=0)
    return Dataset.from_dict({"texts": texts.tolist(), "label": targets, "length": lengths.tolist()})
