"""The example that the Space opens with: common English words, embedded by MiniLM before and after fine-tuning."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from isotropy_space.embeddings import Embeddings
from isotropy_space.uploads import read_embeddings

EXAMPLE_FILE = Path(__file__).parents[1] / "example" / "words.parquet"
"""Made by make_example.py: columns word, log frequency, before and after."""

EXAMPLE_STATE = EXAMPLE_FILE.with_name("trainer_state.json")
"""Of the fine-tuning in between."""

TITLES = {
    "before": "words by MiniLM, before",
    "after": "words by MiniLM, after",
}


@lru_cache
def example(which: str) -> Embeddings:
    """The words as embedded "before" or "after"."""
    read = read_embeddings(str(EXAMPLE_FILE), column=which, names="word", labels="log frequency")
    read.rows.setflags(write=False)  # all visitors have the same
    return Embeddings(TITLES[which], read.rows, read.names, read.labels, read.labels_title)
