"""The file that keeps the statistics of a pass over files; several processes have a file each until all are done."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isotropy_metrics.statistics_file import load_statistics, save_statistics


@dataclass
class Progress:
    """How far a pass over several files has come: whole files, batches and rows of the next one, rows added in all."""

    n_files: int = 0
    n_batches: int = 0
    n_rows_of_file: int = 0
    n_rows: int = 0

    def end_file(self) -> None:
        """The next file begins."""
        self.n_files, self.n_batches, self.n_rows_of_file = self.n_files + 1, 0, 0


@dataclass(frozen=True)
class KeptStatistics:
    """What a pass keeps, and where.

    Attributes:
        path: of the file in the end.
        asked: what was asked for, as JSON has it; a pass that asks for something else is refused.
        rank, n_processes: of this process.
    """

    path: Path
    asked: dict[str, Any]
    rank: int = 0
    n_processes: int = 1

    @property
    def own_path(self) -> Path:
        """Where this process keeps its share until all are done: alone, in the end's file at once."""
        return self.path if self.n_processes == 1 else self._of_process(f"{self.rank}-of-{self.n_processes}")

    def whole(self) -> list[Any] | None:
        """What several processes have kept in the end's file; None if it is not there, or for one process.

        Raises:
            ValueError: it is of something else, or of one process that has not come to the end.
        """
        if self.n_processes == 1 or not self.path.exists():
            return None
        statistics, done = resumed(self.path, self.asked)
        if done.n_files < len(self.asked["files"]):
            raise ValueError(f"{self.path} was begun by one process: go on with one, or delete it")
        return statistics

    def own(self) -> tuple[list[Any], Progress] | None:
        """What this process has kept; None if it has kept nothing.

        Raises:
            ValueError: it is of something else, or other numbers of processes have kept something.
        """
        for other in [] if self.path.exists() else self._of_processes():
            number = int(other.stem.rpartition("-")[2])
            if number != self.n_processes:
                raise ValueError(f"{self.path} was begun by {number} processes: start as many, or delete {other}")
        return resumed(self.own_path, self._own_asked) if self.own_path.exists() else None

    def save(self, statistics: list[Any], done: Progress) -> None:
        """Keep the share of this process."""
        save_statistics(self.own_path, statistics, asked=self._own_asked, done=asdict(done))

    def finish(self, statistics: list[Any], n_rows: int) -> None:
        """Keep the statistics of all processes in the end's file, as one process would have, and no shares."""
        done = Progress(len(self.asked["files"]), n_rows=n_rows)
        save_statistics(self.path, statistics, asked=self.asked, done=asdict(done))
        for path in self._of_processes():
            path.unlink(missing_ok=True)

    @property
    def _own_asked(self) -> dict[str, Any]:
        return self.asked if self.n_processes == 1 else self.asked | {"process": [self.rank, self.n_processes]}

    def _of_process(self, which: str) -> Path:
        return self.path.with_name(f"{self.path.stem}.{which}{self.path.suffix}")

    def _of_processes(self) -> list[Path]:
        name = re.compile(re.escape(self.path.stem) + r"\.\d+-of-\d+" + re.escape(self.path.suffix))
        folder = self.path.parent
        return sorted(path for path in folder.iterdir() if name.fullmatch(path.name)) if folder.is_dir() else []


def resumed(path: Path, asked: dict[str, Any]) -> tuple[list[Any], Progress]:
    """The statistics in a file and how far they had come; ValueError if something else was asked for."""
    statistics, facts = load_statistics(path)
    before = facts.get("asked", {})
    other = next((name for name in asked | before if before.get(name) != asked.get(name)), None)
    if other is not None:
        raise ValueError(f"{path} is a state of other {other}: choose another file for the state, or delete that one")
    return statistics, Progress(**facts["done"])
