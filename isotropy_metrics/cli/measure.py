"""`isotropy-metrics measure`: measures of a file, or comparisons of two."""

from __future__ import annotations

import argparse
import zlib
from itertools import zip_longest
from typing import Any

from isotropy_metrics.cli.measure_options import options_of_measures
from isotropy_metrics.cli.value_table import print_result
from isotropy_metrics.cli.warning_sentences import warnings_as_sentences
from isotropy_metrics.cli.words import words
from isotropy_metrics.embedding_files import compare_files, measure_files, open_embeddings
from isotropy_metrics.measures import find_measures
from isotropy_metrics.measures.comparisons import find_comparisons
from isotropy_metrics.processes import of_main, raised_together
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE, IDS


def add_to(commands: Any) -> None:
    """Declare the command."""
    measure = commands.add_parser(
        "measure",
        help="measure the embeddings in a file, or compare those in two",
        description="Measure the embeddings in FILE; of two files, compare them row by row; with --together or "
        "--state, measure all files as parts of one space. Read are .npy, .npz, .safetensors, .parquet, .arrow, "
        ".feather, .csv and .tsv files, folders that datasets saved, and datasets of the Hub, as "
        "hf://datasets/USER/NAME, with @REVISION and /CONFIGURATION if need be: in batches, never loaded whole. "
        "`isotropy-metrics measures` lists the measures. Under `accelerate launch --multi_gpu` or `torchrun`, with "
        "`-m isotropy_metrics measure ...`, several processes share the rows of one space.",
    )
    measure.set_defaults(command=_measure, shares_work=True)
    add = measure.add_argument
    add("files", metavar="FILE", nargs="+", help="file or folder with the embeddings; two of them are compared")
    add("--together", action="store_true", help="the files are parts of one space")
    add(
        "--state",
        metavar="OUT",
        help="keep the statistics in a .safetensors file: the same command goes on with it",
    )
    add(
        "--stream",
        type=int,
        metavar="N",
        help="number of this part of what `merge` will join; default: by the names of the files",
    )
    add("--measures", default="all", metavar="A,B", help="names, comma-separated; default: all that the ids allow")
    add("--column", metavar="C", help="column or array with the embeddings, where there are several")
    add("--column2", metavar="C", help="the same of the second file; default: as --column")
    add("--references", metavar="C", help="column with class labels")
    add("--words", metavar="C", help="column that says which word a row is an occurrence of")
    add("--sentences", metavar="C", help="column that says which sentence a row comes from")
    add("--weight", metavar="C", help="column with weights of rows")
    add("--mask", metavar="C", help="array of 0 and 1 (batch, length), of embeddings (batch, length, n_features)")
    add("--split", metavar="S", help="split of a dataset that has several")
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
    is_one_space = len(options.files) == 1 or options.together or options.state is not None
    if len(options.files) > 2 and not is_one_space:
        raise ValueError(f"there are {len(options.files)} files: two are compared; more are measured with --together")
    allowed = find_measures(names, ids) if is_one_space else find_comparisons(names)
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
        of_file = [options.column, *([] if is_one_space else [options.column2])]
        with raised_together():
            files = [
                open_embeddings(path, column=own or options.column, **columns)
                for path, own in zip_longest(options.files, of_file)
            ]
        if is_one_space:
            values = measure_files(files, names, state=options.state, stream=_stream(options), **asked)
            spaces = [(", ".join(str(file.path) for file in files), files[0].source)]
        else:
            values = of_main(lambda: compare_files(*files, names, **asked))
            spaces = [(str(file.path), file.source) for file in files]
    print_result(values, spaces, as_json=options.json)


def _stream(options: argparse.Namespace) -> int:
    """Without a state nothing will be merged; with one, parts are told apart by the names of their files."""
    if options.stream is not None:
        if options.stream < 0:
            raise ValueError(f"--stream must not be negative, got {options.stream}")
        return options.stream
    return 0 if options.state is None else zlib.crc32("\n".join(options.files).encode())
