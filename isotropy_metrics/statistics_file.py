"""Statistics in a file: what rows have left behind, to go on with, or to merge with that of other rows.

The file is of safetensors: arrays as they are, and one JSON text that says what they belong to. Nothing is unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isotropy_metrics import statistics as kinds
from isotropy_metrics.optional_library import optional
from isotropy_metrics.whole_file import whole_file

KINDS = {name: getattr(kinds, name) for name in kinds.__all__}
"""All kinds of statistics, by name."""

FORMAT, FORMAT_VERSION = "isotropy_metrics.statistics", 2
PURPOSE = "a file of statistics"


def save_statistics(path: str | Path, statistics: Sequence[Any], **facts: Any) -> Path:
    """Write statistics to a file, whole or not at all: a file that was there stays until the new one is complete.

    Args:
        path: of the file; .safetensors is the custom.
        statistics: such as `statistics_for` makes, of any kinds.
        **facts: what else is to be known of them, as JSON has it.

    Returns:
        The path.

    Raises:
        ImportError: safetensors is not installed.

    Example:
        >>> import os, tempfile
        >>> from isotropy_metrics import Moments
        >>> path = os.path.join(tempfile.mkdtemp(), "moments.safetensors")
        >>> moments = Moments()
        >>> moments.update([[1.0, 0.0], [3.0, 0.0]])
        >>> _ = save_statistics(path, [moments], source="a list")
        >>> (again,), facts = load_statistics(path)
        >>> again.mean.tolist(), facts
        ([2.0, 0.0], {'source': 'a list'})
    """
    save_file = optional("safetensors.numpy", "safetensors", PURPOSE).save_file
    arrays: dict[str, np.ndarray] = {}
    described = [
        {"kind": type(each).__name__, "state": _described(each.state_dict(), str(i), arrays)}
        for i, each in enumerate(statistics)
    ]
    content = {"format": FORMAT, "format_version": FORMAT_VERSION, "statistics": described, "facts": facts}
    with whole_file(Path(path)) as beside:
        save_file(arrays, beside, {"content": json.dumps(content)})
    return Path(path)


def load_statistics(path: str | Path) -> tuple[list[Any], dict[str, Any]]:
    """The statistics in a file and the facts that were saved with them; they go on as those would have.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not one that `save_statistics` wrote, it is damaged, or of a newer version.
        ImportError: safetensors is not installed.
    """
    content, arrays = _read(Path(path))
    try:
        statistics = [
            KINDS[each["kind"]].from_state_dict(_rebuilt(each["state"], arrays)) for each in content["statistics"]
        ]
        return statistics, content["facts"]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def load_facts(path: str | Path) -> dict[str, Any]:
    """The facts alone. It reads no array: of what `load_statistics` raises, a damaged array goes unnoticed."""
    content, _ = _read(Path(path), with_arrays=False)
    return content["facts"]


def _read(path: Path, with_arrays: bool = True) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What describes the statistics of a file, and their arrays."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    safetensors = optional("safetensors", "safetensors", PURPOSE)
    try:
        with safetensors.safe_open(path, "numpy") as opened:
            content = json.loads((opened.metadata() or {}).get("content", "{}"))
            arrays = {name: opened.get_tensor(name) for name in opened.keys()} if with_arrays else {}
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise ValueError(f"{path} cannot be read as a file of statistics: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is no file of statistics: `isotropy-metrics measure --state` writes such files")
    if content.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{path} is of format {content.get('format_version')}; this version reads {FORMAT_VERSION}")
    if not isinstance(content.get("facts"), dict):
        raise ValueError(f"{path} is damaged: it has no facts")
    return content, arrays


def _described(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """The value as JSON has it; arrays go to `arrays` and leave their name behind."""
    if isinstance(value, np.ndarray):
        arrays[name] = np.ascontiguousarray(value)
        return {"array": name}
    if isinstance(value, dict):
        return {"dict": {key: _described(own, f"{name}.{key}", arrays) for key, own in value.items()}}
    if isinstance(value, list):
        return {"list": [_described(own, f"{name}.{i}", arrays) for i, own in enumerate(value)]}
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return {"value": value}


def _rebuilt(described: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    (kind, content), *others = described.items()
    if others:
        raise ValueError("an entry is of two kinds")
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {key: _rebuilt(own, arrays) for key, own in content.items()}
    if kind == "list":
        return [_rebuilt(own, arrays) for own in content]
    return float(content) if kind == "float" else content
