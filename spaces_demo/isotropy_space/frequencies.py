"""How frequent the words of names and texts are in English."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def word_frequencies_of(names: Iterable[str]) -> np.ndarray:
    """The mean log frequency of the words of each name, as the study has it; NaN where no word is known.

    The unit is Zipf: log10 of occurrences per billion words.

    Raises:
        ImportError: wordfreq is not installed.

    Example:
        >>> word_frequencies_of(["the house", "qqqqxxj"])
        array([6.72,  nan])
    """
    from isotropy_metrics.study.data.word_frequencies import WordFrequencies
    from isotropy_metrics.study.spaces.word_tokens import plain_word

    find = WordFrequencies.load("en", ()).find
    means = []
    for name in names:
        known = [value for value in map(find, map(plain_word, name.split())) if value is not None]
        means.append(np.mean(known) if known else np.nan)
    return np.array(means, dtype=np.float64)
