"""Buckets: one statistic kept in parts, so that a value can be computed of random halves of the rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from isotropy_metrics.arrays import as_rows_and_ids, squared_norms, take_rows
from isotropy_metrics.statistics.class_moments import ClassMoments
from isotropy_metrics.statistics.moments import BLOCK_VALUES, Moments
from isotropy_metrics.statistics.row_sample import hashed
from isotropy_metrics.statistics.unit_moments import UnitMoments
from isotropy_metrics.statistics.unit_sums import UnitSums

N_BUCKETS = 32

FEW_PARTS = 15
"""Below so many buckets with rows halves of them are announced as doubtful: 20 sentences fill 15 of 32 on average."""

DEALT_AT_ONCE = 2**20
"""Rows that are passed over at once."""

KINDS = {kind.__name__: kind for kind in (UnitSums, Moments, UnitMoments, ClassMoments)}
"""What buckets are of, by name."""

STATE = ("kind", "seed", "generator", "dealt", "parts")
"""What a state holds."""


class Buckets:
    """`N_BUCKETS` statistics of one kind, each of a random part of the rows; together they are the statistic of all.

    Rows of one sentence (`sentences=`) go into the same bucket, as the tokens of a sentence are not independent.
    Memory is that of `N_BUCKETS` statistics.

    Args:
        kind: `UnitSums`, `Moments`, `UnitMoments` or `ClassMoments`.
        seed: of the draw.
        stream: tells apart parts of one whole that will be merged; see `RowSample`.

    Example:
        >>> import numpy as np
        >>> buckets = Buckets(Moments)
        >>> buckets.update(np.random.default_rng(0).normal(size=(1000, 3)))
        >>> buckets.whole.n_rows, 400 < next(buckets.halves(1)).n_rows < 600
        (1000, True)
    """

    def __init__(self, kind: type[UnitSums] | type[ClassMoments], seed: int = 0, stream: int = 0) -> None:
        self.kind = kind
        self.seed = seed
        self._generator = np.random.default_rng([seed, stream])
        self._dealt = np.empty(0, dtype=int)
        small = {"block_values": BLOCK_VALUES // N_BUCKETS} if issubclass(kind, Moments) else {}
        self.parts = [kind(**small) for _ in range(N_BUCKETS)]
        self._whole: UnitSums | ClassMoments | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of rows that `update` takes."""
        return (*getattr(self.kind, "ids", ()), "sentences")

    def update(self, rows: Any, mask: Any = None, weight: Any = None, *, sentences: Any = None, **ids: Any) -> None:
        """Add rows, as to the statistic itself; rows of one sentence stay together."""
        rows, weight, ids = as_rows_and_ids(rows, mask, weight, on_device=True, sentences=sentences, **ids)
        if self.n_features not in (None, rows.shape[1]):
            raise ValueError(f"these rows have {rows.shape[1]} features, the rows so far had {self.n_features}")
        squared_norms(rows)
        if sentences is None:
            bucket = self._deal(len(rows))
        else:
            bucket = (hashed(ids.pop("sentences"), self.seed) * N_BUCKETS).astype(int)
        self._whole = None
        for part, members in ((part, np.flatnonzero(bucket == b)) for b, part in enumerate(self.parts)):
            own_ids = {name: values[members] for name, values in ids.items()}
            part.update(take_rows(rows, members), weight=None if weight is None else weight[members], **own_ids)

    def _deal(self, n_rows: int) -> np.ndarray:
        """A bucket for each row: all of them once, in random order, before any a second time."""
        n_rounds = max(-(-(n_rows - len(self._dealt)) // N_BUCKETS), 0)
        rounds = self._generator.permuted(np.tile(np.arange(N_BUCKETS), (n_rounds, 1)), axis=1)
        dealt = np.concatenate([self._dealt, rounds.ravel()])
        self._dealt = dealt[n_rows:]
        return dealt[:n_rows]

    def skip(self, n_rows: int) -> None:
        """Pass over rows that another part of the same stream is shown, which deals them its buckets.

        Rows of sentences are not dealt: there is nothing to pass over.
        """
        for start in range(0, n_rows, DEALT_AT_ONCE):
            self._deal(min(DEALT_AT_ONCE, n_rows - start))

    def of(self, *parts: UnitSums | ClassMoments) -> Buckets:
        """Buckets of the same kind and seed that hold these statistics, and go on to deal as these."""
        buckets = Buckets(self.kind, self.seed)
        buckets.parts = list(parts)
        buckets._generator.bit_generator.state = self._generator.bit_generator.state
        buckets._dealt = self._dealt.copy()
        return buckets

    def merge(self, other: Buckets) -> Buckets:
        """Add the rows that `other` has seen; `other` keeps its value. Returns self."""
        if not isinstance(other, Buckets) or other.kind is not self.kind:
            raise TypeError(f"{self} merge with their like, got {other}")
        self._whole = None
        for part, of_other in zip(self.parts, other.parts, strict=True):
            part.merge(of_other)
        return self

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered: plain numbers and numpy arrays, the states of the parts, and that of the draw."""
        return {
            "kind": self.kind.__name__,
            "seed": self.seed,
            "generator": self._generator.bit_generator.state,
            "dealt": self._dealt.copy(),
            "parts": [part.state_dict() for part in self.parts],
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Buckets:
        """The buckets that `state_dict` described; they go on as those would have."""
        missing = [name for name in STATE if name not in state]
        if missing or state["kind"] not in KINDS or len(state["parts"]) != N_BUCKETS:
            raise ValueError(f"not a state of Buckets: {', '.join(missing) or 'kind or parts'} missing")
        kind = KINDS[state["kind"]]
        buckets = cls(kind, state["seed"])
        for part, own in zip(buckets.parts, state["parts"], strict=True):
            part.merge(kind.from_state_dict(own))
        buckets._generator.bit_generator.state = state["generator"]
        buckets._dealt = np.array(state["dealt"], dtype=int)
        return buckets

    @property
    def whole(self) -> UnitSums | ClassMoments:
        """The statistic of all rows."""
        if self._whole is None:
            self._whole = _joined(self.kind, self.parts)
        return self._whole

    @property
    def n_rows(self) -> int:
        """Number of rows seen, without those that a mask left out."""
        return sum(part.n_rows for part in self.parts)

    @property
    def n_features(self) -> int | None:
        """Number of features, or None before the first row."""
        return next((part.n_features for part in self.parts if part.n_features), None)

    def halves(self, n: int, seed: int = 0) -> Iterator[UnitSums | ClassMoments]:
        """Statistics of n random halves of the buckets that have rows; none if that is one bucket.

        Warns if there are few.
        """
        filled = [part for part in self.parts if part.n_rows]
        if len(filled) < FEW_PARTS:
            warnings.warn(f"halves of {len(filled)} random parts tell little of all", RuntimeWarning, stacklevel=2)
        if len(filled) < 2:
            return
        generator = np.random.default_rng(seed)
        for _ in range(n):
            chosen = generator.permutation(len(filled))[: len(filled) // 2]
            yield _joined(self.kind, [filled[i] for i in chosen])

    def __reduce__(self) -> tuple:
        return Buckets.from_state_dict, (self.state_dict(),)

    def __repr__(self) -> str:
        return f"Buckets({self.kind.__name__}, n_rows={self.n_rows})"


def _joined(kind: type, parts: list[Any]) -> Any:
    joined = kind()
    for part in parts:
        joined.merge(part)
    return joined
