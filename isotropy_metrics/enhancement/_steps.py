"""The fitted steps of an enhancement, or of a scikit-learn Pipeline of them, that the exports can carry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.validation import check_is_fitted

import isotropy_metrics.enhancement as enhancements


def classes() -> dict[str, type]:
    """The enhancements of this package by their names: nothing else is ever made from a folder."""
    public = {name: getattr(enhancements, name) for name in enhancements.__all__}
    return {name: it for name, it in public.items() if isinstance(it, type) and hasattr(it, "transform")}


def steps_of(enhancement: Any) -> list[tuple[str, Any]]:
    """Every step with its name, in order; steps of Pipelines in a Pipeline too, but none that passes rows through.

    Raises:
        NotFittedError: a step is not fitted.
        ValueError: a step is neither an enhancement of this package nor a Normalizer; it is named.
    """
    return list(_steps(enhancement, ""))


def enhancements_of(enhancement: Any) -> list[Any]:
    """Every enhancement in it, those of groups too."""
    found = []
    for _, step in steps_of(enhancement):
        groups = [*getattr(step, "enhancements_", {}).values(), getattr(step, "enhancement_of_all_", None)]
        found += [step, *(inner for group in groups for inner in enhancements_of(group))]
    return [step for step in found if not isinstance(step, Normalizer)]


def called(name: str, step: Any) -> str:
    """How an error calls a step."""
    return f"step {name!r} ({type(step).__name__})" if name else type(step).__name__


def _steps(step: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(step, Pipeline):
        for inner_name, inner in step.steps:
            yield from _steps(inner, f"{name}.{inner_name}" if name else inner_name)
    elif step not in (None, "passthrough"):
        check_carried(step, name)
        check_is_fitted(step)
        yield name, step


def check_carried(step: Any, name: str = "") -> None:
    """Refuse what is not of this package by its name."""
    if type(step) not in (*classes().values(), Normalizer):
        raise ValueError(
            f"{called(name, step)} cannot be carried: it is neither an enhancement of isotropy_metrics, nor a "
            "Pipeline of them, nor a Normalizer"
        )
