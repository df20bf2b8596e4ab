"""Every sentence of the page, in one place."""

from __future__ import annotations

from isotropy_metrics.study.resampling import LEVEL
from isotropy_space.limits import limits_sentence, texts_sentence
from isotropy_space.pairs import pair_limits_sentence
from isotropy_space.training import training_limits_sentence

TITLE = "Isotropy Metrics: the geometry of your embeddings"

INTRODUCTION = """\
# The geometry of your embeddings

Is everything 0.8 similar to everything? Did fine-tuning reshape the space, and did nobody see it happen? Upload
embeddings, or paste texts and choose a model. A space is *isotropic* if its rows spread equally in all directions.
More isotropic is **not** better as such: read each value beside your task score.

The page opens with an example: 4,000 common English words as MiniLM embeds them, before and after fine-tuning on the
STS benchmark. Everything is computed by the Python package `isotropy-metrics`. Nothing you upload is kept: files are
deleted within half an hour.
"""

FIRST_PICTURE_TITLES = {"before": "before fine-tuning", "after": "after fine-tuning"}


def first_picture(n_words: int, overlap: float) -> str:
    """What the first picture shows, given how much the neighbourhoods before and after overlap (Jaccard)."""
    return (
        f"The {n_words:,} words along their two strongest directions. The ten nearest neighbours of a word before and "
        f"after overlap by {overlap:.0%} on average."
    )


LOOK, COMPARE, REPAIR, TRAINING = "Look", "Compare", "Repair", "Training"

LOOK_INTRODUCTION = (
    "What one space is like: how evenly it uses its dimensions, how alike its rows are, and which dimensions stick "
    "out."
)
COMPARE_INTRODUCTION = (
    "Two embeddings of the same rows, before and after fine-tuning or of two models: what changed, and for which rows "
    "most."
)
REPAIR_INTRODUCTION = (
    "An enhancement is fitted on half of the rows, and everything shown is of the other half. With pairs and their "
    "scores the page says whether it helps; leaving the rows alone is an answer."
)
TRAINING_INTRODUCTION = (
    "The curves of a fine-tuning run that `IsotropyCallback` watched, layer by layer. The example is the run between "
    "the two embeddings of the words."
)

FILE, TEXTS = "A file", "Texts and a model"
FILES, MODELS = "Two files", "Texts and two models"
FILE_LABEL = "embeddings"
FILE_NOTE = (
    "A .npy, .npz, .parquet, .csv, .tsv, .arrow, .feather or .safetensors file. "
    f"{limits_sentence()} Pickles are never opened. Without a file, the example is shown."
)
COLUMN_LABEL = "column or array of the embeddings"
COLUMN_NOTE = "only where there are several"
NAMES_LABEL, NAMES_NOTE = "column of names", "the word or text of each row"
LABELS_LABEL, LABELS_NOTE = "column of labels", "what rows are coloured by"
COLORED_LABEL = "colour the points by"

TEXTS_LABEL, TEXTS_NOTE = "texts", texts_sentence()
TEXTS_EXAMPLE = "\n".join(
    [
        "A man is playing a guitar.",
        "A woman plays the piano.",
        "Somebody is making music.",
        "The stock market fell today.",
        "Shares lost value this afternoon.",
        "Investors are selling their stocks.",
        "It will rain in the north tomorrow.",
        "Showers are expected over the hills.",
        "The forecast promises a wet morning.",
        "A cat sleeps on the sofa.",
        "The dog runs through the park.",
        "A bird is singing in the tree.",
        "The train to Vienna leaves at nine.",
        "Our flight was delayed by two hours.",
        "She cycles to work every morning.",
        "Add the onions and fry them slowly.",
        "The soup needs a little more salt.",
        "He bakes bread on Sundays.",
        "The team won the match in extra time.",
        "Our goalkeeper saved two penalties.",
        "She broke the record over ten miles.",
        "The doctor advised him to rest.",
        "A new vaccine is being tested.",
        "Nurses are asking for shorter shifts.",
    ]
)
MODEL_LABEL, MODEL_NOTE = "model", "an id on the Hugging Face Hub with .safetensors weights and no code of its own"
LAYER_LABEL, LAYER_NOTE = "layer", "0 is the input, -1 the last"
POOLING_LABEL = "pooling"

FIRST_FILE, SECOND_FILE = "first embeddings", "second embeddings"
SECOND_NOTE = "The same rows in the same order. Without a second file, both columns are of the first."
FIRST_COLUMN, SECOND_COLUMN = "column of the first", "column of the second"
FIRST_MODEL, FIRST_LAYER = "first model", "layer of the first"
SECOND_MODEL, SECOND_LAYER = "second model", "layer of the second"

ENHANCEMENT_LABEL, STRENGTH_LABEL = "enhancement", "strength"
NO_STRENGTH = "no strength to choose"
PAIRS_LABEL, PAIRS_NOTE = "pairs with scores", f"May be left out. {pair_limits_sentence()}"

STATE_LABEL, STATE_NOTE = "trainer_state.json", training_limits_sentence()

LOOK_BUTTON, COMPARE_BUTTON, REPAIR_BUTTON, CURVES_BUTTON = "Look", "Compare", "Repair", "Show the curves"
DOWNLOADS, DOWNLOAD_BUTTON = "Take it home", "Make the downloads"
DOWNLOADS_NOTE = "The enhancement fitted on **all** rows, these rows transformed, and the Python that repeats both."
DOWNLOADED, CODE_LABEL = "downloads", "the same in Python"

MEASURES = "Measures"
INTERVALS_NOTE = f"low and high: the ends of the {LEVEL:.0%} interval for so many rows. d: the number of features."
DRIFT, CHANGED = "Drift", "Rows whose neighbourhoods changed most"
COSINES, SPECTRUM, PROJECTION, DIMENSIONS = "Cosines", "Variance", "Projection", "Dimensions"
SCORES, ALARMS, CURVES = "Task score", "Collapse alarms", "Curves"
NUMBERS = "the numbers in the picture"

NOTES_HEADING = "**Mind:**"
"""Before what the library warns of."""
