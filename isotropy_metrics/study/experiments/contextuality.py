"""How much the vector of a word depends on its sentence, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.hidden_states import stream_hidden_states
from isotropy_metrics.measures import measure
from isotropy_metrics.statistics import RowSample
from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.experiments._experiment import Experiment, Outcome
from isotropy_metrics.study.report.figures import line_per_checkpoint, panel
from isotropy_metrics.study.report.tables import display_name, format_number
from isotropy_metrics.study.spaces.checkpoint import AFTER, BEFORE
from isotropy_metrics.study.spaces.token_space import TokenSpace
from isotropy_metrics.study.spaces.word_tokens import plain_word, word_starts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = ("self_similarity", "intra_sentence_similarity", "maximum_explainable_variance")
MOST_VALUES = 150_000_000
"""Numbers held at once, over all layers of one checkpoint: 600 MB in float32."""

MIN_OCCURRENCES = 5
"""As in Ethayarajh (2019)."""


def missing(case: StudyCase) -> str | None:
    """There must be words that occur often enough."""
    occurrences: dict[str, int] = {}
    for text in case.task.test.texts:
        for word in map(plain_word, text.split()):
            occurrences[word] = occurrences.get(word, 0) + 1
    if not any(count >= MIN_OCCURRENCES for word, count in occurrences.items() if word):
        return f"no word occurs {MIN_OCCURRENCES} times in the held-out texts"
    return None


def run(case: StudyCase) -> Outcome:
    """The three measures of every layer, as they are and less the anisotropy baseline."""
    layers = []
    for checkpoint, space in case.spaces.items():
        texts = _texts_that_fit(space, case.settings.seed)
        for layer, sample in _word_samples(case, checkpoint, space, texts).items():
            values = measure(sample, NAMES, options={name: _options(name) for name in NAMES})
            row = {"checkpoint": checkpoint, "layer": layer}
            for name in NAMES:
                row |= {name: values[name], f"{name}_adjusted": values[f"{name}_adjusted"]}
            row["anisotropy_baseline"] = values["self_similarity"] - values["self_similarity_adjusted"]
            row["n_words"] = values["self_similarity_words"]
            row["n_sentences"] = values["intra_sentence_similarity_sentences"]
            row["n_occurrences"] = values["n_samples"]
            layers.append(row)
    protocol = {
        "rows": "one per word of the held-out texts, the mean of its sub-word tokens; punctuation marks left out",
        "words": "lower-cased, without punctuation around them",
        "min_occurrences": MIN_OCCURRENCES,
        "n_texts": len(texts),
        "adjusted": "less the mean cosine of any two words; explained variance: less that of all words together",
        "maximum_explainable_variance": "not centred, for the words and for the baseline, as the formula of the paper",
        "seed": case.settings.seed,
    }
    return Outcome({"layers": layers}, protocol)


def _options(name: str) -> dict[str, Any]:
    return {} if name == "intra_sentence_similarity" else {"min_occurrences": MIN_OCCURRENCES}


def _texts_that_fit(space: TokenSpace, seed: int) -> np.ndarray:
    """Numbers of the held-out texts, drawn uniformly if all are too many to be held in all layers."""
    lengths = np.bincount(space.text_index, minlength=space.n_texts)
    drawn = np.random.default_rng(seed).permutation(space.n_texts)
    most = MOST_VALUES // (len(space.layers) * space.rows.shape[1])
    return np.sort(drawn[np.cumsum(lengths[drawn]) <= max(most, lengths[drawn[0]])])


def _word_samples(case: StudyCase, checkpoint: str, space: TokenSpace, chosen: np.ndarray) -> dict[int, RowSample]:
    """By layer, the vectors of all words of these texts, with the number of the word and of the text."""
    plain = [plain_word(word) for word in space.words]
    word = np.unique(np.array(plain, dtype=str), return_inverse=True)[1]
    counts = np.array([bool(each) for each in plain])
    begins = np.zeros(len(plain), dtype=bool)
    begins[word_starts(space)] = True
    first = np.searchsorted(space.text_index, np.arange(space.n_texts + 1))

    samples: dict[int, RowSample] = {}
    model, texts = case.checkpoints[checkpoint], [case.task.test.texts[text] for text in chosen]
    batches = stream_hidden_states(
        model.model,
        texts,
        tokenizer=model.tokenizer,
        layers=space.layers,
        max_length=case.max_length,
        progress=case.progress,
    )
    for batch in batches:
        in_batch = chosen[batch.text_index[np.flatnonzero(np.diff(batch.text_index, prepend=-1))]]
        tokens = np.concatenate([np.arange(first[text], first[text + 1]) for text in in_batch])
        starts = np.flatnonzero(begins[tokens])
        lengths = np.diff(np.append(starts, len(tokens)))
        kept = counts[tokens[starts]]
        ids = {"words": word[tokens[starts]][kept], "sentences": space.text_index[tokens[starts]][kept]}
        for layer, states in batch.layers.items():
            means = np.add.reduceat(states.float().cpu().numpy(), starts, axis=0) / lengths[:, None]
            samples.setdefault(layer, RowSample(size=None)).update(means[kept].astype(np.float32), **ids)
    return samples


def draw(outcome: Outcome) -> dict[str, Figure]:
    """A panel per measure, less the baseline, and one of the baseline."""
    layers = outcome.tables["layers"]
    figures = {}
    for key in (*(f"{name}_adjusted" for name in NAMES), "anisotropy_baseline"):
        figure, axis = panel(display_name(key), "layer (0: embeddings)")
        line_per_checkpoint(axis, layers, "layer", key)
        figures[key] = figure
    return figures


def tell(outcome: Outcome) -> list[str]:
    """What became of self-similarity in the last layer."""
    rows = {(row["checkpoint"], row["layer"]): row for row in outcome.tables["layers"]}
    last = max(layer for _, layer in rows)
    before, after = rows[BEFORE, last], rows[AFTER, last]
    told = [
        f"{format_number(row['self_similarity'], 3)} ({format_number(row['self_similarity_adjusted'], 3)} above the "
        "baseline)"
        for row in (before, after)
    ]
    return [
        f"In layer {last} two occurrences of a word have a mean cosine of {told[0]} before fine-tuning and {told[1]} "
        f"after it ({before['n_words']} words)."
    ]


EXPERIMENT = Experiment(
    name="contextuality",
    code="",
    title="Contextuality",
    question="How much does the vector of a word depend on the sentence it stands in, in each layer?",
    how_to_read="The three measures of Ethayarajh (2019), less their anisotropy baseline, which is the cosine (or "
    "the explained variance) that any words have. Self-similarity is the mean cosine of two occurrences of a word: "
    "the lower, the more its context changes it. Intra-sentence similarity is how alike the words of a sentence are: "
    "it rises where words take on the meaning of their sentence; short sentences have more of it by chance. The "
    "maximum explainable variance is how well one static vector could stand for a word. An adjusted value compares "
    "with the same layer's baseline, so two layers may differ in either. Words are whole words, the mean of their "
    "pieces; Ethayarajh used the pieces of BERT as they are, so values are not comparable with that paper's.",
    run=run,
    draw=draw,
    tell=tell,
    missing=missing,
)
