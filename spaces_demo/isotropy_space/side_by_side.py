"""Side by side: plain tables of the numbers behind the pictures of one space, or of two beside each other."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isotropy_metrics import MEASURES, Measure
from isotropy_metrics.measures._measure import text_of
from isotropy_space.projection_figure import drawn_rows
from isotropy_space.seen_space import SHOWN, SeenSpace

Spaces = dict[str, SeenSpace]
"""By the name that a reader knows them by; their measures are of as many rows."""


def measures_table(spaces: Spaces) -> pd.DataFrame:
    """A row for each measure: its value in each space, the change, the value of an isotropic one, and its meaning."""
    rows = [
        {
            "measure": name,
            **{title: space.values[name] for title, space in spaces.items()},
            "change": _change(name, spaces),
            "isotropic": _isotropic_value(name, spaces),
            "meaning": MEASURES[name].summary,
        }
        for name in SHOWN
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys((*spaces, "change", "isotropic"), float))


def range_text(measure: Measure) -> str:
    """From its smallest value to its largest.

    Example:
        >>> range_text(MEASURES["effective_rank"])
        '1 to d'
    """
    return " to ".join(map(text_of, measure.bounds))


def cosines_table(spaces: Spaces) -> pd.DataFrame:
    """A row for each bin: from where to where, and the share of the pairs in each space."""
    edges = next(iter(spaces.values())).cosines.edges
    shares = {title: space.cosines.shares for title, space in spaces.items()}
    return pd.DataFrame({"from": edges[:-1], "to": edges[1:]} | shares)


def spectra_table(spaces: Spaces) -> pd.DataFrame:
    """A row for each number of directions: their share of the variance; missing where a space has no more of them."""
    table = pd.DataFrame({title: pd.Series(space.spectrum.cumulative) for title, space in spaces.items()})
    table.insert(0, "directions", np.arange(1, len(table) + 1))
    return table


def projected_table(rows: np.ndarray, spaces: Spaces, names: np.ndarray | None = None, seed: int = 0) -> pd.DataFrame:
    """A row for each point that `draw_projection` draws: the number of its row, its name, and its place in each space.

    Args:
        rows: (n_samples,), the numbers of the rows of the spaces.
        spaces: see `Spaces`.
        names: (n_samples,), of the rows; None for none.
        seed: of the points that are drawn of many rows.
    """
    drawn = drawn_rows(len(rows), seed)
    columns = {
        f"{title} {i}": values[drawn]
        for title, space in spaces.items()
        for i, values in enumerate(space.projection.coordinates.T, 1)
    }
    return pd.DataFrame({"row": rows[drawn]} | ({} if names is None else {"name": names[drawn]}) | columns)


def _change(name: str, spaces: Spaces) -> float:
    first, *_, last = (space.values[name] for space in spaces.values())
    return last - first


def _isotropic_value(name: str, spaces: Spaces) -> float | None:
    """None where spaces of different widths have different ones."""
    values = {MEASURES[name].isotropic_value(space.values["n_features"]) for space in spaces.values()}
    return values.pop() if len(values) == 1 else None
