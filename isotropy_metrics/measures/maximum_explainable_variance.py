"""Maximum explainable variance: how well one static vector stands for the occurrences of a word."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of
from isotropy_metrics.measures._words import ETHAYARAJH_2019
from isotropy_metrics.statistics import RowSample

EXTRA_KEYS = ("maximum_explainable_variance_adjusted", "maximum_explainable_variance_words")


@measure_of(
    needs=RowSample,
    bounds=(0.0, 1.0),
    isotropic=None,
    invariant_to=("rotation", "scale"),
    rows_wanted=lambda d: 1000,
    paper="1909.00512",
    citation=ETHAYARAJH_2019,
    ids=("words",),
    weighted=False,
)
def maximum_explainable_variance(sample: RowSample, *, min_occurrences: int = 5) -> dict[str, float]:
    """Share of a word's occurrences that their first principal direction explains, averaged over the words.

    With σ the singular values of the matrix of the n occurrences of a word w, (n, n_features), not centred,

        MEV(w) = σ₁² / Σσ²,    maximum_explainable_variance = mean of MEV(w) over the words

    Near 1 a single static vector could stand for the word in every context. `maximum_explainable_variance_adjusted` is
    the value less that of all rows, whatever word they are, as the paper's anisotropy baseline. The paper's repository
    centres the words but not the baseline, so that its adjusted numbers are another quantity; this is the formula of
    the paper for both.

    What it does not tell: context from chance where words are rare, since MEV(w) is at least 1/n: read it for words
    with many occurrences, or against the null.

    Args:
        sample: the rows (n_samples, n_features) together with `words`, which word each row is an occurrence of.
            More rows than the sample's size are sampled, by whole words; by sentences if `sentences` are given, which
            leaves only the words that are frequent in the sample: then take a larger one (`sample_size=`).
        min_occurrences: fewest occurrences of a word that counts; 5 in the paper, at least 2.

    Returns:
        `maximum_explainable_variance`, `maximum_explainable_variance_adjusted`, and
        `maximum_explainable_variance_words`, how many words counted.

    Raises:
        ValueError: fewer than 2 rows, no `words`, weights, or `min_occurrences` below 2.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> words = np.arange(1000) % 50
        >>> X = rng.normal(size=(50, 20))[words] + 0.5 * rng.normal(size=(1000, 20))
        >>> result = maximum_explainable_variance(X, words=words)
        >>> round(result["maximum_explainable_variance"], 2), round(result["maximum_explainable_variance_adjusted"], 2)
        (0.8, 0.69)
    """
    if min_occurrences < 2:
        raise ValueError(f"min_occurrences must be at least 2, got {min_occurrences}")
    rows = sample.rows.astype(np.float64)
    rows /= np.abs(rows).max() or 1.0
    order = np.argsort(sample.words, kind="stable")
    words = sample.words[order]
    occurrences = np.split(rows[order], np.flatnonzero(np.diff(words)) + 1)
    values = [_first_share(each) for each in occurrences if len(each) >= min_occurrences and each.any()]
    if not values:
        reason = f"no word has {min_occurrences} occurrences that are not all zero"
        return nan_because("maximum_explainable_variance", reason, *EXTRA_KEYS)
    value = float(np.mean(values))
    return dict(
        zip(
            ("maximum_explainable_variance", *EXTRA_KEYS),
            (value, value - _first_share(rows), len(values)),
            strict=True,
        )
    )


def _first_share(rows: np.ndarray) -> float:
    """σ₁² / Σσ², from the smaller of the two Gram matrices."""
    gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    return float(np.linalg.eigvalsh(gram)[-1] / np.trace(gram))
