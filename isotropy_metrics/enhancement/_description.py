"""An enhancement as plain data: names, parameters and numbers for JSON, and arrays; and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.validation import check_is_fitted

from isotropy_metrics.enhancement._enhancement import NAMES_OF_ALL, Enhancement
from isotropy_metrics.enhancement._steps import called, check_carried, classes
from isotropy_metrics.enhancement.per_group import PerGroup

SHAPES = {
    "mean_": ("d",),
    "scale_": ("d",),
    "directions_": ("any", "d"),
    "matrix_": ("d", "any"),
    "cluster_centers_": ("k", "d"),
    "cluster_means_": ("k", "d"),
    "cluster_directions_": ("k", "any", "d"),
    "quantiles_": ("q", "d"),
    "levels_": ("q",),
    "kept_": ("d",),
}
"""The axes of every fitted array: d is `n_features_in_`, and axes of one letter are equally long."""

BOOLEAN = ("kept_",)
COUNTS = ("n_samples_seen_", "n_features_in_")
PASSTHROUGH = (None, "passthrough")
"""Steps of a Pipeline that do nothing."""


def describe(step: Any, name: str = "", fitted: bool = True) -> tuple[Any, dict[str, np.ndarray]]:
    """What JSON can hold of an enhancement, and its arrays by `name` of the step and of the attribute.

    Raises:
        NotFittedError: not fitted yet.
        ValueError: a step that cannot be carried, or a parameter that JSON cannot hold; it is named.
    """
    if step in PASSTHROUGH:
        return step, {}
    if isinstance(step, Pipeline):
        return _describe_pipeline(step, name, fitted)
    check_carried(step, name)
    description = {"class": type(step).__name__, "parameters": _parameters(step, name)}
    if not fitted:
        return description, {}
    check_is_fitted(step)
    arrays: dict[str, np.ndarray] = {}
    if isinstance(step, PerGroup):
        description["groups"] = {}
        for group, inner in step.enhancements_.items():
            description["groups"][group], more = describe(inner, _joined(name, f"groups.{group}"))
            arrays |= more
        if hasattr(step, "enhancement_of_all_"):
            description["all"], more = describe(step.enhancement_of_all_, _joined(name, "all"))
            arrays |= more
    numbers = {}
    for attribute in _fitted_names(step):
        value = getattr(step, attribute)
        if isinstance(value, np.ndarray) and value.ndim:
            arrays[_joined(name, attribute)] = value if value.dtype == bool else value.astype(np.float64, copy=False)
        else:
            numbers[attribute] = _plain(value)
    description["fitted"] = numbers
    if hasattr(step, "feature_names_in_"):
        description["feature_names_in"] = list(map(str, step.feature_names_in_))
    return description, arrays


def _describe_pipeline(pipeline: Pipeline, name: str, fitted: bool) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    steps, arrays = [], {}
    for inner, step in pipeline.steps:
        path = _joined(name, inner)
        described, more = describe(step, path, fitted)
        if not arrays.keys().isdisjoint(more):
            raise ValueError(f"two steps would be saved as {path!r}: give them names without dots")
        steps.append([inner, described])
        arrays |= more
    return {"class": "Pipeline", "steps": steps}, arrays


def rebuild(description: Any, arrays: Mapping[str, np.ndarray], name: str = "") -> Any:
    """The enhancement that was described.

    Raises:
        ValueError: unknown classes or parameters, and arrays that are missing, misshapen, or not finite.
    """
    enhancement = _rebuilt(description, arrays, name)
    if not hasattr(enhancement, "transform"):
        raise ValueError(f"there is no enhancement in {name or 'it'}")
    return enhancement


def _rebuilt(description: Any, arrays: Mapping[str, np.ndarray], name: str = "") -> Any:
    if description in PASSTHROUGH:
        return description
    kind = description["class"]
    if kind == "Pipeline":
        return Pipeline([(inner, _rebuilt(it, arrays, _joined(name, inner))) for inner, it in description["steps"]])
    known = classes() | {"Normalizer": Normalizer}
    if kind not in known:
        raise ValueError(f"it holds a {kind!r}: there is no such enhancement in this version of isotropy_metrics")
    step = _constructed(known[kind], description["parameters"])
    if "groups" in description:
        groups = description["groups"].items()
        step.enhancements_ = {group: rebuild(it, arrays, _joined(name, f"groups.{group}")) for group, it in groups}
    if "all" in description:
        step.enhancement_of_all_ = rebuild(description["all"], arrays, _joined(name, "all"))
    if "fitted" in description or "groups" in description:
        _restore(step, description["fitted"], arrays, name)
    if "feature_names_in" in description:
        step.feature_names_in_ = _feature_names(description["feature_names_in"], step.n_features_in_)
    return step


def _fitted_names(step: Any) -> list[str]:
    if isinstance(step, PerGroup):
        return ["n_features_in_"]
    if isinstance(step, Enhancement):
        return [*type(step).FITTED, *NAMES_OF_ALL]
    return [name for name in ("n_features_in_",) if hasattr(step, name)]


def _parameters(step: Any, name: str) -> dict[str, Any]:
    parameters = {}
    for key, value in step.get_params(deep=False).items():
        if hasattr(value, "get_params"):
            parameters[key], _ = describe(value, _joined(name, key), fitted=False)
            continue
        try:
            parameters[key] = _plain(value)
        except TypeError as error:
            raise ValueError(f"{called(name, step)} cannot be saved with {key}={value!r}: {error}") from error
    return parameters


def _constructed(kind: type, parameters: Mapping[str, Any]) -> Any:
    unknown = set(parameters) - set(kind._get_param_names())
    if unknown:
        raise ValueError(f"{kind.__name__} of this version has no parameter {', '.join(sorted(unknown))}")
    return kind(
        **{key: _rebuilt(value, {}) if _is_description(value) else _plain(value) for key, value in parameters.items()}
    )


def _restore(step: Any, numbers: Mapping[str, Any], arrays: Mapping[str, np.ndarray], name: str) -> None:
    """Give the step its fitted attributes, after a look at each of them."""
    names = _fitted_names(step) or [name for name in ("n_features_in_",) if name in numbers]
    lengths = {"d": numbers["n_features_in_"]} if "n_features_in_" in numbers else {}
    for attribute in names:
        key = _joined(name, attribute)
        if attribute in numbers:
            value = numbers[attribute]
            if attribute in SHAPES or not _is_number(value, is_count=attribute in COUNTS):
                raise ValueError(f"{key} is {value!r}, which it cannot be")
        elif key in arrays:
            value = arrays[key]
            _check_array(key, value, SHAPES.get(attribute), lengths, bool if attribute in BOOLEAN else np.float64)
        else:
            raise ValueError(f"{key} is missing")
        setattr(step, attribute, value)


def _is_number(value: Any, is_count: bool) -> bool:
    if is_count:
        return type(value) is int and value > 0
    return type(value) in (int, float) and bool(np.isfinite(value))


def _feature_names(names: Any, n_features: int) -> np.ndarray:
    if not isinstance(names, list) or len(names) != n_features or not all(isinstance(name, str) for name in names):
        raise ValueError(f"feature_names_in must be the names of {n_features} features")
    return np.array(names, dtype=object)


def _check_array(
    key: str, array: np.ndarray, axes: tuple[str, ...] | None, lengths: dict[str, int], dtype: type
) -> None:
    if axes is None or len(axes) != array.ndim:
        raise ValueError(f"{key} has shape {array.shape}, which it cannot have")
    if array.dtype != dtype:
        raise ValueError(f"{key} is of {array.dtype}, it should be of {np.dtype(dtype)}")
    for axis, length in zip(axes, array.shape, strict=True):
        if axis != "any" and lengths.setdefault(axis, length) != length:
            raise ValueError(f"{key} has shape {array.shape}, where axis {axis} of the others is {lengths[axis]} long")
    if not array.size and "any" not in axes:
        raise ValueError(f"{key} is empty")
    if not np.isfinite(array).all():
        raise ValueError(f"{key} holds NaN or inf")


def _plain(value: Any) -> Any:
    """A value as JSON has it; numpy's scalars and arrays become Python's numbers and lists.

    Raises:
        TypeError: JSON does not have it.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(it) for key, it in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(it) for it in value]
    if value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and np.isfinite(value)):
        return value
    raise TypeError(f"a {type(value).__name__} that is neither text nor a finite number; give a number in its place")


def _is_description(value: Any) -> bool:
    return isinstance(value, dict) and "class" in value


def _joined(name: str, inner: str) -> str:
    if not isinstance(inner, str):
        raise ValueError(f"the name of a step must be text, got {inner!r}")
    return f"{name}.{inner}" if name else inner
