"""Intra-sentence similarity: how alike the words of a sentence are."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of
from isotropy_metrics.measures._words import ETHAYARAJH_2019, mean_cosine, sums_by, unit_rows
from isotropy_metrics.statistics import RowSample

EXTRA_KEYS = ("intra_sentence_similarity_adjusted", "intra_sentence_similarity_sentences")


@measure_of(
    needs=RowSample,
    bounds=(-1.0, 1.0),
    isotropic=None,
    invariant_to=("rotation", "scale"),
    rows_wanted=lambda d: 1000,
    paper="1909.00512",
    citation=ETHAYARAJH_2019,
    ids=("sentences",),
    weighted=False,
)
def intra_sentence_similarity(sample: RowSample) -> dict[str, float]:
    """Mean cosine of the words of a sentence with the sentence's mean, averaged over the sentences.

    With x the n rows of a sentence s and s̄ their mean,

        IntraSim(s) = mean of cos(x, s̄),    intra_sentence_similarity = mean of IntraSim(s) over the sentences

    1 means that the rows of a sentence point one way. `intra_sentence_similarity_adjusted` is the value less the
    anisotropy baseline of the paper, the mean cosine of any two rows. Sentences of one row, which would count 1, and
    rows that are zero are left out.

    What it does not tell: contexts from chance where sentences are short, since a mean contains its rows: n
    independent directions have about 1/√n. Compare sentences of equal length, or the null.

    Args:
        sample: the rows (n_samples, n_features) together with `sentences`, which sentence each row comes from. More
            rows than the sample's size are sampled by whole sentences.

    Returns:
        `intra_sentence_similarity`, `intra_sentence_similarity_adjusted`, and `intra_sentence_similarity_sentences`,
        how many sentences counted.

    Raises:
        ValueError: fewer than 2 rows, no `sentences`, or weights.

    Example:
        >>> import numpy as np
        >>> sentences = np.arange(1200) // 12
        >>> X = np.random.default_rng(0).normal(size=(1200, 20))    # 12 independent rows: about 1/√12 = 0.29
        >>> result = intra_sentence_similarity(X, sentences=sentences)
        >>> round(result["intra_sentence_similarity"], 2), result["intra_sentence_similarity_sentences"]
        (0.29, 100)
    """
    rows = sample.rows.astype(np.float64)
    rows /= np.abs(rows).max() or 1.0
    units, used = unit_rows(rows)
    if not len(units):
        return nan_because("intra_sentence_similarity", "all rows are zero", *EXTRA_KEYS)
    sentences = sample.sentences[used]
    counts, sums = sums_by(sentences, rows[used])
    unit_sums = sums_by(sentences, units)[1]
    lengths = np.linalg.norm(sums, axis=1)
    counted = (counts >= 2) & (lengths > 0)
    if not counted.any():
        return nan_because("intra_sentence_similarity", "no sentence has 2 rows that do not cancel", *EXTRA_KEYS)
    values = np.einsum("ij,ij->i", sums[counted], unit_sums[counted]) / (lengths[counted] * counts[counted])
    value = float(values.mean())
    return dict(
        zip(("intra_sentence_similarity", *EXTRA_KEYS), (value, value - mean_cosine(units), len(values)), strict=True)
    )
