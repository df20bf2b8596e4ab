"""What is remembered of the rows: update, merge, state_dict. A statistic never knows what a measure is."""

from isotropy_metrics.statistics.buckets import Buckets
from isotropy_metrics.statistics.class_moments import ClassMoments
from isotropy_metrics.statistics.moments import Moments
from isotropy_metrics.statistics.pair_sample import PairSample
from isotropy_metrics.statistics.row_sample import RowSample
from isotropy_metrics.statistics.row_statistics import RowStatistics
from isotropy_metrics.statistics.two_moments import TwoMoments
from isotropy_metrics.statistics.unit_moments import UnitMoments
from isotropy_metrics.statistics.unit_sums import UnitSums

__all__ = [
    "Buckets",
    "ClassMoments",
    "Moments",
    "PairSample",
    "RowSample",
    "RowStatistics",
    "TwoMoments",
    "UnitMoments",
    "UnitSums",
]
