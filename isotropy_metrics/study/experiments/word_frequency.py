"""Experiment E5: whether the long directions and the neighbourhoods of a space follow the frequency of words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.statistics.nearest_neighbors import nearest_of_other_labels
from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.data.word_frequencies import WordFrequencies
from isotropy_metrics.study.experiments._experiment import Experiment, Outcome
from isotropy_metrics.study.report.figures import COLORS, INK, LABELS, MARKERS, panel
from isotropy_metrics.study.report.tables import format_interval, number_or_nan
from isotropy_metrics.study.resampling import ratio, resampled_counts, sums_by_group, with_limits
from isotropy_metrics.study.spaces.checkpoint import AFTER, BEFORE
from isotropy_metrics.study.spaces.token_space import TokenSpace
from isotropy_metrics.study.spaces.word_tokens import has_letters, plain_word
from isotropy_metrics.study.treatments.token_treatments import TREATMENTS, token_treatments, treatments_protocol
from isotropy_metrics.study.treatments.treatment import BASELINE, CLUSTER_BASED
from isotropy_metrics.views import principal_projection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_DIRECTIONS = 10
"""Directions whose correlation with frequency is listed."""

EXPLAINED_BY = (1, 2, 5, 10, 20)
"""Numbers of top directions that frequency is regressed on."""

N_FOLDS, N_DIVISIONS = 5, 5
"""Of the words, for R²: folds, and how often the words are divided into them."""

K = 10
"""Neighbours."""

N_SAMPLED = 3000
"""Tokens whose neighbours are looked for."""

N_DRAWN = 1000
"""Tokens in a scatter."""

FEWEST_WORDS = 20
"""Different words with a frequency below which nothing can be said."""

LINE_STYLES = dict(zip(TREATMENTS, ("-", ":", "--"), strict=True))


@dataclass(frozen=True, eq=False)
class FrequentTokens:
    """The held-out tokens whose words have a frequency.

    Attributes:
        rows: which tokens of the space they are.
        frequency: (n,), of their words.
        word: (n,), number of the word of each.
        text: (n,), number of the text of each.
        n_texts: how many texts there are.
        sample: some of them, drawn uniformly, as indices into the above.
    """

    rows: np.ndarray
    frequency: np.ndarray
    word: np.ndarray
    text: np.ndarray
    n_texts: int
    sample: np.ndarray

    @classmethod
    def of(cls, space: TokenSpace, frequencies: WordFrequencies, seed: int) -> FrequentTokens:
        """All tokens of words that have a frequency, punctuation marks left out."""
        plain = np.array([plain_word(word) for word in space.words], dtype=object)
        found = {word: frequencies.find(word) for word in set(plain) if word}
        rows = np.array([i for i, word in enumerate(plain) if found.get(word) is not None], dtype=int)
        sample = np.random.default_rng(seed).permutation(len(rows))[:N_SAMPLED]
        return cls(
            rows,
            np.array([found[plain[i]] for i in rows], dtype=float),
            np.unique(plain[rows].astype(str), return_inverse=True)[1],
            space.text_index[rows],
            space.n_texts,
            np.sort(sample),
        )


def missing(case: StudyCase) -> str | None:
    """Frequencies must be there, and for the words of these texts."""
    frequencies = case.settings.frequencies
    try:
        found = WordFrequencies.load(frequencies, case.task.train.texts)
    except ImportError as error:
        return str(error)
    words = {plain_word(word) for text in case.task.test.texts for word in text.split()}
    known = [value for word in words if word and (value := found.find(word)) is not None]
    if len(known) >= FEWEST_WORDS and np.ptp(known) > 0:
        return None
    reason = f"{len(known)} of {len(words)} words of the held-out texts have a frequency in {found.source}"
    if Path(frequencies).is_file():
        raise ValueError(f"{reason}: at least {FEWEST_WORDS} of different frequency are needed")
    return reason


def run(case: StudyCase) -> Outcome:
    """By checkpoint and treatment: correlations of the top directions, R² of frequency on them, and neighbours."""
    frequencies = WordFrequencies.load(case.settings.frequencies, case.task.train.texts)
    tables: dict[str, list[dict[str, Any]]] = {"directions": [], "explained": [], "neighbors": [], "points": []}
    for checkpoint, space in case.spaces.items():
        tokens = FrequentTokens.of(space, frequencies, case.settings.seed)
        counts = resampled_counts(tokens.n_texts, case.settings.seed)
        for treatment, treat in token_treatments(case, checkpoint).items():
            at = {"checkpoint": checkpoint, "treatment": treatment}
            treated = treat(space.rows)
            scores, shares = _principal_scores(treated)
            own_scores, own_rows = scores[tokens.rows], treated[tokens.rows]
            tables["directions"] += [at | row for row in _correlations(own_scores, shares, tokens, counts)]
            tables["explained"] += [at | row for row in _explained(own_scores, tokens, case.settings.seed)]
            tables["neighbors"].append(at | _neighbors(own_rows[tokens.sample], tokens, counts))
            tables["points"] += [
                at
                | {"x": float(own_scores[i, 0]), "y": float(own_scores[i, 1]), "frequency": float(tokens.frequency[i])}
                for i in tokens.sample[:: max(1, -(-len(tokens.sample) // N_DRAWN))].tolist()
            ]
    plain = {plain_word(word) for word in space.words}
    protocol = {
        "frequency": frequencies.unit,
        "source": frequencies.source,
        "n_tokens": len(tokens.rows),
        "n_words": int(tokens.word.max()) + 1,
        "n_tokens_of_punctuation_left_out": int(sum(not has_letters(word) for word in space.words)),
        "n_words_without_frequency_left_out": sum(1 for word in plain if word and frequencies.find(word) is None),
        "directions": "principal directions of all held-out tokens, punctuation too, after the treatment",
        "sign": "a direction points where its largest component is positive",
        "r2": f"of held-out words: ordinary least squares, {N_FOLDS} folds of whole words; squared errors are means "
        f"over {N_DIVISIONS} random divisions into folds",
        "neighbors": f"k = {K}, Euclidean, among {len(tokens.sample)} tokens drawn uniformly, of other words only",
        "thirds": "of these tokens by frequency",
        "layer": space.layer,
        "interval": "bootstrap over the texts, of R² over the words, 1000 resamples, 95 %; ranks, neighbours and "
        "regressions as of all texts",
        **treatments_protocol(case),
    }
    return Outcome(tables, protocol)


def _principal_scores(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of all rows on their top principal directions in float64, and the shares of variance of these."""
    projection = principal_projection(rows.astype(np.float64), max(*EXPLAINED_BY, N_DIRECTIONS))
    return projection.coordinates, projection.shares


def _correlations(
    scores: np.ndarray, shares: np.ndarray, tokens: FrequentTokens, counts: np.ndarray
) -> list[dict[str, float]]:
    """Spearman's correlation of frequency with the coordinate on each direction, and with its absolute value."""
    rows = []
    for j in range(min(N_DIRECTIONS, scores.shape[1])):
        row = {"direction": j + 1, "share": float(shares[j])}
        for name, values in (("spearman", scores[:, j]), ("spearman_absolute", np.abs(scores[:, j]))):
            row |= _spearman(name, values, tokens, counts)
        rows.append(row)
    return rows


def _spearman(name: str, values: np.ndarray, tokens: FrequentTokens, counts: np.ndarray) -> dict[str, float]:
    from scipy.stats import rankdata

    a, b = (rankdata(each) - (len(each) + 1) / 2 for each in (values, tokens.frequency))
    sums = sums_by_group(tokens.text, tokens.n_texts, np.ones(len(a)), a, b, a * a, b * b, a * b)
    return with_limits(name, _correlation(sums.sum(axis=0)), _correlation(counts @ sums))


def _correlation(sums: np.ndarray) -> np.ndarray:
    """Pearson's correlation from n, Σa, Σb, Σa², Σb², Σab in the last dimension."""
    n, a, b, aa, bb, ab = np.moveaxis(sums, -1, 0)
    return ratio(ab - a * b / n, np.sqrt((aa - a * a / n) * (bb - b * b / n)))


def _explained(scores: np.ndarray, tokens: FrequentTokens, seed: int) -> list[dict[str, float]]:
    """R² of the frequency of held-out words, regressed on the top d directions.

    Which words are held out together matters, and a few frequent words have many tokens: the errors are means over
    several divisions, and words are resampled.
    """
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import PredefinedSplit, cross_val_predict

    y, n_words = tokens.frequency - tokens.frequency.mean(), int(tokens.word.max()) + 1
    rng = np.random.default_rng(seed)
    folds = [(rng.permutation(n_words) % N_FOLDS)[tokens.word] for _ in range(N_DIVISIONS)]
    counts = resampled_counts(n_words, seed)
    rows = []
    for d in (d for d in EXPLAINED_BY if d <= scores.shape[1]):
        predicted = [
            cross_val_predict(LinearRegression(), scores[:, :d], y, cv=PredefinedSplit(each)) for each in folds
        ]
        errors = np.mean([(y - each) ** 2 for each in predicted], axis=0)
        sums = sums_by_group(tokens.word, n_words, np.ones(len(y)), y, y * y, errors)
        values = [_r2(each) for each in (sums.sum(axis=0), counts @ sums)]
        rows.append({"n_directions": d, **with_limits("r2", *values)})
    return rows


def _r2(sums: np.ndarray) -> np.ndarray:
    """From n, Σy, Σy² and the sum of squared errors in the last dimension."""
    n, y, yy, errors = np.moveaxis(sums, -1, 0)
    return 1 - ratio(errors, yy - y * y / n)


def _neighbors(rows: np.ndarray, tokens: FrequentTokens, counts: np.ndarray) -> dict[str, float]:
    """Whether the nearest tokens of other words are of like frequency: in the same third, and by their difference."""
    frequency, word, text = (each[tokens.sample] for each in (tokens.frequency, tokens.word, tokens.text))
    k = min(K, len(rows) - int(np.bincount(word).max()))
    third = np.searchsorted(np.quantile(frequency, [1 / 3, 2 / 3]), frequency, side="left")
    same, gap, same_by_chance, gap_by_chance = np.full((4, len(rows)), np.nan)
    if k > 0:
        found = nearest_of_other_labels(rows, np.arange(len(rows)), k, labels=word)[1]
        same = (third[found] == third[:, None]).mean(axis=1)
        gap = np.abs(frequency[found] - frequency[:, None]).mean(axis=1)
        for i in range(len(rows)):
            others = word != word[i]
            same_by_chance[i] = (third[others] == third[i]).mean()
            gap_by_chance[i] = np.abs(frequency[others] - frequency[i]).mean()
    sums = sums_by_group(text, tokens.n_texts, same, gap, np.ones(len(rows)))
    same_resampled, gap_resampled = (ratio(column, (counts @ sums)[:, 2]) for column in (counts @ sums).T[:2])
    return {
        **with_limits("purity", same.mean(), same_resampled),
        "purity_by_chance": float(same_by_chance.mean()),
        **with_limits("frequency_difference", gap.mean(), gap_resampled),
        "frequency_difference_by_chance": float(gap_by_chance.mean()),
        "n_tokens": len(rows),
    }


def draw(outcome: Outcome) -> dict[str, Figure]:
    """R² against d, purity, correlations of the directions, and the scatters."""
    figures = {"r2": _draw_r2(outcome), "purity": _draw_purity(outcome), "directions": _draw_directions(outcome)}
    points = outcome.tables["points"]
    limits = {"vmin": min(row["frequency"] for row in points), "vmax": max(row["frequency"] for row in points)}
    for treatment in TREATMENTS:
        for checkpoint, label in LABELS.items():
            own = [row for row in points if (row["checkpoint"], row["treatment"]) == (checkpoint, treatment)]
            figure, axis = panel(f"{label}, {treatment}", "first principal direction", "second")
            x, y, color = ([row[name] for row in own] for name in ("x", "y", "frequency"))
            scatter = axis.scatter(x, y, c=color, s=7, cmap="viridis", linewidths=0, rasterized=True, **limits)
            figure.colorbar(scatter, label="log frequency")
            figures[f"{treatment}_{checkpoint}"] = figure
    return figures


def _draw_r2(outcome: Outcome) -> Figure:
    figure, axis = panel("R² of log frequency on the top directions", "number of directions", "R², held-out words")
    for checkpoint, color in COLORS.items():
        for treatment, line in LINE_STYLES.items():
            rows = [
                row
                for row in outcome.tables["explained"]
                if (row["checkpoint"], row["treatment"]) == (checkpoint, treatment)
            ]
            label = f"{checkpoint}, {treatment}"
            values = [number_or_nan(row["r2"]) for row in rows]
            axis.plot(range(len(rows)), values, line, marker=MARKERS[checkpoint], color=color, label=label)
    axis.set_xticks(range(len(rows)), [str(row["n_directions"]) for row in rows])
    axis.legend()
    return figure


def _draw_purity(outcome: Outcome) -> Figure:
    figure, axis = panel("neighbours of like frequency", "treatment", f"% of {K} neighbours")
    for i, (checkpoint, color) in enumerate(COLORS.items()):
        rows = [row for row in outcome.tables["neighbors"] if row["checkpoint"] == checkpoint]
        low, value, high = (
            np.array([100 * number_or_nan(row[f"purity{end}"]) for row in rows]) for end in ("_low", "", "_high")
        )
        place = np.arange(len(rows)) + 0.36 * (i - 0.5)
        axis.bar(place, value, 0.34, color=color, label=LABELS[checkpoint])
        axis.errorbar(place, value, [value - low, high - value], fmt="none", ecolor=INK, lw=0.8)
    chance = [100 * number_or_nan(row["purity_by_chance"]) for row in rows]
    axis.plot(range(len(rows)), chance, "_", color=INK, ms=40, label="by chance")
    axis.set_xticks(range(len(rows)), TREATMENTS)
    axis.legend()
    return figure


def _draw_directions(outcome: Outcome) -> Figure:
    figure, axis = panel("frequency along each direction", "principal direction", "Spearman, |coordinate|")
    for i, (checkpoint, color) in enumerate(COLORS.items()):
        rows = [
            row
            for row in outcome.tables["directions"]
            if (row["checkpoint"], row["treatment"]) == (checkpoint, BASELINE)
        ]
        place = np.array([row["direction"] for row in rows]) + 0.36 * (i - 0.5)
        values = [number_or_nan(row["spearman_absolute"]) for row in rows]
        axis.bar(place, values, 0.34, color=color, label=LABELS[checkpoint])
    axis.axhline(0, color=INK, lw=0.8)
    axis.set_xticks([row["direction"] for row in rows])
    axis.legend()
    return figure


def tell(outcome: Outcome) -> list[str]:
    """How much of frequency the top directions tell, and the neighbourhoods."""
    most = max(row["n_directions"] for row in outcome.tables["explained"])
    explained = {
        (row["checkpoint"], row["treatment"]): format_interval(row, "r2", "{:.2f} [{:.2f}, {:.2f}]")
        for row in outcome.tables["explained"]
        if row["n_directions"] == most
    }
    neighbors = {(row["checkpoint"], row["treatment"]): row for row in outcome.tables["neighbors"]}
    before, after = (100 * number_or_nan(neighbors[each, BASELINE]["purity"]) for each in (BEFORE, AFTER))
    chance = 100 * number_or_nan(neighbors[BEFORE, BASELINE]["purity_by_chance"])
    return [
        f"The top {most} directions explain R² = {explained[BEFORE, BASELINE]} of the log frequency of words before "
        f"fine-tuning and {explained[AFTER, BASELINE]} after it; with {CLUSTER_BASED} treatment "
        f"{explained[BEFORE, CLUSTER_BASED]} and {explained[AFTER, CLUSTER_BASED]}.",
        f"{before:.1f} % of the {K} nearest tokens of other words are of like frequency before fine-tuning, "
        f"{after:.1f} % after it (chance: {chance:.1f} %).",
    ]


EXPERIMENT = Experiment(
    name="word_frequency",
    code="E5",
    title="Word frequency",
    question="Do the long directions and the neighbourhoods of the space follow how frequent words are, and do "
    "fine-tuning and the treatments change that?",
    how_to_read="Each point of a scatter is a token, the lighter the more frequent its word; where light and dark "
    "separate, the longest directions carry frequency. R² says how well the logarithm of frequency of words that the "
    "regression has not seen follows from the coordinates on the top directions: 1 completely, 0 or less not at all; "
    "its interval says what other words would give. Spearman's correlation is given for the coordinate on each "
    "direction, whose sign has no meaning, and for its absolute value, which says whether frequent words lie far "
    "out. The purity is the share of the nearest tokens of other words that are in the same third of frequency; "
    "chance is that share among all tokens of other words. A piece of a word counts with the frequency of the whole "
    "word. The scatter follows Rajaee & Pilehvar (ACL 2021), the numbers beside it are ours. None of this tells "
    "cause: frequent words are also short function words.",
    run=run,
    draw=draw,
    tell=tell,
    missing=missing,
)
