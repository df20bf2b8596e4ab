"""`isotropy-metrics enhance apply`: the rows of a file, enhanced, in another file."""

from __future__ import annotations

import argparse
from typing import Any

from isotropy_metrics.cli.enhance_fit import add_fingerprint_to, fingerprint_in
from isotropy_metrics.cli.warning_sentences import warnings_as_sentences
from isotropy_metrics.embedding_files import open_embeddings
from isotropy_metrics.embedding_files.embedding_writer import DTYPES
from isotropy_metrics.embedding_files.enhanced_file import check_places, enhance_file


def add_to(commands: Any) -> None:
    """Declare the command."""
    apply = commands.add_parser(
        "apply",
        help="write the enhanced rows of a file",
        description="Write the rows of FILE, enhanced, to OUT, a .npy, .safetensors or .parquet file; from .parquet "
        "to .parquet the other columns come along. The file is read in batches and never loaded whole.",
    )
    apply.set_defaults(command=_apply)
    add = apply.add_argument
    add("folder", metavar="FOLDER", help="what `enhance fit` saved, or save_pretrained, or a repository on the Hub")
    add("file", metavar="FILE", help="file or folder with the embeddings, as `measure` reads them")
    add("--output", required=True, metavar="OUT", help="the file to write")
    add("--dtype", choices=DTYPES, help="default: float32, or float64 for rows of that precision")
    add("--column", metavar="C", help="column or array with the embeddings, where there are several")
    add("--mask", metavar="C", help="array of 0 and 1 (batch, length); the rows that it keeps are written, in order")
    add("--split", metavar="S", help="split of a datasets folder that has several")
    add_fingerprint_to(apply, "of FILE: another one than the enhancement was fitted on is refused")
    add("--overwrite", action="store_true", help="replace OUT")
    add("--quiet", action="store_true", help="no progress bar")


def _apply(options: argparse.Namespace) -> None:
    check_places(options.file, options.output, options.overwrite)
    from isotropy_metrics.enhancement import EnhancementWarning, from_pretrained

    with warnings_as_sentences(EnhancementWarning):
        enhancement = from_pretrained(options.folder, **fingerprint_in(options))
        file = open_embeddings(options.file, column=options.column, mask=options.mask, split=options.split)
        n_rows, n_features, dtype = enhance_file(
            enhancement,
            file,
            options.output,
            dtype=options.dtype,
            overwrite=options.overwrite,
            progress=not options.quiet,
        )
    print(f"{options.output}: {n_rows:,} rows, {n_features} features, {dtype}")
