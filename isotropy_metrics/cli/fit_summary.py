"""What was fitted, for people: of how many rows, how their variance is spread, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isotropy_metrics.embedding_files import EmbeddingFile
from isotropy_metrics.embedding_files.fitted_files import FittedStep
from isotropy_metrics.statistics import Moments

FIRST_DIRECTIONS = 10
SHARES = (0.5, 0.9, 0.95, 0.99)


def print_fit(files: Sequence[EmbeddingFile], steps: Sequence[FittedStep]) -> None:
    """Print the rows, the spectrum of their variance, and each step with the IsoScore before and after it."""
    for file in files:
        print(f"{file.path}: {file.n_features} features ({file.source})")
    fitted = next((step.moments for step in steps if step.moments is not None), None)
    if fitted is not None:
        print(f"fitted on {fitted.n_rows:,} rows")
        print_spectrum(fitted)
    for step in steps:
        print(": ".join(filter(None, [str(step.enhancement), _facts(step)])))


def print_spectrum(moments: Moments) -> None:
    """Shares of the variance by direction: how many directions stand out, and how many hold most of it."""
    values = moments.eigenvalues
    if not values.sum() > 0:
        return
    shares = values / values.sum()
    first = ", ".join(f"{share:.1%}" for share in shares[:FIRST_DIRECTIONS])
    print(f"variance of the first directions: {first}")
    needed = [int(np.searchsorted(np.cumsum(shares), share * (1 - 1e-12))) + 1 for share in SHARES]
    print(
        "directions that hold the variance: "
        + ", ".join(f"{share:.0%} in {number}" for share, number in zip(SHARES, needed, strict=True))
    )


def isoscore_after(step: FittedStep) -> float | None:
    """IsoScore of the fitting rows after an affine step, from their moments; None for other steps."""
    if step.moments is None or not hasattr(step.enhancement, "as_affine"):
        return None
    matrix, _ = step.enhancement.as_affine()
    return _isoscore(matrix.T @ step.moments.scatter @ matrix)


def _isoscore(scatter: np.ndarray) -> float:
    """(tr(S)² / ‖S‖² − 1) / (d − 1), NaN without variance: `isoscore` without its warnings."""
    if len(scatter) < 2 or not np.trace(scatter) > 0:
        return float("nan")
    scatter = scatter / np.trace(scatter)
    return float((1 / np.vdot(scatter, scatter) - 1) / (len(scatter) - 1))


def _facts(step: FittedStep) -> str:
    """Numbers that were fitted, shapes of matrices, and the IsoScore."""
    facts = []
    for name in getattr(step.enhancement, "FITTED", ()):
        value = getattr(step.enhancement, name)
        if np.ndim(value) == 0:
            facts.append(f"{name} {value:.4g}")
        elif value.dtype == bool:
            facts.append(f"{name} {value.sum()} of {len(value)}")
        elif np.ndim(value) > 1:
            facts.append(f"{name} {value.shape}")
    if step.moments is not None:
        after = isoscore_after(step)
        facts.append(
            f"IsoScore {_isoscore(step.moments.scatter):.4g} before"
            + ("" if after is None else f", {after:.4g} after")
        )
    return ", ".join(facts)
