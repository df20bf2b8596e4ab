"""Options of measures on the command line: `--option isoscore.unbiased=true`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from isotropy_metrics.measures import Measure


def options_of_measures(texts: Sequence[str], allowed: Sequence[Measure]) -> dict[str, dict[str, Any]]:
    """`name.key=value` as options by measure; a value is JSON if it can be read as such, else text."""
    by_name = {each.name: each for each in allowed}
    options: dict[str, dict[str, Any]] = {}
    for text in texts:
        target, equals, value = text.partition("=")
        name, dot, key = target.partition(".")
        if not (equals and dot and key):
            raise ValueError(f"--option must look like isoscore.unbiased=true, got {text!r}")
        if name not in by_name:
            raise ValueError(f"--option {text} is of none of the measures asked for: {', '.join(by_name)}")
        try:
            by_name[name].check_options({key: value})
        except TypeError as error:
            raise ValueError(str(error)) from error
        options.setdefault(name, {})[key] = _value(text, value, by_name[name].options[key])
    return options


def _value(text: str, value: str, default: Any) -> Any:
    try:
        given = json.loads(value)
    except ValueError:
        given = value
    if isinstance(default, bool):
        if not isinstance(given, bool):
            raise ValueError(f"--option {text} must be true or false, got {value!r}")
    elif isinstance(default, (int, float)) and (isinstance(given, bool) or not isinstance(given, (int, float))):
        raise ValueError(f"--option {text} must be a number, got {value!r}")
    return given
