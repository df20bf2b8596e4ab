"""AnnotatedWords: sentences in which one word has a known sense and tense; and which tokens that word is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isotropy_metrics.study.data.annotated_table import annotated_columns
from isotropy_metrics.tokenized_texts import special_token_ids

COLUMNS = ("word", "sense", "tense", "sentence")


@dataclass(frozen=True)
class AnnotatedWords:
    """One occurrence of a word per sentence, all lists of the same length.

    Attributes:
        words: which word occurs, in its dictionary form.
        senses: in which sense.
        tenses: in which tense.
        sentences: where.
        forms: the form in which it stands there.
        source: where they come from.
    """

    words: list[str]
    senses: list[str]
    tenses: list[str]
    sentences: list[str]
    forms: list[str]
    source: str

    def __len__(self) -> int:
        return len(self.sentences)

    @classmethod
    def load(cls, path: Path) -> AnnotatedWords:
        """From a file with columns `word`, `sense`, `tense`, `sentence`, and perhaps `form`.

        Raises:
            FileNotFoundError, ValueError: the file is not there or not as described, a word does not stand in its
                sentence, or there is no word whose senses and tenses can be compared.
        """
        columns = annotated_columns(path, COLUMNS, optional=("form",))
        words, senses, tenses, sentences = (columns[name] for name in COLUMNS)
        table = cls(words, senses, tenses, sentences, columns.get("form", words), str(path))
        for row, (form, sentence) in enumerate(zip(table.forms, sentences, strict=True), 1):
            if place_of(form, sentence) is None:
                raise ValueError(
                    f"row {row} of {path} (counted from 1, without the header): {form!r} does not stand in its "
                    f"sentence {sentence[:80]!r}; if that has another form of the word, give it in a column 'form'"
                )
        if not any(len(rows) for rows in table.comparable().values()):
            raise ValueError(
                f"{path} has no word to compare: one word needs two sentences of the same sense and tense, and others "
                "of another sense in that tense and of another tense in that sense"
            )
        return table

    def comparable(self) -> dict[str, np.ndarray]:
        """The rows of each word that has pairs of all three kinds, by word in their order."""
        words = np.array(self.words, dtype=object)
        rows = {word: np.flatnonzero(words == word) for word in dict.fromkeys(self.words)}
        return {word: own for word, own in rows.items() if all(kind.any() for kind in self.kinds(own).values())}

    def kinds(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Which pairs of these rows have the same tense and the same sense, (n, n), by kind of pair."""
        same_tense, same_sense = (
            np.equal.outer(values, values)
            for values in (np.array([column[row] for row in rows], dtype=str) for column in (self.tenses, self.senses))
        )
        others = ~np.eye(len(rows), dtype=bool)
        return {
            "st_sm": same_tense & same_sense & others,
            "st_dm": same_tense & ~same_sense,
            "dt_sm": ~same_tense & same_sense,
        }

    def token_places(self, tokenizer: Any, max_length: int) -> list[np.ndarray]:
        """For each sentence, which of its tokens the word consists of, counted without special tokens.

        Raises:
            ValueError: a word lies beyond `max_length` tokens.
        """
        encoded = tokenizer(
            self.sentences, truncation=True, max_length=max_length, return_offsets_mapping=True, verbose=False
        )
        special = set(special_token_ids(tokenizer))
        places = []
        for row, (ids, offsets) in enumerate(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)):
            start, end = place_of(self.forms[row], self.sentences[row])
            kept = [span for number, span in zip(ids, offsets, strict=True) if number not in special]
            places.append(np.array([i for i, (low, high) in enumerate(kept) if low < end and high > start], dtype=int))
            if not len(places[-1]):
                raise ValueError(
                    f"row {row + 1} of {self.source} (counted from 1, without the header): {self.forms[row]!r} lies "
                    f"beyond the {max_length} tokens of a text: shorten the sentence"
                )
        return places


def place_of(form: str, sentence: str) -> tuple[int, int] | None:
    """Where a word stands first as a whole word, whatever its case; None if it does not.

    >>> place_of("ran", "A crane ran. Ran?"), place_of("ran", "a crane")
    ((8, 11), None)
    """
    found = re.search(rf"(?<!\w){re.escape(form)}(?!\w)", sentence, flags=re.IGNORECASE)
    return None if found is None else found.span()


def mean_rows(rows: np.ndarray, starts: np.ndarray, places: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of the tokens of each word, (n_words, n_features), in float64.

    Args:
        rows: (n_tokens, n_features), of all sentences by sentence and position.
        starts: (n_sentences,), the first row of each.
        places: which tokens of its sentence each word consists of.
    """
    return np.stack(
        [rows[start + own].mean(axis=0, dtype=np.float64) for start, own in zip(starts, places, strict=True)]
    )
