"""Experiment E3: whether the neighbours of a token are tokens of sentences with the same structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.statistics.nearest_neighbors import nearest_of_other_labels
from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.data.same_structure import StructuredSentences, load_structures
from isotropy_metrics.study.experiments._experiment import Experiment, Outcome
from isotropy_metrics.study.report.figures import INK, LABELS, panel
from isotropy_metrics.study.report.tables import MISSING, format_interval, number_or_nan
from isotropy_metrics.study.resampling import ratio, resampled_counts, sums_by_group, with_limits
from isotropy_metrics.study.spaces.checkpoint import AFTER, BEFORE
from isotropy_metrics.study.spaces.word_tokens import is_occurrence
from isotropy_metrics.study.treatments.token_treatments import (
    TREATMENT_COLORS,
    TREATMENTS,
    token_treatments,
    treatments_protocol,
)
from isotropy_metrics.study.treatments.treatment import BASELINE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOKENS = (".", ",", "the", "of")
"""The tokens of Rajaee & Pilehvar (ACL 2021): two punctuation marks and two function words."""

K = 5
"""Neighbours; a sentence has five others of its structure in their data and in ours."""

MEAN = "mean of the tokens"


def missing(case: StudyCase) -> str | None:
    """Which tokens there are is known only to the tokenizer; the file of a user is checked here."""
    structures = load_structures(case.settings.structures, case.settings.seed)
    tokenizer = case.before.tokenizer
    encoded = tokenizer(structures.sentences, truncation=True, max_length=case.max_length, verbose=False)["input_ids"]
    pieces = tokenizer.convert_ids_to_tokens([number for ids in encoded for number in ids])
    if not _occurrences(pieces, np.repeat(np.arange(len(encoded)), [len(ids) for ids in encoded])):
        return f"none of the tokens {' '.join(TOKENS)} occurs in more than {K} of the sentences"
    return None


def run(case: StudyCase) -> Outcome:
    """Shares of neighbours of the same structure by checkpoint, treatment and token, and what changes them."""
    structures = load_structures(case.settings.structures, case.settings.seed)
    counts = resampled_counts(structures.n_groups, case.settings.seed)
    shares, resampled = [], {}
    for checkpoint in case.checkpoints:
        space = case.space(checkpoint, structures.sentences, [case.layer])
        occurrences = _occurrences(space.tokens, space.text_index)
        for treatment, treat in token_treatments(case, checkpoint).items():
            at = {"checkpoint": checkpoint, "treatment": treatment}
            rows = {token: treat(space.rows[where]) for token, where in occurrences.items()}
            of_token = {}
            for token, where in occurrences.items():
                row, of_token[token] = _share(rows[token], space.text_index[where], structures, counts)
                shares.append(at | {"token": token} | row)
            of_token[MEAN] = np.mean(list(of_token.values()), axis=0)
            shares.append(at | {"token": MEAN} | _mean(shares[-len(occurrences) :], of_token[MEAN]))
            resampled |= {(checkpoint, treatment, token): values for token, values in of_token.items()}
    protocol = {
        "sentences": structures.source,
        "n_sentences": len(structures.sentences),
        "n_groups": structures.n_groups,
        "tokens": list(occurrences),
        "tokens_left_out": [token for token in TOKENS if token not in occurrences],
        "k": K,
        "distance": "Euclidean, to all occurrences of the same token in other sentences",
        "layer": case.layer,
        "interval": "bootstrap over the groups, 1000 resamples, 95 %; all rows by the same resamples; neighbours "
        "are those among all sentences",
        **treatments_protocol(case),
    }
    return Outcome({"shares": shares, "changes": _changes(shares, resampled)}, protocol)


def _occurrences(pieces: Sequence[str], text_index: np.ndarray) -> dict[str, np.ndarray]:
    """Which tokens are occurrences of each of `TOKENS`, for those with k of them outside of any one sentence."""
    meaning = {piece: {token for token in TOKENS if is_occurrence(piece, token)} for piece in set(pieces)}
    found = {}
    for token in TOKENS:
        where = np.flatnonzero([token in meaning[piece] for piece in pieces])
        if len(where) and len(where) - np.bincount(text_index[where]).max() >= K:
            found[token] = where
    return found


def _share(
    rows: np.ndarray, text_index: np.ndarray, structures: StructuredSentences, counts: np.ndarray
) -> tuple[dict[str, float], np.ndarray]:
    """The share of one token, and its value in each resample of the groups."""
    groups = structures.groups[text_index]
    neighbors = nearest_of_other_labels(rows, np.arange(len(rows)), K, labels=text_index)[1]
    shares = (groups[neighbors] == groups[:, None]).mean(axis=1)
    in_group, in_text = np.bincount(groups)[groups], np.bincount(text_index)[text_index]
    others_alike = in_group - in_text
    sums = sums_by_group(groups, structures.n_groups, shares, np.ones(len(rows)))
    resampled = ratio(*(counts @ sums).T)
    return {
        **with_limits("share", shares.mean(), resampled),
        "share_by_chance": float(np.mean(others_alike / (len(rows) - in_text))),
        "largest_share_possible": float(np.mean(np.minimum(others_alike, K) / K)),
        "n_occurrences": len(rows),
        "n_groups": len(np.unique(groups)),
    }, resampled


def _mean(rows: list[dict[str, float]], resampled: np.ndarray) -> dict[str, float]:
    value = np.mean([row["share"] for row in rows])
    return {
        **with_limits("share", value, resampled),
        "share_by_chance": float(np.mean([row["share_by_chance"] for row in rows])),
        "largest_share_possible": float(np.mean([row["largest_share_possible"] for row in rows])),
        "n_occurrences": sum(row["n_occurrences"] for row in rows),
        "n_groups": max(row["n_groups"] for row in rows),
    }


def _changes(shares: list[dict[str, object]], resampled: dict[tuple[str, str, str], np.ndarray]) -> list[dict]:
    """What fine-tuning and what each treatment does to the share of each token, as differences of shares."""
    values = {(row["checkpoint"], row["treatment"], row["token"]): row["share"] for row in shares}
    tokens = dict.fromkeys(row["token"] for row in shares)
    steps = [((BEFORE, BASELINE), (AFTER, BASELINE))]
    steps += [((each, BASELINE), (each, treatment)) for each in (BEFORE, AFTER) for treatment in TREATMENTS[1:]]
    return [
        {"token": token, "from": ", ".join(start), "to": ", ".join(end)}
        | with_limits(
            "difference",
            values[(*end, token)] - values[(*start, token)],
            resampled[(*end, token)] - resampled[(*start, token)],
        )
        for token in tokens
        for start, end in steps
    ]


def draw(outcome: Outcome) -> dict[str, Figure]:
    """Bars by token, a panel per checkpoint."""
    figures = {}
    tokens = outcome.protocol["tokens"]
    highest = np.nanmax([100.0 * number_or_nan(row["share_high"]) for row in outcome.tables["shares"]])
    for checkpoint, label in LABELS.items():
        figure, axis = panel(f"same structure, {label}", "token", f"% of {K} neighbours")
        for i, treatment in enumerate(TREATMENTS):
            rows = {
                row["token"]: row
                for row in outcome.tables["shares"]
                if (row["checkpoint"], row["treatment"]) == (checkpoint, treatment)
            }
            low, value, high = (
                np.array([100 * number_or_nan(rows[token][key]) for token in tokens])
                for key in ("share_low", "share", "share_high")
            )
            place = np.arange(len(tokens)) + 0.27 * (i - 1)
            axis.bar(place, value, 0.25, color=TREATMENT_COLORS[treatment], label=treatment)
            axis.errorbar(place, value, [value - low, high - value], fmt="none", ecolor=INK, lw=0.8)
        chance = [100 * number_or_nan(rows[token]["share_by_chance"]) for token in tokens]
        axis.plot(np.arange(len(tokens)), chance, "_", color=INK, ms=30, label="by chance")
        axis.set_xticks(np.arange(len(tokens)), [f'"{token}"' for token in tokens])
        axis.set_ylim(0, 1.05 * highest if highest > 0 else None)
        axis.legend()
        figures[checkpoint] = figure
    return figures


def tell(outcome: Outcome) -> list[str]:
    """What fine-tuning does to the share, and what the treatments do."""
    means = {(row["checkpoint"], row["treatment"]): row for row in outcome.tables["shares"] if row["token"] == MEAN}
    before, after = means[BEFORE, BASELINE], means[AFTER, BASELINE]
    change = next(row for row in outcome.tables["changes"] if row["token"] == MEAN)
    listed = " ".join(f'"{token}"' for token in outcome.protocol["tokens"])
    treated = "; ".join(
        f"{_percent(means[BEFORE, treatment])} % and {_percent(means[AFTER, treatment])} % with {treatment} treatment"
        for treatment in TREATMENTS[1:]
    )
    points = {key: None if value is None else 100 * value for key, value in change.items() if "difference" in key}
    return [
        f"Of the {K} nearest neighbours of {listed}, {_percent(before)} % come from a sentence of the same "
        f"structure before fine-tuning and {_percent(after)} % after it, a difference of "
        f"{format_interval(points, 'difference', '{:.1f} [{:.1f}, {:.1f}]')} points (chance: "
        f"{_percent(before, 'share_by_chance')} %).",
        f"Before and after fine-tuning the share is {treated}.",
    ]


def _percent(row: dict[str, Any], key: str = "share") -> str:
    return MISSING if row[key] is None else f"{100 * row[key]:.1f}"


EXPERIMENT = Experiment(
    name="token_types",
    code="E3",
    title="Token types: punctuation and function words",
    question="Do the vectors of punctuation marks and function words tell the structure of their sentence, and do "
    "fine-tuning and the treatments change that?",
    how_to_read="Each bar is the share of a token's nearest neighbours that stand in a sentence of the same "
    "structure, with other content words. All candidates are occurrences of the same token, so a share far above "
    "chance means that the vector of a full stop or of “the” carries the structure of its sentence; a share near "
    "chance means that it does not, or that content weighs more. Rajaee & Pilehvar (ACL 2021) report that the share "
    "falls when dominant directions are removed. They do not state the number of neighbours: five is our choice, "
    "because a sentence has five others of its structure. The built-in sentences come from a small grammar, not from "
    "their data; values from other sentences are not comparable.",
    run=run,
    draw=draw,
    tell=tell,
    missing=missing,
)
