"""Measures of labelled rows and of words in sentences: what only they have, degenerate data, and real text."""

from __future__ import annotations

import csv
import warnings

import numpy as np
import pytest
from clouds import gaussian
from references.words import cosine

from isotropy_metrics.hidden_states import stream_hidden_states
from isotropy_metrics.measures import (
    average_cosine_similarity,
    intra_sentence_similarity,
    isoscore,
    maximum_explainable_variance,
    measure,
    neural_collapse,
    self_similarity,
    silhouette,
    statistics_for,
    within_class_isoscore,
)
from isotropy_metrics.measures._statistics import update_statistics
from isotropy_metrics.statistics import ClassMoments

pytestmark = pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning")

LABELS = np.arange(600) % 4
CLUSTERED = gaussian(600, np.ones(16)) + 30 * np.eye(16)[LABELS]


# Classes


def test_anisotropy_between_classes_is_told_from_anisotropy_within_them():
    """Mickus et al. 2024: clusters alone make a space anisotropic."""
    within = within_class_isoscore(CLUSTERED, references=LABELS)
    assert isoscore(CLUSTERED)["isoscore"] < 0.25 < 0.9 < within["within_class_isoscore"]
    assert within["between_share"] > 0.9
    line = gaussian(600, [1.0] + [1e-6] * 15) + 30 * np.eye(16)[LABELS]
    assert within_class_isoscore(line, references=LABELS)["within_class_isoscore"] < 0.01
    nothing = within_class_isoscore(gaussian(600, np.ones(16)), references=LABELS)
    assert nothing["between_share"] < 0.02


def test_the_within_class_isoscore_of_one_class_is_the_isoscore():
    for unbiased in (False, True):
        of_one = within_class_isoscore(CLUSTERED, references=np.zeros(600, int), unbiased=unbiased)
        expected = isoscore(CLUSTERED, unbiased=unbiased)["isoscore"]
        assert of_one["within_class_isoscore"] == pytest.approx(expected, rel=1e-12)
        assert of_one["between_share"] == pytest.approx(0, abs=1e-12)


def test_unbiased_within_class_isoscore_of_few_rows_is_that_of_the_distribution():
    labels = np.arange(120) % 10
    rows = gaussian(120, np.ones(200)) + 9 * gaussian(10, np.ones(200), seed=1)[labels]
    assert within_class_isoscore(rows, references=labels)["within_class_isoscore"] < 0.4
    unbiased = within_class_isoscore(rows, references=labels, unbiased=True)["within_class_isoscore"]
    assert unbiased == pytest.approx(1.0, abs=0.05)
    with pytest.raises(ValueError, match="at least 2 rows more than classes, got 5 rows of 4 classes"):
        within_class_isoscore(rows[:5], references=[0, 1, 2, 3, 0], unbiased=True)


@pytest.mark.parametrize("k", [2, 5])
def test_neural_collapse_has_its_closed_form_and_falls_as_classes_shrink(k):
    """Means on k axes at distance r, variance s² within: tr(Σ_W Σ_B†)/K = (K − 1) s² K / (r² K) = (K − 1)(s/r)²."""
    labels = np.arange(200 * k) % k
    noise = gaussian(200 * k, np.ones(32))
    values = []
    for s in (1.0, 0.1, 1e-3, 1e-6):
        rows = 10 * np.eye(32)[labels] + s * noise
        result = neural_collapse(rows, references=labels)
        assert result["n_classes"] == k
        assert result["neural_collapse"] == pytest.approx((k - 1) * (s / 10) ** 2, rel=0.15)
        values.append(result["neural_collapse"])
        streamed = ClassMoments()
        for start in range(0, len(rows), 37):
            streamed.update(rows[start : start + 37], references=labels[start : start + 37])
        assert neural_collapse(streamed)["neural_collapse"] == pytest.approx(values[-1], rel=1e-9)
    assert values == sorted(values, reverse=True)


def test_labels_that_say_nothing_have_the_documented_collapse():
    n, k, d = 4000, 5, 300
    values = [
        neural_collapse(gaussian(n, np.ones(d), seed), references=np.arange(n) % k)["neural_collapse"]
        for seed in range(4)
    ]
    assert np.mean(values) == pytest.approx((k - 1) / d * n / k, rel=0.1)


def test_silhouette_follows_the_distance_of_classes_and_ignores_an_offset():
    values = [
        silhouette(gaussian(600, np.ones(16)) + r * np.eye(16)[LABELS] + 1e4, references=LABELS)["silhouette"]
        for r in (0, 3, 30, 300)
    ]
    assert values == sorted(values) and abs(values[0]) < 0.02 and values[-1] > 0.95
    by_angle = silhouette(CLUSTERED, references=LABELS, metric="cosine")["silhouette"]
    scaled = CLUSTERED * np.random.default_rng(0).uniform(0.1, 10, (600, 1))
    assert silhouette(scaled, references=LABELS, metric="cosine")["silhouette"] == pytest.approx(by_angle, abs=1e-9)
    assert silhouette(scaled, references=LABELS)["silhouette"] < by_angle


DEGENERATE = [
    (silhouette, np.zeros(600, int), CLUSTERED, r"1 class\(es\) among 600 rows have nothing to compare"),
    (silhouette, np.arange(600), CLUSTERED, r"600 class\(es\) among 600 rows have nothing to compare"),
    (neural_collapse, np.zeros(600, int), CLUSTERED, "there is one class only"),
    (neural_collapse, LABELS, np.ones((600, 4)), "all classes have the same mean"),
    (neural_collapse, np.arange(600), CLUSTERED, "no class has 2 rows"),
    (within_class_isoscore, LABELS, np.eye(4)[LABELS], "all rows of each class are the same"),
    (within_class_isoscore, LABELS, CLUSTERED[:, :1], "one feature has no isotropy"),
]


@pytest.mark.parametrize(("measured", "labels", "rows", "reason"), DEGENERATE)
def test_degenerate_classes_give_nan_and_the_reason(measured, labels, rows, reason):
    with pytest.warns(RuntimeWarning, match=f"^{measured.name} is NaN: {reason}") as warned:
        result = measured(rows, references=labels)
    assert np.isnan(result[measured.name]) and warned[0].filename == __file__
    assert set(result) == set(measured(CLUSTERED, references=LABELS))


# Words


def words_of(seed=0, n_words=40, n_each=12, spread=0.4):
    """Occurrences that share most of their vector with their word, in sentences of 8."""
    rng = np.random.default_rng(seed)
    words = rng.permutation(np.arange(n_words * n_each) % n_words)
    rows = rng.normal(size=(n_words, 10))[words] + spread * rng.normal(size=(len(words), 10)) + 0.5
    return rows, words, np.arange(len(words)) // 8


def test_adjusted_values_are_the_raw_ones_less_the_anisotropy_baseline():
    rows, words, sentences = words_of()
    baseline = average_cosine_similarity(rows)["average_cosine_similarity"]
    assert baseline > 0.05
    for measured, ids in ((self_similarity, {"words": words}), (intra_sentence_similarity, {"sentences": sentences})):
        result = measured(rows, **ids)
        adjusted = result[f"{measured.name}_adjusted"]
        assert adjusted == pytest.approx(result[measured.name] - baseline, rel=1e-9)
    sigma = np.linalg.svd(rows, compute_uv=False)
    result = maximum_explainable_variance(rows, words=words)
    expected = result["maximum_explainable_variance"] - sigma[0] ** 2 / (sigma**2).sum()
    assert result["maximum_explainable_variance_adjusted"] == pytest.approx(expected, rel=1e-9)


def test_a_sample_keeps_whole_words_so_that_rare_ones_still_count():
    rows, words, sentences = words_of(n_words=600, n_each=6)
    everything = measure(rows, [self_similarity], words=words, sample_size=None)
    sampled = measure(rows, [self_similarity], words=words, sample_size=600)
    assert everything["self_similarity_words"] == 600 and sampled["self_similarity_words"] == 100
    assert sampled["self_similarity"] == pytest.approx(everything["self_similarity"], abs=0.02)
    by_sentence = measure(rows, [self_similarity], words=words, sentences=sentences, sample_size=1800)
    assert by_sentence["self_similarity_words"] < 100


def test_words_that_the_context_does_not_change_have_one():
    rows, words, _ = words_of(spread=0.0)
    assert self_similarity(rows, words=words)["self_similarity"] == pytest.approx(1, abs=1e-12)
    scaled = rows * np.random.default_rng(0).uniform(0.1, 9, (len(rows), 1))
    assert self_similarity(scaled, words=words)["self_similarity"] == pytest.approx(1, abs=1e-12)
    value = maximum_explainable_variance(scaled, words=words)["maximum_explainable_variance"]
    assert value == pytest.approx(1, abs=1e-12)
    sentences = np.arange(len(rows)) // 8
    one_way = np.repeat(rows[::8], 8, axis=0)
    value = intra_sentence_similarity(one_way, sentences=sentences)["intra_sentence_similarity"]
    assert value == pytest.approx(1, abs=1e-12)


def test_rare_words_and_sentences_of_one_row_do_not_count():
    rows = gaussian(12, np.ones(5))
    words = np.array([0] * 6 + [1] * 3 + [2, 3, 4])
    result = self_similarity(rows, words=words)
    assert result["self_similarity_words"] == 1
    expected = np.mean([cosine(rows[i], rows[j]) for i in range(6) for j in range(i)])
    assert result["self_similarity"] == pytest.approx(expected)
    assert self_similarity(rows, words=words, min_occurrences=2)["self_similarity_words"] == 2
    assert (
        maximum_explainable_variance(rows, words=words, min_occurrences=3)["maximum_explainable_variance_words"] == 2
    )
    assert intra_sentence_similarity(rows, sentences=words)["intra_sentence_similarity_sentences"] == 2
    for measured in (self_similarity, maximum_explainable_variance):
        with pytest.raises(ValueError, match="min_occurrences must be at least 2, got 1"):
            measured(rows, words=words, min_occurrences=1)


@pytest.mark.parametrize(
    ("measured", "ids", "rows", "reason"),
    [
        (self_similarity, {"words": np.arange(9)}, gaussian(9, np.ones(3)), "no word has 5 occurrences"),
        (self_similarity, {"words": np.zeros(9, int)}, np.zeros((9, 3)), "all rows are zero"),
        (maximum_explainable_variance, {"words": np.arange(9)}, gaussian(9, np.ones(3)), "no word has 5 occurrences"),
        (intra_sentence_similarity, {"sentences": np.arange(9)}, gaussian(9, np.ones(3)), "no sentence has 2 rows"),
        (intra_sentence_similarity, {"sentences": np.zeros(9, int)}, np.zeros((9, 3)), "all rows are zero"),
    ],
)
def test_degenerate_words_give_nan_and_the_reason(measured, ids, rows, reason):
    with pytest.warns(RuntimeWarning, match=f"{measured.name} is NaN: {reason}"):
        result = measured(rows, **ids)
    values, words, sentences = words_of()
    full = measured(values, **({"words": words} if "words" in ids else {"sentences": sentences}))
    assert np.isnan(result[measured.name]) and set(result) == set(full)


def test_contexts_change_the_words_of_a_real_model_more_in_every_layer(minilm_path, stsb_folder):
    """Ethayarajh 2019: self-similarity falls from the first layer on; sentences become alike."""
    with (stsb_folder / "sts-test.csv").open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        texts = [text for line in lines for text in line[5:7]][:600]
    measures = [self_similarity, intra_sentence_similarity, maximum_explainable_variance]
    layers: dict[int, list] = {}
    for batch in stream_hidden_states(str(minilm_path), texts, layers=[0, 3, 6], progress=False):
        for layer, rows in batch.layers.items():
            statistics = layers.setdefault(layer, statistics_for(measures, size=None))
            ids = {"words": batch.token_ids, "sentences": batch.text_index}
            update_statistics(statistics, rows, mask=None, weight=None, **ids)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = {layer: measure(statistics, measures) for layer, statistics in layers.items()}
    first, middle, last = (results[layer] for layer in (0, 3, 6))
    assert first["self_similarity_words"] > 100 and first["intra_sentence_similarity_sentences"] > 590
    assert first["self_similarity"] > middle["self_similarity"] > last["self_similarity"]
    assert first["maximum_explainable_variance"] > last["maximum_explainable_variance"]
    assert last["intra_sentence_similarity_adjusted"] > first["intra_sentence_similarity_adjusted"]
    for result in results.values():
        assert 0 < result["self_similarity_adjusted"] < result["self_similarity"]
