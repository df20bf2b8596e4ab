"""Experiment E1: score and isotropy of both checkpoints after the paper's treatments, and its direction checks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.experiments._experiment import Experiment, Outcome, Table
from isotropy_metrics.study.report.figures import COLORS, INK, LABELS, MARKERS, panel
from isotropy_metrics.study.report.tables import display_name, format_interval, number_or_nan
from isotropy_metrics.study.resampling import with_limits
from isotropy_metrics.study.spaces.checkpoint import AFTER, BEFORE
from isotropy_metrics.study.treatments.direction_checks import RULES, paper_checks, tell_checks
from isotropy_metrics.study.treatments.treatment import BASELINE, TREATMENTS, Treatment
from isotropy_metrics.study.treatments.treatment_search import CLUSTERS, DIRECTIONS, search_treatments
from isotropy_metrics.study.treatments.treatment_trial import LOG_ISOTROPY, TreatmentTrial, try_treatments

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TREATMENT_MARKERS = ("o", "s", "^", "v", "D")

Trials = dict[tuple[str, str], TreatmentTrial]
"""By checkpoint and treatment."""


def missing(case: StudyCase) -> str | None:
    """None: every task has treatments.

    Raises:
        ValueError: settings that no treatment can have, or a search without development texts.
    """
    settings = case.settings
    for treatment in _treatments(case):
        enhancement = treatment.enhancement(settings.seed)
        if enhancement is not None:
            enhancement.check_parameters(case.before.model.config.hidden_size)
    if settings.search and case.task.dev is None:
        raise ValueError("a search chooses on development texts, and these data have no split dev beside test")
    return None


def run(case: StudyCase) -> Outcome:
    """A row per checkpoint and treatment, the direction checks, and the rows of every seed and of a search."""
    trials: Trials = {}
    searched: Table = []
    for checkpoint in case.spaces:
        treatments = _treatments(case)
        if case.settings.search:
            treatments, tried = search_treatments(case, checkpoint)
            searched += tried
        trials |= {(checkpoint, name): each for name, each in try_treatments(case, checkpoint, treatments).items()}
    rows = {key: _row(case, trials, *key) for key in trials}
    tables = {
        "treatments": list(rows.values()),
        "direction_checks": [each.row() for each in paper_checks(trials, rows, case.task.score_name)],
        "seeds": [row for each in trials.values() for row in each.rows],
    }
    return Outcome(tables | ({"search": searched} if searched else {}), _protocol(case))


def _treatments(case: StudyCase) -> list[Treatment]:
    """With the k and d of the settings, or the defaults."""
    settings = case.settings
    fixed = [each.with_parameters(settings.n_clusters, settings.n_directions) for each in TREATMENTS]
    return [replace(each, compat=settings.compat) for each in fixed]


def _row(case: StudyCase, trials: Trials, checkpoint: str, treatment: str) -> dict[str, Any]:
    trial = trials[checkpoint, treatment]
    reference = None
    if treatment != BASELINE:
        reference = trials[checkpoint, BASELINE]
    elif checkpoint == AFTER:
        reference = trials[BEFORE, BASELINE]
    no_gain = {"gain": None, "gain_low": None, "gain_high": None} if reference is None else {}
    scores, isotropies = ([row[key] for row in trial.rows] for key in ("score", LOG_ISOTROPY))
    return {
        **{key: trial.rows[0][key] for key in ("checkpoint", "treatment", "n_clusters", "n_directions")},
        **trial.score(case.task, case.settings.seed, reference),
        **no_gain,
        **with_limits(LOG_ISOTROPY, trial.mean(LOG_ISOTROPY), trial.resampled_isotropy),
        "isoscore": trial.mean("isoscore"),
        "average_cosine_similarity": trial.mean("average_cosine_similarity"),
        "n_seeds": len(trial.rows),
        "lowest_score": min(scores),
        "highest_score": max(scores),
        "lowest_log10_isotropy": min(isotropies),
        "highest_log10_isotropy": max(isotropies),
    }


def _protocol(case: StudyCase) -> dict[str, Any]:
    settings, space = case.settings, case.spaces[BEFORE]
    fitted = f"the tokens of {len(case.fitting)} training items in layer {case.layer}, each checkpoint its own"
    if settings.compat is not None:
        fitted = (
            f"the very held-out tokens that are treated, as in the authors' code (compat={settings.compat}): "
            "this flatters the result"
        )
    searched = (
        f"chosen for each checkpoint by the score of {len(case.task.dev)} development items, "
        f"k of {', '.join(map(str, CLUSTERS))} with 300 tokens or more per cluster, "
        f"d of {', '.join(map(str, DIRECTIONS))}; whole grid in the table `search`"
        if settings.search
        else "as given, else the defaults: 27 clusters but 300 tokens or more in each on average, n_features/100 "
        "directions for global, n_features/64 in every cluster for cluster-based"
    )
    return {
        "score_name": case.task.score_name,
        "fitted_on": fitted,
        "n_clusters_and_n_directions": searched,
        "layer_treated": case.layer,
        "text": "the mean of its treated tokens",
        "n_tokens": len(space.rows),
        "partition_isotropy": f"of {len(space.sampled)} tokens, the same for all rows, not centred, u and −u",
        "isoscore_and_average_cosine": "of all held-out tokens",
        "seeds": f"{settings.seed} to {settings.seed + settings.n_seeds - 1} for treatments with clusters: "
        "their rows are means over the seeds, `lowest` and `highest` are of single seeds",
        "interval_of_score": "of the mean score over the seeds: items are resampled, 1000 times, 95 %",
        "interval_of_isotropy": "texts are resampled, 1000 times, 95 %, the same for all rows; eigenvectors are held "
        "fixed, and resamples are moved so that their mean is the value",
        "gain": "over the checkpoint's own baseline; of the second baseline over the first; resampled in pairs",
        "direction_checks": RULES,
    }


def draw(outcome: Outcome) -> dict[str, Figure]:
    """Score by treatment, isotropy by treatment, and one against the other."""
    score_name = outcome.protocol["score_name"]
    rows = outcome.tables["treatments"]
    return {
        "score": _by_treatment(rows, "score", "Score by treatment", score_name),
        "isotropy": _by_treatment(rows, LOG_ISOTROPY, "Isotropy by treatment", display_name(LOG_ISOTROPY)),
        "score_against_isotropy": _against(rows, score_name),
    }


def _by_treatment(rows: Table, key: str, title: str, label: str) -> Figure:
    """A value with its interval, treatments from top to bottom."""
    figure, axis = panel(title, label)
    names = list(dict.fromkeys(row["treatment"] for row in rows))
    for shift, checkpoint in ((-0.14, BEFORE), (0.14, AFTER)):
        own = [row for row in rows if row["checkpoint"] == checkpoint]
        places = [names.index(row["treatment"]) + shift for row in own]
        values, low, high = (np.array([number_or_nan(row[key + end]) for row in own]) for end in ("", "_low", "_high"))
        axis.hlines(places, low, high, color=COLORS[checkpoint], lw=1.6)
        look = {"marker": MARKERS[checkpoint], "color": COLORS[checkpoint], "label": LABELS[checkpoint]}
        axis.plot(values, places, ls="none", **look)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _against(rows: Table, score_name: str) -> Figure:
    """Score against isotropy: an arrow per treatment from the first checkpoint to the second."""
    figure, axis = panel("Score against isotropy", display_name(LOG_ISOTROPY), score_name, height=4.0)
    points = {(row["checkpoint"], row["treatment"]): row for row in rows}
    names = list(dict.fromkeys(row["treatment"] for row in rows))
    for name, marker in zip(names, TREATMENT_MARKERS, strict=True):
        start, end = (
            [number_or_nan(points[checkpoint, name][key]) for key in (LOG_ISOTROPY, "score")]
            for checkpoint in (BEFORE, AFTER)
        )
        if np.isfinite([start, end]).all():
            arrow = {"arrowstyle": "->", "color": "#808080", "shrinkA": 4, "shrinkB": 4}
            axis.annotate("", end, start, arrowprops=arrow)
        for checkpoint, point in ((BEFORE, start), (AFTER, end)):
            axis.plot(*point, marker=marker, color=COLORS[checkpoint], ls="none")
        axis.plot([], [], marker=marker, color=INK, ls="none", label=name)
    for checkpoint, color in COLORS.items():
        axis.plot([], [], marker="_", mew=4, ms=9, color=color, ls="none", label=LABELS[checkpoint])
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def tell(outcome: Outcome) -> list[str]:
    """The scores before and after, and every direction check as held or not."""
    name = outcome.protocol["score_name"]
    baselines = [row for row in outcome.tables["treatments"] if row["treatment"] == BASELINE]
    before, after = sorted(baselines, key=lambda row: row["checkpoint"] == AFTER)
    isotropy = [format_interval(row, LOG_ISOTROPY, "{:.2f} [{:.2f}, {:.2f}]") for row in (before, after)]
    scores = [format_interval(row, "score") for row in (before, after)]
    return [
        f"Without a treatment {name} went from {scores[0]} to {scores[1]} and log10 I(W) from {isotropy[0]} to "
        f"{isotropy[1]}.",
        *tell_checks(outcome.tables["direction_checks"]),
    ]


EXPERIMENT = Experiment(
    name="treatments",
    code="E1",
    title="Treatments that raise isotropy",
    question="Do treatments that raise isotropy help a fine-tuned space as they help a pre-trained one?",
    how_to_read="I(W) is 1 for an isotropic space and falls as the longest direction, or an offset that all vectors "
    "share, grows; it does not see how many directions are long, and depends on the length of the vectors and on "
    "their number, so that it compares treatments of one model and says little between models. IsoScore does not "
    "depend on the length. An average cosine near 0 tells that vectors point everywhere, and not that they do so "
    "evenly. Compare each row with its own baseline: the gain and its interval say whether the treatment helped. The "
    "direction checks are what is known of the findings of Rajaee & Pilehvar (EMNLP 2021) on BERT and RoBERTa, from "
    "the abstract and from what others say of it, checked on this model: a rise is held if its whole interval lies "
    "above 0, a fall if it lies below 0, a claim of no rise unless the whole interval lies above 0. Such a claim is "
    "also held where the data are too few to show a rise: look at the width of the interval. The intervals and these "
    "rules are ours; no check is forced to hold.",
    run=run,
    draw=draw,
    tell=tell,
    missing=missing,
)
