"""Experiment E7: what the dominant directions carry: scores without them, with them alone, and with the next ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.statistics.principal_axes import principal_axes
from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.experiments._experiment import Experiment, Outcome, Table
from isotropy_metrics.study.report.figures import COLORS, LABELS, MARKERS, panel
from isotropy_metrics.study.report.tables import format_interval, format_number, number_or_nan
from isotropy_metrics.study.spaces.checkpoint import AFTER, BEFORE
from isotropy_metrics.study.spaces.token_space import TokenSpace
from isotropy_metrics.study.tasks.scoring import score_with_interval
from isotropy_metrics.study.treatments.partition_function import isotropy_of_part
from isotropy_metrics.study.treatments.sweep import numbers_of_directions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REMOVE, KEEP, NEXT, REMOVE_BY_CLUSTER = "remove the top", "keep the top", "keep the next", "remove the top by cluster"
WAYS = {
    REMOVE: "without the first d principal directions",
    KEEP: "the first d alone",
    NEXT: "the directions d + 1 to 2d alone: as many as in “keep the top”, so that only their place differs",
    REMOVE_BY_CLUSTER: "centred by cluster, and without the first d principal directions of the cluster",
}
MOST_BY_CLUSTER = 30
"""Directions of a cluster that are removed at most, as the paper's authors searched."""

TOLD = 30
"""`tell` speaks of the top directions up to so many."""


@dataclass(frozen=True, eq=False)
class PrincipalDirections:
    """The mean and the principal directions of the fitting tokens of one checkpoint.

    Attributes:
        mean: (n_features,).
        axes: (n_features, n_features), a direction in each column, longest first.
    """

    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, space: TokenSpace) -> PrincipalDirections:
        """Of the tokens of its highest layer."""
        moments = space.moments(space.layer)
        return cls(moments.mean, principal_axes(moments.scatter)[1])

    def coordinates(self, rows: np.ndarray) -> np.ndarray:
        """Rows less the mean, on the directions."""
        return (rows - self.mean) @ self.axes

    def rows(self, coordinates: np.ndarray, part: slice) -> np.ndarray:
        """Centred rows with nothing but a part of their directions."""
        return coordinates[:, part] @ self.axes[:, part].T


def run(case: StudyCase) -> Outcome:
    """A row per checkpoint, way and number of directions, with the score, its gain over the baseline, and I(W)."""
    directions = [row for checkpoint in case.spaces for row in (*_global(case, checkpoint), *_local(case, checkpoint))]
    return Outcome({"directions": directions}, _protocol(case))


def parts(n_features: int) -> Iterator[tuple[str, int, slice]]:
    """Way, d, and which principal directions are left; without d = 0, which leaves everything as it is."""
    for d in numbers_of_directions(n_features // 2)[1:]:
        yield REMOVE, d, slice(d, None)
        yield KEEP, d, slice(0, d)
        yield NEXT, d, slice(d, 2 * d)


def _global(case: StudyCase, checkpoint: str) -> Iterator[dict[str, Any]]:
    """The treatment is linear: the mean of treated tokens is the treated mean of tokens."""
    space, fitting = case.spaces[checkpoint], case.fitting_spaces[checkpoint]
    texts, known = space.pool(space.rows), fitting.pool(fitting.rows)
    sample = space.rows[space.sampled].astype(np.float64)
    n_features = sample.shape[1]
    baseline = _predictions(case, texts, known)
    yield _row(case, checkpoint, REMOVE, 0, baseline, baseline) | _isotropy(sample, n_features)
    directions = PrincipalDirections.of(fitting)
    texts, known, sample = (directions.coordinates(rows) for rows in (texts, known, sample))
    for way, d, part in parts(n_features):
        predictions = _predictions(case, directions.rows(texts, part), directions.rows(known, part))
        yield _row(case, checkpoint, way, d, predictions, baseline) | _isotropy(sample[:, part], n_features)


def _local(case: StudyCase, checkpoint: str) -> Iterator[dict[str, Any]]:
    """Rows without the top directions of their cluster; d = 0 is centring by cluster. k-means is run once."""
    from isotropy_metrics.enhancement import ClusterBased
    from isotropy_metrics.study.treatments.treatment import fitting_statistics

    settings = case.settings
    space, fitting = case.spaces[checkpoint], case.fitting_spaces[checkpoint]
    statistics = fitting_statistics(fitting.rows, settings.seed)
    baseline = _predictions(case, space.pool(space.rows), fitting.pool(fitting.rows))
    n_features = space.rows.shape[1]
    for d in numbers_of_directions(min(MOST_BY_CLUSTER, n_features // 2)):
        enhancement = ClusterBased(settings.n_clusters, d, random_state=settings.seed).fit(statistics)
        treated = enhancement.transform(space.rows)
        predictions = _predictions(case, space.pool(treated), fitting.pool(enhancement.transform(fitting.rows)))
        row = _row(case, checkpoint, REMOVE_BY_CLUSTER, d, predictions, baseline)
        yield row | _isotropy(treated[space.sampled], n_features)


def _predictions(case: StudyCase, texts: np.ndarray, known: np.ndarray) -> np.ndarray:
    return case.task.predict(case.task.test, texts, case.fitting, known)


def _row(
    case: StudyCase, checkpoint: str, way: str, d: int, predictions: np.ndarray, baseline: np.ndarray
) -> dict[str, Any]:
    labels, seed = case.task.test.labels, case.settings.seed
    scores = score_with_interval(case.task, predictions, labels, seed, compared_with=baseline)
    return {"checkpoint": checkpoint, "way": way, "n_directions": d} | scores


def _isotropy(coordinates: np.ndarray, n_features: int) -> dict[str, float]:
    return {"partition_isotropy_log10": isotropy_of_part(coordinates, n_features)}


def _protocol(case: StudyCase) -> dict[str, Any]:
    space = case.spaces[BEFORE]
    return {
        "score_name": case.task.score_name,
        "ways": WAYS,
        "n_directions": "d; for d = 0 of “remove the top” the untouched baseline, otherwise all is centred",
        "fitted_on": f"tokens of {len(case.fitting)} training items in layer {case.layer}, each checkpoint its own",
        "text": "the mean of its treated tokens",
        "gain": "over the checkpoint's untouched baseline",
        "interval": "items are resampled, 1000 times, 95 %, in pairs for the gain",
        "partition_isotropy": f"of {len(space.sampled)} treated tokens, the same for all rows",
        "clusters": f"k-means, seed {case.settings.seed}; at most {MOST_BY_CLUSTER} directions of each are removed",
    }


def draw(outcome: Outcome) -> dict[str, Figure]:
    """Scores against the number of directions, and the isotropy without the top ones."""
    rows, score_name = outcome.tables["directions"], outcome.protocol["score_name"]
    removed, by_cluster = "top directions removed", "top directions of each cluster removed"
    return {
        "remove": _panel(rows, "Without the top directions", removed, "score", score_name, [REMOVE]),
        "keep": _panel(rows, "With a few directions alone", "directions kept", "score", score_name, [KEEP, NEXT]),
        "remove_by_cluster": _panel(
            rows, "Without the top directions of clusters", by_cluster, "score", score_name, [REMOVE_BY_CLUSTER]
        ),
        "isotropy": _panel(
            rows, "Isotropy without the top directions", removed, "partition_isotropy_log10", "log10 I(W)", [REMOVE]
        ),
    }


def _panel(rows: Table, title: str, x_label: str, key: str, y_label: str, ways: list[str]) -> Figure:
    """A line for each checkpoint and way, with its interval if it has one."""
    from matplotlib.ticker import FixedLocator, StrMethodFormatter

    figure, axis = panel(title, x_label, y_label, height=3.1 + 0.35 * len(ways))
    axis.set_xscale("symlog", linthresh=1)
    for way, line in zip(ways, ("-", "--"), strict=False):
        for checkpoint, color in COLORS.items():
            own = [row for row in rows if row["checkpoint"] == checkpoint and row["way"] == way]
            numbers = [row["n_directions"] for row in own]
            label = LABELS[checkpoint] if len(ways) == 1 else f"{checkpoint}: {way.removeprefix('keep ')}"
            look = {"color": color, "marker": MARKERS[checkpoint], "ls": line, "label": label}
            axis.plot(numbers, [number_or_nan(row[key]) for row in own], **look)
            if f"{key}_low" in own[0]:
                limits = ([number_or_nan(row[f"{key}{end}"]) for row in own] for end in ("_low", "_high"))
                axis.fill_between(numbers, *limits, color=color, alpha=0.15, lw=0)
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    largest = max(row["n_directions"] for row in rows if row["way"] in ways)
    axis.xaxis.set_major_locator(FixedLocator([each for each in (0, 1, 3, 10, 30, 100, 300, 1000) if each <= largest]))
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def tell(outcome: Outcome) -> list[str]:
    """How many directions can go, and how much of the score the top ones keep, for each checkpoint."""
    rows, name = outcome.tables["directions"], outcome.protocol["score_name"]
    return [
        f"{LABELS[checkpoint].capitalize()}: {_tell_removal(_of(rows, checkpoint, REMOVE), name)}; "
        f"{_tell_kept(_of(rows, checkpoint, KEEP), _of(rows, checkpoint, NEXT))}."
        for checkpoint in (BEFORE, AFTER)
    ]


def _of(rows: Table, checkpoint: str, way: str) -> Table:
    return [row for row in rows if row["checkpoint"] == checkpoint and row["way"] == way]


def _tell_removal(removed: Table, name: str) -> str:
    """Up to which d no fall of the score can be told from chance."""
    baseline = f"{name} of {format_interval(removed[0], 'score', '{:.2f} [{:.1f}, {:.1f}]')}"
    if np.isnan(number_or_nan(removed[0]["gain_high"])):
        worst = min(removed, key=lambda row: np.inf if row["score"] is None else row["score"])
        return (
            f"{name} is {format_number(removed[0]['score'])}, and at the least {format_number(worst['score'])}, "
            f"without the first {worst['n_directions']} directions"
        )
    fallen = next((row for row in removed if number_or_nan(row["gain_high"]) < 0), None)
    if fallen is None:
        return f"{baseline} shows no fall without the first {removed[-1]['n_directions']} directions"
    kept = removed[removed.index(fallen) - 1]["n_directions"]
    fall = format_interval(fallen, "gain", "{:.2f} [{:.2f}, {:.2f}]")
    stays = f"shows no fall without the first {kept} directions and " if kept else ""
    return f"{baseline} {stays}falls without the first {fallen['n_directions']}, a difference of {fall}"


def _tell_kept(top: Table, following: Table) -> str:
    """What the first ones alone score, and as many that come after them."""
    i = max(i for i, row in enumerate(top) if row["n_directions"] <= TOLD)
    d, scores = top[i]["n_directions"], [format_number(rows[i]["score"]) for rows in (top, following)]
    return f"the first {d} alone score {scores[0]}, the next {d} alone {scores[1]}"


EXPERIMENT = Experiment(
    name="dominant_directions",
    code="E7",
    title="What the dominant directions carry",
    question="Do the directions of largest variance carry what fine-tuning taught the model?",
    how_to_read="A line that rises when directions are removed says that they were in the way; one that falls, that "
    "they carry what the score measures. A few directions alone score less than all for the mere number: compare the "
    "top ones with as many of the next ones, which have the same number and less variance. The abstract of Rajaee & "
    "Pilehvar (EMNLP 2021) says that in fine-tuned spaces, unlike pre-trained ones, the dominant directions carry "
    "the essential linguistic knowledge. The sweep, its ways and the intervals are ours. Directions come from "
    "training texts and scores from held-out ones; a fall is told where the whole interval of the difference from "
    "the untouched baseline lies below 0. From none to one direction the tokens are centred too: that step is not of "
    "one direction alone.",
    run=run,
    draw=draw,
    tell=tell,
)
