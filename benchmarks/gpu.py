"""Throughput on rows that lie on a GPU, beside its own products and copies; skipped where torch sees none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from benchmarks.contest import Agreement, Contestant, Size, Task
from benchmarks.neighbors import MEASURES_OF_NEIGHBORS, K
from isotropy_metrics import Moments, measure
from isotropy_metrics.enhancement import Whitening

NEIGHBOR_ROWS = 10_000
FITTING_ROWS = 10_000


def why_not() -> str:
    return "" if torch.cuda.is_available() else "torch sees no GPU"


@dataclass
class OnDevice:
    """Rows and a matrix on a device, and a whitening that was fitted on some of the rows."""

    rows: torch.Tensor
    matrix: torch.Tensor
    whitening: Whitening


def on_device(size: Size, device: str = "cuda") -> OnDevice:
    generator = torch.Generator(device).manual_seed(0)
    rows = torch.randn(size.rows, size.features, generator=generator, device=device)
    matrix = torch.randn(size.features, size.features, generator=generator, device=device)
    return OnDevice(rows, matrix, Whitening().fit(rows[:FITTING_ROWS].cpu().numpy()))


def _finish(rows: torch.Tensor) -> None:
    """Calls return before the GPU is done."""
    if rows.is_cuda:
        torch.cuda.synchronize()


def gram(given: OnDevice) -> None:
    given.rows.T @ given.rows
    _finish(given.rows)


def product(given: OnDevice) -> None:
    given.rows @ given.matrix
    _finish(given.rows)


def products_of_pairs(given: OnDevice) -> None:
    """And the choice of the nearest."""
    rows = given.rows[:NEIGHBOR_ROWS]
    squares = rows.square().sum(dim=1)
    (squares - 2 * rows @ rows.T).topk(min(K + 1, len(rows)), largest=False)
    _finish(given.rows)


def copy_to_host(given: OnDevice) -> None:
    given.rows.cpu()


def copy_on_device(given: OnDevice) -> None:
    given.rows.clone()
    _finish(given.rows)


def moments(given: OnDevice) -> Moments:
    found = Moments()
    found.update(given.rows)
    _finish(given.rows)
    return found


def neighbors(given: OnDevice) -> dict[str, float]:
    return measure(given.rows[:NEIGHBOR_ROWS], MEASURES_OF_NEIGHBORS)


def transform(given: OnDevice) -> None:
    given.whitening.transform(given.rows)
    _finish(given.rows)


def agreements(given: OnDevice) -> Iterator[Agreement]:
    """Beside float64 on the device."""
    rows = given.rows.double()
    variances = torch.linalg.eigvalsh(torch.cov(rows.T))
    participation = float(variances.sum() ** 2 / variances.square().sum())
    yield Agreement(
        "participation ratio, float64 on the device",
        measure(given.rows, "participation_ratio")["participation_ratio"],
        participation,
        1e-6,
    )
    scatter = float(moments(given).scatter.trace())
    yield Agreement(
        "trace of the scatter, float64 on the device", scatter, float(variances.sum()) * (len(rows) - 1), 1e-6
    )


MAIN = Size(100_000, 768)

TASKS = (
    Task(
        name="gpu",
        title="Rows on a GPU",
        prepare=on_device,
        floor=Contestant("the device's own X.T @ X", gram),
        ours=(
            Contestant("Moments().update(X)", moments),
            Contestant(
                f"measure(...): {len(MEASURES_OF_NEIGHBORS)} measures of neighbours of {NEIGHBOR_ROWS:,} rows",
                neighbors,
            ),
            Contestant("Whitening().transform(X)", transform),
        ),
        peers=(
            Contestant("torch: X.clone() on the device", copy_on_device),
            Contestant("torch: X.cpu()", copy_to_host),
            Contestant("torch: X @ W", product),
            Contestant(f"torch: X @ X.T and topk of {NEIGHBOR_ROWS:,} rows", products_of_pairs),
        ),
        sizes=(Size(10_000, 768), MAIN, Size(1_000_000, 768), Size(100_000, 4096)),
        main=MAIN,
        quick_sizes=(Size(1000, 64), Size(3000, 64)),
        small=Size(300, 8),
        agreements=agreements,
        skipped=why_not,
    ),
)
