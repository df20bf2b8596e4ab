"""`isotropy-metrics enhance fit`: an enhancement fitted on files, saved in a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from isotropy_metrics.cli.enhancement_steps import enhancement_of
from isotropy_metrics.cli.fit_summary import print_fit
from isotropy_metrics.cli.launched import are_several
from isotropy_metrics.cli.warning_sentences import warnings_as_sentences
from isotropy_metrics.cli.words import words
from isotropy_metrics.embedding_files import open_embeddings
from isotropy_metrics.embedding_files.fitted_files import fit_files
from isotropy_metrics.embedding_files.output_path import check_output, output_path


def add_to(commands: Any) -> None:
    """Declare the command."""
    fit = commands.add_parser(
        "fit",
        help="fit on the rows of files, and save the result in a folder",
        description="Fit an enhancement on the embeddings in FILE..., read in batches and never loaded whole, once "
        "for each method. `isotropy-metrics enhance methods` lists the methods and their options.",
    )
    fit.set_defaults(command=_fit)
    add = fit.add_argument
    add("files", metavar="FILE", nargs="+", help="files or folders with the embeddings, as `measure` reads them")
    add(
        "--method", required=True, metavar="A,B", help="name, or several in their order: centering,whitening,normalize"
    )
    add("--output", required=True, metavar="FOLDER", help="where the fitted enhancement is saved")
    add("--option", action="append", default=[], metavar="NAME=VALUE", help="as in eps=0.1, or whitening.eps=0.1")
    add("--rows", type=int, metavar="N", help="fit on a random sample of N of all rows; default: on all")
    add("--seed", type=int, default=0, help="of the sample")
    add("--state", metavar="OUT", help="keep statistics in a .safetensors file: the same command goes on with it")
    add("--column", metavar="C", help="column or array with the embeddings, where there are several")
    add("--weight", metavar="C", help="column with weights of rows, such as the probabilities of words")
    add("--mask", metavar="C", help="array of 0 and 1 (batch, length), of embeddings (batch, length, n_features)")
    add("--split", metavar="S", help="split of a dataset that has several")
    add_fingerprint_to(fit, "of the rows, saved with the enhancement")
    add("--overwrite", action="store_true", help="replace an enhancement that is in FOLDER")
    add("--quiet", action="store_true", help="no progress bars")


def add_fingerprint_to(parser: argparse.ArgumentParser, what: str) -> None:
    """The arguments that say which model the rows come from."""
    parser.add_argument("--model", metavar="NAME", help=f"model {what}")
    parser.add_argument("--revision", metavar="R", help=f"commit of the model {what}")
    parser.add_argument("--layer", type=_layer, metavar="L", help=f"layer {what}")
    parser.add_argument("--pooling", metavar="P", help=f"pooling {what}, as mean, or none for tokens")


def fingerprint_in(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_fingerprint_to` asked for."""
    return {name: getattr(options, name) for name in ("model", "revision", "layer", "pooling")}


def _layer(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


def _fit(options: argparse.Namespace) -> None:
    if are_several():
        raise ValueError("enhance fit is for one process: it does not share its work among several")
    if options.seed < 0:
        raise ValueError(f"--seed must not be negative, got {options.seed}")
    if options.rows is not None and options.rows < 2:
        raise ValueError(f"--rows must be at least 2, got {options.rows}")
    enhancement = enhancement_of(words(options.method), options.option)
    if Path(options.output).is_file():
        raise FileExistsError(f"{options.output} is a file: name a folder for the enhancement")
    check_output(options.output, options.overwrite)
    from isotropy_metrics.enhancement import EnhancementWarning, save_pretrained

    columns = {name: getattr(options, name) for name in ("column", "weight", "mask", "split")}
    with warnings_as_sentences(EnhancementWarning), output_path(options.output, options.overwrite) as folder:
        files = [open_embeddings(file, **columns) for file in options.files]
        asked = {"n_rows": options.rows, "seed": options.seed, "state": options.state}
        steps = fit_files(enhancement, files, **asked, progress=not options.quiet)
        save_pretrained(enhancement, folder, **fingerprint_in(options))
    print_fit(files, steps)
    print(f"saved in {options.output}")
