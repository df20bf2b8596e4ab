"""TwoMoments: the moments of two clouds of one space whose rows are not paired."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from isotropy_metrics.arrays import as_rows, squared_norms
from isotropy_metrics.statistics.buckets import Buckets
from isotropy_metrics.statistics.moments import Moments
from isotropy_metrics.statistics.pair_sample import naming


class TwoMoments:
    """`Moments` of a first and of a second cloud, of any number of rows each.

    Args:
        buckets: keep `Buckets` of moments in place of moments, so that values of random halves can be computed. The
            same draws serve both clouds: where rows are paired, a pair stays together.
        seed, stream: of the draws; see `Buckets`.

    Example:
        >>> two = TwoMoments()
        >>> two.update([[1.0, 0.0], [3.0, 0.0]], [[0.0, 1.0]])
        >>> two.first.mean.tolist(), two.second.mean.tolist()
        ([2.0, 0.0], [0.0, 1.0])
    """

    def __init__(self, buckets: bool = False, seed: int = 0, stream: int = 0) -> None:
        self.first, self.second = (Buckets(Moments, seed, stream) if buckets else Moments() for _ in range(2))

    def update(self, first: Any, second: Any, mask: Any = None, weight: Any = None) -> None:
        """Add rows (n_samples, n_features) of each cloud, or (batch, length, n_features) with a mask.

        `mask` and `weight` are of both clouds, or a tuple (of the first, of the second).

        Raises:
            ValueError: what `Moments.update` refuses of either cloud. The statistics are then as they were.
        """
        checked = []
        names, clouds = ("embeddings1", "embeddings2"), (first, second)
        for name, cloud, known, *of_rows in zip(
            names, clouds, (self.first, self.second), _of_each(mask), _of_each(weight), strict=True
        ):
            with naming(name):
                rows, own_weight = as_rows(cloud, *of_rows, on_device=True)
                squared_norms(rows)
                if known.n_features not in (None, rows.shape[1]):
                    raise ValueError(
                        f"these rows have {rows.shape[1]} features, the rows so far had {known.n_features}"
                    )
            checked.append((known, rows, own_weight))
        for known, rows, own_weight in checked:
            known.update(rows, weight=own_weight)

    def merge(self, other: TwoMoments) -> TwoMoments:
        """Add the rows that `other` has seen; `other` keeps its value. Returns self."""
        if not isinstance(other, TwoMoments) or type(other.first) is not type(self.first):
            raise TypeError(f"{self} merge with their like, got {other}")
        for ours, theirs in zip(self.widths, other.widths, strict=True):
            if None not in (ours, theirs) and ours != theirs:
                raise ValueError(f"cannot merge {theirs} features into {ours}")
        self.first.merge(other.first)
        self.second.merge(other.second)
        return self

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered, as plain numbers and numpy arrays, `first_mean` ... `second_mean` ...

        Of buckets, see `Buckets.state_dict`: `first_parts` ... `second_parts` ...
        """
        of_first = {f"first_{name}": value for name, value in self.first.state_dict().items()}
        return of_first | {f"second_{name}": value for name, value in self.second.state_dict().items()}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> TwoMoments:
        """The statistics that `state_dict` described."""
        kind = Buckets if "first_parts" in state else Moments
        missing = [name for name in cls(buckets=kind is Buckets).state_dict() if name not in state]
        if missing:
            raise ValueError(f"not a state of TwoMoments: {', '.join(missing)} missing")
        return cls.of(*(kind.from_state_dict(_without(prefix, state)) for prefix in ("first_", "second_")))

    @classmethod
    def of(cls, first: Moments, second: Moments) -> TwoMoments:
        """These moments of a first and of a second cloud, together."""
        two = cls()
        two.first, two.second = first, second
        return two

    @property
    def n_rows(self) -> int:
        """Number of rows seen of both clouds together, without those that a mask left out."""
        return self.first.n_rows + self.second.n_rows

    @property
    def parts(self) -> tuple[Moments, Moments]:
        """The statistics of the first and of the second cloud."""
        return self.first, self.second

    @property
    def widths(self) -> tuple[int | None, int | None]:
        """Numbers of features of the first and of the second cloud; None before the first row."""
        return self.first.n_features, self.second.n_features

    @property
    def whole(self) -> TwoMoments:
        """The moments of all rows."""
        return TwoMoments.of(*(getattr(each, "whole", each) for each in (self.first, self.second)))

    def halves(self, n: int, seed: int = 0) -> Iterator[TwoMoments]:
        """Moments of n random halves of the buckets of either cloud."""
        if not isinstance(self.first, Buckets):
            raise ValueError("halves need TwoMoments(buckets=True), as statistics_for(..., interval=True) makes them")
        for both in zip(self.first.halves(n, seed), self.second.halves(n, seed), strict=True):
            yield TwoMoments.of(*both)

    def __repr__(self) -> str:
        return f"TwoMoments({self.first}, {self.second})"


def _of_each(values: Any) -> tuple[Any, Any]:
    """A mask or weight of the first and of the second cloud."""
    if isinstance(values, tuple) and len(values) == 2 and all(each is None or np.ndim(each) for each in values):
        return values
    return values, values


def _without(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
