"""An affine enhancement as a transform of faiss: imported only where faiss is needed."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from isotropy_metrics.enhancement.affine_map import as_affine


def linear_transform_of(enhancement: Any) -> faiss.LinearTransform:
    """See `to_faiss`."""
    matrix, shift = as_affine(enhancement)
    transform = faiss.LinearTransform(*matrix.shape, True)
    faiss.copy_array_to_vector(np.ascontiguousarray(matrix.T, dtype=np.float32).ravel(), transform.A)
    faiss.copy_array_to_vector(shift.astype(np.float32), transform.b)
    transform.is_trained = True
    transform.set_is_orthonormal()
    return transform
