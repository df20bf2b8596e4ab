"""CollapseAlarm: when a measured space has collapsed, and when it has recovered."""

from __future__ import annotations

import math
import numbers
from typing import Any

from isotropy_metrics.measures import Measure, find_measures
from isotropy_metrics.measures._measure import text_of

GAP = 0.1
"""An alarm is cleared this share of its threshold back from it, unless the user says where."""

COLLAPSED_COSINE = 0.95
COLLAPSED_RANK = 0.1


class CollapseAlarm:
    """A threshold for one measure, raised when the value stays beyond it and cleared when it is well back.

    Exactly one of three thresholds is given:

        above            raised by value > above
        below            raised by value < below
        below_baseline   raised by value < below_baseline · baseline,  baseline the value before training

    Between the threshold and `clears_at` nothing changes, so that a value that trembles about the threshold warns once
    and not at every evaluation. By default the gap is a tenth of the threshold: an alarm above 0.95 clears at 0.855,
    one below 0.1 of the baseline at 0.11 of it, and one at a threshold of 0 has no gap.

    NaN neither raises nor clears, and does not count against `patience`: it says that nothing could be measured, not
    what the space is like. (Of rows that are all the same the measures of a spectrum are NaN, while
    average_cosine_similarity is 1.) Neither does an unknown baseline, for an alarm that is relative to it.

    What it does not tell: whether the task suffers. A collapse is judged by a measure, the task by its own.

    Args:
        measure: name of one of `isotropy_metrics.MEASURES`.
        above: see above.
        below: see above.
        below_baseline: a share, between 0 and 1, for measures that are never negative.
        clears_at: the value, or of `below_baseline` the share, at which a raised alarm is cleared.
        layer: which layer is watched: 0 = embedding output, negative from the end (-1 = last layer).
        probe: name of the probe that is watched; None for the only or first one.
        patience: values in a row that must be beyond the threshold.
        stop: whether training is to stop when the alarm is raised; whoever runs the alarm does that.

    Raises:
        ValueError: a measure that there is not, none or several thresholds, a threshold that no value can pass, a
            `clears_at` on the wrong side of it, or a `patience` below 1.
        TypeError: a threshold or layer that is no number, or another argument of the wrong type.

    Example:
        >>> alarm = CollapseAlarm("average_cosine_similarity", above=0.9)
        >>> [alarm.observe(value) for value in (0.2, 0.92, 0.88, 0.93, 0.8)]
        [None, 'raised', None, None, 'cleared']
        >>> alarm.sentence(0.92, 0.2)
        'average_cosine_similarity of the last layer is 0.92, above 0.9 (before training: 0.2)'
    """

    def __init__(
        self,
        measure: str | Measure = "average_cosine_similarity",
        *,
        above: float | None = None,
        below: float | None = None,
        below_baseline: float | None = None,
        clears_at: float | None = None,
        layer: int = -1,
        probe: str | None = None,
        patience: int = 1,
        stop: bool = False,
    ) -> None:
        if not isinstance(measure, (str, Measure)):
            raise TypeError(f"measure must be the name of one measure, got {measure!r}")
        (watched,) = find_measures(measure)
        given = {"above": above, "below": below, "below_baseline": below_baseline}
        given = {name: value for name, value in given.items() if value is not None}
        if len(given) != 1:
            raise ValueError(
                f"pass exactly one of above=, below= and below_baseline=, got {', '.join(given) or 'none of them'}"
            )
        ((kind, threshold),) = given.items()
        self._kind = kind
        self._threshold = _number(kind, threshold)
        _check_reachable(watched, kind, self._threshold)
        gap = GAP * abs(self._threshold) * (-1 if kind == "above" else 1)
        self._clears_at = self._threshold + gap if clears_at is None else _number("clears_at", clears_at)
        if self._clears_at > self._threshold if kind == "above" else self._clears_at < self._threshold:
            side = "at most" if kind == "above" else "at least"
            raise ValueError(f"clears_at must be {side} {kind}={threshold:g}, got {clears_at:g}")
        if not _is_whole(layer):
            raise TypeError(f"layer must be one whole number, -1 for the last; got {layer!r}")
        if not (probe is None or (isinstance(probe, str) and probe)):
            raise TypeError(f"probe must be the name of a probe or None, got {probe!r}")
        if not (_is_whole(patience) and patience >= 1):
            raise ValueError(f"patience must be a whole number of values, at least 1; got {patience!r}")
        if not isinstance(stop, bool):
            raise TypeError(f"stop must be True or False, got {stop!r}")
        self.measure = watched.name
        self.layer = int(layer)
        self.probe = probe
        self.patience = int(patience)
        self.stop = stop
        self._n_beyond = 0
        self._is_raised = False

    @property
    def is_raised(self) -> bool:
        """Whether it was raised and not cleared since."""
        return self._is_raised

    def threshold(self, baseline: float | None = None) -> float | None:
        """The value beyond which the alarm is raised; None if it is relative to a baseline that is not known."""
        return self._in_units_of_value(self._threshold, baseline)

    def observe(self, value: float, baseline: float | None = None) -> str | None:
        """Take the next value; returns "raised" or "cleared" if that changes the alarm, else None."""
        threshold = self.threshold(baseline)
        if threshold is None or math.isnan(value):
            return None
        self._n_beyond = self._n_beyond + 1 if self._is_beyond(value, threshold) else 0
        if not self._is_raised and self._n_beyond >= self.patience:
            self._is_raised = True
            return "raised"
        if self._is_raised and not self._is_beyond(value, self._in_units_of_value(self._clears_at, baseline)):
            self._is_raised = False
            return "cleared"
        return None

    def sentence(self, value: float, baseline: float | None = None) -> str:
        """What the value is, and on which side of the threshold."""
        layer = "the last layer" if self.layer == -1 else f"layer {self.layer}"
        probe = "" if self.probe is None else f" on {self.probe}"
        side = "above" if self._kind == "above" else "below"
        threshold = self.threshold(baseline)
        if threshold is None or math.isnan(value) or not self._is_beyond(value, threshold):
            side = f"not {side}"
        before = "" if not _is_known(baseline) else f" (before training: {baseline:.4g})"
        if self._kind == "below_baseline":
            limit = f"{self._threshold:g} of its value before training"
            before = "" if not _is_known(baseline) else f", {baseline:.4g}"
        else:
            limit = f"{self._threshold:g}"
        return f"{self.measure} of {layer}{probe} is {value:.4g}, {side} {limit}{before}"

    def state_dict(self) -> dict[str, int]:
        """What it remembers, as plain numbers."""
        return {"n_beyond": self._n_beyond, "is_raised": int(self._is_raised)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            ValueError: it is not such a state.
        """
        if not (isinstance(state, dict) and all(_is_whole(state.get(name), bools=True) for name in self.state_dict())):
            raise ValueError(f"not a state of a CollapseAlarm, which has n_beyond and is_raised: {state!r}")
        self._n_beyond, self._is_raised = int(state["n_beyond"]), bool(state["is_raised"])

    def _in_units_of_value(self, limit: float, baseline: float | None) -> float | None:
        if self._kind != "below_baseline":
            return limit
        return limit * baseline if _is_known(baseline) else None

    def _is_beyond(self, value: float, limit: float) -> bool:
        return value > limit if self._kind == "above" else value < limit

    def __repr__(self) -> str:
        further = {"clears_at": self._clears_at, "layer": self.layer, "probe": self.probe, "patience": self.patience}
        given = ", ".join(f"{name}={value!r}" for name, value in {self._kind: self._threshold, **further}.items())
        return f"CollapseAlarm({self.measure!r}, {given}, stop={self.stop})"


def default_alarms() -> list[CollapseAlarm]:
    """Two alarms on the last layer that healthy fine-tuning leaves silent: all rows alike, and few directions left.

        average_cosine_similarity above 0.95
        rankme below a tenth of its value before training

    Encoders that work have mean cosines far apart: all-MiniLM-L6-v2 0.06, the BERT of rxnfp 0.2 (tokens) and 0.7
    (their mean; its fine-tuned siblings 0.4 and 0.9), E5 above 0.7 and BGE above 0.6 between unrelated texts
    (unilm#1216, FlagEmbedding#101). The collapsed model of sentence-transformers#3469 had 0.996, and MiniLM that is
    pulled together passes 0.95 within 45 steps. Raw models of the kind of GPT-2 (last layer close to 1, Ethayarajh
    2019) are beyond 0.95 before training: the sentence of the alarm then says so, and RankMe is what tells of
    training.

    RankMe (Garrido et al. 2023) is the rank that was proposed for this purpose, and it falls for an offset too. The
    effective rank of the covariance would not do: a classifier that learns well concentrates the variance on as many
    directions as it has classes (neural collapse). MiniLM that learns the five topics of BBC news went from 141 to 7.4
    in 80 steps and 5.4 in 240, RankMe from 260 to 111 and 74, where MiniLM that is pulled together has 6. Trained on
    for long, a classifier may pass this threshold too: the cause that is named says so.
    """
    return [
        CollapseAlarm("average_cosine_similarity", above=COLLAPSED_COSINE),
        CollapseAlarm("rankme", below_baseline=COLLAPSED_RANK),
    ]


def _check_reachable(measure: Measure, kind: str, threshold: float) -> None:
    low, high = (bound if isinstance(bound, numbers.Real) else None for bound in measure.bounds)
    if kind == "below_baseline":
        if not 0 < threshold < 1:
            raise ValueError(f"below_baseline must be a share between 0 and 1, got {threshold:g}")
        if low is not None and low < 0:
            raise ValueError(
                f"{measure.name} can be negative, so that a share of it has no meaning: pass above= or below="
            )
    elif (kind == "above" and high is not None and threshold >= high) or (
        kind == "below" and low is not None and threshold <= low
    ):
        limits = " to ".join(map(text_of, measure.bounds))
        raise ValueError(f"{kind}={threshold:g} is never passed: {measure.name} goes from {limits}")


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return float(value)


def _is_whole(value: Any, bools: bool = False) -> bool:
    return isinstance(value, numbers.Integral) and (bools or not isinstance(value, bool))


def _is_known(baseline: float | None) -> bool:
    return baseline is not None and not math.isnan(baseline)
