"""projected_memory: what a reading of a probe will need, said before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from isotropy_metrics.measures import Measure, statistics_for
from isotropy_metrics.statistics import RowSample, UnitSums
from isotropy_metrics.statistics.moments import block_rows_of

if TYPE_CHECKING:
    from trainer_callbacks.probe import Probe

SINGLE, DOUBLE = 4, 8


def projected_memory(
    probe: Probe, measures: Sequence[Measure], *, n_layers: int, width: int, sampled: int, also: Sequence[type] = ()
) -> int:
    """Bytes that a reading takes at its peak, as far as they do not depend on the model's own workspace.

    Args:
        n_layers: that are measured.
        width: features of a hidden state.
        sampled: rows of each layer that are sampled for comparisons, 0 for none.
        also: kinds of statistics that are kept besides.
    """
    statistics = statistics_for(measures, also=also)
    samples = [each for each in statistics if isinstance(each, RowSample)]
    n_moments = sum(not isinstance(each, RowSample) and type(each) is not UnitSums for each in statistics)
    block = block_rows_of(width) * width * SINGLE
    per_layer = n_moments * (width * width * DOUBLE + block)
    per_layer += sum(2 * min(each.size, probe.n_rows) * width * SINGLE for each in samples)
    per_layer += 3 * min(sampled, probe.n_rows) * width * SINGLE  # now, in order, and before training
    first = probe.batches[0]
    states = len(first) * int(probe.tokens.lengths[first].max()) * width * SINGLE
    return n_layers * (per_layer + states)
