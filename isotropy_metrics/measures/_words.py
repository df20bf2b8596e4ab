"""What the measures of contextual words share (Ethayarajh 2019)."""

from __future__ import annotations

import numpy as np

ETHAYARAJH_2019 = """@inproceedings{ethayarajh-2019-contextual,
    title = "How Contextual are Contextualized Word Representations? Comparing the Geometry of {BERT}, {ELM}o, and
        {GPT}-2 Embeddings",
    author = "Ethayarajh, Kawin",
    booktitle = "Proceedings of EMNLP-IJCNLP 2019",
    year = "2019"
}"""


def unit_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows divided by their length in float64, and which rows those are: those that are not zero."""
    rows = rows.astype(np.float64)
    rows /= np.abs(rows).max() or 1.0
    lengths = np.linalg.norm(rows, axis=1)
    return rows[lengths > 0] / lengths[lengths > 0, None], lengths > 0


def sums_by(ids: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of rows of each id, and their sum, (n_ids, n_features); ids ascending."""
    order = np.argsort(ids, kind="stable")
    starts = np.flatnonzero(np.diff(ids[order], prepend=ids[order][0] - 1))
    counts = np.diff(np.append(starts, len(ids)))
    return counts, np.add.reduceat(rows[order], starts, axis=0)


def mean_cosine(units: np.ndarray) -> float:
    """Mean cosine of two different rows: the anisotropy baseline."""
    n, total = len(units), units.sum(axis=0)
    return float((total @ total - n) / (n * (n - 1))) if n > 1 else float("nan")
