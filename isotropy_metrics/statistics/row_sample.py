"""RowSample: a bounded uniform sample of rows, for the measures that second moments cannot serve."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import numpy as np

from isotropy_metrics.arrays import as_rows_and_ids, on_host, squared_norms, take_rows
from isotropy_metrics.statistics.nearest_neighbors import distinct_rows, nearest_neighbors, with_copies

DEFAULT_SIZE = 10_000

NEIGHBORS_AT_ONCE = 20
"""Neighbours that are looked for at the least, so that measures with fewer share one search."""

FEW_GROUPS = 20
"""Below so many rows or sentences halves of them are announced as doubtful."""

IDS = ("references", "words", "sentences")

GROUPING = ("sentences", "words")
"""Ids whose rows are sampled, and halved, together: by the first of these that the rows have."""

_NUMBERS = ("n_rows", "n_drawn", "weighted", "threshold")
_ARGUMENTS = ("size", "seed", "stream")


class RowSample:
    """A uniform sample without replacement of at most `size` rows of a stream; all rows, exactly, while they fit.

    Every row draws a number in [0, 1) from a seeded generator, and the `size` rows with the smallest numbers stay, so
    that the sample of a union is found among the samples of its parts and the batches it came in do not matter. Two
    samples of equal seed and stream keep the same positions: layers and checkpoints are compared on the same tokens.

    Rows may carry ids: `references` (class labels), `words`, and `sentences`. Rows of one sentence share one number, a
    hash of the sentence's id, so that sentences stay or go as a whole; so do words, if there are no sentences.

    Args:
        size: most rows to keep; None keeps all of them.
        seed: of the numbers that decide which rows stay.
        stream: tells apart the parts of one whole that will be merged (shards, ranks), so that each draws numbers of
            its own; parts of one stream would keep the same positions, but for rows that they `skip`. Ids of sentences
            must differ between streams.

    Attributes:
        device: of torch, that rows came from, and that neighbours are searched on; None for the processor. A state
            does not hold it, as it may be restored on another machine.

    Example:
        >>> import numpy as np
        >>> sample = RowSample(size=2, seed=0)
        >>> sample.update(np.arange(10.0).reshape(5, 2))
        >>> sample.n_rows, sample.rows.shape, sample.is_complete
        (5, (2, 2), False)
    """

    ids = IDS
    ARRAYS = ("keys", "rows", "weight", "positions", *IDS)

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
        self._parts: list[dict[str, np.ndarray]] = []
        self._weighted = False
        self._derived: dict[str, Any] = {}
        self.device: Any = None

    def update(self, rows: Any, mask: Any = None, weight: Any = None, **ids: Any) -> None:
        """Show rows (n_samples, n_features), or (batch, length, n_features) with a `mask`; see `arrays.as_rows`.

        `references`, `words` and `sentences` are ids of the rows, (n_samples,) or (batch, length): `arrays.as_ids`.

        Raises:
            ValueError: what `as_rows` refuses, a row that is not finite, other ids or another number of features than
                before. The sample is then as it was.
        """
        unknown = sorted(set(ids) - set(IDS))
        if unknown:
            raise TypeError(f"rows have no ids {unknown[0]!r}; there are: {', '.join(IDS)}")
        rows, weight, ids = as_rows_and_ids(rows, mask, weight, on_device=True, **ids)
        squared_norms(rows)
        self.add_checked(rows, weight, ids)

    def add_checked(self, rows: np.ndarray, weight: np.ndarray | None, ids: dict[str, np.ndarray]) -> None:
        """`update` with what `as_rows_and_ids` gave, of finite rows: for callers that have read the rows already."""
        if len(rows) == 0:
            return
        positions = np.arange(self._n_drawn, self._n_drawn + len(rows))
        part = {
            "weight": np.ones(len(rows)) if weight is None else weight,
            "positions": positions,
            **ids,
        }
        self._check_fits({"rows": rows, **part})
        drawn = self._generator.random(len(rows))
        group = next((ids[name] for name in GROUPING if name in ids), None)
        part = {"keys": drawn if group is None else hashed(group, self.seed), **part}
        chosen = np.flatnonzero(part["keys"] < self._threshold)
        if group is None and self.size is not None and len(chosen) > self.size:  # the others need not be copied
            self._threshold = np.partition(drawn[chosen], self.size - 1)[self.size - 1]
            chosen = chosen[drawn[chosen] <= self._threshold]
        self._n_rows += len(rows)
        self._n_drawn += len(rows)
        self._weighted |= weight is not None
        kept = {"rows": on_host(take_rows(rows, chosen))}
        self.device = self.device if isinstance(rows, np.ndarray) else rows.device
        self._parts.append(kept | {name: column[chosen] for name, column in part.items()})
        self._derived = {}
        if self.size is not None and sum(len(part["keys"]) for part in self._parts) >= 2 * self.size:
            self._compact()

    def skip(self, n_rows: int) -> None:
        """Pass over rows that another part of the same stream is shown: they keep their positions and numbers.

        So each of several processes is shown rows of its own, and `merge` gives the very sample of all rows.

        Example:
            >>> import numpy as np
            >>> X = np.random.default_rng(0).normal(size=(1000, 3))
            >>> whole, first, second = (RowSample(size=50) for _ in range(3))
            >>> whole.update(X)
            >>> first.update(X[:400]), second.skip(400), second.update(X[400:])
            (None, None, None)
            >>> (first.merge(second).rows == whole.rows).all()
            np.True_
        """
        self._n_drawn += n_rows
        self._generator.bit_generator.advance(n_rows)

    def merge(self, other: RowSample) -> RowSample:
        """Add the rows that `other` has seen; `other` keeps its sample. Returns self.

        Parts of one stream that have skipped each other's rows come in the order of their positions.
        """
        if not isinstance(other, type(self)):
            raise TypeError(f"a {type(self).__name__} merges with a {type(self).__name__}, got {type(other).__name__}")
        if other.size != self.size:
            raise ValueError(f"cannot merge a sample of size {other.size} into one of size {self.size}")
        if other._parts:
            self._check_fits(other._parts[0])
        self._n_rows += other._n_rows
        self._weighted |= other._weighted
        self.device = self.device or other.device
        self._parts = self._parts + other._parts
        self._threshold = min(self._threshold, other._threshold)
        self._derived = {}
        self._compact()
        if (self.seed, self.stream) == (other.seed, other.stream):
            self.skip(max(other._n_drawn - self._n_drawn, 0))
            self._order_by_position()
        return self

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered, as plain numbers and numpy arrays; columns that there are not are None."""
        self._compact()
        state = {name: getattr(self, name) for name in _ARGUMENTS} | {n: getattr(self, f"_{n}") for n in _NUMBERS}
        part = self._parts[0] if self._parts else {}
        return state | {name: part.get(name) for name in self.ARRAYS}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> RowSample:
        """The sample that `state_dict` described."""
        missing = [name for name in (*_ARGUMENTS, *_NUMBERS, *cls.ARRAYS) if name not in state]
        if missing:
            raise ValueError(f"not a state of {cls.__name__}: {', '.join(missing)} missing")
        sample = cls(**{name: state[name] for name in _ARGUMENTS})
        sample._n_rows, sample._n_drawn = int(state["n_rows"]), int(state["n_drawn"])
        sample._weighted, sample._threshold = bool(state["weighted"]), float(state["threshold"])
        sample._generator.bit_generator.advance(sample._n_drawn)
        if state["keys"] is not None:
            sample._parts = [{name: np.array(state[name]) for name in cls.ARRAYS if state[name] is not None}]
            sample._compact()
        return sample

    def subset(self, which: np.ndarray) -> RowSample:
        """A sample of all rows `which` (indices or a mask) of this sample, with their weights and ids."""
        self._compact()
        part = {name: column[which] for name, column in self._parts[0].items()}
        subset = type(self).from_state_dict(
            dict.fromkeys(self.ARRAYS) | self.state_dict() | part | {"size": None, "n_rows": len(part["keys"])}
        )
        subset.device = self.device
        return subset

    def halves(self, n: int, seed: int = 0) -> Iterator[RowSample]:
        """n random halves of the sampled rows, without replacement; of whole sentences or words if rows have them.

        None if there is one to draw from; warns if there are few.
        """
        what = next((name for name in GROUPING if getattr(self, name, None) is not None), "rows")
        group = np.arange(len(self.rows))
        if what != "rows":
            group = np.unique(getattr(self, what), return_inverse=True)[1]
        n_groups = int(group.max()) + 1
        if n_groups < FEW_GROUPS:
            warnings.warn(f"halves of {n_groups} {what} tell little of all", RuntimeWarning, stacklevel=2)
        if n_groups < 2:
            return
        generator = np.random.default_rng(seed)
        for _ in range(n):
            chosen = np.zeros(n_groups, dtype=bool)
            chosen[generator.permutation(n_groups)[: n_groups // 2]] = True
            yield self.subset(chosen[group])

    @property
    def n_rows(self) -> int:
        """Number of rows seen, without those that a mask left out."""
        return self._n_rows

    @property
    def n_features(self) -> int | None:
        """Number of features, or None before the first row."""
        return self._parts[0]["rows"].shape[1] if self._parts else None

    @property
    def rows(self) -> np.ndarray:
        """The sampled rows, (min(n_rows, size), n_features); ValueError if there are no rows yet."""
        if not self._parts:
            raise ValueError("there are no rows yet")
        return self._column("rows")

    @property
    def weight(self) -> np.ndarray | None:
        """The weights of `rows`, or None if no row came with one."""
        return self._column("weight") if self._weighted else None

    @property
    def positions(self) -> np.ndarray:
        """Which row of its stream each of `rows` was, counted from 0 without the rows that a mask left out."""
        return self._column("positions")

    @property
    def references(self) -> np.ndarray | None:
        """The class label of each of `rows` as an integer, or None."""
        return self._column("references")

    @property
    def words(self) -> np.ndarray | None:
        """Which word each of `rows` is an occurrence of, as an integer, or None."""
        return self._column("words")

    @property
    def sentences(self) -> np.ndarray | None:
        """Which sentence each of `rows` comes from, as an integer, or None."""
        return self._column("sentences")

    @property
    def is_complete(self) -> bool:
        """Whether the sample holds every row that was seen."""
        self._compact()
        return self._n_rows == (len(self._parts[0]["keys"]) if self._parts else 0)

    @property
    def is_first_copy(self) -> np.ndarray:
        """False for each of `rows` that is equal to an earlier one, (len(rows),)."""
        first = np.zeros(len(self.rows), dtype=bool)
        first[self.distinct()[0]] = True
        return first

    def without_copies(self) -> RowSample:
        """This sample without the rows that are equal to an earlier one; itself if there are none."""
        first = self.distinct()[0]
        if len(first) == len(self.rows):
            return self
        if "without_copies" not in self._derived:
            self._derived["without_copies"] = self.subset(first)
        return self._derived["without_copies"]

    def neighbors(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest other rows of each of `rows` by Euclidean distance, nearest first; found once for all.

        Returns:
            distances (len(rows), k) in float64, and indices into `rows` (len(rows), k).

        Raises:
            ValueError: there are not that many other rows.
        """
        n_others = len(self.rows) - 1
        if k > n_others:
            raise ValueError(f"{k} neighbours need at least {k + 1} rows, got {n_others + 1}")
        found = self._derived.get("neighbors")
        if found is None or found[0].shape[1] < k:
            found = self._derived["neighbors"] = self._search(min(max(k, NEIGHBORS_AT_ONCE), n_others))
        return found[0][:, :k], found[1][:, :k]

    def _search(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        distinct = self.without_copies()
        if distinct is self:
            return nearest_neighbors(self.rows, k, self.device)
        n_distinct = len(distinct.rows)
        found = np.zeros((n_distinct, 0)), np.zeros((n_distinct, 0), dtype=np.int64)
        if n_distinct > 1:
            found = distinct.neighbors(min(k, n_distinct - 1))
        return with_copies(*found, self.distinct()[1], k)

    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the `rows` that equal no earlier one, and which of those each row equals, (len(rows),)."""
        if "distinct" not in self._derived:
            self._derived["distinct"] = distinct_rows(self.rows + self.rows.dtype.type(0))  # -0.0 becomes 0.0
        return self._derived["distinct"]

    def once(self, key: Hashable, find: Callable[[], Any]) -> Any:
        """What `find` returns, which is called once for this key until rows are added; do not write to it."""
        if key not in self._derived:
            self._derived[key] = find()
        return self._derived[key]

    def _column(self, name: str) -> np.ndarray | None:
        self._compact()
        return self._parts[0].get(name) if self._parts else None

    def _check_fits(self, part: dict[str, np.ndarray]) -> None:
        if not self._parts:
            return
        if self.n_features != part["rows"].shape[1]:
            raise ValueError(
                f"these rows have {part['rows'].shape[1]} features, the rows so far had {self.n_features}"
            )
        given, before = ([name for name in IDS if name in each] for each in (part, self._parts[0]))
        if given != before:
            given, before = (", ".join(names) or "none" for names in (given, before))
            raise ValueError(f"these rows have the ids {given}, the rows so far had {before}")

    def _compact(self) -> None:
        """One part, with the smallest keys only. Equal keys, of two samples with one seed, are ordered by content."""
        if not self._parts or (len(self._parts) == 1 and self._is_settled(self._parts[0])):
            return
        keys = np.concatenate([part["keys"] for part in self._parts])
        kept = self._smallest(keys)
        columns = {name: [part[name] for part in self._parts] for name in self._parts[0]}
        self._parts = [{name: _taken(parts, kept) for name, parts in columns.items()}]

    def _is_settled(self, part: dict[str, np.ndarray]) -> bool:
        """Whether all rows of the only part stay."""
        if any(name in part for name in GROUPING) and (part["keys"] >= self._threshold).any():
            return False
        return self.size is None or len(part["keys"]) <= self.size

    def _smallest(self, keys: np.ndarray) -> np.ndarray:
        """Indices of the rows that stay, ascending; from then on the threshold keeps out rows of larger keys."""
        is_grouped = any(name in self._parts[0] for name in GROUPING)
        kept = np.arange(len(keys))
        if is_grouped:  # groups that another part has dropped go
            kept = np.flatnonzero(keys < self._threshold)
        if self.size is None or len(kept) <= self.size:
            return kept
        if is_grouped:
            of_group, n_rows = np.unique(keys[kept], return_counts=True)
            n_fitting = max(int(np.searchsorted(np.cumsum(n_rows), self.size, side="right")), 1)
            if n_fitting < len(of_group):
                self._threshold = of_group[n_fitting]
                kept = np.flatnonzero(keys < self._threshold)
            return kept
        self._threshold = np.partition(keys, self.size - 1)[self.size - 1]
        below, tied = np.flatnonzero(keys < self._threshold), np.flatnonzero(keys == self._threshold)
        if len(below) + len(tied) > self.size:
            rows = _taken([part["rows"] for part in self._parts], tied)
            tied = tied[sorted(range(len(tied)), key=lambda i: rows[i].tobytes())]
        return np.sort(np.concatenate([below, tied[: self.size - len(below)]]))

    def _order_by_position(self) -> None:
        for part in self._parts:
            positions = part["positions"]
            order = np.argsort(positions, kind="stable")
            if (np.diff(order) < 0).any() and (np.diff(positions[order]) > 0).all():
                self._parts = [{name: column[order] for name, column in part.items()}]

    def __reduce__(self) -> tuple:
        return type(self).from_state_dict, (self.state_dict(),)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, seed={self.seed}, stream={self.stream}, n_rows={self.n_rows})"


def hashed(ids: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) per id, the same wherever the id is met (the finaliser of SplitMix64)."""
    with np.errstate(over="ignore"):
        x = ids.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(11)) / 2.0**53


def _taken(parts: list[np.ndarray], which: np.ndarray) -> np.ndarray:
    """`np.concatenate(parts)[which]` for ascending indices; parts of one dtype are not copied for it."""
    taken = np.empty((len(which), *parts[0].shape[1:]), np.result_type(*parts))
    start, done = 0, 0
    for part in parts:
        stop = start + len(part)
        n = int(np.searchsorted(which, stop)) - done
        part = part.astype(taken.dtype, copy=False)
        np.take(part, which[done : done + n] - start, axis=0, out=taken[done : done + n], mode="clip")
        start, done = stop, done + n
    return taken
