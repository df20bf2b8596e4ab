"""Pairs: which two rows people compared, and how similar they found them, from a table that somebody uploads."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isotropy_metrics.study.data.text_pairs import TextPairs
from isotropy_metrics.study.tasks import Similarity
from isotropy_space.embeddings import Embeddings
from isotropy_space.uploads import shown_name

MAX_PAIR_BYTES = 5_000_000
MAX_PAIRS = 100_000
LEAST_PAIRS = 3
"""Fewer cannot be ranked, as in the tasks of the study."""

MOST_SHOWN = 60
"""Letters of a cell that an error repeats."""

FORMATS = {".csv": {"delimiter": ",", "strict": True}, ".tsv": {"delimiter": "\t", "quoting": csv.QUOTE_NONE}}
"""As the study reads tables."""

COLUMNS = "first, second, score"


@dataclass(frozen=True, eq=False)
class Pairs:
    """Two rows each, and the score of their similarity.

    Attributes:
        first, second: (n_pairs,), numbers of rows, from 0.
        scores: (n_pairs,), float64, on any scale.
        notes: what a reader should know of how they were read, a sentence each.
    """

    first: np.ndarray
    second: np.ndarray
    scores: np.ndarray
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def rows(self) -> np.ndarray:
        """The numbers of the rows that are in a pair, rising."""
        return np.union1d(self.first, self.second)

    def take(self, chosen: np.ndarray) -> Pairs:
        """The pairs with these numbers."""
        return Pairs(self.first[chosen], self.second[chosen], self.scores[chosen], self.notes)

    def task(self) -> Similarity:
        """The task of the study that scores them: Spearman × 100 of cosines. Nothing is trained for it."""
        named = TextPairs([str(i) for i in self.first], [str(i) for i in self.second], self.scores)
        return Similarity(train=named.take(np.arange(0)), test=named)


def pair_limits_sentence() -> str:
    """What a file of pairs must be, before somebody uploads it."""
    return (
        f"A .csv or .tsv file with the columns {COLUMNS}: the numbers of two rows, counted from 0, or their names, "
        f"and how similar they are, on any scale; up to {MAX_PAIRS:,} pairs in {MAX_PAIR_BYTES // 10**6} MB."
    )


def read_pairs(path: str, embeddings: Embeddings) -> Pairs:
    """The pairs in a file, of these rows.

    Cells are taken for numbers of rows if the rows have no names, or all cells are whole numbers that are not all
    names too; else for names. A first line whose third cell is no number is a line of headings.

    Args:
        path: a .csv or .tsv file in UTF-8 with three columns; more are not looked at.
        embeddings: the rows, perhaps with names.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: what is wrong with it, and on which line.
    """
    name = shown_name(Path(path))
    cells = list(_lines(_text(Path(path), name), Path(path).suffix.lower(), name))
    if len(cells) < LEAST_PAIRS or len({score for *_, score in cells}) < 2:
        raise ValueError(f"{name} has {len(cells):,} pairs with scores that do not differ or are too few to be ranked")
    texts = {text for _, *both, _ in cells for text in both}
    rows_of = _rows_of_names(embeddings.names)
    by_name = bool(rows_of) and (texts <= rows_of.keys() or not all(map(_is_whole, texts)))
    numbers = [
        [
            _named_row(text, rows_of, where) if by_name else _numbered_row(text, len(embeddings.rows), where)
            for text in both
        ]
        for where, *both, _ in cells
    ]
    notes = _note_of_doubles(rows_of, texts) if by_name else ()
    first, second = np.array(numbers, dtype=np.intp).T
    return Pairs(first, second, np.array([score for *_, score in cells]), notes)


def _text(path: Path, name: str) -> str:
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{name} is no table of pairs: give a {' or '.join(FORMATS)} file with {COLUMNS}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {name}")
    if path.stat().st_size > MAX_PAIR_BYTES:
        raise ValueError(f"{name} is larger than {MAX_PAIR_BYTES // 10**6} MB: give fewer pairs, or numbers of rows")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name}, line {line}, is not text in UTF-8: save the table as UTF-8") from error
    if "\0" in text:
        raise ValueError(f"{name} is not text: it holds zero bytes")
    return text


def _lines(text: str, extension: str, name: str) -> Iterator[tuple[str, str, str, float]]:
    """Where each pair is, its two cells and its score."""
    reader = csv.reader(io.StringIO(text, newline=""), **FORMATS[extension])
    n_pairs = 0
    try:
        for i, row in enumerate(reader):
            where = f"{name}, line {reader.line_num}"
            if not row:
                continue
            if len(row) < 3:
                raise ValueError(f"{where}, has {len(row)} columns: it must have {COLUMNS}")
            score = _score(row[2])
            if score is None and i == 0:
                _check_headings(row, where)
                continue
            if score is None:
                raise ValueError(f"{where}: the score must be a finite number, got {_shown(row[2])}")
            n_pairs += 1
            if n_pairs > MAX_PAIRS:
                raise ValueError(f"{name} has more than {MAX_PAIRS:,} pairs: give a random sample of them")
            yield where, row[0], row[1], score
    except csv.Error as error:
        raise ValueError(f"{name}, line {reader.line_num}, is not a line of a table: {error}") from error


def _check_headings(row: list[str], where: str) -> None:
    """Columns are known by their places; headings that say otherwise are refused."""
    if "score" in (cell.strip().lower() for cell in row[:2]):
        raise ValueError(f"{where}: the score must be in the third column: {COLUMNS}")


def _score(text: str) -> float | None:
    try:
        score = float(text)
    except ValueError:
        return None
    return score if math.isfinite(score) else None


def _rows_of_names(names: np.ndarray | None) -> dict[str, list[int]]:
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(() if names is None else names):
        rows_of.setdefault(str(name), []).append(row)
    return rows_of


def _note_of_doubles(rows_of: dict[str, list[int]], used: set[str]) -> tuple[str, ...]:
    n_doubles = sum(len(rows_of[text]) > 1 for text in used)
    if not n_doubles:
        return ()
    return (f"Names in the pairs that several rows have: {n_doubles:,}; the first row of each is taken.",)


def _named_row(text: str, rows_of: dict[str, list[int]], where: str) -> int:
    if text not in rows_of:
        raise ValueError(f"{where}: no row is called {_shown(text)}; give names of rows only, or numbers only")
    return rows_of[text][0]


def _numbered_row(text: str, n_rows: int, where: str) -> int:
    if not _is_whole(text):
        raise ValueError(f"{where}: {_shown(text)} must be the number of a row, from 0 to {n_rows - 1:,}")
    if len(text.strip()) > 18 or int(text) >= n_rows:
        raise ValueError(f"{where}: there is no row {_shown(text)}; rows are counted from 0 to {n_rows - 1:,}")
    return int(text)


def _is_whole(text: str) -> bool:
    return text.strip().isascii() and text.strip().isdigit()


def _shown(text: str) -> str:
    """A cell as an error repeats it, on one line."""
    return repr(text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…")
