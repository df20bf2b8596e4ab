"""Widgets: the parts that the tabs of the page are made of."""

from __future__ import annotations

from typing import Any

import gradio as gr

from isotropy_space import sentences as say
from isotropy_space.coloring import CLUSTERS
from isotropy_space.enhancement_choice import CHOICES
from isotropy_space.example import example
from isotropy_space.models import DEFAULT_MODEL, MODEL_CHOICES, POOLINGS
from isotropy_space.opening import ENHANCEMENT
from isotropy_space.page_errors import in_sentences
from isotropy_space.upload_listing import list_columns

NARROW = 300
"""In pixels: what is side by side on a screen stands below each other on a phone."""


def table(label: str, column_widths: list[str] | None = None) -> gr.Dataframe:
    """Numbers for reading."""
    return gr.Dataframe(
        label=label,
        interactive=False,
        wrap=True,
        max_height=720,
        buttons=["copy", "fullscreen"],
        column_widths=column_widths,
        elem_classes=["wide-table"] if column_widths else None,
    )


def plot_if_any() -> gr.Plot:
    """A plot that takes no place while there is none, see `PAGE_STYLE`."""
    return gr.Plot(show_label=False, min_width=NARROW, elem_classes=["if-any"])


def picture(heading: str, n_plots: int = 1) -> list[gr.components.Component]:
    """Plots beside each other, and a table of their numbers to unfold."""
    with gr.Column(min_width=NARROW):
        gr.Markdown(f"## {heading}")
        with gr.Row():
            plots = [gr.Plot(show_label=False, min_width=NARROW) for _ in range(n_plots)]
        with gr.Accordion(say.NUMBERS, open=False):
            return [*plots, table(f"{heading}: {say.NUMBERS}")]


def file_upload(label: str, note: str, file_types: list[str] | None = None) -> gr.File:
    """A place for a file, and what it must be."""
    file = gr.File(label=label, type="filepath", height=176, file_types=file_types)
    gr.Markdown(note)
    return file


def column_choice(label: str, note: str | None = None) -> gr.Dropdown:
    """Filled when a file comes; a name may be typed too."""
    return open_choice([], label=label, info=note, min_width=150)


def open_choice(choices: list[str], **settings: Any) -> gr.Dropdown:
    """Choices beside which anything may be typed; the API says so too, where Gradio's own says that nothing may."""
    choice = gr.Dropdown(choices, allow_custom_value=True, **settings)
    choice.api_info = lambda: {"type": "string"}
    return choice


def fill_from(file: gr.File, of_embeddings: list[gr.Dropdown], beside: list[gr.Dropdown]) -> None:
    """The choices of columns are those of the file."""

    def choices(path: str | None) -> list[Any]:
        listing = list_columns(path) if path else None
        of_file = [listing.embeddings if listing else ()] * len(of_embeddings)
        of_file += [listing.beside if listing else ()] * len(beside)
        return [gr.update(choices=list(each), value=None) for each in of_file]

    outputs = [*of_embeddings, *beside]
    run = in_sentences(choices if len(outputs) > 1 else lambda path: choices(path)[0])
    file.change(run, file, outputs, api_visibility="private", show_progress="hidden")


def file_inputs() -> list[gr.components.Component]:
    """A file and which of its columns is what: the order is that of the handlers."""
    file = file_upload(say.FILE_LABEL, say.FILE_NOTE)
    with gr.Row():
        columns = [
            column_choice(say.COLUMN_LABEL, say.COLUMN_NOTE),
            column_choice(say.NAMES_LABEL, say.NAMES_NOTE),
            column_choice(say.LABELS_LABEL, say.LABELS_NOTE),
        ]
    fill_from(file, columns[:1], columns[1:])
    return [file, *columns]


def two_file_inputs() -> list[gr.components.Component]:
    """Two files and which of their columns is what: the order is that of the handlers."""
    first = file_upload(say.FIRST_FILE, say.FILE_NOTE)
    second = file_upload(say.SECOND_FILE, say.SECOND_NOTE)
    with gr.Row():
        columns = [
            column_choice(say.FIRST_COLUMN),
            column_choice(say.SECOND_COLUMN),
            column_choice(say.NAMES_LABEL),
            column_choice(say.LABELS_LABEL),
        ]
    fill_from(first, columns[:2], columns[2:])
    fill_from(second, columns[1:2], [])
    return [first, second, *columns]


def texts_input() -> gr.Textbox:
    """Texts, one per line."""
    return gr.Textbox(say.TEXTS_EXAMPLE, label=say.TEXTS_LABEL, info=say.TEXTS_NOTE, lines=6, max_lines=14)


def model_inputs(model: str, layer: str, which: int = -1) -> list[gr.components.Component]:
    """A model and one of its layers."""
    with gr.Row():
        return [
            open_choice(list(MODEL_CHOICES), value=DEFAULT_MODEL, label=model, info=say.MODEL_NOTE, min_width=NARROW),
            gr.Number(which, label=layer, info=say.LAYER_NOTE, precision=0, min_width=120),
        ]


def pooling_choice() -> gr.Radio:
    """How tokens become one row."""
    return gr.Radio(list(POOLINGS), value="mean", label=say.POOLING_LABEL)


def coloring_choice(choices: tuple[str, ...]) -> gr.Radio:
    """What the points are coloured by."""
    return gr.Radio(list(choices), value=CLUSTERS, label=say.COLORED_LABEL)


def strength_inputs() -> list[gr.components.Component]:
    """An enhancement and its slider, which is another for each enhancement."""
    n_rows, n_features = example("before").rows.shape  # half of which is fitted on

    def slider_of(name: str) -> dict[str, Any]:
        chosen = CHOICES[name]
        if chosen.strength is None:
            return {"label": say.NO_STRENGTH, "interactive": False}
        own = {"minimum": chosen.strength.least, "maximum": chosen.strength.most, "step": chosen.strength.step}
        return own | {
            "label": f"{say.STRENGTH_LABEL}: {chosen.strength.label}",
            "value": chosen.default(n_rows // 2, n_features),
            "interactive": True,
        }

    enhancement = gr.Dropdown(list(CHOICES), value=ENHANCEMENT, label=say.ENHANCEMENT_LABEL)
    summary = gr.Markdown(CHOICES[ENHANCEMENT].summary)
    strength = gr.Slider(**slider_of(ENHANCEMENT))
    enhancement.change(
        lambda name: (CHOICES[name].summary, gr.update(**slider_of(name))),
        enhancement,
        [summary, strength],
        api_visibility="private",
        show_progress="hidden",
    )
    return [enhancement, strength]
