"""Experiments E6 and E7 on real weights and text, against the enhancements and measures applied by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from study_cases import check_drawn_numbers, small_case, through_json

from isotropy_metrics import participation_ratio, partition_isotropy
from isotropy_metrics.enhancement import AllButTheTop, ClusterBased, ClusterCentering
from isotropy_metrics.study.experiments import dominant_directions, elongated_directions, treatments
from isotropy_metrics.study.experiments.dominant_directions import KEEP, NEXT, REMOVE, REMOVE_BY_CLUSTER
from isotropy_metrics.study.tasks import Custom
from isotropy_metrics.study.treatments.elongation import Elongation
from isotropy_metrics.study.treatments.partition_function import isotropy_of_part
from isotropy_metrics.study.treatments.sweep import numbers_of_directions

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::isotropy_metrics.enhancement.EnhancementWarning"),
]
E6, E7 = elongated_directions.EXPERIMENT, dominant_directions.EXPERIMENT
K = 3


@pytest.fixture(scope="module")
def case(minilm_path, stsb_folder):
    return small_case(minilm_path, n_clusters=K, n_seeds=1)


@pytest.fixture(scope="module")
def elongated(case):
    return E6.run(case)


@pytest.fixture(scope="module")
def swept(case):
    return E7.run(case)


def cloud(n_long=4):
    rng = np.random.default_rng(0)
    return rng.normal(size=(1500, 12)) * ([2.0] * n_long + [0.5] * (12 - n_long)) + 3


def test_isotropy_without_the_top_is_that_of_all_but_the_top_for_every_d():
    rows = cloud()
    found = Elongation.of(rows).isotropy
    assert len(found) == 12
    for d in range(12):
        treated = AllButTheTop(d).fit_transform(rows)
        assert found[d] == pytest.approx(partition_isotropy(treated)["partition_isotropy_log10"], abs=1e-9)


@pytest.mark.parametrize("n_long", [1, 4, 7])
def test_the_directions_to_remove_are_the_long_ones_and_free_of_scale_where_it_says_so(n_long):
    rows = cloud(n_long)
    found = Elongation.of(rows).directions_to_remove(0.7)
    assert found == {"directions_to_remove": n_long, "directions_to_remove_scale_free": n_long}
    stretched = Elongation.of(10 * rows)
    np.testing.assert_allclose(stretched.isotropy_scale_free, Elongation.of(rows).isotropy_scale_free, atol=1e-9)
    assert stretched.directions_to_remove(0.7)["directions_to_remove"] != n_long
    unit = rows / np.sqrt(rows.var(axis=0).mean())
    by_hand = partition_isotropy(AllButTheTop(2).fit_transform(unit))["partition_isotropy_log10"]
    assert Elongation.of(rows).isotropy_scale_free[2] == pytest.approx(by_hand, abs=1e-9)


def test_a_threshold_that_no_removal_reaches_has_no_number():
    assert Elongation.of(1000 * cloud()).directions_to_remove(0.5)["directions_to_remove"] is None
    assert Elongation.of(np.ones((5, 3))).directions_to_remove(0.5)["directions_to_remove"] == 0


def test_counts_of_layers_and_of_the_whole_space_are_those_of_their_rows(case, elongated):
    layers = elongated.tables["layers"]
    assert [(row["checkpoint"], row["layer"]) for row in layers] == [
        (checkpoint, layer) for checkpoint in ("before", "after") for layer in (5, 6)
    ]
    for row in layers:
        space = case.spaces[row["checkpoint"]]
        assert row["participation_ratio"] == participation_ratio(space.moments(row["layer"]))["participation_ratio"]
    last = case.spaces["after"]
    variances = np.linalg.eigvalsh(np.cov(last.rows.astype(np.float64).T))[::-1]
    row = next(row for row in elongated.tables["directions"] if row["checkpoint"] == "after")
    assert row["scope"] == "whole space"
    assert row["directions_above_mean"] == np.sum(variances > 5 * variances.mean())
    assert row["directions_for_90_percent"] == np.argmax(np.cumsum(variances) >= 0.9 * variances.sum()) + 1
    d = row["directions_to_remove"]
    sampled = last.rows[last.sampled]
    just, not_yet = (
        partition_isotropy(AllButTheTop(n).fit_transform(sampled.astype(np.float64)))["partition_isotropy"]
        for n in (d, d - 1)
    )
    assert d > 0
    assert just >= 0.5 > not_yet


def test_clusters_are_those_of_k_means_and_their_mean_is_weighted_by_their_tokens(case, elongated):
    clusters = [row for row in elongated.tables["clusters"] if row["checkpoint"] == "before"]
    rows = case.spaces["before"].rows
    centers = ClusterCentering(K).fit(case.fitting_spaces["before"].rows).cluster_centers_
    labels = np.argmin(((rows[:, None, :] - centers[None]) ** 2).sum(axis=2), axis=1)
    assert [row["n_tokens"] for row in clusters] == np.bincount(labels).tolist()
    own = rows[labels == 1].astype(np.float64)
    ratios = [row["participation_ratio"] for row in clusters]
    variances = np.linalg.eigvalsh(np.cov(own.T))
    assert ratios[1] == pytest.approx(variances.sum() ** 2 / (variances**2).sum(), rel=1e-4)
    within = next(row for row in elongated.tables["directions"] if row["scope"] == "within clusters")
    assert within["participation_ratio"] == pytest.approx(np.average(ratios, weights=np.bincount(labels)))
    assert within["n_clusters"] == K


def test_elongation_is_drawn_and_told_from_json(elongated, tmp_path):
    read = through_json(elongated, tmp_path)
    figures = E6.draw(read)
    check_drawn_numbers(figures, read)
    assert {"isotropy", "isotropy_scale_free", "cumulative_variance", "layers_participation_ratio"} <= set(figures)
    whole, within = E6.tell(read)
    first, last = (row["directions_to_remove"] for row in read.tables["directions"] if row["scope"] == "whole space")
    assert f"from {first} to {last} on the raw scale" in whole
    assert within.startswith("Within clusters, on average, ")
    for row in read.tables["directions"]:
        row["directions_to_remove"] = None
    assert "from – to – on the raw scale" in E6.tell(read)[0]


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0])
def test_a_threshold_beyond_isotropy_is_refused(threshold, case):
    with pytest.raises(ValueError, match="threshold must lie between 0 and 1"):
        replace(case.settings, threshold=threshold)


def test_without_any_removal_the_score_is_the_baseline_to_the_last_digit(case, swept):
    baselines = [row for row in treatments.EXPERIMENT.run(case).tables["treatments"] if row["treatment"] == "baseline"]
    untouched = [row for row in swept.tables["directions"] if row["way"] == REMOVE and row["n_directions"] == 0]
    assert len(untouched) == len(baselines) == 2
    for row, baseline in zip(untouched, baselines, strict=True):
        for key in ("checkpoint", "score", "score_low", "score_high"):
            assert row[key] == baseline[key]
        assert row["gain"] == row["gain_low"] == row["gain_high"] == 0
        assert row["partition_isotropy_log10"] == pytest.approx(baseline["partition_isotropy_log10"], abs=1e-9)


@pytest.mark.parametrize(
    ("way", "d"), [(REMOVE, 3), (REMOVE, 192), (KEEP, 12), (NEXT, 5), (REMOVE_BY_CLUSTER, 0), (REMOVE_BY_CLUSTER, 8)]
)
@pytest.mark.parametrize("checkpoint", ["before", "after"])
def test_a_row_of_the_sweep_is_every_token_treated_and_then_pooled(case, swept, checkpoint, way, d):
    space = case.spaces[checkpoint]
    fitting, rows = (each.rows.astype(np.float64) for each in (case.fitting_spaces[checkpoint], space))
    axes = np.linalg.svd(fitting - fitting.mean(axis=0), full_matrices=False)[2]
    centered = rows - fitting.mean(axis=0)
    if way == REMOVE:
        treated = AllButTheTop(d).fit(fitting).transform(rows)
    elif way == REMOVE_BY_CLUSTER:
        treated = ClusterBased(K, d).fit(case.fitting_spaces[checkpoint].rows).transform(space.rows)
    else:
        part = axes[:d] if way == KEEP else axes[d : 2 * d]
        treated = centered @ part.T @ part
    texts = np.array([treated[space.text_index == i].mean(axis=0, dtype=np.float64) for i in range(space.n_texts)])
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    n = len(case.task.test)
    score = 100 * spearmanr((texts[:n] * texts[n:]).sum(axis=1), case.task.test.labels)[0]
    row = next(
        row
        for row in swept.tables["directions"]
        if (row["checkpoint"], row["way"], row["n_directions"]) == (checkpoint, way, d)
    )
    assert row["score"] == pytest.approx(score, abs=0.02)  # two close cosines may change places by rounding
    log_isotropy = partition_isotropy(treated[space.sampled])["partition_isotropy_log10"]
    assert row["partition_isotropy_log10"] == pytest.approx(log_isotropy, abs=1e-4)


def test_isotropy_of_rows_in_a_subspace_is_that_of_the_rows_in_the_whole_space():
    rows = cloud()[:, :5] - 3
    wide = np.concatenate([rows, np.zeros((len(rows), 3))], axis=1)
    expected = partition_isotropy(wide)["partition_isotropy_log10"]
    assert isotropy_of_part(rows, 8) == pytest.approx(expected, abs=1e-9)
    assert isotropy_of_part(rows, 5) == pytest.approx(partition_isotropy(rows)["partition_isotropy_log10"], abs=1e-9)
    assert isotropy_of_part(rows, 5) != isotropy_of_part(rows, 8)


def test_the_sweep_is_drawn_and_told_from_json(swept, tmp_path):
    read = through_json(swept, tmp_path)
    check_drawn_numbers(E7.draw(read), read)
    before, after = E7.tell(read)
    assert before.startswith("Before fine-tuning: Spearman × 100 of ")
    for checkpoint, sentence in (("before", before), ("after", after)):
        removed = [r for r in read.tables["directions"] if r["checkpoint"] == checkpoint and r["way"] == REMOVE]
        fallen = [row["n_directions"] for row in removed if row["gain_high"] < 0]
        if fallen:
            assert f"falls without the first {fallen[0]}, " in sentence
        else:
            assert "shows no fall without the first 192" in sentence


def test_a_score_that_is_missing_for_some_directions_leaves_a_gap(swept, tmp_path):
    read = through_json(swept, tmp_path)
    row = next(row for row in read.tables["directions"] if row["way"] == REMOVE and row["n_directions"] == 3)
    row |= {key: None for key in row if key.startswith(("score", "gain"))}
    assert len(E7.tell(read)) == 2
    (line, _) = E7.draw(read)["remove"].axes[0].lines
    assert np.isnan(line.get_ydata()).sum() == 1


@pytest.mark.slow
def test_a_custom_score_has_a_sweep_without_intervals(case, minilm_path, tmp_path):
    task = Custom.of(lambda embeddings: float(np.square(embeddings).mean()), case.task.test.texts)
    read = through_json(E7.run(small_case(minilm_path, task=task, n_clusters=2)), tmp_path)
    assert {row["gain_high"] for row in read.tables["directions"]} == {None}
    assert set(E7.draw(read)) == {"remove", "keep", "remove_by_cluster", "isotropy"}
    assert "and at the least" in E7.tell(read)[0]


def test_numbers_of_directions_grow_in_steps_up_to_the_most():
    assert numbers_of_directions(1) == [0, 1]
    assert numbers_of_directions(2) == [0, 1, 2]
    assert numbers_of_directions(80) == [0, 1, 2, 3, 5, 8, 12, 20, 30, 50, 80]
    assert numbers_of_directions(2048)[-5:] == [500, 800, 1200, 2000, 2048]
