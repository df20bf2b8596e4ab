"""ClassMoments: scatter within classes, and the mean of each class, from one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.arrays import as_rows_and_ids, squared_norms
from isotropy_metrics.statistics.full_precision import full_precision

if TYPE_CHECKING:
    import torch

BLOCK_ROWS = 4096

LEAST_DEVIATION, MOST_DEVIATION = 1e-15, 1e15
"""Deviations whose squares neither vanish nor overflow in float32."""

_NUMBERS = ("n_rows", "weight_square_sum")


class ClassMoments:
    """Mean of each class and scatter about them, of a stream of labelled rows, kept in float64.

    For rows x with labels y (`references`) and weights w (1 if none are given) it holds

        class_means     = Σ w x / Σ w  over the rows of each class       (n_classes, n_features)
        within_scatter  = Σ w (x − mean of its class)(...)ᵀ              (n_features, n_features)

    Rows of a block are squared about the means of their classes in that block, and blocks are joined class by class
    (Chan, Golub & LeVeque 1983), so that nothing is lost where classes have collapsed to points far apart.

    Example:
        >>> moments = ClassMoments()
        >>> moments.update([[0.0, 1.0], [0.0, 3.0], [9.0, 9.0]], references=["a", "a", "b"])
        >>> moments.n_classes, moments.within_scatter.tolist()
        (2, [[0.0, 0.0], [0.0, 2.0]])
    """

    ids = ("references",)
    ARRAYS = ("classes", "masses", "n_rows_of_class", "class_means", "within_scatter")

    def __init__(self) -> None:
        self._n_rows = 0
        self._weight_square_sum = 0.0
        self._classes = np.empty(0, dtype=np.int64)
        self._masses = np.empty(0)
        self._n_rows_of_class = np.empty(0)
        self._class_means: np.ndarray | None = None
        self._within_scatter: np.ndarray | None = None
        self._waiting: list[tuple[np.ndarray | torch.Tensor, np.ndarray, np.ndarray]] = []

    def update(self, rows: Any, mask: Any = None, weight: Any = None, *, references: Any = None) -> None:
        """Add rows (n_samples, n_features) with their class labels (n_samples,); see `arrays.as_rows`.

        Raises:
            ValueError: no labels, what `arrays.as_rows` and `arrays.as_ids` refuse, a row that is not finite, or
                another number of features than before. The statistics are then as they were.
        """
        if references is None:
            raise ValueError("these statistics need references=: one class label per row")
        rows, weight, ids = as_rows_and_ids(rows, mask, weight, on_device=True, references=references)
        if self.n_features not in (None, rows.shape[1]):
            raise ValueError(f"these rows have {rows.shape[1]} features, the rows so far had {self.n_features}")
        squared_norms(rows)
        if not len(rows):
            return
        weight = np.ones(len(rows)) if weight is None else weight
        self._n_rows += len(rows)
        self._weight_square_sum += float(weight @ weight)
        for start in range(0, len(rows), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            own = rows[block].copy() if isinstance(rows, np.ndarray) else rows[block].clone()
            self._waiting.append((own, ids["references"][block], weight[block]))
            if sum(len(part[0]) for part in self._waiting) >= BLOCK_ROWS:
                self._settle()

    def merge(self, other: ClassMoments) -> ClassMoments:
        """Add the rows that `other` has seen; `other` keeps its value. Returns self."""
        if not isinstance(other, ClassMoments):
            raise TypeError(f"ClassMoments merge with ClassMoments, got {type(other).__name__}")
        if None not in (self.n_features, other.n_features) and self.n_features != other.n_features:
            raise ValueError(f"cannot merge {other.n_features} features into {self.n_features}")
        self._settle()
        other._settle()
        if other._n_rows:
            self._n_rows += other._n_rows
            self._weight_square_sum += other._weight_square_sum
            self._join(*(getattr(other, f"_{name}") for name in self.ARRAYS))
        return self

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered, as plain numbers and numpy arrays."""
        self._settle()
        arrays = {name: getattr(self, f"_{name}") if self._n_rows else None for name in self.ARRAYS}
        return {name: getattr(self, f"_{name}") for name in _NUMBERS} | {
            name: None if array is None else array.copy() for name, array in arrays.items()
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> ClassMoments:
        """The statistics that `state_dict` described."""
        missing = [name for name in (*_NUMBERS, *cls.ARRAYS) if name not in state]
        if missing:
            raise ValueError(f"not a state of ClassMoments: {', '.join(missing)} missing")
        moments = cls()
        moments._n_rows, moments._weight_square_sum = int(state["n_rows"]), float(state["weight_square_sum"])
        if state["classes"] is not None:
            for name in cls.ARRAYS:
                setattr(moments, f"_{name}", np.array(state[name]))
        return moments

    @property
    def n_rows(self) -> int:
        """Number of rows seen, without those that a mask left out."""
        return self._n_rows

    @property
    def n_features(self) -> int | None:
        """Number of features, or None before the first row."""
        if self._class_means is not None:
            return self._class_means.shape[1]
        return self._waiting[0][0].shape[1] if self._waiting else None

    @property
    def n_classes(self) -> int:
        """Number of different labels seen."""
        self._settle()
        return len(self._classes)

    @property
    def effective_n_rows(self) -> float:
        """(Σ w)² / Σ w² (Kish): the number of rows when all weights are equal."""
        return self.masses.sum() ** 2 / self._weight_square_sum if self._n_rows else 0.0

    @property
    def classes(self) -> np.ndarray:
        """The labels as integers (`arrays.as_ids`), ascending, (n_classes,)."""
        self._settle()
        return self._classes

    @property
    def masses(self) -> np.ndarray:
        """Σ w of each class, (n_classes,)."""
        self._settle()
        return self._masses

    @property
    def n_rows_of_class(self) -> np.ndarray:
        """Number of rows of each class, (n_classes,)."""
        self._settle()
        return self._n_rows_of_class

    @property
    def class_means(self) -> np.ndarray | None:
        """Mean of each class, (n_classes, n_features)."""
        self._settle()
        return self._class_means

    @property
    def within_scatter(self) -> np.ndarray | None:
        """Σ w (x − mean of its class)(x − mean of its class)ᵀ, (n_features, n_features)."""
        self._settle()
        return self._within_scatter

    def _settle(self) -> None:
        """Square the rows that wait."""
        waiting, self._waiting = self._waiting, []
        kinds = [f"{part[0].dtype} {getattr(part[0], 'device', '')}" for part in waiting]
        for kind in sorted(set(kinds)):
            alike = (part for part, own in zip(waiting, kinds, strict=True) if own == kind)
            rows, labels, weight = zip(*alike, strict=True)
            labels, weight = np.concatenate(labels), np.concatenate(weight)
            if isinstance(rows[0], np.ndarray):
                self._square(np.concatenate(rows), labels, weight)
            else:
                self._square_on_device(rows, labels, weight)

    def _square(self, rows: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> None:
        classes, which, n_rows = np.unique(labels, return_inverse=True, return_counts=True)
        order = np.argsort(which, kind="stable")
        starts = np.concatenate([[0], np.cumsum(n_rows)[:-1]])
        masses = np.bincount(which, weight)
        weighted = (rows * weight[:, None])[order]  # float64
        means = np.add.reduceat(weighted, starts, axis=0) / masses[:, None]
        residual = rows - means[which]
        means += np.add.reduceat((residual * weight[:, None])[order], starts, axis=0) / masses[:, None]
        residual = (rows - means[which]) * np.sqrt(weight)[:, None]
        if rows.dtype == np.float32:
            largest = np.abs(residual).max(initial=0.0)
            if largest < MOST_DEVIATION and (largest > LEAST_DEVIATION or largest == 0):
                residual = residual.astype(np.float32)
        scatter = (residual.T @ residual).astype(np.float64)
        self._join(classes, masses, n_rows.astype(np.float64), means, scatter)

    def _square_on_device(self, parts: tuple[torch.Tensor, ...], labels: np.ndarray, weight: np.ndarray) -> None:
        """`_square` of rows on a device: class means and the scatter come to the host, rows do not.

        A GPU adds the rows of a class in no fixed order: the last digits may differ from run to run.
        """
        import torch

        classes, which, n_rows = np.unique(labels, return_inverse=True, return_counts=True)
        masses = np.bincount(which, weight)
        device, dtype = parts[0].device, parts[0].dtype
        which, w, m = (torch.from_numpy(each).to(device) for each in (which, weight, masses))
        rows, w, m = torch.cat(parts).double(), w[:, None], m[:, None]
        with torch.no_grad(), full_precision(device):
            means = torch.zeros(len(classes), rows.shape[1], dtype=torch.float64, device=device)
            for _ in range(2):  # the second time what rounding left of the deviations
                means += torch.zeros_like(means).index_add_(0, which, (rows - means[which]) * w) / m
            residual = (rows - means[which]) * w.sqrt()
            largest = float(residual.abs().max())
            if dtype == torch.float32 and (LEAST_DEVIATION < largest < MOST_DEVIATION or largest == 0):
                residual = residual.float()
            scatter = (residual.T @ residual).double().cpu().numpy()
        self._join(classes, masses, n_rows.astype(np.float64), means.cpu().numpy(), scatter)

    def _join(
        self, classes: np.ndarray, masses: np.ndarray, n_rows: np.ndarray, means: np.ndarray, scatter: np.ndarray
    ) -> None:
        if self._class_means is None:
            self._class_means, self._within_scatter = np.empty((0, means.shape[1])), np.zeros_like(scatter)
        union = np.union1d(self._classes, classes)
        of_both = []
        for own_classes, own_masses, own_n, own_means in (
            (self._classes, self._masses, self._n_rows_of_class, self._class_means),
            (classes, masses, n_rows, means),
        ):
            at = np.searchsorted(union, own_classes)
            mass, count, mean = np.zeros(len(union)), np.zeros(len(union)), np.zeros((len(union), means.shape[1]))
            mass[at], count[at], mean[at] = own_masses, own_n, own_means
            of_both.append((mass, count, mean))
        (mass_a, count_a, mean_a), (mass_b, count_b, mean_b) = of_both
        total = mass_a + mass_b
        both = (mass_a > 0) & (mass_b > 0)
        difference = (mean_b - mean_a)[both] * np.sqrt(mass_a * mass_b / total)[both, None]
        self._within_scatter = self._within_scatter + scatter + difference.T @ difference
        share = (mass_b / total)[:, None]
        self._class_means = np.where(mass_a[:, None] > 0, mean_a + share * (mean_b - mean_a), mean_b)
        self._classes, self._masses, self._n_rows_of_class = union, total, count_a + count_b

    def __reduce__(self) -> tuple:
        return ClassMoments.from_state_dict, (self.state_dict(),)

    def __repr__(self) -> str:
        return f"ClassMoments(n_rows={self.n_rows}, n_features={self.n_features}, n_classes={self.n_classes})"
