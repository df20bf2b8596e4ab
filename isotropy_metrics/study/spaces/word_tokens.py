"""Which tokens are punctuation, pieces of words, and occurrences of a given token or word."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.study.spaces.token_space import TokenSpace

CONTINUES, BEGINS = "##", ("Ġ", "▁")
"""Marks of a piece inside a word (WordPiece), and of one at its beginning (byte-level BPE, SentencePiece)."""


def is_occurrence(piece: str, token: str) -> bool:
    """Whether an entry of a vocabulary is this token at the beginning of a word; punctuation marks may stand anywhere.

    >>> is_occurrence("Ġthe", "the"), is_occurrence("##the", "the"), is_occurrence("▁of", "the")
    (True, False, False)
    """
    return piece.lstrip("".join(BEGINS)) == token


def has_letters(word: str) -> bool:
    """Whether there is a letter or a digit in it: what has none is punctuation."""
    return any(character.isalnum() for character in word)


def plain_word(word: str) -> str:
    """Lower-cased, without punctuation around it, as a list of frequencies or of stop words has it.

    >>> plain_word("Don't"), plain_word("(The"), plain_word("...")
    ("don't", 'the', '')
    """
    word = word.lower()
    while word and not word[0].isalnum():
        word = word[1:]
    while word and not word[-1].isalnum():
        word = word[:-1]
    return word


def is_continuation(space: TokenSpace) -> np.ndarray | None:
    """Whether each token is a piece inside a word, (n_tokens,); None if the vocabulary does not tell."""
    if any(token.startswith(CONTINUES) for token in space.tokens):
        return np.array([token.startswith(CONTINUES) for token in space.tokens])
    if any(token.startswith(BEGINS) for token in space.tokens):
        inside = np.array([has_letters(token) and not token.startswith(BEGINS) for token in space.tokens])
        return inside & (np.diff(space.text_index, prepend=-1) == 0)
    return None


def word_starts(space: TokenSpace) -> np.ndarray:
    """Numbers of the tokens that a word begins with, in order; its other pieces follow.

    Pieces of one word carry the same `words` entry. A word that stands twice in a row begins again where its first
    piece comes back.
    """
    starts = []
    for i, (text, word, token) in enumerate(zip(space.text_index, space.words, space.tokens, strict=True)):
        same = i and text == space.text_index[i - 1] and word == space.words[i - 1]
        if not same or token == space.tokens[starts[-1]]:
            starts.append(i)
    return np.array(starts)
