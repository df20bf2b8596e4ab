"""Custom: texts, and a score of their embeddings that the user computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from isotropy_metrics.study.data.labelled_texts import LabelledTexts


@dataclass(frozen=True)
class Custom:
    """Any score of the embeddings of a list of texts.

    The score is of all texts at once, so that there are no items to resample: it has no interval, and a study with it
    takes all held-out texts, and a second checkpoint that is already fine-tuned.

    Attributes:
        train, test: the texts that treatments are fitted on, and those that are scored; labels are their numbers.
        function: from the embeddings of `test.texts`, (n_texts, n_features), to the score.
    """

    train: LabelledTexts
    test: LabelledTexts
    function: Callable[[np.ndarray], float]
    score_name: str = "score"

    kind: ClassVar[str] = "custom"
    has_interval: ClassVar[bool] = False
    dev: ClassVar[None] = None

    @classmethod
    def of(
        cls,
        function: Callable[[np.ndarray], float],
        texts: Sequence[str],
        fitting_texts: Sequence[str] | None = None,
        *,
        groups: Sequence[str] | None = None,
        score_name: str = "score",
    ) -> Custom:
        """The task of these texts.

        Args:
            function: from embeddings, a row per text in the order of `texts`, to the score; more is better.
            texts: what is embedded and scored.
            fitting_texts: what treatments and directions are fitted on; None for `texts` themselves.
            groups: language or other group of each of `texts`.
            score_name: what tables and figures call the score.

        Raises:
            ValueError: fewer than 3 texts, an empty one, or not one group per text.
        """
        test = _numbered(texts, groups)
        return cls(test if fitting_texts is None else _numbered(fitting_texts), test, function, score_name)

    def predict(
        self, part: LabelledTexts, embeddings: np.ndarray, fitting: LabelledTexts, fitting_embeddings: np.ndarray
    ) -> np.ndarray:
        """The embeddings: what there is to predict is the function's affair."""
        return embeddings

    def score(self, predictions: np.ndarray, labels: np.ndarray) -> float:
        """What the function says; only of all texts in their order.

        Raises:
            ValueError: other texts, or the function does not return a number.
        """
        if not np.array_equal(labels, self.test.labels):
            raise ValueError("a custom score is of all texts in their order, not of some of them")
        value = self.function(predictions)
        if not isinstance(value, (int, float, np.number)):
            raise ValueError(f"the score of the embeddings must be a number, got {type(value).__name__}")
        return float(value)

    def sample(self, most_train: int | None, most_test: int | None, seed: int) -> Custom:
        """The task with at most so many texts to fit on.

        Raises:
            ValueError: fewer held-out texts were asked for than there are.
        """
        if most_test is not None and most_test < len(self.test):
            raise ValueError(f"a custom score is of all its {len(self.test)} texts: leave max_rows out")
        return replace(self, train=self.train.sample(most_train, seed))

    def protocol(self) -> dict[str, object]:
        """How the score is computed."""
        name = getattr(self.function, "__qualname__", type(self.function).__name__)
        shared = "; treatments are fitted on the same texts" if set(self.train.texts) <= set(self.test.texts) else ""
        return {"score": f"the user's function {name} of all embeddings{shared}"}


def _numbered(texts: Sequence[str], groups: Sequence[str] | None = None) -> LabelledTexts:
    texts = [texts] if isinstance(texts, str) else list(texts)
    if len(texts) < 3:
        raise ValueError(f"a custom score needs a list of at least 3 texts, got {len(texts)}")
    bad = [i for i, text in enumerate(texts) if not isinstance(text, str) or not text.strip()]
    if bad:
        raise ValueError(f"texts[{bad[0]}] is not a text: {texts[bad[0]]!r}")
    if groups is not None and len(groups) != len(texts):
        raise ValueError(f"groups must have one entry per text, got {len(groups)} for {len(texts)} texts")
    return LabelledTexts(texts, np.arange(len(texts)), None if groups is None else np.array(list(map(str, groups))))
