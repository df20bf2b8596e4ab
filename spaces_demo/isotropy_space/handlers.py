"""Handlers: what each button asks for, from plain values to plain values; they are the tools of the API too.

Without a file, a handler answers for the example. Every picture comes with a table of its numbers.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from isotropy_space.coloring import CLUSTERS, LABELS
from isotropy_space.compare import Compared, compare
from isotropy_space.download import repeating_code, write_downloads
from isotropy_space.embeddings import Embeddings
from isotropy_space.example import EXAMPLE_FILE, EXAMPLE_STATE, example
from isotropy_space.look import Look, look
from isotropy_space.models import DEFAULT_MODEL, embed_texts
from isotropy_space.pairs import read_pairs
from isotropy_space.repair import Repaired, repair
from isotropy_space.shown import shown_notes, shown_table, shown_text
from isotropy_space.training import MOST_FIGURES, read_training
from isotropy_space.uploads import read_embeddings

KEPT_SECONDS = 30 * 60
"""How long a file stays that somebody uploads or is given."""

Picture = tuple[go.Figure, pd.DataFrame]


def look_at_file(
    file: str | None = None,
    column: str | None = None,
    names: str | None = None,
    labels: str | None = None,
    colored_by: str = CLUSTERS,
) -> Iterator[tuple]:
    """Measure the geometry of embeddings in a file: isotropy, cosines, spectrum, projection, outlier dimensions.

    Args:
        file: .npy, .npz, .parquet, .csv, .tsv, .arrow, .feather or .safetensors; without one, the example.
        column: the column or array of the embeddings, where there are several.
        names: the column that names the rows.
        labels: the column that rows are coloured by.
        colored_by: "clusters", "word frequency" or "labels of the file".
    """
    yield from _looks(_embeddings(file, column, names, labels, colored_by), colored_by)


def look_at_texts(
    texts: str, model: str = DEFAULT_MODEL, layer: int = -1, pooling: str = "mean", colored_by: str = CLUSTERS
) -> Iterator[tuple]:
    """Embed texts with a model, and measure the geometry of the embeddings.

    Args:
        texts: one per line.
        model: an id on the Hugging Face Hub.
        layer: 0 is the input, -1 the last.
        pooling: "mean", "cls" or "last".
        colored_by: "clusters" or "word frequency".
    """
    yield from _looks(embed_texts(texts, model=model, layer=layer, pooling=pooling), colored_by)


def compare_files(
    first: str | None = None,
    second: str | None = None,
    first_column: str | None = None,
    second_column: str | None = None,
    names: str | None = None,
    labels: str | None = None,
    colored_by: str = CLUSTERS,
) -> tuple:
    """Compare two embeddings of the same rows: drift, measures side by side, and the rows that changed most.

    Args:
        first, second: files, as `look_at_file` takes them; without the second, both columns are of the first.
        first_column, second_column: the columns or arrays of the embeddings, where there are several.
        names, labels: columns of the first file, as `look_at_file` takes them.
        colored_by: "clusters", "word frequency" or "labels of the file".
    """
    if first is None and second is None:
        spaces = example("before"), example("after")
    else:
        spaces = (
            read_embeddings(first, column=first_column, names=names, labels=labels),
            read_embeddings(second or first, column=second_column),
        )
    return _compared(compare(*spaces, colored_by=colored_by))


def compare_models(
    texts: str,
    first_model: str = DEFAULT_MODEL,
    first_layer: int = 0,
    second_model: str = DEFAULT_MODEL,
    second_layer: int = -1,
    pooling: str = "mean",
    colored_by: str = CLUSTERS,
) -> tuple:
    """Compare what two models, or two layers of one, make of the same texts.

    Args:
        texts: one per line.
        first_model, second_model: ids on the Hugging Face Hub.
        first_layer, second_layer: 0 is the input, -1 the last.
        pooling: "mean", "cls" or "last".
        colored_by: "clusters" or "word frequency".
    """
    spaces = (
        embed_texts(texts, model=model, layer=layer, pooling=pooling)
        for model, layer in ((first_model, first_layer), (second_model, second_layer))
    )
    return _compared(compare(*spaces, colored_by=colored_by))


def repair_file(
    enhancement: str,
    strength: float,
    file: str | None = None,
    column: str | None = None,
    names: str | None = None,
    labels: str | None = None,
    pairs: str | None = None,
) -> tuple:
    """Fit an enhancement on half of the rows of a file, and see what it does to the others.

    Args:
        enhancement: its name, such as "All but the top" or "Whitening".
        strength: on its slider, such as the number of directions to remove.
        file, column, names, labels: as `look_at_file` takes them.
        pairs: a .csv or .tsv file with the columns first, second, score; without one there is no task score.
    """
    embeddings = _embeddings(file, column, names, labels, LABELS if labels else CLUSTERS)
    read = None if pairs is None else read_pairs(pairs, embeddings)
    return _repaired(repair(embeddings, enhancement, strength, pairs=read))


def repair_texts(
    enhancement: str,
    strength: float,
    texts: str,
    model: str = DEFAULT_MODEL,
    layer: int = -1,
    pooling: str = "mean",
    pairs: str | None = None,
) -> tuple:
    """Fit an enhancement on half of the embeddings of texts, and see what it does to the others.

    Args:
        enhancement, strength, pairs: as `repair_file` takes them.
        texts, model, layer, pooling: as `look_at_texts` takes them.
    """
    embeddings = embed_texts(texts, model=model, layer=layer, pooling=pooling)
    read = None if pairs is None else read_pairs(pairs, embeddings)
    return _repaired(repair(embeddings, enhancement, strength, pairs=read))


def downloads_of_file(
    enhancement: str, strength: float, file: str | None = None, column: str | None = None
) -> tuple[list[str], str]:
    """The enhancement fitted on all rows of a file, the transformed rows, and the Python that repeats it.

    Args:
        enhancement, strength, file, column: as `repair_file` takes them.
    """
    embeddings = _embeddings(file, column, None, None, CLUSTERS)
    source, column = (EXAMPLE_FILE, "before") if file is None else (file, column)
    return _downloads(embeddings, enhancement, strength, source, column)


def downloads_of_texts(
    enhancement: str,
    strength: float,
    texts: str,
    model: str = DEFAULT_MODEL,
    layer: int = -1,
    pooling: str = "mean",
) -> tuple[list[str], str]:
    """The enhancement fitted on the embeddings of texts, these embeddings, and the Python that repeats it.

    Args:
        enhancement, strength, texts, model, layer, pooling: as `repair_texts` takes them.
    """
    embeddings = embed_texts(texts, model=model, layer=layer, pooling=pooling)
    return _downloads(embeddings, enhancement, strength, None, None)


def training_curves(file: str | None = None) -> tuple:
    """The curves of geometry, drift and task in the trainer_state.json of a run with IsotropyCallback.

    Args:
        file: the trainer_state.json; without one, that of the example.
    """
    training = read_training(str(EXAMPLE_STATE) if file is None else file)
    figures = [*training.figures, *[None] * (MOST_FIGURES - len(training.figures))]
    sentence = "\n\n".join(filter(None, [shown_text(training.sentence), shown_notes(training.notes)]))
    return sentence, shown_table(training.alarms), shown_table(training.numbers), *figures


def _embeddings(
    file: str | None, column: str | None, names: str | None, labels: str | None, colored_by: str
) -> Embeddings:
    if file is None:
        return example("before")
    if colored_by == LABELS and labels is None:
        raise ValueError("choose the column that holds the labels, or colour by clusters")
    return read_embeddings(file, column=column, names=names, labels=labels)


def _looks(embeddings: Embeddings, colored_by: str) -> Iterator[tuple]:
    for seen in look(embeddings, colored_by=colored_by):
        yield _look(seen)


def _look(seen: Look) -> tuple:
    return (
        shown_text(seen.sentence),
        shown_notes(seen.notes),
        shown_table(seen.measures),
        *_picture(seen.cosines_figure, seen.cosines),
        *_picture(seen.spectrum_figure, seen.spectrum),
        *_picture(seen.projection_figure, seen.projected),
        *_picture(seen.contributions_figure, seen.contributions),
    )


def _compared(found: Compared) -> tuple:
    return (
        shown_text(found.sentence),
        shown_notes(found.notes),
        shown_table(found.drift),
        shown_table(found.measures),
        shown_table(found.changed),
        *_picture(found.cosines_figure, found.cosines),
        *_picture(found.spectra_figure, found.spectra),
        found.first_figure,
        found.second_figure,
        shown_table(found.projected),
    )


def _repaired(found: Repaired) -> tuple:
    said = " ".join([found.rows_sentence, found.overlap_sentence, found.verdict])
    return (
        shown_text(said),
        shown_notes(found.notes),
        shown_table(found.measures),
        found.scores_figure,
        None if found.scores is None else shown_table(found.scores),
        *_picture(found.cosines_figure, found.cosines),
        *_picture(found.spectra_figure, found.spectra),
        found.before_figure,
        found.after_figure,
        shown_table(found.projected),
    )


def _picture(figure: go.Figure, numbers: pd.DataFrame) -> Picture:
    return figure, shown_table(numbers)


def _downloads(
    embeddings: Embeddings, enhancement: str, strength: float, file: str | Path | None, column: str | None
) -> tuple[list[str], str]:
    """In a new folder of the cache; folders of former visitors that are old are deleted."""
    cache = Path(os.environ.get("GRADIO_TEMP_DIR", Path(tempfile.gettempdir()) / "gradio")) / "isotropy-downloads"
    cache.mkdir(parents=True, exist_ok=True)
    for old in cache.iterdir():
        if old.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=cache)) / "downloads"
    name = None if file is None else str(file)
    paths = write_downloads(embeddings, enhancement, strength, folder, file=name, column=column)
    return [str(path) for path in paths], repeating_code(enhancement, strength, file=name, column=column)
