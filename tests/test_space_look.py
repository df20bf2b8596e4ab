"""Look and Compare, the opening and the small parts of the Space: what they show is what the library says."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from isotropy_space import handlers
from isotropy_space.coloring import CLUSTERS, FREQUENCY, LABELS, colored
from isotropy_space.compare import FIRST, SECOND, compare
from isotropy_space.embeddings import Embeddings
from isotropy_space.example import EXAMPLE_FILE, example
from isotropy_space.look import LEVEL, N_RESAMPLES, look
from isotropy_space.one_at_a_time import one_at_a_time, step_by_step
from isotropy_space.opening import opening
from isotropy_space.page_errors import in_sentences
from isotropy_space.projection_figure import MOST_POINTS
from isotropy_space.seen_space import SHOWN
from isotropy_space.shown import shown_notes, shown_table, shown_text

from isotropy_metrics import MEASURES, RowSample, average_cosine_similarity, measure
from isotropy_metrics.measures.comparisons import COMPARISONS
from isotropy_metrics.measures.comparisons import compare as compare_rows


def cloud(n=1000, d=6, seed=0, **known):
    rows = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32) * np.arange(1, d + 1)
    return Embeddings("cloud", rows + 1, **known)


@pytest.fixture(scope="module")
def steps():
    return list(look(cloud()))


def test_the_values_are_those_of_the_library_and_stay_while_intervals_come(steps):
    expected = measure(cloud().rows, SHOWN)
    for step in steps:
        assert list(step.measures["measure"]) == list(SHOWN)
        for name, value in zip(step.measures["measure"], step.measures["value"], strict=True):
            assert value == pytest.approx(expected[name], rel=1e-6)


def test_the_first_step_has_no_interval_and_the_others_have_more_and_more(steps):
    known = [int(step.measures["low"].notna().sum()) for step in steps]
    assert known == [0, sum(MEASURES[name].needs is not RowSample for name in SHOWN), len(SHOWN)]
    last = steps[-1].measures.set_index("measure")
    for name in ("isoscore", "hubness"):
        own = MEASURES[name](cloud().rows, interval=LEVEL, n_resamples=N_RESAMPLES)
        assert (last.low[name], last.high[name]) == pytest.approx((own[f"{name}_low"], own[f"{name}_high"]), rel=1e-6)
        assert last.low[name] <= last.value[name] <= last.high[name]


def test_every_picture_has_its_numbers(steps):
    seen = steps[-1]
    assert np.allclose(seen.cosines_figure.data[0].y, 100 * seen.cosines["share"])
    assert np.allclose(seen.spectrum_figure.data[0].y, 100 * seen.spectrum["share"])
    x = np.concatenate([np.asarray(trace.x) for trace in seen.projection_figure.data])
    assert np.allclose(np.sort(x), np.sort(seen.projected["direction 1"]))
    parts = average_cosine_similarity(cloud().rows, contributions=True)["cosine_contributions"]
    assert np.allclose(seen.contributions["part in the mean cosine"], parts)
    assert np.allclose(seen.contributions_figure.data[0].y, parts)


def test_of_many_rows_a_sample_is_drawn_and_listed_with_its_names():
    n = MOST_POINTS + 500
    names = np.array([f"row of {i}" for i in range(n)])
    seen = next(look(cloud(n, names=names)))
    assert len(seen.projected) == MOST_POINTS == sum(len(trace.x) for trace in seen.projection_figure.data)
    assert (seen.projected["name"] == names[seen.projected["row"]]).all()


def test_notes_say_what_is_of_a_sample_and_what_wants_more_rows():
    few = next(look(cloud(20, 6)))
    assert any("wants" in note for note in few.notes)
    many = next(look(cloud(5200, 3)))
    assert any("5,000 of the 5,200 rows" in note and "hubness" in note for note in many.notes)


def test_a_measure_without_a_value_has_no_interval_and_no_number():
    rows = np.tile(np.array([[1.0, 2.0]], dtype=np.float32), (40, 1))
    *_, last = look(Embeddings("equal rows", rows))
    by_name = last.measures.set_index("measure")
    assert np.isnan(by_name.value["isoscore"]) and np.isnan(by_name.low["isoscore"])
    assert last.notes


# Colours


@pytest.mark.parametrize("rows", [np.zeros((30, 4)), np.full((30, 4), 1e-200)])
def test_rows_without_a_direction_are_shown_all_the_same(rows):
    seen = next(look(Embeddings("nothing", rows)))
    assert seen.contributions["part in the mean cosine"].isna().tolist() == [True] * 4
    assert any("zero" in note for note in seen.notes)


def test_clusters_are_those_of_k_means_numbered_by_size():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(c, 0.1, size=(n, 4)) for c, n in ((0, 30), (9, 50), (-9, 20))])
    labels = colored(Embeddings("three", rows), CLUSTERS).labels
    assert labels.dtype.kind == "U"
    for part in (labels[:30], labels[30:80], labels[80:]):
        assert not set(part) & (set(labels) - set(part))
    sizes = [np.count_nonzero(labels == str(i + 1)) for i in range(len(set(labels)))]
    assert sizes == sorted(sizes, reverse=True)


def test_equal_rows_are_one_cluster_without_a_warning():
    assert set(colored(Embeddings("equal", np.ones((5, 3))), CLUSTERS).labels) == {"1"}


def test_colouring_needs_what_it_colours_by():
    with pytest.raises(ValueError, match="have no names"):
        colored(cloud(), FREQUENCY)
    with pytest.raises(ValueError, match="has no labels"):
        colored(cloud(), LABELS)
    with pytest.raises(ValueError, match="one of clusters"):
        colored(cloud(), "mood")
    named = replace(cloud(2), names=np.array(["the", "zygote"]))
    frequent, rare = colored(named, FREQUENCY).labels
    assert frequent > rare


# Compare


def test_the_comparison_is_that_of_the_library():
    first, second = cloud(), cloud(seed=1)
    found = compare(first, second)
    expected = compare_rows(first.rows, second.rows)
    for row in found.drift.to_dict("records"):
        assert row["value"] == pytest.approx(expected[row["measure"]], rel=1e-6)
        assert row["same"] == COMPARISONS[row["measure"]].same
    assert set(found.drift["measure"]) == set(COMPARISONS)
    for title, space in ((FIRST, first), (SECOND, second)):
        assert found.measures[title].tolist() == pytest.approx(
            [measure(space.rows, SHOWN)[name] for name in SHOWN], rel=1e-6
        )
    assert found.measures["change"].tolist() == pytest.approx(
        (found.measures[SECOND] - found.measures[FIRST]).tolist()
    )


def test_the_rows_that_moved_are_found_with_their_neighbours():
    first = cloud(names=np.array([f"w{i}" for i in range(1000)]))
    rows = first.rows.copy()
    rows[[7, 70]] = -20 * rows[[7, 70]]
    changed = compare(first, replace(first, rows=rows)).changed
    assert {"w7", "w70"} <= set(changed["row"][:8])
    row = changed[changed["row"] == "w7"].iloc[0]
    distances = np.linalg.norm(first.rows - first.rows[7], axis=1)
    nearest = [f"w{i}" for i in np.argsort(distances, kind="stable")[1:6]]
    assert row[f"nearest in the {FIRST}"] == ", ".join(nearest)
    assert (changed["overlap"].diff().dropna() >= 0).all()


def test_spaces_of_other_widths_are_compared_where_that_means_something():
    found = compare(cloud(d=6), cloud(d=9))
    assert not any(COMPARISONS[name].same_width for name in found.drift["measure"])
    assert "linear_cka" in set(found.drift["measure"])
    isotropic = found.measures.set_index("measure").isotropic
    assert np.isnan(isotropic["effective_rank"]) and isotropic["isoscore"] == 1


def test_rows_that_are_not_the_same_are_refused():
    with pytest.raises(ValueError, match="1,000 rows and cloud 200"):
        compare(cloud(), cloud(200))
    names = np.array([f"w{i}" for i in range(1000)])
    with pytest.raises(ValueError, match="row 5 is 'w5' in cloud and 'other' in cloud"):
        compare(cloud(names=names), cloud(names=np.where(names == "w5", "other", names)))


def write_words(path, order, n=60):
    """A table of one column per feature, and a name and a number beside."""
    rows = np.random.default_rng(0).normal(size=(n, 4))
    table = pd.DataFrame(rows, columns=list("abcd")).assign(
        word=[f"w{i}" for i in range(n)], year=np.arange(n) * 100.0
    )
    table.iloc[order].to_csv(path, index=False)
    return str(path)


def test_labels_are_no_features_of_the_second_file_either(tmp_path):
    files = [write_words(tmp_path / name, np.arange(60)) for name in ("a.csv", "b.csv")]
    said, _, drift, *_ = handlers.compare_files(*files, names="word", labels="year")
    assert "a.csv, 4 features; second b.csv, 4 features" in said.replace("\\", "")
    assert drift.set_index("measure").value["linear_cka"] == pytest.approx(1, abs=1e-6)
    np.save(tmp_path / "c.npy", np.random.default_rng(1).normal(size=(60, 3)))
    said, *_ = handlers.compare_files(files[0], str(tmp_path / "c.npy"), names="word", labels="year")
    assert "second c.npy, 3 features" in said.replace("\\", "")


def test_names_in_both_files_tell_that_rows_are_in_another_order(tmp_path):
    files = [write_words(tmp_path / "a.csv", np.arange(60)), write_words(tmp_path / "b.csv", np.arange(60)[::-1])]
    with pytest.raises(ValueError, match="row 0 is 'w0' in a.csv and 'w59' in b.csv"):
        handlers.compare_files(*files, names="word", labels="year")


def test_a_space_is_not_compared_with_itself_by_mistake():
    for column in (None, "before"):
        with pytest.raises(ValueError, match="give a second file, or two columns"):
            handlers.compare_files(str(EXAMPLE_FILE), first_column=column, second_column=column)
    said, *_ = handlers.compare_files(str(EXAMPLE_FILE), first_column="before", second_column="after", names="word")
    assert said.startswith("First words.parquet, before, 384 features; second words.parquet, after,")


def test_notes_of_a_comparison_say_what_is_of_a_sample():
    first = cloud(5200, 3)
    (note,) = (note for note in compare(first, cloud(5200, 3, seed=1)).notes if "drawn at random" in note)
    for name in ("uniformity", "linear_cka", "neighborhood_overlap", "5,000 of the 5,200"):
        assert name in note
    assert "isoscore" not in note and not compare(cloud(), cloud(seed=1)).notes


# The example and the opening


def test_the_example_is_what_its_maker_says():
    before, after = example("before"), example("after")
    assert before.rows.shape == after.rows.shape == (4000, 384)
    assert before.names.tolist() == after.names.tolist() and len(set(before.names)) == 4000
    assert np.isfinite(before.labels).all() and before.labels[0] == max(before.labels)
    assert 0.9 < compare_rows(before.rows, after.rows, "linear_cka")["linear_cka"] < 1


def test_no_visitor_can_change_the_example_for_the_others():
    with pytest.raises(ValueError, match="read-only"):
        example("before").rows[0] = 0


def test_columns_without_a_file_are_refused():
    for ask in (
        lambda: next(handlers.look_at_file(column="after")),
        lambda: handlers.compare_files(second_column="before"),
        lambda: handlers.repair_file("Centering", 0, names="word"),
    ):
        with pytest.raises(ValueError, match="columns are those of a file"):
            ask()


def test_the_words_are_as_the_model_embeds_them(minilm_path):
    from isotropy_metrics.hidden_states import embed

    words = example("before")
    again = embed(str(minilm_path), words.names[:40].tolist(), progress=False)
    assert np.allclose(again, words.rows[:40], atol=2e-3)


def test_the_page_opens_with_the_answer_of_a_handler_computed_once():
    assert opening("training_curves") is opening("training_curves")
    assert opening("training_curves")[0] == handlers.training_curves()[0]


# Small parts


def test_tables_are_shown_with_four_digits_and_nothing_for_nan():
    table = pd.DataFrame({"name": ["<b>a</b>", "b"], "value": [1234567.0, np.nan], "n": [1, 2]})
    shown = shown_table(table)
    assert shown["value"].tolist() == [1235000.0, None] and shown["n"].tolist() == [1, 2]
    assert shown["name"].tolist() == ["<b>a</b>", "b"]


@pytest.mark.parametrize(
    "text", ["a_b*c", "<img src=x onerror=alert(1)>", "[x](javascript:1)", "$x$", "`x`", "1. x\\"]
)
def test_a_sentence_is_no_markup(text):
    from markdown_it import MarkdownIt

    for shown in (shown_text(text), shown_text("so " + text)):
        assert MarkdownIt("commonmark", {"html": True}).render(shown).count("<") == 2  # <p> and </p>
    assert shown_notes([text]).endswith(shown_text(text)) and shown_notes([]) == ""


def test_an_address_is_no_link():
    assert shown_text("http://a.b www.c.d WWW.e a@b.c") == r"http\://a.b www\.c.d WWW\.e a\@b.c"


def test_handlers_take_turns_and_let_others_go_first_between_steps():
    at_once, seen = 0, []

    def work(n):
        nonlocal at_once
        at_once += 1
        seen.append(at_once)
        time.sleep(0.01)
        at_once -= 1
        return n

    def steps_of(n):
        for _ in range(3):
            yield work(n)

    run, run_steps = one_at_a_time(work), step_by_step(steps_of)
    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    threads += [threading.Thread(target=lambda: list(run_steps(1))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 13
    with pytest.raises(ValueError, match="no"):
        one_at_a_time(lambda: (_ for _ in ()).throw(ValueError("no")))()
    assert run(5) == 5


def test_refusals_become_sentences_without_markup():
    import gradio as gr

    def refuse(what):
        raise what

    with pytest.raises(gr.Error, match="&lt;b&gt;"):
        in_sentences(refuse)(ValueError("<b>bold</b>"))
    with pytest.raises(ZeroDivisionError):
        in_sentences(refuse)(ZeroDivisionError())
