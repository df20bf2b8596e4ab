"""The Space: layout and wiring. What is computed is in isotropy_space/handlers.py, what is said in sentences.py."""

from __future__ import annotations

import gradio as gr
from isotropy_space import handlers
from isotropy_space import sentences as say
from isotropy_space.coloring import COLORINGS, LABELS
from isotropy_space.first_picture import first_picture
from isotropy_space.forgetting import keep_forgetting
from isotropy_space.limits import MAX_BYTES
from isotropy_space.palette import PAGE_STYLE
from isotropy_space.training import MOST_FIGURES, STATE_FILE
from isotropy_space.widgets import (
    NARROW,
    coloring_choice,
    file_inputs,
    file_upload,
    model_inputs,
    picture,
    plot_if_any,
    pooling_choice,
    strength_inputs,
    table,
    texts_input,
    two_file_inputs,
)
from isotropy_space.wiring import fit_when_shown, open_with, wire

OF_TEXTS = tuple(each for each in COLORINGS if each != LABELS)
"""Pasted texts have no labels."""

QUEUE = {"max_size": 40, "default_concurrency_limit": 8}

LAUNCH = {
    "css": PAGE_STYLE,
    "theme": gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    "max_file_size": MAX_BYTES,
    "state_session_capacity": 200,  # each takes half a megabyte, and each call of the API is one
    "footer_links": ["api", "settings"],
    "mcp_server": True,
}

ALONE = ["24%", "10%", "10%", "10%", "9%", "11%", "26%"]
BESIDE = ["24%", "11%", "11%", "11%", "11%", "32%"]
DRIFT = ["24%", "11%", "11%", "10%", "44%"]
"""Widths of the columns of the tables of measures."""


def build() -> gr.Blocks:
    """The page, with the answers for the example."""
    pause = handlers.KEPT_SECONDS // 6
    forgetting = (pause, handlers.KEPT_SECONDS - pause)
    with gr.Blocks(title=say.TITLE, analytics_enabled=False, delete_cache=forgetting, fill_width=True) as page:
        with gr.Row():
            with gr.Column(scale=3, min_width=NARROW):
                gr.Markdown(say.INTRODUCTION)
            with gr.Column(scale=2, min_width=NARROW):
                gr.HTML(first_picture())
        with gr.Tabs():
            with gr.Tab(say.LOOK) as tab:
                look_tab(page)
                fit_when_shown(tab)
            with gr.Tab(say.COMPARE) as tab:
                compare_tab(page)
                fit_when_shown(tab)
            with gr.Tab(say.REPAIR) as tab:
                repair_tab(page)
                fit_when_shown(tab)
            with gr.Tab(say.TRAINING) as tab:
                training_tab(page)
                fit_when_shown(tab)
    return page.queue(**QUEUE)


def look_tab(page: gr.Blocks) -> None:
    gr.Markdown(say.LOOK_INTRODUCTION)
    with gr.Row():
        with gr.Column(scale=1, min_width=NARROW):
            with gr.Tab(say.FILE):
                of_file = [*file_inputs(), coloring_choice(COLORINGS)]
                look_at_file = gr.Button(say.LOOK_BUTTON, variant="primary")
            with gr.Tab(say.TEXTS):
                of_texts = [texts_input(), *model_inputs(say.MODEL_LABEL, say.LAYER_LABEL)]
                of_texts += [pooling_choice(), coloring_choice(OF_TEXTS)]
                look_at_texts = gr.Button(say.LOOK_BUTTON, variant="primary")
        with gr.Column(scale=2, min_width=NARROW):
            said, notes, measures = gr.Markdown(), gr.Markdown(), table(say.MEASURES, ALONE)
            gr.Markdown(say.INTERVALS_NOTE)
    with gr.Row():
        pictures = picture(say.COSINES) + picture(say.SPECTRUM)
    with gr.Row():
        pictures += picture(say.PROJECTION) + picture(say.DIMENSIONS)
    outputs = [said, notes, measures, *pictures]
    wire([look_at_file.click], handlers.look_at_file, of_file, outputs, in_steps=True)
    wire([look_at_texts.click], handlers.look_at_texts, of_texts, outputs, in_steps=True)
    open_with(page, "look_at_file", outputs)


def compare_tab(page: gr.Blocks) -> None:
    gr.Markdown(say.COMPARE_INTRODUCTION)
    with gr.Row():
        with gr.Column(scale=1, min_width=NARROW):
            with gr.Tab(say.FILES):
                of_files = [*two_file_inputs(), coloring_choice(COLORINGS)]
                compare_files = gr.Button(say.COMPARE_BUTTON, variant="primary")
            with gr.Tab(say.MODELS):
                of_models = [texts_input(), *model_inputs(say.FIRST_MODEL, say.FIRST_LAYER, which=0)]
                of_models += [*model_inputs(say.SECOND_MODEL, say.SECOND_LAYER), pooling_choice()]
                of_models += [coloring_choice(OF_TEXTS)]
                compare_models = gr.Button(say.COMPARE_BUTTON, variant="primary")
        with gr.Column(scale=2, min_width=NARROW):
            outputs = [gr.Markdown(), gr.Markdown(), table(say.DRIFT, DRIFT), table(say.MEASURES, BESIDE)]
    outputs += [table(say.CHANGED)]
    with gr.Row():
        outputs += picture(say.COSINES) + picture(say.SPECTRUM)
    outputs += picture(say.PROJECTION, n_plots=2)
    wire([compare_files.click], handlers.compare_files, of_files, outputs)
    wire([compare_models.click], handlers.compare_models, of_models, outputs)
    open_with(page, "compare_files", outputs)


def repair_tab(page: gr.Blocks) -> None:
    gr.Markdown(say.REPAIR_INTRODUCTION)
    with gr.Row():
        with gr.Column(scale=1, min_width=NARROW):
            with gr.Tab(say.FILE):
                of_file = [*strength_inputs(), *file_inputs(), file_upload(say.PAIRS_LABEL, say.PAIRS_NOTE)]
                repair_file = gr.Button(say.REPAIR_BUTTON, variant="primary")
                download_file = gr.Button(say.DOWNLOAD_BUTTON)
            with gr.Tab(say.TEXTS):
                of_texts = [*strength_inputs(), texts_input(), *model_inputs(say.MODEL_LABEL, say.LAYER_LABEL)]
                of_texts += [pooling_choice(), file_upload(say.PAIRS_LABEL, say.PAIRS_NOTE)]
                repair_texts = gr.Button(say.REPAIR_BUTTON, variant="primary")
                download_texts = gr.Button(say.DOWNLOAD_BUTTON)
            with gr.Accordion(say.DOWNLOADS):
                gr.Markdown(say.DOWNLOADS_NOTE)
                downloads = [gr.File(label=say.DOWNLOADED, interactive=False), gr.Code(label=say.CODE_LABEL)]
        with gr.Column(scale=2, min_width=NARROW):
            outputs = [gr.Markdown(), gr.Markdown(), table(say.MEASURES, BESIDE)]
            outputs += [plot_if_any(), table(say.SCORES)]
    with gr.Row():
        outputs += picture(say.COSINES) + picture(say.SPECTRUM)
    outputs += picture(say.PROJECTION, n_plots=2)
    wire([repair_file.click, of_file[1].input], handlers.repair_file, of_file, outputs)
    wire([repair_texts.click, of_texts[1].input], handlers.repair_texts, of_texts, outputs)
    wire([download_file.click], handlers.downloads_of_file, of_file[:-1], downloads)
    wire([download_texts.click], handlers.downloads_of_texts, of_texts[:-1], downloads)
    open_with(page, "repair_file", outputs)


def training_tab(page: gr.Blocks) -> None:
    gr.Markdown(say.TRAINING_INTRODUCTION)
    with gr.Row():
        with gr.Column(scale=1, min_width=NARROW):
            of_file = [file_upload(STATE_FILE, say.STATE_NOTE, [".json"])]
            show = gr.Button(say.CURVES_BUTTON, variant="primary")
        with gr.Column(scale=2, min_width=NARROW):
            outputs = [gr.Markdown(), table(say.ALARMS)]
    with gr.Accordion(say.NUMBERS, open=False):
        outputs += [table(f"{say.CURVES}: {say.NUMBERS}")]
    with gr.Row():
        outputs += [plot_if_any() for _ in range(MOST_FIGURES)]
    wire([show.click], handlers.training_curves, of_file, outputs)
    open_with(page, "training_curves", outputs)


if __name__ == "__main__":
    keep_forgetting(handlers.KEPT_SECONDS)
    build().launch(**LAUNCH)
