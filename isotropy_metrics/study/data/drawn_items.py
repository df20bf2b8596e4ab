"""Which items of labelled data are drawn: uniformly, or of classes in their proportion."""

from __future__ import annotations

import numpy as np


def drawn_items(labels: np.ndarray, most: int | None, seed: int) -> np.ndarray:
    """Numbers of at most `most` items, drawn without replacement, in their order; None for all.

    Labels that are numbers with fractions are scores: every item is as likely as another. Other labels are classes:
    each is drawn in its proportion, and at least once if `most` allows.
    """
    n = len(labels)
    if most is None or most >= n:
        return np.arange(n)
    rng = np.random.default_rng(seed)
    if labels.dtype.kind == "f":
        return np.sort(rng.choice(n, most, replace=False))
    shuffled = rng.permutation(n)
    _, classes, sizes = np.unique(labels[shuffled], return_inverse=True, return_counts=True)
    by_class = np.argsort(classes, kind="stable")
    place = np.empty(n, dtype=int)
    place[by_class] = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first_of_all = np.argsort(place / sizes[classes], kind="stable")
    return np.sort(shuffled[first_of_all[:most]])
