"""How the study's tables show a number and a name, on the page, in the figures, in files and in the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, NamedTuple

from isotropy_metrics.measures import Measure

Row = dict[str, Any]

MISSING = "–"
SCORE = "score"
ENDINGS = ("_low", "_high")

NAMES = {
    "partition_isotropy": "I(W)",
    "partition_isotropy_log10": "log10 I(W)",
    "average_cosine_similarity": "average cosine",
    "isoscore": "IsoScore",
    "isoscore_star": "IsoScore*",
    "rankme": "RankMe",
    "two_nn": "TwoNN dimension",
    "alpha_req": "α-ReQ",
    "bures_isotropy": "Bures isotropy",
    "local_intrinsic_dimension": "local intrinsic dimension",
    "vasicek_ratio_mse": "Vasicek ratio MSE",
    "linear_cka": "linear CKA",
    "neighborhood_overlap": "neighbourhood overlap",
    "self_similarity": "self-similarity",
    "intra_sentence_similarity": "intra-sentence similarity",
    "procrustes_distance": "Procrustes distance",
    "st_sm": "ST-SM",
    "st_dm": "ST-DM",
    "dt_sm": "DT-SM",
    "dt_sm_over_st_dm": "DT-SM / ST-DM",
    "st_dm_over_st_sm": "ST-DM / ST-SM",
    "fine_tuning": "fine-tuning",
    "finetuned": "second checkpoint",
    "n_train": "training items",
    "n_dev": "development items",
    "n_test": "held-out items",
    "n_fitting": "training items that treatments are fitted on",
    "n_seeds": "seeds",
    "n_samples": "vectors",
    "n_sampled": "vectors sampled",
    "n_features": "features",
    "r2": "R²",
    "pc": "PC",
    "svd": "SVD",
}
"""What the field calls a thing, where that is not the name with spaces."""


OF_NAMES = ("measure", "comparison")
"""Columns whose values are names, shown as such."""


class Column(NamedTuple):
    """A column as people read it: one value, or a value with its limits."""

    key: str
    name: str
    has_limits: bool
    is_text: bool


def value_key(measure: Measure, row: Row) -> str:
    """The key under which a table shows a measure: its logarithm where it has one."""
    return f"{measure.name}_log10" if f"{measure.name}_log10" in row else measure.name


def display_name(key: str) -> str:
    """A key of a table or a protocol as people read it.

    >>> display_name("partition_isotropy_log10"), display_name("n_clusters"), display_name("isoscore_before")
    ('log10 I(W)', 'number of clusters', 'IsoScore before')
    """
    if key in NAMES:
        return NAMES[key]
    known = max((name for name in NAMES if key.startswith(f"{name}_")), key=len, default=None)
    if known is not None:
        return f"{NAMES[known]} {key[len(known) + 1 :].replace('_', ' ')}"
    return f"number of {key[2:].replace('_', ' ')}" if key.startswith("n_") else key.replace("_", " ")


def heading(key: str) -> str:
    """The name of a key at the beginning of a line.

    >>> heading("effective_rank"), heading("alpha_req"), heading("partition_isotropy_log10")
    ('Effective rank', 'α-ReQ', 'log10 I(W)')
    """
    return capitalized(display_name(key))


def capitalized(text: str) -> str:
    """With a large first letter, if it begins with a word and not with a symbol such as log10, k-means or d*."""
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+(?:[ ,:.)]|$)|[a-z]{2,}-", text) else text


def columns_of(rows: Sequence[Row], protocol: Mapping[str, Any] | None = None) -> list[Column]:
    """The columns of a table, where `x`, `x_low` and `x_high` are one; the protocol says what a score is called."""
    score_name = (protocol or {}).get("score_name", SCORE)
    keys = list(rows[0]) if rows else []
    limits = {f"{key}{ending}" for key in keys for ending in ENDINGS if _has_limits(key, keys)}
    columns = []
    for key in keys:
        if key not in limits:
            name = score_name if key == SCORE else display_name(key)
            is_text = any(isinstance(row[key], str) for row in rows)
            columns.append(Column(key, name, _has_limits(key, keys), is_text))
    return columns


def format_cell(row: Row, column: Column) -> str:
    """A value, or a value with its limits, as in "82.03 [80.1, 83.8]"."""
    value = row[column.key]
    if column.key in OF_NAMES and isinstance(value, str):
        return display_name(value)
    if not column.has_limits or value is None:
        return format_value(value)
    low, high = (format_value(row[f"{column.key}{ending}"]) for ending in ENDINGS)
    return f"{format_value(value)} [{low}, {high}]"


def format_value(value: Any) -> str:
    """Anything that a table or a protocol may hold.

    >>> format_value(0.123456), format_value(38012), format_value(None), format_value(True), format_value([1, 2])
    ('0.1235', '38,012', '–', 'yes', '1, 2')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(format_value, value)) or MISSING
    if isinstance(value, dict):
        return "; ".join(f"{display_name(str(key))}: {format_value(each)}" for key, each in value.items()) or MISSING
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    return value if isinstance(value, str) else format_number(value)


def format_number(value: float | None, digits: int = 4) -> str:
    """So many significant digits; a dash for a missing value."""
    if value is None:
        return MISSING
    if isinstance(value, int):
        return f"{value}"
    return f"{value:,.0f}" if 10.0**digits <= abs(value) < 1e7 else f"{value:.{digits}g}"


def format_interval(row: Row, name: str, pattern: str = "{:.2f} [{:.1f}, {:.1f}]") -> str:
    """A value with its limits, or alone if it has none; a dash for a missing value.

    >>> format_interval({"r": 0.5, "r_low": 0.41, "r_high": 0.62}, "r"), format_interval({"r": 0.5}, "r")
    ('0.50 [0.4, 0.6]', '0.50')
    """
    value, low, high = (number_or_nan(row.get(key)) for key in (name, f"{name}_low", f"{name}_high"))
    if isnan(value):
        return MISSING
    return pattern.partition(" [")[0].format(value) if isnan(low + high) else pattern.format(value, low, high)


def number_or_nan(value: float | None) -> float:
    """For figures: JSON has null for a missing number."""
    return float("nan") if value is None else value


def _has_limits(key: str, keys: Sequence[str]) -> bool:
    return all(f"{key}{ending}" in keys for ending in ENDINGS)
