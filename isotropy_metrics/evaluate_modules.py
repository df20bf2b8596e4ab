"""Every measure as an `evaluate` module: load it, or register it so that `evaluate.load` finds it by name."""

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

from isotropy_metrics.measures import MEASURES

if TYPE_CHECKING:
    from isotropy_metrics.evaluate_measurement import EmbeddingMeasurement

MARK = "Written by `isotropy-metrics register`, removed by `isotropy-metrics unregister`."

SCRIPT = '''"""{mark}"""

try:
    from isotropy_metrics.evaluate_measurement import module_class
except ImportError as error:
    raise ImportError(
        "evaluate.load('{name}') was registered by isotropy-metrics, which cannot be imported here: "
        "pip install 'isotropy-metrics[evaluate]', or delete {folder}"
    ) from error

Module = module_class("{name}")
'''


def load(name: str | Sequence[str], **arguments: Any) -> EmbeddingMeasurement:
    """A measure as an evaluation module; several names give one module that makes one pass for all of them.

    Args:
        name: of a measure, or a list of names.
        **arguments: options of the measure, `sample_size`, `seed`; see `EmbeddingMeasurement`.

    Raises:
        ValueError: there is no such measure.
        ImportError: `evaluate` is not installed.
    """
    return _evaluate_measurement().module_class(name)(**arguments)


def register(*, lasting: bool = False) -> None:
    """Make `evaluate.load` find every measure by its name, with no network access.

    In this process (default), or with `lasting=True` for every process that uses this user's Hugging Face modules
    cache (`HF_HOME` or `HF_MODULES_CACHE`), by a small script per measure there: `isotropy-metrics register`.
    A local folder of the same name still comes first, as evaluate has it.
    """
    _evaluate_measurement()
    if lasting:
        _write_scripts()
    loading = importlib.import_module("evaluate.loading")
    if not hasattr(loading.evaluation_module_factory, "isotropy_metrics_original"):
        loading.evaluation_module_factory = _factory_that_knows_measures(loading)


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
    scripts = _scripts_root().glob("evaluate-measurement--*/*/*.py")
    return sorted({script.parent.parent for script in scripts if MARK in script.read_text(encoding="utf-8")})


def _evaluate_measurement() -> types.ModuleType:
    try:
        return importlib.import_module("isotropy_metrics.evaluate_measurement")
    except ImportError as error:
        raise ImportError("evaluation modules need evaluate: pip install 'isotropy-metrics[evaluate]'") from error


def _factory_that_knows_measures(loading: types.ModuleType) -> Any:
    original = loading.evaluation_module_factory

    @functools.wraps(original)
    def evaluation_module_factory(path: str, *args: Any, **kwargs: Any) -> Any:
        if path not in MEASURES or os.path.isfile(os.path.join(path, f"{path}.py")):
            return original(path, *args, **kwargs)
        module = types.ModuleType(f"isotropy_metrics.evaluate_modules.{path}")
        module.Module = _evaluate_measurement().module_class(path)
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
    for name in MEASURES:
        folder = root / f"evaluate-measurement--{name}"
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
