"""How far fine-tuning moved the same tokens, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.measures.comparisons import COMPARISONS, compare
from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.experiments._experiment import Experiment, Outcome
from isotropy_metrics.study.report.figures import LINE_COLORS, panel, reference_line, whole_numbers
from isotropy_metrics.study.report.tables import display_name, format_interval, format_number, number_or_nan
from isotropy_metrics.study.spaces.checkpoint import AFTER, BEFORE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_ALL = ("linear_cka", "procrustes_distance", "subspace_overlap")
NAMES = ("linear_cka", "procrustes_distance", "neighborhood_overlap", "subspace_overlap")
K_NEIGHBORS, K_DIRECTIONS = 10, 10
N_NEIGHBORS = 3000
"""Most tokens whose neighbours are compared; the other comparisons are of the whole sample."""

SHIFTS = {"mean_shift": 0.0, "norm_ratio": 1.0}
"""What is the same when nothing moved."""


def run(case: StudyCase) -> Outcome:
    """Every comparison of each layer before and after."""
    before, after = case.spaces[BEFORE], case.spaces[AFTER]
    layers = []
    for layer in before.layers:
        first, second = (space.sample(layer).rows for space in (before, after))
        compared = _compared(first, second, case.settings.seed)
        row = {"layer": layer} | {name: compared[name] for name in NAMES}
        layers.append(row | _shifts(case, layer, first, second) | _by_chance(*first.shape))
    protocol = {
        "rows": f"{len(first)} held-out tokens drawn uniformly, the same before and after and in every layer",
        "n_samples": len(first),
        "n_features": first.shape[1],
        "linear_cka": "without bias",
        "neighborhood_overlap": f"Jaccard index of the {_k_neighbors(len(first))} nearest neighbours, Euclidean, "
        f"among {min(len(first), N_NEIGHBORS)} of these tokens, drawn uniformly",
        "subspace_overlap": f"top {K_DIRECTIONS} principal directions in feature space, not up to a rotation",
        "mean_shift": "distance of the two means over the root mean square distance of a token from its mean, before",
        "norm_ratio": "mean length after over mean length before",
    }
    return Outcome({"layers": layers}, protocol)


def _compared(first: np.ndarray, second: np.ndarray, seed: int) -> dict[str, float]:
    """All comparisons of paired rows."""
    directions = {"subspace_overlap": {"k": K_DIRECTIONS, "between": "features"}}
    values = compare(first, second, OF_ALL, options=directions, sample_size=None)
    chosen = np.random.default_rng(seed).permutation(len(first))[:N_NEIGHBORS]
    few = first[chosen], second[chosen]
    neighbors = {"neighborhood_overlap": {"k": _k_neighbors(len(first))}}
    return values | compare(*few, "neighborhood_overlap", options=neighbors, sample_size=None)


def _k_neighbors(n: int) -> int:
    return min(K_NEIGHBORS, n - 1)


def _shifts(case: StudyCase, layer: int, first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """How far the mean of all tokens moved, in units of their spread, and how their lengths changed."""
    before, after = (case.spaces[name].moments(layer) for name in (BEFORE, AFTER))
    spread = np.sqrt(np.trace(before.scatter) / before.n_rows)
    lengths = [np.linalg.norm(rows, axis=1).mean(dtype=np.float64) for rows in (first, second)]
    return {
        "mean_shift": float(np.linalg.norm(after.mean - before.mean) / spread) if spread else float("nan"),
        "norm_ratio": float(lengths[1] / lengths[0]) if lengths[0] else float("nan"),
    }


def _by_chance(n: int, d: int) -> dict[str, float]:
    """What tokens and directions that have nothing to do with each other give."""
    n, k = min(n, N_NEIGHBORS), _k_neighbors(n)
    return {
        "linear_cka_by_chance": 0.0,
        "neighborhood_overlap_by_chance": k / (2 * (n - 1) - k),
        "subspace_overlap_by_chance": min(K_DIRECTIONS, d) / d,
    }


def draw(outcome: Outcome) -> dict[str, Figure]:
    """A panel per comparison, with the value of a space that did not move."""
    layers = outcome.tables["layers"]
    figures = {}
    for name, same in _same_values().items():
        figure, axis = panel(f"{display_name(name)} (unchanged: {format_number(same)})", "layer (0: embeddings)")
        values = [number_or_nan(row[name]) for row in layers]
        axis.plot([row["layer"] for row in layers], values, "o-", color=LINE_COLORS[3])
        low, high = axis.get_ylim()
        axis.set_ylim(min(low, same - 0.02), max(high, same + 0.02))
        reference_line(axis, same)
        whole_numbers(axis)
        figures[name] = figure
    return figures


def _same_values() -> dict[str, float]:
    return {name: float(COMPARISONS[name].same) for name in NAMES} | SHIFTS


def tell(outcome: Outcome) -> list[str]:
    """What moved most, and how far the last layer went."""
    layers = outcome.tables["layers"]
    last = layers[-1]
    told = ", ".join(f"{display_name(name)} {_number(last[name])}" for name in NAMES)
    sentences = [f"Between the two checkpoints layer {last['layer']} has {told}."]
    known = [row for row in layers if np.isfinite(number_or_nan(row["linear_cka"]))]
    if len(known) > 1:
        least: dict[str, Any] = min(known, key=lambda row: row["linear_cka"])
        sentences.append(f"By linear CKA layer {least['layer']} changed most ({_number(least['linear_cka'])}).")
    sentences.append(
        f"The mean of layer {last['layer']} moved by {_number(last['mean_shift'])} of the spread, and its vectors are "
        f"{format_interval(last, 'norm_ratio', '{:.3f}')} times as long as before."
    )
    return sentences


def _number(value: float | None) -> str:
    return format_number(value, 3)


EXPERIMENT = Experiment(
    name="drift",
    code="",
    title="Drift",
    question="How far did fine-tuning move the same tokens in each layer?",
    how_to_read="Each value compares one layer of the two checkpoints on the same tokens; the dotted line is a layer "
    "that did not move. Linear CKA is 1 if similarities between tokens stayed as they were, and is decided by the "
    "directions of largest variance. The Procrustes distance is what the best rotation leaves, 0 to 2. Neighbourhood "
    "overlap is what became of each token's nearest neighbours; it sees only what is near. Subspace overlap says "
    "whether the longest directions are still the same ones; unlike the other three, a mere rotation counts as a "
    "change in it. The shift of the mean is in units of the spread, which tells whether a change of the average "
    "cosine is one of the common direction only. None of this tells whether the change is good.",
    run=run,
    draw=draw,
    tell=tell,
)
