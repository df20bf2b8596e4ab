"""What the columns or arrays of an uploaded file can be chosen for."""

from __future__ import annotations

from dataclasses import dataclass

from isotropy_metrics import embedding_files
from isotropy_space.limits import UPLOAD_LIMITS
from isotropy_space.uploads import sentences_about, uploaded_file

MAX_LISTED = 200
"""Choices of a list that somebody can still look through."""


@dataclass(frozen=True)
class Listing:
    """The choices that a page offers.

    Attributes:
        embeddings: columns or arrays that can be the embeddings; none where they have no name of their own.
        beside: columns or arrays that can name or colour rows, texts first.
    """

    embeddings: tuple[str, ...]
    beside: tuple[str, ...]


def list_columns(path: str) -> Listing:
    """List the columns or arrays of an uploaded file from its header.

    Raises:
        FileNotFoundError, ValueError, OSError, ImportError: as `read_embeddings`.
    """
    file = uploaded_file(path)
    with sentences_about(file):
        columns = embedding_files.list_columns(file, limits=UPLOAD_LIMITS)
    return Listing(columns.embeddings[:MAX_LISTED], (columns.texts + columns.numbers)[:MAX_LISTED])


def those_beside(path: str, *names: str | None) -> list[str | None]:
    """Each name by which this file too can name or colour its rows; None in place of any other.

    Raises:
        FileNotFoundError, ValueError, OSError, ImportError: as `read_embeddings`.
    """
    file = uploaded_file(path)
    with sentences_about(file):
        columns = embedding_files.list_columns(file, limits=UPLOAD_LIMITS)
    return [name if name in columns.texts + columns.numbers else None for name in names]
