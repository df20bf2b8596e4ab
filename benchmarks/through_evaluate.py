"""The same measures through `evaluate`, beside the rows themselves and a plain module that stores rows in Arrow."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import datasets
import evaluate
import numpy as np

from benchmarks.contest import Agreement, Contestant, Size, Target, Task
from benchmarks.rows import rows_of
from benchmarks.second_moments import OF_ROWS, measures_of_rows, product
from isotropy_metrics import load, measure, register

BATCH_ROWS = 1000


class PlainModule(evaluate.Metric):
    """As the guide of evaluate has it: rows go to an Arrow file, and come back as lists of numbers."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"embeddings": datasets.Sequence(datasets.Value("float32"))})
        return evaluate.MetricInfo(description="measures", citation="", features=features)

    def _compute(self, embeddings: list[list[float]]) -> dict[str, float]:
        return measures_of_rows(np.asarray(embeddings, dtype=np.float32))


def computed(module: evaluate.EvaluationModule, X: np.ndarray) -> dict[str, float]:
    for start in range(0, len(X), BATCH_ROWS):
        module.add_batch(embeddings=X[start : start + BATCH_ROWS])
    return module.compute()


def isoscore_of_rows(X: np.ndarray) -> dict[str, float]:
    return measure(X, "isoscore")


def measures_through_evaluate(X: np.ndarray) -> dict[str, float]:
    return computed(load(OF_ROWS), X)


def isoscore_through_evaluate(X: np.ndarray) -> dict[str, float]:
    register()
    return computed(evaluate.load("isoscore"), X)


def measures_through_arrow(X: np.ndarray) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        return computed(PlainModule(cache_dir=folder), X)


def agreements(X: np.ndarray) -> Iterator[Agreement]:
    ours, peer = measures_through_evaluate(X), measures_through_arrow(X)
    for name in ("isoscore", "effective_rank", "average_cosine_similarity"):
        yield Agreement(f"{name}, a plain module", ours[name], peer[name])


OF_ARRAY = Contestant(f"measure(X, ...): {len(OF_ROWS)} measures", measures_of_rows)
THROUGH = Contestant(f"isotropy_metrics.load([...]): {len(OF_ROWS)} measures", measures_through_evaluate)
ONE = Contestant('evaluate.load("isoscore")', isoscore_through_evaluate)
MAIN = Size(100_000, 768)

TASKS = (
    Task(
        name="through_evaluate",
        title=f"Through evaluate, in batches of {BATCH_ROWS:,} rows",
        prepare=rows_of,
        floor=Contestant("numpy: X.T @ X", product),
        ours=(OF_ARRAY, THROUGH, Contestant("isoscore of the rows", isoscore_of_rows), ONE),
        peers=(Contestant(f"a plain module on Arrow: {len(OF_ROWS)} measures", measures_through_arrow),),
        sizes=(
            Size(1000, 768),
            Size(10_000, 768),
            MAIN,
            Size(1_000_000, 768),
            Size(100_000, 384),
            Size(100_000, 1024),
        ),
        main=MAIN,
        quick_sizes=(Size(1000, 64), Size(3000, 64)),
        small=Size(300, 8),
        agreements=agreements,
        targets=(
            Target("isoscore through evaluate ≤ 1.25 × floor", MAIN, lambda outcome: outcome.ratio(ONE.name), 1.25),
            Target(
                f"{len(OF_ROWS)} measures through evaluate ≤ 1.25 × floor",
                MAIN,
                lambda outcome: outcome.ratio(THROUGH.name),
                1.25,
            ),
            Target(
                f"{len(OF_ROWS)} measures through evaluate ≤ 1.25 × measure(X)",
                MAIN,
                lambda outcome: outcome.ratio(THROUGH.name, OF_ARRAY.name),
                1.25,
            ),
        ),
    ),
)
