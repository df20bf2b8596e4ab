"""Token types, senses and tenses, clusters and drift: against brute force on real tokens, and what is refused."""

import copy

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_score
from study_cases import check_drawn_numbers, small_case, through_json

from isotropy_metrics import partition_isotropy
from isotropy_metrics.enhancement import AllButTheTop
from isotropy_metrics.hidden_states import embed
from isotropy_metrics.study.data.annotated_words import AnnotatedWords
from isotropy_metrics.study.data.same_structure import WORDS, StructuredSentences, generated_structures
from isotropy_metrics.study.data.sense_sentences import PER_CELL, built_in_senses
from isotropy_metrics.study.experiments import EXPERIMENTS, clusters, drift, senses_and_tenses, token_types
from isotropy_metrics.study.resampling import ratio, resampled_counts, sums_by_group, with_limits

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* clusters have fewer than .* rows:UserWarning"),
    pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning"),
]


@pytest.fixture(scope="module")
def groups_file(tmp_path_factory):
    made = generated_structures(n_groups=8, per_group=4, seed=3)
    path = tmp_path_factory.mktemp("groups") / "groups.csv"
    lines = [f'g{group},"{sentence}"' for group, sentence in zip(made.groups, made.sentences, strict=True)]
    path.write_text("\n".join(["group,sentence", *lines]))
    return path, made


@pytest.fixture(scope="module")
def token_outcome(minilm_path, groups_file, tmp_path_factory):
    case = small_case(minilm_path, structures=groups_file[0])
    return case, through_json(token_types.run(case), tmp_path_factory.mktemp("outcome"))


def test_generated_groups_share_their_function_words_and_nothing_else():
    made = generated_structures(seed=1)
    assert (len(made.sentences), made.n_groups) == (1200, 200)
    assert len(set(made.sentences)) == 1200
    content = {form for entries in WORDS.values() for entry in entries for form in (*entry.split("/"), f"{entry}s")}
    skeletons = set()
    for group in range(200):
        sentences = [made.sentences[i].lower() for i in np.flatnonzero(made.groups == group)]
        words = [sentence.replace(",", " ,").replace(".", " .").split() for sentence in sentences]
        (length,) = {len(each) for each in words}
        skeleton = []
        for place in range(length):
            at_place = [each[place] for each in words]
            assert len(set(at_place)) in (1, 6), at_place
            assert len(set(at_place)) == 1 or set(at_place) <= content, at_place
            skeleton.append(at_place[0] if len(set(at_place)) == 1 else "*")
        assert {"the", "of", ",", "."} <= set(skeleton)
        skeletons.add(tuple(skeleton))
        for before, after in zip(words[0], words[0][1:], strict=False):
            assert before != "a" or after[0] not in "aeiou"
    assert len(skeletons) > 190  # two structures may differ in kinds of content words only
    assert generated_structures(seed=1).sentences == made.sentences
    assert generated_structures(seed=2).sentences != made.sentences


def test_share_of_same_structure_neighbors_is_that_of_brute_force(minilm_path, groups_file, token_outcome):
    case, outcome = token_outcome
    made = groups_file[1]
    tokenizer = case.before.tokenizer
    treated = {
        "baseline": lambda rows: rows,
        "global": AllButTheTop().fit(case.fitting_spaces["before"].rows).transform,
    }
    vectors = [embed(str(minilm_path), [each], pooling=None, progress=False) for each in made.sentences]
    for token in (".", ",", "the", "of"):
        rows, sentence = [], []
        for i, text in enumerate(made.sentences):
            places = [j for j, piece in enumerate(tokenizer.tokenize(text)) if piece == token]
            rows += [vectors[i][j] for j in places]
            sentence += [i] * len(places)
        sentence, group = np.array(sentence), made.groups[np.array(sentence)]
        for treatment, treat in treated.items():
            between = cdist(*2 * [treat(np.array(rows)).astype(np.float64)])
            shares, chances = [], []
            for i in range(len(rows)):
                others = np.flatnonzero(sentence != sentence[i])
                nearest = others[np.argsort(between[i, others])[:5]]
                shares.append(np.mean(group[nearest] == group[i]))
                chances.append(np.mean(group[others] == group[i]))
            row = _row(outcome.tables["shares"], checkpoint="before", treatment=treatment, token=token)
            assert row["share"] == pytest.approx(np.mean(shares), abs=0.01)
            assert row["share_by_chance"] == pytest.approx(np.mean(chances))
            assert row["share_low"] <= row["share"] <= row["share_high"]
            assert row["n_occurrences"] == len(rows)


def test_mean_and_changes_follow_from_the_shares(token_outcome):
    _, outcome = token_outcome
    shares = outcome.tables["shares"]
    assert len(shares) == 2 * 3 * 5
    for row in outcome.tables["changes"]:
        ends = [dict(zip(("checkpoint", "treatment"), row[end].split(", "), strict=True)) for end in ("from", "to")]
        start, end = (_row(shares, token=row["token"], **each)["share"] for each in ends)
        assert row["difference"] == pytest.approx(end - start)
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
    own = [row["share"] for row in shares[:4]]
    assert shares[4]["token"] == "mean of the tokens"
    assert shares[4]["share"] == pytest.approx(np.mean(own))
    sentences = token_types.tell(outcome)
    assert f"{100 * shares[4]['share']:.1f} %" in sentences[0]
    figures = token_types.draw(outcome)
    assert list(figures) == ["before", "after"]
    heights = [bar.get_height() for bar in figures["before"].axes[0].patches]
    drawn = [
        100 * row["share"] for row in shares if row["checkpoint"] == "before" and row["token"] != shares[4]["token"]
    ]
    assert heights == pytest.approx(drawn)


def test_a_missing_share_is_a_dash_and_a_gap(token_outcome):
    outcome = copy.deepcopy(token_outcome[1])
    for row in outcome.tables["shares"]:
        if row["checkpoint"] == "after":
            row |= {"share": None, "share_low": None, "share_high": None}
    assert "fine-tuning and – % after it" in token_types.tell(outcome)[0]
    heights = [bar.get_height() for bar in token_types.draw(outcome)["after"].axes[0].patches]
    assert np.isnan(heights).all()


def test_groups_that_mean_nothing_give_the_share_of_chance():
    rng = np.random.default_rng(0)
    rows, text = rng.normal(size=(1200, 20)), np.arange(1200)
    structures = StructuredSentences([""] * 1200, np.repeat(np.arange(200), 6), "")
    row, _ = token_types._share(rows, text, structures, resampled_counts(200, 0))
    assert row["share_low"] < row["share_by_chance"] < row["share_high"]
    assert row["share_by_chance"] == pytest.approx(5 / 1199)
    apart = rows + 100 * np.repeat(rng.normal(size=(200, 20)), 6, axis=0)
    assert token_types._share(apart, text, structures, resampled_counts(200, 0))[0]["share"] == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "there is no file"),
        ("groups.txt", "group,sentence\n", "must be one of .csv"),
        ("groups.csv", "group,text\n1,A cat.\n", "no column 'sentence', it has: group, text"),
        ("groups.csv", "group,sentence\n", "no rows"),
        ("groups.csv", "group,sentence\n1,A cat.\n1,\n", "'sentence' of .* is empty in row 2"),
        ("groups.csv", "group,sentence\n1,The cat.\n1,The dog.\n", "1 group"),
        ("groups.csv", "group,sentence\n1,The cat.\n2,The dog.\n", "groups of at least two sentences"),
    ],
)
def test_a_file_of_groups_that_cannot_be_used_is_named(minilm_path, tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        token_types.missing(small_case(minilm_path, structures=tmp_path / name))


def test_sentences_without_the_tokens_are_a_reason_to_leave_it_out(minilm_path, tmp_path):
    path = tmp_path / "groups.tsv"
    path.write_text("group\tsentence\n" + "\n".join(f"{i // 4}\tcats chase dogs" for i in range(16)))
    assert "none of the tokens" in token_types.missing(small_case(minilm_path, structures=path))
    path.write_text("group\tsentence\n" + "\n".join(f"{i // 4}\tcats chase the dogs" for i in range(16)))
    case = small_case(minilm_path, structures=path)
    assert token_types.missing(case) is None
    assert token_types.run(case).protocol["tokens_left_out"] == [".", ",", "of"]


def test_built_in_sentences_have_each_verb_in_two_senses_and_two_tenses():
    table = built_in_senses()
    cells = list(zip(table.words, table.senses, table.tenses, strict=True))
    assert len(set(table.words)) == 12
    assert len(set(cells)) == 12 * 2 * 2
    assert {cells.count(cell) for cell in set(cells)} == {PER_CELL} == {10}
    assert len(set(table.sentences)) == len(table) == 480
    assert all(f" {form} " in sentence for form, sentence in zip(table.forms, table.sentences, strict=True))
    assert not any("  " in sentence or "\n" in sentence for sentence in table.sentences)
    assert all(len(set(np.array(table.forms)[rows])) == 2 for rows in table.comparable().values())
    assert "not SemCor" in table.source


SENSES = """word,form,sense,tense,sentence
bank,Banks,money,present,"Banks lend money."
bank,banks,money,present,"The banks pay interest."
bank,banks,river,present,"Two banks of a river."
bank,banks,river,present,"Steep banks flood."
bank,banked,money,past,"She banked the cheque."
bank,banked,money,past,"He banked his wage."
embed,embedding,vector,present,"An embedding of words."
embed,embedding,vector,present,"This embedding is long."
embed,embedding,stone,present,"The embedding of gems."
embed,embedded,vector,past,"We embedded them."
lone,lone,only,none,"A lone wolf."
"""


@pytest.fixture(scope="module")
def sense_outcome(minilm_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("senses")
    (folder / "senses.csv").write_text(SENSES)
    case = small_case(minilm_path, senses=folder / "senses.csv")
    assert senses_and_tenses.missing(case) is None
    return case, through_json(senses_and_tenses.run(case), folder)


def test_distances_of_senses_and_tenses_are_those_of_brute_force(minilm_path, sense_outcome):
    _, outcome = sense_outcome
    lines = [line.split(",", 4) for line in SENSES.strip().split("\n")[1:]]
    table = [(word, form, sense, tense, text.strip('"')) for word, form, sense, tense, text in lines]
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(minilm_path)
    vectors = []
    for _, form, _, _, text in table:
        rows = embed(str(minilm_path), [text], pooling=None, progress=False).astype(np.float64)
        pieces, wanted = tokenizer.tokenize(text), tokenizer.tokenize(form)
        start = next(i for i in range(len(pieces)) if pieces[i : i + len(wanted)] == wanted)
        vectors.append(rows[start : start + len(wanted)].mean(axis=0))
    means = []
    for word in ("bank", "embed"):
        own = [i for i, row in enumerate(table) if row[0] == word]
        of_kind = {"st_sm": [], "st_dm": [], "dt_sm": []}
        for kind, (same_tense, same_sense) in {"st_sm": (1, 1), "st_dm": (1, 0), "dt_sm": (0, 1)}.items():
            for i in own:
                distances = [
                    np.linalg.norm(vectors[i] - vectors[j])
                    for j in own
                    if j != i
                    and (table[i][3] == table[j][3]) == same_tense
                    and (table[i][2] == table[j][2]) == same_sense
                ]
                of_kind[kind] += [np.mean(distances)] if distances else []
        means.append([np.mean(values) for values in of_kind.values()])
        row = _row(outcome.tables["by_word"], checkpoint="before", treatment="baseline", word=word)
        assert [row[kind] for kind in of_kind] == pytest.approx(means[-1], rel=1e-4)
    row = _row(outcome.tables["distances"], checkpoint="before", treatment="baseline")
    expected = np.mean(means, axis=0)
    assert [row["st_sm"], row["st_dm"], row["dt_sm"]] == pytest.approx(expected, rel=1e-4)
    assert row["dt_sm_over_st_dm"] == pytest.approx(expected[2] / expected[1], rel=1e-4)
    ratios = sorted(each[2] / each[1] for each in means)
    assert ratios[0] - 1e-4 <= row["dt_sm_over_st_dm_low"] <= row["dt_sm_over_st_dm_high"] <= ratios[1] + 1e-4
    assert outcome.protocol["words"] == ["bank", "embed"]
    assert outcome.protocol["words_left_out"] == ["lone"]


def test_figures_of_senses_show_the_tables(sense_outcome):
    _, outcome = sense_outcome
    figures = senses_and_tenses.draw(outcome)
    bars = [bar.get_height() for bar in figures["distances_after"].axes[0].patches]
    rows = [row for row in outcome.tables["distances"] if row["checkpoint"] == "after"]
    assert sorted(bars) == pytest.approx(sorted(row[kind] for row in rows for kind in ("st_sm", "st_dm", "dt_sm")))
    drawn = [tuple(spot) for each in figures["baseline_before"].axes[0].collections for spot in each.get_offsets()]
    points = [
        (row["x"], row["y"])
        for row in outcome.tables["points"]
        if (row["checkpoint"], row["treatment"]) == ("before", "baseline")
    ]
    assert len(points) == 6
    assert np.array(sorted(drawn)) == pytest.approx(np.array(sorted(points)))
    value = _row(outcome.tables["distances"], checkpoint="after", treatment="baseline")["dt_sm_over_st_dm"]
    assert f"{value:.3f}" in senses_and_tenses.tell(outcome)[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("word,sense,sentence\nrun,a,He will run.\n", "no column 'tense'"),
        ("word,sense,tense,sentence\nrun,a,past,He ran.\n", "row 1 .*'run' does not stand in .*'form'"),
        ("word,sense,tense,sentence\nrun,a,now,We run.\nrun,b,now,They run.\n", "no word to compare"),
        ("word,sense,tense,sentence\n", "no rows"),
    ],
)
def test_a_table_of_senses_that_cannot_be_used_is_named(minilm_path, tmp_path, content, message):
    (tmp_path / "senses.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        senses_and_tenses.missing(small_case(minilm_path, senses=tmp_path / "senses.csv"))


def test_a_word_beyond_the_longest_text_is_named(minilm_path):
    table = AnnotatedWords(["run"], ["a"], ["now"], ["we " * 300 + "run"], ["run"], "a table")
    tokenizer = small_case(minilm_path).before.tokenizer
    with pytest.raises(ValueError, match="row 1 of a table .* beyond the 128 tokens"):
        table.token_places(tokenizer, 128)
    assert table.token_places(tokenizer, 400)[0].tolist() == [300]


def test_a_tokenizer_that_does_not_know_the_words_is_a_reason_to_leave_them_out(minilm_path, monkeypatch):
    case = small_case(minilm_path)
    assert senses_and_tenses.missing(case) is None
    table = built_in_senses()
    unknown = AnnotatedWords(table.words, table.senses, table.tenses, ["☃ snow"] * 480, ["☃"] * 480, "a table")
    monkeypatch.setattr(senses_and_tenses, "built_in_senses", lambda: unknown)
    assert senses_and_tenses.missing(case) == "the tokenizer knows 0 of the 1 forms of the annotated words"


@pytest.fixture(scope="module")
def cluster_outcome(minilm_path, tmp_path_factory):
    case = small_case(minilm_path, n_clusters=4, n_seeds=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters, "NUMBERS", (1, 6))
        return case, through_json(clusters.run(case), tmp_path_factory.mktemp("clusters"))


def test_cluster_numbers_are_those_of_the_library_and_of_brute_force(cluster_outcome):
    case, outcome = cluster_outcome
    rows = case.spaces["before"].rows
    one = _row(outcome.tables["numbers"], checkpoint="before", n_clusters=1)
    centered = partition_isotropy(rows - rows.mean(axis=0, dtype=np.float64))["partition_isotropy_log10"]
    assert one["partition_isotropy_log10"] == pytest.approx(centered, abs=1e-3)
    assert (one["silhouette"], one["inter_cluster_cosine"], one["variance_within"]) == (None, None, pytest.approx(1))

    centered, labels = clusters._clustered(rows, 4, 0)
    values = clusters._of_partition(rows, centered, labels, 0)
    assert values["silhouette"] == pytest.approx(silhouette_score(rows, labels), abs=1e-4)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines, same = units @ units.T, np.equal.outer(labels, labels)
    others = ~np.eye(len(rows), dtype=bool)
    assert values["intra_cluster_cosine"] == pytest.approx(cosines[same & others].mean(), abs=1e-5)
    assert values["inter_cluster_cosine"] == pytest.approx(cosines[~same].mean(), abs=1e-5)
    by_hand = np.concatenate([rows[labels == j] - rows[labels == j].mean(axis=0) for j in range(4)])
    total = np.square(rows - rows.mean(axis=0)).sum()
    assert values["variance_within"] == pytest.approx(np.square(by_hand).sum() / total, rel=1e-3)
    isotropy = partition_isotropy(by_hand)["partition_isotropy_log10"]
    assert values["partition_isotropy_log10"] == pytest.approx(isotropy, abs=0.02)
    row = _row(outcome.tables["numbers"], checkpoint="before", n_clusters=4)
    assert row["silhouette_low"] - 1e-9 <= values["silhouette"] <= row["silhouette_high"] + 1e-9


def test_contents_of_clusters_are_counted_right(cluster_outcome):
    case, outcome = cluster_outcome
    space = case.spaces["after"]
    _, labels = clusters._clustered(space.rows, 4, 0)
    contents = [row for row in outcome.tables["contents"] if row["checkpoint"] == "after"]
    assert [row["n_tokens"] for row in contents] == sorted(np.bincount(labels), reverse=True)
    assert sum(row["share"] for row in contents) == pytest.approx(1)
    largest = space.tokens[labels == np.bincount(labels).argmax()].tolist()
    assert contents[0]["dominant_token_share"] == largest.count(contents[0]["dominant_token"]) / len(largest)
    assert contents[0]["dominant_token_share"] == max(map(largest.count, largest)) / len(largest)
    marks = [token for token in largest if not any(c.isalnum() for c in token)]
    assert contents[0]["punctuation"] == pytest.approx(len(marks) / len(largest))
    inside = [token for token in largest if token.startswith("##")]
    assert contents[0]["pieces_inside_words"] == pytest.approx(len(inside) / len(largest))
    figures = clusters.draw(outcome)
    check_drawn_numbers({name: each for name, each in figures.items() if "contents" not in name}, outcome)
    widths = [bar.get_width() for bar in figures["contents_after"].axes[0].patches]
    assert sum(widths) == pytest.approx(100)
    assert "log10 I(W)" in clusters.tell(outcome)[0]


def test_drift_is_none_where_nothing_moved_and_sees_the_layer_that_did(minilm_path, tmp_path):
    case = small_case(minilm_path)
    outcome = through_json(drift.run(case), tmp_path)
    fifth, last = outcome.tables["layers"]
    for name, same in drift._same_values().items():
        assert fifth[name] == pytest.approx(same, abs=1e-6), name
        assert abs(last[name] - same) > 1e-3, name
    before, after = (case.spaces[name].rows.astype(np.float64) for name in ("before", "after"))
    spread = np.sqrt(np.mean(np.square(before - before.mean(axis=0)).sum(axis=1)))
    moved = np.linalg.norm(after.mean(axis=0) - before.mean(axis=0))
    assert last["mean_shift"] == pytest.approx(moved / spread, rel=1e-4)
    figures = drift.draw(outcome)
    assert set(figures) == set(drift._same_values())
    check_drawn_numbers(figures, outcome)
    assert "layer 6 changed most" in drift.tell(outcome)[1]


def test_subspace_overlap_of_drift_sees_a_rotation_and_linear_cka_does_not():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 30)) * np.linspace(5, 1, 30)
    rotation = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    values = drift._compared(rows, rows @ rotation, 0)
    assert values["linear_cka"] == pytest.approx(1)
    assert values["neighborhood_overlap"] == pytest.approx(1)
    assert values["subspace_overlap"] < 0.6


def test_resamples_of_groups_are_paired_and_give_honest_limits():
    counts = resampled_counts(50, 0)
    assert (counts.sum(axis=1) == 50).all()
    assert np.array_equal(counts, resampled_counts(50, 0))
    groups, values = np.repeat(np.arange(50), 4), np.random.default_rng(1).normal(size=50).repeat(4)
    sums = sums_by_group(groups, 50, values, np.ones(200))
    assert sums[7] == pytest.approx([values[28:32].sum(), 4])
    limits = with_limits("mean", values.mean(), ratio(*(counts @ sums).T))
    error = values[::4].std(ddof=1) / np.sqrt(50)
    assert limits["mean_high"] - limits["mean_low"] == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert np.isnan(ratio(np.array([1.0]), np.array([0.0]))).all()


def test_experiments_are_in_the_order_of_the_report():
    names = list(EXPERIMENTS)
    ours = ["token_types", "senses_and_tenses", "word_frequency", "clusters", "drift", "contextuality"]
    assert [name for name in names if name in ours] == ours


def _row(table, **wanted):
    (row,) = [row for row in table if all(row[key] == value for key, value in wanted.items())]
    return row
