"""Curves of a whole training run: geometry, drift and task, from the log that the Trainer keeps."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from isotropy_metrics.measures import MEASURES
from isotropy_metrics.measures._measure import OfDimension, text_of
from isotropy_metrics.measures.comparisons import COMPARISONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STATE_FILE = "trainer_state.json"
ALARM_KEY = "eval_isotropy_alarm"
DRIFT = "_to_baseline"

NAMES = [f"{name}{ending}" for name in MEASURES for ending in ("", "_log10")] + [
    f"{name}{DRIFT}" for name in COMPARISONS
]
_GEOMETRY_KEY = re.compile(
    rf"eval_(?:(?P<probe>.+?)_)??(?:layer_(?P<layer>\d{{1,6}})/)?(?P<name>{'|'.join(map(re.escape, NAMES))})"
)

NO_TASK = re.compile(r"(^|_)(runtime|(samples|steps|tokens)_per_second|n_[a-z_]+|model_preparation_time)$|/")
"""Keys of an evaluation that are neither geometry nor a score."""

LARGEST = 1e300

COLUMNS = {1: 3, 2: 4, 4: 4}
MOST_COLUMNS = 3
"""So that with several probes those of one measure lie side by side."""

WIDTH, HEIGHT = 4.0, 2.7
FEW_TICKS = 13
ALARM_COLOR = "#B3261E"
LINE_COLORS = ("#4C6A92", "#D1642C", "#4F8A5B", "#8A5B93", "#7A7A7A", "#B59B2A")

Points = dict[float, float]
"""Value by step."""


class Panel(NamedTuple):
    """What is seen in one picture of a run.

    Attributes:
        title: what it shows, of which probe, and the value to compare with.
        quantity: what is counted upwards.
        lines: points by layer, None for the last one; or by key of the log.
        is_of_layers: whether they are by layer.
        reference: what an isotropic space, or the same space again, has; None where that is no number.
        reference_name: which of the two.
    """

    title: str
    quantity: str
    lines: dict[str | int | None, Points]
    is_of_layers: bool
    reference: float | None = None
    reference_name: str = ""

    def label_of(self, line: str | int | None) -> str:
        """What a reader calls one of the lines."""
        if not self.is_of_layers:
            return str(line).replace("_", " ")
        return "last layer" if line is None else f"layer {line}"


def load_history(path: str | Path) -> list[dict[str, Any]]:
    """The `log_history` of a run.

    Args:
        path: a trainer_state.json, a checkpoint folder, or the output_dir of a run: then its latest checkpoint, or
            the state that `trainer.save_state()` wrote there, whichever went on for longer.

    Raises:
        FileNotFoundError: there is no such file, and none in the folder.
        ValueError: it is not what a Trainer saves.
    """
    path = Path(path)
    if not path.is_dir():
        return _read(path)
    checkpoints = [folder for folder in path.glob("checkpoint-*") if (folder / STATE_FILE).is_file()]
    newest = max(checkpoints, key=_number_of, default=None)
    files = [folder / STATE_FILE for folder in (path, newest) if folder is not None]
    histories = [_read(file) for file in files if file.is_file()]
    if not histories:
        raise FileNotFoundError(f"there is no {STATE_FILE} in {path}, nor in a checkpoint folder inside it")
    return max(histories, key=lambda history: max(_steps(history), default=-1.0))


def draw_training_curves(
    history: Iterable[dict[str, Any]],
    measures: str | Sequence[str] | None = None,
    *,
    probe: str | None = None,
) -> Figure:
    """One panel per measure with a line per layer, then the drift from the space before training, then the task.

    The first value is that before training where the run has one, at step 0. A dotted line is what an isotropic space
    has, or what the same space compared with itself has, where it is in sight; triangles mark the evaluations at
    which a collapse alarm was raised. Values that are missing or not finite leave a gap.

    Args:
        history: `trainer.state.log_history`, or what `load_history` gave.
        measures: names of measures or comparisons, in the order of the panels; None for all that the history has.
        probe: the name of one probe; None for all that the history has.

    Raises:
        ValueError: no isotropy in the history, or not the measure or the probe that was asked for.
    """
    by_step = entries_by_step(history)
    panels = training_panels(by_step, measures, probe=probe)
    layers = sorted({layer for panel in panels if panel.is_of_layers for layer in panel.lines if layer is not None})
    n_probes = len({each for _, each in geometry_points(by_step)}) if probe is None else 1
    n_columns = min(COLUMNS.get(n_probes, MOST_COLUMNS), len(panels))
    return _draw(panels, layers, alarm_steps(by_step), n_columns)


def training_panels(
    by_step: dict[float, dict[str, Any]],
    measures: str | Sequence[str] | None = None,
    *,
    probe: str | None = None,
) -> list[Panel]:
    """What `draw_training_curves` draws, as numbers: a panel per measure, then the drift, then the task.

    Args:
        by_step: what `entries_by_step` gave.
        measures: see `draw_training_curves`, as for
        probe: the name of one probe.

    Returns:
        The panels, in order. Values that are missing or not finite are NaN.

    Raises:
        ValueError: see `draw_training_curves`.

    Example:
        >>> history = [{"step": step, "eval_layer_1/isoscore": 0.5 - step / 100} for step in (0, 10)]
        >>> (panel,) = training_panels(entries_by_step(history))
        >>> panel.title, panel.reference, panel.lines
        ('isoscore (isotropic: 1)', 1.0, {1: {0.0: 0.5, 10.0: 0.4}})
    """
    geometry = geometry_points(by_step)
    if not geometry:
        raise ValueError(
            "this history has no isotropy in it: add trainer_callbacks.IsotropyCallback to the Trainer before training"
        )
    return _geometry_panels(geometry, measures, probe) + _task_panels(by_step)


def alarm_steps(by_step: dict[float, dict[str, Any]]) -> list[float]:
    """The steps of the evaluations at which a collapse alarm was raised.

    Example:
        >>> alarm_steps({10.0: {"eval_isotropy_alarm": 0}, 20.0: {"eval_isotropy_alarm": 1}})
        [20.0]
    """
    return [step for step, entry in by_step.items() if _number(entry.get(ALARM_KEY)) > 0]


def parse_history(state: bytes, name: str | Path) -> list[dict[str, Any]]:
    """The `log_history` in the bytes of a trainer_state.json.

    Args:
        state: the bytes.
        name: what errors call them.

    Raises:
        ValueError: it is not what a Trainer saves.

    Example:
        >>> parse_history(b'{"log_history": [{"step": 1, "loss": 0.5}]}', "trainer_state.json")
        [{'step': 1, 'loss': 0.5}]
    """
    try:
        content = json.loads(state.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: it was cut short or altered") from error
    history = content.get("log_history") if isinstance(content, dict) else None
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        raise ValueError(f"{name} has no log_history: pass the {STATE_FILE} that a transformers Trainer saved")
    return history


def _read(path: Path) -> list[dict[str, Any]]:
    return parse_history(path.read_bytes(), path)


def _number_of(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix("checkpoint-")
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else -1


def _steps(history: Iterable[dict[str, Any]]) -> list[float]:
    steps = [_number(entry.get("step")) for entry in history]
    return [step for step in steps if not math.isnan(step)]


def _number(value: Any) -> float:
    """The value as a float, NaN if it is not a number or not finite."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < LARGEST else math.nan


def entries_by_step(history: Iterable[dict[str, Any]]) -> dict[float, dict[str, Any]]:
    """All that was logged at each step, in order; of a key that was logged twice the later value."""
    merged: dict[float, dict[str, Any]] = {}
    for entry in history:
        step = _number(entry.get("step"))
        if not math.isnan(step):
            merged.setdefault(step, {}).update(entry)
    return dict(sorted(merged.items()))


def geometry_points(by_step: dict[float, dict[str, Any]]) -> dict[tuple[str, str | None], dict[int | None, Points]]:
    """Points by layer, for each name and probe; layer None is the last one, kept where no layer has a number."""
    curves: dict[tuple[str, str | None], dict[int | None, Points]] = {}
    for step, entry in by_step.items():
        for key, value in entry.items():
            found = _GEOMETRY_KEY.fullmatch(str(key))
            if found is not None:
                layer = None if found["layer"] is None else int(found["layer"])
                lines = curves.setdefault((found["name"], found["probe"]), {})
                lines.setdefault(layer, {})[step] = _number(value)
    for lines in curves.values():
        if len(lines) > 1:
            lines.pop(None, None)
    return {name: dict(sorted(lines.items(), key=lambda line: line[0] or 0)) for name, lines in curves.items()}


def _geometry_panels(
    geometry: dict[tuple[str, str | None], dict[int | None, Points]],
    measures: str | Sequence[str] | None,
    probe: str | None,
) -> list[Panel]:
    probes = sorted({each for _, each in geometry}, key=lambda each: each or "")
    if probe is not None and probe not in probes:
        known = ", ".join(each for each in probes if each is not None)
        raise ValueError(
            f"the history has no probe {probe!r}; " + (f"it has: {known}" if known else "none has a name")
        )
    shown = probes if probe is None else [probe]
    panels = []
    for name in chosen_names([name for name, each in geometry if each in shown], measures):
        for each in shown:
            if (name, each) in geometry:
                panels.append(_geometry_panel(name, each, geometry[name, each]))
    return panels


def chosen_names(present: Iterable[str], measures: str | Sequence[str] | None) -> list[str]:
    """Names of the panels in order; a measure with a logarithm is shown by it."""
    present = set(present)
    known = [name for name in NAMES if name in present and f"{name}_log10" not in present]
    if measures is None:
        return known
    asked_for = [measures] if isinstance(measures, str) else list(measures)
    if not asked_for:
        raise ValueError(f"no measure named; the history has: {', '.join(known)}")
    chosen = []
    for asked in asked_for:
        fitting = [name for name in (f"{asked}_log10", asked, f"{asked}{DRIFT}") if name in present]
        if not fitting:
            raise ValueError(f"the history has no {asked!r}; it has: {', '.join(known)}")
        chosen.append(fitting[0])
    return list(dict.fromkeys(chosen))


def _geometry_panel(name: str, probe: str | None, lines: dict[int | None, Points]) -> Panel:
    fact, word = fact_of(name)
    reference = fact if isinstance(fact, float) else None
    where = "" if probe is None else f", {probe}"
    note = "" if fact is None else f" ({word}: {text_of(fact)})"
    quantity = name.replace("_", " ")
    return Panel(f"{quantity}{where}{note}", quantity, lines, True, reference, word)


def fact_of(name: str) -> tuple[float | OfDimension | None, str]:
    """The value that a key of the log has in an isotropic space, or in the same space again, and which of the two."""
    plain = name.removesuffix("_log10").removesuffix(DRIFT)
    if name.endswith(DRIFT):
        fact, word = COMPARISONS[plain].same, "same space"
    else:
        fact, word = MEASURES[plain].isotropic, "isotropic"
    if not isinstance(fact, (int, float)):
        return (None if name.endswith("_log10") else fact), word
    if name.endswith("_log10"):
        return (math.log10(fact) if fact > 0 else None), word
    return float(fact), word


def task_points(by_step: dict[float, dict[str, Any]]) -> dict[str, dict[str, Points]]:
    """Losses, the scores of the task, and the terms of a regularizer, where there are any: points by key."""
    losses: dict[str, Points] = {}
    scores: dict[str, Points] = {}
    terms: dict[str, Points] = {}
    for step, entry in by_step.items():
        for key, value in entry.items():
            number = _number(value)
            is_loss = key in ("loss", "task_loss") or (key.startswith("eval_") and key.endswith("_loss"))
            if math.isnan(number) or key == ALARM_KEY or _GEOMETRY_KEY.fullmatch(key):
                continue
            if is_loss:
                losses.setdefault(key, {})[step] = number
            elif key.startswith("eval_") and not NO_TASK.search(key):
                scores.setdefault(key, {})[step] = number
            elif f"{key}_weight" in entry:
                terms.setdefault(key, {})[step] = number
    points = {"loss": losses, "task": scores, "regularization term": terms}
    return {title: lines for title, lines in points.items() if lines}


def _task_panels(by_step: dict[float, dict[str, Any]]) -> list[Panel]:
    return [Panel(title, title, lines, is_of_layers=False) for title, lines in task_points(by_step).items()]


def _draw(panels: Sequence[Panel], layers: Sequence[int], alarms: Sequence[float], n_columns: int) -> Figure:
    """matplotlib without pyplot, so that nothing global changes."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    n_rows = math.ceil(len(panels) / n_columns)
    figure = Figure(figsize=(WIDTH * n_columns + 0.9, HEIGHT * n_rows + 0.5), dpi=130, layout="constrained")
    axes = list(np.ravel(figure.subplots(n_rows, n_columns, sharex=True)))
    # not to the end of the map, whose yellow is hard to see on white
    colors = dict(zip(layers, colormaps["viridis"](np.linspace(0.0, 0.88, max(len(layers), 1))), strict=False))
    for axis, panel in zip(axes, panels, strict=False):
        _draw_panel(axis, panel, colors, alarms)
    for i, axis in enumerate(axes):
        if i >= len(panels):
            axis.remove()
        elif i + n_columns >= len(panels):
            axis.set_xlabel("training step", fontsize=8)
            axis.tick_params(labelbottom=True)
    if len(layers) > 1:
        _add_layer_bar(figure, axes[: len(panels)], colors)
    if alarms:
        handles = [line for line in axes[0].get_lines() if line.get_label() == "collapse alarm raised"]
        figure.legend(handles=handles, loc="outside upper right", frameon=False, fontsize=8)
    return figure


def _draw_panel(axis: Axes, panel: Panel, colors: dict[int, Any], alarms: Sequence[float]) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25, lw=0.6)
    axis.set_title(panel.title, fontsize=9, pad=12 if alarms else 6)
    axis.tick_params(labelsize=8)
    last = max((layer for layer in panel.lines if isinstance(layer, int)), default=None)
    for i, (name, points) in enumerate(panel.lines.items()):
        style = {"color": colors.get(name, LINE_COLORS[i % len(LINE_COLORS)]), "lw": 1.2, "ms": 2.5}
        if name is not None and name == last:
            style |= {"lw": 2.2, "ms": 4}
        axis.plot(list(points), list(points.values()), "o-", label=panel.label_of(name), **style)
    low, high = axis.get_ylim()
    if panel.reference is not None and low <= panel.reference <= high:
        axis.axhline(panel.reference, ls=":", color="gray", lw=1.2, zorder=1)
        axis.set_ylim(low, high)
    if not panel.is_of_layers or len(colors) < 2:
        axis.legend(fontsize=7, frameon=False)
    if alarms:
        at_top = {"transform": axis.get_xaxis_transform(), "clip_on": False, "color": ALARM_COLOR, "ms": 5}
        axis.plot(alarms, [1.02] * len(alarms), "v", label="collapse alarm raised", **at_top)


def _add_layer_bar(figure: Figure, axes: Sequence[Axes], colors: dict[int, Any]) -> None:
    """A bar with a box for each layer, and no more numbers beside it than can be read."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    n = len(colors)
    shown = ScalarMappable(BoundaryNorm([i - 0.5 for i in range(n + 1)], n), ListedColormap(list(colors.values())))
    every = math.ceil(n / FEW_TICKS)
    ticks = [i for i in range(n) if (n - 1 - i) % every == 0]
    bar = figure.colorbar(shown, ax=axes, ticks=ticks, aspect=40, fraction=0.03, pad=0.02)
    bar.ax.set_yticklabels([str(list(colors)[i]) for i in ticks], fontsize=8)
    bar.ax.minorticks_off()
    bar.set_label("layer (0: embeddings)", fontsize=8)
