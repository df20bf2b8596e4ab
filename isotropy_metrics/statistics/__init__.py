"""What is remembered of the rows: update, merge, state_dict. A statistic never knows what a measure is."""

from isotropy_metrics.statistics.moments import Moments
from isotropy_metrics.statistics.row_sample import RowSample

__all__ = ["Moments", "RowSample"]
