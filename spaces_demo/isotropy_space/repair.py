"""Repair: an enhancement fitted on some rows, and what it does to others: numbers and pictures, before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from isotropy_metrics.measures.comparisons import COMPARISONS
from isotropy_metrics.noted_warnings import noted_warnings
from isotropy_metrics.study.resampling import LEVEL
from isotropy_metrics.study.tasks.scoring import score_with_interval
from isotropy_metrics.study.tasks.similarity import Similarity, cosine_similarities
from isotropy_space.embeddings import Embeddings
from isotropy_space.enhancement_choice import choice_of
from isotropy_space.figures import draw_cosines, draw_projection, draw_scores, draw_spectra
from isotropy_space.pairs import Pairs
from isotropy_space.seen_space import SeenSpace, notes_of_sample, same_rows_of
from isotropy_space.side_by_side import cosines_table, measures_table, projected_table, spectra_table

MOST_SCORED = 5000
"""Pairs that are scored: resampling more of them takes seconds and memory, and narrows the interval little."""

OVERLAP = COMPARISONS["neighborhood_overlap"]
LEAST_ROWS = 2 * (OVERLAP.options["k"] + 1)
"""Each half must hold a row and its neighbours."""

BEFORE, AFTER, GAIN = "before", "after", "gain"


@dataclass(frozen=True, eq=False)
class Repaired:
    """What an enhancement does to rows, before and after.

    Attributes:
        python: the enhancement, as one writes it in Python.
        fitted: numbers of the rows it was fitted on.
        shown: numbers of the rows that everything else is of.
        rows_sentence: which rows these are.
        measures: a table: measure, before, after, change, isotropic, meaning.
        overlap: the share of its nearest neighbours that a row keeps (Jaccard index), on average.
        overlap_sentence: the same in words.
        scores: a table of the task score before and after, and of the gain: name, value, low, high; None without
            pairs.
        verdict: whether it helps, as far as that is known.
        cosines: a table of the picture of cosines: from, to, before, after.
        spectra: a table of the picture of spectra: directions, before, after.
        projected: a table of the two projections: row, name if there are any, before 1, before 2, after 1, after 2.
        cosines_figure, spectra_figure, before_figure, after_figure, scores_figure: the pictures.
        notes: what the library warns of, a sentence each.
    """

    python: str
    fitted: np.ndarray
    shown: np.ndarray
    rows_sentence: str
    measures: pd.DataFrame
    overlap: float
    overlap_sentence: str
    scores: pd.DataFrame | None
    verdict: str
    cosines: pd.DataFrame
    spectra: pd.DataFrame
    projected: pd.DataFrame
    cosines_figure: go.Figure
    spectra_figure: go.Figure
    before_figure: go.Figure
    after_figure: go.Figure
    scores_figure: go.Figure | None
    notes: tuple[str, ...]


def repair(
    embeddings: Embeddings, choice: str, strength: float, *, pairs: Pairs | None = None, seed: int = 0
) -> Repaired:
    """Fit an enhancement on half of the rows, and see what it does to the others.

    The rows of scored pairs are among the others. Where these are more than half of all rows, too few are left to fit
    on: then it is fitted on all rows, seen on those of the pairs, and `rows_sentence` says so.

    Args:
        embeddings: the rows.
        choice: name of one of the `CHOICES`.
        strength: on its slider.
        pairs: of rows, with scores, for the task score; None for none.
        seed: of the halves, and of all samples.

    Raises:
        ValueError: too few rows, or rows or a strength that the enhancement cannot be fitted with.
    """
    n_rows = len(embeddings.rows)
    if n_rows < LEAST_ROWS:
        raise ValueError(
            f"{embeddings.title} has {n_rows} rows: a repair needs at least {LEAST_ROWS}, one half to fit on and "
            "another to see what it does"
        )
    chosen = choice_of(choice)
    fitted, shown = _split(n_rows, pairs, seed)
    scored = None if pairs is None else _at_most(pairs, MOST_SCORED, seed)
    with noted_warnings() as notes:
        enhancement = chosen.make(strength).fit(embeddings.rows[fitted])
        before = embeddings.rows[shown]
        spaces = {BEFORE: before, AFTER: enhancement.transform(before)}
        _, sampled = same_rows_of(*spaces.values(), seed)
        seen = {
            name: SeenSpace.of(rows, sample, seed)
            for (name, rows), sample in zip(spaces.items(), sampled.spaces, strict=True)
        }
        overlap = OVERLAP(sampled)[OVERLAP.name]
        scores = None if scored is None else _scores_table(spaces, shown, scored, seed)
    beside = {
        "names": None if embeddings.names is None else embeddings.names[shown],
        "labels": None if embeddings.labels is None else embeddings.labels[shown],
        "labels_title": embeddings.labels_title,
        "seed": seed,
    }
    return Repaired(
        python=chosen.python(strength),
        fitted=fitted,
        shown=shown,
        rows_sentence=_rows_sentence(fitted, shown, n_rows),
        measures=measures_table(seen),
        overlap=overlap,
        overlap_sentence=(
            f"The {OVERLAP.options['k']} nearest neighbours of a row before and after overlap by {overlap:.2f} "
            "on average (1: the same ones, 0: all others)."
        ),
        scores=scores,
        verdict=_verdict(scores, held_out=len(fitted) < n_rows),
        cosines=cosines_table(seen),
        spectra=spectra_table(seen),
        projected=projected_table(shown, seen, beside["names"], seed),
        cosines_figure=draw_cosines({name: each.cosines for name, each in seen.items()}),
        spectra_figure=draw_spectra({name: each.spectrum for name, each in seen.items()}),
        before_figure=draw_projection("Before", seen[BEFORE].projection, **beside),
        after_figure=draw_projection("After", seen[AFTER].projection, **beside),
        scores_figure=None if scores is None else _draw_scores(scores),
        notes=(*embeddings.notes, *notes, *notes_of_sample(len(shown), OVERLAP.name), *_notes_of(pairs, scored)),
    )


def _split(n_rows: int, pairs: Pairs | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows to fit on, and of those to look at, rising."""
    order = np.random.default_rng(seed).permutation(n_rows)
    if pairs is not None:
        in_pairs = pairs.rows
        if in_pairs[-1] >= n_rows:
            raise ValueError(f"a pair is of row {in_pairs[-1]:,}, and there are {n_rows:,} rows, counted from 0")
        if len(in_pairs) > n_rows - n_rows // 2:
            return np.arange(n_rows), in_pairs
        order = np.concatenate([order[~np.isin(order, in_pairs)], in_pairs])
    return np.sort(order[: n_rows // 2]), np.sort(order[n_rows // 2 :])


def _rows_sentence(fitted: np.ndarray, shown: np.ndarray, n_rows: int) -> str:
    if len(fitted) < n_rows:
        return f"Fitted on {len(fitted):,} rows; everything here is of the other {len(shown):,}."
    return (
        f"Fitted on all {n_rows:,} rows, for too few are outside the pairs: everything here is of {len(shown):,} rows "
        "that it was fitted on, and flatters it."
    )


def _at_most(pairs: Pairs, most: int, seed: int) -> Pairs:
    if len(pairs) <= most:
        return pairs
    return pairs.take(np.sort(np.random.default_rng(seed).choice(len(pairs), most, replace=False)))


def _scores_table(spaces: dict[str, np.ndarray], shown: np.ndarray, pairs: Pairs, seed: int) -> pd.DataFrame:
    """The task score before and after and the gain, each with its interval; the rows of the pairs are all shown."""
    task = pairs.task()
    first, second = (np.searchsorted(shown, rows) for rows in (pairs.first, pairs.second))
    # in float64: products of float32 rows can overflow, or vanish
    before, after = (
        cosine_similarities(rows[first].astype(np.float64), rows[second].astype(np.float64))
        for rows in spaces.values()
    )
    values = {
        BEFORE: score_with_interval(task, before, pairs.scores, seed),
        AFTER: score_with_interval(task, after, pairs.scores, seed, compared_with=before),
    }
    limits = [(BEFORE, values[BEFORE], "score"), (AFTER, values[AFTER], "score"), (GAIN, values[AFTER], GAIN)]
    return pd.DataFrame(
        {"name": name, "value": found[key], "low": found[f"{key}_low"], "high": found[f"{key}_high"]}
        for name, found, key in limits
    )


def _draw_scores(scores: pd.DataFrame) -> go.Figure:
    return draw_scores(scores.to_dict("records"), title="Task score", x_title=Similarity.score_name)


def _verdict(scores: pd.DataFrame | None, *, held_out: bool) -> str:
    """Whether the task score moved beyond the interval of its gain."""
    if scores is None:
        return "More isotropic is not better: only a task score, of pairs with scores, tells whether it helps."
    before, after, gain = scores.to_dict("records")
    if not np.isfinite([gain["value"], gain["low"], gain["high"]]).all():
        return "The task score cannot be told: the cosines of the pairs are all the same before or after."
    moved = (
        f"{Similarity.score_name} went from {before['value']:.1f} to {after['value']:.1f}, by {gain['value']:+.1f} "
        f"({LEVEL:.0%} interval {gain['low']:+.1f} to {gain['high']:+.1f})"
    )
    if gain["low"] > 0:
        return f"{moved}: it helps these pairs{'' if held_out else ', which it was fitted on'}."
    if gain["high"] < 0:
        return f"{moved}: it harms these pairs. Leave the rows alone."
    return f"{moved}: no more than chance could do. Leave the rows alone."


def _notes_of(pairs: Pairs | None, scored: Pairs | None) -> tuple[str, ...]:
    if pairs is None or scored is None:
        return ()
    if len(scored) == len(pairs):
        return pairs.notes
    return (*pairs.notes, f"The score is of {len(scored):,} of the {len(pairs):,} pairs, drawn at random.")
