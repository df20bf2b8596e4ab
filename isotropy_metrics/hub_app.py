"""The page of a measure's Space on the Hub: upload rows, read the values. It needs gradio, and holds no formula."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.evaluate_modules import RECORDS
from isotropy_metrics.measures import Measure
from isotropy_metrics.measures.comparisons import Comparison

if TYPE_CHECKING:
    import gradio


def page(name: str) -> gradio.Blocks:
    """The page of a measure or comparison; `page(name).launch()` serves it.

    Raises:
        ImportError: gradio is not installed.
    """
    try:
        import gradio as gr
    except ImportError as error:
        raise ImportError("the page of a Space needs gradio: pip install 'gradio>=6.0'") from error
    record = RECORDS[name]

    def shown(*paths: str | None) -> tuple[dict[str, Any], str]:
        try:
            return values_of_files(record, dict(zip(inputs_of(record), paths, strict=True)))
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error

    with gr.Blocks(title=name, analytics_enabled=False) as blocks:
        gr.Markdown(f"# {name}\n\n{record.summary} [Source]({record.paper_url})")
        files = [gr.File(label=f"{each} (.npy)", file_types=[".npy"]) for each in inputs_of(record)]
        button = gr.Button("Compute", variant="primary")
        values, notes = gr.JSON(label="values"), gr.Markdown()
        button.click(shown, files, [values, notes])
    return blocks


def inputs_of(record: Measure) -> list[str]:
    """What is uploaded for it."""
    return ["embeddings1", "embeddings2"] if isinstance(record, Comparison) else ["embeddings", *record.ids]


def values_of_files(record: Measure, paths: dict[str, str | None]) -> tuple[dict[str, Any], str]:
    """What a measure or comparison returns for the arrays in these files, and its warnings as text.

    Raises:
        ValueError: a file is missing or holds no array of numbers or text, or what the measure refuses.
    """
    inputs = {name: _read(path, name) for name, path in paths.items()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")  # those of the server are not for the reader
        warnings.simplefilter("always", RuntimeWarning)
        result = record(**inputs)
    return result, "\n\n".join(str(warning.message) for warning in caught)


def _read(path: str | None, name: str) -> np.ndarray:
    """The array in a .npy file."""
    if path is None:
        raise ValueError(f"upload {name} as a .npy file")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"{name} must be an array of numbers or text as numpy.save writes it: other files are not read, nor are "
            "pickled objects, which can run code"
        ) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} must be one array, got an archive of several: write one of them with numpy.save")
    return array
