"""What is changed: enhancements that are fitted once, on rows or on statistics of them, and applied to any rows.

They are scikit-learn transformers: `fit`, `partial_fit`, `transform`, `Pipeline`. Importing them needs scikit-learn.
"""

from isotropy_metrics.enhancement._fitting_rows import EnhancementWarning
from isotropy_metrics.enhancement.all_but_the_top import AllButTheTop
from isotropy_metrics.enhancement.centering import Centering
from isotropy_metrics.enhancement.standardization import Standardization
from isotropy_metrics.enhancement.whitening import Whitening

__all__ = ["AllButTheTop", "Centering", "EnhancementWarning", "Standardization", "Whitening"]
