"""`isotropy-metrics study`: the case study, and its summary."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from isotropy_metrics.cli.words import words
from isotropy_metrics.measures import MEASURES


def add_to(commands: Any) -> None:
    """Declare the command."""
    study = commands.add_parser(
        "study",
        help="measure a model's embedding space before and after fine-tuning",
        description="Fine-tune a model on text pairs and measure its token vectors before and after. Without "
        "arguments it runs offline, on all-MiniLM-L6-v2 and the STS benchmark from PyPI packages.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    study.set_defaults(command=_study)
    add = study.add_argument
    add("--model", help="Hub id or folder (default: all-MiniLM-L6-v2 from its package)", default=argparse.SUPPRESS)
    add("--finetuned", help="second checkpoint, Hub id or folder; none: fine-tune here", default=argparse.SUPPRESS)
    add("--dataset", default="stsb", help="stsb, a Hub id, or a .csv, .tsv, .jsonl or .parquet file")
    add("--columns", default="sentence1,sentence2,score", help="two text columns and the score column")
    add("--layers", default="all", help='"all", or numbers: 0,6 or --layers=-1; the highest is treated')
    add("--measures", help="names, comma-separated (default: the five of the study)", default=argparse.SUPPRESS)
    add("--max-rows", type=int, help="most held-out pairs", default=argparse.SUPPRESS)
    add("--max-train-rows", type=int, help="most training pairs", default=argparse.SUPPRESS)
    add("--epochs", type=float, default=1.0, help="passes over the training pairs")
    add("--seed", type=int, default=0, help="the same seed gives the same numbers")
    add("--output", default="isotropy-study", help="folder for report.html, results.json, figures and the model")
    add("--overwrite", action="store_true", help="replace the output of an earlier study")
    add("--quiet", action="store_true", help="no progress bars")


def _study(options: argparse.Namespace) -> None:
    given = {name: value for name, value in vars(options).items() if name not in ("command", "quiet")}
    given["columns"] = words(given["columns"])
    if "measures" in given:
        given["measures"] = words(given["measures"])
    given["layers"] = _layers(given["layers"])
    try:
        import rich  # noqa: F401  (needed at the end: better missed now)

        from isotropy_metrics.study import run_study
    except ImportError as error:
        raise ImportError(f"{error}; the study needs: pip install 'isotropy-metrics[study]'") from error
    if options.quiet:
        from transformers.utils import logging

        logging.disable_progress_bar()
    results = run_study(**given, progress=not options.quiet)
    _print_summary(results, options.output)


def _layers(text: str) -> str | list[int]:
    if text == "all":
        return text
    try:
        return [int(number) for number in words(text)]
    except ValueError:
        raise ValueError(f'--layers must be "all" or numbers like 0,6,-1; got {text!r}') from None


def _print_summary(results: Any, output: str) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from isotropy_metrics.study.tables import format_interval, format_number, value_key

    rows = results.treatments
    title = f"{results.protocol['model']}, layer {results.protocol['layer_treated']}"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for row in rows:
        treatment = [] if row["treatment"] == "baseline" else textwrap.wrap(row["treatment"], 7)
        table.add_column("\n".join([row["checkpoint"], *treatment]), justify="right")
    table.add_row("Spearman × 100", *(format_interval(row, "spearman", "{:.2f}") for row in rows))
    table.add_row("95 % interval", *(format_interval(row, "spearman", "{1:.0f}–{2:.0f}") for row in rows))
    for each in MEASURES.values():
        key = value_key(each, rows[0])
        if key in rows[0]:
            table.add_row(key.replace("_", " "), *(format_number(row[key], digits=3) for row in rows))
    console = Console()
    console.print(table)
    sampled, all_rows = results.layers[0].get("n_sampled"), results.protocol["n_samples"]
    if sampled:
        console.print(f"measures of rows are of {sampled} of {all_rows} token vectors", highlight=False)
    console.print(f"{results.protocol['seconds']} s; report: {output}/report.html", highlight=False)
