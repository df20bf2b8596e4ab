"""Where a raised alarm is told: a JSON file of its own, and trackio."""

from __future__ import annotations

import itertools
import json
import math
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from isotropy_metrics.whole_file import whole_file

PACKAGES = ("isotropy-metrics", "numpy", "torch", "transformers")


def write_alarm(folder: str | Path, report: Mapping[str, Any]) -> Path:
    """Write what is known of an alarm to `isotropy_alarm_step_<n>.json`, whole or not at all.

    A second alarm of the same step goes to `isotropy_alarm_step_<n>_2.json`, and so on: none is overwritten. Numbers
    that are not finite, which JSON does not have, become null, and the versions of the packages are added.

    Args:
        folder: made if it is not there.
        report: "step" and whatever else is known: epoch, alarm, value, threshold, baseline, cause, values.

    Returns:
        The file.

    Raises:
        ValueError: no "step" that is a whole number.
        TypeError: something that JSON has no form for.
        OSError: the file cannot be written.
    """
    step = report.get("step")
    if isinstance(step, bool) or not isinstance(step, (int, np.integer)):
        raise ValueError(f"the report of an alarm needs the step, a whole number; got {step!r}")
    text = json.dumps(_plain({**report, "versions": _versions()}), indent=2, allow_nan=False, ensure_ascii=False)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = _free_path(folder, f"isotropy_alarm_step_{step}")
    with whole_file(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")
    return path


def alert_trackio(title: str, text: str) -> bool:
    """Send an alert to the run of trackio that is active in this process; returns whether there is one.

    It imports nothing and starts no run: a run can only be active where trackio was imported. The alert goes where
    the run goes, and to the webhook if the user gave `trackio.init` one; trackio itself turns failures into warnings.
    """
    trackio = sys.modules.get("trackio")
    variables = getattr(trackio, "context_vars", None)
    if not hasattr(trackio, "alert") or variables is None or variables.current_run.get() is None:
        return False
    trackio.alert(title, text)
    return True


def _free_path(folder: Path, stem: str) -> Path:
    for n in itertools.count(1):
        path = folder / (f"{stem}.json" if n == 1 else f"{stem}_{n}.json")
        if not path.exists():
            return path


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _plain(value: Any) -> Any:
    """The value as JSON has it: numpy's numbers and arrays as Python's, what is not finite as None."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
