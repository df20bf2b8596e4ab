"""`isotropy-metrics plot`: the curves of a whole training run as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from isotropy_metrics.cli.words import words
from isotropy_metrics.embedding_files.output_path import check_output, output_path

ENDINGS = (".png", ".svg", ".pdf")


def add_to(commands: Any) -> None:
    """Declare the command."""
    plot = commands.add_parser(
        "plot",
        help="draw isotropy, drift and task of a training run",
        description="Draw what IsotropyCallback logged in a run of a transformers Trainer: a panel for each measure, "
        "with a line for each layer, for the drift from the space before training, and for the task.",
    )
    plot.set_defaults(command=_plot)
    add = plot.add_argument
    add("trainer_state", metavar="TRAINER_STATE", help="a trainer_state.json, a checkpoint, or the run's output_dir")
    add("--output", default="curves.png", metavar="OUT", help="a .png, .svg or .pdf file; default: curves.png")
    add("--measures", metavar="A,B", help="names, comma-separated; default: all that were logged")
    add("--probe", metavar="P", help="one probe; default: all that were logged")
    add("--overwrite", action="store_true", help="replace OUT")


def _plot(options: argparse.Namespace) -> None:
    output = Path(options.output)
    if output.suffix not in ENDINGS:
        raise ValueError(f"--output must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}; got {output.name!r}")
    check_output(output, options.overwrite)
    from isotropy_metrics.training_curves import draw_training_curves, load_history

    history = load_history(options.trainer_state)
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{error}; plot needs: pip install 'isotropy-metrics[study]'") from error
    measures = None if options.measures is None else words(options.measures)
    figure = draw_training_curves(history, measures, probe=options.probe)
    with output_path(output, options.overwrite) as path:
        figure.savefig(path)
    print(output)
