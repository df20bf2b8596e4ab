"""All measures of second moments in one pass, beside `X.T @ X` and the packages that compute one of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.contest import Agreement, Contestant, Outcome, Size, Target, Task
from benchmarks.rows import OFFSET, rows_of
from isotropy_metrics import MEASURES, Moments, UnitMoments, UnitSums, measure

OF_ROWS = [name for name, each in MEASURES.items() if each.needs in (UnitSums, Moments)]
OF_ROWS_AND_DIRECTIONS = [name for name, each in MEASURES.items() if each.needs in (UnitSums, Moments, UnitMoments)]


def product(X: np.ndarray) -> np.ndarray:
    """numpy runs it as a syrk, half of a product of two different matrices."""
    return X.T @ X


def measures_of_rows(X: np.ndarray) -> dict[str, float]:
    return measure(X, OF_ROWS)


def measures_of_rows_and_directions(X: np.ndarray) -> dict[str, float]:
    """Those of the directions need a second product."""
    return measure(X, OF_ROWS_AND_DIRECTIONS)


def isoscore_package(X: np.ndarray) -> float:
    import torch
    from IsoScore.IsoScore import IsoScore

    return float(IsoScore(torch.from_numpy(X)))


def participation_ratio_of_scikit_learn(X: np.ndarray) -> float:
    from sklearn.decomposition import PCA

    variances = PCA().fit(X).explained_variance_.astype(np.float64)
    return float(variances.sum() ** 2 / np.square(variances).sum())


def rankme_of_embedding_quality(X: np.ndarray) -> float:
    from embedding_quality.evaluation import UnsupervisedEmbeddingQualityEvaluation

    return float(UnsupervisedEmbeddingQualityEvaluation.RankMe(X))


def nesum_of_embedding_quality(X: np.ndarray) -> float:
    from embedding_quality.evaluation import UnsupervisedEmbeddingQualityEvaluation

    return float(np.real(UnsupervisedEmbeddingQualityEvaluation.NESum(X)))


def stable_rank_of_embedding_quality(X: np.ndarray) -> float:
    from embedding_quality.evaluation import UnsupervisedEmbeddingQualityEvaluation

    return float(UnsupervisedEmbeddingQualityEvaluation.Stable_rank(X))


def agreements(X: np.ndarray) -> Iterator[Agreement]:
    ours = measures_of_rows(X)
    uncentred = measure(X, ["stable_rank"], options={"stable_rank": {"centered": False}})
    pca = participation_ratio_of_scikit_learn(X)
    rankme = rankme_of_embedding_quality(X)
    stable_rank = stable_rank_of_embedding_quality(X)
    added = "it adds 1e-7 to every share after dividing by their sum"
    yield Agreement("isoscore, isoscore 2.0.1", ours["isoscore"], isoscore_package(X))
    yield Agreement("participation ratio, scikit-learn PCA", ours["participation_ratio"], pca)
    yield Agreement("rankme, embedding-quality", ours["rankme"], rankme, reason=added)
    yield Agreement("uncentred stable rank, embedding-quality", uncentred["stable_rank"], stable_rank)


OURS = Contestant(f"measure(X, ...): {len(OF_ROWS)} measures of the rows", measures_of_rows)
BOTH = Contestant(
    f"measure(X, ...): {len(OF_ROWS_AND_DIRECTIONS)} measures, with that of the directions",
    measures_of_rows_and_directions,
)


def beside_peers(outcome: Outcome) -> float:
    """Time of ours over that of the quickest peer."""
    return max(outcome.ratio(OURS.name, peer) for peer in outcome.peers)


MAIN = Size(100_000, 768)
WIDE, LONG_AND_WIDE = Size(100_000, 4096), Size(200_000, 4096)

TASKS = (
    Task(
        name="second_moments",
        title="Measures of second moments",
        prepare=rows_of,
        floor=Contestant("numpy: X.T @ X", product),
        ours=(OURS, BOTH),
        peers=(
            Contestant("isoscore: IsoScore, one number", isoscore_package),
            Contestant("scikit-learn: PCA, for the participation ratio", participation_ratio_of_scikit_learn),
            Contestant("embedding-quality: RankMe", rankme_of_embedding_quality),
            Contestant("embedding-quality: NESum", nesum_of_embedding_quality),
            Contestant("embedding-quality: stable rank", stable_rank_of_embedding_quality),
        ),
        sizes=(
            Size(1000, 768),
            Size(10_000, 768),
            MAIN,
            Size(1_000_000, 768),
            Size(100_000, 768, OFFSET),
            Size(100_000, 384),
            Size(100_000, 1024),
            WIDE,
            LONG_AND_WIDE,
        ),
        main=MAIN,
        quick_sizes=(Size(1000, 64), Size(3000, 64), Size(3000, 64, OFFSET), Size(1000, 256), Size(3000, 256)),
        small=Size(300, 8),
        agreements=agreements,
        absent={
            "reptrix": "its install replaces torch by one with CUDA, of several gigabytes",
            "req-metrics, IsoScore v1 and Marbut's spread measures": "not on PyPI",
            "existing_scores.py of the IsoScore repository": "a SyntaxError in line 54",
        },
        targets=(
            Target(
                "second-moment measures ≤ 1.15 × floor at 100,000 × 768",
                MAIN,
                lambda outcome: outcome.ratio(OURS.name),
                1.15,
            ),
            *(
                Target(
                    f"second-moment measures ≤ 1.3 × floor at {size}",
                    size,
                    lambda outcome: outcome.ratio(OURS.name),
                    1.3,
                )
                for size in (WIDE, LONG_AND_WIDE)
            ),
            Target("all of them ≤ 1 × the quickest peer, for one of them, at 100,000 × 768", MAIN, beside_peers, 1.0),
        ),
    ),
)
