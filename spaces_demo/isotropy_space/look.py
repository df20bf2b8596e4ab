"""Look: what one space is like: measures with their intervals, and four pictures with their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from isotropy_metrics import MEASURES, RowSample, measure, statistics_for, update_statistics
from isotropy_metrics.noted_warnings import noted_warnings
from isotropy_metrics.study.resampling import LEVEL
from isotropy_space.coloring import CLUSTERS, colored
from isotropy_space.embeddings import Embeddings
from isotropy_space.figures import draw_contributions, draw_cosines, draw_projection, draw_spectra
from isotropy_space.seen_space import MOST_ROWS, SHOWN, SeenSpace, notes_of_sample
from isotropy_space.side_by_side import cosines_table, projected_table, range_text, spectra_table

N_RESAMPLES = 40
"""Of an interval: somebody waits for it."""


@dataclass(frozen=True, eq=False)
class Look:
    """What is seen of one space.

    Attributes:
        sentence: what was read.
        measures: a table: measure, value, low, high, range, isotropic, meaning.
        cosines, spectrum, projected, contributions: tables of the numbers in the pictures.
        cosines_figure, spectrum_figure, projection_figure, contributions_figure: the pictures.
        notes: what the library warns of, a sentence each.
    """

    sentence: str
    measures: pd.DataFrame
    cosines: pd.DataFrame
    spectrum: pd.DataFrame
    projected: pd.DataFrame
    contributions: pd.DataFrame
    cosines_figure: go.Figure
    spectrum_figure: go.Figure
    projection_figure: go.Figure
    contributions_figure: go.Figure
    notes: tuple[str, ...]


def look(embeddings: Embeddings, *, colored_by: str = CLUSTERS, seed: int = 0) -> Iterator[Look]:
    """Look at a space: at once without intervals, and then again with those that are found soon, and with all.

    Args:
        embeddings: the rows.
        colored_by: one of `COLORINGS`.
        seed: of all samples.

    Raises:
        ValueError: what the measures refuse, or labels that are not there.
    """
    with noted_warnings() as notes:
        embeddings = colored(embeddings, colored_by, seed)
    seen = _seen(replace(embeddings, notes=(*embeddings.notes, *notes)), seed)
    yield seen
    named = [name for name in SHOWN if np.isfinite(seen.measures.set_index("measure").value[name])]
    with noted_warnings():  # the values have said it already
        statistics = statistics_for([MEASURES[name] for name in named], interval=True, size=MOST_ROWS, seed=seed)
        update_statistics(statistics, embeddings.rows)
    for of_rows in (False, True):
        for name in (name for name in named if (MEASURES[name].needs is RowSample) == of_rows):
            with noted_warnings():
                found = MEASURES[name](statistics, interval=LEVEL, n_resamples=N_RESAMPLES, seed=seed)
            seen = replace(seen, measures=_with_interval(seen.measures, name, found))
        yield seen


def _seen(embeddings: Embeddings, seed: int) -> Look:
    rows = embeddings.rows
    sample = RowSample(MOST_ROWS, seed)
    with noted_warnings() as notes:
        sample.update(rows)
        space = SeenSpace.of(rows, sample, seed)
        parts = measure(
            rows, "average_cosine_similarity", options={"average_cosine_similarity": {"contributions": True}}
        )
    contributions = np.broadcast_to(parts["cosine_contributions"], rows.shape[1])  # NaN alone if all rows are zero
    outliers = list(space.values["outlier_indices"])
    spaces = {"share": space}
    labels = {"names": embeddings.names, "labels": embeddings.labels, "labels_title": embeddings.labels_title}
    return Look(
        sentence=f"{embeddings.title}: {len(rows):,} rows of {rows.shape[1]:,} features.",
        measures=_measures_table(space),
        cosines=cosines_table(spaces),
        spectrum=spectra_table(spaces),
        projected=projected_table(np.arange(len(rows)), {"direction": space}, embeddings.names, seed),
        contributions=_contributions_table(contributions, outliers),
        cosines_figure=draw_cosines({embeddings.title: space.cosines}),
        spectrum_figure=draw_spectra({embeddings.title: space.spectrum}),
        projection_figure=draw_projection("The rows, projected", space.projection, **labels, seed=seed),
        contributions_figure=draw_contributions("Parts of the mean cosine", contributions, outliers),
        notes=(*embeddings.notes, *notes, *notes_of_sample(len(rows))),
    )


def _measures_table(space: SeenSpace) -> pd.DataFrame:
    n_features = space.values["n_features"]
    rows = [
        {
            "measure": name,
            "value": space.values[name],
            "low": None,
            "high": None,
            "range": range_text(MEASURES[name]),
            "isotropic": MEASURES[name].isotropic_value(n_features),
            "meaning": MEASURES[name].summary,
        }
        for name in SHOWN
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(("value", "low", "high", "isotropic"), float))


def _with_interval(measures: pd.DataFrame, name: str, found: dict[str, float]) -> pd.DataFrame:
    measures = measures.copy()
    measures.loc[measures["measure"] == name, ["low", "high"]] = found[f"{name}_low"], found[f"{name}_high"]
    return measures


def _contributions_table(contributions: np.ndarray, outliers: list[int]) -> pd.DataFrame:
    dimensions = np.arange(len(contributions))
    return pd.DataFrame(
        {"dimension": dimensions, "part in the mean cosine": contributions, "outlier": np.isin(dimensions, outliers)}
    )
