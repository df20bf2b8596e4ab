"""An enhancement as an ONNX file: imported only where torch and its exporter are needed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from isotropy_metrics.enhancement.torch_modules import module_of
from isotropy_metrics.whole_file import whole_file


def write_onnx(enhancement: Any, path: str | Path, overwrite: bool) -> Path:
    """See `to_onnx`."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists: pass overwrite=True, or choose another path")
    module = module_of(enhancement, torch.float32).eval()
    if module.in_features is None:
        raise ValueError("this Pipeline holds no enhancement: there is no width that the ONNX file could have")
    with _without_noise():
        program = torch.onnx.export(
            module,
            (torch.zeros(2, module.in_features),),
            dynamo=True,
            input_names=["embeddings"],
            output_names=["enhanced"],
            dynamic_shapes=({0: torch.export.Dim("n_samples")},),
            verbose=False,
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as beside:
        program.save(beside)
    return path


@contextmanager
def _without_noise() -> Iterator[None]:
    """Silence what torch 2.13 says of itself while it exports: nothing that a user could do anything about."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    with warnings.catch_warnings():
        # it copies objects of its own deprecated class
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        registration.setLevel(logging.ERROR)  # that torchvision, which no enhancement needs, is not installed
        try:
            yield
        finally:
            registration.setLevel(level)
