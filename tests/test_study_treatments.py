"""Experiment E1 on real weights and text: each row is the enhancement applied by hand, and checks follow intervals."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from study_cases import check_drawn_numbers, small_case, through_json

from isotropy_metrics import average_cosine_similarity, isoscore, partition_isotropy
from isotropy_metrics.enhancement import AllButTheTop, Centering, ClusterBased, ClusterCentering
from isotropy_metrics.study.experiments.treatments import EXPERIMENT
from isotropy_metrics.study.resampling import resampled_counts
from isotropy_metrics.study.tasks import Custom
from isotropy_metrics.study.tasks.resampled_spearman import resampled_spearman
from isotropy_metrics.study.treatments import treatment_search
from isotropy_metrics.study.treatments.direction_checks import HELD, NOT_HELD, UNDECIDED, DirectionCheck, tell_checks
from isotropy_metrics.study.treatments.partition_function import resampled_isotropy
from isotropy_metrics.study.treatments.treatment import CLUSTER_BASED, CLUSTER_ZERO_MEAN, GLOBAL, fitting_statistics

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::isotropy_metrics.enhancement.EnhancementWarning"),
]
K, D = 4, 3


@pytest.fixture(scope="module")
def case(minilm_path, stsb_folder):
    return small_case(minilm_path, n_clusters=K, n_directions=D, n_seeds=2)


@pytest.fixture(scope="module")
def outcome(case):
    return EXPERIMENT.run(case)


def score_by_hand(space, treated, part):
    texts = np.array([treated[space.text_index == i].astype(np.float64).mean(axis=0) for i in range(space.n_texts)])
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    cosines = (texts[: len(part)] * texts[len(part) :]).sum(axis=1)
    return 100 * spearmanr(cosines, part.labels)[0]


def check_row(row, case, treated):
    space = case.spaces[row["checkpoint"]]
    assert row["score"] == pytest.approx(score_by_hand(space, treated, case.task.test), abs=1e-9)
    log_isotropy = partition_isotropy(treated[space.sampled])["partition_isotropy_log10"]
    assert row["partition_isotropy_log10"] == pytest.approx(log_isotropy, abs=1e-9)
    assert row["isoscore"] == pytest.approx(isoscore(treated)["isoscore"])
    cosine = average_cosine_similarity(treated)["average_cosine_similarity"]
    assert row["average_cosine_similarity"] == pytest.approx(cosine, abs=1e-6)


def test_every_row_is_its_enhancement_applied_by_hand(case, outcome):
    rows = outcome.tables["seeds"]
    assert len(rows) == 2 * (3 + 2 * 2)
    for row in rows:
        seed = row["seed"]
        enhancement = {
            "baseline": None,
            "zero-mean": Centering(),
            "clustering + zero-mean": ClusterCentering(K, random_state=seed or 0),
            "global": AllButTheTop(D),
            "cluster-based": ClusterBased(K, D, random_state=seed or 0),
        }[row["treatment"]]
        treated = case.spaces[row["checkpoint"]].rows
        if enhancement is not None:
            treated = enhancement.fit(case.fitting_spaces[row["checkpoint"]].rows).transform(treated)
        check_row(row, case, treated)
        assert row["n_clusters"] == (K if seed is not None else None)
        assert row["n_directions"] == (D if row["treatment"] in (GLOBAL, CLUSTER_BASED) else None)


def test_rows_are_means_over_seeds_with_gains_over_their_own_baseline(outcome):
    baselines = {}
    for row in outcome.tables["treatments"]:
        key = row["checkpoint"], row["treatment"]
        of_seeds = [each for each in outcome.tables["seeds"] if (each["checkpoint"], each["treatment"]) == key]
        scores = [each["score"] for each in of_seeds]
        assert row["n_seeds"] == len(scores) == (2 if "cluster" in key[1] else 1)
        assert row["score"] == pytest.approx(np.mean(scores))
        assert (row["lowest_score"], row["highest_score"]) == (min(scores), max(scores))
        assert row["partition_isotropy_log10"] == pytest.approx(
            np.mean([each["partition_isotropy_log10"] for each in of_seeds])
        )
        assert row["partition_isotropy_log10_low"] < row["partition_isotropy_log10"]
        assert row["partition_isotropy_log10"] < row["partition_isotropy_log10_high"]
        assert row["score_low"] < row["score"] < row["score_high"]
        if key == ("before", "baseline"):
            assert row["gain"] is None
        elif key[1] == "baseline":
            assert row["gain"] == pytest.approx(row["score"] - baselines["before"])
        else:
            assert row["gain"] == pytest.approx(row["score"] - baselines[key[0]])
        if key[1] == "baseline":
            baselines[key[0]] = row["score"]


def test_direction_checks_are_the_differences_in_the_table(outcome, case, tmp_path):
    rows = {(row["checkpoint"], row["treatment"]): row for row in outcome.tables["treatments"]}
    checks = outcome.tables["direction_checks"]
    assert [check["check"] for check in checks] == [1, 2] + 4 * [3] + 6 * [4]
    assert checks[0]["value"] == rows["after", "baseline"]["gain"]
    key = "partition_isotropy_log10"
    assert checks[1]["value"] == pytest.approx(rows["after", "baseline"][key] - rows["before", "baseline"][key])
    assert checks[4]["value"] == pytest.approx(rows["after", "global"][key] - rows["after", "baseline"][key])
    assert checks[9]["value"] == rows["after", "cluster-based"]["gain"]
    for check in checks:
        held = {
            "above 0": check["value_low"] > 0,
            "below 0": check["value_high"] < 0,
            "not above 0": check["value_low"] <= 0,
        }[check["expected"]]
        assert check["verdict"] == (HELD if held else NOT_HELD)
        assert check["value_low"] <= check["value"] <= check["value_high"]
    read = through_json(outcome, tmp_path)
    sentences = EXPERIMENT.tell(read)
    assert len(sentences) == 1 + len({(check["check"], check["claim"]) for check in checks})
    for check in checks:
        (line,) = [line for line in sentences if f"“{check['claim']}”" in line]
        of_verdict = line[line.index(f"{check['verdict']} for ") :].split(";")[0]
        assert f"{check['subject']} {check['value']:.3g} [" in of_verdict
    figures = EXPERIMENT.draw(read)
    assert list(figures) == ["score", "isotropy", "score_against_isotropy"]
    scores = {row["score"] for row in read.tables["treatments"]}
    assert set(np.concatenate([line.get_xdata() for line in figures["score"].axes[0].lines])) == scores
    check_drawn_numbers({"it": figures["score_against_isotropy"]}, read)


@pytest.mark.parametrize(
    ("expected", "low", "high", "verdict"),
    [
        ("above 0", 0.1, 0.3, HELD),
        ("above 0", 0.0, 0.3, NOT_HELD),
        ("above 0", -0.3, -0.1, NOT_HELD),
        ("below 0", -0.3, -0.1, HELD),
        ("below 0", -0.3, 0.1, NOT_HELD),
        ("not above 0", -0.3, 0.1, HELD),
        ("not above 0", -0.3, -0.1, HELD),
        ("not above 0", 0.1, 0.3, NOT_HELD),
        ("above 0", float("nan"), float("nan"), UNDECIDED),
    ],
)
def test_a_verdict_follows_the_interval_and_says_where_zero_is_in_it(expected, low, high, verdict):
    row = DirectionCheck(1, "it", "rises", "score", "items", expected, 0.2, low, high).row()
    assert row["verdict"] == verdict
    (sentence,) = tell_checks([row])
    assert sentence.startswith(f"The claim “rises” (score) is {verdict} for it 0.2")
    assert ("0 included" in sentence) == (low <= 0 <= high)


def test_compat_is_the_authors_procedure_on_the_held_out_tokens(case, minilm_path):
    outcome = EXPERIMENT.run(small_case(minilm_path, n_clusters=K, n_directions=D, n_seeds=1, compat="rajaee"))
    space = case.spaces["after"]
    rows = {row["treatment"]: row for row in outcome.tables["seeds"] if row["checkpoint"] == "after"}
    check_row(rows[CLUSTER_BASED], case, ClusterBased(K, D, compat="rajaee").fit_transform(space.rows))
    check_row(rows[GLOBAL], case, AllButTheTop(D).fit_transform(space.rows))
    by_hand = ClusterBased(K, 0, compat="rajaee").fit(space.rows)
    centered = space.rows - by_hand.cluster_means_[by_hand.labels_].astype(np.float32)
    check_row(rows[CLUSTER_ZERO_MEAN], case, centered)
    assert "flatters" in outcome.protocol["fitted_on"]


@pytest.mark.slow
def test_a_search_takes_what_scores_best_on_the_development_texts(case, minilm_path, monkeypatch):
    monkeypatch.setattr(treatment_search, "CLUSTERS", (2, 5, 900))
    monkeypatch.setattr(treatment_search, "DIRECTIONS", (1, 40))
    outcome = EXPERIMENT.run(small_case(minilm_path, search=True, n_seeds=1))
    grid = outcome.tables["search"]
    assert len(grid) == 2 * (2 + 2 + 4)
    for row in outcome.tables["treatments"]:
        own = [each for each in grid if all(each[key] == row[key] for key in ("checkpoint", "treatment"))]
        if own:
            best = max(own, key=lambda each: each["development_score"])
            assert [each for each in own if each["chosen"]] == [best]
            assert (row["n_clusters"], row["n_directions"]) == (best["n_clusters"], best["n_directions"])
    cell = next(each for each in grid if each["checkpoint"] == "after" and each["n_directions"] == 40)
    dev = case.dev_spaces["after"]
    treated = AllButTheTop(40).fit(case.fitting_spaces["after"].rows).transform(dev.rows)
    assert cell["treatment"] == GLOBAL
    assert cell["development_score"] == pytest.approx(score_by_hand(dev, treated, case.task.dev), abs=1e-9)


def test_a_score_without_intervals_leaves_its_checks_undecided(case, minilm_path, tmp_path):
    texts = case.task.test.texts
    task = Custom.of(lambda embeddings: float(embeddings[0, 0]), texts, score_name="first number")
    outcome = EXPERIMENT.run(small_case(minilm_path, task=task, n_clusters=2, n_directions=1, n_seeds=2))
    read = through_json(outcome, tmp_path)
    verdicts = {check["check"]: check["verdict"] for check in read.tables["direction_checks"]}
    assert verdicts[1] == verdicts[4] == UNDECIDED
    assert verdicts[2] in (HELD, NOT_HELD)
    first = case.spaces["before"].rows[case.spaces["before"].text_index == 0, 0].astype(np.float64).mean()
    assert read.tables["treatments"][0]["score"] == pytest.approx(first)
    assert read.tables["treatments"][1]["score_low"] is None
    assert "undecided for fine-tuning " in " ".join(EXPERIMENT.tell(read))
    assert set(EXPERIMENT.draw(read)) == {"score", "isotropy", "score_against_isotropy"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_seeds": 0}, "n_seeds.*0"),
        ({"n_clusters": 0}, "n_clusters"),
        ({"n_directions": 999}, "n_directions=999 of 384 features"),
        ({"compat": "mu"}, "compat='mu': must be None or 'rajaee'"),
    ],
)
def test_settings_that_no_treatment_can_have_end_in_a_sentence(settings, message, minilm_path, stsb_folder):
    with pytest.raises(ValueError, match=message):
        EXPERIMENT.missing(small_case(minilm_path, **settings))


def test_a_search_needs_development_texts(case):
    assert EXPERIMENT.missing(case) is None
    searching = replace(case, settings=replace(case.settings, search=True), task=replace(case.task, dev=None))
    with pytest.raises(ValueError, match="no split dev beside test"):
        EXPERIMENT.missing(searching)


def test_isotropy_of_resampled_texts_is_that_of_their_rows_on_the_first_eigenvectors():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 5)) * [3, 2, 1, 1, 1] + 0.5
    texts = np.repeat(np.arange(8), 5)[rng.permutation(40)]
    counts = resampled_counts(8, seed=1)[:20]
    axes = np.linalg.eigh(rows.T @ rows)[1]
    found = resampled_isotropy(rows, texts, counts)
    for drawn, value in zip(counts, found, strict=True):
        chosen = np.repeat(rows, drawn[texts].astype(int), axis=0)
        f = np.concatenate([np.exp(sign * chosen @ axes).sum(axis=0) for sign in (1, -1)])
        assert value == pytest.approx(np.log10(f.min() / f.max()), abs=1e-12)
    all_once = resampled_isotropy(rows, texts, np.ones((1, 8)))[0]
    assert all_once == pytest.approx(partition_isotropy(rows)["partition_isotropy_log10"])


def test_a_resample_without_the_text_that_outweighs_all_others_has_a_value():
    rows = np.array([[2000.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    value = resampled_isotropy(rows, np.arange(3), np.array([[0.0, 1.0, 2.0]]))[0]
    f = [np.exp(1) + 2, np.exp(-1) + 2, 1 + 2 * np.exp(1), 1 + 2 * np.exp(-1)]
    assert value == pytest.approx(np.log10(min(f) / max(f)), abs=1e-6)


def test_spearman_of_many_resamples_is_that_of_each():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, size=60).astype(float)
    predictions = (labels + rng.normal(size=60)).round(1)
    draws = rng.integers(60, size=(150, 60))
    expected = [spearmanr(predictions[draw], labels[draw])[0] for draw in draws]
    np.testing.assert_allclose(resampled_spearman(predictions, labels, draws), expected, atol=1e-12)
    assert np.isnan(resampled_spearman(predictions, labels, np.zeros((1, 60), dtype=int))).all()


def test_treatments_that_share_their_statistics_share_one_k_means(case, monkeypatch):
    from sklearn.cluster import KMeans

    rows = case.fitting_spaces["after"].rows
    apart = ClusterCentering(K).fit(rows), ClusterBased(K, D).fit(rows)
    runs = []
    fit = KMeans.fit
    monkeypatch.setattr(KMeans, "fit", lambda self, *given, **more: runs.append(1) or fit(self, *given, **more))
    statistics = fitting_statistics(rows, 0)
    together = ClusterCentering(K).fit(statistics), ClusterBased(K, D).fit(statistics)
    assert len(runs) == 1
    for one, other in zip(apart, together, strict=True):
        np.testing.assert_array_equal(one.transform(rows), other.transform(rows))
