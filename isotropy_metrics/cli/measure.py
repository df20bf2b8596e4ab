"""`isotropy-metrics measure`: measures of a file, or comparisons of two."""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

from isotropy_metrics.cli.measure_options import options_of_measures
from isotropy_metrics.cli.value_table import print_values
from isotropy_metrics.cli.warning_sentences import warnings_as_sentences
from isotropy_metrics.cli.words import words
from isotropy_metrics.embedding_files import compare_files, measure_file, open_embeddings
from isotropy_metrics.measures import find_measures
from isotropy_metrics.measures.comparisons import find_comparisons
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE, IDS


def add_to(commands: Any) -> None:
    """Declare the command."""
    measure = commands.add_parser(
        "measure",
        help="measure the embeddings in a file, or compare those in two",
        description="Measure the embeddings in FILE; with FILE2, compare the two row by row. Read are .npy, .npz, "
        ".safetensors, .parquet, .arrow, .feather, .csv and .tsv files, and folders that datasets saved, in batches "
        "and never loaded whole. `isotropy-metrics measures` lists the measures.",
    )
    measure.set_defaults(command=_measure)
    add = measure.add_argument
    add("file", metavar="FILE", help="file or folder with the embeddings")
    add("file2", metavar="FILE2", nargs="?", help="a second one, to compare the first with")
    add("--measures", default="all", metavar="A,B", help="names, comma-separated; default: all that the ids allow")
    add("--column", metavar="C", help="column or array with the embeddings, where there are several")
    add("--column2", metavar="C", help="the same of FILE2; default: as --column")
    add("--references", metavar="C", help="column with class labels")
    add("--words", metavar="C", help="column that says which word a row is an occurrence of")
    add("--sentences", metavar="C", help="column that says which sentence a row comes from")
    add("--weight", metavar="C", help="column with weights of rows")
    add("--mask", metavar="C", help="array of 0 and 1 (batch, length), of embeddings (batch, length, n_features)")
    add("--split", metavar="S", help="split of a datasets folder that has several")
    add("--option", action="append", default=[], metavar="NAME.KEY=VALUE", help="as in isoscore.unbiased=true")
    add("--interval", type=float, metavar="LEVEL", help="add bootstrap intervals of this level, as 0.95")
    add("--null", action="store_true", help="add what as many isotropic rows give; of pairs: random pairs")
    add("--sample-size", type=int, default=DEFAULT_SIZE, metavar="N", help="most rows for measures of single rows")
    add("--seed", type=int, default=0, help="of samples, intervals and nulls")
    add("--json", action="store_true", help="print the values as JSON and nothing else")
    add("--quiet", action="store_true", help="no progress bars")


def _measure(options: argparse.Namespace) -> None:
    names = None if options.measures == "all" else words(options.measures)
    ids = [name for name in IDS if getattr(options, name) is not None]
    allowed = find_measures(names, ids) if options.file2 is None else find_comparisons(names)
    if options.seed < 0:
        raise ValueError(f"--seed must not be negative, got {options.seed}")
    asked = {
        "options": options_of_measures(options.option, allowed),
        "sample_size": options.sample_size,
        "interval": options.interval,
        "null": options.null,
        "seed": options.seed,
        "progress": not options.quiet,
    }
    columns = {name: getattr(options, name) for name in (*IDS, "weight", "mask", "split")}
    with warnings_as_sentences():
        files = [open_embeddings(options.file, column=options.column, **columns)]
        if options.file2 is None:
            values = measure_file(*files, names, **asked)
        else:
            files.append(open_embeddings(options.file2, column=options.column2 or options.column, **columns))
            values = compare_files(*files, names, **asked)
    if options.json:
        print(json.dumps(_without_nan(values), allow_nan=False))
    else:
        print_values(values, files)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
