"""What is changed: enhancements that are fitted once, on rows or on `Moments`, and applied to any rows."""

from isotropy_metrics.enhancement.all_but_the_top import AllButTheTop
from isotropy_metrics.enhancement.centering import Centering

__all__ = ["AllButTheTop", "Centering"]
