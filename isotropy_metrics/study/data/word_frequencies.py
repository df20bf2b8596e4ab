"""WordFrequencies: how frequent words are: in a language, in the training texts, or in a user's list."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from isotropy_metrics.study.data.annotated_table import annotated_columns
from isotropy_metrics.study.data.data_tables import ENDINGS
from isotropy_metrics.study.spaces.word_tokens import plain_word

CORPUS = "corpus"


@dataclass(frozen=True)
class WordFrequencies:
    """The logarithm of the frequency of a word; None for a word that has none.

    Attributes:
        find: by the word, lower-cased and without punctuation around it.
        unit: of the logarithm.
        source: where the frequencies come from.
    """

    find: Callable[[str], float | None]
    unit: str
    source: str

    @classmethod
    def load(cls, frequencies: str, texts: Iterable[str]) -> WordFrequencies:
        """See `run_study`.

        Args:
            frequencies: a language of wordfreq, "corpus", or a file with columns `word` and `count`.
            texts: what "corpus" counts.

        Raises:
            FileNotFoundError, ValueError: no such file or language, or a file that is not as described.
            ImportError: wordfreq is not installed.
        """
        if frequencies == CORPUS:
            words = (plain_word(word) for text in texts for word in text.split())
            return _of_counts(Counter(word for word in words if word), "counts of the words in the training texts")
        path = Path(frequencies)
        if path.suffix in ENDINGS or path.is_file():
            return _of_counts(_counts_in(path), str(path))
        return _of_language(frequencies)


def _of_counts(counts: dict[str, int | float], source: str) -> WordFrequencies:
    logarithms = {word: math.log10(count) for word, count in counts.items() if count > 0}
    return WordFrequencies(logarithms.get, "log10 of the count", source)


def _counts_in(path: Path) -> dict[str, float]:
    columns = annotated_columns(path, ("word", "count"))
    counts: dict[str, float] = {}
    for row, (word, text) in enumerate(zip(columns["word"], columns["count"], strict=True), 1):
        try:
            count = float(text)
        except ValueError:
            count = math.nan
        if not (math.isfinite(count) and count >= 0):
            raise ValueError(
                f"column 'count' of {path} is not a number from 0 in row {row} (counted from 1): {text!r}"
            )
        counts[plain_word(word)] = counts.get(plain_word(word), 0) + count
    if not any(counts.values()):
        raise ValueError(f"column 'count' of {path} has no number above 0")
    return counts


def _of_language(language: str) -> WordFrequencies:
    try:
        import wordfreq
    except ImportError as error:
        raise ImportError(
            "word frequencies of a language need wordfreq: pip install 'isotropy-metrics[study]', or count the "
            f"training texts with frequencies={CORPUS!r}"
        ) from error
    if language not in wordfreq.available_languages():
        raise ValueError(
            f"frequencies={language!r} is neither a file, nor {CORPUS!r}, nor a language of wordfreq: "
            f"{', '.join(sorted(wordfreq.available_languages()))}"
        )
    try:
        wordfreq.zipf_frequency("1", language)
    except ImportError as error:
        raise ImportError(
            f"wordfreq needs more packages to count words of {language!r} ({error}): pip install 'wordfreq[cjk]'"
        ) from error
    return WordFrequencies(
        lambda word: wordfreq.zipf_frequency(word, language) or None,
        "Zipf: log10 of occurrences per billion words",
        f"wordfreq {language!r}",
    )
