"""`isotropy-metrics enhance export`: a saved enhancement as what other software reads."""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from pathlib import Path
from typing import Any

from isotropy_metrics.cli.warning_sentences import warnings_as_sentences
from isotropy_metrics.embedding_files.enhanced_file import steps_of
from isotropy_metrics.embedding_files.output_path import check_output, output_path


def add_to(commands: Any) -> None:
    """Declare the command."""
    kinds = "; ".join(f"{name}: {export.__doc__}" for name, export in EXPORTS.items())
    export = commands.add_parser(
        "export",
        help="write a saved enhancement as what other software reads",
        description=f"Write the enhancement in FOLDER to PATH, which must not exist. {kinds}.",
    )
    export.set_defaults(command=_export)
    add = export.add_argument
    add("folder", metavar="FOLDER", help="what `enhance fit` saved, or save_pretrained, or a repository on the Hub")
    add("--to", required=True, choices=EXPORTS, help="see above")
    add("--output", required=True, metavar="PATH", help="the file to write; of dense a folder")


def _export(options: argparse.Namespace) -> None:
    check_output(options.output, overwrite=False, remedy="remove it")
    from isotropy_metrics.enhancement import EnhancementWarning, from_pretrained

    with warnings_as_sentences(EnhancementWarning):
        warnings.simplefilter("ignore", FutureWarning)  # of torch, to those who wrote its exporter
        enhancement = from_pretrained(options.folder)
        with output_path(options.output, overwrite=False) as path:
            EXPORTS[options.to](enhancement, path)
    print(options.output)


def _to_onnx(enhancement: Any, path: Path) -> None:
    """an ONNX model, `embeddings` to `enhanced`"""
    from isotropy_metrics.enhancement import to_onnx
    from isotropy_metrics.optional_library import optional

    optional("torch", "torch", "to_onnx")  # it sets the level of its loggers when it is imported
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of operators for images
    to_onnx(enhancement, path)


def _to_faiss(enhancement: Any, path: Path) -> None:
    """a LinearTransform for faiss.read_VectorTransform"""
    from isotropy_metrics.enhancement import to_faiss

    transform = to_faiss(enhancement)
    import faiss

    faiss.write_VectorTransform(transform, str(path))


def _to_torch(enhancement: Any, path: Path) -> None:
    """a program for torch.export.load, which needs neither this package nor pickle"""
    from isotropy_metrics.enhancement import as_torch

    if path.suffix != ".pt2":
        raise ValueError(f"{path.name} must end in .pt2, the extension of programs that torch.export.load reads")
    module = as_torch(enhancement).eval()
    import torch

    rows = torch.zeros(2, module.in_features)
    shapes = ({0: torch.export.Dim("n_samples")},)
    torch.export.save(torch.export.export(module, (rows,), dynamic_shapes=shapes), path)


def _to_dense(enhancement: Any, path: Path) -> None:
    """the folder of a Dense of sentence-transformers"""
    from isotropy_metrics.enhancement import as_dense

    dense = as_dense(enhancement)
    path.mkdir()
    dense.save(str(path))


def _to_json(enhancement: Any, path: Path) -> None:
    """plain numbers, with their formula"""
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import Normalizer

    from isotropy_metrics.enhancement import as_affine

    steps = steps_of(enhancement)
    normalize = len(steps) > 1 and isinstance(steps[-1], Normalizer)
    if normalize:
        enhancement = Pipeline(enhancement.steps[:-1])
    matrix, shift = as_affine(enhancement)
    mean = next(step.mean_ for step in steps if hasattr(step, "mean_"))
    numbers = {
        "formula": "y = x W + b, the same as (x - mean) W + offset, which loses fewer digits; x and y are rows"
        + (", and y / |y| is the result" if normalize else ""),
        "normalize": normalize,
        "mean": mean.tolist(),
        "b": shift.tolist(),
        "offset": (mean @ matrix + shift).tolist(),
        "W": matrix.tolist(),
    }
    path.write_text(json.dumps(numbers, allow_nan=False), encoding="utf-8")


EXPORTS = {"onnx": _to_onnx, "faiss": _to_faiss, "torch": _to_torch, "dense": _to_dense, "json": _to_json}
