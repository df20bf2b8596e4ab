"""What is changed: enhancements that are fitted once, on rows or on statistics of them, and applied to any rows.

They are scikit-learn transformers: `fit`, `partial_fit`, `transform`, `Pipeline`. Importing them needs scikit-learn.
"""

from isotropy_metrics.enhancement._carried import (
    as_dense,
    as_torch,
    from_pretrained,
    push_to_hub,
    save_pretrained,
    to_faiss,
    to_onnx,
)
from isotropy_metrics.enhancement._fitting_rows import EnhancementWarning
from isotropy_metrics.enhancement.affine_map import as_affine
from isotropy_metrics.enhancement.all_but_the_top import AllButTheTop
from isotropy_metrics.enhancement.centering import Centering
from isotropy_metrics.enhancement.cluster_based import ClusterBased
from isotropy_metrics.enhancement.cluster_centering import ClusterCentering
from isotropy_metrics.enhancement.fingerprint import Fingerprint
from isotropy_metrics.enhancement.outlier_dimension_removal import OutlierDimensionRemoval
from isotropy_metrics.enhancement.per_group import PerGroup
from isotropy_metrics.enhancement.quantile_normalization import QuantileNormalization
from isotropy_metrics.enhancement.standardization import Standardization
from isotropy_metrics.enhancement.whitening import Whitening

__all__ = [
    "AllButTheTop",
    "Centering",
    "ClusterBased",
    "ClusterCentering",
    "EnhancementWarning",
    "Fingerprint",
    "OutlierDimensionRemoval",
    "PerGroup",
    "QuantileNormalization",
    "Standardization",
    "Whitening",
    "as_affine",
    "as_dense",
    "as_torch",
    "from_pretrained",
    "push_to_hub",
    "save_pretrained",
    "to_faiss",
    "to_onnx",
]
