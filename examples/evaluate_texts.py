"""A measure through Hugging Face evaluate, from texts and a model."""

import evaluate

import isotropy_metrics
from isotropy_metrics.study.data.bundled import minilm_path

isotropy_metrics.register()
texts = [
    "A man is playing a guitar.",
    "Two dogs run through the snow.",
    "The market fell by three percent.",
    "A woman slices an onion while the children set the table.",
]
isoscore = evaluate.load("isoscore", unbiased=True)
print(isoscore.compute(data=texts, model_id=str(minilm_path()), layer=-1))
