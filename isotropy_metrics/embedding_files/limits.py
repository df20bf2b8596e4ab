"""Limits: how much a file of a stranger may hold, and may ask of the memory of whoever reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

WORDS = {
    "n_bytes": "bytes",
    "header_bytes": "bytes of header",
    "n_columns": "columns or arrays",
    "n_rows": "rows",
    "n_features": "numbers per row",
    "n_values": "numbers",
    "unpacked_bytes": "bytes when it is unpacked",
    "text_bytes": "bytes of text",
}


@dataclass(frozen=True)
class Limits:
    """The most that is read of a file; without an argument there is no limit.

    What a header says is compared before anything is read by it. With limits, pages and messages of tables are
    looked at one by one too, because a header can lie.

    Attributes:
        n_bytes: of the file.
        header_bytes: of what says where the numbers are: a header, the footer of Parquet, the directory of an archive.
        n_columns: columns of a table, or arrays of an archive.
        n_rows, n_features, n_values: of the embeddings.
        unpacked_bytes: of the columns that are read, when they are decompressed.
        text_bytes: of one column or array of ids.

    Example:
        >>> Limits(n_rows=1000).check("cloud.npy", n_rows=2000)
        Traceback (most recent call last):
        ValueError: cloud.npy has 2,000 rows: at most 1,000 are read here
    """

    n_bytes: float = math.inf
    header_bytes: float = math.inf
    n_columns: float = math.inf
    n_rows: float = math.inf
    n_features: float = math.inf
    n_values: float = math.inf
    unpacked_bytes: float = math.inf
    text_bytes: float = math.inf

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return any(getattr(self, field.name) < math.inf for field in fields(self))

    def check(self, path: str | Path, **found: int) -> None:
        """Compare what was found with the limits of these names.

        Args:
            path: what the message calls the file.
            **found: numbers by the name of their limit.

        Raises:
            ValueError: one of them is above its limit.
        """
        for name, number in found.items():
            most = getattr(self, name)
            if number > most:
                raise ValueError(f"{path} has {number:,} {WORDS[name]}: at most {most:,} are read here")


NO_LIMITS = Limits()
