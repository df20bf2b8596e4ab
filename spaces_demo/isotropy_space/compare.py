"""Compare: two embeddings of the same rows: what changed, by how much, and for which rows most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from isotropy_metrics import PairSample, TwoMoments
from isotropy_metrics.measures.comparisons import COMPARISONS
from isotropy_metrics.measures.comparisons import compare as compare_rows
from isotropy_metrics.noted_warnings import noted_warnings
from isotropy_metrics.views import NeighborhoodChanges, neighborhood_changes
from isotropy_space.coloring import CLUSTERS, colored
from isotropy_space.embeddings import Embeddings
from isotropy_space.figures import draw_cosines, draw_projection, draw_spectra
from isotropy_space.seen_space import SeenSpace, notes_of_sample, same_rows_of
from isotropy_space.side_by_side import cosines_table, measures_table, projected_table, range_text, spectra_table

FIRST, SECOND = "first", "second"

LEAST_ROWS = COMPARISONS["neighborhood_overlap"].options["k"] + 1
"""A row and its neighbours."""

MOST_CHANGED = 50
"""Rows that are listed."""

NEIGHBORS_NAMED = 5
"""Of each of them."""


@dataclass(frozen=True, eq=False)
class Compared:
    """Two spaces beside each other.

    Attributes:
        sentence: what was compared.
        drift: a table of the comparisons: measure, value, range, same, meaning.
        measures: a table: measure, first, second, change, isotropic, meaning.
        changed: a table of the rows whose neighbourhoods changed most: row, overlap, nearest in the first, nearest
            in the second.
        cosines, spectra, projected: tables of the numbers in the pictures.
        cosines_figure, spectra_figure, first_figure, second_figure: the pictures.
        notes: what the library warns of, a sentence each.
    """

    sentence: str
    drift: pd.DataFrame
    measures: pd.DataFrame
    changed: pd.DataFrame
    cosines: pd.DataFrame
    spectra: pd.DataFrame
    projected: pd.DataFrame
    cosines_figure: go.Figure
    spectra_figure: go.Figure
    first_figure: go.Figure
    second_figure: go.Figure
    notes: tuple[str, ...]


def compare(first: Embeddings, second: Embeddings, *, colored_by: str = CLUSTERS, seed: int = 0) -> Compared:
    """Compare two embeddings of the same rows, as before and after fine-tuning, or of two models.

    Args:
        first, second: as many rows each, in the same order; the number of features may differ.
        colored_by: one of `COLORINGS`, from the first space: the same colours in both pictures.
        seed: of all samples.

    Raises:
        ValueError: rows that are not the same ones, and what the measures refuse.
    """
    _check_same_rows(first, second)
    with noted_warnings() as notes:
        labels = colored(first, colored_by, seed)
        sampled, pairs = same_rows_of(first.rows, second.rows, seed)
        spaces = {
            name: SeenSpace.of(each.rows, sample, seed)
            for name, each, sample in zip((FIRST, SECOND), (first, second), pairs.spaces, strict=True)
        }
        both = TwoMoments.of(*(space.moments for space in spaces.values()))
        values = compare_rows([pairs, both], comparisons=_chosen(first, second))
        changes = neighborhood_changes(*(space.rows for space in pairs.spaces))
    names = first.names if first.names is not None else second.names
    drawn = {"names": names, "labels": labels.labels, "labels_title": labels.labels_title, "seed": seed}
    of_sample = [name for name, each in COMPARISONS.items() if name in values and each.needs is PairSample]
    of_sample += ["changed neighbourhoods"]
    return Compared(
        sentence=(
            f"First {first.title}, {first.rows.shape[1]:,} features; second {second.title}, "
            f"{second.rows.shape[1]:,} features; {len(first.rows):,} rows each."
        ),
        drift=_drift_table(values),
        measures=measures_table(spaces),
        changed=_changed_table(changes, sampled, names),
        cosines=cosines_table(spaces),
        spectra=spectra_table(spaces),
        projected=projected_table(np.arange(len(first.rows)), spaces, names, seed),
        cosines_figure=draw_cosines({name: each.cosines for name, each in spaces.items()}),
        spectra_figure=draw_spectra({name: each.spectrum for name, each in spaces.items()}),
        first_figure=draw_projection("First", spaces[FIRST].projection, **drawn),
        second_figure=draw_projection("Second", spaces[SECOND].projection, **drawn),
        notes=(*first.notes, *second.notes, *notes, *notes_of_sample(len(first.rows), *of_sample)),
    )


def _check_same_rows(first: Embeddings, second: Embeddings) -> None:
    if len(first.rows) != len(second.rows):
        raise ValueError(
            f"{first.title} has {len(first.rows):,} rows and {second.title} {len(second.rows):,}: two embeddings of "
            "the same rows are compared"
        )
    if len(first.rows) < LEAST_ROWS:
        raise ValueError(f"{first.title} has {len(first.rows)} rows: neighbours need at least {LEAST_ROWS}")
    if first.names is None or second.names is None:
        return
    others = np.flatnonzero(first.names != second.names)
    if len(others):
        i = int(others[0])
        one, other = (str(each.names[i]) for each in (first, second))
        raise ValueError(
            f"row {i:,} is {one!r} in {first.title} and {other!r} in {second.title}: two embeddings of the same rows, "
            "in the same order, are compared"
        )


def _chosen(first: Embeddings, second: Embeddings) -> list[str]:
    same_width = first.rows.shape[1] == second.rows.shape[1]
    return [name for name, each in COMPARISONS.items() if same_width or not each.same_width]


def _drift_table(values: dict[str, float]) -> pd.DataFrame:
    rows = [
        {
            "measure": name,
            "value": values[name],
            "range": range_text(each),
            "same": each.same,
            "meaning": each.summary,
        }
        for name, each in COMPARISONS.items()
        if name in values
    ]
    return pd.DataFrame(rows).astype({"value": float, "same": float})


def _changed_table(changes: NeighborhoodChanges, sampled: np.ndarray, names: np.ndarray | None) -> pd.DataFrame:
    """The rows that kept the fewest neighbours, with the nearest of these before and after."""
    called = np.array([f"row {i:,}" for i in sampled]) if names is None else names[sampled]
    chosen = changes.most_changed(MOST_CHANGED)

    def listed(neighbors: np.ndarray) -> list[str]:
        return [", ".join(called[each[:NEIGHBORS_NAMED]]) for each in neighbors[chosen]]

    return pd.DataFrame(
        {
            "row": called[chosen],
            "overlap": changes.overlap[chosen],
            f"nearest in the {FIRST}": listed(changes.before),
            f"nearest in the {SECOND}": listed(changes.after),
        }
    )
