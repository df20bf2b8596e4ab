"""Measures and comparisons as `evaluate` modules: load one, or register all so that `evaluate.load` finds them."""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import shutil
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isotropy_metrics.measures import MEASURES, Measure
from isotropy_metrics.measures.comparisons import COMPARISONS

if TYPE_CHECKING:
    from isotropy_metrics.evaluate_streaming import StreamingModule

RECORDS: dict[str, Measure] = MEASURES | COMPARISONS
"""Every measure and every comparison by its name."""

KINDS = {
    "measurement": ("isotropy_metrics.evaluate_measurement", "EmbeddingMeasurement"),
    "comparison": ("isotropy_metrics.evaluate_comparison", "EmbeddingComparison"),
}
"""Where the module class of each `module_type` of evaluate is; importing it imports evaluate."""

MARK = "Written by `isotropy-metrics register`, removed by `isotropy-metrics unregister`."

SCRIPT = '''"""{mark}"""

try:
    from isotropy_metrics.evaluate_modules import module_class
except ImportError as error:
    raise ImportError(
        "evaluate.load('{name}') was registered by isotropy-metrics, which cannot be imported here: "
        "pip install 'isotropy-metrics[evaluate]', or delete {folder}"
    ) from error

Module = module_class("{name}")
'''


def load(name: str | Sequence[str], **arguments: Any) -> StreamingModule:
    """A measure or comparison as an evaluation module; several names give one module, of one pass for all of them.

    Args:
        name: of a measure or comparison, or a list of names of one kind.
        **arguments: options, `sample_size`, `seed`, `interval`, `null`, `n_resamples`; see `StreamingModule`.

    Raises:
        ValueError: there is no such measure, or names are of both kinds.
        ImportError: `evaluate` is not installed.
    """
    return module_class(name)(**arguments)


def module_class(name: str | Sequence[str]) -> type[StreamingModule]:
    """The class of the module of one measure or comparison, or of several of one kind; see `load`."""
    names = [name] if isinstance(name, str) else list(name)
    types_of = {each: RECORDS[each].module_type for each in names if each in RECORDS}
    if len(set(types_of.values())) > 1:
        both = " and ".join(f"{each} is a {module_type}" for each, module_type in types_of.items())
        raise ValueError(f"one module has measures or comparisons, not both; {both}")
    unknown = [each for each in names if each not in RECORDS]
    if unknown or not names:
        what = f"there is no measure {unknown[0]!r}" if unknown else "no measure named"
        raise ValueError(f"{what}; there are: {', '.join(RECORDS)}")
    return _kind(types_of[names[0]]).named(name if isinstance(name, str) else names)


def register(*, lasting: bool = False) -> None:
    """Make `evaluate.load` find every measure and comparison by its name, with no network access.

    In this process (default), or with `lasting=True` for every process that uses this user's Hugging Face modules
    cache (`HF_HOME` or `HF_MODULES_CACHE`), by a small script for each there: `isotropy-metrics register`.
    A local folder of the same name still comes first, as evaluate has it.
    """
    _kind("measurement")
    if lasting:
        _write_scripts()
    loading = importlib.import_module("evaluate.loading")
    if not hasattr(loading.evaluation_module_factory, "isotropy_metrics_original"):
        loading.evaluation_module_factory = _factory_that_knows_names(loading)


def unregister(*, lasting: bool = False) -> None:
    """Undo `register`: in this process, and with `lasting=True` in the modules cache too."""
    loading = importlib.import_module("evaluate.loading")
    original = getattr(loading.evaluation_module_factory, "isotropy_metrics_original", None)
    if original is not None:
        loading.evaluation_module_factory = original
    if lasting:
        for folder in registered_folders():
            shutil.rmtree(folder)


def registered_folders() -> list[Path]:
    """The folders that `register(lasting=True)` has written in the modules cache of this user."""
    scripts = [script for each in KINDS for script in _scripts_root().glob(f"evaluate-{each}--*/*/*.py")]
    return sorted({script.parent.parent for script in scripts if MARK in script.read_text(encoding="utf-8")})


def _kind(module_type: str) -> type[StreamingModule]:
    module, name = KINDS[module_type]
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ImportError("evaluation modules need evaluate: pip install 'isotropy-metrics[evaluate]'") from error


def _factory_that_knows_names(loading: types.ModuleType) -> Any:
    original = loading.evaluation_module_factory

    @functools.wraps(original)
    def evaluation_module_factory(path: str, *args: Any, **kwargs: Any) -> Any:
        if path not in RECORDS or os.path.isfile(os.path.join(path, f"{path}.py")):
            return original(path, *args, **kwargs)
        module = types.ModuleType(f"isotropy_metrics.evaluate_modules.{path}")
        module.Module = module_class(path)
        sys.modules[module.__name__] = module
        return loading.ImportableModule(module.__name__, _hash(path))

    evaluation_module_factory.isotropy_metrics_original = original
    return evaluation_module_factory


def _scripts_root() -> Path:
    """Where evaluate looks for a module that neither a local folder nor the Hub has."""
    loading = importlib.import_module("evaluate.loading")
    return Path(loading.init_dynamic_modules()) / "metrics"


def _write_scripts() -> None:
    root = _scripts_root()
    for name, record in RECORDS.items():
        folder = root / f"evaluate-{record.module_type}--{name}"
        target = folder / _hash(name)
        target.mkdir(parents=True, exist_ok=True)
        for package in (root, folder, target):
            (package / "__init__.py").touch()
        beside = target / f"{name}.py.partial"
        beside.write_text(SCRIPT.format(mark=MARK, name=name, folder=folder.as_posix()), encoding="utf-8")
        os.replace(beside, target / f"{name}.py")


def _hash(name: str) -> str:
    """64 hexadecimal digits, as evaluate names the folder of a script."""
    return hashlib.sha256(f"isotropy_metrics.{name}".encode()).hexdigest()
