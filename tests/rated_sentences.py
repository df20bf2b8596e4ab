"""Sentences of the STS benchmark as the Space has them: MiniLM embeddings with names, and a table of scored pairs."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
from isotropy_space.embeddings import Embeddings

from isotropy_metrics.hidden_states import embed

N_PAIRS = 150


@cache
def rated_sentences(minilm: Path, stsb: Path) -> tuple[Embeddings, list[tuple[str, str, float]]]:
    """The different sentences of the first pairs of the test split, and the pairs with people's scores."""
    with open(stsb / "sts-test.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[:N_PAIRS]
    pairs = [(line[5], line[6], float(line[4])) for line in lines]
    sentences = list(dict.fromkeys(text for first, second, _ in pairs for text in (first, second)))
    rows = embed(minilm, sentences, progress=False)
    return Embeddings("MiniLM, last layer", np.asarray(rows), np.array(sentences)), pairs


def write_pairs(path: Path, pairs: list[tuple[object, object, float]]) -> str:
    """The pairs as a table with a line of headings; returns the path as the page passes it."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("first", "second", "score"), *pairs])
    return str(path)
