"""Measure, watch and repair the geometry of embedding spaces.

`measure(X)`, `isoscore(X)` and, for two spaces, `compare(X, Y)` need numpy, scipy and threadpoolctl only. `load(name)`
and `register()` make every measure an `evaluate` module, `hidden_states` turns a model and texts into rows, `study`
repeats the case study on a model before and after fine-tuning.
"""

from isotropy_metrics.evaluate_modules import load, register, unregister
from isotropy_metrics.measures import *  # noqa: F403
from isotropy_metrics.measures import __all__ as _measures
from isotropy_metrics.measures.comparisons import *  # noqa: F403
from isotropy_metrics.measures.comparisons import __all__ as _comparisons
from isotropy_metrics.statistics import *  # noqa: F403
from isotropy_metrics.statistics import __all__ as _statistics
from isotropy_metrics.version import __version__ as __version__

__all__ = ["load", "register", "unregister", *_measures, *_comparisons, *_statistics]
