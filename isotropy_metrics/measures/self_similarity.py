"""Self-similarity: how alike the occurrences of a word are."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of
from isotropy_metrics.measures._words import ETHAYARAJH_2019, mean_cosine, sums_by, unit_rows
from isotropy_metrics.statistics import RowSample

EXTRA_KEYS = ("self_similarity_adjusted", "self_similarity_words")


@measure_of(
    needs=RowSample,
    bounds=(-1.0, 1.0),
    isotropic=0.0,
    invariant_to=("rotation", "scale"),
    rows_wanted=lambda d: 1000,
    paper="1909.00512",
    citation=ETHAYARAJH_2019,
    ids=("words",),
    weighted=False,
)
def self_similarity(sample: RowSample, *, min_occurrences: int = 5) -> dict[str, float]:
    """Mean cosine between two occurrences of the same word, averaged over the words.

    With x̂ the n occurrences of a word w divided by their length,

        SelfSim(w) = (‖Σ x̂‖² − n) / (n(n − 1)),    self_similarity = mean of SelfSim(w) over the words

    exact over all pairs. 1 means that the context changes nothing. `self_similarity_adjusted` is the value less the
    anisotropy baseline of the paper, the mean cosine of any two rows (`average_cosine_similarity` of the same rows):
    in an anisotropic space any two occurrences are alike.

    What it does not tell: whether contexts move a word along its meanings or along its position and frequency; and
    words of several tokens are what the caller makes of them.

    Args:
        sample: the rows (n_samples, n_features) together with `words`, which word each row is an occurrence of.
            More rows than the sample's size are sampled, by whole words; by sentences if `sentences` are given, which
            leaves only the words that are frequent in the sample: then take a larger one (`sample_size=`).
        min_occurrences: fewest occurrences of a word that counts; 5 in the paper, at least 2.

    Returns:
        `self_similarity` and `self_similarity_adjusted`, and `self_similarity_words`, how many words counted.

    Raises:
        ValueError: fewer than 2 rows, no `words`, weights, or `min_occurrences` below 2.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> words = np.arange(1000) % 50
        >>> X = rng.normal(size=(50, 20))[words] + 0.5 * rng.normal(size=(1000, 20)) + 1
        >>> result = self_similarity(X, words=words)
        >>> round(result["self_similarity"], 2), round(result["self_similarity_adjusted"], 2)
        (0.88, 0.44)
    """
    if min_occurrences < 2:
        raise ValueError(f"min_occurrences must be at least 2, got {min_occurrences}")
    units, used = unit_rows(sample.rows)
    if not len(units):
        return nan_because("self_similarity", "all rows are zero", *EXTRA_KEYS)
    counts, sums = sums_by(sample.words[used], units)
    often = counts >= min_occurrences
    if not often.any():
        return nan_because("self_similarity", f"no word has {min_occurrences} occurrences", *EXTRA_KEYS)
    n = counts[often]
    values = (np.einsum("ij,ij->i", sums[often], sums[often]) - n) / (n * (n - 1))
    value = float(values.mean())
    return dict(zip(("self_similarity", *EXTRA_KEYS), (value, value - mean_cosine(units), len(n)), strict=True))
