"""RowSample: a bounded uniform sample of rows, for the measures that second moments cannot serve."""

from __future__ import annotations

from typing import Any

import numpy as np

from isotropy_metrics.arrays import as_rows, squared_norms

DEFAULT_SIZE = 10_000

_STATE = ("size", "seed", "stream", "n_rows", "n_drawn", "weighted", "keys", "rows", "weight")


class RowSample:
    """A uniform sample without replacement of at most `size` rows of a stream; all rows, exactly, while they fit.

    Every row draws a number in [0, 1) from a seeded generator, and the `size` rows with the smallest numbers stay, so
    that the sample of a union is found among the samples of its parts and the batches it came in do not matter. Two
    samples of equal seed and stream keep the same positions: layers and checkpoints are compared on the same tokens.

    Args:
        size: most rows to keep; None keeps all of them.
        seed: of the numbers that decide which rows stay.
        stream: tells apart the parts of one whole that will be merged (shards, ranks), so that each draws numbers of
            its own; parts of one stream would keep the same positions.

    Example:
        >>> import numpy as np
        >>> sample = RowSample(size=2, seed=0)
        >>> sample.update(np.arange(10.0).reshape(5, 2))
        >>> sample.n_rows, sample.rows.shape, sample.is_complete
        (5, (2, 2), False)
    """

    def __init__(self, size: int | None = DEFAULT_SIZE, seed: int = 0, stream: int = 0) -> None:
        if size is not None and size < 2:
            raise ValueError(f"size must be at least 2 rows, or None for all rows; got {size}")
        self.size = size
        self.seed = seed
        self.stream = stream
        self._n_rows = 0
        self._n_drawn = 0
        self._threshold = 1.0
        self._generator = np.random.Generator(np.random.PCG64([seed, stream]))
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._weighted = False

    def update(self, rows: Any, mask: Any = None, weight: Any = None) -> None:
        """Show rows (n_samples, n_features), or (batch, length, n_features) with a `mask`; see `arrays.as_rows`.

        Raises:
            ValueError: what `as_rows` refuses, a row that is not finite, or another number of features than before.
                The sample is then as it was.
        """
        rows, weight = as_rows(rows, mask, weight)
        self._check_width(rows.shape[1])
        squared_norms(rows)
        if len(rows) == 0:
            return
        keys = self._generator.random(len(rows))
        chosen = np.flatnonzero(keys < self._threshold)
        self._n_rows += len(rows)
        self._n_drawn += len(rows)
        self._weighted |= weight is not None
        weight = np.ones(len(rows)) if weight is None else weight
        self._parts.append((keys[chosen], rows[chosen], weight[chosen]))
        if self.size is not None and sum(len(keys) for keys, _, _ in self._parts) >= 2 * self.size:
            self._compact()

    def merge(self, other: RowSample) -> RowSample:
        """Add the rows that `other` has seen; `other` keeps its sample. Returns self."""
        if not isinstance(other, RowSample):
            raise TypeError(f"a RowSample merges with a RowSample, got {type(other).__name__}")
        if other.size != self.size:
            raise ValueError(f"cannot merge a sample of size {other.size} into one of size {self.size}")
        if other.n_features is not None:
            self._check_width(other.n_features)
        self._n_rows += other._n_rows
        self._weighted |= other._weighted
        self._parts += other._parts
        self._threshold = min(self._threshold, other._threshold)
        self._compact()
        return self

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered, as plain numbers and numpy arrays."""
        self._compact()
        keys, rows, weight = self._parts[0] if self._parts else (None, None, None)
        numbers = {"n_rows": self._n_rows, "n_drawn": self._n_drawn, "weighted": self._weighted}
        arguments = {"size": self.size, "seed": self.seed, "stream": self.stream}
        return arguments | numbers | {"keys": keys, "rows": rows, "weight": weight}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> RowSample:
        """The sample that `state_dict` described."""
        missing = [name for name in _STATE if name not in state]
        if missing:
            raise ValueError(f"not a state of RowSample: {', '.join(missing)} missing")
        sample = cls(state["size"], state["seed"], state["stream"])
        sample._n_rows = state["n_rows"]
        sample._weighted = state["weighted"]
        sample._n_drawn = state["n_drawn"]
        sample._generator.bit_generator.advance(sample._n_drawn)
        if state["keys"] is not None:
            sample._parts = [(np.array(state["keys"]), np.array(state["rows"]), np.array(state["weight"]))]
            sample._compact()
        return sample

    @property
    def n_rows(self) -> int:
        """Number of rows seen, without those that a mask left out."""
        return self._n_rows

    @property
    def n_features(self) -> int | None:
        """Number of features, or None before the first row."""
        return self._parts[0][1].shape[1] if self._parts else None

    @property
    def rows(self) -> np.ndarray:
        """The sampled rows, (min(n_rows, size), n_features); ValueError if there are no rows yet."""
        if not self._parts:
            raise ValueError("there are no rows yet")
        self._compact()
        return self._parts[0][1]

    @property
    def weight(self) -> np.ndarray | None:
        """The weights of `rows`, or None if no row came with one."""
        self._compact()
        return self._parts[0][2] if self._weighted else None

    @property
    def is_complete(self) -> bool:
        """Whether the sample holds every row that was seen."""
        return self.size is None or self._n_rows <= self.size

    def _check_width(self, n_features: int) -> None:
        if self.n_features not in (None, n_features):
            raise ValueError(f"these rows have {n_features} features, the rows so far had {self.n_features}")

    def _compact(self) -> None:
        """One part, with the smallest keys only. Equal keys, of two samples with one seed, are ordered by content."""
        if not self._parts:
            return
        if len(self._parts) > 1:
            self._parts = [tuple(np.concatenate(columns) for columns in zip(*self._parts, strict=True))]
        keys, rows, weight = self._parts[0]
        if self.size is None or len(keys) <= self.size:
            return
        self._threshold = np.partition(keys, self.size - 1)[self.size - 1]
        below = np.flatnonzero(keys < self._threshold)
        tied = sorted(np.flatnonzero(keys == self._threshold), key=lambda i: rows[i].tobytes())
        kept = np.sort(np.concatenate([below, tied[: self.size - len(below)]]).astype(int))
        self._parts = [(keys[kept], rows[kept], weight[kept])]

    def __reduce__(self) -> tuple:
        return RowSample.from_state_dict, (self.state_dict(),)

    def __repr__(self) -> str:
        return f"RowSample(size={self.size}, seed={self.seed}, stream={self.stream}, n_rows={self.n_rows})"
