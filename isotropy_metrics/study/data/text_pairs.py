"""Pairs of texts with a score or a class label each: what similarity and pair classification are made of."""

from __future__ import annotations

import csv
from dataclasses import dataclass

import numpy as np

from isotropy_metrics.study.data.bundled import stsb_path
from isotropy_metrics.study.data.drawn_items import drawn_items


@dataclass(frozen=True)
class TextPairs:
    """Pairs of texts, and how similar people find them or what else they are labelled.

    Attributes:
        first, second: the two texts of each pair.
        labels: (n_pairs,), how similar, on any scale, of float; or the class of each pair, of str.
        groups: (n_pairs,), of str, the language or other group of each pair; None if the data have none.
    """

    first: list[str]
    second: list[str]
    labels: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.first)

    @property
    def texts(self) -> list[str]:
        """All first texts, then all second texts."""
        return self.first + self.second

    @property
    def text_groups(self) -> np.ndarray | None:
        """The group of each of `texts`."""
        return None if self.groups is None else np.concatenate([self.groups, self.groups])

    def sample(self, most: int | None, seed: int) -> TextPairs:
        """At most `most` pairs, drawn without replacement, classes in their proportion, in their order."""
        return self.take(drawn_items(self.labels, most, seed))

    def take(self, chosen: np.ndarray) -> TextPairs:
        """The pairs with these numbers."""
        groups = None if self.groups is None else self.groups[chosen]
        return TextPairs(
            [self.first[i] for i in chosen], [self.second[i] for i in chosen], self.labels[chosen], groups
        )


def stsb_pairs(split: str, *, by_genre: bool = False) -> TextPairs:
    """Pairs of the "train", "dev" or "test" split of the bundled STS benchmark, in their order.

    Args:
        split: which.
        by_genre: the groups are where the pairs come from: news, captions, forums.
    """
    with open(stsb_path() / f"sts-{split}.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    genres = np.array([row[0] for row in rows]) if by_genre else None
    scores = np.array([float(row[4]) for row in rows])
    return TextPairs([row[5] for row in rows], [row[6] for row in rows], scores, genres)
