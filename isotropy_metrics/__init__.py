"""Measure, watch and repair the geometry of embedding spaces.

`measure(X)` and `isoscore(X)` need numpy only. `load(name)` and `register()` make every measure an `evaluate` module,
`hidden_states` turns a model and texts into rows, `study` repeats the case study on a model before and after
fine-tuning.
"""

from isotropy_metrics.evaluate_modules import load, register, unregister
from isotropy_metrics.measures import *  # noqa: F403
from isotropy_metrics.measures import __all__ as _measures
from isotropy_metrics.statistics import Moments, RowSample

__version__ = "0.1.0.dev0"
__all__ = ["Moments", "RowSample", "load", "register", "unregister", *_measures]
