"""What plugs into a `transformers.Trainer`, a `DataLoader` or a live model: what it does is in `isotropy_metrics`."""

from typing import Any

from trainer_callbacks.attached_enhancement import AttachedEnhancement, attach_enhancement
from trainer_callbacks.enhancement_collator import EnhancementCollator
from trainer_callbacks.geometry_metrics import GeometryMetrics
from trainer_callbacks.keep_hidden_state import keep_hidden_state

_HEAVY = {
    "CollapseAlarm": "collapse_alarm",
    "GeometryEvaluator": "geometry_evaluator",
    "IsotropyCallback": "isotropy_callback",
    "IsotropyRegularizer": "isotropy_regularizer",
}
"""Classes whose bases are in transformers or sentence-transformers, which are slow to import: found when asked for."""

__all__ = [
    "AttachedEnhancement",
    "EnhancementCollator",
    "GeometryMetrics",
    "attach_enhancement",
    "keep_hidden_state",
    *_HEAVY,
]


def __getattr__(name: str) -> Any:
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HEAVY[name]}"), name)
