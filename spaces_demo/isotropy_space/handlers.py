"""Handlers: what each button asks for, from plain values to plain values; they are the tools of the API too.

Without a file, a handler answers for the example. Every picture comes with a table of its numbers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from isotropy_space.coloring import CLUSTERS, LABELS
from isotropy_space.compare import Compared, compare
from isotropy_space.download import repeating_code, write_downloads
from isotropy_space.embeddings import Embeddings
from isotropy_space.enhancement_choice import choice_of
from isotropy_space.example import EXAMPLE_STATE, example
from isotropy_space.forgetting import download_folder
from isotropy_space.look import Look, look
from isotropy_space.models import DEFAULT_MODEL, embed_texts
from isotropy_space.pairs import read_pairs
from isotropy_space.repair import Repaired, repair
from isotropy_space.shown import shown_notes, shown_table, shown_text
from isotropy_space.training import MOST_FIGURES, read_training
from isotropy_space.upload_listing import those_beside
from isotropy_space.uploads import read_embeddings

KEPT_SECONDS = 30 * 60
"""How long a file stays, at most, that somebody uploads or is given."""

NO_SCORES = pd.DataFrame(columns=["name", "value", "low", "high"])
"""Without pairs."""

Picture = tuple[go.Figure, pd.DataFrame]


def look_at_file(
    file: str | None = None,
    column: str | None = None,
    names: str | None = None,
    labels: str | None = None,
    colored_by: str = CLUSTERS,
) -> Iterator[tuple]:
    """Measure the geometry of embeddings in a file: isotropy, cosines, spectrum, projection, outlier dimensions.

    It answers at once without intervals, and then twice again with more of them. `predict` of gradio_client gives the
    last answer; to see those before it, go through what `submit` gives.

    Args:
        file: .npy, .npz, .parquet, .csv, .tsv, .arrow, .feather or .safetensors; without one, the example.
        column: the column or array of the embeddings, where there are several.
        names: the column that names the rows.
        labels: the column that rows are coloured by.
        colored_by: "clusters", "word frequency" or "labels of the file".
    """
    if file is None:
        _check_no_columns(column, names, labels)
        yield from _looks_at_example(colored_by)
    else:
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
        first: a file, as `look_at_file` takes it; without any, the example.
        second: another file of the same rows in the same order; without one, both columns are of the first file,
            and differ.
        first_column: the column or array of the first embeddings, where there are several.
        second_column: the same of the second embeddings.
        names: the column of the first file that names the rows; if the second has it too, its rows must be the same.
        labels: the column of the first file that rows are coloured by.
        colored_by: "clusters", "word frequency" or "labels of the file".
    """
    if first is None and second is None:
        _check_no_columns(first_column, second_column, names, labels)
        spaces = example("before"), example("after")
    elif second is None and first_column == second_column:
        raise ValueError("there is one space only: give a second file, or two columns of the first")
    else:
        spaces = (
            read_embeddings(first, column=first_column, names=names, labels=labels),
            _second_embeddings(second or first, second_column, names, labels),
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
        first_model: an id on the Hugging Face Hub.
        first_layer: 0 is the input, -1 the last.
        second_model: the same or another id.
        second_layer: of the second model.
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
        file: as `look_at_file` takes it; without one, the example.
        column: the column or array of the embeddings, where there are several.
        names: the column that names the rows.
        labels: the column that rows are coloured by.
        pairs: a .csv or .tsv file with the columns first, second, score; without one there is no task score.
    """
    choice_of(enhancement).make(strength)  # refuses before long work
    embeddings = _embeddings(file, column, names, labels, CLUSTERS)
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
        enhancement: its name, such as "All but the top" or "Whitening".
        strength: on its slider, such as the number of directions to remove.
        texts: one per line.
        model: an id on the Hugging Face Hub.
        layer: 0 is the input, -1 the last.
        pooling: "mean", "cls" or "last".
        pairs: a file as `repair_file` takes it, of the numbers of texts, from 0, or the texts themselves.
    """
    choice_of(enhancement).make(strength)
    embeddings = embed_texts(texts, model=model, layer=layer, pooling=pooling)
    read = None if pairs is None else read_pairs(pairs, embeddings)
    return _repaired(repair(embeddings, enhancement, strength, pairs=read))


def downloads_of_file(
    enhancement: str,
    strength: float,
    file: str | None = None,
    column: str | None = None,
    names: str | None = None,
    labels: str | None = None,
) -> tuple[list[str], str]:
    """The enhancement fitted on all rows of a file, the transformed rows, and the Python that repeats it.

    Args:
        enhancement: its name, such as "All but the top" or "Whitening".
        strength: on its slider, such as the number of directions to remove.
        file: as `look_at_file` takes it; without one, the example.
        column: the column or array of the embeddings, where there are several.
        names: the column that names the rows, which is no feature of theirs.
        labels: the column that rows are coloured by, which is none either.
    """
    choice_of(enhancement).make(strength)
    embeddings = _embeddings(file, column, names, labels, CLUSTERS)
    return _downloads(embeddings, enhancement, strength, file=file, column=column, names=names, labels=labels)


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
        enhancement: its name, such as "All but the top" or "Whitening".
        strength: on its slider, such as the number of directions to remove.
        texts: one per line.
        model: an id on the Hugging Face Hub.
        layer: 0 is the input, -1 the last.
        pooling: "mean", "cls" or "last".
    """
    choice_of(enhancement).make(strength)
    embeddings = embed_texts(texts, model=model, layer=layer, pooling=pooling)
    return _downloads(embeddings, enhancement, strength)


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
        _check_no_columns(column, names, labels)
        return example("before")
    if colored_by == LABELS and labels is None:
        raise ValueError("choose the column that holds the labels, or colour by clusters")
    return read_embeddings(file, column=column, names=names, labels=labels)


def _check_no_columns(*columns: str | None) -> None:
    if any(columns):
        raise ValueError("columns are those of a file: upload one, or name no columns to see the example")


def _second_embeddings(file: str, column: str | None, names: str | None, labels: str | None) -> Embeddings:
    """Names and labels are no features of the rows in this file either, where it has them."""
    names, labels = those_beside(file, names, labels)
    return read_embeddings(file, column=column, names=names, labels=labels)


_looks_at_example_before: dict[str, tuple] = {}
"""The last answer for the example by what its points are coloured by: everybody begins with it."""


def _looks_at_example(colored_by: str) -> Iterator[tuple]:
    if colored_by in _looks_at_example_before:
        yield _looks_at_example_before[colored_by]
        return
    for answer in _looks(example("before"), colored_by):
        yield answer
    _looks_at_example_before[colored_by] = answer


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
        NO_SCORES if found.scores is None else shown_table(found.scores),
        *_picture(found.cosines_figure, found.cosines),
        *_picture(found.spectra_figure, found.spectra),
        found.before_figure,
        found.after_figure,
        shown_table(found.projected),
    )


def _picture(figure: go.Figure, numbers: pd.DataFrame) -> Picture:
    return figure, shown_table(numbers)


def _downloads(
    embeddings: Embeddings, enhancement: str, strength: float, **source: str | None
) -> tuple[list[str], str]:
    """In a new folder of their own; `source` is the file of the rows and its columns."""
    download_folder().mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=download_folder())) / "downloads"
    paths = write_downloads(embeddings, enhancement, strength, folder, **source)
    return [str(path) for path in paths], repeating_code(enhancement, strength, **source)
