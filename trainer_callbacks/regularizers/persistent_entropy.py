"""PersistentEntropy: the edges of the minimum spanning tree become equally long."""

from __future__ import annotations

import math

import torch

from trainer_callbacks.regularizers.regularization_term import RegularizationTerm


class PersistentEntropy(RegularizationTerm):
    """Minus the entropy of the lengths at which the connected components of the rows merge.

    With l the lengths of the edges of the Euclidean minimum spanning tree of the rows of the whole batch, which are
    the bars of the 0-th persistent homology of their Vietoris-Rips complex, and L = Σ l,

        PersistentEntropy = Σ (l/L) log(l/L)

    It is minus the entropy, so a positive weight makes the entropy larger: long edges, which join clusters and
    outliers to the rest, shrink beside the short ones. The value is minus the measure `persistent_entropy`: from
    −log(n − 1), all lengths equal, to 0. It changes with the number n of different rows; `normalized=True` divides by
    log(n − 1), so that values and weights compare between batches of different sizes. The edges are those of the rows
    as they stand; the gradient goes through their lengths. Edges between equal rows, of length 0, count for nothing.

    What it does not tell: the shape of the cloud beyond its density. It is blind to scale, and a large value may be a
    line of evenly spaced rows. With two different rows it is 0.

    This is the part of dimension 0 alone. Kudriashov et al. add the bars of loops and voids, choose the prominent bars
    and penalise the mean of the others by 0.5; their code returns plus the entropy, and the caller negates.

    Cost: O(n² d) for distances in float64, and a spanning tree on the CPU.

    Paper: Kudriashov, Karpik and Klyshinsky 2025, Shrink the longest: improving latent space isotropy with simplicial
    geometry, https://arxiv.org/abs/2501.05502.

    Args:
        normalized: divide by log(n − 1); the value is then from −1 to 0.

    Example:
        >>> import torch
        >>> rows = torch.tensor([[0.0], [1.0], [2.0], [4.0]])  # edges of 1, 1 and 2
        >>> round(PersistentEntropy()(rows).item(), 4)
        -1.0397
        >>> round(PersistentEntropy(normalized=True)(rows).item(), 4)
        -0.9464
    """

    pooling = "mean"

    def __init__(self, normalized: bool = False) -> None:
        super().__init__()
        self.normalized = normalized

    def of_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Minus the entropy of rows (n_rows, n_features)."""
        rows = self.joint_rows(rows)
        zero = 0 * rows.sum()  # NaN if a row is not finite: the tree would leave such a row out
        if len(rows) < 3:
            return zero
        first, second = _spanning_tree(rows.detach())
        lengths = torch.linalg.vector_norm(rows[first] - rows[second], dim=1)
        lengths = lengths[_counts(lengths.detach())]
        if len(lengths) < 2:
            return zero
        share = lengths / lengths.sum()
        negated = zero + (share * share.log()).sum()
        return negated / math.log(len(lengths)) if self.normalized else negated


def _spanning_tree(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows at the two ends of each edge of the minimum spanning tree."""
    import numpy as np
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import minimum_spanning_tree

    # Not by products: equal rows must be at distance 0.
    distances = torch.cdist(rows.double(), rows.double(), compute_mode="donot_use_mm_for_euclid_dist").cpu().numpy()
    pairs = np.triu_indices(len(rows), 1)
    lengths = np.maximum(distances[pairs], np.finfo(np.float64).tiny)  # a length of 0 means no edge to scipy
    tree = minimum_spanning_tree(csr_matrix((lengths, pairs), shape=distances.shape)).tocoo()
    return tuple(torch.as_tensor(end, dtype=torch.long, device=rows.device) for end in (tree.row, tree.col))


def _counts(lengths: torch.Tensor) -> torch.Tensor:
    """Which lengths are not 0, nor so small beside the longest that their share of the sum has no logarithm."""
    return lengths > lengths.max() * torch.finfo(lengths.dtype).eps ** 2
