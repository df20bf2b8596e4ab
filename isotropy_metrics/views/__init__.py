"""What is seen: the numbers behind the pictures of one space or two. A view draws nothing and decides nothing."""

from isotropy_metrics.views.cosine_histogram import CosineHistogram, cosine_histogram
from isotropy_metrics.views.neighborhood_changes import NeighborhoodChanges, neighborhood_changes
from isotropy_metrics.views.principal_projection import PrincipalProjection, principal_projection
from isotropy_metrics.views.variance_spectrum import VarianceSpectrum, variance_spectrum

__all__ = [
    "CosineHistogram",
    "NeighborhoodChanges",
    "PrincipalProjection",
    "VarianceSpectrum",
    "cosine_histogram",
    "neighborhood_changes",
    "principal_projection",
    "variance_spectrum",
]
