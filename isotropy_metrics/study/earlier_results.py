"""What an interrupted or finished study has found, for one that goes on with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from isotropy_metrics.study.study_results import RESULTS_FILE, StudyResults
from isotropy_metrics.study.tasks import Task, data_digest


def earlier_results(folder: Path, asked: dict[str, Any]) -> StudyResults | None:
    """The results of the interrupted or finished study in this folder; None if there are none.

    Raises:
        ValueError: its settings are not those that are `asked` for.
    """
    if not (folder / RESULTS_FILE).exists():
        return None
    results = StudyResults.load(folder / RESULTS_FILE)
    before = results.protocol["settings"]
    for name, value in json.loads(json.dumps(asked)).items():
        if before.get(name) != value:
            raise ValueError(
                f"the study to resume has {name} = {before.get(name)!r}, not {value!r}: "
                "resume it with the same settings, or choose another --output"
            )
    return results


def check_data(results: StudyResults, task: Task) -> None:
    """Raises ValueError if the texts or labels are not those that the study began with."""
    if results.protocol.get("data_digest") != data_digest(task):
        raise ValueError("the data have changed since the study to resume began: choose another --output")
