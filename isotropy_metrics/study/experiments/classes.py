"""Experiment classes: how far apart the classes of a task lie in every layer, before and after fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isotropy_metrics.measures import MEASURES, measure, silhouette
from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.experiments._experiment import Experiment, Outcome
from isotropy_metrics.study.report.figures import line_per_checkpoint, panel, reference_line
from isotropy_metrics.study.report.tables import display_name, number_or_nan
from isotropy_metrics.study.spaces.checkpoint import AFTER, BEFORE
from isotropy_metrics.study.spaces.pooled_layers import CLS, MEAN, pooled_layers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_CLASSES = [each.name for each in MEASURES.values() if each.ids == ("references",)]
BESIDE = ("isoscore", "average_cosine_similarity")
"""Measures that know no classes, of the same rows."""

OPTIONS = {"isoscore": {"unbiased": True}, "within_class_isoscore": {"unbiased": True}}
"""There are fewer texts than ten per feature."""

COSINE = "silhouette_cosine"
DRAWN = ("silhouette", COSINE, "neural_collapse", "within_class_isoscore", "between_share", "isoscore")
LOGARITHMIC = ("neural_collapse",)
CHANCE = {"silhouette": 0.0, COSINE: 0.0}
SAME_FOR_ALL = {(CLS, 0)}
"""No text has come to it yet: the embedding of [CLS] is the same for every text."""

POOLINGS = {MEAN: "mean of tokens", CLS: "[CLS]"}


def missing(case: StudyCase) -> str | None:
    """Only classifications have classes."""
    if "classification" not in case.task.kind:
        return f"the data of a {case.task.kind} task have no classes"
    if len(set(case.task.test.labels)) < 2:
        return "the held-out items are of one class"
    return None


def run(case: StudyCase) -> Outcome:
    """A row per checkpoint, pooling and layer."""
    test, settings = case.task.test, case.settings
    drawn = {"sample_size": settings.sample_size, "seed": settings.seed}
    rows = []
    for name, checkpoint in case.checkpoints.items():
        pooled = pooled_layers(
            checkpoint, test.texts, layers=settings.layers, max_length=case.max_length, progress=case.progress
        )
        for pooling, by_layer in pooled.items():
            layers = [layer for layer in sorted(by_layer) if (pooling, layer) not in SAME_FOR_ALL]
            for layer in layers:
                items, of_items = case.task.features(test, by_layer[layer]), {"references": test.labels} | drawn
                values = measure(items, [*OF_CLASSES, *BESIDE], options=OPTIONS, **of_items)
                by_cosine = measure(items, silhouette, options={"silhouette": {"metric": "cosine"}}, **of_items)
                rows.append(
                    {"checkpoint": name, "pooling": pooling, "layer": layer, COSINE: by_cosine["silhouette"]} | values
                )
    protocol = {
        "rows": "one per held-out item: " + _row_of(case.task.kind),
        "poolings": {pooling: POOLINGS[pooling] for pooling in dict.fromkeys(row["pooling"] for row in rows)},
        "silhouette": f"Euclidean; {COSINE} by the angle",
        "classes": case.task.classes,
        "n_items": len(test),
        "unbiased": "IsoScore and within-class IsoScore are corrected for the number of rows",
    }
    return Outcome({"classes": rows}, protocol)


def draw(outcome: Outcome) -> dict[str, Figure]:
    """A panel per measure and pooling, with a line per checkpoint."""
    figures = {}
    for key in DRAWN:
        for pooling, meaning in outcome.protocol["poolings"].items():
            rows = [row for row in outcome.tables["classes"] if row["pooling"] == pooling]
            figure, axis = panel(f"{_sentence(display_name(key))}, {meaning}", "layer (0: embeddings)")
            if key in LOGARITHMIC:
                axis.set_yscale("log")
            line_per_checkpoint(axis, rows, "layer", key)
            reference_line(axis, CHANCE.get(key))
            figures[f"{key}_{pooling}"] = figure
    return figures


def tell(outcome: Outcome) -> list[str]:
    """What became of the silhouette in the last layer, and in which layer it changed most."""
    sentences = []
    for pooling, meaning in outcome.protocol["poolings"].items():
        own = [row for row in outcome.tables["classes"] if row["pooling"] == pooling]
        layers = sorted({row["layer"] for row in own})
        before, after = (
            np.array([number_or_nan(row["silhouette"]) for row in own if row["checkpoint"] == checkpoint])
            for checkpoint in (BEFORE, AFTER)
        )
        changes = after - before
        if not np.isfinite(changes).all():
            continue
        most = int(np.abs(changes).argmax())
        most_changed = f"; it changed most in layer {layers[most]}, by {changes[most]:+.3f}" if len(layers) > 1 else ""
        sentences.append(
            f"Silhouette of the {len(outcome.protocol['classes'])} classes in layer {layers[-1]} ({meaning}): "
            f"{before[-1]:.3f} before, {after[-1]:.3f} after fine-tuning{most_changed}."
        )
    return sentences


def _row_of(kind: str) -> str:
    return "the pooled text" if kind == "classification" else "u, v, |u − v| and u · v of its two pooled texts"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


EXPERIMENT = Experiment(
    name="classes",
    code="",
    title="Separation of the classes",
    question="Did fine-tuning pull the classes apart, in which layers, and what is left inside them?",
    how_to_read=(
        "Silhouette is 1 where classes are tight and far apart, and 0 where they overlap, by Euclidean distance or by "
        "the angle. Neural collapse is the variability inside the classes over that between their means: it falls "
        "towards 0 while a classifier is trained past zero error. The between share is the part of the variance that "
        "lies between class means. IsoScore of all rows is low where the classes are all there is; within-class "
        "IsoScore, of the rows less the mean of their class, tells whether the rest is isotropic. Separation and "
        "isotropy pull in opposite directions (Mickus et al. 2024). None of these says how well a classifier does: "
        "classes of other than round shape can be told apart at a silhouette of 0. Which poolings are compared is our "
        "choice."
    ),
    run=run,
    draw=draw,
    tell=tell,
    missing=missing,
)
