"""Experiment E4: whether the vectors of a verb lie apart by its tense or by its sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.data.annotated_words import AnnotatedWords, mean_rows
from isotropy_metrics.study.data.sense_sentences import built_in_senses
from isotropy_metrics.study.experiments._experiment import Experiment, Outcome
from isotropy_metrics.study.report.figures import COLORS, INK, LABELS, LINE_COLORS, REFERENCE, panel
from isotropy_metrics.study.report.tables import format_interval
from isotropy_metrics.study.resampling import ratio, resampled_counts, with_limits
from isotropy_metrics.study.spaces.checkpoint import AFTER, BEFORE
from isotropy_metrics.study.treatments.token_treatments import TREATMENTS, token_treatments, treatments_protocol
from isotropy_metrics.study.treatments.treatment import BASELINE, CLUSTER_BASED
from isotropy_metrics.views import principal_projection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("st_sm", "st_dm", "dt_sm")
NAMES = {"st_sm": "ST-SM", "st_dm": "ST-DM", "dt_sm": "DT-SM"}
RATIOS = {"dt_sm_over_st_dm": ("dt_sm", "st_dm"), "st_dm_over_st_sm": ("st_dm", "st_sm")}
DRAWN_TREATMENTS = (BASELINE, CLUSTER_BASED)
MARKERS = "oxs^Dv"


def missing(case: StudyCase) -> str | None:
    """A tokenizer must know most words, and tell their places in the text; the file of a user is checked here."""
    table, tokenizer = _table(case), case.before.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        return "the tokenizer does not tell which tokens a word consists of: use a fast one"
    table.token_places(tokenizer, case.max_length)
    forms = sorted(set(table.forms))
    known = [tokenizer.unk_token_id not in tokenizer(form, add_special_tokens=False)["input_ids"] for form in forms]
    if 2 * sum(known) < len(forms):
        return f"the tokenizer knows {sum(known)} of the {len(forms)} forms of the annotated words"
    return None


def run(case: StudyCase) -> Outcome:
    """Distances by checkpoint and treatment, over all words and for each; and one word in two dimensions."""
    table = _table(case)
    words = table.comparable()
    counts = resampled_counts(len(words), case.settings.seed)
    example = max(words, key=lambda word: len(words[word]))
    distances, by_word, points = [], [], []
    for checkpoint in case.checkpoints:
        space = case.space(checkpoint, table.sentences, [case.layer])
        starts = np.searchsorted(space.text_index, np.arange(len(table)))
        places = table.token_places(case.checkpoints[checkpoint].tokenizer, case.max_length)
        for treatment, treat in token_treatments(case, checkpoint).items():
            at = {"checkpoint": checkpoint, "treatment": treatment}
            vectors = mean_rows(treat(space.rows), starts, places)
            of_words = np.array([_distances(vectors[rows], table.kinds(rows)) for rows in words.values()])
            distances.append(at | _over_words(of_words, counts))
            by_word += [
                at | {"word": word, **dict(zip(KINDS, values, strict=True)), "n_occurrences": len(words[word])}
                for word, values in zip(words, of_words.tolist(), strict=True)
            ]
            if treatment in DRAWN_TREATMENTS:
                points += [at | point for point in _points(vectors[words[example]], words[example], table)]
    protocol = {
        "sentences": table.source,
        "n_sentences": len(table),
        "words": list(words),
        "words_left_out": [word for word in dict.fromkeys(table.words) if word not in words],
        "example": example,
        "vector": "mean of the treated tokens of the word; of a word that occurs twice, its first occurrence",
        "distance": "Euclidean; mean over the others of the same word, then over its occurrences, then over the words",
        "layer": case.layer,
        "interval": "bootstrap over the words, 1000 resamples, 95 %",
        **treatments_protocol(case),
    }
    return Outcome({"distances": distances, "by_word": by_word, "points": points}, protocol)


def _table(case: StudyCase) -> AnnotatedWords:
    path = case.settings.senses
    return built_in_senses() if path is None else AnnotatedWords.load(path)


def _distances(vectors: np.ndarray, kinds: dict[str, np.ndarray]) -> list[float]:
    """For each kind of pair, the mean distance of an occurrence from those others, over all that have any."""
    from scipy.spatial.distance import cdist

    between = cdist(vectors, vectors)
    means = []
    for kind in KINDS:
        of_each = ratio((between * kinds[kind]).sum(axis=1), kinds[kind].sum(axis=1))
        means.append(float(np.nanmean(of_each)))
    return means


def _over_words(of_words: np.ndarray, counts: np.ndarray) -> dict[str, float]:
    """Means over the words and ratios of these means, with intervals."""
    means = dict(zip(KINDS, of_words.mean(axis=0), strict=True))
    resampled = dict(zip(KINDS, (counts @ of_words / counts.sum(axis=1, keepdims=True)).T, strict=True))
    row: dict[str, float] = {}
    for kind in KINDS:
        row |= with_limits(kind, means[kind], resampled[kind])
    for name, (above, below) in RATIOS.items():
        value = means[above] / means[below] if means[below] else np.nan
        row |= with_limits(name, value, ratio(resampled[above], resampled[below]))
    return row | {"n_words": len(of_words)}


def _points(vectors: np.ndarray, rows: np.ndarray, table: AnnotatedWords) -> list[dict[str, Any]]:
    """The occurrences of one word on their first two principal directions."""
    x, y = principal_projection(vectors).coordinates.T
    return [
        {"sense": table.senses[row], "tense": table.tenses[row], "x": float(x[i]), "y": float(y[i])}
        for i, row in enumerate(rows)
    ]


def draw(outcome: Outcome) -> dict[str, Figure]:
    """The ratio, the distances, and the occurrences of one word."""
    figures = {"ratio": _draw_ratio(outcome)}
    for checkpoint in COLORS:
        figures[f"distances_{checkpoint}"] = _draw_distances(outcome, checkpoint)
    for treatment in DRAWN_TREATMENTS:
        for checkpoint in COLORS:
            points = [
                row
                for row in outcome.tables["points"]
                if (row["checkpoint"], row["treatment"]) == (checkpoint, treatment)
            ]
            title = f"“{outcome.protocol['example']}”, {LABELS[checkpoint]}, {treatment}"
            figures[f"{treatment}_{checkpoint}"] = _draw_points(points, title)
    return figures


def _draw_ratio(outcome: Outcome) -> Figure:
    figure, axis = panel("tense against sense: DT-SM / ST-DM", "treatment", "ratio of distances")
    for i, (checkpoint, color) in enumerate(COLORS.items()):
        rows = [row for row in outcome.tables["distances"] if row["checkpoint"] == checkpoint]
        low, value, high = (
            np.array([row[f"dt_sm_over_st_dm{end}"] for row in rows], dtype=float) for end in ("_low", "", "_high")
        )
        place = np.arange(len(rows)) + 0.2 * (i - 0.5)
        errors = [value - low, high - value]
        axis.errorbar(place, value, errors, fmt="o", color=color, capsize=3, label=LABELS[checkpoint])
    axis.axhline(1, **REFERENCE)
    axis.set_xticks(range(len(TREATMENTS)), TREATMENTS)
    axis.margins(x=0.15)
    axis.legend()
    return figure


def _draw_distances(outcome: Outcome, checkpoint: str) -> Figure:
    figure, axis = panel(f"distances, {LABELS[checkpoint]}", "treatment", "Euclidean distance")
    rows = [row for row in outcome.tables["distances"] if row["checkpoint"] == checkpoint]
    for i, kind in enumerate(KINDS):
        low, value, high = (
            np.array([row[f"{kind}{end}"] for row in rows], dtype=float) for end in ("_low", "", "_high")
        )
        place = np.arange(len(rows)) + 0.27 * (i - 1)
        axis.bar(place, value, 0.25, color=LINE_COLORS[i + 2], label=NAMES[kind])
        axis.errorbar(place, value, [value - low, high - value], fmt="none", ecolor=INK, lw=0.8)
    axis.set_xticks(range(len(TREATMENTS)), TREATMENTS)
    axis.legend()
    return figure


def _draw_points(points: list[dict[str, Any]], title: str) -> Figure:
    """The sense is a colour, the tense a marker."""
    figure, axis = panel(title, "first principal direction", "second")
    senses, tenses = (sorted({row[name] for row in points}) for name in ("sense", "tense"))
    for i, sense in enumerate(senses):
        for j, tense in enumerate(tenses):
            own = [(row["x"], row["y"]) for row in points if (row["sense"], row["tense"]) == (sense, tense)]
            look = {"marker": MARKERS[j % len(MARKERS)], "color": LINE_COLORS[i % len(LINE_COLORS)]}
            if own:
                axis.scatter(*zip(*own, strict=True), s=22, label=f"{sense}, {tense}", **look)
    axis.legend()
    return figure


def tell(outcome: Outcome) -> list[str]:
    """The ratio before and after, and what cluster-based treatment does to it."""
    rows = {(row["checkpoint"], row["treatment"]): row for row in outcome.tables["distances"]}

    def ratio_of(checkpoint: str, treatment: str) -> str:
        return format_interval(rows[checkpoint, treatment], "dt_sm_over_st_dm", "{:.3f} [{:.3f}, {:.3f}]")

    return [
        f"Two occurrences of a verb in different tenses lie {ratio_of(BEFORE, BASELINE)} times as far apart as two in "
        f"different senses before fine-tuning, and {ratio_of(AFTER, BASELINE)} times after "
        f"it: {rows[BEFORE, BASELINE]['n_words']} verbs, {outcome.protocol['sentences']}.",
        f"With {CLUSTER_BASED} treatment it is {ratio_of(BEFORE, CLUSTER_BASED)} before and "
        f"{ratio_of(AFTER, CLUSTER_BASED)} after it.",
    ]


EXPERIMENT = Experiment(
    name="senses_and_tenses",
    code="E4",
    title="Verbs: tense against sense",
    question="Do the vectors of a verb lie apart by its tense or by its sense, and do fine-tuning and the treatments "
    "change that?",
    how_to_read="Distances between occurrences of the same verb: ST-SM in the same tense and sense, ST-DM in the "
    "same tense and different senses, DT-SM in different tenses and the same sense. A space that tells senses apart "
    "and cares little for grammar has DT-SM below ST-DM: a ratio DT-SM / ST-DM below 1. Distances themselves are not "
    "comparable between checkpoints or treatments, whose scales differ; the ratio is. Rajaee & Pilehvar (ACL 2021) "
    "report a ratio above 1 for pre-trained models, and below 1 once dominant directions are removed, on verbs of "
    "SemCor with at least ten occurrences of each sense. Here every verb counts that has pairs of all three kinds; "
    "name a file with --senses to use your own. The built-in sentences are templates, whose senses differ plainly in "
    "their objects: that makes ST-DM larger than in running text.",
    run=run,
    draw=draw,
    tell=tell,
    missing=missing,
)
