"""Which rows of files each of several connected processes counts: every row is counted by one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isotropy_metrics.embedding_files.embedding_file import EmbeddingFile


@dataclass(frozen=True)
class Share:
    """What one process counts of a file: of the rows from `first` to before `stop`, one batch in `step`.

    Attributes:
        first, stop: as a slice has them; a `stop` of None is the end of the file.
        turn, step: batches are counted whose number leaves `turn` when it is divided by `step`.
    """

    first: int = 0
    stop: int | None = None
    turn: int = 0
    step: int = 1

    def n_rows(self, file: EmbeddingFile) -> int | None:
        """How many rows of the file are counted; None where only reading tells it."""
        if self.step > 1 or file.n_rows is None:
            return None
        return (file.n_rows if self.stop is None else self.stop) - self.first


def shares(files: Sequence[EmbeddingFile], rank: int, n_processes: int) -> list[Share]:
    """The share of one process of each of these files.

    Of all files that tell how many rows they have, taken together, each process counts a range, and reads no others
    but for what `EmbeddingFile.batches` has to drop. Files that do not tell it (csv, Arrow, arrays with a mask) and
    files with weights are read whole by every process, which counts every so-manieth batch: only so does it know how
    many rows come before, without those of weight zero, and which rows a sample of all will hold depends on that.
    """
    if n_processes == 1:
        return [Share() for _ in files]
    counts = [0 if file.n_rows is None or file.columns.weight is not None else file.n_rows for file in files]
    begin, end = (sum(counts) * number // n_processes for number in (rank, rank + 1))
    of_files, before = [], 0
    for count in counts:
        first, stop = (min(max(at - before, 0), count) for at in (begin, end))
        of_files.append(Share(first, stop) if count else Share(turn=rank, step=n_processes))
        before += count
    return of_files
