"""Lists on the command line."""

from __future__ import annotations


def words(text: str) -> list[str]:
    """The words between commas."""
    return [word.strip() for word in text.split(",") if word.strip()]
