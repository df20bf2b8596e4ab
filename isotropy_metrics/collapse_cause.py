"""The likely cause of a collapse, in words, from the moments of the rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from isotropy_metrics.measures import explained_variance
from isotropy_metrics.statistics import Moments

SAME = 0.99
"""The mean's share of the squared length from which on rows count as the same; the mean cosine is about as much."""

SHRUNK = 0.01
"""Share of the variance before training below which rows count as the same, whatever their mean."""

MOST = 0.5
"""A share that stands out: one feature, the mean, or one direction weighs as much as all the rest."""

FEW = 0.05
FEW_OF_BEFORE = 0.25
"""Few directions: 90 % of the variance in this share of the features, or of the directions it took before training."""

SPREADING = "a loss with in-batch negatives"


class _Shape(NamedTuple):
    """What the causes are told from."""

    variance: float
    """Per row, of all features."""

    offset: float
    """‖mean‖² as a share of the mean of ‖x‖²."""

    feature: float
    """Share of the largest feature in the mean of ‖x‖², and its index."""
    feature_index: int

    direction: float
    """Share of the largest direction in the variance, and how many directions hold 90 % of it."""
    n_directions: int
    n_features: int


class _Finding(NamedTuple):
    share: float
    share_before: float
    sentence: str

    @property
    def is_new(self) -> bool:
        """Whether training brought it about, or halved what was left beside it."""
        return self.share_before < MOST or 1 - self.share < (1 - self.share_before) / 2


def likely_cause(moments: Moments, baseline: Moments | None = None) -> str:
    """What stands out in rows that have collapsed, and what helps, in one or two sentences.

    Looked for in this order: rows that are all the same; one feature that dominates; a common offset, which is the
    share ‖mean‖² / mean of ‖x‖²; few directions with most of the variance. With the moments before training, what
    training brought about comes before what was there already.

    What it does not tell: why training did so. It names the form of a collapse and what is known to help against it,
    and it names a form for many healthy spaces too: ask it when an alarm is raised.

    Args:
        moments: of the rows (n_samples, n_features).
        baseline: of the same rows before training.

    Returns:
        One or two sentences; that nothing stands out, where nothing does.

    Raises:
        ValueError: no rows, or a baseline with another number of features.

    Example:
        >>> import numpy as np
        >>> moments = Moments()
        >>> moments.update(np.random.default_rng(0).normal(size=(500, 8)) + 2)
        >>> likely_cause(moments).split(":")[0]
        'A common offset holds 80 % of the squared length of the rows'
    """
    if not moments.n_rows or (baseline is not None and not baseline.n_rows):
        raise ValueError("there are no rows yet to find the cause of a collapse in")
    if baseline is not None and baseline.n_features != moments.n_features:
        raise ValueError(f"the baseline has {baseline.n_features} features, the rows have {moments.n_features}")
    now, before = _shape(moments), None if baseline is None else _shape(baseline)
    same = _all_the_same(now, before)
    if same is not None:
        return same
    found = _findings(now, before)
    for finding in found:
        if finding.is_new:
            return finding.sentence
    if found:
        return f"{found[0].sentence} It was much the same before training."
    return (
        f"No single cause stands out: the mean holds {_percent(now.offset)} of the squared length of the rows, one "
        f"feature at most {_percent(now.feature)}, and {now.n_directions} of {now.n_features} directions hold 90 % of "
        "the variance."
    )


def _shape(moments: Moments) -> _Shape:
    scale = moments.weight_sum
    variances, squares = np.diagonal(moments.scatter) / scale, moments.mean**2
    variance, offset = float(variances.sum()), float(squares.sum())
    total = variance + offset
    if not total > 0:
        return _Shape(0.0, 0.0, 0.0, 0, 0.0, 0, moments.n_features)
    of_features = (variances + squares) / total
    spread = {"explained_variance": 0.0, "directions_for_90_percent": 0}
    if moments.eigenvalues[0] > 0:
        spread = explained_variance.function(moments)
    return _Shape(
        variance,
        offset / total,
        float(of_features.max()),
        int(of_features.argmax()),
        spread["explained_variance"],
        spread["directions_for_90_percent"],
        moments.n_features,
    )


def _all_the_same(now: _Shape, before: _Shape | None) -> str | None:
    if now.variance == 0 and now.offset == 0:
        return "All rows are zero: the model gives nothing that a loss could tell apart."
    helps = f"Restart from an earlier checkpoint with a lower learning rate, or with {SPREADING}"
    if before is not None and now.variance < SHRUNK * before.variance:
        share = _percent(now.variance / before.variance)
        return f"All rows are the same, nearly: {share} of their variance before training is left. {helps}."
    if now.offset >= SAME and (before is None or 1 - now.offset < (1 - before.offset) / 2):
        return f"All rows are the same, nearly: {_percent(now.offset)} of their squared length is their mean. {helps}."
    return None


def _findings(now: _Shape, before: _Shape | None) -> list[_Finding]:
    """The causes whose share stands out, the most specific first."""
    findings = [_one_feature(now, before), _common_offset(now, before), _few_directions(now, before)]
    return [finding for finding in findings if finding.share >= MOST]


def _one_feature(now: _Shape, before: _Shape | None) -> _Finding:
    return _Finding(
        now.feature if now.n_features > 2 else 0.0,
        0.0 if before is None else before.feature,
        f"One feature dominates: number {now.feature_index} holds {_percent(now.feature)} of the squared length of "
        f"the rows{_then(before, 'feature')}. Standardisation or whitening undoes it at inference.",
    )


def _common_offset(now: _Shape, before: _Shape | None) -> _Finding:
    return _Finding(
        now.offset,
        0.0 if before is None else before.offset,
        f"A common offset holds {_percent(now.offset)} of the squared length of the rows{_then(before, 'offset')}: "
        "centring undoes it at inference. In training, losses of single pairs such as CosineSimilarityLoss do not "
        "spread the rows, in-batch negatives do (sentence-transformers#3469).",
    )


def _few_directions(now: _Shape, before: _Shape | None) -> _Finding:
    few = now.n_directions <= FEW * now.n_features
    few_before = before is not None and before.n_directions <= FEW * before.n_features
    if before is not None and now.n_directions < FEW_OF_BEFORE * before.n_directions:
        few, few_before = True, False
    then = "" if before is None else f" ({before.n_directions} before training)"
    return _Finding(
        max(now.direction, MOST if few else 0.0),
        0.0 if before is None else max(before.direction, MOST if few_before else 0.0),
        f"Few directions carry the variance: {now.n_directions} of {now.n_features} hold 90 % of it{then}, the first "
        f"one {_percent(now.direction)}. A classifier with few classes ends there by itself; else a lower learning "
        "rate helps, or a regularizer that spreads the variance, such as VICReg.",
    )


def _then(before: _Shape | None, name: str) -> str:
    return "" if before is None else f" ({_percent(getattr(before, name))} before training)"


def _percent(share: float) -> str:
    """A share as people write it; not 100 % of what is not quite all, nor 0 % of what is not quite nothing."""
    if 0 < share < 1e-4:
        return "less than 0.01 %"
    digits = 0 if 0.01 <= share < 0.99 else 2
    return f"{100 * share:.{digits}f} %"
