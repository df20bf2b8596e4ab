"""PairSample: a bounded uniform sample of pairs of rows, one of each of two spaces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from isotropy_metrics.arrays import as_rows_and_ids, on_host, squared_norms
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE, RowSample


class PairSample(RowSample):
    """A `RowSample` of pairs: row i of the first space and row i of the second, which may differ in width.

    Example:
        >>> import numpy as np
        >>> pairs = PairSample(size=3, seed=0)
        >>> pairs.update(np.ones((5, 2)), np.zeros((5, 4)))
        >>> pairs.first.shape, pairs.second.shape
        ((3, 2), (3, 4))
    """

    ids = ("sentences",)

    def __init__(self, size: int | None = DEFAULT_SIZE, seed: int = 0, stream: int = 0) -> None:
        super().__init__(size, seed, stream)
        self._n_features_first: int | None = None

    def update(self, first: Any, second: Any, mask: Any = None, weight: Any = None, *, sentences: Any = None) -> None:
        """Show pairs of rows, (n_samples, n_features) each; or (batch, length, n_features) with one `mask` for both.

        `sentences` say which sentence each pair comes from; those stay together, as in `RowSample`.

        Raises:
            ValueError: other numbers of rows, and what `RowSample.update` refuses of either space.
        """
        both = []
        for name, space in (("embeddings1", first), ("embeddings2", second)):
            with naming(name):
                rows, own_weight, ids = as_rows_and_ids(space, mask, weight, on_device=True, sentences=sentences)
                squared_norms(rows)
                both.append(rows)
        n_rows = tuple(map(len, both))
        if n_rows[0] != n_rows[1]:
            raise ValueError(
                f"embeddings1 and embeddings2 must be paired row by row, got {n_rows[0]} and {n_rows[1]} rows"
            )
        if not n_rows[0]:
            return
        self._check_widths(*(rows.shape[1] for rows in both))
        super().update(_beside(*both), weight=own_weight, **ids)
        self._n_features_first = both[0].shape[1]

    def merge(self, other: PairSample) -> PairSample:
        """Add the pairs that `other` has seen; `other` keeps its sample. Returns self."""
        if isinstance(other, PairSample) and other.n_rows:
            self._check_widths(*other.widths)
        super().merge(other)
        self._n_features_first = self._n_features_first or other._n_features_first
        return self

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered, as plain numbers and numpy arrays; what there is not is None."""
        return super().state_dict() | {"n_features_first": self._n_features_first}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> PairSample:
        """The sample that `state_dict` described."""
        if "n_features_first" not in state:
            raise ValueError("not a state of PairSample: n_features_first missing")
        sample = super().from_state_dict(state)
        width = state["n_features_first"]
        sample._n_features_first = None if width is None else int(width)
        return sample

    @property
    def widths(self) -> tuple[int | None, int | None]:
        """Numbers of features of the first and of the second space; None before the first row."""
        if not self.n_rows:
            return None, None
        return self._n_features_first, self.n_features - self._n_features_first

    @property
    def first(self) -> np.ndarray:
        """Rows of the first space, (n_kept, n_features)."""
        return self.rows[:, : self._n_features_first]

    @property
    def second(self) -> np.ndarray:
        """Rows of the second space, in the same order, (n_kept, n_features)."""
        return self.rows[:, self._n_features_first :]

    @property
    def spaces(self) -> tuple[RowSample, RowSample]:
        """The rows of each space as a `RowSample` of its own, for their neighbours."""
        if "spaces" not in self._derived:
            samples = RowSample(size=None), RowSample(size=None)
            for sample, rows in zip(samples, (self.first, self.second), strict=True):
                sample.update(rows, weight=self.weight)
                sample.device = self.device
            self._derived["spaces"] = samples
        return self._derived["spaces"]

    def shuffled(self, seed: int = 0) -> PairSample:
        """The same rows, paired at random: what chance gives.

        A pair weighs the product of the weights of its two rows, so that either space keeps the weights it had.
        """
        order = np.random.default_rng(seed).permutation(len(self.rows))
        shuffled = PairSample(size=None)
        weight = None if self.weight is None else self.weight * self.weight[order]
        shuffled.update(self.first, self.second[order], weight=weight)
        shuffled.device = self.device
        return shuffled

    def _check_widths(self, *widths: int) -> None:
        for name, width, before in zip(("embeddings1", "embeddings2"), widths, self.widths, strict=True):
            if before not in (None, width):
                raise ValueError(f"{name}: these rows have {width} features, the rows so far had {before}")


def _beside(first: Any, second: Any) -> Any:
    """Rows (n_samples, n_features_first + n_features_second), on the device if both spaces lie there."""
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray) or first.device != second.device:
        return np.concatenate([on_host(first), on_host(second)], axis=1)
    import torch

    return torch.cat([first, second], dim=1)


@contextmanager
def naming(space: str) -> Iterator[None]:
    """A ValueError inside says which of the two spaces it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{space}: {error}") from error
