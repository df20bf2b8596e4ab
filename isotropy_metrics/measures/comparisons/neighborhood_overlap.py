"""Neighbourhood overlap: whether rows have the same nearest neighbours in two spaces."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures.comparisons._comparison import comparison_of
from isotropy_metrics.statistics import PairSample


@comparison_of(
    needs=PairSample,
    bounds=(0.0, 1.0),
    same=1.0,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=lambda d, k=10: 50 * k,
    paper="2405.07987",
    citation="""@inproceedings{huh2024platonic,
    title = "Position: The {P}latonic Representation Hypothesis",
    author = "Huh, Minyoung and Cheung, Brian and Wang, Tongzhou and Isola, Phillip",
    booktitle = "Proceedings of the 41st International Conference on Machine Learning",
    year = "2024"
}""",
    weighted=False,
)
def neighborhood_overlap(pairs: PairSample, *, k: int = 10) -> dict[str, float]:
    """Mean Jaccard index of the k nearest neighbours of each row in two spaces.

    With A and B the sets of the k nearest other rows of row i, by Euclidean distance in the first and in the second
    space, and c = |A ∩ B|,

        neighborhood_overlap = mean over i of |A ∩ B| / |A ∪ B| = mean of c / (2k − c)
        mutual_knn           = mean over i of c / k

    the second as in Huh et al. 2024 (who take cosines: divide the rows by their length for that). It sees what is
    near and nothing else, where `linear_cka` sees what varies most. By chance, in random pairs, mutual_knn is
    k/(n − 1), and neighborhood_overlap about half of it, k/(2(n − 1) − k): both fall with n, so compare values of
    equal n only. Where rows are equally far away, as copies of one row are, those with the smaller index are taken.

    What it does not tell: whether what is far apart in one space is far apart in the other; and where rows have many
    copies, the overlap is partly that of their indices.

    Args:
        pairs: rows of both spaces, (n_samples, n_features) each, or a `PairSample` of them; more pairs than its size
            are sampled, and the neighbours are those in the sample.
        k: how many neighbours.

    Returns:
        `neighborhood_overlap` and `mutual_knn`, from 0 to 1.

    Raises:
        ValueError: other numbers of rows in the two spaces, k or fewer of them, k below 1, or weights, which have no
            meaning for neighbours.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(600, 8))
        >>> values = neighborhood_overlap(X, 0.5 * X + 3)
        >>> values["neighborhood_overlap"], values["mutual_knn"]
        (1.0, 1.0)
        >>> values = neighborhood_overlap(X, X[:, :4])
        >>> round(values["neighborhood_overlap"], 2), round(values["mutual_knn"], 2)
        (0.13, 0.21)
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    common = common_neighbors(pairs, k)
    return {
        "neighborhood_overlap": float(np.mean(jaccard_index(common, k))),
        "mutual_knn": float(np.mean(common / k)),
    }


def common_neighbors(pairs: PairSample, k: int) -> np.ndarray:
    """|A ∩ B| of every row, (n_samples,): how many of its k nearest neighbours it has in both spaces."""
    neighbors = np.concatenate([space.neighbors(k)[1] for space in pairs.spaces], axis=1)
    neighbors.sort(axis=1)
    return (neighbors[:, 1:] == neighbors[:, :-1]).sum(axis=1)


def jaccard_index(common: np.ndarray, k: int) -> np.ndarray:
    """|A ∩ B| / |A ∪ B| of sets of k that have so many in common."""
    return common / (2 * k - common)
