"""Word frequency and contextuality: against brute force on real words, and where frequencies come from."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import spearmanr
from study_cases import check_drawn_numbers, small_case, through_json

from isotropy_metrics.enhancement import AllButTheTop
from isotropy_metrics.hidden_states import embed
from isotropy_metrics.study.data.word_frequencies import WordFrequencies
from isotropy_metrics.study.experiments import contextuality, word_frequency
from isotropy_metrics.study.resampling import resampled_counts
from isotropy_metrics.study.spaces.word_tokens import is_continuation, plain_word, word_starts

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* clusters have fewer than .* rows:UserWarning"),
    pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning"),
]


@pytest.fixture(scope="module")
def frequency_outcome(minilm_path, tmp_path_factory):
    case = small_case(minilm_path)
    assert word_frequency.missing(case) is None
    return case, through_json(word_frequency.run(case), tmp_path_factory.mktemp("frequency"))


@pytest.fixture(scope="module")
def known_tokens(minilm_path):
    """The rows, frequencies and words of the held-out tokens that have a frequency, by hand."""
    import wordfreq

    space = small_case(minilm_path).spaces["before"]
    words = [word.lower().strip(".,;:!?\"'()-$%/&#<>") for word in space.words]
    frequencies = np.array([wordfreq.zipf_frequency(word, "en") if word else 0.0 for word in words])
    return np.flatnonzero(frequencies), frequencies, np.array(words, dtype=object)


def test_directions_correlate_with_frequency_as_scipy_finds(frequency_outcome, known_tokens):
    case, outcome = frequency_outcome
    which, frequencies, _ = known_tokens
    assert outcome.protocol["n_tokens"] == len(which)
    rows = case.spaces["before"].rows.astype(np.float64)
    for treatment, treated in {
        "baseline": rows,
        "global": AllButTheTop().fit(case.fitting_spaces["before"].rows).transform(rows),
    }.items():
        centered = treated - treated.mean(axis=0)
        _, lengths, directions = np.linalg.svd(centered, full_matrices=False)
        for j in (0, 3):
            coordinate = (centered @ directions[j])[which]
            row = _row(outcome.tables["directions"], checkpoint="before", treatment=treatment, direction=j + 1)
            assert row["share"] == pytest.approx(lengths[j] ** 2 / np.sum(lengths**2), rel=1e-3)
            assert abs(row["spearman"]) == pytest.approx(abs(spearmanr(coordinate, frequencies[which])[0]), abs=2e-3)
            expected = spearmanr(np.abs(coordinate), frequencies[which])[0]
            assert row["spearman_absolute"] == pytest.approx(expected, abs=2e-3)
            assert row["spearman_low"] < row["spearman"] < row["spearman_high"]


def test_r2_is_that_of_words_the_regression_has_not_seen(frequency_outcome, known_tokens):
    case, outcome = frequency_outcome
    which, frequencies, words = known_tokens
    rows = case.spaces["before"].rows.astype(np.float64)
    directions = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][:5]
    x, y = ((rows - rows.mean(axis=0)) @ directions.T)[which], frequencies[which]
    x = np.column_stack([x, np.ones(len(x))])
    different = sorted(set(words[which]))
    rng = np.random.default_rng(0)
    divisions = []
    for _ in range(5):
        fold = dict(zip(different, rng.permutation(len(different)) % 5, strict=True))
        folds, errors = np.array([fold[word] for word in words[which]]), np.zeros(len(y))
        for each in range(5):
            fitted, held_out = folds != each, folds == each
            errors[held_out] = y[held_out] - x[held_out] @ np.linalg.lstsq(x[fitted], y[fitted], rcond=None)[0]
        divisions.append(1 - np.sum(errors**2) / np.sum((y - y.mean()) ** 2))
    expected = np.mean(divisions)
    row = _row(outcome.tables["explained"], checkpoint="before", treatment="baseline", n_directions=5)
    assert row["r2"] == pytest.approx(expected, abs=2e-3)
    assert row["r2_low"] < row["r2"] < row["r2_high"]


def test_neighbors_of_like_frequency_are_those_of_brute_force(frequency_outcome, known_tokens):
    case, outcome = frequency_outcome
    which, frequencies, words = known_tokens
    rows, y, words = case.spaces["before"].rows[which].astype(np.float64), frequencies[which], words[which]
    edges = np.quantile(y, [1 / 3, 2 / 3])
    third = np.array([np.sum(value > edges) for value in y])
    values = []
    for i in range(len(rows)):
        others = np.flatnonzero(words != words[i])
        nearest = others[np.argsort(np.linalg.norm(rows[others] - rows[i], axis=1))[:10]]
        values.append(
            [
                np.mean(third[nearest] == third[i]),
                np.mean(third[others] == third[i]),
                np.mean(np.abs(y[nearest] - y[i])),
                np.mean(np.abs(y[others] - y[i])),
            ]
        )
    row = _row(outcome.tables["neighbors"], checkpoint="before", treatment="baseline")
    keys = "purity", "purity_by_chance", "frequency_difference", "frequency_difference_by_chance"
    assert [row[key] for key in keys] == pytest.approx(np.mean(values, axis=0), abs=2e-3)
    assert row["n_tokens"] == len(rows)


def test_planted_frequency_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    word = np.repeat(np.arange(300), 5)
    frequency = rng.uniform(1, 7, size=300)[word]
    text = np.arange(1500) % 100
    tokens = word_frequency.FrequentTokens(np.arange(1500), frequency, word, text, 100, np.arange(1500))
    counts = resampled_counts(100, 0)
    noise = rng.normal(size=(1500, 20))
    planted = noise + 3 * np.outer(frequency, np.eye(20)[0])
    for rows, low, high in ((planted, 0.9, 1.0), (noise, -0.1, 0.05)):
        scores, shares = word_frequency._principal_scores(rows)
        assert low < word_frequency._explained(scores, tokens, 0)[0]["r2"] <= high
        correlation = word_frequency._correlations(scores, shares, tokens, counts)[0]["spearman"]
        assert (abs(correlation) > 0.9) == (low > 0)
        neighbors = word_frequency._neighbors(rows, tokens, counts)
        assert (neighbors["purity_low"] > neighbors["purity_by_chance"]) == (low > 0)


def test_figures_and_sentences_of_frequency_show_the_tables(frequency_outcome):
    _, outcome = frequency_outcome
    figures = word_frequency.draw(outcome)
    check_drawn_numbers({"r2": figures["r2"]}, outcome)
    points = [
        (row["x"], row["y"])
        for row in outcome.tables["points"]
        if (row["checkpoint"], row["treatment"]) == ("after", "cluster-based")
    ]
    (scatter,) = figures["cluster-based_after"].axes[0].collections
    assert np.array(scatter.get_offsets()) == pytest.approx(np.array(points))
    assert len(points) <= 1000
    row = _row(outcome.tables["explained"], checkpoint="before", treatment="baseline", n_directions=20)
    assert f"{row['r2']:.2f}" in word_frequency.tell(outcome)[0]


def test_the_interval_of_r2_is_as_wide_as_other_words_would_make_it():
    """A few frequent words have most tokens: resampled texts hold them all, and take chance for knowledge."""
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        word = np.concatenate([np.repeat(np.arange(20), 100), np.arange(20, 220)])
        frequency, text = rng.uniform(1, 7, size=220), np.arange(len(word)) % 100
        rows = np.column_stack([frequency + 2 * rng.normal(size=220), rng.normal(size=220)])[word]
        tokens = word_frequency.FrequentTokens(np.arange(len(word)), frequency[word], word, text, 100, np.arange(10))
        found.append(word_frequency._explained(word_frequency._principal_scores(rows)[0], tokens, 0)[0])
    middle = np.median([row["r2"] for row in found])
    assert np.mean([row["r2_low"] <= middle <= row["r2_high"] for row in found]) >= 0.75


def test_frequencies_of_a_language_a_corpus_and_a_file(tmp_path):
    import wordfreq

    english = WordFrequencies.load("en", [])
    assert english.find("the") == wordfreq.zipf_frequency("the", "en") > 7
    assert english.find("qzxqzxqzx") is None
    counted = WordFrequencies.load("corpus", ["The cat, the dog.", "The (cat)"])
    assert [counted.find(word) for word in ("the", "cat", "dog")] == pytest.approx(np.log10([3, 2, 1]))
    assert counted.find("cow") is None
    (tmp_path / "counts.csv").write_text("word,count\nThe,90\nthe,10\ncat,0\n")
    listed = WordFrequencies.load(str(tmp_path / "counts.csv"), [])
    assert listed.find("the") == pytest.approx(2)
    assert listed.find("cat") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("word,frequency\nthe,1\n", "no column 'count'"),
        ("word,count\nthe,many\n", "not a number from 0 in row 1 .*'many'"),
        ("word,count\nthe,-1\n", "not a number from 0"),
        ("word,count\nthe,0\n", "no number above 0"),
        ("word,count\nthe,5\n", "at least 20 of different frequency are needed"),
    ],
)
def test_a_list_of_frequencies_that_cannot_be_used_is_named(minilm_path, tmp_path, content, message):
    (tmp_path / "counts.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        word_frequency.missing(small_case(minilm_path, frequencies=str(tmp_path / "counts.csv")))


def test_an_unknown_language_or_file_is_named(minilm_path, monkeypatch):
    with pytest.raises(ValueError, match="'klingon' is neither a file, nor 'corpus', nor a language of wordfreq: ar"):
        word_frequency.missing(small_case(minilm_path, frequencies="klingon"))
    with pytest.raises(FileNotFoundError, match="there is no file none.csv"):
        word_frequency.missing(small_case(minilm_path, frequencies="none.csv"))
    monkeypatch.setitem(__import__("sys").modules, "wordfreq", None)
    assert "pip install 'isotropy-metrics[study]'" in word_frequency.missing(small_case(minilm_path))


def test_words_and_pieces_of_real_tokens(minilm_path):
    space = small_case(minilm_path).spaces["before"]
    inside = is_continuation(space)
    assert inside.tolist() == [token.startswith("##") for token in space.tokens]
    assert 0 < inside.sum() < len(inside) / 5
    assert np.array_equal(np.flatnonzero(~inside), word_starts(space))
    assert [plain_word(word) for word in ("U.S.", "'tis", "—", "Straße!")] == ["u.s", "tis", "", "straße"]


def test_contextuality_is_that_of_brute_force_over_whole_words(minilm_path, tmp_path):
    case = small_case(minilm_path)
    assert contextuality.missing(case) is None
    outcome = through_json(contextuality.run(case), tmp_path)
    texts = case.task.test.texts
    words, sentences, vectors = [], [], []
    all_rows = embed(str(minilm_path), texts, layer=5, pooling=None, progress=False).astype(np.float64)
    n_before = 0
    for i, text in enumerate(texts):
        pieces = case.before.tokenizer.tokenize(text)
        rows = all_rows[n_before : n_before + len(pieces)]
        n_before += len(pieces)
        starts = [j for j, piece in enumerate(pieces) if not piece.startswith("##")]
        for start, end in zip(starts, [*starts[1:], len(pieces)], strict=True):
            word = "".join(piece.removeprefix("##") for piece in pieces[start:end])
            if any(character.isalnum() for character in word):
                words.append(word)
                sentences.append(i)
                vectors.append(rows[start:end].mean(axis=0))
    vectors, sentences = np.array(vectors), np.array(sentences)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    cosines = units @ units.T

    def mean_cosine(which):
        return np.mean([cosines[i, j] for i in which for j in which if i != j])

    frequent = [word for word, count in Counter(words).items() if count >= 5]
    occurrences = [[i for i, each in enumerate(words) if each == word] for word in frequent]
    row = _row(outcome.tables["layers"], checkpoint="before", layer=5)
    assert (row["n_words"], row["n_occurrences"], row["n_sentences"]) == (len(frequent), len(words), len(texts))
    assert row["self_similarity"] == pytest.approx(np.mean([mean_cosine(each) for each in occurrences]), abs=1e-5)
    explained = [np.linalg.svd(vectors[each], compute_uv=False) ** 2 for each in occurrences]
    expected = np.mean([values[0] / values.sum() for values in explained])
    assert row["maximum_explainable_variance"] == pytest.approx(expected, abs=1e-5)
    intra = []
    for i in range(len(texts)):
        own = vectors[sentences == i]
        mean = own.mean(axis=0)
        intra.append(np.mean(own @ mean / np.linalg.norm(own, axis=1) / np.linalg.norm(mean)))
    assert row["intra_sentence_similarity"] == pytest.approx(np.mean(intra), abs=1e-5)
    baseline = (cosines.sum() - len(units)) / (len(units) * (len(units) - 1))
    assert row["anisotropy_baseline"] == pytest.approx(baseline, abs=1e-5)
    assert row["self_similarity_adjusted"] == pytest.approx(row["self_similarity"] - baseline, abs=1e-5)
    assert _row(outcome.tables["layers"], checkpoint="after", layer=5) == row | {"checkpoint": "after"}
    assert _row(outcome.tables["layers"], checkpoint="after", layer=6)["self_similarity"] != row["self_similarity"]
    check_drawn_numbers(contextuality.draw(outcome), outcome)
    assert "two occurrences of a word" in contextuality.tell(outcome)[0]


def test_contextuality_takes_whole_texts_that_fit_in_memory(minilm_path, monkeypatch):
    space = small_case(minilm_path).spaces["before"]
    lengths = np.bincount(space.text_index)
    assert len(contextuality._texts_that_fit(space, 0)) == space.n_texts
    monkeypatch.setattr(contextuality, "MOST_VALUES", 300 * len(space.layers) * space.rows.shape[1])
    chosen = contextuality._texts_that_fit(space, 0)
    assert 200 < lengths[chosen].sum() <= 300
    assert chosen.tolist() == sorted(set(chosen.tolist())) != list(range(len(chosen)))
    monkeypatch.setattr(contextuality, "MOST_VALUES", 1)
    assert len(contextuality._texts_that_fit(space, 0)) == 1


def _row(table, **wanted):
    (row,) = [row for row in table if all(row[key] == value for key, value in wanted.items())]
    return row
