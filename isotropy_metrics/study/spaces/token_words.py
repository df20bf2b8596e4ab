"""Which word of its text each token belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isotropy_metrics.tokenized_texts import special_token_ids

TEXTS_AT_ONCE = 1000


def token_words(tokenizer: Any, texts: Sequence[str], token_ids: np.ndarray, text_index: np.ndarray) -> np.ndarray:
    """The whole word, as the text has it, that each token is or is a part of; (n_tokens,), of str.

    A tokenizer without offsets gives no words: then it is the token itself.

    Args:
        tokenizer: that made the tokens.
        texts: all texts.
        token_ids, text_index: of the kept tokens, (n_tokens,), by text and then by position.

    Raises:
        ValueError: the texts have other tokens.
    """
    if not getattr(tokenizer, "is_fast", False):
        return np.array(tokenizer.convert_ids_to_tokens(token_ids.tolist()), dtype=object)
    special = set(special_token_ids(tokenizer))
    starts = np.searchsorted(text_index, np.arange(len(texts) + 1))
    words: list[str] = []
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        part = list(texts[first : first + TEXTS_AT_ONCE])
        encoded = tokenizer(part, return_offsets_mapping=True, return_attention_mask=False, verbose=False)
        for i, text in enumerate(part):
            begin, end = starts[first + i], starts[first + i + 1]
            own = _words_of_one(text, encoded["input_ids"][i], encoded["offset_mapping"][i], encoded.word_ids(i))
            kept = [(number, word) for number, word in own if number not in special][: end - begin]
            if [number for number, _ in kept] != token_ids[begin:end].tolist():
                raise ValueError(f"the tokenizer does not give the tokens of text {first + i} again")
            words += [word for _, word in kept]
    return np.array(words, dtype=object)


def _words_of_one(
    text: str, ids: list[int], offsets: list[tuple[int, int]], word_ids: list[int | None]
) -> list[tuple[int, str]]:
    spans: dict[int, tuple[int, int]] = {}
    for (start, end), word in zip(offsets, word_ids, strict=True):
        if word is not None:
            low, high = spans.get(word, (start, end))
            spans[word] = min(low, start), max(high, end)
    return [
        (number, "" if word is None else text[slice(*spans[word])].strip())
        for number, word in zip(ids, word_ids, strict=True)
    ]
