"""Experiment: zero-mean and all-but-the-top on both checkpoints, with isotropy and task score after each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from isotropy_metrics.enhancement import AllButTheTop, Centering
from isotropy_metrics.measures import Measure, measure
from isotropy_metrics.study.similarity_task import cosine_similarities, spearman
from isotropy_metrics.study.text_pairs import TextPairs
from isotropy_metrics.study.token_space import TokenSpace

TREATMENTS = {"baseline": None, "zero-mean": Centering, "all-but-the-top": AllButTheTop}


def compare_treatments(
    spaces: dict[str, TokenSpace],
    fitting_spaces: dict[str, TokenSpace],
    pairs: TextPairs,
    measures: Sequence[Measure],
    seed: int = 0,
) -> list[dict[str, Any]]:
    """One row per checkpoint and treatment: Spearman on the held-out pairs, and the measures of the treated tokens.

    Treatments are fitted on the tokens of training texts (`fitting_spaces`) and applied to the held-out tokens; a text
    is the mean of its treated tokens, a pair the cosine of its two texts. `gain` is the difference from the
    checkpoint's own baseline; for the baseline of the second checkpoint, from that of the first.
    """
    rows, baseline = [], None
    for checkpoint, space in spaces.items():
        for name, treatment in TREATMENTS.items():
            treated = space.rows
            removed = 0
            if treatment is not None:
                enhancement = treatment().fit(fitting_spaces[checkpoint].moments)
                treated = enhancement.transform(space.rows)
                removed = len(getattr(enhancement, "directions_", ()))
            texts = space.pool(treated)
            similarities = cosine_similarities(texts[: len(pairs)], texts[len(pairs) :])
            rows.append(
                {"checkpoint": checkpoint, "treatment": name, "directions_removed": removed}
                | spearman(similarities, pairs.scores, seed, baseline)
                | measure(treated, measures, seed=seed)
            )
            baseline = similarities if treatment is None else baseline
    return rows
