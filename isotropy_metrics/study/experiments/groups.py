"""Experiment E9: languages or other groups of texts beside each other: score, isotropy, and how far apart they lie."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.measures import measure
from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.experiments._experiment import Experiment, Outcome, Table
from isotropy_metrics.study.report.figures import COLORS, HEIGHT, LABELS, LINE_COLORS, MARKERS, panel
from isotropy_metrics.study.report.tables import display_name, format_interval, format_number, number_or_nan
from isotropy_metrics.study.spaces.checkpoint import AFTER, BEFORE
from isotropy_metrics.study.tasks.scoring import score_with_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_TOKENS = 10_000
"""Of each group, as in the multilingual study."""

FEWEST_ITEMS = 3
N_LARGEST = 3
N_STD = 3
MEASURES = ("average_cosine_similarity", "partition_isotropy", "isoscore", "outlier_dimensions")
OPTIONS = {"average_cosine_similarity": {"contributions": True}}
DRAWN = ("average_cosine_similarity", "partition_isotropy_log10", "isoscore", "largest_contributions")
NO_SCORE = {"score": float("nan"), "score_low": float("nan"), "score_high": float("nan")}


def missing(case: StudyCase) -> str | None:
    """The data must say which group each item is of, and there must be two of some size."""
    if case.task.test.groups is None:
        return "the data have no groups: name their column with --group-column"
    if len(_groups(case)) < 2:
        return f"the held-out items have fewer than two groups of at least {FEWEST_ITEMS} items"
    return None


def run(case: StudyCase) -> Outcome:
    """A row per checkpoint and group, one per pair of groups, and one per feature."""
    groups = _groups(case)
    group_of_token = case.task.test.text_groups[case.spaces[BEFORE].text_index]
    tokens_of = {group: np.flatnonzero(group_of_token == group) for group in groups}
    n_tokens = min(MOST_TOKENS, *map(len, tokens_of.values()))
    rng = np.random.default_rng(case.settings.seed)
    drawn = {group: np.sort(rng.choice(tokens, n_tokens, replace=False)) for group, tokens in tokens_of.items()}
    rows, offsets, means = [], [], []
    for checkpoint, space in case.spaces.items():
        clouds = {group: space.rows[drawn[group]].astype(np.float64) for group in groups}
        scores = _scores(case, checkpoint, groups)
        rows += [_row(case, checkpoint, group, cloud) | scores[group] for group, cloud in clouds.items()]
        offsets += _offsets(checkpoint, clouds)
        means += [
            {"checkpoint": checkpoint, "group": group, "feature": i, "mean": float(mean)}
            for group, cloud in clouds.items()
            for i, mean in enumerate(cloud.mean(axis=0))
        ]
    protocol = {
        "layer": case.layer,
        "score_name": case.task.score_name,
        "n_tokens": n_tokens,
        "tokens": "as many of each group, drawn uniformly without replacement, the same for both checkpoints",
        "groups": groups,
        "left_out": sorted(set(map(str, case.task.test.groups)) - set(groups)),
        "contributions": "of features to the average cosine, over all pairs of tokens",
        "offset": "distance of the means of two groups over the root mean square distance of a token to its own mean",
        "outlier_dimensions": f"|mean| more than {N_STD} standard deviations above the mean of the means",
    }
    return Outcome({"groups": rows, "offsets": offsets, "feature_means": means}, protocol)


def _groups(case: StudyCase) -> list[str]:
    names, sizes = np.unique(case.task.test.groups, return_counts=True)
    return [str(name) for name, size in zip(names, sizes, strict=True) if size >= FEWEST_ITEMS]


def _scores(case: StudyCase, checkpoint: str, groups: list[str]) -> dict[str, dict[str, float]]:
    """Of each group's items, by one probe for all of them where there is one."""
    task, test, space, known = case.task, case.task.test, case.spaces[checkpoint], case.fitting_spaces[checkpoint]
    if not task.has_interval:
        return dict.fromkeys(groups, NO_SCORE)
    predictions = task.predict(test, space.pool(space.rows), case.fitting, known.pool(known.rows))
    of_group = {group: test.groups == group for group in groups}
    return {
        group: score_with_interval(task, predictions[mask], test.labels[mask], case.settings.seed)
        for group, mask in of_group.items()
    }


def _row(case: StudyCase, checkpoint: str, group: str, cloud: np.ndarray) -> dict[str, Any]:
    values = measure(cloud, MEASURES, options=OPTIONS, sample_size=case.settings.sample_size, seed=case.settings.seed)
    contributions = np.array(values["cosine_contributions"])
    largest = np.argsort(-contributions)[:N_LARGEST]
    total = values["average_cosine_similarity"]
    share = contributions[largest].sum() / total if total > 0 else float("nan")
    return {
        "checkpoint": checkpoint,
        "group": group,
        "n_items": int((case.task.test.groups == group).sum()),
        "n_tokens": len(cloud),
        "average_cosine_similarity": total,
        "partition_isotropy_log10": values["partition_isotropy_log10"],
        "isoscore": values["isoscore"],
        "largest_contributions": float(share),
        "features_of_largest": ", ".join(map(str, largest)),
        "outlier_dimensions": values["outlier_dimensions"],
        "which_outliers": ", ".join(map(str, values["outlier_indices"])),
    }


def _offsets(checkpoint: str, clouds: dict[str, np.ndarray]) -> Table:
    """How far the means of each two groups lie apart, and how alike these means are."""
    means = {group: cloud.mean(axis=0) for group, cloud in clouds.items()}
    spreads = {group: float(np.square(cloud - means[group]).sum(axis=1).mean()) for group, cloud in clouds.items()}
    rows = []
    for first, second in combinations(clouds, 2):
        distance = float(np.linalg.norm(means[first] - means[second]))
        spread = float(np.sqrt((spreads[first] + spreads[second]) / 2))
        lengths = float(np.linalg.norm(means[first]) * np.linalg.norm(means[second]))
        rows.append(
            {
                "checkpoint": checkpoint,
                "group": first,
                "other_group": second,
                "distance_of_means": distance,
                "offset": distance / spread if spread > 0 else float("nan"),
                "cosine_of_means": float(means[first] @ means[second]) / lengths if lengths > 0 else float("nan"),
            }
        )
    return rows


def draw(outcome: Outcome) -> dict[str, Figure]:
    """Marks per group, the offsets of all pairs, and the mean of every feature."""
    rows, offsets = outcome.tables["groups"], outcome.tables["offsets"]
    figures = {key: _draw_marks(rows, key, _title(key), lambda row: row["group"]) for key in DRAWN}
    if any(row["score"] is not None for row in rows):
        title = _sentence(outcome.protocol["score_name"])
        figures = {"score": _draw_marks(rows, "score", title, lambda row: row["group"])} | figures
    pairs = _draw_marks(offsets, "offset", _title("offset"), lambda row: f"{row['group']}\n{row['other_group']}")
    return figures | {"offset": pairs} | _draw_means(outcome)


def _draw_marks(rows: Table, key: str, title: str, name_of: Callable[[dict[str, Any]], str]) -> Figure:
    """A line of the panel for each name, with a mark for each checkpoint, and its interval where there is one."""
    names = list(dict.fromkeys(map(name_of, rows)))
    height = 1.3 + 0.3 * len(names) * (1 + names[0].count("\n"))
    figure, axis = panel(title, height=max(HEIGHT, height))
    for checkpoint, shift in ((BEFORE, -0.13), (AFTER, 0.13)):
        own = [row for row in rows if row["checkpoint"] == checkpoint]
        places = [names.index(name_of(row)) + shift for row in own]
        values, low, high = (
            np.array([number_or_nan(row.get(f"{key}{end}")) for row in own]) for end in ("", "_low", "_high")
        )
        look = {"color": COLORS[checkpoint], "marker": MARKERS[checkpoint], "label": LABELS[checkpoint]}
        limits = np.nan_to_num([values - low, high - values]).clip(min=0)
        axis.errorbar(values, places, xerr=limits, linestyle="none", elinewidth=1.4, **look)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.locator_params(axis="x", nbins=4)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _draw_means(outcome: Outcome) -> dict[str, Figure]:
    """The mean of every feature, a line per group; what leaves the band of three standard deviations stands out."""
    figures = {}
    for checkpoint in (BEFORE, AFTER):
        figure, axis = panel(f"Mean of every feature, {LABELS[checkpoint]}", "feature")
        rows = [row for row in outcome.tables["feature_means"] if row["checkpoint"] == checkpoint]
        everything = np.array([row["mean"] for row in rows])
        middle, band = everything.mean(), N_STD * everything.std()
        axis.axhspan(middle - band, middle + band, color="#808080", alpha=0.15, label=f"± {N_STD} σ")
        for i, group in enumerate(outcome.protocol["groups"]):
            own = [row for row in rows if row["group"] == group]
            color = LINE_COLORS[i % len(LINE_COLORS)]
            axis.plot([row["feature"] for row in own], [row["mean"] for row in own], color=color, lw=0.8, label=group)
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        figures[f"feature_means_{checkpoint}"] = figure
    return figures


def tell(outcome: Outcome) -> list[str]:
    """Which group scores least and most, which is least isotropic, and whether the groups moved together."""
    sentences = []
    for checkpoint in (BEFORE, AFTER):
        rows = [row for row in outcome.tables["groups"] if row["checkpoint"] == checkpoint]
        scored = [row for row in rows if np.isfinite(number_or_nan(row["score"]))]
        scored.sort(key=lambda row: row["score"])
        least = min(rows, key=lambda row: number_or_nan(row["isoscore"]))
        sentence = (
            f"{LABELS[checkpoint].capitalize()} the least isotropic group is {least['group']} (IsoScore "
            f"{format_number(least['isoscore'], 3)}, average cosine "
            f"{format_number(least['average_cosine_similarity'], 3)})"
        )
        if scored:
            ends = [f"{format_interval(row, 'score')} for {row['group']}" for row in (scored[0], scored[-1])]
            sentence += f"; {outcome.protocol['score_name']} goes from {ends[0]} to {ends[1]}"
        sentences.append(sentence + ".")
    before, after = (
        np.mean([number_or_nan(row["offset"]) for row in outcome.tables["offsets"] if row["checkpoint"] == checkpoint])
        for checkpoint in (BEFORE, AFTER)
    )
    sentences.append(
        f"The means of two groups lie {format_number(before, 3)} spreads apart before and {format_number(after, 3)} "
        "after fine-tuning, on average."
    )
    return sentences


def _title(key: str) -> str:
    """Short: beside the names of the groups there is little room."""
    titles = {"largest_contributions": f"Share of {N_LARGEST} features", "offset": "Offset, in spreads"}
    return _sentence(titles.get(key, display_name(key)))


def _sentence(text: str) -> str:
    return text if text.startswith("log") else text[0].upper() + text[1:]


EXPERIMENT = Experiment(
    name="groups",
    code="E9",
    title="Languages and other groups",
    question="Do languages or other groups differ in score and geometry, and does fine-tuning treat them alike?",
    how_to_read=(
        "Every group is measured on as many token vectors, so that the values compare. A high average cosine with a "
        "large share of the three largest features means that few outlier dimensions rule the cosine; a group whose "
        "features stay inside the band of 3 standard deviations has none, and can still be anisotropic (log10 I(W) "
        "far below 0, IsoScore near 0). The offset says how far the means of two groups lie apart, "
        "in units of the spread of their tokens: near 0 the groups "
        "share one cloud, above 1 they are clouds of their own. Offset and equal sizes are our operationalisations. "
        "The score of a group is that of its own items; a probe is fitted on the items of all groups together. Groups "
        "can also differ in their texts: this table does not tell the language from the topic."
    ),
    run=run,
    draw=draw,
    tell=tell,
    missing=missing,
)
