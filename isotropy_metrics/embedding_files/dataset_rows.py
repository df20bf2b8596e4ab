"""Datasets of `datasets`: map-style or streamed, in memory, on disk or from the Hub, read as batches of Arrow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isotropy_metrics.embedding_files.embedding_file import Columns, EmbeddingFile, listed, without_rows
from isotropy_metrics.embedding_files.table import Table, errors_of, import_pyarrow, open_table
from isotropy_metrics.optional_library import optional

if TYPE_CHECKING:
    import pyarrow as pa

HUB = "hf://datasets/"
ADDRESS = re.compile(
    HUB + r"(?P<repository>[\w.-]+/[\w.-]+)"
    r"(@(?P<revision>refs/(convert|pr)/[^/@]+|[^/@]+))?(/(?P<configuration>[^/@]+))?/?"
)
"""The address of a dataset on the Hub, as `huggingface_hub` writes it, and the configuration."""


def open_dataset(dataset: Any, columns: Columns, split: str | None = None, name: str | None = None) -> EmbeddingFile:
    """A `Dataset` or `IterableDataset`, or one split of a dictionary of them.

    A batch has as many rows as are asked for, whatever blocks the dataset is made of. An `IterableDataset` is begun
    anew for each pass. It holds in memory what its own source reads at once, such as a row group of Parquet.

    Args:
        dataset: of the library `datasets`, in whatever format it is set to.
        columns: among its own.
        split: of a dictionary that has several.
        name: what messages call it. A state knows an `IterableDataset` by this name, and by nothing else.

    Raises:
        TypeError: it is no dataset.
        ValueError: another split, or what `open_table` refuses.
    """
    datasets = optional("datasets", "datasets", "reading a dataset")
    if isinstance(dataset, Mapping):
        split = one_split(name or "the dictionary", list(dataset), split)
        dataset, name = dataset[split], name and f"{name} ({split})"
    elif split is not None:
        raise ValueError(f"{name or 'the dataset'} has no splits: leave out {split!r}")
    if not isinstance(dataset, datasets.Dataset | datasets.IterableDataset):
        raise TypeError(f"embeddings come from a path, a Dataset or an IterableDataset, got {type(dataset).__name__}")
    path = Path(name or _name_of(dataset))
    is_streamed = isinstance(dataset, datasets.IterableDataset)
    import_pyarrow(path)
    with errors_of(path):
        schema = _schema_of(dataset, path)
    read = partial(_streamed if is_streamed else _indexed, dataset)
    table = Table(path, schema, None if is_streamed else len(dataset), read)
    fingerprint = (name or "") if is_streamed else dataset._fingerprint
    return replace(open_table(table, columns), fingerprint=fingerprint)


def open_hub_dataset(address: str, columns: Columns, split: str | None) -> EmbeddingFile:
    """A dataset of the Hub, streamed: `hf://datasets/USER/NAME`, then `@REVISION` and `/CONFIGURATION` if need be.

    All passes read the commit that the revision is at now, and a state knows the dataset by that commit.

    Raises:
        ValueError: an address of another form, another split, or what `open_table` refuses.
        OSError: offline, or a dataset that cannot be read.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(f"{address} is no dataset of the Hub: {HUB}USER/NAME, {HUB}USER/NAME@REVISION/CONFIGURATION")
    datasets = optional("datasets", "datasets", f"reading {address}")
    hub = optional("huggingface_hub", "huggingface_hub", f"reading {address}")
    if hub.constants.HF_HUB_OFFLINE:
        raise OSError(f"{address} cannot be read: HF_HUB_OFFLINE is set, unset it or pass a file")
    repository, configuration = match["repository"], match["configuration"]
    try:
        commit = hub.HfApi().dataset_info(repository, revision=match["revision"]).sha
        found = datasets.load_dataset(repository, configuration, revision=commit, streaming=True)
    except ImportError:
        raise
    except Exception as error:  # the Hub, the connection and the script of a dataset raise what they like
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
        raise OSError(f"{address} cannot be read: {reason}; check the name and the connection") from error
    split = one_split(address, list(found), split)
    name = f"{repository}@{commit}" + (f"/{configuration}" if configuration else "") + f" ({split})"
    return open_dataset(found[split], columns, name=name)


def one_split(what: str | Path, splits: list[str], split: str | None) -> str:
    """The split that is named, or the only one there is; ValueError if that is none."""
    if split is None and len(splits) == 1:
        return splits[0]
    if split not in splits:
        remedy = "name one" if split is None else f"there is no {split!r}"
        raise ValueError(f"{what} is a dataset with the splits {listed(map(repr, splits))}: {remedy}")
    return split


def _name_of(dataset: Any) -> str:
    """What a dataset knows of its origin, in words."""
    origin = f"dataset {dataset.info.dataset_name}" if dataset.info.dataset_name else "the dataset"
    return origin if dataset.split is None else f"{origin} ({dataset.split})"


def _schema_of(dataset: Any, path: Path) -> pa.Schema:
    """As the features tell it, or else the first row: a generator, or `map`, need not say what it gives."""
    if dataset.features is not None:
        return dataset.features.arrow_schema
    first = next(dataset.with_format("arrow").iter(1), None)
    if first is None:
        raise ValueError(f"{path} holds no rows")
    return first.schema


def _indexed(dataset: Any, names: list[str], batch_rows: int, first_row: int) -> Iterator[pa.RecordBatch]:
    if first_row < len(dataset):  # `select` has no rows beyond the last to begin at
        rest = dataset.select(range(first_row, len(dataset))) if first_row else dataset
        yield from _record_batches(rest, names, batch_rows)


def _streamed(dataset: Any, names: list[str], batch_rows: int, first_row: int) -> Iterator[pa.RecordBatch]:
    """Rows that are dropped are read: `skip` reads them too, and loses others where `split_dataset_by_node` was."""
    return without_rows(first_row, _record_batches(dataset, names, batch_rows))


def _record_batches(dataset: Any, names: list[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
    for table in dataset.select_columns(names).with_format("arrow").iter(batch_rows):
        yield from table.combine_chunks().to_batches()
