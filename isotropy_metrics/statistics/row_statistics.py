"""RowStatistics: the moments and a sample of the same rows, which is what an enhancement is fitted on."""

from __future__ import annotations

from typing import Any

from isotropy_metrics.arrays import as_rows
from isotropy_metrics.statistics.moments import Moments
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE, RowSample


class RowStatistics:
    """`Moments` of all rows of a stream, and a `RowSample` of at most `size` of them.

    Memory is O(n_features² + size · n_features), whatever the number of rows.

    Args:
        size, seed, stream: of the sample; see `RowSample`. Parts that will be merged need a `stream` each.

    Example:
        >>> statistics = RowStatistics()
        >>> statistics.update([[1.0, 0.0], [3.0, 0.0]])
        >>> statistics.moments.mean.tolist(), len(statistics.sample.rows)
        ([2.0, 0.0], 2)
    """

    def __init__(self, size: int | None = DEFAULT_SIZE, seed: int = 0, stream: int = 0) -> None:
        self.moments = Moments()
        self.sample = RowSample(size, seed, stream)

    def update(self, rows: Any, mask: Any = None, weight: Any = None) -> None:
        """Add rows (n_samples, n_features), or (batch, length, n_features) with a `mask`; see `arrays.as_rows`.

        Raises:
            ValueError: what `Moments.update` refuses. The statistics are then as they were.
        """
        rows, weight = as_rows(rows, mask, weight, on_device=True)
        self.moments.update(rows, weight=weight)
        self.sample.add_checked(rows, weight, {})

    def merge(self, other: RowStatistics) -> RowStatistics:
        """Add the rows that `other` has seen; `other` keeps its value. Returns self."""
        if not isinstance(other, RowStatistics):
            raise TypeError(f"RowStatistics merge with RowStatistics, got {type(other).__name__}")
        if other.sample.size != self.sample.size:
            raise ValueError(f"cannot merge a sample of size {other.sample.size} into one of size {self.sample.size}")
        self.moments.merge(other.moments)
        self.sample.merge(other.sample)
        return self

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered, `{"moments": ..., "sample": ...}`."""
        return {"moments": self.moments.state_dict(), "sample": self.sample.state_dict()}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> RowStatistics:
        """The statistics that `state_dict` described."""
        missing = [name for name in ("moments", "sample") if name not in state]
        if missing:
            raise ValueError(f"not a state of RowStatistics: {', '.join(missing)} missing")
        return cls.of(Moments.from_state_dict(state["moments"]), RowSample.from_state_dict(state["sample"]))

    @classmethod
    def of(cls, moments: Moments, sample: RowSample) -> RowStatistics:
        """These moments and this sample of the same rows, together."""
        statistics = cls(sample.size, sample.seed, sample.stream)
        statistics.moments, statistics.sample = moments, sample
        return statistics

    @property
    def parts(self) -> tuple[Moments, RowSample]:
        """The moments and the sample."""
        return self.moments, self.sample

    @property
    def n_rows(self) -> int:
        """Number of rows seen, without those that a mask left out."""
        return self.moments.n_rows

    @property
    def n_features(self) -> int | None:
        """Number of features, or None before the first row."""
        return self.moments.n_features

    def __repr__(self) -> str:
        return f"RowStatistics(n_rows={self.n_rows}, n_features={self.n_features}, size={self.sample.size})"
