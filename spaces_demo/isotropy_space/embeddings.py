"""Embeddings: rows that somebody wants to look at, with what is known of each row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The rows of one space.

    Attributes:
        title: what a reader calls it: the name of a file, or a model and its layer.
        rows: (n_samples, n_features), of float32 or float64, all finite.
        names: (n_samples,), of str: the word or text of each row; None if nothing tells.
        labels: (n_samples,), of str or numbers: what points are coloured by; None if nothing tells.
        labels_title: what the labels are.
        notes: what a reader should know of how the rows were had, a sentence each.
    """

    title: str
    rows: np.ndarray
    names: np.ndarray | None = None
    labels: np.ndarray | None = None
    labels_title: str | None = None
    notes: tuple[str, ...] = ()
