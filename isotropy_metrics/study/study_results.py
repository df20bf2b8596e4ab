"""StudyResults: all that a study found, as plain tables that round-trip through JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from isotropy_metrics.study.experiments import EXPERIMENTS, Outcome
from isotropy_metrics.whole_file import whole_file

RESULTS_FILE = "results.json"


@dataclass(frozen=True)
class StudyResults:
    """What a study found.

    Attributes:
        protocol: model, data, pooling, tokens, seed, versions: what a number needs to be compared.
        experiments: by name, in the order of the report.
        left_out: by name, why an experiment was not run.
        training: the log of the fine-tuning; empty if the second checkpoint was given.
    """

    protocol: dict[str, Any]
    experiments: dict[str, Outcome] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    training: list[dict[str, Any]] = field(default_factory=list)

    def save(self, path: str | Path) -> None:
        """Write as JSON, whole or not at all, experiments in the order of the report; NaN becomes null."""
        ordered = {name: self.experiments[name] for name in EXPERIMENTS if name in self.experiments}
        ordered |= self.experiments
        text = json.dumps(_without_nan(asdict(replace(self, experiments=ordered))), indent=1, allow_nan=False)
        with whole_file(Path(path)) as beside:
            beside.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> StudyResults:
        """Read what `save` wrote.

        Raises:
            ValueError: it is not the results of a study.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            outcomes = {name: Outcome(**outcome) for name, outcome in content["experiments"].items()}
            return cls(**content | {"experiments": outcomes})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path} is not the results of a study: {error}") from error


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
