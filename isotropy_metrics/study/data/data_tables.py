"""DataTables: labelled data as a user's file or a dataset on the Hub holds them, before anything is made of them."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")
HELD_OUT = ("test", "validation", "dev")
N_BYTES_LOOKED_AT = 8192


@dataclass(frozen=True)
class DataTables:
    """A table per split, or one of everything.

    Attributes:
        name: of the file or dataset, for messages.
        by_split: "train", "test" and perhaps "dev"; or "all" where the data have no splits.
    """

    name: str
    by_split: dict[str, pandas.DataFrame]

    @classmethod
    def load(cls, dataset: str) -> DataTables:
        """From a local file by its ending, or from the Hub by an id; `id:name` for one of several configurations.

        Raises:
            FileNotFoundError, ValueError: what is missing or wrong, and what helps.
        """
        path = Path(dataset)
        if path.suffix in ENDINGS:
            if not path.is_file():
                raise FileNotFoundError(f"there is no file {path}")
            table = read_table(path)
            if "split" not in table.columns:
                return cls(dataset, {"all": table})
            _check_splits(table["split"], path)
            tables = {str(split): table[table["split"] == split] for split in table["split"].unique()}
        elif path.exists():
            raise ValueError(f"{path} must be one of {', '.join(ENDINGS)}")
        else:
            tables = _from_hub(dataset)
        return cls(dataset, {part: tables[split] for part, split in _parts(tables).items()})

    @property
    def columns(self) -> list[Any]:
        """Of the first table."""
        return list(next(iter(self.by_split.values())).columns)


def _check_splits(column: pandas.Series, path: Path) -> None:
    empty = column.index[column.isna() | (column.astype(str).str.strip() == "")]
    if len(empty):
        raise ValueError(f"{path}: row {empty[0]} of column 'split' is empty: say where it belongs, or leave it out")


def _parts(splits: Iterable[str]) -> dict[str, str]:
    """Which split to train on, which is held out, and which is there for searches beside it."""
    held_out = [name for name in HELD_OUT if name in splits]
    for names, found in (("train",), "train" in splits), (HELD_OUT, held_out):
        if not found:
            raise ValueError(f"the data have no split {' or '.join(names)}, they have: {', '.join(map(str, splits))}")
    parts = {"train": "train", "test": held_out[0]}
    return parts | ({"dev": held_out[1]} if held_out[0] == "test" and len(held_out) > 1 else {})


def read_table(path: Path) -> pandas.DataFrame:
    """The table as text: pandas would take the word "None" for a missing value and a text of digits for a number."""
    import pandas

    _check_is_table(path)
    as_text = {"dtype": str, "keep_default_na": False, "index_col": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            if path.suffix == ".csv":
                return pandas.read_csv(path, **as_text)
            if path.suffix == ".tsv":
                return pandas.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, **as_text)
            if path.suffix == ".jsonl":
                return pandas.read_json(path, lines=True, dtype=False)
            return pandas.read_parquet(path)
    except (ValueError, OSError, pandas.errors.ParserWarning) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"cannot read {path} ({reason}): it must be UTF-8, and csv and tsv need a header line"
        ) from error


def _check_is_table(path: Path) -> None:
    """Refuse what pandas might take for a table: a page that came in place of a file, or a file of another kind."""
    with open(path, "rb") as file:
        start = file.read(N_BYTES_LOOKED_AT)
    if not start.strip():
        raise ValueError(f"{path} is empty")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise ValueError(f"{path} is a web page, not a table: download the file itself")
    if path.suffix != ".parquet" and b"\0" in start:
        raise ValueError(f"cannot read {path} (it is a binary file): it must be UTF-8 text")


def _from_hub(dataset: str) -> dict[str, pandas.DataFrame]:
    from datasets import load_dataset

    name, _, configuration = dataset.partition(":")
    try:
        splits = load_dataset(name, configuration or None)
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
        raise ValueError(
            f"cannot load the dataset {dataset!r}: {reason}; check the name and the connection, name a configuration "
            f"as in {name}:configuration, or pass a file that ends in {', '.join(ENDINGS)}"
        ) from error
    return {split: _with_names(splits[split]) for split in splits}


def _with_names(split: Any) -> pandas.DataFrame:
    """A split as a table, in which classes that the dataset has names for have these."""
    table = split.to_pandas()
    for column, feature in split.features.items():
        if hasattr(feature, "int2str"):
            table[column] = [feature.int2str(int(label)) if label >= 0 else label for label in table[column]]
    return table
