"""Repair in the Space: every number is that of the library, of rows that the enhancement was not fitted on."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from isotropy_space import handlers
from isotropy_space.embeddings import Embeddings
from isotropy_space.enhancement_choice import CHOICES, choice_of
from isotropy_space.one_at_a_time import one_at_a_time
from isotropy_space.pairs import Pairs, read_pairs
from isotropy_space.repair import LEAST_ROWS, repair
from isotropy_space.sentences import TEXTS_EXAMPLE
from rated_sentences import rated_sentences, write_pairs
from scipy.stats import spearmanr

from isotropy_metrics import MEASURES, compare, measure
from isotropy_metrics import enhancement as library
from isotropy_metrics.views import cosine_histogram, principal_projection, variance_spectrum

BY_HAND = {
    "Centering": (0, library.Centering()),
    "All but the top": (3, library.AllButTheTop(n_directions=3)),
    "Cluster centering": (2, library.ClusterCentering(n_clusters=2)),
    "Cluster based": (2, library.ClusterBased(n_directions=2)),
    "Whitening": (0.5, library.Whitening(eps=0.5)),
    "Standardization": (0, library.Standardization()),
    "Outlier dimension removal": (2.5, library.OutlierDimensionRemoval(n_std=2.5)),
    "Quantile normalization": (100, library.QuantileNormalization(n_quantiles=100)),
}

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*rows:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::isotropy_metrics.enhancement.EnhancementWarning"),
]


def cloud(n=400, d=12, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)) * np.linspace(4, 0.5, d) + np.linspace(5, 0, d)
    return Embeddings("cloud.npy", rows, names=np.array([f"row {i}" for i in range(n)]), labels=np.arange(n) % 3)


def pairs_of(rows, n, seed=1):
    """So many different pairs of two different rows, with scores that mean nothing."""
    rng = np.random.default_rng(seed)
    all_pairs = np.stack(np.triu_indices(len(rows), 1), axis=1)
    first, second = rows[all_pairs[rng.choice(len(all_pairs), n, replace=False)]].T
    return Pairs(first, second, rng.normal(size=n))


def cosines(rows, first, second):
    return [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(rows[first], rows[second], strict=True)]


def test_every_choice_has_a_case():
    assert list(BY_HAND) == list(CHOICES)


@pytest.mark.parametrize("name", CHOICES)
def test_everything_is_of_rows_that_it_was_not_fitted_on(name):
    embeddings, (strength, by_hand) = cloud(), BY_HAND[name]
    repaired = repair(embeddings, name, strength)
    assert sorted([*repaired.fitted, *repaired.shown]) == list(range(400)) and len(repaired.fitted) == 200
    before = embeddings.rows[repaired.shown]
    after = by_hand.fit(embeddings.rows[repaired.fitted]).transform(before)
    table = repaired.measures.set_index("measure")
    for when, rows in (("before", before), ("after", after)):
        values = measure(rows, list(table.index))
        assert table[when].to_dict() == pytest.approx({key: values[key] for key in table.index}, rel=1e-9, nan_ok=True)
        assert repaired.cosines[when].tolist() == cosine_histogram(rows).shares.tolist()
        assert repaired.spectra[when].to_numpy() == pytest.approx(variance_spectrum(rows).cumulative)
        points = repaired.projected[[f"{when} 1", f"{when} 2"]].to_numpy()
        assert points == pytest.approx(principal_projection(rows).coordinates)
    assert repaired.overlap == compare(before, after, ["neighborhood_overlap"])["neighborhood_overlap"]
    assert repaired.rows_sentence == "Fitted on 200 rows; everything here is of the other 200."
    assert "tells whether it helps" in repaired.verdict and repaired.scores is None and repaired.scores_figure is None


def test_the_table_says_what_isotropic_rows_have_and_what_a_measure_means():
    table = repair(cloud(), "Centering", 0).measures.set_index("measure")
    assert table.loc["effective_rank", "isotropic"] == 12 and table.loc["isoscore", "isotropic"] == 1
    assert np.isnan(table.loc["hubness", "isotropic"])
    assert {name: MEASURES[name].summary for name in table.index} == table["meaning"].to_dict()


def test_the_seed_draws_the_halves():
    repeated, other = (repair(cloud(), "Centering", 0, seed=seed) for seed in (0, 1))
    assert repeated.fitted.tolist() == repair(cloud(), "Centering", 0).fitted.tolist() != other.fitted.tolist()


def test_no_direction_is_centering_only():
    centered, top = repair(cloud(), "Centering", 0), repair(cloud(), "All but the top", 0)
    assert top.measures["after"].to_numpy() == pytest.approx(centered.measures["after"].to_numpy())
    assert centered.overlap == top.overlap == 1
    removed = repair(cloud(), "All but the top", 1).measures.set_index("measure")
    assert removed.loc["effective_rank", "after"] != pytest.approx(removed.loc["effective_rank", "before"])


def test_many_rows_are_sampled_as_measure_samples_them():
    embeddings = cloud(n=10_400, d=3)
    repaired = repair(embeddings, "Standardization", 0)
    before = embeddings.rows[repaired.shown]
    values = measure(before, ["uniformity", "hubness"], sample_size=5000)
    table = repaired.measures.set_index("measure")["before"]
    assert table[["uniformity", "hubness"]].to_dict() == {key: values[key] for key in ("uniformity", "hubness")}
    after = library.Standardization().fit(embeddings.rows[repaired.fitted]).transform(before)
    compared = compare(before, after, ["neighborhood_overlap"], sample_size=5000)
    assert repaired.overlap == compared["neighborhood_overlap"] < 1
    (note,) = (note for note in repaired.notes if "drawn at random" in note)
    assert "uniformity" in note and "neighborhood_overlap are of 5,000 of the 5,200 rows" in note


def test_task_scores_of_pairs_outside_the_fitting_rows():
    embeddings = cloud()
    pairs = pairs_of(np.arange(0, 400, 4), 150)
    repaired = repair(embeddings, "All but the top", 2, pairs=pairs)
    assert set(pairs.rows) <= set(repaired.shown) and len(repaired.shown) == 200
    assert repaired.rows_sentence == "Fitted on 200 rows; everything here is of the other 200."
    enhanced = library.AllButTheTop(2).fit(embeddings.rows[repaired.fitted]).transform(embeddings.rows)
    check_scores(repaired, embeddings.rows, enhanced, pairs)


def check_scores(repaired, before, after, pairs):
    scores = repaired.scores.set_index("name")
    for name, rows in (("before", before), ("after", after)):
        expected = 100 * spearmanr(cosines(rows, pairs.first, pairs.second), pairs.scores).statistic
        assert scores.loc[name, "value"] == pytest.approx(expected, abs=1e-4)
        assert scores.loc[name, "low"] < scores.loc[name, "value"] < scores.loc[name, "high"]
    gain = scores.loc["gain"]
    assert gain["value"] == pytest.approx(scores.loc["after", "value"] - scores.loc["before", "value"])
    assert gain["low"] <= gain["value"] <= gain["high"]
    moved = "helps" if gain["low"] > 0 else "harms" if gain["high"] < 0 else "no more than chance"
    assert moved in repaired.verdict and f"by {gain['value']:+.1f}" in repaired.verdict


def test_pairs_of_most_rows_leave_too_few_to_fit_on():
    embeddings, pairs = cloud(), pairs_of(np.arange(300), 600)
    repaired = repair(embeddings, "Whitening", 0, pairs=pairs)
    assert len(repaired.fitted) == 400 and repaired.shown.tolist() == pairs.rows.tolist()
    assert repaired.rows_sentence.startswith("Fitted on all 400 rows, for too few are outside the pairs")
    check_scores(repaired, embeddings.rows, library.Whitening().fit_transform(embeddings.rows), pairs)


def test_real_sentences_and_their_scores(tmp_path, minilm_path, stsb_folder):
    embeddings, rated = rated_sentences(minilm_path, stsb_folder)
    pairs = read_pairs(write_pairs(tmp_path / "pairs.csv", rated), embeddings)
    repaired = repair(embeddings, "All but the top", 1, pairs=pairs)
    check_scores(repaired, embeddings.rows, library.AllButTheTop(1).fit_transform(embeddings.rows), pairs)
    assert any("it wants" in note for note in repaired.notes) and len(set(repaired.notes)) == len(repaired.notes)
    assert all("\n" not in note for note in repaired.notes)


@pytest.mark.parametrize(("sign", "said"), [(1, "it helps"), (-1, "it harms these pairs. Leave the rows alone.")])
def test_a_gain_beyond_its_interval(sign, said):
    """The common mean hides what the scores follow; the scores turned round are what removing it harms."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 6)) + [9, 0, 0, 0, 0, 0] * rng.uniform(0.2, 3, size=(600, 1))
    first, second = np.arange(0, 280, 2), np.arange(1, 280, 2)
    hidden = np.array(cosines(rows - rows.mean(axis=0), first, second))
    assert said in repair(Embeddings("made", rows), "Centering", 0, pairs=Pairs(first, second, sign * hidden)).verdict


def test_nothing_moved_is_left_alone():
    """Centred rows: centring them again changes nothing that pairs could tell."""
    rows = np.random.default_rng(0).normal(size=(2000, 6))
    verdict = repair(Embeddings("made", rows), "Centering", 0, pairs=pairs_of(np.arange(500), 200)).verdict
    assert verdict.endswith("no more than chance could do. Leave the rows alone.")


def test_many_pairs_are_scored_by_a_sample():
    repaired = repair(cloud(), "Centering", 0, pairs=pairs_of(np.arange(150), 6000))
    assert "The score is of 5,000 of the 6,000 pairs, drawn at random." in repaired.notes


def test_bad_input_is_refused_in_one_sentence():
    few = Embeddings("few.npy", np.random.default_rng(0).normal(size=(LEAST_ROWS - 1, 3)))
    with pytest.raises(ValueError, match="few.npy has 21 rows: a repair needs at least 22"):
        repair(few, "Centering", 0)
    with pytest.raises(ValueError, match="there is no enhancement 'Polishing'; there are: Centering, All but"):
        repair(cloud(), "Polishing", 0)
    with pytest.raises(ValueError, match="n_directions=20 of 12 features: at most 12"):
        repair(cloud(), "All but the top", 20)
    with pytest.raises(ValueError, match="a pair is of row 400, and there are 400 rows"):
        repair(cloud(), "Centering", 0, pairs=Pairs(np.array([0]), np.array([400]), np.array([1.0])))
    equal = Embeddings("equal.npy", np.ones((50, 3)))
    with pytest.raises(ValueError, match="all 25 rows are equal"):
        repair(equal, "Whitening", 0)


def test_the_texts_that_the_page_offers_are_enough_for_a_repair(minilm_path):
    said, *_ = handlers.repair_texts("Centering", 0, TEXTS_EXAMPLE)
    assert said.startswith("Fitted on 12 rows; everything here is of the other 12")


def test_a_wrong_strength_is_refused_before_a_model_or_a_file_is_read(monkeypatch):
    for reader in ("embed_texts", "read_embeddings", "example"):
        monkeypatch.setattr(handlers, reader, None)
    for ask in (handlers.repair_file, handlers.downloads_of_file):
        with pytest.raises(ValueError, match="must be from 0 to 128, got None"):
            ask("All but the top", None)
    for ask in (handlers.repair_texts, handlers.downloads_of_texts):
        with pytest.raises(ValueError, match="there is no enhancement 'magic'"):
            ask("magic", 1, "a\nb")


def test_the_fewest_rows_and_features():
    with warnings.catch_warnings(record=True) as loud:
        warnings.simplefilter("always")
        repaired = repair(Embeddings("line.npy", np.arange(float(LEAST_ROWS))[:, None]), "Centering", 0)
    assert not loud and len(repaired.notes) > 1
    assert list(repaired.projected) == ["row", "before 1", "after 1"]


def test_visitors_at_once_get_their_own_notes():
    before, few, many = warnings.showwarning, cloud(n=60), cloud(n=2000, d=3)
    with ThreadPoolExecutor(4) as pool:
        repaired = list(pool.map(one_at_a_time(lambda each: repair(each, "Centering", 0)), [few, many] * 4))
    assert warnings.showwarning is before
    assert {each.notes for each in repaired[1::2]} == {()}
    assert {each.notes for each in repaired[::2]} == {repair(few, "Centering", 0).notes} != {()}


@pytest.mark.parametrize("scale", [1e37, 1e-40])
def test_scores_of_rows_whose_products_leave_float32(scale):
    embeddings, pairs = cloud(), pairs_of(np.arange(0, 400, 4), 100)
    rows = (embeddings.rows * scale).astype(np.float32)
    repaired = repair(Embeddings("scaled.npy", rows), "Centering", 0, pairs=pairs)
    expected = repair(embeddings, "Centering", 0, pairs=pairs).scores["value"]
    assert repaired.scores["value"].to_numpy() == pytest.approx(expected.to_numpy(), abs=0.05)


@pytest.mark.parametrize("rows", [np.ones((50, 3)), np.random.default_rng(0).normal(size=(50, 3)) * 1e-310])
def test_rows_that_say_nothing_are_told_and_drawn(rows):
    repaired = repair(Embeddings("nothing.npy", rows), "Centering", 0)
    assert any("is NaN" in note for note in repaired.notes) or rows.any()
    for figure in (repaired.cosines_figure, repaired.spectra_figure, repaired.before_figure, repaired.after_figure):
        assert figure.to_json()


def test_choices_are_the_librarys():
    for name, (strength, by_hand) in BY_HAND.items():
        choice = CHOICES[name]
        made = choice.make(strength)
        assert type(made) is type(by_hand)
        assert {**by_hand.get_params(), **choice.options} == made.get_params()
        assert choice.summary == type(by_hand).__doc__.split("\n\n")[0].replace("\n    ", " ")
        assert eval(choice.python(strength), vars(library)).get_params() == made.get_params()
        if choice.strength is not None:
            assert choice.strength.least <= choice.default(1000, 768) <= choice.most(768)


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("shape", [(2000, 64), (900, 16)])
def test_the_slider_starts_at_the_librarys_default(name, shape):
    rows = np.random.default_rng(0).normal(size=shape)
    choice = CHOICES[name]
    started = choice.make(choice.default(*shape)).fit(rows)
    default = choice.kind(**choice.options).fit(rows)
    for attribute in choice.kind.FITTED:
        assert np.shape(getattr(started, attribute)) == np.shape(getattr(default, attribute))
        assert np.allclose(getattr(started, attribute), getattr(default, attribute))


@pytest.mark.parametrize("strength", [-1, 1e9, float("nan"), float("inf"), "3", None, 2.5])
def test_a_strength_beside_the_slider(strength):
    with pytest.raises(ValueError, match=r"the strength of All but the top \(directions to remove\) must be"):
        choice_of("All but the top").make(strength)
    assert type(choice_of("Centering").make(strength)) is library.Centering
