"""The case study: how does fine-tuning affect the geometry of embedding space?

`run_study` is all of it. One experiment alone, on a case of one's own, is `EXPERIMENTS["drift"].run(case)`.
"""

from typing import Any

_HOMES = {
    "EXPERIMENTS": "experiments",
    "Checkpoint": "spaces.checkpoint",
    "Outcome": "experiments",
    "StudyCase": "case",
    "StudyResults": "study_results",
    "StudySettings": "case",
    "run_study": "study",
}
"""In which file each is; torch and transformers, which are slow to import, come when one is asked for."""

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
