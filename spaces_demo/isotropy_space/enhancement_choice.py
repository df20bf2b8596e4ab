"""EnhancementChoice: an enhancement by its name in words, and the one slider that says how strong it is."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from isotropy_metrics.cli.enhance_methods import summary_of
from isotropy_metrics.cli.enhancement_steps import defaults_of, methods
from isotropy_metrics.enhancement._cluster_enhancement import n_clusters_of
from isotropy_metrics.enhancement.all_but_the_top import n_directions_of
from isotropy_metrics.enhancement.cluster_based import default_n_directions

CLUSTERED_ROWS = 8_100
"""That k-means sees, enough for 27 clusters by default: of more rows a visitor would wait for it."""


@dataclass(frozen=True)
class Strength:
    """A slider, and the parameter of the enhancement that it sets.

    Attributes:
        parameter: its name.
        label: what a reader calls it.
        least, most, step: of the slider; a parameter of a whole step is a whole number.
        by_shape: where the library's default follows from the rows: a function of their number and of the number of
            features; None where it is a number.
    """

    parameter: str
    label: str
    least: float
    most: float
    step: float
    by_shape: Callable[[int, int], int] | None = None


STRENGTHS = {
    "all_but_the_top": Strength(
        "n_directions", "directions to remove", 0, 128, 1, lambda n_rows, n_features: n_directions_of(None, n_features)
    ),
    "cluster_centering": Strength(
        "n_clusters",
        "clusters",
        1,
        50,
        1,
        lambda n_rows, n_features: n_clusters_of(None, min(n_rows, CLUSTERED_ROWS), n_rows),
    ),
    "cluster_based": Strength(
        "n_directions",
        "directions to remove from each cluster",
        0,
        128,
        1,
        lambda n_rows, n_features: default_n_directions(n_features),
    ),
    "whitening": Strength("eps", "softness (0 whitens fully, much leaves the shape as it was)", 0, 10, 0.1),
    "outlier_dimension_removal": Strength("n_std", "standard deviations beyond which a dimension goes", 1, 6, 0.25),
    "quantile_normalization": Strength("n_quantiles", "quantiles (2: only the ends of each feature)", 2, 1000, 1),
}
"""Sliders by the library's name of the enhancement. Whitening's is the ε of soft whitening: it needs to know neither
the number of features nor that of rows, and 0, the library's default, whitens fully."""

CLUSTERED = {"sample_size": CLUSTERED_ROWS}
OPTIONS = {"cluster_centering": CLUSTERED, "cluster_based": CLUSTERED}
"""What else is set, by the library's name."""

SHOWN = (
    "centering",
    "all_but_the_top",
    "cluster_centering",
    "cluster_based",
    "whitening",
    "standardization",
    "outlier_dimension_removal",
    "quantile_normalization",
)


@dataclass(frozen=True)
class EnhancementChoice:
    """An enhancement of the library that a visitor can choose.

    Attributes:
        name: in words.
        kind: the class.
        summary: what it does, in one sentence.
        strength: its slider; None if it has no strength.
        options: further parameters that are not the library's defaults.
    """

    name: str
    kind: type
    summary: str
    strength: Strength | None
    options: Mapping[str, Any]

    def default(self, n_rows: int, n_features: int) -> float:
        """What the library takes for so many rows and features; 0 without a slider."""
        if self.strength is None:
            return 0
        if self.strength.by_shape is None:
            return defaults_of(self.kind)[self.strength.parameter]
        return min(self.strength.by_shape(n_rows, n_features), self.most(n_features))

    def most(self, n_features: int) -> float:
        """The end of the slider: no more directions than features."""
        if self.strength is None:
            return 0
        return min(self.strength.most, n_features) if self._counts_directions else self.strength.most

    def make(self, strength: float) -> Any:
        """The enhancement of this strength, not fitted yet; without a slider the strength means nothing.

        Raises:
            ValueError: a strength that is not on the slider.
        """
        return self.kind(**self._parameters(strength))

    def python(self, strength: float) -> str:
        """What one writes in Python for it: `AllButTheTop(n_directions=3)`."""
        written = ", ".join(f"{name}={value!r}" for name, value in self._parameters(strength).items())
        return f"{self.kind.__name__}({written})"

    @property
    def _counts_directions(self) -> bool:
        return self.strength is not None and self.strength.parameter == "n_directions"

    def _parameters(self, strength: float) -> dict[str, Any]:
        own = {} if self.strength is None else {self.strength.parameter: self._checked(strength)}
        return own | dict(self.options)

    def _checked(self, strength: float) -> float | int:
        slider = self.strength
        is_number = isinstance(strength, numbers.Real) and math.isfinite(strength)
        if not is_number or not slider.least <= strength <= slider.most:
            raise ValueError(
                f"the strength of {self.name} ({slider.label}) must be from {slider.least} to {slider.most}, got "
                f"{strength!r}"
            )
        if slider.step % 1:
            return float(strength)
        if strength != int(strength):
            raise ValueError(f"the strength of {self.name} ({slider.label}) must be a whole number, got {strength!r}")
        return int(strength)


def choice_of(name: str) -> EnhancementChoice:
    """The choice of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in CHOICES:
        raise ValueError(f"there is no enhancement {name!r}; there are: {', '.join(CHOICES)}")
    return CHOICES[name]


def _choice(method: str, kind: type) -> EnhancementChoice:
    name = method.replace("_", " ").capitalize()
    return EnhancementChoice(name, kind, summary_of(kind), STRENGTHS.get(method), OPTIONS.get(method, {}))


_KINDS = methods()
CHOICES = {each.name: each for each in (_choice(method, _KINDS[method]) for method in SHOWN)}
"""By their names in words, in the order in which they are offered."""
