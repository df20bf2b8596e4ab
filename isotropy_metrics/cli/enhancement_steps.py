"""Enhancements on the command line: `--method centering,whitening --option whitening.method=zca`."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

NORMALIZE = "normalize"


def methods() -> dict[str, type]:
    """Classes by name: `AllButTheTop` is "all_but_the_top", and "normalize" is scikit-learn's Normalizer."""
    from sklearn.preprocessing import Normalizer

    from isotropy_metrics import enhancement
    from isotropy_metrics.enhancement._enhancement import Enhancement

    public = [getattr(enhancement, name) for name in enhancement.__all__]
    kinds = [each for each in public if isinstance(each, type) and issubclass(each, Enhancement)]
    ready = [kind for kind in kinds if inspect.Parameter.empty not in defaults_of(kind).values()]
    return {_snake_case(kind.__name__): kind for kind in ready} | {NORMALIZE: Normalizer}


def defaults_of(kind: type) -> dict[str, Any]:
    """What each parameter is unless it is given; a Normalizer is the plain one, of the Euclidean length."""
    from sklearn.preprocessing import Normalizer

    if kind is Normalizer:
        return {}
    return {name: parameter.default for name, parameter in inspect.signature(kind).parameters.items()}


def enhancement_of(names: Sequence[str], options: Sequence[str]) -> Any:
    """The enhancement of this name, or a Pipeline of several, with options as `name=value` or `method.name=value`.

    A method that is named twice is `whitening` and `whitening-2` in options.

    Raises:
        ValueError: a method or an option that there is not, an option of several methods, or a value of a wrong type.
    """
    from sklearn.pipeline import Pipeline

    known = methods()
    if not names:
        raise ValueError(f"no method named; there are: {', '.join(known)}")
    for name in names:
        if name not in known:
            raise ValueError(f"there is no method {name!r}; there are: {', '.join(known)}")
    kinds = {_numbered(names, i): known[name] for i, name in enumerate(names)}
    given: dict[str, dict[str, Any]] = {step: {} for step in kinds}
    for text in options:
        step, key, value = _option(text, kinds)
        given[step][key] = value
    steps = [(step, kind(**given[step])) for step, kind in kinds.items()]
    return steps[0][1] if len(steps) == 1 else Pipeline(steps)


def _numbered(names: Sequence[str], i: int) -> str:
    before = names[:i].count(names[i])
    return f"{names[i]}-{before + 1}" if before else names[i]


def _option(text: str, kinds: dict[str, type]) -> tuple[str, str, Any]:
    target, equals, value = text.partition("=")
    step, dot, key = target.rpartition(".")
    if not (equals and key):
        raise ValueError(f"--option must look like n_directions=3 or whitening.method=zca, got {text!r}")
    if dot and step not in kinds:
        raise ValueError(f"--option {text} is of none of the methods asked for: {', '.join(kinds)}")
    having = [name for name in ([step] if dot else kinds) if key in defaults_of(kinds[name])]
    if not having:
        listed = [f"{name}.{own}" for name in ([step] if dot else kinds) for own in defaults_of(kinds[name])]
        raise ValueError(f"--option {text} does not exist; there are: {', '.join(listed) or 'none'}")
    if len(having) > 1:
        raise ValueError(f"--option {text} is of several methods, name one: {having[0]}.{text} or {having[1]}.{text}")
    return having[0], key, _value(text, value, kinds[having[0]], key)


def _value(text: str, value: str, kind: type, key: str) -> Any:
    """JSON if that has the parameter's type, else None or text if these have it."""
    candidates: list[Any] = [None] if value.lower() == "none" else []
    try:
        candidates.append(json.loads(value))
    except ValueError:
        pass  # text needs no quotes
    hint = get_type_hints(kind.__init__)[key]
    fitting = [each for each in [*candidates, value] if _fits(each, hint)]
    if not fitting:
        wanted = inspect.signature(kind).parameters[key].annotation
        raise ValueError(f"--option {text} must be {wanted}, got {value!r}")
    return fitting[0]


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    if origin is not None:
        return isinstance(value, list)
    return isinstance(value, NoneType if hint is None else hint)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
