"""Mean cosine over all pairs of rows, beside two readings of the rows and the packages that hold all pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.contest import Agreement, Contestant, Outcome, Size, Target, Task
from benchmarks.rows import rows_of
from isotropy_metrics import measure


def sum_of_directions(X: np.ndarray) -> np.ndarray:
    """The square of its length is the sum of all cosines."""
    return (1 / np.sqrt(np.einsum("ij,ij->i", X, X))) @ X


def of_all_pairs(X: np.ndarray) -> float:
    return measure(X, "average_cosine_similarity")["average_cosine_similarity"]


def of_torchmetrics(X: np.ndarray) -> float:
    """Its diagonal is zero."""
    import torch
    from torchmetrics.functional import pairwise_cosine_similarity

    return float(pairwise_cosine_similarity(torch.from_numpy(X)).mean()) * len(X) / (len(X) - 1)


def of_sentence_transformers(X: np.ndarray) -> float:
    import torch
    from sentence_transformers.util import cos_sim

    rows = torch.from_numpy(X)
    return (float(cos_sim(rows, rows).mean()) * len(X) - 1) / (len(X) - 1)


def agreements(X: np.ndarray) -> Iterator[Agreement]:
    X = X + np.float32(0.5)  # without a mean the value is zero but for rounding
    ours = of_all_pairs(X)
    yield Agreement("mean cosine, torchmetrics", ours, of_torchmetrics(X))
    yield Agreement("mean cosine, sentence-transformers", ours, of_sentence_transformers(X))


OURS = Contestant("average_cosine_similarity", of_all_pairs)
MAIN = Size(10_000, 768)


def times_faster(outcome: Outcome) -> float:
    """Time of the quickest peer over ours."""
    return min(outcome.ratio(peer, OURS.name) for peer in outcome.peers)


TASKS = (
    Task(
        name="mean_cosine",
        title="Mean cosine of all pairs",
        prepare=rows_of,
        floor=Contestant("numpy: (1 / lengths) @ X", sum_of_directions),
        ours=(OURS,),
        peers=(
            Contestant("torchmetrics: mean of pairwise_cosine_similarity", of_torchmetrics, bytes_per_pair=4),
            Contestant("sentence-transformers: mean of cos_sim", of_sentence_transformers, bytes_per_pair=4),
        ),
        sizes=(
            Size(1000, 768),
            MAIN,
            Size(100_000, 768),
            Size(1_000_000, 768),
            Size(10_000, 384),
            Size(10_000, 1024),
            Size(10_000, 4096),
        ),
        main=MAIN,
        quick_sizes=(Size(1000, 64), Size(3000, 64)),
        small=Size(300, 8),
        agreements=agreements,
        absent={
            "cosine_score of the IsoScore repository": "a SyntaxError in line 54 of its file; it draws pairs, "
            "also of one row with itself"
        },
        targets=(Target("mean cosine ≥ 15 × faster than all pairs", MAIN, times_faster, 15.0, is_least=True),),
    ),
)
