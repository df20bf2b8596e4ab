"""Measure every layer of a model over some texts, one batch in memory at a time."""

from isotropy_metrics import find_measures, measure, statistics_for
from isotropy_metrics.hidden_states import stream_hidden_states
from isotropy_metrics.study.data.bundled import minilm_path
from isotropy_metrics.study.data.text_pairs import stsb_pairs

model = str(minilm_path())  # or any Hub id
texts = stsb_pairs("test").first[:300]  # or any list of texts

measures = find_measures(["isoscore", "average_cosine_similarity", "partition_isotropy"])
statistics = {}
for batch in stream_hidden_states(model, texts, progress=False):
    for layer, rows in batch.layers.items():
        for statistic in statistics.setdefault(layer, statistics_for(measures)):
            statistic.update(rows)

for layer, of_layer in sorted(statistics.items()):
    values = measure(of_layer, measures)
    print(
        f"layer {layer}: isoscore {values['isoscore']:.3f}, "
        f"average cosine {values['average_cosine_similarity']:.3f}, "
        f"log10 I(W) {values['partition_isotropy_log10']:.2f}, {values['n_samples']} tokens"
    )
