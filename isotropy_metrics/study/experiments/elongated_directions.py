"""Experiment E6: how many directions are elongated: in the whole space, in each layer, and within clusters."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.statistics import Moments
from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.experiments._experiment import Experiment, Outcome, Table
from isotropy_metrics.study.report.figures import line_per_checkpoint, panel, reference_line
from isotropy_metrics.study.report.tables import format_number
from isotropy_metrics.study.spaces.checkpoint import AFTER, BEFORE
from isotropy_metrics.study.treatments.elongation import COUNTED, Elongation, counted_directions
from isotropy_metrics.study.treatments.sweep import numbers_of_directions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHOLE, WITHIN = "whole space", "within clusters"
TO_REMOVE = ("directions_to_remove", "directions_to_remove_scale_free")
LEAST_CLUSTER = 10
"""Tokens; smaller clusters have no shape to speak of."""


def run(case: StudyCase) -> Outcome:
    """Counts of directions by scope, layer and cluster; and the curves of the last layer."""
    threshold = case.settings.threshold
    tables: dict[str, Table] = {name: [] for name in ("directions", "layers", "clusters", "isotropy", "spectrum")}
    for checkpoint, space in case.spaces.items():
        for layer in space.layers:
            moments, elongation = space.moments(layer), Elongation.of(space.sample(layer).rows)
            counts = elongation.directions_to_remove(threshold) | counted_directions(moments)
            tables["layers"].append({"checkpoint": checkpoint, "layer": layer} | _width(moments) | counts)
        clusters = _clusters(case, checkpoint)
        tables["clusters"] += clusters
        tables["directions"] += [
            {"checkpoint": checkpoint, "scope": WHOLE, "n_clusters": 1} | counts,
            {"checkpoint": checkpoint, "scope": WITHIN, "n_clusters": len(clusters)} | _mean_of_clusters(clusters),
        ]
        tables["isotropy"] += _isotropy_rows(checkpoint, elongation)
        tables["spectrum"] += _spectrum_rows(checkpoint, moments)
    return Outcome(tables, _protocol(case))


def _width(moments: Moments) -> dict[str, float]:
    variance = moments.eigenvalues.sum() / moments.weight_sum / moments.n_features
    return {"n_features": moments.n_features, "mean_variance_per_feature": float(variance)}


def _clusters(case: StudyCase, checkpoint: str) -> Table:
    """A row per cluster of the held-out tokens; the centres are those of the fitting tokens."""
    from isotropy_metrics.enhancement import ClusterCentering
    from isotropy_metrics.enhancement._cluster_enhancement import nearest_center

    settings, rows = case.settings, case.spaces[checkpoint].rows
    clustering = ClusterCentering(settings.n_clusters, random_state=settings.seed)
    clustering.fit(case.fitting_spaces[checkpoint].rows)
    centers = clustering.cluster_centers_
    labels = nearest_center(rows, centers, clustering.mean_)
    found = []
    for cluster in range(len(centers)):
        members = rows[labels == cluster]
        if len(members) < LEAST_CLUSTER or np.ptp(members, axis=0).max() == 0:
            continue
        moments = Moments()
        moments.update(members)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of few rows, which the protocol tells of all clusters
            counts = Elongation.of(members).directions_to_remove(settings.threshold) | counted_directions(moments)
        found.append({"checkpoint": checkpoint, "cluster": cluster, "n_tokens": len(members)} | counts)
    return found


def _mean_of_clusters(clusters: Table) -> dict[str, float | None]:
    """Of each count, weighted by the tokens of the clusters; None if a cluster has none."""
    sizes = [row["n_tokens"] for row in clusters]
    columns = {key: [row[key] for row in clusters] for key in (*TO_REMOVE, *COUNTED)}
    return {
        key: float(np.average(values, weights=sizes)) if values and None not in values else None
        for key, values in columns.items()
    }


def _isotropy_rows(checkpoint: str, elongation: Elongation) -> Table:
    return [
        {
            "checkpoint": checkpoint,
            "directions_removed": d,
            "partition_isotropy_log10": float(elongation.isotropy[d]),
            "partition_isotropy_log10_scale_free": float(elongation.isotropy_scale_free[d]),
        }
        for d in numbers_of_directions(len(elongation.isotropy) - 1)
    ]


def _spectrum_rows(checkpoint: str, moments: Moments) -> Table:
    shares = moments.eigenvalues / (moments.eigenvalues.sum() or 1.0)
    cumulative = np.cumsum(shares)
    return [
        {
            "checkpoint": checkpoint,
            "direction": d,
            "variance_over_mean": float(shares[d - 1] * len(shares)),
            "cumulative_share": float(min(cumulative[d - 1], 1.0)),
        }
        for d in numbers_of_directions(len(shares))[1:]
    ]


def _protocol(case: StudyCase) -> dict[str, Any]:
    space = case.spaces[BEFORE]
    threshold = case.settings.threshold
    return {
        "threshold": threshold,
        "directions_to_remove": f"d*: the least d without whose first principal directions I(W) ≥ {threshold}; all d "
        "from 0 to n_features − 1 were computed, none was searched for, since I(W) need not rise with every d; "
        "empty: none suffices",
        "principal_directions": "of the very tokens that are looked at, centred by their mean: this describes a space "
        "and predicts nothing",
        "isotropy": f"I(W) of {len(space.sampled)} tokens, the same in all layers and for both checkpoints; "
        "within clusters of all their tokens",
        "scale_free": "all rows divided by one number, so that the variance of a feature of the centred rows is 1 on "
        "average before a direction is removed",
        "participation_ratio": "and the columns after it: of all held-out tokens",
        "directions_for_90_percent": "least number of directions with 90 % of the variance",
        "elongated_directions": "variance above the upper edge of Marchenko and Pastur for as many isotropic rows",
        "directions_above_mean": "variance above 5 times the mean of all directions",
        "clusters": f"of the tokens of layer {case.layer} by the nearest centre of a k-means of the fitting tokens, "
        f"each checkpoint its own, seed {case.settings.seed}; clusters of fewer than {LEAST_CLUSTER} tokens left out",
        "within_clusters": "means over the clusters, weighted by their tokens; a cluster with fewer tokens than "
        "features has no more directions than tokens, so that its counts are small for that alone",
    }


def draw(outcome: Outcome) -> dict[str, Figure]:
    """Isotropy against the directions removed, cumulative variance, and counts by layer."""
    tables, threshold = outcome.tables, outcome.protocol["threshold"]
    figures = {}
    for name, key in (("isotropy", ""), ("isotropy_scale_free", "_scale_free")):
        title = "Isotropy without the top directions" + (", scale-free" if key else "")
        figures[name], axis = panel(title, "directions removed", "log10 I(W)")
        axis.set_xscale("symlog", linthresh=1)
        line_per_checkpoint(axis, tables["isotropy"], "directions_removed", f"partition_isotropy_log10{key}")
        _plain_numbers(axis)
        reference_line(axis, float(np.log10(threshold)))
    figures["cumulative_variance"], axis = panel(
        "Variance of the top directions", "directions", "share of the variance"
    )
    axis.set_xscale("log")
    line_per_checkpoint(axis, tables["spectrum"], "direction", "cumulative_share")
    reference_line(axis, 0.9)
    figures["scree"], axis = panel("Variance of each direction", "direction", "variance over the mean")
    axis.set_xscale("log")
    line_per_checkpoint(axis, tables["spectrum"], "direction", "variance_over_mean")
    by_layer = {
        "directions_to_remove_scale_free": f"Directions to remove until I(W) ≥ {threshold}, scale-free",
        "participation_ratio": "Participation ratio by layer",
        "elongated_directions": "Directions above the noise edge",
    }
    for key, title in by_layer.items():
        figures[f"layers_{key}"], axis = panel(title, "layer (0: embeddings)")
        line_per_checkpoint(axis, tables["layers"], "layer", key)
    return figures


def _plain_numbers(axis: Any) -> None:
    """0, 1, 10, 100 in place of powers of ten."""
    from matplotlib.ticker import StrMethodFormatter

    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def tell(outcome: Outcome) -> list[str]:
    """Counts of the whole space and within clusters, before and after."""
    rows = {(row["scope"], row["checkpoint"]): row for row in outcome.tables["directions"]}
    threshold = outcome.protocol["threshold"]

    def change(scope: str, key: str) -> str:
        before, after = (format_number(rows[scope, checkpoint][key], 3) for checkpoint in (BEFORE, AFTER))
        return f"from {before} to {after}"

    return [
        f"{where} the number of directions to remove until I(W) ≥ {threshold} went {change(scope, TO_REMOVE[1])} free "
        f"of scale and {change(scope, TO_REMOVE[0])} on the raw scale, the participation ratio "
        f"{change(scope, COUNTED[0])}, and the number of directions for 90 % of the variance "
        f"{change(scope, COUNTED[1])}."
        for scope, where in ((WHOLE, "In the whole space"), (WITHIN, "Within clusters, on average,"))
    ]


EXPERIMENT = Experiment(
    name="elongated_directions",
    code="E6",
    title="Elongated directions",
    question="Did the number of directions that are longer than the others grow with fine-tuning?",
    how_to_read="The abstract of Rajaee & Pilehvar (EMNLP 2021) reports a growth in the number of elongated "
    "directions; how they were counted is not known to us, and all counts here are ours. More directions to remove "
    "until the space is isotropic means that more of them stick out; on the raw scale this also grows with the "
    "length of the vectors, free of scale it does not. The participation ratio is the number of directions that "
    "share the variance, large where it is spread evenly: elongation makes it smaller. Counts above the noise edge "
    "and above five times the mean take one direction at a time. They need not agree: a single very long direction "
    "lowers the participation ratio a great deal and counts as one. None tells what the directions carry.",
    run=run,
    draw=draw,
    tell=tell,
)
