"""TokenizedTexts: the token ids of many texts, from which padded batches are cut; and what their tokenizer allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FALLBACK_MAX_LENGTH = 512
NO_LIMIT = 10**9  # a tokenizer without a limit says 1e30
TEXTS_PER_TOKENIZER_CALL = 1000


@dataclass(frozen=True, eq=False)
class TokenizedTexts:
    """The tokens of all texts end to end, one array per model input: text i has `lengths[i]` from `starts[i]` on."""

    columns: dict[str, np.ndarray]
    starts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[Sequence[int]]]) -> TokenizedTexts:
        """These model inputs, each with one sequence of integers per text; `input_ids` is one of them."""
        lengths = np.array([len(ids) for ids in columns["input_ids"]], dtype=np.int64)
        flat = {
            name: np.fromiter(chain.from_iterable(values), dtype=np.int32, count=lengths.sum())
            for name, values in columns.items()
        }
        return cls(flat, np.cumsum(lengths) - lengths, lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(self, chosen: np.ndarray, pad_id: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Returns the model inputs of the chosen texts and the mask of their tokens, `(n_texts, longest)`.

        Padding goes to the right whatever the tokenizer prefers: absolute positions then start at the first token,
        and a causal model never sees what comes after.
        """
        starts, lengths = self.starts[chosen], self.lengths[chosen]
        attended = np.arange(lengths.max()) < lengths[:, None]
        inputs = {"attention_mask": attended.astype(np.int64)}
        for name, flat in self.columns.items():
            inputs[name] = np.full(attended.shape, pad_id if name == "input_ids" else 0, dtype=np.int64)
            inputs[name][attended] = np.concatenate([flat[a : a + n] for a, n in zip(starts, lengths, strict=True)])
        return inputs, attended

    def n_kept(self, dropped: Sequence[int]) -> np.ndarray:
        """How many tokens each text has without those of these ids, `(n_texts,)`."""
        kept_before = np.append(0, np.cumsum(~np.isin(self.columns["input_ids"], dropped)))
        return kept_before[self.starts + self.lengths] - kept_before[self.starts]


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    names: Sequence[str] = ("input_ids",),
    *,
    max_length: int,
    progress: bool = False,
) -> tuple[TokenizedTexts, int]:
    """Returns the tokens of all texts, at most `max_length` each, and how many texts were cut.

    The tokenizer keeps the settings it had.

    Args:
        names: model inputs to take from the tokenizer, if it gives them.
    """
    from tqdm import tqdm

    backend = getattr(tokenizer, "backend_tokenizer", None)
    truncation, padding = (None, None) if backend is None else (backend.truncation, backend.padding)
    columns: dict[str, list[np.ndarray]] = {}
    lengths: list[int] = []
    n_cut = 0
    try:
        with tqdm(total=len(texts), unit="text", desc="tokenize", disable=not progress, leave=False) as bar:
            for start in range(0, len(texts), TEXTS_PER_TOKENIZER_CALL):
                part = texts[start : start + TEXTS_PER_TOKENIZER_CALL]
                encoded = tokenizer(part, return_attention_mask=False, verbose=False)
                too_long = [i for i, ids in enumerate(encoded["input_ids"]) if len(ids) > max_length]
                cut = [part[i] for i in too_long]
                if cut:  # encoded again, because the tokenizer keeps the closing special token
                    cut = tokenizer(
                        cut, truncation=True, max_length=max_length, return_attention_mask=False, verbose=False
                    )
                for name in names:
                    if name in encoded:
                        for i, text in enumerate(too_long):
                            encoded[name][text] = cut[name][i]
                        flat = np.fromiter(chain.from_iterable(encoded[name]), dtype=np.int32)
                        columns.setdefault(name, []).append(flat)
                lengths += map(len, encoded["input_ids"])
                n_cut += len(too_long)
                bar.update(len(part))
    finally:  # a call of a fast tokenizer leaves its settings behind
        if backend is not None:
            backend.no_truncation() if truncation is None else backend.enable_truncation(**truncation)
            backend.no_padding() if padding is None else backend.enable_padding(**padding)
    n_tokens = np.array(lengths)
    flat = {name: np.concatenate(parts) for name, parts in columns.items()}
    return TokenizedTexts(flat, np.cumsum(n_tokens) - n_tokens, n_tokens), n_cut


def special_token_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Returns the ids of the special tokens, without the unknown token unless that has a second role (GPT-2)."""
    roles = tokenizer.special_tokens_map  # asking for tokenizer.bos_token instead logs an error where there is none
    unknown = roles.get("unk_token")
    shared = {roles.get(f"{role}_token") for role in ("bos", "eos", "pad", "cls", "sep")}
    spared = None if unknown is None or unknown in shared else tokenizer.convert_tokens_to_ids(str(unknown))
    return [number for number in set(tokenizer.all_special_ids) if number is not None and number != spared]


def longest_input(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Returns how many tokens tokenizer and model both allow, 512 where neither says."""
    limits = [tokenizer.model_max_length, position_limit(model)]
    return min((n for n in limits if _is_limit(n)), default=FALLBACK_MAX_LENGTH)


def position_limit(model: torch.nn.Module) -> int | None:
    """Returns for how many tokens a model has positions, None where it does not say."""
    import torch

    limits = [getattr(getattr(model, "config", None), "max_position_embeddings", None)]
    for name, module in model.named_modules():
        # RoBERTa and its family count positions from padding_idx + 1: 514 rows hold 512 tokens
        is_table = name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding)
        if is_table and module.padding_idx is not None:
            limits.append(module.num_embeddings - module.padding_idx - 1)
    return min((n for n in limits if _is_limit(n)), default=None)


def _is_limit(n: object) -> bool:
    return isinstance(n, int) and 0 < n < NO_LIMIT
