"""Passes over the same files, one after the other, whose statistics are kept in a file now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isotropy_metrics.arrays import as_rows
from isotropy_metrics.embedding_files.embedding_file import EmbeddingFile
from isotropy_metrics.embedding_files.gathered_files import SAVE_VALUES
from isotropy_metrics.embedding_files.kept_statistics import Progress, resumed
from isotropy_metrics.embedding_files.prefetched import prefetched
from isotropy_metrics.embedding_files.row_errors import rows_of_the_file
from isotropy_metrics.statistics.moments import block_rows_of
from isotropy_metrics.statistics_file import save_statistics


@dataclass(frozen=True)
class Block:
    """Rows (n, n_features) with their weights, and the context in which an error names their place in a file."""

    rows: np.ndarray
    weight: np.ndarray | None
    place: AbstractContextManager[None]


class KeptPasses:
    """Passes over files, each of which gathers statistics; work that was cut short goes on in the pass it was in.

    Args:
        files: what `open_embeddings` gave, with as many features in each.
        state: where the statistics of the passes are kept; None for nowhere. If the file is there, they are read.
        asked: what they are of, as JSON has it; a state of anything else is refused.
    """

    def __init__(
        self, files: Sequence[EmbeddingFile], state: str | Path | None = None, asked: dict[str, Any] | None = None
    ) -> None:
        self.files = files
        self._state = state
        self._asked = asked
        self._n_begun = 0
        self._kept: list[Any] = []
        self._done = Progress()
        if state is not None and Path(state).exists():
            self._kept, self._done = resumed(Path(state), asked)

    @property
    def n_rows(self) -> int | None:
        """Number of rows of all files; None where only reading tells it."""
        counts = [file.n_rows for file in self.files]
        return None if None in counts else sum(counts)

    def begin(self) -> Any:
        """Begin the next pass. Returns the statistics that were kept of it, to go on with; None if there are none."""
        self._n_begun += 1
        if self._n_begun <= len(self._kept):
            return self._kept[self._n_begun - 1]
        self._done = Progress()
        return None

    def blocks(self, statistics: Callable[[], Any]) -> Iterator[Block]:
        """The rows of weight above zero that this pass has not seen yet, in blocks that `Moments` adds fastest.

        Args:
            statistics: gives those gathered so far, of all blocks but the one that is asked for next.
        """
        if self._n_begun < len(self._kept):
            return
        n_unsaved = 0
        for file in self.files[self._done.n_files :]:
            block_rows = block_rows_of(file.n_features)
            for batch in prefetched(file.batches(block_rows, first_row=self._done.n_rows_of_file)):
                place = (self._done.n_rows_of_file, (file, batch))
                with rows_of_the_file(*place):
                    rows, weight = as_rows(batch.rows, weight=batch.weight)
                if len(rows):
                    yield Block(rows, weight, rows_of_the_file(*place))
                self._done.n_rows_of_file += len(batch)
                self._done.n_rows += len(batch)
                n_unsaved += rows.size
                if n_unsaved >= SAVE_VALUES:
                    self._save(statistics())
                    n_unsaved = 0
            self._done.end_file()
        if n_unsaved:
            self._save(statistics())

    def _save(self, statistics: Any) -> None:
        if self._state is not None:
            self._kept = [*self._kept[: self._n_begun - 1], statistics]
            save_statistics(self._state, self._kept, asked=self._asked, done=asdict(self._done))
